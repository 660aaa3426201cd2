/* onnx_reduce.c: reductions, running sums, and the largest items */
#include "load/onnx_lower.h"

/* The dims of axes (attribute or input 1); without them all, or none where noop_with_empty_axes says so. */
static int reduced_dims(struct bt_onnx_call *o, int rank, int *dims)
{
    int count;
    bt_onnx_dims(o, "axes", 1, rank, dims, &count);
    if (count == 0 && !bt_onnx_int(o, "noop_with_empty_axes", 0)) {
        for (; count < rank; count++) {
            dims[count] = count;
        }
    }
    return count;
}

static bool keeps_dims(struct bt_onnx_call *o)
{
    return bt_onnx_int(o, "keepdims", 1) != 0;
}

/* The sum, product, ... of a known list: a number. */
static bool reduce_known(struct bt_onnx_call *o, struct bt_dyn x)
{
    enum bt_op op = o->detail == BT_OP_SUM    ? BT_OP_ADD
                    : o->detail == BT_OP_PROD ? BT_OP_MUL
                    : o->detail == BT_OP_AMAX ? BT_OP_MAXIMUM
                                              : BT_OP_MINIMUM;
    if (x.kind != BT_DYN_LIST || x.seq->count == 0 || o->detail == BT_OP_MEAN) {
        return false;
    }
    struct bt_dyn total = x.seq->items[0];
    for (size_t i = 1; i < x.seq->count; i++) {
        total = bt_onnx_binary(o, op, total, x.seq->items[i]);
    }
    o->outs[0] = keeps_dims(o) ? bt_lower_seq(&o->call, BT_DYN_LIST, &total, 1) : total;
    return true;
}

void bt_onnx_op_reduce(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    int dims[BT_MAX_RANK];
    struct bt_dyn x = bt_onnx_input(o, 0);
    if (reduce_known(o, x)) {
        return;
    }
    x = bt_onnx_as_tensor(o, x);
    const int count = reduced_dims(o, bt_lower_rank(c, x), dims);
    o->outs[0] = count ? bt_lower_reduce(c, (enum bt_op)o->detail, x, dims, count, keeps_dims(o)) : x;
    if (c->status == BERTC_OK && bt_lower_type(c, o->outs[0]) != bt_lower_type(c, x)) {
        o->outs[0] = bt_lower_cast(c, o->outs[0], bt_lower_type(c, x)); /* sums of int32 stay int32 */
    }
}

static struct bt_dyn vector_norm(struct bt_onnx_call *o, struct bt_dyn x, double order, const int *dims, int count,
                                 bool keep)
{
    struct bt_call *c = &o->call;
    const struct bt_arg args[] = {bt_lower_value(c, x), bt_arg_float(c->g, order), bt_lower_ints(c, dims, count),
                                  bt_arg_expr(bt_expr_bool(c->x, keep))};
    return bt_lower_node(c, BT_OP_NORM, 4, args);
}

/* The detail is the order. */
void bt_onnx_op_reduce_norm(struct bt_onnx_call *o)
{
    int dims[BT_MAX_RANK];
    struct bt_dyn x = bt_onnx_tensor(o, 0);
    const int count = reduced_dims(o, bt_lower_rank(&o->call, x), dims);
    o->outs[0] = vector_norm(o, x, o->detail, dims, count, keeps_dims(o));
}

void bt_onnx_op_reduce_sum_square(struct bt_onnx_call *o)
{
    int dims[BT_MAX_RANK];
    struct bt_dyn x = bt_onnx_tensor(o, 0);
    const int count = reduced_dims(o, bt_lower_rank(&o->call, x), dims);
    o->outs[0] = bt_lower_reduce(&o->call, BT_OP_SUM, bt_onnx_binary(o, BT_OP_MUL, x, x), dims, count, keeps_dims(o));
}

