/* pytree.c: tree specifications of torch.utils._pytree: parse them, name their types, nest values by them */
#include "load/pytree.h"

#include <inttypes.h>
#include <string.h>

#include "format/json.h"

static enum bertc_status bad_spec(struct bertc_error *err, const char *what)
{
    return bt_error_set(err, BERTC_FORMAT, "a tree specification is damaged: %s", what);
}

/* The keys of a container: its context, a JSON text, lists as many names as it has children. Dataclasses list their
 * fields first and those that are None after them, default dictionaries have the names inside. */
static const struct bt_json *find_keys(const struct bt_json *context, size_t count)
{
    const struct bt_json *inner = bt_json_get(context, "dict_context");
    const struct bt_json *list = inner ? inner : context;
    if (list->kind == BT_JSON_ARRAY && list->size == 2 && list->items[0].kind == BT_JSON_ARRAY) {
        list = &list->items[0];
    }
    if (list->kind != BT_JSON_ARRAY || list->size != count) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (list->items[i].kind != BT_JSON_STRING && list->items[i].kind != BT_JSON_INT) {
            return NULL;
        }
    }
    return list;
}

static enum bertc_status copy_keys(const struct bt_json *list, struct bt_arena *arena, struct bt_pytree *out,
                                   struct bertc_error *err)
{
    out->kind = BT_PYTREE_DICT;
    out->keys = bt_arena_alloc(arena, list->size, sizeof *out->keys);
    if (!out->keys) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < list->size; i++) {
        const struct bt_json *key = &list->items[i];
        out->keys[i] = key->kind == BT_JSON_STRING ? key->text : bt_arena_printf(arena, "%" PRId64, key->integer);
        if (!out->keys[i]) {
            return bt_error_memory(err);
        }
    }
    return BERTC_OK;
}

/* What kind of container a type is; `out` has its number of children. */
static enum bertc_status read_type(const struct bt_json *spec, const char *type, struct bt_arena *arena,
                                   struct bt_pytree *out, struct bertc_error *err)
{
    const char *text = bt_json_string(bt_json_get(spec, "context"));
    struct bt_json *context;
    if (!strcmp(type, "builtins.tuple") || !strcmp(type, "builtins.list") || !strcmp(type, "collections.deque")) {
        out->kind = strcmp(type, "builtins.tuple") == 0 ? BT_PYTREE_TUPLE : BT_PYTREE_LIST;
        return BERTC_OK;
    }
    if (!text) {
        return bad_spec(err, "a container has no context");
    }
    enum bertc_status status =
        bt_json_parse((struct bt_span){(const uint8_t *)text, strlen(text)}, arena, &context, err);
    if (status) {
        return status;
    }
    const struct bt_json *keys = find_keys(context, out->count);
    if (keys) {
        return copy_keys(keys, arena, out, err);
    }
    if (!strcmp(type, "builtins.dict") || !strcmp(type, "collections.OrderedDict")) {
        return bad_spec(err, "a dictionary's keys are not as many names as it has values");
    }
    out->kind = BT_PYTREE_TUPLE; /* a class of its own: its parts in order */
    return BERTC_OK;
}

/* JSON bounds the depth. */
static enum bertc_status read_spec(const struct bt_json *spec, struct bt_arena *arena, struct bt_pytree *out,
                                   size_t *leaves, struct bertc_error *err)
{
    const struct bt_json *type = bt_json_get(spec, "type"), *children = bt_json_get(spec, "children_spec");
    if (!type || !children || children->kind != BT_JSON_ARRAY) {
        return bad_spec(err, "it lacks type or children_spec");
    }
    *out = (struct bt_pytree){.kind = BT_PYTREE_LEAF};
    if (type->kind == BT_JSON_NULL) {
        out->leaf = (*leaves)++;
        return BERTC_OK;
    }
    if (type->kind != BT_JSON_STRING) {
        return bad_spec(err, "a type is no name");
    }
    out->count = children->size;
    out->items = bt_arena_alloc(arena, out->count, sizeof *out->items);
    if (!out->items) {
        return bt_error_memory(err);
    }
    enum bertc_status status = read_type(spec, type->text, arena, out, err);
    for (size_t i = 0; !status && i < out->count; i++) {
        status = read_spec(&children->items[i], arena, &out->items[i], leaves, err);
    }
    return status;
}

enum bertc_status bt_pytree_parse(const char *text, struct bt_arena *arena, struct bt_pytree *out, size_t *leaves,
                                  struct bertc_error *err)
{
    struct bt_json *root;
    enum bertc_status status = bt_json_parse((struct bt_span){(const uint8_t *)text, strlen(text)}, arena, &root, err);
    if (status) {
        return status;
    }
    if (root->kind != BT_JSON_ARRAY || root->size != 2) {
        return bad_spec(err, "it is not [version, tree]");
    }
    int64_t version;
    if (!bt_json_int(&root->items[0], &version) || version != 1) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "its tree specifications are not of version 1");
    }
    *leaves = 0;
    return read_spec(&root->items[1], arena, out, leaves, err);
}

const char *bt_pytree_type(const struct bt_pytree *tree, const char *const *leaf_types, struct bt_arena *arena)
{
    if (tree->kind == BT_PYTREE_LEAF) {
        return leaf_types[tree->leaf];
    }
    const char *all = "", *first = "Any";
    bool same = true;
    for (size_t i = 0; i < tree->count; i++) {
        const char *type = bt_pytree_type(&tree->items[i], leaf_types, arena);
        if (!type) {
            return NULL;
        }
        first = i == 0 ? type : first;
        same = same && !strcmp(type, first);
        all = bt_arena_printf(arena, "%s%s%s", all, i ? ", " : "", type);
        if (!all) {
            return NULL;
        }
    }
    if (tree->kind == BT_PYTREE_DICT) {
        return bt_arena_printf(arena, "Dict[str, %s]", same ? first : "Any");
    }
    return tree->kind == BT_PYTREE_LIST && same ? bt_arena_printf(arena, "List[%s]", first)
                                                : bt_arena_printf(arena, "Tuple[%s]", all);
}

enum bertc_status bt_pytree_value(struct bt_lower *l, const struct bt_pytree *tree, const struct bt_dyn *leaves,
                                  struct bt_dyn *out, struct bertc_error *err)
{
    static const enum bt_dyn_kind kinds[] = {
        [BT_PYTREE_TUPLE] = BT_DYN_TUPLE, [BT_PYTREE_LIST] = BT_DYN_LIST, [BT_PYTREE_DICT] = BT_DYN_DICT};
    if (tree->kind == BT_PYTREE_LEAF) {
        *out = leaves[tree->leaf];
        return BERTC_OK;
    }
    if (!bt_dyn_seq(l, kinds[tree->kind], NULL, 0, out)) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < tree->count; i++) {
        struct bt_dyn item;
        enum bertc_status status = bt_pytree_value(l, &tree->items[i], leaves, &item, err);
        if (status) {
            return status;
        }
        bool ok =
            tree->keys ? bt_dyn_dict_set(l, out, bt_dyn_string(tree->keys[i]), item) : bt_dyn_append(l, out, item);
        if (!ok) {
            return bt_error_memory(err);
        }
    }
    return BERTC_OK;
}
