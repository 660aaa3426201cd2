/* legacy.c: archives of torch 1.0 to 1.2: model.json (ModelDef of caffe2/proto/torch.proto) -> objects and classes */
#include "load/legacy.h"

#include <string.h>

#include "format/json.h"
#include "format/torch_pickle.h"

struct reader {
    struct bt_archive *archive;
    struct bt_script *script;
    struct bt_pickle **tensors; /* the table that modules and code refer to */
    size_t tensor_count;
    const struct bt_pickle *attributes; /* values of attributes.pkl, or NULL */
    int modules;
};

static struct bt_pickle *new_value(struct reader *r, enum bt_pickle_kind kind, size_t items)
{
    struct bt_pickle *p = bt_arena_alloc(r->script->arena, 1, sizeof *p);
    if (p) {
        p->kind = kind;
        p->size = items;
        p->items = bt_arena_alloc(r->script->arena, items, sizeof *p->items);
    }
    return p && p->items ? p : NULL;
}

/* An integer of protobuf-JSON, where 0 may be left out. */
static bool read_int(const struct bt_json *object, const char *key, int64_t *out)
{
    const struct bt_json *value = bt_json_get(object, key);
    *out = 0;
    return !value || bt_json_int(value, out);
}

static enum bertc_status bad_json(struct bertc_error *err, const char *what)
{
    return bt_error_set(err, BERTC_FORMAT, "model.json: %s", what);
}

/* A list of integers as a tuple. */
static enum bertc_status read_ints(struct reader *r, const struct bt_json *list, struct bt_pickle **out,
                                   struct bertc_error *err)
{
    size_t count = list ? list->size : 0;
    if (list && list->kind != BT_JSON_ARRAY) {
        return bad_json(err, "a tensor's dims or strides are no list");
    }
    if (!(*out = new_value(r, BT_PICKLE_TUPLE, count))) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        struct bt_pickle *item = (*out)->items[i] = new_value(r, BT_PICKLE_INT, 0);
        if (!item) {
            return bt_error_memory(err);
        }
        if (!bt_json_int(&list->items[i], &item->integer)) {
            return bad_json(err, "a tensor's dims or strides are not integers");
        }
    }
    return BERTC_OK;
}

static enum bertc_status read_storage(struct reader *r, const struct bt_json *tensor, struct bt_pickle **out,
                                      struct bertc_error *err)
{
    static const struct {
        const char *name;
        enum bt_dtype dtype;
    } types[] = {{"FLOAT", BT_F32}, {"DOUBLE", BT_F64}, {"FLOAT16", BT_F16}, {"INT64", BT_I64}, {"INT32", BT_I32},
                 {"INT16", BT_I16}, {"INT8", BT_I8},    {"UINT8", BT_U8},    {"BYTE", BT_U8},   {"BOOL", BT_BOOL}};
    const char *type = bt_json_string(bt_json_get(tensor, "dataType"));
    const char *key = bt_json_string(bt_json_get(bt_json_get(tensor, "data"), "key"));
    if (!type || !key) {
        return bad_json(err, "a tensor lacks its dataType or data.key");
    }
    size_t i = 0;
    while (i < sizeof types / sizeof types[0] && strcmp(types[i].name, type) != 0) {
        i++;
    }
    if (i == sizeof types / sizeof types[0]) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "model.json: tensors of type '%.60s' are not supported", type);
    }
    if (!(*out = new_value(r, BT_PICKLE_STORAGE, 0))) {
        return bt_error_memory(err);
    }
    struct bt_storage *storage = &(*out)->storage;
    storage->dtype = types[i].dtype;
    enum bertc_status status = bt_archive_storage(r->archive, key, bt_dtype_size(storage->dtype), &storage->bytes, err);
    storage->numel = (int64_t)(storage->bytes.size / bt_dtype_size(storage->dtype));
    return status;
}

