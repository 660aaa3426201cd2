/* fuse_layer_norm.c: layer and root-mean-square normalisation written out become one op */
#include <string.h>

#include "pass/match.h"
#include "pass/pass.h"

/* Whether node reduces the last dimension of its operand and keeps it as 1. */
static bool reduces_last(const struct bt_graph *g, const struct bt_node *node)
{
    int64_t keep;
    return bt_match_single(g, &node->args[1], g->values[node->args[0].value].rank - 1) &&
           node->args[2].kind == BT_ARG_EXPR && bt_expr_is_int(g->exprs, node->args[2].expr, &keep) && keep;
}

static const struct bt_node *mean_of_last(const struct bt_graph *g, bt_value value)
{
    const struct bt_node *mean = bt_match_op(g, value, BT_OP_MEAN);
    return mean && reduces_last(g, mean) ? mean : NULL;
}

/* x - mean(x): x, or BT_NO_VALUE. */
static bt_value centered(const struct bt_graph *g, bt_value value)
{
    const struct bt_node *sub = bt_match_op(g, value, BT_OP_SUB);
    if (!sub || sub->args[0].kind != BT_ARG_VALUE || sub->args[1].kind != BT_ARG_VALUE) {
        return BT_NO_VALUE;
    }
    const struct bt_node *mean = mean_of_last(g, sub->args[1].value);
    return mean && mean->args[0].value == sub->args[0].value ? sub->args[0].value : BT_NO_VALUE;
}

/* What `value` is the square of, or BT_NO_VALUE. */
static bt_value square_root_of(const struct bt_graph *g, bt_value value)
{
    const struct bt_node *node = bt_match_producer(g, value);
    if (!node || node->args[0].kind != BT_ARG_VALUE) {
        return BT_NO_VALUE;
    }
    bool squares =
        (node->op == BT_OP_POW && bt_match_is_number(g, &node->args[1], 2.0)) ||
        (node->op == BT_OP_MUL && node->args[1].kind == BT_ARG_VALUE && node->args[0].value == node->args[1].value);
    return squares ? node->args[0].value : BT_NO_VALUE;
}

/* Whether `value` is the biased variance of x over the last dimension. */
static bool is_variance(const struct bt_graph *g, bt_value value, bt_value x)
{
    const struct bt_node *var = bt_match_op(g, value, BT_OP_VAR);
    double correction;
    if (var) {
        return var->args[0].value == x && reduces_last(g, var) && bt_match_number(g, &var->args[3], &correction) &&
               correction == 0.0;
    }
    const struct bt_node *mean = mean_of_last(g, value);
    return mean && centered(g, square_root_of(g, mean->args[0].value)) == x;
}

/* The operand of sqrt or of pow 0.5, or of their reciprocals. */
static bt_value under_root(const struct bt_graph *g, bt_value value, bool reciprocal)
{
    const struct bt_node *node = bt_match_producer(g, value);
    if (reciprocal && node && node->op == BT_OP_RECIPROCAL) {
        return under_root(g, node->args[0].value, false);
    }
    if (!node || node->args[0].kind != BT_ARG_VALUE) {
        return BT_NO_VALUE;
    }
    bool fits = node->op == (reciprocal ? BT_OP_RSQRT : BT_OP_SQRT) ||
                (node->op == BT_OP_POW && bt_match_is_number(g, &node->args[1], reciprocal ? -0.5 : 0.5));
    return fits ? node->args[0].value : BT_NO_VALUE;
}

/* Whether `value` is the mean of the squares of x over the last dimension. */
static bool is_mean_square(const struct bt_graph *g, bt_value value, bt_value x)
{
    const struct bt_node *mean = mean_of_last(g, value);
    return mean && square_root_of(g, mean->args[0].value) == x;
}

struct parts {
    enum bt_op op;
    bt_value x;
    double eps;
};

