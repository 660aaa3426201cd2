/* fuse_epilogue.c: the activation after a linear, and a sum with its result, become part of it */
#include "pass/pass.h"
#include "pass/rewrite.h"

enum { RESIDUAL = 3, ACTIVATION = 4, LINEAR_ARGS = 5 };

static enum bt_activation activation_of(const struct bt_graph *g, const struct bt_node *node)
{
    int64_t tanh;
    switch (node->op) {
    case BT_OP_TANH: return BT_ACT_TANH;
    case BT_OP_RELU: return BT_ACT_RELU;
    case BT_OP_SILU: return BT_ACT_SILU;
    case BT_OP_SIGMOID: return BT_ACT_SIGMOID;
    case BT_OP_GELU:
        if (node->args[1].kind == BT_ARG_EXPR && bt_expr_is_int(g->exprs, node->args[1].expr, &tanh)) {
            return tanh ? BT_ACT_GELU_TANH : BT_ACT_GELU_ERF;
        }
        return node->args[1].kind == BT_ARG_NONE ? BT_ACT_GELU_ERF : BT_ACT_NONE;
    default: return BT_ACT_NONE;
    }
}

/* The linear that makes `value`, if nothing else needs its result and nothing has been added to it. */
static const struct bt_node *own_linear(const struct bt_rewriter *r, bt_value value)
{
    const struct bt_node *node = bt_match_op(r->g, value, BT_OP_LINEAR);
    bool open = node && node->args[RESIDUAL].kind == BT_ARG_NONE && bt_rewrite_uses(r, value) == 1;
    return open ? node : NULL;
}

static bt_value with(struct bt_rewriter *r, const struct bt_node *linear, int slot, struct bt_arg arg)
{
    struct bt_arg args[LINEAR_ARGS];
    for (int i = 0; i < LINEAR_ARGS; i++) {
        args[i] = i == slot ? arg : linear->args[i];
    }
    return bt_rewrite_op(r, BT_OP_LINEAR, LINEAR_ARGS, args);
}

static bt_value add_residual(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    for (int i = 0; i < 2; i++) {
        const struct bt_arg *product = &node->args[i], *residual = &node->args[1 - i];
        if (product->kind != BT_ARG_VALUE || residual->kind != BT_ARG_VALUE || product->value == residual->value) {
            continue;
        }
        const struct bt_node *linear = own_linear(r, product->value);
        if (linear && bt_match_same_type(&r->g->values[residual->value], &r->g->values[value])) {
            return with(r, linear, RESIDUAL, *residual);
        }
    }
    return BT_NO_VALUE;
}

static bt_value fuse(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    if (node->op == BT_OP_ADD) {
        return add_residual(r, value, node);
    }
    enum bt_activation activation = activation_of(r->g, node);
    if (activation == BT_ACT_NONE) {
        return BT_NO_VALUE;
    }
    const struct bt_node *linear = own_linear(r, node->args[0].value);
    if (!linear || linear->args[ACTIVATION].kind != BT_ARG_NONE) {
        return BT_NO_VALUE;
    }
    return with(r, linear, ACTIVATION, bt_arg_activation(activation));
}

enum bertc_status bt_pass_fuse_epilogue(struct bt_graph *g, struct bertc_error *err)
{
    return bt_rewrite_graph(g, fuse, err);
}
