/* simplify_constant.c: a view of a constant is a constant, of the same memory */
#include "pass/simplify.h"

static bool int_at(const struct bt_graph *g, const struct bt_arg *arg, int64_t *out)
{
    return arg->kind == BT_ARG_EXPR && bt_expr_is_int(g->exprs, arg->expr, out);
}

static bool permute(const struct bt_graph *g, const struct bt_node *node, struct bt_tensor *t)
{
    const struct bt_tensor from = *t;
    for (int32_t d = 0; d < node->args[1].count; d++) {
        int64_t dim;
        if (!bt_expr_is_int(g->exprs, node->args[1].list[d], &dim)) {
            return false;
        }
        t->dims[d] = from.dims[dim];
        t->strides[d] = from.strides[dim];
    }
    return true;
}

/* select and slice: rows [start, start + count * step) of a dimension; inference has clamped them to its size. */
static bool take(const struct bt_graph *g, const struct bt_node *node, struct bt_tensor *t)
{
    const bool slice = node->op == BT_OP_SLICE;
    int64_t dim, start, end, step = 1;
    if (!int_at(g, &node->args[1], &dim) || !int_at(g, &node->args[2], &start) ||
        (slice && (!int_at(g, &node->args[3], &end) || !int_at(g, &node->args[4], &step))) || start < 0 ||
        start >= t->dims[dim]) {
        return false;
    }
    t->data = (const char *)t->data + start * t->strides[dim] * (int64_t)bt_dtype_size(t->dtype);
    if (slice) {
        t->dims[dim] = end > start ? (end - start + step - 1) / step : 0;
        t->strides[dim] *= step;
        return true;
    }
    t->rank--;
    for (int d = (int)dim; d < t->rank; d++) {
        t->dims[d] = t->dims[d + 1];
        t->strides[d] = t->strides[d + 1];
    }
    return true;
}

/* Adjacent dims that lie in memory as one, from the last to the first, are cut into the new ones. */
static bool reshape(const struct bt_graph *g, const struct bt_value_info *shape, struct bt_tensor *t)
{
    const struct bt_tensor from = *t;
    int own = from.rank - 1;
    int64_t left = 1, stride = 1; /* of the run of old dims that is being cut */
    t->rank = shape->rank;
    for (int d = shape->rank - 1; d >= 0; d--) {
        int64_t size;
        if (!bt_expr_is_int(g->exprs, shape->dims[d], &size) || size < 1) {
            return false;
        }
        while (left < size && own >= 0) {
            if (left == 1) {
                stride = from.strides[own];
            } else if (from.dims[own] != 1 && from.strides[own] != stride * left) {
                return false;
            }
            left *= from.dims[own--];
        }
        if (left % size != 0) {
            return false;
        }
        t->dims[d] = size;
        t->strides[d] = stride;
        left /= size;
        stride *= size;
    }
    return left == 1;
}

bt_value bt_simplify_constant(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    struct bt_graph *g = r->g;
    struct bt_tensor tensor;
    bt_value viewed;
    bool found;
    if (node->op > BT_OP_SELECT || node->op == BT_OP_EXPAND || !bt_match_constant(g, node->args[0].value, &tensor) ||
        !tensor.data || tensor.quantized) {
        return BT_NO_VALUE;
    }
    switch (node->op) {
    case BT_OP_PERMUTE: found = permute(g, node, &tensor); break;
    case BT_OP_SELECT:
    case BT_OP_SLICE: found = take(g, node, &tensor); break;
    default: found = reshape(g, &g->values[value], &tensor); break;
    }
    const char *name = g->values[node->args[0].value].name;
    return found && bt_graph_constant(g, &tensor, name, &viewed, &r->trial) == BERTC_OK ? viewed : BT_NO_VALUE;
}