void bt_onnx_op_reduce_log_sum_exp(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    int dims[BT_MAX_RANK];
    c->args[0] = bt_onnx_tensor(o, 0);
    const int count = reduced_dims(o, bt_lower_rank(c, c->args[0]), dims);
    c->args[1] = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (int i = 0; i < count; i++) {
        bt_lower_append(c, &c->args[1], bt_lower_integer(c, dims[i]));
    }
    c->args[2] = bt_dyn_scalar(bt_expr_bool(c->x, keeps_dims(o)));
    bt_aten_logsumexp(c);
    o->outs[0] = c->out;
}

/* x / its norm of order p along `axis`, where that is not 0 */
void bt_onnx_op_lp_normalization(struct bt_onnx_call *o)
{
    struct bt_dyn x = bt_onnx_tensor(o, 0);
    const int axis = bt_onnx_axis(o, -1, bt_lower_rank(&o->call, x));
    struct bt_dyn norm = vector_norm(o, x, (double)bt_onnx_int(o, "p", 2), &axis, 1, true);
    struct bt_dyn is_zero = bt_onnx_binary(o, BT_OP_EQ, norm, bt_lower_integer(&o->call, 0));
    const struct bt_dyn operands[] = {is_zero, bt_lower_integer(&o->call, 1), norm};
    o->outs[0] = bt_onnx_binary(o, BT_OP_DIV, x, bt_onnx_apply(o, BT_OP_WHERE, 3, operands));
}

/* the first of equal items */
void bt_onnx_op_arg_reduce(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_tensor(o, 0);
    const int axis = bt_onnx_axis(o, 0, bt_lower_rank(c, x));
    if (bt_onnx_int(o, "select_last_index", 0)) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "select_last_index is not implemented");
    }
    const struct bt_arg args[] = {bt_lower_value(c, x), bt_arg_int(c->g, axis),
                                  bt_arg_expr(bt_expr_bool(c->x, keeps_dims(o)))};
    o->outs[0] = bt_lower_node(c, (enum bt_op)o->detail, 3, args);
}

/* x, axis; exclusive leaves an item out of its own sum, reverse sums from the end */
void bt_onnx_op_cumsum(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_tensor(o, 0), in = x;
    const int axis = bt_lower_dim(c, bt_onnx_scalar(o, 1), bt_lower_rank(c, x));
    const bool reverse = bt_onnx_int(o, "reverse", 0) != 0;
    const struct bt_arg dim = bt_lower_ints(c, &axis, 1);
    if (reverse) {
        in = bt_lower_node(c, BT_OP_FLIP, 2, (struct bt_arg[]){bt_lower_value(c, in), dim});
    }
    const struct bt_arg args[] = {bt_lower_value(c, in), bt_arg_int(c->g, axis)};
    struct bt_dyn sum = bt_lower_node(c, BT_OP_CUMSUM, 2, args);
    if (c->status == BERTC_OK && bt_lower_type(c, sum) != bt_lower_type(c, x)) {
        sum = bt_lower_cast(c, sum, bt_lower_type(c, x)); /* sums of int32 stay int32 */
    }
    if (reverse) {
        sum = bt_lower_node(c, BT_OP_FLIP, 2, (struct bt_arg[]){bt_lower_value(c, sum), dim});
    }
    o->outs[0] = bt_onnx_int(o, "exclusive", 0) ? bt_onnx_binary(o, BT_OP_SUB, sum, x) : sum;
}

/* x, k -> values, indices, sorted */
void bt_onnx_op_topk(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    c->args[0] = bt_onnx_tensor(o, 0);
    c->args[1] = bt_onnx_scalar(o, 1);
    c->args[2] = bt_lower_integer(c, bt_onnx_axis(o, -1, bt_lower_rank(c, c->args[0])));
    c->args[3] = bt_dyn_scalar(bt_expr_bool(c->x, bt_onnx_int(o, "largest", 1) != 0));
    bt_aten_topk(c);
    for (size_t i = 0; i < o->out_count && i < 2 && c->status == BERTC_OK; i++) {
        o->outs[i] = c->out.seq->items[i];
    }
}
