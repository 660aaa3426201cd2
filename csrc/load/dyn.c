/* dyn.c: dynamic values: makers, dictionaries, and conversion from pickles and to and from trees */
#include "load/dyn.h"

#include <inttypes.h>
#include <string.h>

/* Containers in files and in code nest a few levels; a list that contains itself would nest for ever. */
#define MAX_DEPTH 64

struct bt_dyn bt_dyn_none(void)
{
    return (struct bt_dyn){.kind = BT_DYN_NONE, .scalar = BT_NO_EXPR};
}

struct bt_dyn bt_dyn_scalar(bt_expr e)
{
    return (struct bt_dyn){.kind = BT_DYN_SCALAR, .scalar = e};
}

struct bt_dyn bt_dyn_string(const char *text)
{
    return (struct bt_dyn){.kind = BT_DYN_STRING, .scalar = BT_NO_EXPR, .text = text};
}

struct bt_dyn bt_dyn_object(const struct bt_pickle *object)
{
    return (struct bt_dyn){.kind = BT_DYN_OBJECT, .scalar = BT_NO_EXPR, .object = object};
}

struct bt_dyn bt_dyn_tensor(struct bt_var *var)
{
    return (struct bt_dyn){.kind = BT_DYN_TENSOR, .scalar = BT_NO_EXPR, .tensor = var};
}

bool bt_dyn_seq(struct bt_lower *l, enum bt_dyn_kind kind, const struct bt_dyn *items, size_t count, struct bt_dyn *out)
{
    struct bt_dyn_items *seq = bt_arena_alloc(l->arena, 1, sizeof *seq);
    if (!seq || !bt_arena_reserve(l->arena, &seq->items, &seq->cap, count, sizeof *seq->items)) {
        return false;
    }
    if (count > 0) {
        memcpy(seq->items, items, count * sizeof *items);
    }
    seq->count = count;
    *out = (struct bt_dyn){.kind = kind, .scalar = BT_NO_EXPR, .seq = seq};
    return true;
}

bool bt_dyn_append(struct bt_lower *l, struct bt_dyn *list, struct bt_dyn item)
{
    struct bt_dyn_items *seq = list->seq;
    if (!bt_arena_reserve(l->arena, &seq->items, &seq->cap, seq->count + 1, sizeof *seq->items)) {
        return false;
    }
    seq->items[seq->count++] = item;
    return true;
}

static bool same_key(const struct bt_lower *l, const struct bt_dyn *a, const struct bt_dyn *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    if (a->kind == BT_DYN_STRING) {
        return strcmp(a->text, b->text) == 0;
    }
    int64_t x, y;
    return a->kind == BT_DYN_SCALAR && bt_expr_is_int(l->graph->exprs, a->scalar, &x) &&
           bt_expr_is_int(l->graph->exprs, b->scalar, &y) && x == y;
}

const struct bt_dyn *bt_dyn_dict_get(const struct bt_lower *l, const struct bt_dyn *dict, const struct bt_dyn *key)
{
    const struct bt_dyn_items *seq = dict->seq;
    for (size_t i = 0; i < seq->count; i++) {
        if (same_key(l, &seq->keys[i], key)) {
            return &seq->items[i];
        }
    }
    return NULL;
}

bool bt_dyn_dict_set(struct bt_lower *l, struct bt_dyn *dict, struct bt_dyn key, struct bt_dyn value)
{
    struct bt_dyn_items *seq = dict->seq;
    for (size_t i = 0; i < seq->count; i++) {
        if (same_key(l, &seq->keys[i], &key)) {
            seq->items[i] = value;
            return true;
        }
    }
    if (!bt_arena_reserve(l->arena, &seq->keys, &seq->key_cap, seq->count + 1, sizeof *seq->keys)) {
        return false;
    }
    seq->keys[seq->count] = key;
    return bt_dyn_append(l, dict, value);
}

