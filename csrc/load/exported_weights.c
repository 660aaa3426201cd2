/* exported_weights.c: weights and constants of a torch.export archive, in each of the ways torch has written them */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "format/base64.h"
#include "format/torch_pickle.h"
#include "load/exported.h"

#define MAX_MEMBER 512

const struct bt_json *bt_exported_union(const struct bt_json *value, const char **tag)
{
    for (size_t i = 0; value && value->kind == BT_JSON_OBJECT && i < value->size; i++) {
        if (value->items[i].kind != BT_JSON_NULL) {
            *tag = value->keys[i];
            return &value->items[i];
        }
    }
    return NULL;
}

int64_t bt_exported_dtype(int64_t code)
{
    enum { BOOL = 12, BFLOAT16 = 13, ATEN_BFLOAT16 = 15 };
    return code == BFLOAT16 ? ATEN_BFLOAT16 : code >= 1 && code <= BOOL ? code - 1 : -1;
}

bool bt_exported_find_weight(const struct bt_exported *e, const char *name, size_t *out)
{
    return bt_map_get(&e->weights.names, name, strlen(name), out);
}

void bt_exported_close(struct bt_exported *e)
{
    for (size_t i = 0; i < e->weights.nested_count; i++) {
        bt_archive_close(e->weights.nested[i]);
    }
}

static enum bertc_status add_tensor(struct bt_exported *e, const char *name, enum bt_exported_role role,
                                    const struct bt_tensor *tensor, struct bertc_error *err)
{
    struct bt_exported_weights *w = &e->weights;
    size_t index;
    if (bt_exported_find_weight(e, name, &index)) {
        return BERTC_OK; /* a persistent buffer that the constants repeat */
    }
    if (!bt_arena_reserve(e->arena, &w->items, &w->cap, w->count + 1, sizeof *w->items) ||
        !bt_map_put(&w->names, e->arena, name, strlen(name), w->count)) {
        return bt_error_memory(err);
    }
    struct bt_exported_tensor *item = &w->items[w->count];
    const void **place = bt_arena_copy(e->arena, &tensor->data, sizeof tensor->data);
    *item = (struct bt_exported_tensor){name, role, *tensor};
    if (!place || (!bt_map_get(&w->places, place, sizeof *place, &index) &&
                   !bt_map_put(&w->places, e->arena, place, sizeof *place, w->count))) {
        return bt_error_memory(err);
    }
    w->count++;
    return BERTC_OK;
}

/* The value in what torch.save wrote: an archive of its own. */
static enum bertc_status read_saved(struct bt_exported *e, struct bt_span bytes, struct bt_pickle **out,
                                    struct bertc_error *err)
{
    struct bt_exported_weights *w = &e->weights;
    struct bt_archive *archive = bt_arena_alloc(e->arena, 1, sizeof *archive);
    if (!archive || !bt_arena_reserve(e->arena, &w->nested, &w->nested_cap, w->nested_count + 1, sizeof *w->nested)) {
        return bt_error_memory(err);
    }
    w->nested[w->nested_count++] = archive;
    enum bertc_status status = bt_archive_open(bytes, e->arena, archive, err);
    return status ? status : bt_archive_pickle(archive, "data", out, err);
}

/* A dictionary of tensors by torch.save. Custom objects among the constants are left out: a graph that needs one says
 * so. */
static enum bertc_status read_dict(struct bt_exported *e, struct bt_span bytes, enum bt_exported_role role,
                                   struct bertc_error *err)
{
    struct bt_pickle *dict;
    if (bytes.size == 0) {
        return BERTC_OK;
    }
    enum bertc_status status = read_saved(e, bytes, &dict, err);
    if (status) {
        return status;
    }
    if (dict->kind != BT_PICKLE_DICT) {
        return bt_error_set(err, BERTC_FORMAT, "it holds no dictionary of tensors");
    }
    for (size_t i = 0; !status && i + 1 < dict->size; i += 2) {
        const struct bt_pickle *key = dict->items[i], *value = dict->items[i + 1];
        if (key->kind == BT_PICKLE_STRING && value->kind == BT_PICKLE_TENSOR) {
            status = add_tensor(e, key->text, role, &value->tensor, err);
        }
    }
    return status;
}

/* An integer that is written plainly or as {"as_int": 3}. */
static bool read_int(const struct bt_json *value, int64_t *out)
{
    const char *tag;
    const struct bt_json *inner = bt_exported_union(value, &tag);
    return bt_json_int(inner ? inner : value, out) && *out >= 0;
}

