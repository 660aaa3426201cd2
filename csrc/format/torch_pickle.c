/* torch_pickle.c: storages and tensors from a torch pickle's calls and persistent ids */
#include "format/torch_pickle.h"

#include <string.h>

static const struct {
    const char *name;
    enum bt_dtype dtype;
} storages[] = {
    {"torch FloatStorage", BT_F32},  {"torch DoubleStorage", BT_F64},    {"torch HalfStorage", BT_F16},
    {"torch LongStorage", BT_I64},   {"torch BFloat16Storage", BT_BF16}, {"torch IntStorage", BT_I32},
    {"torch ShortStorage", BT_I16},  {"torch CharStorage", BT_I8},       {"torch ByteStorage", BT_U8},
    {"torch BoolStorage", BT_BOOL},  {"torch QInt8Storage", BT_I8},      {"torch QUInt8Storage", BT_U8},
    {"torch QInt32Storage", BT_I32},
};

static bool find_storage(const char *name, enum bt_dtype *out)
{
    for (size_t i = 0; i < sizeof storages / sizeof storages[0]; i++) {
        if (strcmp(storages[i].name, name) == 0) {
            *out = storages[i].dtype;
            return true;
        }
    }
    return false;
}

static enum bertc_status bad_argument(const char *what, struct bertc_error *err)
{
    return bt_error_set(err, BERTC_FORMAT, "%s", what);
}

static enum bertc_status read_dims(const struct bt_pickle *size, const struct bt_pickle *stride, struct bt_tensor *out,
                                   struct bertc_error *err)
{
    if (size->kind != BT_PICKLE_TUPLE || stride->kind != BT_PICKLE_TUPLE || size->size != stride->size) {
        return bad_argument("a tensor's size and stride are not two tuples of the same length", err);
    }
    if (size->size > BT_MAX_RANK) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "a tensor of %zu dimensions; at most %d are supported", size->size,
                            BT_MAX_RANK);
    }
    out->rank = (int)size->size;
    for (int i = 0; i < out->rank; i++) {
        const struct bt_pickle *dim = size->items[i], *step = stride->items[i];
        if (dim->kind != BT_PICKLE_INT || step->kind != BT_PICKLE_INT || dim->integer < 0 || step->integer < 0) {
            return bad_argument("a tensor's sizes and strides are not all non-negative integers", err);
        }
        out->dims[i] = dim->integer;
        out->strides[i] = step->integer;
    }
    return BERTC_OK;
}

/* Every element must lie in the storage, and the number of bytes, as if no dimension were 0, must be an int64. */
static bool fits_storage(const struct bt_tensor *tensor, int64_t offset, int64_t numel)
{
    int64_t bytes = (int64_t)bt_dtype_size(tensor->dtype), last = offset;
    bool empty = false;
    for (int i = 0; i < tensor->rank; i++) {
        int64_t dim = tensor->dims[i], reach;
        empty = empty || dim == 0;
        if (!bt_mul_i64(bytes, dim > 0 ? dim : 1, &bytes)) {
            return false;
        }
        if (!bt_mul_i64(dim > 0 ? dim - 1 : 0, tensor->strides[i], &reach) || !bt_add_i64(last, reach, &last)) {
            return false;
        }
    }
    return offset >= 0 && (empty ? offset <= numel : last < numel);
}

enum bertc_status bt_torch_pickle_view(const struct bt_storage *storage, int64_t offset, struct bt_tensor *tensor,
                                       struct bertc_error *err)
{
    tensor->dtype = storage->dtype;
    if (!fits_storage(tensor, offset, storage->numel)) {
        return bt_error_set(err, BERTC_FORMAT, "a tensor at offset %lld reaches beyond its storage of %lld elements",
                            (long long)offset, (long long)storage->numel);
    }
    tensor->data = storage->bytes.data;
    if (tensor->data) {
        tensor->data = storage->bytes.data + (size_t)offset * bt_dtype_size(tensor->dtype);
    }
    return BERTC_OK;
}

/* torch._utils._rebuild_tensor(storage, offset, size, stride); the later ones only add arguments. */
static enum bertc_status rebuild_tensor(const struct bt_pickle *args, struct bt_pickle **value, struct bertc_error *err)
{
    const struct bt_pickle *source = args->items[0], *offset = args->items[1];
    if (source->kind != BT_PICKLE_STORAGE || offset->kind != BT_PICKLE_INT) {
        return bad_argument("a tensor is not made from a storage and an offset", err);
    }
    struct bt_tensor tensor = {0};
    enum bertc_status status;
    if ((status = read_dims(args->items[2], args->items[3], &tensor, err)) ||
        (status = bt_torch_pickle_view(&source->storage, offset->integer, &tensor, err))) {
        return status;
    }
    (*value)->kind = BT_PICKLE_TENSOR;
    (*value)->tensor = tensor;
    return BERTC_OK;
}

