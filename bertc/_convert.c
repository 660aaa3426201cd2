/* _convert.c: Python values and NumPy arrays to the core's values, and back */
#include "_convert.h"

#define NPY_NO_DEPRECATED_API NPY_1_22_API_VERSION
#include <numpy/arrayobject.h>

/* NumPy has no bfloat16: weights show its bits, results come as float32 (result_array). */
static const int numpy_types[BT_STORED_DTYPE_COUNT] = {
    [BT_F32] = NPY_FLOAT32, [BT_F64] = NPY_FLOAT64, [BT_F16] = NPY_FLOAT16, [BT_BF16] = NPY_UINT16,
    [BT_I64] = NPY_INT64,   [BT_I32] = NPY_INT32,   [BT_I16] = NPY_INT16,   [BT_I8] = NPY_INT8,
    [BT_U8] = NPY_UINT8,    [BT_BOOL] = NPY_BOOL,   [BT_U16] = NPY_UINT16,  [BT_U32] = NPY_UINT32,
    [BT_U64] = NPY_UINT64,
};

/* Loads NumPy's C API, unless it is there: not with the module, as importing NumPy takes longer than loading models. */
static int load_numpy(void)
{
    if (!PyArray_API) {
        import_array1(-1);
    }
    return 0;
}

PyObject *bt_convert_text(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace");
}

/* ---- arguments ---- */

void bt_convert_clear(struct bertc_value *value)
{
    for (size_t i = 0; i < value->count; i++) {
        bt_convert_clear(&value->items[i]);
    }
    PyMem_Free(value->items);
}

static int fill_items(struct bertc_value *value, enum bertc_kind kind, Py_ssize_t count)
{
    value->kind = kind;
    value->items = PyMem_Calloc(count ? (size_t)count : 1, sizeof *value->items);
    if (!value->items) {
        PyErr_NoMemory();
        return -1;
    }
    value->count = (size_t)count;
    return 0;
}

static int fill_sequence(struct bertc_value *value, PyObject *sequence)
{
    Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
    if (fill_items(value, PyTuple_Check(sequence) ? BERTC_TUPLE : BERTC_LIST, count) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (bt_convert_argument(&value->items[i], PySequence_Fast_GET_ITEM(sequence, i)) < 0) {
            return -1;
        }
    }
    return 0;
}

