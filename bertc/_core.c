/* _core.c: the Python module over csrc/bertc.h: loads models, runs them, raises their errors */
#include "_core.h"

#include "_convert.h"
#include "_state_dict.h"

/* One loaded model. `source` is the caller's memory that it reads from: a buffer export, so that it cannot move; or
 * `state` is the State object that it was made of. */
struct model_object {
    PyObject_HEAD
    struct bertc_model *model;
    Py_buffer source;
    PyObject *state;
};

/* ---- errors ---- */

PyObject *bt_core_raise(const struct module_state *state, const struct bertc_error *err)
{
    PyObject *const types[] = {
        [BERTC_OK] = state->error,
        [BERTC_MEMORY] = PyExc_MemoryError,
        [BERTC_IO] = PyExc_OSError,
        [BERTC_FORMAT] = state->format_error,
        [BERTC_UNSUPPORTED] = state->unsupported_error,
        [BERTC_INPUT] = state->input_error,
    };
    PyObject *type = types[err->status];
    PyObject *text = bt_convert_text(err->text);
    /* OSError chooses its subclass, such as FileNotFoundError, by the errno. */
    PyObject *args = text && err->status == BERTC_IO ? Py_BuildValue("(iO)", err->code, text) : Py_XNewRef(text);
    if (args) {
        PyErr_SetObject(type, args);
    }
    Py_XDECREF(args);
    Py_XDECREF(text);
    return NULL;
}

/* ---- the Model type ---- */

static struct module_state *state_of(PyObject *self)
{
    return PyType_GetModuleState(Py_TYPE(self));
}

static struct bertc_model *model_of(PyObject *self)
{
    return ((struct model_object *)self)->model;
}

