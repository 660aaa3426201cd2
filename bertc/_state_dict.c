/* _state_dict.c: the State type: weights by name, of a file or of arrays */
#include "_state_dict.h"

#include "_convert.h"
#include "_core.h"

/* What the weights lie in: the caller's memory, by a buffer export, or the list of (name, array, bfloat16). */
struct state_object {
    PyObject_HEAD
    struct bt_state *state;
    Py_buffer source;
    PyObject *arrays;
};

struct bt_state *bt_state_dict_get(PyObject *state)
{
    return ((struct state_object *)state)->state;
}

static void state_dealloc(PyObject *self)
{
    struct state_object *object = (struct state_object *)self;
    PyTypeObject *type = Py_TYPE(self);
    bertc_state_free(object->state);
    PyBuffer_Release(&object->source);
    Py_XDECREF(object->arrays);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *state_tensors(PyObject *self, PyObject *Py_UNUSED(unused))
{
    size_t count;
    const struct bertc_weight *weights = bertc_state_tensors(bt_state_dict_get(self), &count);
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        const struct bt_tensor *tensor = &weights[i].tensor;
        PyObject *item = Py_BuildValue("(NNs)", bt_convert_text(weights[i].name), bt_convert_weight(tensor, self),
                                       bt_dtype_name(tensor->dtype));
        if (item) {
            PyList_SET_ITEM(list, (Py_ssize_t)i, item);
        } else {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyMethodDef state_methods[] = {
    {"tensors", state_tensors, METH_NOARGS, "(name, read-only array, dtype name)"},
    {NULL, NULL, 0, NULL},
};

static PyObject *state_format(PyObject *self, void *Py_UNUSED(closure))
{
    return bt_convert_text(bertc_state_format(bt_state_dict_get(self)));
}

static PyGetSetDef state_getset[] = {
    {"format", state_format, NULL, "What kind of file it came from, '' for arrays", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot state_slots[] = {
    {Py_tp_dealloc, state_dealloc},
    {Py_tp_methods, state_methods},
    {Py_tp_getset, state_getset},
    {Py_tp_doc, "Weights by name; made by read_file, read_memory and from_arrays"},
    {0, NULL},
};

static PyType_Spec state_spec = {
    .name = "bertc._core.State",
    .basicsize = sizeof(struct state_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = state_slots,
};

PyTypeObject *bt_state_dict_type(PyObject *module)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &state_spec, NULL);
}

static struct state_object *state_new(PyObject *module)
{
    PyTypeObject *type = ((struct module_state *)PyModule_GetState(module))->state_type;
    return (struct state_object *)type->tp_alloc(type, 0); /* zeroed */
}

/* Ends the making of a State: the object, or the error's exception. */
static PyObject *finish(PyObject *module, struct state_object *self, enum bertc_status status,
                        const struct bertc_error *err)
{
    if (status != BERTC_OK) {
        Py_DECREF(self);
        return bt_core_raise(PyModule_GetState(module), err);
    }
    return (PyObject *)self;
}

PyObject *bt_state_dict_load(PyObject *module, PyObject *object)
{
    PyObject *path;
    if (!PyUnicode_FSConverter(object, &path)) {
        return NULL;
    }
    struct state_object *self = state_new(module);
    PyObject *result = NULL;
    if (self) {
        struct bertc_error err;
        enum bertc_status status;
        Py_BEGIN_ALLOW_THREADS
        status = bertc_state_load(PyBytes_AS_STRING(path), &self->state, &err);
        Py_END_ALLOW_THREADS
        result = finish(module, self, status, &err);
    }
    Py_DECREF(path);
    return result;
}

PyObject *bt_state_dict_load_memory(PyObject *module, PyObject *args)
{
    PyObject *source;
    const char *name;
    if (!PyArg_ParseTuple(args, "Os", &source, &name)) {
        return NULL;
    }
    struct state_object *self = state_new(module);
    if (!self) {
        return NULL;
    }
    if (PyObject_GetBuffer(source, &self->source, PyBUF_SIMPLE) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    struct bertc_error err;
    enum bertc_status status;
    Py_BEGIN_ALLOW_THREADS
    status = bertc_state_load_memory(self->source.buf, (size_t)self->source.len, name, NULL, NULL, &self->state, &err);
    Py_END_ALLOW_THREADS
    return finish(module, self, status, &err);
}

static int fill_weight(struct bertc_weight *weight, PyObject *item)
{
    PyObject *array;
    int bfloat16;
    if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "sOp", &weight->name, &array, &bfloat16)) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "from_arrays() takes a list of tuples");
        }
        return -1;
    }
    return bt_convert_stored(&weight->tensor, array, bfloat16 != 0);
}

PyObject *bt_state_dict_make(PyObject *module, PyObject *items)
{
    PyObject *list = PySequence_List(items); /* a list that nobody else changes */
    struct state_object *self = list ? state_new(module) : NULL;
    if (!self) {
        Py_XDECREF(list);
        return NULL;
    }
    self->arrays = list;
    const Py_ssize_t count = PyList_GET_SIZE(list);
    struct bertc_weight *weights = PyMem_Calloc(count ? (size_t)count : 1, sizeof *weights);
    bool good = weights != NULL;
    if (!good) {
        PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; good && i < count; i++) {
        good = fill_weight(&weights[i], PyList_GET_ITEM(list, i)) == 0;
    }
    PyObject *result = NULL;
    if (good) {
        struct bertc_error err;
        enum bertc_status status = bertc_state_new(weights, (size_t)count, &self->state, &err);
        result = finish(module, self, status, &err);
    } else {
        Py_DECREF(self);
    }
    PyMem_Free(weights);
    return result;
}
