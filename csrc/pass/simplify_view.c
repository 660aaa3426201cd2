/* simplify_view.c: views of views, and indexing that only reshapes */
#include "pass/simplify.h"

static const struct bt_node *reshaping(const struct bt_graph *g, bt_value value)
{
    const struct bt_node *node = bt_match_producer(g, value);
    bool found = node && (node->op == BT_OP_RESHAPE || node->op == BT_OP_UNSQUEEZE || node->op == BT_OP_SQUEEZE);
    return found ? node : NULL;
}

/* A contiguous constant in another shape is a constant. */
static bt_value reshape_constant(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    struct bt_graph *g = r->g;
    bt_value self = node->args[0].value, reshaped = BT_NO_VALUE;
    struct bt_tensor tensor;
    if (!bt_match_constant(g, self, &tensor) || tensor.quantized ||
        !bt_is_contiguous(tensor.rank, tensor.dims, tensor.strides)) {
        return BT_NO_VALUE;
    }
    const struct bt_value_info info = g->values[value];
    tensor.rank = info.rank;
    for (int d = 0; d < info.rank; d++) {
        if (!bt_expr_is_int(g->exprs, info.dims[d], &tensor.dims[d])) {
            return BT_NO_VALUE;
        }
    }
    bt_contiguous_strides(tensor.rank, tensor.dims, tensor.strides);
    bool made = bt_graph_constant(g, &tensor, g->values[self].name, &reshaped, &r->trial) == BERTC_OK;
    return made ? reshaped : BT_NO_VALUE;
}

static bool is_linear_of_reshape(const struct bt_graph *g, const struct bt_node *linear)
{
    return linear && linear->args[3].kind == BT_ARG_NONE &&
           bt_match_op(g, linear->args[0].value, BT_OP_RESHAPE) != NULL;
}

/* reshape(linear(reshape(x))) -> linear(reshape(x)), where the outer one only gives the rows another shape. */
static bt_value reshape_rows(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    struct bt_graph *g = r->g;
    const struct bt_node *linear = bt_match_op(g, node->args[0].value, BT_OP_LINEAR);
    struct bt_value_info rows = g->values[value];
    if (!is_linear_of_reshape(g, linear) || rows.rank == 0) {
        return BT_NO_VALUE;
    }
    const struct bt_value_info *from = &g->values[linear->args[0].value], *to = &g->values[node->args[0].value];
    if (rows.dims[rows.rank - 1] != to->dims[to->rank - 1]) {
        return BT_NO_VALUE;
    }
    const struct bt_node product = *linear;
    rows.dims[rows.rank - 1] = from->dims[from->rank - 1];
    const struct bt_arg reshape[] = {product.args[0], bt_arg_exprs(rows.dims, rows.rank)};
    bt_value input = bt_rewrite_op(r, BT_OP_RESHAPE, 2, reshape);
    const struct bt_arg args[] = {bt_arg_value(input), product.args[1], product.args[2], bt_arg_none(),
                                  product.args[4]};
    return input < 0 ? BT_NO_VALUE : bt_rewrite_op(r, BT_OP_LINEAR, 5, args);
}

static bt_value reshape_once(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    const struct bt_node *inner = reshaping(r->g, node->args[0].value);
    if (inner) {
        return bt_rewrite_shaped(r, BT_OP_RESHAPE, inner->args[0].value, value);
    }
    bt_value better = reshape_rows(r, value, node);
    return better >= 0 ? better : reshape_constant(r, value, node);
}

static bt_value permute_once(struct bt_rewriter *r, const struct bt_node *node)
{
    const struct bt_node *inner = bt_match_op(r->g, node->args[0].value, BT_OP_PERMUTE);
    if (!inner) {
        return BT_NO_VALUE;
    }
    bt_expr dims[BT_MAX_RANK];
    for (int32_t d = 0; d < node->args[1].count; d++) {
        int64_t from;
        if (!bt_expr_is_int(r->g->exprs, node->args[1].list[d], &from)) {
            return BT_NO_VALUE;
        }
        dims[d] = inner->args[1].list[from];
    }
    const struct bt_arg args[] = {inner->args[0], bt_arg_exprs(dims, node->args[1].count)};
    return bt_rewrite_op(r, BT_OP_PERMUTE, 2, args);
}

static bt_value expand_once(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    const struct bt_node *inner = bt_match_op(r->g, node->args[0].value, BT_OP_EXPAND);
    return inner ? bt_rewrite_shaped(r, BT_OP_EXPAND, inner->args[0].value, value) : BT_NO_VALUE;
}

static bool is_number(const struct bt_graph *g, bt_expr e, int64_t expected)
{
    int64_t number;
    return bt_expr_is_int(g->exprs, e, &number) && number == expected;
}

/* Whether value counts 0, 1, ... size - 1 along one dimension, all others being 1: that dimension, from the last. */
static bool counts_along(const struct bt_graph *g, bt_value value, bt_expr size, int *from_last)
{
    const struct bt_value_info *info = &g->values[value];
    for (const struct bt_node *view; (view = reshaping(g, value));) {
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

/* linear(reshape(x)) -> reshape(linear(x)), where the reshape merged some of x's rows. */
static bt_value linear_of_rows(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    const struct bt_node *reshape = bt_match_op(r->g, node->args[0].value, BT_OP_RESHAPE);
    if (!reshape) {
        return BT_NO_VALUE;
    }
    const struct bt_value_info *from = &r->g->values[reshape->args[0].value];
    const struct bt_value_info *rows = &r->g->values[node->args[0].value];
    bool hidden = node->args[3].kind != BT_ARG_NONE; /* a residual has the shape of the rows */
    if (hidden || from->rank <= rows->rank || from->dims[from->rank - 1] != rows->dims[rows->rank - 1]) {
        return BT_NO_VALUE;
    }
    const struct bt_arg args[] = {reshape->args[0], node->args[1], node->args[2], node->args[3], node->args[4]};
    return bt_rewrite_shaped(r, BT_OP_RESHAPE, bt_rewrite_op(r, BT_OP_LINEAR, 5, args), value);
}

bt_value bt_simplify_view(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    switch (node->op) {
    case BT_OP_RESHAPE:
    case BT_OP_UNSQUEEZE:
    case BT_OP_SQUEEZE: return reshape_once(r, value, node);
    case BT_OP_PERMUTE: return permute_once(r, node);
    case BT_OP_EXPAND: return expand_once(r, value, node);
    case BT_OP_INDEX: return index_everything(r, value, node);
    case BT_OP_LINEAR: return linear_of_rows(r, value, node);
    default: return BT_NO_VALUE;
    }
}