static void model_dealloc(PyObject *self)
{
    struct model_object *object = (struct model_object *)self;
    PyTypeObject *type = Py_TYPE(self);
    bertc_model_free(object->model);
    PyBuffer_Release(&object->source);
    Py_XDECREF(object->state);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *model_format(PyObject *self, void *Py_UNUSED(closure))
{
    return bt_convert_text(bertc_model_format(model_of(self)));
}

static PyObject *model_producer(PyObject *self, void *Py_UNUSED(closure))
{
    return bt_convert_text(bertc_model_producer(model_of(self)));
}

static PyObject *model_architecture(PyObject *self, void *Py_UNUSED(closure))
{
    return bt_convert_text(bertc_model_architecture(model_of(self)));
}

static PyObject *model_warning(PyObject *self, void *Py_UNUSED(closure))
{
    return bt_convert_text(bertc_model_warning(model_of(self)));
}

static PyObject *model_params(PyObject *self, PyObject *Py_UNUSED(unused))
{
    size_t count;
    const struct bertc_param *params = bertc_model_params(model_of(self), &count);
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *item = Py_BuildValue("(NNN)", bt_convert_text(params[i].name), bt_convert_text(params[i].type),
                                       PyBool_FromLong(params[i].required));
        if (item) {
            PyList_SET_ITEM(list, (Py_ssize_t)i, item);
        } else {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *model_weights(PyObject *self, PyObject *Py_UNUSED(unused))
{
    size_t count;
    const struct bertc_weight *weights = bertc_model_weights(model_of(self), &count);
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        const struct bt_tensor *tensor = &weights[i].tensor;
        PyObject *item = Py_BuildValue("(NNsN)", bt_convert_text(weights[i].name), bt_convert_weight(tensor, self),
                                       bt_dtype_name(tensor->dtype), PyBool_FromLong(weights[i].is_parameter));
        if (item) {
            PyList_SET_ITEM(list, (Py_ssize_t)i, item);
        } else {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *model_graph(PyObject *self, PyObject *Py_UNUSED(unused))
{
    struct bertc_error err;
    enum bertc_status status;
    char *text = NULL;
    Py_BEGIN_ALLOW_THREADS
    status = bertc_model_graph(model_of(self), &text, &err);
    Py_END_ALLOW_THREADS
    if (status != BERTC_OK) {
        return bt_core_raise(state_of(self), &err);
    }
    PyObject *result = bt_convert_text(text);
    bertc_free(text);
    return result;
}

static PyObject *model_signature(PyObject *self, PyObject *Py_UNUSED(unused))
{
    struct bertc_error err;
    enum bertc_status status;
    char *inputs = NULL, *outputs = NULL;
    Py_BEGIN_ALLOW_THREADS
    status = bertc_model_signature(model_of(self), &inputs, &outputs, &err);
    Py_END_ALLOW_THREADS
    if (status != BERTC_OK) {
        return bt_core_raise(state_of(self), &err);
    }
    PyObject *result = Py_BuildValue("(NN)", bt_convert_text(inputs), bt_convert_text(outputs));
    bertc_free(inputs);
    bertc_free(outputs);
    return result;
}

static PyObject *model_memory(PyObject *self, PyObject *Py_UNUSED(unused))
{
    struct bertc_memory m;
    Py_BEGIN_ALLOW_THREADS
    bertc_model_memory(model_of(self), &m);
    Py_END_ALLOW_THREADS
    return Py_BuildValue("(nnnnnn)", (Py_ssize_t)m.file, (Py_ssize_t)m.file_resident, (Py_ssize_t)m.packed,
                         (Py_ssize_t)m.converted, (Py_ssize_t)m.graphs, (Py_ssize_t)m.workspaces);
}

static PyObject *split_result(const struct bertc_value *structure, PyObject *result, const int64_t *lengths,
                              size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    Py_ssize_t begin = 0;
    for (size_t i = 0; list && i < count; i++) {
        const Py_ssize_t end = begin + (Py_ssize_t)lengths[i];
        PyObject *own = bt_convert_sequence(structure, result, (Py_ssize_t)i, begin, end);
        if (own) {
            PyList_SET_ITEM(list, (Py_ssize_t)i, own);
        } else {
            Py_CLEAR(list);
        }
        begin = end;
    }
    return list;
}

/* New arrays in the structure of the call's result, and the addresses of their items, for PyMem_Free. */
static PyObject *new_result(const struct bertc_call *call, void ***outputs)
{
    size_t slots;
    const struct bertc_value *structure = bertc_call_result(call, &slots);
    *outputs = PyMem_Calloc(slots ? slots : 1, sizeof **outputs);
    return *outputs ? bt_convert_result(structure, *outputs) : PyErr_NoMemory();
}

/* Runs a call, frees it and returns its result; of a packed call, where lengths is not NULL, one result a sequence. */
static PyObject *finish_call(PyObject *self, struct bertc_call *call, const int64_t *lengths, size_t count)
{
    void **outputs;
    PyObject *result = new_result(call, &outputs);
    if (result) {
        struct bertc_error err;
        enum bertc_status status;
        Py_BEGIN_ALLOW_THREADS
        status = bertc_call_run(call, outputs, &err);
        Py_END_ALLOW_THREADS
        if (status != BERTC_OK) {
            Py_CLEAR(result);
            bt_core_raise(state_of(self), &err);
        }
    }
    if (result && lengths) {
        size_t slots;
        PyObject *split = split_result(bertc_call_result(call, &slots), result, lengths, count);
        Py_SETREF(result, split);
    }
    PyMem_Free(outputs);
    bertc_call_free(call);
    return result;
}

/* (seconds, [(text, op, weight, calls, seconds, flops), ...]) */
static PyObject *profile_tuple(const struct bertc_profile *profile)
{
    PyObject *list = PyList_New((Py_ssize_t)profile->count);
    for (size_t i = 0; list && i < profile->count; i++) {
        const struct bertc_node_profile *node = &profile->nodes[i];
        PyObject *item = Py_BuildValue("(NsNLdd)", bt_convert_text(node->text), node->op, bt_convert_text(node->weight),
                                       (long long)node->calls, node->seconds, node->flops);
        if (item) {
            PyList_SET_ITEM(list, (Py_ssize_t)i, item);
        } else {
            Py_CLEAR(list);
        }
    }
    return list ? Py_BuildValue("(dN)", profile->seconds, list) : NULL;
}

/* Runs a call and frees it; its profile is the result. */
static PyObject *profile_call(PyObject *self, struct bertc_call *call)
{
    void **outputs;
    PyObject *arrays = new_result(call, &outputs), *result = NULL;
    if (arrays) {
        struct bertc_error err;
        struct bertc_profile *profile = NULL;
        enum bertc_status status;
        Py_BEGIN_ALLOW_THREADS
        status = bertc_call_profile(call, outputs, &profile, &err);
        Py_END_ALLOW_THREADS
        result = status == BERTC_OK ? profile_tuple(profile) : bt_core_raise(state_of(self), &err);
        bertc_profile_free(profile);
        Py_DECREF(arrays);
    }
    PyMem_Free(outputs);
    bertc_call_free(call);
    return result;
}

/* A run on a tuple of arguments: its result, or its profile. */
static PyObject *run_tuple(PyObject *self, PyObject *args, int threads, bool profiled)
{
    struct bt_arguments arguments = {0};
    struct bertc_call *call = NULL;
    PyObject *result = NULL;
    if (bt_convert_arguments(&arguments, args) == 0) {
        struct bertc_error err;
        enum bertc_status status;
        Py_BEGIN_ALLOW_THREADS
        status = bertc_call_new(model_of(self), arguments.values, arguments.given, (size_t)arguments.count, threads,
                                &call, &err);
        Py_END_ALLOW_THREADS
        result = status != BERTC_OK ? bt_core_raise(state_of(self), &err)
                 : profiled         ? profile_call(self, call)
                                    : finish_call(self, call, NULL, 0);
    }
    bt_convert_arguments_clear(&arguments);
    return result;
}

static PyObject *model_run(PyObject *self, PyObject *args)
{
    return run_tuple(self, args, 0, false);
}

static PyObject *model_profile(PyObject *self, PyObject *args)
{
    PyObject *values;
    int threads;
    return PyArg_ParseTuple(args, "Oi", &values, &threads) ? run_tuple(self, values, threads, true) : NULL;
}

static PyObject *model_run_packed(PyObject *self, PyObject *args)
{
    struct bt_arguments arguments = {0};
    struct bertc_call *call = NULL;
    PyObject *tuple, *result = NULL;
    Py_buffer lengths;
    if (!PyArg_ParseTuple(args, "Oy*", &tuple, &lengths)) {
        return NULL;
    }
    const size_t count = (size_t)lengths.len / sizeof(int64_t);
    if (bt_convert_arguments(&arguments, tuple) == 0) {
        struct bertc_error err;
        enum bertc_status status;
        Py_BEGIN_ALLOW_THREADS
        status = bertc_call_new_packed(model_of(self), arguments.values, arguments.given, (size_t)arguments.count,
                                       lengths.buf, count, &call, &err);
        Py_END_ALLOW_THREADS
        result = status != BERTC_OK ? bt_core_raise(state_of(self), &err)
                 : call             ? finish_call(self, call, lengths.buf, count)
                                    : Py_NewRef(Py_None);
    }
    bt_convert_arguments_clear(&arguments);
    PyBuffer_Release(&lengths);
    return result;
}

static PyMethodDef model_methods[] = {
    {"params", model_params, METH_NOARGS, "forward's parameters: (name, type, required)"},
    {"weights", model_weights, METH_NOARGS, "(name, read-only array, dtype name, is_parameter)"},
    {"graph", model_graph, METH_NOARGS, "The graph as text"},
    {"signature", model_signature, METH_NOARGS, "Inputs and outputs as text"},
    {"run", model_run, METH_O,
     "Runs on a tuple with one plain value a parameter, ... for the default.\n\n"
     "The tuple and all it holds must not change before run() returns."},
    {"profile", model_profile, METH_VARARGS,
     "profile(args, threads) -> (seconds, [(text, op, weight, calls, seconds, flops)]) of a run with so many threads"},
    {"memory", model_memory, METH_NOARGS, "Bytes: (file, file_resident, packed, converted, graphs, workspaces)"},
    {"run_packed", model_run_packed, METH_VARARGS,
     "run_packed(args, lengths) -> as run, of sequences padded to the longest; lengths is a buffer of int64.\n\n"
     "A list with one result a sequence, without the batch. None when the graph does not allow it."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef model_getset[] = {
    {"format", model_format, NULL, "What kind of file it came from", NULL},
    {"producer", model_producer, NULL, "The program that wrote the file, '' when unknown", NULL},
    {"architecture", model_architecture, NULL, "'BertForMaskedLM', of a Hugging Face directory; else ''", NULL},
    {"warning", model_warning, NULL, "What a person should know about the file, '' when nothing", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot model_slots[] = {
    {Py_tp_dealloc, model_dealloc},
    {Py_tp_methods, model_methods},
    {Py_tp_getset, model_getset},
    {Py_tp_doc, "A loaded model; made by load_file and load_memory"},
    {0, NULL},
};

static PyType_Spec model_spec = {
    .name = "bertc._core.Model",
    .basicsize = sizeof(struct model_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = model_slots,
};

/* ---- module functions ---- */

static struct model_object *model_new(PyObject *module)
{
    PyTypeObject *type = ((struct module_state *)PyModule_GetState(module))->model_type;
    return (struct model_object *)type->tp_alloc(type, 0); /* zeroed: no model, no buffer */
}

static PyObject *load_file(PyObject *module, PyObject *args)
{
    PyObject *path = NULL;
    int threads, skip_padding;
    if (!PyArg_ParseTuple(args, "O&ip", PyUnicode_FSConverter, &path, &threads, &skip_padding)) {
        return NULL;
    }
    const struct bertc_options options = {threads, skip_padding != 0};
    struct model_object *self = model_new(module);
    if (self) {
        struct bertc_error err;
        enum bertc_status status;
        Py_BEGIN_ALLOW_THREADS
        status = bertc_model_load(PyBytes_AS_STRING(path), &options, &self->model, &err);
        Py_END_ALLOW_THREADS
        if (status != BERTC_OK) {
            Py_CLEAR(self);
            bt_core_raise(PyModule_GetState(module), &err);
        }
    }
    Py_DECREF(path);
    return (PyObject *)self;
}

static PyObject *load_memory(PyObject *module, PyObject *args)
{
    PyObject *source;
    const char *name;
    int threads, skip_padding;
    if (!PyArg_ParseTuple(args, "Osip", &source, &name, &threads, &skip_padding)) {
        return NULL;
    }
    const struct bertc_options options = {threads, skip_padding != 0};
    struct model_object *self = model_new(module);
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
    status = bertc_model_load_memory(self->source.buf, (size_t)self->source.len, name, NULL, NULL, &options,
                                     &self->model, &err);
    Py_END_ALLOW_THREADS
    if (status != BERTC_OK) {
        Py_CLEAR(self);
        bt_core_raise(PyModule_GetState(module), &err);
    }
    return (PyObject *)self;
}

static PyObject *load_state(PyObject *module, PyObject *args)
{
    PyTypeObject *state_type = ((struct module_state *)PyModule_GetState(module))->state_type;
    const char *config, *name;
    Py_ssize_t size;
    PyObject *state;
    int threads, skip_padding;
    if (!PyArg_ParseTuple(args, "y#O!sip", &config, &size, state_type, &state, &name, &threads, &skip_padding)) {
        return NULL;
    }
    const struct bertc_options options = {threads, skip_padding != 0};
    struct model_object *self = model_new(module);
    if (!self) {
        return NULL;
    }
    self->state = Py_NewRef(state);
    struct bertc_error err;
    enum bertc_status status;
    Py_BEGIN_ALLOW_THREADS
    status = bertc_model_from_state(config, (size_t)size, bt_state_dict_get(state), name, &options, &self->model, &err);
    Py_END_ALLOW_THREADS
    if (status != BERTC_OK) {
        Py_CLEAR(self);
        bt_core_raise(PyModule_GetState(module), &err);
    }
    return (PyObject *)self;
}

static PyObject *set_threads(PyObject *Py_UNUSED(module), PyObject *args)
{
    int count;
    if (!PyArg_ParseTuple(args, "i", &count)) {
        return NULL;
    }
    bertc_set_threads(count);
    Py_RETURN_NONE;
}

static PyObject *threads(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    return PyLong_FromLong(bertc_threads());
}

static PyObject *set_gemm_library(PyObject *Py_UNUSED(module), PyObject *object)
{
    PyObject *path;
    if (!PyUnicode_FSConverter(object, &path)) {
        return NULL;
    }
    bertc_set_gemm_library(PyBytes_AS_STRING(path));
    Py_DECREF(path);
    Py_RETURN_NONE;
}

static PyObject *peak(PyObject *Py_UNUSED(module), PyObject *args)
{
    double seconds, flops;
    if (!PyArg_ParseTuple(args, "d", &seconds)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    flops = bertc_peak(seconds);
    Py_END_ALLOW_THREADS
    return PyFloat_FromDouble(flops);
}

static PyMethodDef module_methods[] = {
    {"load_file", load_file, METH_VARARGS, "load_file(path, threads, skip_padding) -> Model"},
    {"load_memory", load_memory, METH_VARARGS,
     "load_memory(buffer, name, threads, skip_padding) -> Model that reads from the buffer"},
    {"load_state", load_state, METH_VARARGS, "load_state(config, state, name, threads, skip_padding) -> Model"},
    {"read_file", bt_state_dict_load, METH_O, "read_file(path) -> State"},
    {"read_memory", bt_state_dict_load_memory, METH_VARARGS, "read_memory(buffer, name) -> State that reads from it"},
    {"from_arrays", bt_state_dict_make, METH_O, "from_arrays([(name, array, bfloat16), ...]) -> State that views them"},
    {"set_threads", set_threads, METH_VARARGS, "Threads of models that name none; 0 = the default"},
    {"threads", threads, METH_NOARGS, "Threads of models that name none"},
    {"peak", peak, METH_VARARGS, "peak(seconds) -> FLOP/s that one thread reaches at most, measured for so long"},
    {"set_gemm_library", set_gemm_library, METH_O, "The OpenBLAS to try first"},
    {NULL, NULL, 0, NULL},
};

/* A new exception class, also as a module attribute; `bases` is a class or a tuple of classes. */
static PyObject *add_exception(PyObject *module, const char *name, const char *doc, PyObject *bases)
{
    PyObject *type = PyErr_NewExceptionWithDoc(name, doc, bases, NULL);
    if (type && PyModule_AddObjectRef(module, strrchr(name, '.') + 1, type) < 0) {
        Py_CLEAR(type);
    }
    return type;
}

static PyObject *add_value_error(PyObject *module, const char *name, const char *doc, PyObject *error)
{
    PyObject *bases = PyTuple_Pack(2, error, PyExc_ValueError);
    PyObject *type = bases ? add_exception(module, name, doc, bases) : NULL;
    Py_XDECREF(bases);
    return type;
}

static int module_exec(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    state->error = add_exception(module, "bertc.Error", "Base class of bertc's errors.", PyExc_Exception);
    if (!state->error) {
        return -1;
    }
    state->format_error =
        add_value_error(module, "bertc.FormatError", "The file is damaged, or not a model file.", state->error);
    state->input_error =
        add_value_error(module, "bertc.InputError", "The arguments do not fit the model.", state->error);
    state->unsupported_error =
        add_exception(module, "bertc.UnsupportedError", "A valid request that bertc cannot serve.", state->error);
    state->model_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &model_spec, NULL);
    state->state_type = bt_state_dict_type(module);
    if (!state->format_error || !state->input_error || !state->unsupported_error || !state->model_type ||
        !state->state_type) {
        return -1;
    }
    return PyModule_AddType(module, state->model_type) < 0 ? -1 : PyModule_AddType(module, state->state_type);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct module_state *state = PyModule_GetState(module);
    Py_VISIT(state->error);
    Py_VISIT(state->format_error);
    Py_VISIT(state->unsupported_error);
    Py_VISIT(state->input_error);
    Py_VISIT(state->model_type);
    Py_VISIT(state->state_type);
    return 0;
}

static int module_clear(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->error);
    Py_CLEAR(state->format_error);
    Py_CLEAR(state->unsupported_error);
    Py_CLEAR(state->input_error);
    Py_CLEAR(state->model_type);
    Py_CLEAR(state->state_type);
    return 0;
}

static void module_free(void *module)
{
    module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "bertc._core",
    .m_doc = "The compiled core of bertc.",
    .m_size = sizeof(struct module_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
