/* nn_op.c: single operations of an encoder's graph */
#include "load/nn.h"

bt_value bt_nn_op(struct bt_nn *nn, enum bt_op op, int nargs, const struct bt_arg *args)
{
    bt_value outs[BT_MAX_OUTS];
    if (!nn->status) {
        nn->status = bt_graph_node(nn->graph, op, args, nargs, outs, nn->err);
    }
    return nn->status ? BT_NO_VALUE : outs[0];
}

bt_value bt_nn_unary(struct bt_nn *nn, enum bt_op op, bt_value x)
{
    const struct bt_arg args[] = {bt_arg_value(x)};
    return bt_nn_op(nn, op, 1, args);
}

bt_value bt_nn_binary(struct bt_nn *nn, enum bt_op op, bt_value a, bt_value b)
{
    const struct bt_arg args[] = {bt_arg_value(a), bt_arg_value(b)};
    return bt_nn_op(nn, op, 2, args);
}

bt_value bt_nn_add(struct bt_nn *nn, bt_value a, bt_value b)
{
    return bt_nn_binary(nn, BT_OP_ADD, a, b);
}

bt_value bt_nn_with_int(struct bt_nn *nn, enum bt_op op, bt_value x, int64_t number)
{
    const struct bt_arg args[] = {bt_arg_value(x), bt_arg_int(nn->graph, number)};
    return bt_nn_op(nn, op, 2, args);
}

bt_value bt_nn_with_float(struct bt_nn *nn, enum bt_op op, bt_value x, double number)
{
    const struct bt_arg args[] = {bt_arg_value(x), bt_arg_float(nn->graph, number)};
    return bt_nn_op(nn, op, 2, args);
}

bt_value bt_nn_cast(struct bt_nn *nn, bt_value x, enum bt_dtype dtype)
{
    const struct bt_arg args[] = {bt_arg_value(x), bt_arg_dtype(dtype)};
    return bt_nn_op(nn, BT_OP_CAST, 2, args);
}

bt_value bt_nn_range(struct bt_nn *nn, bt_expr count)
{
    const struct bt_arg args[] = {bt_arg_int(nn->graph, 0), bt_arg_expr(count), bt_arg_int(nn->graph, 1),
                                  bt_arg_dtype(BT_I64)};
    return bt_nn_op(nn, BT_OP_ARANGE, 4, args);
}

bt_value bt_nn_where(struct bt_nn *nn, bt_value condition, struct bt_arg yes, struct bt_arg no)
{
    const struct bt_arg args[] = {bt_arg_value(condition), yes, no};
    return bt_nn_op(nn, BT_OP_WHERE, 3, args);
}

/* ---- views ---- */

bt_value bt_nn_unsqueeze(struct bt_nn *nn, bt_value x, int dim)
{
    return bt_nn_with_int(nn, BT_OP_UNSQUEEZE, x, dim);
}

bt_value bt_nn_select(struct bt_nn *nn, bt_value x, int dim, int64_t index)
{
    const struct bt_arg args[] = {bt_arg_value(x), bt_arg_int(nn->graph, dim), bt_arg_int(nn->graph, index)};
    return bt_nn_op(nn, BT_OP_SELECT, 3, args);
}

bt_value bt_nn_slice(struct bt_nn *nn, bt_value x, int dim, bt_expr start, bt_expr end)
{
    const struct bt_arg args[] = {bt_arg_value(x), bt_arg_int(nn->graph, dim), bt_arg_expr(start), bt_arg_expr(end),
                                  bt_arg_int(nn->graph, 1)};
    return bt_nn_op(nn, BT_OP_SLICE, 5, args);
}

bt_value bt_nn_slice_fixed(struct bt_nn *nn, bt_value x, int dim, int64_t start, int64_t end)
{
    return bt_nn_slice(nn, x, dim, bt_nn_int(nn, start), bt_nn_int(nn, end));
}

bt_value bt_nn_swap(struct bt_nn *nn, bt_value x, int a, int b)
{
    if (nn->status) {
        return BT_NO_VALUE;
    }
    bt_expr order[BT_MAX_RANK];
    const int rank = nn->graph->values[x].rank;
    for (int d = 0; d < rank; d++) {
        order[d] = bt_nn_int(nn, d == a ? b : d == b ? a : d);
    }
    const struct bt_arg args[] = {bt_arg_value(x), bt_arg_exprs(order, rank)};
    return bt_nn_op(nn, BT_OP_PERMUTE, 2, args);
}

bt_value bt_nn_reshape(struct bt_nn *nn, bt_value x, int rank, const bt_expr *shape)
{
    const struct bt_arg args[] = {bt_arg_value(x), bt_arg_exprs(shape, rank)};
    return bt_nn_op(nn, BT_OP_RESHAPE, 2, args);
}

bt_value bt_nn_cat(struct bt_nn *nn, const bt_value *parts, int32_t count, int dim)
{
    const struct bt_arg args[] = {bt_arg_values(parts, count), bt_arg_int(nn->graph, dim)};
    return bt_nn_op(nn, BT_OP_CAT, 2, args);
}

bt_expr bt_nn_dim(const struct bt_nn *nn, bt_value x, int dim)
{
    return nn->status ? BT_NO_EXPR : nn->graph->values[x].dims[dim];
}

bt_expr bt_nn_int(const struct bt_nn *nn, int64_t number)
{
    return bt_expr_int(nn->graph->exprs, number);
}

/* ---- heads ---- */

bt_value bt_nn_split_heads(struct bt_nn *nn, bt_value x, int64_t heads)
{
    if (nn->status) {
        return BT_NO_VALUE;
    }
    const bt_expr count = bt_nn_int(nn, heads);
    const bt_expr size = bt_expr_binary(nn->graph->exprs, BT_EXPR_FLOOR_DIV, bt_nn_dim(nn, x, 2), count);
    const bt_expr shape[] = {bt_nn_dim(nn, x, 0), bt_nn_dim(nn, x, 1), count, size};
    return bt_nn_swap(nn, bt_nn_reshape(nn, x, 4, shape), 1, 2);
}

bt_value bt_nn_join_heads(struct bt_nn *nn, bt_value x)
{
    if (nn->status) {
        return BT_NO_VALUE;
    }
    const bt_expr width = bt_expr_binary(nn->graph->exprs, BT_EXPR_MUL, bt_nn_dim(nn, x, 1), bt_nn_dim(nn, x, 3));
    const bt_expr shape[] = {bt_nn_dim(nn, x, 0), bt_nn_dim(nn, x, 2), width};
    return bt_nn_reshape(nn, bt_nn_swap(nn, x, 1, 2), 3, shape);
}