const char *bt_dyn_type_name(const struct bt_lower *l, const struct bt_dyn *d)
{
    static const char *const scalars[] = {
        [BT_SCALAR_BOOL] = "bool", [BT_SCALAR_INT] = "int", [BT_SCALAR_FLOAT] = "float"};
    static const char *const kinds[] = {
        [BT_DYN_NONE] = "None",         [BT_DYN_STRING] = "str",
        [BT_DYN_DEVICE] = "Device",     [BT_DYN_TENSOR] = "Tensor",
        [BT_DYN_LIST] = "List",         [BT_DYN_TUPLE] = "Tuple",
        [BT_DYN_DICT] = "Dict",         [BT_DYN_OBJECT] = "object",
        [BT_DYN_RANGE] = "range",       [BT_DYN_UNINITIALIZED] = "uninitialized",
        [BT_DYN_FUNCTION] = "function",
    };
    if (d->kind != BT_DYN_SCALAR) {
        return kinds[d->kind];
    }
    return d->scalar < 0 ? "number" : scalars[bt_expr_type(l->graph->exprs, d->scalar)];
}

bt_expr bt_dyn_read_number(struct bt_exprs *x, const struct bt_tensor *t)
{
    union {
        float f32;
        double f64;
        uint16_t bits;
        int64_t i64;
        int32_t i32;
        int16_t i16;
        int8_t i8;
        uint8_t u8;
    } v;
    memcpy(&v, t->data, bt_dtype_size(t->dtype));
    switch (t->dtype) {
    case BT_F32: return bt_expr_float(x, v.f32);
    case BT_F64: return bt_expr_float(x, v.f64);
    case BT_F16: return bt_expr_float(x, bt_f16_to_f32(v.bits));
    case BT_BF16: return bt_expr_float(x, bt_bf16_to_f32(v.bits));
    case BT_I64: return bt_expr_int(x, v.i64);
    case BT_I32: return bt_expr_int(x, v.i32);
    case BT_I16: return bt_expr_int(x, v.i16);
    case BT_I8: return bt_expr_int(x, v.i8);
    case BT_U8: return bt_expr_int(x, v.u8);
    case BT_BOOL: return bt_expr_bool(x, v.u8 != 0);
    default: break;
    }
    return BT_NO_EXPR;
}

static enum bertc_status tensor_from_pickle(struct bt_lower *l, const struct bt_tensor *t, const char *name,
                                            struct bt_dyn *out, struct bertc_error *err)
{
    struct bt_var *var;
    if (t->rank == 0 && !t->quantized) {
        bt_expr number = bt_dyn_read_number(l->graph->exprs, t);
        var = number < 0 ? NULL : bt_var_number(l, number, t->dtype);
    } else {
        bt_value value;
        enum bertc_status status = bt_graph_constant(l->graph, t, name, &value, err);
        if (status != BERTC_OK) {
            return status;
        }
        var = bt_var_new(l, value);
    }
    if (!var) {
        return bt_error_memory(err);
    }
    *out = bt_dyn_tensor(var);
    return BERTC_OK;
}

static enum bertc_status from_pickle(struct bt_lower *l, const struct bt_pickle *p, const char *name, int depth,
                                     struct bt_dyn *out, struct bertc_error *err);

static enum bertc_status dict_from_pickle(struct bt_lower *l, const struct bt_pickle *p, const char *name, int depth,
                                          struct bt_dyn *out, struct bertc_error *err)
{
    if (!bt_dyn_seq(l, BT_DYN_DICT, NULL, 0, out)) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i + 1 < p->size; i += 2) {
        struct bt_dyn key, value;
        enum bertc_status status = from_pickle(l, p->items[i], name, depth + 1, &key, err);
        if (status == BERTC_OK) {
            status = from_pickle(l, p->items[i + 1], name, depth + 1, &value, err);
        }
        if (status != BERTC_OK) {
            return status;
        }
        if (!bt_dyn_dict_set(l, out, key, value)) {
            return bt_error_memory(err);
        }
    }
    return BERTC_OK;
}