static int fill_dict(struct bertc_value *value, PyObject *dict)
{
    if (fill_items(value, BERTC_DICT, PyDict_GET_SIZE(dict)) < 0) {
        return -1;
    }
    struct bertc_value *item = value->items;
    PyObject *key, *object;
    for (Py_ssize_t position = 0; PyDict_Next(dict, &position, &key, &object); item++) {
        item->key = PyUnicode_AsUTF8(key);
        if (!item->key || bt_convert_argument(item, object) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The dtype among the first `count`, or count. NumPy has two numbers for some types: int64 is "long" or "long long". */
static int find_dtype(PyArrayObject *array, int count)
{
    int dtype = 0;
    while (dtype < count && (dtype == BT_BF16 || !PyArray_EquivTypenums(numpy_types[dtype], PyArray_TYPE(array)))) {
        dtype++;
    }
    return dtype;
}

static int fill_array(struct bertc_value *value, PyArrayObject *array)
{
    struct bt_tensor *tensor = &value->tensor;
    const int dtype = find_dtype(array, BT_DTYPE_COUNT);
    if (dtype == BT_DTYPE_COUNT || PyArray_NDIM(array) > BT_MAX_RANK || !PyArray_ISCARRAY_RO(array)) {
        PyErr_SetString(PyExc_TypeError, "the core takes contiguous arrays of native numbers");
        return -1;
    }
    value->kind = BERTC_TENSOR;
    tensor->dtype = (enum bt_dtype)dtype;
    tensor->rank = PyArray_NDIM(array);
    for (int i = 0; i < tensor->rank; i++) {
        tensor->dims[i] = PyArray_DIM(array, i);
    }
    bt_contiguous_strides(tensor->rank, tensor->dims, tensor->strides);
    tensor->data = PyArray_DATA(array);
    return 0;
}

static int fill_plain(struct bertc_value *value, PyObject *object)
{
    if (object == Py_None) {
        value->kind = BERTC_NONE;
    } else if (PyBool_Check(object)) {
        value->kind = BERTC_BOOL;
        value->integer = object == Py_True;
    } else if (PyLong_Check(object)) {
        value->kind = BERTC_INT;
        value->integer = PyLong_AsLongLong(object);
        return value->integer == -1 && PyErr_Occurred() ? -1 : 0;
    } else if (PyFloat_Check(object)) {
        value->kind = BERTC_FLOAT;
        value->number = PyFloat_AS_DOUBLE(object);
    } else if (PyUnicode_Check(object)) {
        value->kind = BERTC_STRING;
        value->text = PyUnicode_AsUTF8(object);
        return value->text ? 0 : -1;
    } else if (PyArray_Check(object)) {
        return fill_array(value, (PyArrayObject *)object);
    } else if (PyTuple_Check(object) || PyList_Check(object)) {
        return fill_sequence(value, object);
    } else if (PyDict_Check(object)) {
        return fill_dict(value, object);
    } else {
        PyErr_Format(PyExc_TypeError, "the core takes no %.100s", Py_TYPE(object)->tp_name);
        return -1;
    }
    return 0;
}

int bt_convert_argument(struct bertc_value *value, PyObject *object)
{
    if (Py_EnterRecursiveCall(" while reading an argument")) {
        return -1;
    }
    int result = fill_plain(value, object);
    Py_LeaveRecursiveCall();
    return result;
}

int bt_convert_arguments(struct bt_arguments *arguments, PyObject *tuple)
{
    if (!PyTuple_Check(tuple)) {
        PyErr_SetString(PyExc_TypeError, "run() takes a tuple");
        return -1;
    }
    if (load_numpy() < 0) {
        return -1;
    }
    const Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    arguments->values = PyMem_Calloc(count ? (size_t)count : 1, sizeof *arguments->values);
    arguments->given = PyMem_Calloc(count ? (size_t)count : 1, sizeof *arguments->given);
    if (!arguments->values || !arguments->given) {
        PyErr_NoMemory();
        return -1;
    }
    arguments->count = count;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *object = PyTuple_GET_ITEM(tuple, i);
        arguments->given[i] = object != Py_Ellipsis;
        if (arguments->given[i] && bt_convert_argument(&arguments->values[i], object) < 0) {
            return -1;
        }
    }
    return 0;
}

void bt_convert_arguments_clear(struct bt_arguments *arguments)
{
    for (Py_ssize_t i = 0; i < arguments->count; i++) {
        bt_convert_clear(&arguments->values[i]);
    }
    PyMem_Free(arguments->values);
    PyMem_Free(arguments->given);
}

/* ---- results ---- */

static PyObject *result_array(const struct bertc_value *value, void **outputs)
{
    const struct bt_tensor *tensor = &value->tensor;
    npy_intp dims[BT_MAX_RANK];
    for (int i = 0; i < tensor->rank; i++) {
        dims[i] = (npy_intp)tensor->dims[i];
    }
    int type = tensor->dtype == BT_BF16 ? NPY_FLOAT32 : numpy_types[tensor->dtype];
    PyObject *array = PyArray_SimpleNew(tensor->rank, dims, type);
    if (array) {
        outputs[value->slot] = PyArray_DATA((PyArrayObject *)array);
    }
    return array;
}

static PyObject *result_sequence(const struct bertc_value *value, void **outputs)
{
    bool tuple = value->kind == BERTC_TUPLE;
    Py_ssize_t count = (Py_ssize_t)value->count;
    PyObject *sequence = tuple ? PyTuple_New(count) : PyList_New(count);
    for (Py_ssize_t i = 0; sequence && i < count; i++) {
        PyObject *item = bt_convert_result(&value->items[i], outputs);
        if (!item) {
            Py_CLEAR(sequence);
        } else if (tuple) {
            PyTuple_SET_ITEM(sequence, i, item);
        } else {
            PyList_SET_ITEM(sequence, i, item);
        }
    }
    return sequence;
}

static PyObject *result_dict(const struct bertc_value *value, void **outputs)
{
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < value->count; i++) {
        PyObject *key = bt_convert_text(value->items[i].key);
        PyObject *item = key ? bt_convert_result(&value->items[i], outputs) : NULL;
        if (!item || PyDict_SetItem(dict, key, item) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(key);
        Py_XDECREF(item);
    }
    return dict;
}

PyObject *bt_convert_result(const struct bertc_value *value, void **outputs)
{
    switch (value->kind) {
    case BERTC_BOOL: return PyBool_FromLong(value->integer != 0);
    case BERTC_INT: return PyLong_FromLongLong(value->integer);
    case BERTC_FLOAT: return PyFloat_FromDouble(value->number);
    case BERTC_STRING: return bt_convert_text(value->text);
    case BERTC_TENSOR: return result_array(value, outputs);
    case BERTC_TUPLE:
    case BERTC_LIST: return result_sequence(value, outputs);
    case BERTC_DICT: return result_dict(value, outputs);
    case BERTC_NONE: break;
    }
    Py_RETURN_NONE;
}

static PyObject *sequence_items(const struct bertc_value *value, PyObject *result, Py_ssize_t item, Py_ssize_t begin,
                                Py_ssize_t end)
{
    PyObject *list = PyList_New((Py_ssize_t)value->count);
    for (size_t i = 0; list && i < value->count; i++) {
        PyObject *whole = PySequence_GetItem(result, (Py_ssize_t)i);
        PyObject *own = whole ? bt_convert_sequence(&value->items[i], whole, item, begin, end) : NULL;
        Py_XDECREF(whole);
        if (own) {
            PyList_SET_ITEM(list, (Py_ssize_t)i, own);
        } else {
            Py_CLEAR(list);
        }
    }
    if (!list || value->kind == BERTC_LIST) {
        return list;
    }
    PyObject *tuple = PyList_AsTuple(list);
    Py_DECREF(list);
    return tuple;
}

static PyObject *sequence_dict(const struct bertc_value *value, PyObject *result, Py_ssize_t item, Py_ssize_t begin,
                               Py_ssize_t end)
{
    PyObject *dict = PyDict_New();
    Py_ssize_t position = 0;
    PyObject *key, *whole;
    for (size_t i = 0; dict && i < value->count && PyDict_Next(result, &position, &key, &whole); i++) {
        PyObject *own = bt_convert_sequence(&value->items[i], whole, item, begin, end);
        if (!own || PyDict_SetItem(dict, key, own) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(own);
    }
    return dict;
}

PyObject *bt_convert_sequence(const struct bertc_value *value, PyObject *result, Py_ssize_t item, Py_ssize_t begin,
                              Py_ssize_t end)
{
    switch (value->kind) {
    case BERTC_TENSOR:
        return value->by_token ? PySequence_GetSlice(result, begin, end) : PySequence_GetItem(result, item);
    case BERTC_TUPLE:
    case BERTC_LIST: return sequence_items(value, result, item, begin, end);
    case BERTC_DICT: return sequence_dict(value, result, item, begin, end);
    default: return Py_NewRef(result);
    }
}

/* ---- weights ---- */

int bt_convert_stored(struct bt_tensor *tensor, PyObject *object, bool bfloat16)
{
    if (load_numpy() < 0) {
        return -1;
    }
    PyArrayObject *array = (PyArrayObject *)object;
    const int dtype = PyArray_Check(object) ? find_dtype(array, BT_STORED_DTYPE_COUNT) : BT_STORED_DTYPE_COUNT;
    if (dtype == BT_STORED_DTYPE_COUNT || (bfloat16 && dtype != BT_U16) || PyArray_NDIM(array) > BT_MAX_RANK ||
        !PyArray_ISBEHAVED_RO(array)) {
        PyErr_SetString(PyExc_TypeError, "the core takes aligned arrays of native numbers");
        return -1;
    }
    *tensor = (struct bt_tensor){
        .dtype = bfloat16 ? BT_BF16 : (enum bt_dtype)dtype, .rank = PyArray_NDIM(array), .data = PyArray_DATA(array)};
    const npy_intp item = (npy_intp)bt_dtype_size(tensor->dtype);
    for (int i = 0; i < tensor->rank; i++) {
        const npy_intp stride = PyArray_STRIDE(array, i);
        tensor->dims[i] = PyArray_DIM(array, i);
        if (tensor->dims[i] > 1 && (stride < 0 || stride % item != 0)) {
            PyErr_SetString(PyExc_ValueError, "the core takes arrays of whole, ascending strides");
            return -1;
        }
        tensor->strides[i] = tensor->dims[i] > 1 ? stride / item : 1;
    }
    return 0;
}

PyObject *bt_convert_weight(const struct bt_tensor *tensor, PyObject *owner)
{
    if (load_numpy() < 0) {
        return NULL;
    }
    npy_intp dims[BT_MAX_RANK], strides[BT_MAX_RANK];
    for (int i = 0; i < tensor->rank; i++) {
        dims[i] = (npy_intp)tensor->dims[i];
        strides[i] = (npy_intp)(tensor->strides[i] * (int64_t)bt_dtype_size(tensor->dtype));
    }
    PyObject *array = PyArray_New(&PyArray_Type, tensor->rank, dims, numpy_types[tensor->dtype], strides,
                                  (void *)tensor->data, 0, 0, NULL);
    if (!array) {
        return NULL;
    }
    PyArray_CLEARFLAGS((PyArrayObject *)array, NPY_ARRAY_WRITEABLE);
    Py_INCREF(owner);
    if (PyArray_SetBaseObject((PyArrayObject *)array, owner) < 0) {
        Py_CLEAR(array);
    }
    return array;
}
