/* simplify_view.c: views of views, and of constants */
#include "pass/simplify.h"

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
    const struct bt_node *inner = bt_match_reshape(r->g, node->args[0].value);
    if (inner) {
        return bt_rewrite_shaped(r, BT_OP_RESHAPE, inner->args[0].value, value);
    }
    return reshape_rows(r, value, node);
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

/* squeeze(slice(x, i, i + 1)) -> select(x, i) */
static bt_value squeeze_slice(struct bt_rewriter *r, const struct bt_node *node)
{
    const struct bt_exprs *x = r->g->exprs;
    const struct bt_node *slice = bt_match_op(r->g, node->args[0].value, BT_OP_SLICE);
    int64_t dim, along, start, end;
    if (!slice || node->args[1].count != 1 || !bt_expr_is_int(x, node->args[1].list[0], &dim) ||
        !bt_expr_is_int(x, slice->args[1].expr, &along) || along != dim ||
        !bt_expr_is_int(x, slice->args[2].expr, &start) || !bt_expr_is_int(x, slice->args[3].expr, &end) ||
        end != start + 1) {
        return BT_NO_VALUE;
    }
    const struct bt_arg args[] = {slice->args[0], slice->args[1], slice->args[2]};
    return bt_rewrite_op(r, BT_OP_SELECT, 3, args);
}

bt_value bt_simplify_view(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    bt_value selected;
    switch (node->op) {
    case BT_OP_SQUEEZE:
        selected = squeeze_slice(r, node);
        return selected >= 0 ? selected : reshape_once(r, value, node);
    case BT_OP_RESHAPE:
    case BT_OP_UNSQUEEZE: return reshape_once(r, value, node);
    case BT_OP_PERMUTE: return permute_once(r, node);
    case BT_OP_EXPAND: return expand_once(r, value, node);
    case BT_OP_LINEAR: return linear_of_rows(r, value, node);
    default: return BT_NO_VALUE;
    }
}
