/* simplify_expand.c: work on expanded operands is done before they are expanded, and views of full are full */
#include "pass/simplify.h"

static bool is_pointwise(enum bt_op op)
{
    return op >= BT_OP_CAST && op <= BT_OP_CLAMP;
}

/* full's number as it would be written in an expression; BT_NO_EXPR when that may be another number. */
static bt_expr number_of(const struct bt_graph *g, const struct bt_node *full, enum bt_dtype dtype)
{
    bt_expr number = full->args[1].expr;
    enum bt_scalar_type type = bt_expr_type(g->exprs, number);
    bool exact = (dtype == BT_BOOL && type == BT_SCALAR_BOOL) || (dtype == BT_I64 && type == BT_SCALAR_INT) ||
                 (dtype == BT_F32 && type == BT_SCALAR_FLOAT);
    return exact ? number : BT_NO_EXPR;
}

/* The operand before it was expanded; a full is a number. */
static bool shrink(const struct bt_graph *g, struct bt_arg *arg)
{
    const struct bt_node *node = arg->kind == BT_ARG_VALUE ? bt_match_producer(g, arg->value) : NULL;
    if (node && node->op == BT_OP_EXPAND) {
        *arg = node->args[0];
        return true;
    }
    bt_expr number = BT_NO_EXPR;
    if (node && node->op == BT_OP_FULL && g->values[arg->value].rank > 0) {
        number = number_of(g, node, g->values[arg->value].dtype);
    }
    if (number >= 0) {
        *arg = bt_arg_expr(number);
    }
    return number >= 0;
}

static bt_value expand_later(struct bt_rewriter *r, bt_value value, const struct bt_node *node, int first, int last)
{
    struct bt_arg args[3]; /* no pointwise op has more */
    bool changed = false, tensors = false;
    for (int i = 0; i < node->nargs; i++) {
        args[i] = node->args[i];
        if (i >= first && i <= last) {
            changed = shrink(r->g, &args[i]) || changed;
            tensors = tensors || args[i].kind == BT_ARG_VALUE;
        }
    }
    if (!changed || !tensors || (node->op == BT_OP_WHERE && args[0].kind != BT_ARG_VALUE)) {
        return BT_NO_VALUE;
    }
    bt_value small = bt_rewrite_op(r, node->op, node->nargs, args);
    if (small < 0 || r->g->values[small].dtype != r->g->values[value].dtype) {
        return BT_NO_VALUE;
    }
    return bt_rewrite_shaped(r, BT_OP_EXPAND, small, value);
}

/* A linear of repeated rows is computed once for each. */
static bt_value linear_unexpanded(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    const struct bt_node *expand = bt_match_op(r->g, node->args[0].value, BT_OP_EXPAND);
    if (!expand || node->args[3].kind != BT_ARG_NONE) {
        return BT_NO_VALUE;
    }
    const struct bt_value_info *from = &r->g->values[expand->args[0].value];
    const struct bt_value_info *to = &r->g->values[node->args[0].value];
    if (from->rank != to->rank || from->dims[from->rank - 1] != to->dims[to->rank - 1]) {
        return BT_NO_VALUE;
    }
    const struct bt_arg args[] = {expand->args[0], node->args[1], node->args[2], node->args[3], node->args[4]};
    return bt_rewrite_shaped(r, BT_OP_EXPAND, bt_rewrite_op(r, BT_OP_LINEAR, 5, args), value);
}

/* The mask of an attention is broadcast anyway. */
static bt_value attend_unexpanded(struct bt_rewriter *r, const struct bt_node *node)
{
    enum { MASK = 3, ARGS = 7 };
    const struct bt_arg *mask = &node->args[MASK];
    const struct bt_node *expand = mask->kind == BT_ARG_VALUE ? bt_match_op(r->g, mask->value, BT_OP_EXPAND) : NULL;
    struct bt_arg args[ARGS];
    if (!expand) {
        return BT_NO_VALUE;
    }
    for (int i = 0; i < ARGS; i++) {
        args[i] = i == MASK ? expand->args[0] : node->args[i];
    }
    return bt_rewrite_op(r, BT_OP_SDPA, ARGS, args);
}

bt_value bt_simplify_expand(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    const struct bt_node *full = node->op <= BT_OP_SELECT ? bt_match_op(r->g, node->args[0].value, BT_OP_FULL) : NULL;
    if (full) {
        return bt_simplify_full(r, value, full->args[1].expr);
    }
    if (node->op == BT_OP_EMBEDDING) {
        return expand_later(r, value, node, 1, 1);
    }
    if (node->op == BT_OP_SDPA) {
        return attend_unexpanded(r, node);
    }
    if (node->op == BT_OP_LINEAR) {
        return linear_unexpanded(r, value, node);
    }
    return is_pointwise(node->op) ? expand_later(r, value, node, 0, node->nargs - 1) : BT_NO_VALUE;
}