/* (per_tensor_affine, scale, zero_point) */
static enum bertc_status read_tensor_scheme(const struct bt_pickle *scheme, struct bt_pickle *value,
                                            struct bertc_error *err)
{
    if (scheme->size != 3 || scheme->items[1]->kind != BT_PICKLE_FLOAT || scheme->items[2]->kind != BT_PICKLE_INT) {
        return bad_argument("a quantized tensor's scheme is not (per_tensor_affine, scale, zero_point)", err);
    }
    value->tensor.scale = scheme->items[1]->number;
    value->tensor.zero_point = scheme->items[2]->integer;
    return BERTC_OK;
}

static bool is_row(const struct bt_pickle *p, enum bt_dtype dtype, int64_t size)
{
    return p->kind == BT_PICKLE_TENSOR && p->tensor.dtype == dtype && p->tensor.rank == 1 && p->tensor.dims[0] == size;
}

/* (per_channel_affine, scales, zero_points, axis): the first axis, around 0, as weights are */
static enum bertc_status read_channel_scheme(const struct bt_pickle *scheme, struct bt_pickle *value,
                                             struct bertc_error *err)
{
    const int64_t channels = value->tensor.rank > 0 ? value->tensor.dims[0] : -1;
    if (scheme->size != 4 || !is_row(scheme->items[1], BT_F64, channels) ||
        !is_row(scheme->items[2], BT_I64, channels) || scheme->items[3]->kind != BT_PICKLE_INT) {
        return bad_argument("a quantized tensor's scheme is not (per_channel_affine, scales, zero_points, axis)", err);
    }
    const struct bt_tensor *zeros = &scheme->items[2]->tensor;
    bool centred = scheme->items[3]->integer == 0;
    for (int64_t i = 0; i < channels && zeros->data && centred; i++) {
        centred = ((const int64_t *)zeros->data)[i * zeros->strides[0]] == 0;
    }
    if (!centred) {
        return bt_error_set(err, BERTC_UNSUPPORTED,
                            "a tensor quantized per channel along another axis than the first, or not around 0");
    }
    value->tensor.scale = 1;
    value->items = scheme->items + 1;
    value->size = 1;
    return BERTC_OK;
}

/* torch._utils._rebuild_qtensor(storage, offset, size, stride, scheme, requires_grad, hooks) */
static enum bertc_status rebuild_qtensor(const struct bt_pickle *args, struct bt_pickle **value,
                                         struct bertc_error *err)
{
    const struct bt_pickle *scheme = args->items[4];
    if (scheme->kind != BT_PICKLE_TUPLE || scheme->size == 0 || scheme->items[0]->kind != BT_PICKLE_GLOBAL) {
        return bad_argument("a quantized tensor has no scheme", err);
    }
    enum bertc_status status = rebuild_tensor(args, value, err);
    if (status != BERTC_OK) {
        return status;
    }
    (*value)->tensor.quantized = true;
    if (strcmp(scheme->items[0]->text, "torch per_tensor_affine") == 0) {
        return read_tensor_scheme(scheme, *value, err);
    }
    if (strcmp(scheme->items[0]->text, "torch per_channel_affine") == 0) {
        return read_channel_scheme(scheme, *value, err);
    }
    return bt_error_set(err, BERTC_UNSUPPORTED,
                        "a tensor quantized by \"%.100s\"; only per_tensor_affine and per_channel_affine are supported",
                        scheme->items[0]->text);
}

/* torch._utils._rebuild_parameter(data, requires_grad, hooks) */
static enum bertc_status rebuild_parameter(const struct bt_pickle *args, struct bt_pickle **value,
                                           struct bertc_error *err)
{
    if (args->items[0]->kind != BT_PICKLE_TENSOR) {
        return bad_argument("a parameter is not made from a tensor", err);
    }
    *value = args->items[0];
    return BERTC_OK;
}

static enum bertc_status build_list(const struct bt_pickle *args, struct bt_pickle **value, struct bertc_error *err)
{
    if (args->items[0]->kind != BT_PICKLE_LIST) {
        return bad_argument("a typed list is not made from a list", err);
    }
    *value = args->items[0];
    return BERTC_OK;
}

/* torch.jit._pickle.restore_type_tag(value, type) */
static enum bertc_status restore_type_tag(const struct bt_pickle *args, struct bt_pickle **value,
                                          struct bertc_error *err)
{
    (void)err;
    *value = args->items[0];
    return BERTC_OK;
}

static enum bertc_status ordered_dict(const struct bt_pickle *args, struct bt_pickle **value, struct bertc_error *err)
{
    (void)args;
    (void)err;
    (*value)->kind = BT_PICKLE_DICT;
    return BERTC_OK;
}

