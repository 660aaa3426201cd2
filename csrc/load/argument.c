/* argument.c: arguments of a model as its file gives them: traced inputs from pickles, defaults from code */
#include "load/argument.h"

#define MAX_DEPTH 32

static bool from_pickle(const struct bt_pickle *p, int depth, struct bt_arena *arena, struct bertc_value *out);

static bool dict_items(const struct bt_pickle *p, int depth, struct bt_arena *arena, struct bertc_value *out)
{
    out->count = p->size / 2;
    for (size_t i = 0; i < out->count; i++) {
        const struct bt_pickle *key = p->items[2 * i];
        if (key->kind != BT_PICKLE_STRING || !from_pickle(p->items[2 * i + 1], depth + 1, arena, &out->items[i])) {
            return false;
        }
        out->items[i].key = key->text;
    }
    return true;
}

static bool from_pickle(const struct bt_pickle *p, int depth, struct bt_arena *arena, struct bertc_value *out)
{
    *out = (struct bertc_value){.slot = -1};
    switch (p->kind) {
    case BT_PICKLE_NONE: out->kind = BERTC_NONE; return true;
    case BT_PICKLE_BOOL:
        out->kind = BERTC_BOOL;
        out->integer = p->boolean;
        return true;
    case BT_PICKLE_INT:
        out->kind = BERTC_INT;
        out->integer = p->integer;
        return true;
    case BT_PICKLE_FLOAT:
        out->kind = BERTC_FLOAT;
        out->number = p->number;
        return true;
    case BT_PICKLE_STRING:
        out->kind = BERTC_STRING;
        out->text = p->text;
        return true;
    case BT_PICKLE_TENSOR:
        out->kind = BERTC_TENSOR;
        out->tensor = p->tensor;
        if (!bt_is_contiguous(p->tensor.rank, p->tensor.dims, p->tensor.strides)) {
            bt_contiguous_strides(p->tensor.rank, p->tensor.dims, out->tensor.strides);
            out->tensor.data = NULL;
        }
        return true;
    case BT_PICKLE_LIST:
    case BT_PICKLE_TUPLE:
    case BT_PICKLE_DICT: break;
    default: return false;
    }
    if (depth == MAX_DEPTH || !(out->items = bt_arena_alloc(arena, p->size, sizeof *out->items))) {
        return false;
    }
    if (p->kind == BT_PICKLE_DICT) {
        out->kind = BERTC_DICT;
        return dict_items(p, depth, arena, out);
    }
    out->kind = p->kind == BT_PICKLE_LIST ? BERTC_LIST : BERTC_TUPLE;
    out->count = p->size;
    for (size_t i = 0; i < p->size; i++) {
        if (!from_pickle(p->items[i], depth + 1, arena, &out->items[i])) {
            return false;
        }
    }
    return true;
}

bool bt_argument_from_pickle(const struct bt_pickle *p, struct bt_arena *arena, struct bertc_value *out)
{
    return from_pickle(p, 0, arena, out);
}

static bool from_literal(const struct bt_ts_expr *e, int depth, struct bt_arena *arena, struct bertc_value *out)
{
    *out = (struct bertc_value){.slot = -1};
    switch (e->kind) {
    case BT_TS_NONE: out->kind = BERTC_NONE; return true;
    case BT_TS_TRUE:
    case BT_TS_FALSE:
        out->kind = BERTC_BOOL;
        out->integer = e->kind == BT_TS_TRUE;
        return true;
    case BT_TS_INT:
        out->kind = BERTC_INT;
        out->integer = e->integer;
        return true;
    case BT_TS_FLOAT:
        out->kind = BERTC_FLOAT;
        out->number = e->number;
        return true;
    case BT_TS_STRING:
        out->kind = BERTC_STRING;
        out->text = e->text;
        return true;
    case BT_TS_ANNOTATE: return depth < MAX_DEPTH && from_literal(e->args[0], depth + 1, arena, out);
    case BT_TS_LIST:
    case BT_TS_TUPLE: break;
    default: return false;
    }
    if (depth == MAX_DEPTH || !(out->items = bt_arena_alloc(arena, e->count, sizeof *out->items))) {
        return false;
    }
    out->kind = e->kind == BT_TS_LIST ? BERTC_LIST : BERTC_TUPLE;
    out->count = e->count;
    for (size_t i = 0; i < e->count; i++) {
        if (!from_literal(e->args[i], depth + 1, arena, &out->items[i])) {
            return false;
        }
    }
    return true;
}

bool bt_argument_from_literal(const struct bt_ts_expr *e, struct bt_arena *arena, struct bertc_value *out)
{
    return from_literal(e, 0, arena, out);
}