static enum bertc_status read_tensor(struct reader *r, const struct bt_json *tensor, struct bt_pickle **out,
                                     struct bertc_error *err)
{
    struct bt_pickle *args = new_value(r, BT_PICKLE_TUPLE, 4), *offset = new_value(r, BT_PICKLE_INT, 0);
    enum bertc_status status;
    if (!args || !offset || !(*out = new_value(r, BT_PICKLE_TENSOR, 0))) {
        return bt_error_memory(err);
    }
    if (!read_int(tensor, "offset", &offset->integer)) {
        return bad_json(err, "a tensor's offset is no integer");
    }
    args->items[1] = offset;
    if ((status = read_storage(r, tensor, &args->items[0], err)) ||
        (status = read_ints(r, bt_json_get(tensor, "dims"), &args->items[2], err)) ||
        (status = read_ints(r, bt_json_get(tensor, "strides"), &args->items[3], err))) {
        return status;
    }
    return bt_torch_pickle_call("torch._utils _rebuild_tensor", args, out, err);
}

static enum bertc_status read_tensors(struct reader *r, const struct bt_json *list, struct bertc_error *err)
{
    size_t count = list && list->kind == BT_JSON_ARRAY ? list->size : 0;
    struct bt_pickle *all = new_value(r, BT_PICKLE_TUPLE, count);
    if (!all) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        enum bertc_status status = read_tensor(r, &list->items[i], &all->items[i], err);
        if (status) {
            return status == BERTC_MEMORY ? status : bt_error_prefix(err, "model.json: tensor %zu", i);
        }
    }
    r->tensors = all->items;
    r->tensor_count = count;
    r->script->constants = all;
    return BERTC_OK;
}

/* The class of a module: methods from the code that it names, the parameters among its tensors. */
static enum bertc_status make_class(struct reader *r, const struct bt_json *module, struct bt_ts_expr *parameters,
                                    const char **name, struct bertc_error *err)
{
    struct bt_ts_class *type = bt_arena_alloc(r->script->arena, 1, sizeof *type);
    *name = bt_arena_printf(r->script->arena, "module %d", r->modules++);
    if (!type || !*name) {
        return bt_error_memory(err);
    }
    type->name = *name;
    type->base = "Module";
    type->parameters = parameters;
    const char *key = bt_json_string(bt_json_get(bt_json_get(module, "torchscriptArena"), "key"));
    const struct bt_ts_file *file = key ? bt_script_file(r->script, key) : NULL;
    if (key && !file) {
        return bt_error_set(err, BERTC_FORMAT, "the archive has no member '%.200s', which model.json names", key);
    }
    if (file) {
        type->methods = file->functions;
        type->method_count = file->function_count;
    }
    for (size_t i = 0; i < type->method_count; i++) {
        enum bertc_status status = bt_legacy_free_length(type->methods[i], r->script->arena, err);
        if (status) {
            return status;
        }
    }
    return bt_script_add_class(r->script, *name, file, type, err);
}

static enum bertc_status read_module(struct reader *r, const struct bt_json *module, struct bt_pickle **out,
                                     struct bertc_error *err);

static enum bertc_status parameter_value(struct reader *r, const struct bt_json *entry, struct bt_pickle **out,
                                         struct bertc_error *err)
{
    int64_t id;
    if (!read_int(entry, "tensorId", &id) || id < 0 || (uint64_t)id >= r->tensor_count) {
        return bad_json(err, "a parameter's tensorId is not in the table of tensors");
    }
    *out = r->tensors[id];
    return BERTC_OK;
}

static enum bertc_status attribute_value(struct reader *r, const struct bt_json *entry, struct bt_pickle **out,
                                         struct bertc_error *err)
{
    int64_t id;
    if (!read_int(entry, "id", &id) || id < 0 || !r->attributes || (uint64_t)id >= r->attributes->size) {
        return bad_json(err, "an attribute's id is not in attributes.pkl");
    }
    *out = r->attributes->items[id];
    return BERTC_OK;
}

