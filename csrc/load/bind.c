/* bind.c: the inputs of a graph from call arguments: one leaf a tensor, its dimensions symbols */
#include <string.h>

#include "load/load.h"

#define MAX_DEPTH 32

/* A symbol and the place that it stands for: leaves of the same rank share it where their size is the same. */
struct axis {
    int rank, dim;
    int64_t size;
    bt_expr symbol;
};

struct binder {
    struct bt_graph *graph;
    const uint8_t *fixed; /* per tensor, a bit a dimension; NULL: none */
    size_t tensors;       /* bound so far */
    struct axis *axes;
    size_t axis_count, axis_cap;
};

/* Names that people use, by rank and dimension, with a number from the second one on. */
static const char *symbol_name(struct binder *b, int rank, int dim)
{
    static const char *const names[][4] = {{"n"}, {"b", "s"}, {"b", "s", "d"}, {"b", "h", "s", "d"}};
    bool known = rank >= 1 && rank <= 4;
    const char *base = known ? names[rank - 1][dim] : "d";
    int others = 0;
    for (size_t i = 0; i < b->axis_count; i++) {
        const struct axis *a = &b->axes[i];
        bool other_known = a->rank >= 1 && a->rank <= 4;
        others += !strcmp(base, other_known ? names[a->rank - 1][a->dim] : "d");
    }
    return others ? bt_arena_printf(&b->graph->arena, "%s%d", base, others + 1) : base;
}

static enum bertc_status axis_symbol(struct binder *b, int rank, int dim, int64_t size, bt_expr *out,
                                     struct bertc_error *err)
{
    for (size_t i = 0; i < b->axis_count; i++) {
        const struct axis *a = &b->axes[i];
        if (a->rank == rank && a->dim == dim && a->size == size) {
            *out = a->symbol;
            return BERTC_OK;
        }
    }
    struct bt_graph *g = b->graph;
    const char *name = symbol_name(b, rank, dim);
    if (!name || !bt_arena_reserve(&g->arena, &b->axes, &b->axis_cap, b->axis_count + 1, sizeof *b->axes)) {
        return bt_error_memory(err);
    }
    *out = bt_expr_symbol(g->exprs, name, size);
    b->axes[b->axis_count++] = (struct axis){rank, dim, size, *out};
    return *out < 0 ? bt_error_memory(err) : BERTC_OK;
}

static enum bertc_status bind_tensor(struct binder *b, const char *name, const struct bt_tensor *tensor,
                                     struct bt_tree *out, struct bertc_error *err)
{
    bt_expr dims[BT_MAX_RANK];
    const unsigned fixed = b->fixed ? b->fixed[b->tensors] : 0;
    b->tensors++;
    for (int i = 0; i < tensor->rank; i++) {
        if (fixed >> i & 1) {
            dims[i] = bt_expr_int(b->graph->exprs, tensor->dims[i]);
            continue;
        }
        enum bertc_status status = axis_symbol(b, tensor->rank, i, tensor->dims[i], &dims[i], err);
        if (status) {
            return status;
        }
    }
    out->kind = BT_TREE_TENSOR;
    return bt_graph_input(b->graph, name, tensor->dtype, tensor->rank, dims, &out->value, err);
}

/* A constant of this build. */
static enum bertc_status bind_constant(struct binder *b, const struct bertc_value *value, struct bt_tree *out,
                                       struct bertc_error *err)
{
    struct bt_graph *g = b->graph;
    if (value->kind == BERTC_NONE) {
        return BERTC_OK;
    }
    if (value->kind == BERTC_STRING) {
        out->kind = BT_TREE_STRING;
        out->text = bt_arena_string(&g->arena, value->text, strlen(value->text));
        return out->text ? BERTC_OK : bt_error_memory(err);
    }
    out->kind = BT_TREE_SCALAR;
    out->scalar = value->kind == BERTC_BOOL  ? bt_expr_bool(g->exprs, value->integer != 0)
                  : value->kind == BERTC_INT ? bt_expr_int(g->exprs, value->integer)
                                             : bt_expr_float(g->exprs, value->number);
    return out->scalar < 0 ? bt_error_memory(err) : BERTC_OK;
}

/* `name` is what messages call the value: "past[0][1]". */
static enum bertc_status bind_value(struct binder *b, const char *name, const struct bertc_value *value, int depth,
                                    struct bt_tree *out, struct bertc_error *err)
{
    static const enum bt_tree_kind kinds[] = {
        [BERTC_TUPLE] = BT_TREE_TUPLE, [BERTC_LIST] = BT_TREE_LIST, [BERTC_DICT] = BT_TREE_DICT};
    struct bt_arena *arena = &b->graph->arena;
    *out = (struct bt_tree){.value = BT_NO_VALUE, .scalar = BT_NO_EXPR};
    if (value->kind == BERTC_TENSOR) {
        return bind_tensor(b, name, &value->tensor, out, err);
    }
    if (value->kind != BERTC_TUPLE && value->kind != BERTC_LIST && value->kind != BERTC_DICT) {
        return bind_constant(b, value, out, err);
    }
    if (depth == MAX_DEPTH || value->count > INT32_MAX) {
        return bt_error_set(err, BERTC_INPUT, "argument '%s' nests more than %d containers or is too long", name,
                            MAX_DEPTH);
    }
    out->kind = kinds[value->kind];
    out->count = (int32_t)value->count;
    out->items = bt_arena_alloc(arena, value->count, sizeof *out->items);
    if (!out->items) {
        return bt_error_memory(err);
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i < value->count; i++) {
        const struct bertc_value *item = &value->items[i];
        bool keyed = value->kind == BERTC_DICT;
        char *item_name =
            keyed ? bt_arena_printf(arena, "%s['%s']", name, item->key) : bt_arena_printf(arena, "%s[%zu]", name, i);
        char *key = keyed ? bt_arena_string(arena, item->key, strlen(item->key)) : NULL;
        if (!item_name || (keyed && !key)) {
            return bt_error_memory(err);
        }
        status = bind_value(b, item_name, item, depth + 1, &out->items[i], err);
        out->items[i].key = key;
    }
    return status;
}

enum bertc_status bt_bind_inputs(struct bt_graph *graph, const struct bertc_param *params,
                                 const struct bertc_value *args, size_t count, const uint8_t *fixed,
                                 struct bt_tree **out, struct bertc_error *err)
{
    struct binder binder = {.graph = graph, .fixed = fixed};
    struct bt_tree *trees = bt_arena_alloc(&graph->arena, count, sizeof *trees);
    enum bertc_status status = trees ? BERTC_OK : bt_error_memory(err);
    *out = trees;
    for (size_t i = 0; !status && i < count; i++) {
        status = bind_value(&binder, params[i].name, &args[i], 0, &trees[i], err);
    }
    return status;
}