static bool read_ints(const struct bt_json *list, int rank, int64_t *out)
{
    for (int i = 0; i < rank; i++) {
        if (!read_int(&list->items[i], &out[i])) {
            return false;
        }
    }
    return true;
}

/* A tensor whose storage is a member, by its entry in a payload configuration. */
static enum bertc_status read_raw(struct bt_archive *archive, const char *member, const struct bt_json *meta,
                                  struct bt_tensor *out, struct bertc_error *err)
{
    const struct bt_json *sizes = bt_json_get(meta, "sizes"), *strides = bt_json_get(meta, "strides");
    const struct bt_json *start = bt_json_get(meta, "storage_offset");
    int64_t code, offset = 0;
    *out = (struct bt_tensor){0};
    if (!sizes || !strides || sizes->kind != BT_JSON_ARRAY || strides->kind != BT_JSON_ARRAY ||
        sizes->size != strides->size || !bt_json_int(bt_json_get(meta, "dtype"), &code) ||
        (start && !read_int(start, &offset))) {
        return bt_error_set(err, BERTC_FORMAT, "its tensor_meta lacks dtype, sizes or strides");
    }
    if (sizes->size > BT_MAX_RANK) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "a tensor of %zu dimensions; at most %d are supported", sizes->size,
                            BT_MAX_RANK);
    }
    out->rank = (int)sizes->size;
    if (!read_ints(sizes, out->rank, out->dims) || !read_ints(strides, out->rank, out->strides)) {
        return bt_error_set(err, BERTC_FORMAT, "its sizes and strides are not all non-negative integers");
    }
    struct bt_storage storage;
    if (!bt_dtype_from_aten(bt_exported_dtype(code), &storage.dtype)) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "dtype code %" PRId64 " of torch.export is not supported", code);
    }
    enum bertc_status status = bt_archive_storage(archive, member, bt_dtype_size(storage.dtype), &storage.bytes, err);
    storage.numel = (int64_t)(storage.bytes.size / bt_dtype_size(storage.dtype));
    return status ? status : bt_torch_pickle_view(&storage, offset, out, err);
}

static enum bertc_status read_payload(struct bt_exported *e, struct bt_archive *archive, const char *folder,
                                      const struct bt_json *entry, struct bt_tensor *out, struct bertc_error *err)
{
    const char *path = bt_json_string(bt_json_get(entry, "path_name"));
    const struct bt_json *pickled = bt_json_get(entry, "use_pickle");
    char member[MAX_MEMBER];
    if (!path || (size_t)snprintf(member, sizeof member, "%s%s", folder, path) >= sizeof member) {
        return bt_error_set(err, BERTC_FORMAT, "it has no path_name");
    }
    if (!pickled || !pickled->boolean) {
        return read_raw(archive, member, bt_json_get(entry, "tensor_meta"), out, err);
    }
    struct bt_span bytes;
    struct bt_pickle *value;
    enum bertc_status status;
    if ((status = bt_archive_read(archive, member, &bytes, err)) || (status = read_saved(e, bytes, &value, err))) {
        return status;
    }
    if (value->kind != BT_PICKLE_TENSOR) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "the member '%s' holds no plain tensor", member);
    }
    *out = value->tensor;
    return BERTC_OK;
}

/* {"config": {dotted name: {"path_name": "weight_0", "use_pickle": false, "tensor_meta": ...}}}; objects of custom
 * classes, "custom_obj_0", are left out. */
static enum bertc_status read_config(struct bt_exported *e, struct bt_archive *archive, const char *folder,
                                     struct bt_span text, enum bt_exported_role role, struct bertc_error *err)
{
    struct bt_json *root;
    enum bertc_status status = bt_json_parse(text, e->arena, &root, err);
    const struct bt_json *config = status ? NULL : bt_json_get(root, "config");
    if (!status && (!config || config->kind != BT_JSON_OBJECT)) {
        return bt_error_set(err, BERTC_FORMAT, "it has no object 'config'");
    }
    for (size_t i = 0; !status && i < config->size; i++) {
        const char *path = bt_json_string(bt_json_get(&config->items[i], "path_name"));
        struct bt_tensor tensor;
        if (path && (!strncmp(path, "custom_obj_", 11) || !strncmp(path, "opaque_obj_", 11))) {
            continue;
        }
        if (!(status = read_payload(e, archive, folder, &config->items[i], &tensor, err))) {
            status = add_tensor(e, config->keys[i], role, &tensor, err);
        } else if (status != BERTC_MEMORY) {
            return bt_error_prefix(err, "'%.200s'", config->keys[i]);
        }
    }
    return status;
}

