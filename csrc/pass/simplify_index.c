/* simplify_index.c: indexing that only reshapes or slices, padding by nothing */
#include "pass/range.h"
#include "pass/simplify.h"

static bool is_number(const struct bt_graph *g, bt_expr e, int64_t expected)
{
    int64_t number;
    return bt_expr_is_int(g->exprs, e, &number) && number == expected;
}

/* Whether value counts 0, 1, ... size - 1 along one dimension, all others being 1: that dimension, from the last. */
static bool counts_along(const struct bt_graph *g, bt_value value, bt_expr size, int *from_last)
{
    const struct bt_value_info *info = &g->values[value];
    for (const struct bt_node *view; (view = bt_match_reshape(g, value));) {
        value = view->args[0].value;
    }
    const struct bt_node *arange = bt_match_op(g, value, BT_OP_ARANGE);
    if (!arange || !is_number(g, arange->args[0].expr, 0) || arange->args[1].expr != size ||
        !is_number(g, arange->args[2].expr, 1)) {
        return false;
    }
    int found = 0;
    for (int d = 0; d < info->rank; d++) {
        if (info->dims[d] == size) {
            *from_last = info->rank - d;
            found++;
        } else if (!is_number(g, info->dims[d], 1)) {
            return false;
        }
    }
    return found == 1;
}

/* x[arange(n0)[:, None], arange(n1)[None, :], ...]: every element of x, in order. */
static bt_value index_everything(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    const struct bt_value_info *self = &r->g->values[node->args[0].value];
    int last = BT_MAX_RANK + 1, from_last;
    for (int32_t i = 0; i < node->args[1].count; i++) {
        bt_value index = node->args[1].list[i];
        if (index < 0 || !counts_along(r->g, index, self->dims[i], &from_last) || from_last >= last) {
            return BT_NO_VALUE;
        }
        last = from_last;
    }
    return bt_rewrite_shaped(r, BT_OP_RESHAPE, node->args[0].value, value);
}

/* Whether the condition holds for this call, which then becomes a guard. */
static bool holds(struct bt_graph *g, bt_expr condition)
{
    return condition >= 0 && bt_expr_hint(g->exprs, condition).i != 0 && bt_graph_decide(g, condition);
}

/* An arange whose elements are at least 0. */
static bool is_arange(const struct bt_graph *g, bt_value index, bt_expr range[3])
{
    const struct bt_node *arange = bt_match_op(g, index, BT_OP_ARANGE);
    int64_t step;
    for (int i = 0; i < 3; i++) {
        if (!arange || bt_expr_type(g->exprs, arange->args[i].expr) != BT_SCALAR_INT) {
            return false;
        }
        range[i] = arange->args[i].expr;
    }
    return bt_expr_is_int(g->exprs, range[2], &step) && step > 0 && bt_expr_is_non_negative(g->exprs, range[0]);
}

/* Part of a constant that counts up from `first`, at least 0. */
static bool is_counted(const struct bt_graph *g, bt_value index, bt_expr range[3])
{
    struct bt_exprs *x = g->exprs;
    const struct bt_node *slice = bt_match_op(g, index, BT_OP_SLICE);
    const bt_value whole = slice ? slice->args[0].value : index;
    int64_t first, count, dim;
    if (!bt_range_counts(g, whole, &first, &count) || first < 0) {
        return false;
    }
    range[0] = bt_expr_int(x, 0);
    range[1] = bt_expr_int(x, count);
    range[2] = bt_expr_int(x, 1);
    for (int i = 0; slice && i < 3; i++) {
        range[i] = slice->args[2 + i].expr;
    }
    if (slice && (!bt_expr_is_int(x, slice->args[1].expr, &dim) || !is_number(g, g->values[whole].dims[dim], count) ||
                  !bt_expr_is_non_negative(x, range[0]))) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        range[i] = bt_expr_binary(x, BT_EXPR_ADD, range[i], bt_expr_int(x, first));
    }
    return true;
}