static enum bertc_status seq_from_pickle(struct bt_lower *l, const struct bt_pickle *p, const char *name, int depth,
                                         struct bt_dyn *out, struct bertc_error *err)
{
    if (!bt_dyn_seq(l, p->kind == BT_PICKLE_LIST ? BT_DYN_LIST : BT_DYN_TUPLE, NULL, 0, out)) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < p->size; i++) {
        struct bt_dyn item;
        enum bertc_status status = from_pickle(l, p->items[i], name, depth + 1, &item, err);
        if (status != BERTC_OK) {
            return status;
        }
        if (!bt_dyn_append(l, out, item)) {
            return bt_error_memory(err);
        }
    }
    return BERTC_OK;
}

static enum bertc_status from_pickle(struct bt_lower *l, const struct bt_pickle *p, const char *name, int depth,
                                     struct bt_dyn *out, struct bertc_error *err)
{
    if (depth > MAX_DEPTH) {
        return bt_error_set(err, BERTC_FORMAT, "%s nests more than %d containers", name, MAX_DEPTH);
    }
    struct bt_exprs *x = l->graph->exprs;
    *out = bt_dyn_none();
    switch (p->kind) {
    case BT_PICKLE_NONE: return BERTC_OK;
    case BT_PICKLE_BOOL: *out = bt_dyn_scalar(bt_expr_bool(x, p->boolean)); break;
    case BT_PICKLE_INT: *out = bt_dyn_scalar(bt_expr_int(x, p->integer)); break;
    case BT_PICKLE_FLOAT: *out = bt_dyn_scalar(bt_expr_float(x, p->number)); break;
    case BT_PICKLE_STRING: *out = bt_dyn_string(p->text); return BERTC_OK;
    case BT_PICKLE_OBJECT: *out = bt_dyn_object(p); return BERTC_OK;
    case BT_PICKLE_TENSOR: return tensor_from_pickle(l, &p->tensor, name, out, err);
    case BT_PICKLE_DICT: return dict_from_pickle(l, p, name, depth, out, err);
    case BT_PICKLE_LIST:
    case BT_PICKLE_TUPLE: return seq_from_pickle(l, p, name, depth, out, err);
    case BT_PICKLE_BIGINT:
    case BT_PICKLE_BYTES:
    case BT_PICKLE_GLOBAL:
    case BT_PICKLE_STORAGE:
        return bt_error_set(err, BERTC_UNSUPPORTED,
                            "%s is of a kind that no operator takes (bytes, a class or a storage)", name);
    }
    return out->kind == BT_DYN_SCALAR && out->scalar < 0 ? bt_error_memory(err) : BERTC_OK;
}

enum bertc_status bt_dyn_from_pickle(struct bt_lower *l, const struct bt_pickle *p, const char *name,
                                     struct bt_dyn *out, struct bertc_error *err)
{
    return from_pickle(l, p, name, 0, out, err);
}

/* Trees come from the caller's arguments, whose depth bt_bind_inputs has bounded. */
enum bertc_status bt_dyn_from_tree(struct bt_lower *l, const struct bt_tree *tree, struct bt_dyn *out,
                                   struct bertc_error *err)
{
    static const enum bt_dyn_kind containers[] = {
        [BT_TREE_TUPLE] = BT_DYN_TUPLE, [BT_TREE_LIST] = BT_DYN_LIST, [BT_TREE_DICT] = BT_DYN_DICT};
    struct bt_var *var;
    switch (tree->kind) {
    case BT_TREE_NONE: *out = bt_dyn_none(); return BERTC_OK;
    case BT_TREE_SCALAR: *out = bt_dyn_scalar(tree->scalar); return BERTC_OK;
    case BT_TREE_STRING: *out = bt_dyn_string(tree->text); return BERTC_OK;
    case BT_TREE_TENSOR:
        var = bt_var_new(l, tree->value);
        if (!var) {
            return bt_error_memory(err);
        }
        *out = bt_dyn_tensor(var);
        return BERTC_OK;
    case BT_TREE_TUPLE:
    case BT_TREE_LIST:
    case BT_TREE_DICT: break;
    }
    if (!bt_dyn_seq(l, containers[tree->kind], NULL, 0, out)) {
        return bt_error_memory(err);
    }
    for (int32_t i = 0; i < tree->count; i++) {
        struct bt_dyn item;
        enum bertc_status status = bt_dyn_from_tree(l, &tree->items[i], &item, err);
        if (status != BERTC_OK) {
            return status;
        }
        bool ok = tree->kind == BT_TREE_DICT ? bt_dyn_dict_set(l, out, bt_dyn_string(tree->items[i].key), item)
                                             : bt_dyn_append(l, out, item);
        if (!ok) {
            return bt_error_memory(err);
        }
    }
    return BERTC_OK;
}