/* The constants that the graphs of torch 2.1 hold: torch.save's archives in base64. */
static enum bertc_status read_inline(struct bt_exported *e, struct bertc_error *err)
{
    const struct bt_json *constants = bt_json_get(e->graph, "constants");
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; constants && constants->kind == BT_JSON_OBJECT && !status && i < constants->size; i++) {
        const struct bt_json *text = &constants->items[i];
        struct bt_span bytes;
        struct bt_pickle *value;
        bool memory = false;
        if (text->kind != BT_JSON_STRING || !bt_base64_decode(text->text, text->size, e->arena, &bytes, &memory)) {
            return memory ? bt_error_memory(err)
                          : bt_error_set(err, BERTC_FORMAT, "%s: the constant '%.200s' is not base64", e->member,
                                         constants->keys[i]);
        }
        if (!(status = read_saved(e, bytes, &value, err)) && value->kind == BT_PICKLE_TENSOR) {
            status = add_tensor(e, constants->keys[i], BT_EXPORTED_CONSTANT, &value->tensor, err);
        } else if (status && status != BERTC_MEMORY) {
            return bt_error_prefix(err, "%s: the constant '%.200s'", e->member, constants->keys[i]);
        }
    }
    return status;
}

/* One of the places where torch keeps weights or constants; *found tells whether the archive has it. */
struct place {
    const char *format;             /* of the member's name, with the model's */
    const char *folder;             /* of a configuration's payloads; NULL: a dictionary by torch.save */
    enum bt_exported_role role;
};

static enum bertc_status read_place(struct bt_exported *e, struct bt_archive *archive, const struct place *place,
                                    const char *model, bool *found, struct bertc_error *err)
{
    struct bt_span bytes;
    const char *at = strchr(place->format, '*');
    char *member = at ? bt_arena_printf(e->arena, "%.*s%s%s", (int)(at - place->format), place->format, model, at + 1)
                      : bt_arena_printf(e->arena, "%s", place->format);
    if (!member) {
        return bt_error_memory(err);
    }
    if (!bt_archive_has(archive, member)) {
        return BERTC_OK;
    }
    *found = true;
    enum bertc_status status = bt_archive_read(archive, member, &bytes, err);
    if (!status) {
        status = place->folder ? read_config(e, archive, place->folder, bytes, place->role, err)
                               : read_dict(e, bytes, place->role, err);
    }
    return status && status != BERTC_MEMORY ? bt_error_prefix(err, "%s", member) : status;
}

enum bertc_status bt_exported_read_weights(struct bt_exported *e, struct bt_archive *archive, const char *model,
                                           struct bertc_error *err)
{
    static const struct place packaged[] = {
        {"data/weights/*.pt", NULL, BT_EXPORTED_PARAMETER}, /* torch 2.8 */
        {"data/weights/*_weights_config.json", "data/weights/", BT_EXPORTED_PARAMETER},
        {"data/constants/*.pt", NULL, BT_EXPORTED_CONSTANT},
        {"data/constants/*_constants_config.json", "data/constants/", BT_EXPORTED_CONSTANT},
    };
    static const struct place flat[] = {
        {"serialized_state_dict.json", NULL, BT_EXPORTED_PARAMETER}, /* torch 2.1, and no JSON */
        {"serialized_state_dict.pt", NULL, BT_EXPORTED_PARAMETER},
        {"serialized_constants.json", NULL, BT_EXPORTED_CONSTANT},
        {"serialized_constants.pt", NULL, BT_EXPORTED_CONSTANT},
    };
    const struct place *places = *model ? packaged : flat;
    bool found = false;
    enum bertc_status status = BERTC_OK;
    for (int i = 0; !status && i < 4; i++) {
        status = read_place(e, archive, &places[i], model, &found, err);
    }
    if (!status && !found) {
        return bt_error_set(err, BERTC_FORMAT, "the archive has no member '%s', nor weights in another form",
                            *model ? "data/weights/model_weights_config.json" : "serialized_state_dict.pt");
    }
    return status ? status : read_inline(e, err);
}