/* One number, which below 0 counts from the end. */
static bool is_single(const struct bt_graph *g, bt_value index, bt_expr size, bt_expr range[3])
{
    struct bt_exprs *x = g->exprs;
    const struct bt_range number = bt_range_of(g, index);
    if (!bt_range_is_one(&number) || !is_number(g, g->values[index].dims[0], 1) || number.low == INT64_MAX) {
        return false;
    }
    range[0] = bt_expr_int(x, number.low);
    if (number.low < 0) {
        range[0] = bt_expr_binary(x, BT_EXPR_ADD, range[0], size);
    }
    range[1] = bt_expr_binary(x, BT_EXPR_ADD, range[0], bt_expr_int(x, 1));
    range[2] = bt_expr_int(x, 1);
    return true;
}

/* Where an index starts, ends, and its step, if it is such a range of a dimension of this size, and inside. */
static bool is_range(struct bt_graph *g, bt_value index, bt_expr size, bt_expr range[3])
{
    struct bt_exprs *x = g->exprs;
    if (g->values[index].dtype != BT_I64) {
        return false;
    }
    if (is_arange(g, index, range) || is_counted(g, index, range)) {
        return holds(g, bt_expr_binary(x, BT_EXPR_LE, range[1], size));
    }
    return is_single(g, index, size, range) && holds(g, bt_expr_binary(x, BT_EXPR_GE, range[0], bt_expr_int(x, 0))) &&
           holds(g, bt_expr_binary(x, BT_EXPR_LE, range[1], size));
}

/* x[:, arange(i, j)] and x[:, [i]] -> x[:, i:j] */
static bt_value index_range(struct bt_rewriter *r, const struct bt_node *node)
{
    struct bt_graph *g = r->g;
    const int32_t dim = node->args[1].count - 1;
    const bt_value index = dim >= 0 ? node->args[1].list[dim] : BT_NO_VALUE;
    bt_expr range[3];
    for (int32_t i = 0; i < dim; i++) {
        if (node->args[1].list[i] >= 0) {
            return BT_NO_VALUE;
        }
    }
    if (index < 0 || g->values[index].rank != 1 ||
        !is_range(g, index, g->values[node->args[0].value].dims[dim], range)) {
        return BT_NO_VALUE;
    }
    const struct bt_arg args[] = {node->args[0], bt_arg_int(g, dim), bt_arg_expr(range[0]), bt_arg_expr(range[1]),
                                  bt_arg_expr(range[2])};
    return bt_rewrite_op(r, BT_OP_SLICE, 5, args);
}

/* embedding(table, arange(i, j)) -> table[i:j] */
static bt_value embed_range(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    struct bt_graph *g = r->g;
    bt_value index = node->args[1].value;
    bt_expr range[3];
    for (const struct bt_node *view; (view = bt_match_reshape(g, index));) {
        index = view->args[0].value;
    }
    if (!is_range(g, index, g->values[node->args[0].value].dims[0], range)) {
        return BT_NO_VALUE;
    }
    const struct bt_arg args[] = {node->args[0], bt_arg_int(g, 0), bt_arg_expr(range[0]), bt_arg_expr(range[1]),
                                  bt_arg_expr(range[2])};
    return bt_rewrite_shaped(r, BT_OP_RESHAPE, bt_rewrite_op(r, BT_OP_SLICE, 5, args), value);
}

/* The pairs of `pad` go from the last dimension to the first: zeros at the end say nothing. */
static bt_value pad_less(struct bt_rewriter *r, const struct bt_node *node)
{
    const struct bt_arg *pad = &node->args[1];
    int32_t count = pad->count;
    while (count >= 2 && is_number(r->g, pad->list[count - 1], 0) && is_number(r->g, pad->list[count - 2], 0)) {
        count -= 2;
    }
    if (count == pad->count) {
        return BT_NO_VALUE;
    }
    const struct bt_arg args[] = {node->args[0], bt_arg_exprs(pad->list, count), node->args[2]};
    return count == 0 ? node->args[0].value : bt_rewrite_op(r, BT_OP_PAD, 3, args);
}

bt_value bt_simplify_index(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    bt_value better;
    switch (node->op) {
    case BT_OP_PAD: return pad_less(r, node);
    case BT_OP_EMBEDDING: return embed_range(r, value, node);
    case BT_OP_INDEX: better = index_everything(r, value, node); return better >= 0 ? better : index_range(r, node);
    default: return BT_NO_VALUE;
    }
}