/* Names of a module's tensors that are no buffers, as a class's __parameters__. */
static enum bertc_status parameter_names(struct reader *r, const struct bt_json *list, struct bt_ts_expr **out,
                                         struct bertc_error *err)
{
    size_t count = list ? list->size : 0;
    struct bt_ts_expr *names = bt_arena_alloc(r->script->arena, count + 1, sizeof *names);
    if (!names || !(names->args = bt_arena_alloc(r->script->arena, count, sizeof *names->args))) {
        return bt_error_memory(err);
    }
    names->kind = BT_TS_LIST;
    for (size_t i = 0; i < count; i++) {
        const struct bt_json *buffer = bt_json_get(&list->items[i], "isBuffer");
        struct bt_ts_expr *name = &names[i + 1];
        if (buffer && buffer->kind == BT_JSON_BOOL && buffer->boolean) {
            continue;
        }
        name->kind = BT_TS_STRING;
        name->text = bt_json_string(bt_json_get(&list->items[i], "name"));
        if (name->text) {
            names->args[names->count++] = name;
        }
    }
    *out = names;
    return BERTC_OK;
}

static enum bertc_status read_module(struct reader *r, const struct bt_json *module, struct bt_pickle **out,
                                     struct bertc_error *err)
{
    static const struct {
        const char *key;
        enum bertc_status (*value)(struct reader *r, const struct bt_json *entry, struct bt_pickle **out,
                                   struct bertc_error *err);
    } lists[] = {{"parameters", parameter_value}, {"attributes", attribute_value}, {"submodules", read_module}};

    const struct bt_json *entries[3];
    size_t count = 0;
    for (int k = 0; k < 3; k++) {
        entries[k] = bt_json_get(module, lists[k].key);
        if (entries[k] && entries[k]->kind != BT_JSON_ARRAY) {
            return bad_json(err, "a module's parameters, attributes or submodules are no list");
        }
        count += entries[k] ? entries[k]->size : 0;
    }
    struct bt_pickle *object = new_value(r, BT_PICKLE_OBJECT, 1), *state = new_value(r, BT_PICKLE_DICT, 2 * count);
    if (!object || !state) {
        return bt_error_memory(err);
    }
    object->items[0] = state;
    struct bt_ts_expr *parameters = NULL;
    enum bertc_status status;
    if ((status = parameter_names(r, entries[0], &parameters, err)) ||
        (status = make_class(r, module, parameters, &object->text, err))) {
        return status;
    }
    struct bt_pickle **next = state->items;
    for (int k = 0; k < 3; k++) {
        for (size_t i = 0; entries[k] && i < entries[k]->size; i++) {
            const struct bt_json *entry = &entries[k]->items[i];
            struct bt_pickle *key = *next++ = new_value(r, BT_PICKLE_STRING, 0);
            if (!key) {
                return bt_error_memory(err);
            }
            key->text = bt_json_string(bt_json_get(entry, "name"));
            if (!key->text) {
                return bad_json(err, "a parameter, attribute or submodule has no name");
            }
            key->size = strlen(key->text);
            if ((status = lists[k].value(r, entry, next++, err))) {
                return status;
            }
        }
    }
    *out = object;
    return BERTC_OK;
}

enum bertc_status bt_legacy_read(struct bt_archive *archive, struct bt_script *script, struct bertc_error *err)
{
    struct reader r = {.archive = archive, .script = script};
    struct bt_span text;
    struct bt_json *model;
    struct bt_pickle *attributes, *root;
    enum bertc_status status;
    if ((status = bt_archive_read(archive, "model.json", &text, err))) {
        return status;
    }
    if ((status = bt_json_parse(text, script->arena, &model, err))) {
        return bt_error_prefix(err, "model.json");
    }
    if (bt_archive_has(archive, "attributes.pkl")) {
        if ((status = bt_archive_pickle(archive, "attributes", &attributes, err))) {
            return status;
        }
        r.attributes = attributes;
    }
    const struct bt_json *module = bt_json_get(model, "mainModule");
    if (!module) {
        return bad_json(err, "it has no mainModule");
    }
    if ((status = read_tensors(&r, bt_json_get(model, "tensors"), err)) ||
        (status = read_module(&r, module, &root, err))) {
        return status;
    }
    script->root = root;
    return BERTC_OK;
}