static char *key_text(struct bt_graph *g, const struct bt_dyn *key)
{
    int64_t number;
    if (key->kind == BT_DYN_STRING) {
        return bt_arena_string(&g->arena, key->text, strlen(key->text));
    }
    if (key->kind == BT_DYN_SCALAR && bt_expr_is_int(g->exprs, key->scalar, &number)) {
        return bt_arena_printf(&g->arena, "%" PRId64, number);
    }
    return bt_arena_string(&g->arena, "?", 1);
}

static enum bertc_status to_tree(struct bt_lower *l, const struct bt_dyn *d, int depth, struct bt_tree *out,
                                 struct bertc_error *err)
{
    if (depth > MAX_DEPTH) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "the result nests more than %d containers", MAX_DEPTH);
    }
    struct bt_graph *g = l->graph;
    *out = (struct bt_tree){.value = BT_NO_VALUE, .scalar = BT_NO_EXPR};
    switch (d->kind) {
    case BT_DYN_NONE: return BERTC_OK;
    case BT_DYN_SCALAR:
        out->kind = BT_TREE_SCALAR;
        out->scalar = d->scalar;
        return BERTC_OK;
    case BT_DYN_DEVICE:
    case BT_DYN_STRING:
        out->kind = BT_TREE_STRING;
        out->text = d->kind == BT_DYN_DEVICE ? "cpu" : bt_arena_string(&g->arena, d->text, strlen(d->text));
        return out->text ? BERTC_OK : bt_error_memory(err);
    case BT_DYN_TENSOR: out->kind = BT_TREE_TENSOR; return bt_var_read(l, d->tensor, &out->value, err);
    case BT_DYN_LIST: out->kind = BT_TREE_LIST; break;
    case BT_DYN_TUPLE: out->kind = BT_TREE_TUPLE; break;
    case BT_DYN_DICT: out->kind = BT_TREE_DICT; break;
    case BT_DYN_OBJECT:
    case BT_DYN_RANGE:
    case BT_DYN_UNINITIALIZED:
    case BT_DYN_FUNCTION:
        return bt_error_set(err, BERTC_UNSUPPORTED, "the model returns a value of type %s", bt_dyn_type_name(l, d));
    }
    out->items = bt_arena_alloc(&g->arena, d->seq->count, sizeof *out->items);
    if (!out->items) {
        return bt_error_memory(err);
    }
    out->count = (int32_t)d->seq->count;
    for (int32_t i = 0; i < out->count; i++) {
        enum bertc_status status = to_tree(l, &d->seq->items[i], depth + 1, &out->items[i], err);
        if (status != BERTC_OK) {
            return status;
        }
        if (d->seq->keys && !(out->items[i].key = key_text(g, &d->seq->keys[i]))) {
            return bt_error_memory(err);
        }
    }
    return BERTC_OK;
}

enum bertc_status bt_dyn_to_tree(struct bt_lower *l, const struct bt_dyn *d, struct bt_tree *out,
                                 struct bertc_error *err)
{
    return to_tree(l, d, 0, out, err);
}