/* numerator / sqrt(var + eps), or numerator * rsqrt(var + eps) */
static bool match_parts(const struct bt_graph *g, bt_value numerator, bt_value factor, bool reciprocal,
                        struct parts *parts)
{
    bt_value moment;
    const struct bt_node *sum = bt_match_op(g, under_root(g, factor, reciprocal), BT_OP_ADD);
    if (!sum || !bt_match_tensor_and_number(g, sum, &moment, &parts->eps)) {
        return false;
    }
    parts->op = BT_OP_LAYER_NORM;
    parts->x = centered(g, numerator);
    if (parts->x >= 0 && is_variance(g, moment, parts->x)) {
        return true;
    }
    parts->op = BT_OP_RMS_NORM;
    parts->x = numerator;
    return is_mean_square(g, moment, numerator);
}

static bool match_normalized(const struct bt_graph *g, const struct bt_node *node, struct parts *parts)
{
    if ((node->op != BT_OP_DIV && node->op != BT_OP_MUL) || node->args[0].kind != BT_ARG_VALUE ||
        node->args[1].kind != BT_ARG_VALUE) {
        return false;
    }
    bt_value a = node->args[0].value, b = node->args[1].value;
    if (node->op == BT_OP_DIV) {
        return match_parts(g, a, b, false, parts);
    }
    return match_parts(g, a, b, true, parts) || match_parts(g, b, a, true, parts);
}

/* The normalisation of the last dimension that makes `value` and has no such vector yet: its slot for it. */
static const struct bt_node *open_norm(const struct bt_graph *g, bt_value value, bool weight, int *slot)
{
    enum { WEIGHT = 2, BIAS = 3 };
    const struct bt_node *norm = bt_match_producer(g, value);
    const bool layer = norm && norm->op == BT_OP_LAYER_NORM, rms = norm && norm->op == BT_OP_RMS_NORM && weight;
    *slot = weight ? WEIGHT : BIAS;
    bool open = (layer || rms) && bt_match_is_number(g, &norm->args[1], 1.0) && norm->args[*slot].kind == BT_ARG_NONE &&
                (rms || norm->args[BIAS].kind == BT_ARG_NONE);
    return open ? norm : NULL;
}

/* A normalised value times a vector, or plus a vector: the vector becomes its weight or bias. */
static enum bertc_status fuse_affine(struct bt_graph *g, size_t index, struct bertc_error *err)
{
    enum { MOST_ARGS = 5 };
    const struct bt_node node = g->nodes[index];
    bool done = false;
    enum bertc_status status = BERTC_OK;
    for (int i = 0; i < 2 && !done && !status; i++) {
        const struct bt_arg *vector = &node.args[1 - i];
        int slot;
        if (node.args[i].kind != BT_ARG_VALUE || vector->kind != BT_ARG_VALUE || g->values[vector->value].rank != 1) {
            continue;
        }
        const struct bt_node *norm = open_norm(g, node.args[i].value, node.op == BT_OP_MUL, &slot);
        if (!norm) {
            continue;
        }
        struct bt_arg args[MOST_ARGS];
        memcpy(args, norm->args, (size_t)norm->nargs * sizeof(*args));
        args[slot] = *vector;
        status = bt_match_replace(g, index, norm->op, args, norm->nargs, &done, err);
    }
    return status;
}

static enum bertc_status fuse(struct bt_graph *g, size_t index, struct bertc_error *err)
{
    struct parts parts;
    bool done;
    if (match_normalized(g, &g->nodes[index], &parts)) {
        const struct bt_arg input = bt_arg_value(parts.x), one = bt_arg_int(g, 1), eps = bt_arg_float(g, parts.eps);
        const struct bt_arg layer[] = {input, one, bt_arg_none(), bt_arg_none(), eps};
        const struct bt_arg rms[] = {input, one, bt_arg_none(), eps};
        return parts.op == BT_OP_LAYER_NORM ? bt_match_replace(g, index, parts.op, layer, 5, &done, err)
                                            : bt_match_replace(g, index, parts.op, rms, 4, &done, err);
    }
    return g->nodes[index].op == BT_OP_DIV ? BERTC_OK : fuse_affine(g, index, err);
}

enum bertc_status bt_pass_fuse_layer_norm(struct bt_graph *g, struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; i < g->node_count && !status; i++) {
        enum bt_op op = g->nodes[i].op;
        if (op == BT_OP_DIV || op == BT_OP_MUL || op == BT_OP_ADD) {
            status = fuse(g, i, err);
        }
    }
    return status;
}