static const struct callable {
    const char *name;
    size_t min_args, max_args;
    enum bertc_status (*call)(const struct bt_pickle *args, struct bt_pickle **value, struct bertc_error *err);
} callables[] = {
    {"collections OrderedDict", 0, 0, ordered_dict},
    {"torch._utils _rebuild_tensor", 4, 4, rebuild_tensor},
    {"torch._utils _rebuild_tensor_v2", 6, 7, rebuild_tensor},
    {"torch._utils _rebuild_qtensor", 7, 7, rebuild_qtensor},
    {"torch._utils _rebuild_parameter", 3, 3, rebuild_parameter},
    {"torch.jit._pickle build_intlist", 1, 1, build_list},
    {"torch.jit._pickle build_tensorlist", 1, 1, build_list},
    {"torch.jit._pickle build_boollist", 1, 1, build_list},
    {"torch.jit._pickle build_doublelist", 1, 1, build_list},
    {"torch.jit._pickle restore_type_tag", 2, 2, restore_type_tag},
};

static const struct callable *find_callable(const char *name)
{
    for (size_t i = 0; i < sizeof callables / sizeof callables[0]; i++) {
        if (strcmp(callables[i].name, name) == 0) {
            return &callables[i];
        }
    }
    return NULL;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool bt_torch_pickle_is_class(const char *name)
{
    return starts_with(name, "__torch__ ") || starts_with(name, "__torch__.");
}

enum bertc_status bt_torch_pickle_check(const char *name, struct bertc_error *err)
{
    enum bt_dtype dtype;
    if (bt_torch_pickle_is_class(name) || find_callable(name) || find_storage(name, &dtype) ||
        strcmp(name, "torch per_tensor_affine") == 0 || strcmp(name, "torch per_channel_affine") == 0) {
        return BERTC_OK;
    }
    if (starts_with(name, "transformers.") || starts_with(name, "torch.nn.")) {
        return bt_error_set(err, BERTC_UNSUPPORTED,
                            "a pickled module (\"%.200s\") cannot run without its Python code: save the model with "
                            "torch.jit.trace, or its weights with torch.save(model.state_dict(), path)",
                            name);
    }
    return bt_error_set(err, BERTC_UNSUPPORTED, "it refers to \"%.200s\", which model files have no need of", name);
}

enum bertc_status bt_torch_pickle_call(const char *name, const struct bt_pickle *args, struct bt_pickle **value,
                                       struct bertc_error *err)
{
    const struct callable *callable = find_callable(name);
    if (!callable) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "it calls \"%.200s\", which is no function", name);
    }
    if (args->size < callable->min_args || args->size > callable->max_args) {
        return bt_error_set(err, BERTC_FORMAT, "it calls \"%s\" with %zu arguments instead of %zu", name, args->size,
                            callable->min_args);
    }
    return callable->call(args, value, err);
}

enum bertc_status bt_torch_pickle_storage(const struct bt_pickle *id, const struct bt_pickle_options *options,
                                          struct bt_pickle *value, struct bertc_error *err)
{
    if (!options->storage) {
        return bt_error_set(err, BERTC_FORMAT, "it refers to a storage, which this file has none of");
    }
    if (id->kind != BT_PICKLE_TUPLE || id->size < 5 || id->size > 6 || id->items[0]->kind != BT_PICKLE_STRING ||
        strcmp(id->items[0]->text, "storage") != 0 || id->items[1]->kind != BT_PICKLE_GLOBAL ||
        id->items[2]->kind != BT_PICKLE_STRING || id->items[4]->kind != BT_PICKLE_INT) {
        return bad_argument("a persistent id is not ('storage', class, key, location, numel)", err);
    }
    if (id->size == 6 && id->items[5]->kind != BT_PICKLE_NONE) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "storage \"%.100s\" is a view of another one", id->items[2]->text);
    }
    struct bt_storage storage = {.numel = id->items[4]->integer};
    int64_t bytes;
    if (!find_storage(id->items[1]->text, &storage.dtype)) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "\"%.100s\" is no storage class", id->items[1]->text);
    }
    if (storage.numel < 0 || !bt_mul_i64(storage.numel, (int64_t)bt_dtype_size(storage.dtype), &bytes)) {
        return bt_error_set(err, BERTC_FORMAT, "storage \"%.100s\" claims %lld elements", id->items[2]->text,
                            (long long)storage.numel);
    }
    enum bertc_status status =
        options->storage(options->context, id->items[2]->text, storage.dtype, storage.numel, &storage.bytes, err);
    if (status != BERTC_OK) {
        return status;
    }
    if (storage.bytes.size < (uint64_t)bytes) {
        return bt_error_set(err, BERTC_FORMAT, "storage \"%.100s\" has %zu bytes, its %lld %s elements take %lld",
                            id->items[2]->text, storage.bytes.size, (long long)storage.numel,
                            bt_dtype_name(storage.dtype), (long long)bytes);
    }
    value->kind = BT_PICKLE_STORAGE;
    value->storage = storage;
    return BERTC_OK;
}
