/* aten_norm.c: normalisation: of trailing dimensions, of channels, of groups of channels */
#include <float.h>

#include "load/lower.h"

/* How many trailing dimensions normalized_shape names, after checking their sizes. */
static struct bt_arg trailing_dims(struct bt_call *c, struct bt_dyn x, struct bt_dyn shape)
{
    bt_expr sizes[BT_MAX_RANK], asked[BT_MAX_RANK];
    int rank = bt_lower_shape(c, x, sizes), count = bt_lower_list(c, shape, asked, BT_MAX_RANK);
    if (count == 0 || count > rank) {
        bt_lower_fail(c, BERTC_INPUT, "normalized_shape has %d dimensions, the input %d", count, rank);
    }
    for (int i = 0; i < count && c->status == BERTC_OK; i++) {
        bt_expr size = sizes[rank - count + i];
        if (!bt_graph_same(c->g, size, asked[i])) {
            bt_lower_fail(c, BERTC_INPUT, "dimension %d of the input is %s, normalized_shape says %s", rank - count + i,
                          bt_expr_text(c->x, size), bt_expr_text(c->x, asked[i]));
        }
    }
    return bt_arg_int(c->g, count);
}

/* input, normalized_shape, weight, bias, eps */
void bt_aten_layer_norm(struct bt_call *c)
{
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), trailing_dims(c, c->args[0], c->args[1]),
                                  bt_lower_value(c, c->args[2]), bt_lower_value(c, c->args[3]),
                                  bt_lower_operand(c, c->args[4])};
    c->out = bt_lower_node(c, BT_OP_LAYER_NORM, 5, args);
}

/* The mean and the reciprocal deviation, which only training uses, come as None. */
void bt_aten_native_layer_norm(struct bt_call *c)
{
    bt_aten_layer_norm(c);
    c->out = bt_lower_seq(c, BT_DYN_TUPLE, (struct bt_dyn[]){c->out, bt_dyn_none(), bt_dyn_none()}, 3);
}

/* input, normalized_shape, weight, eps */
void bt_aten_rms_norm(struct bt_call *c)
{
    const struct bt_arg args[] = {
        bt_lower_value(c, c->args[0]), trailing_dims(c, c->args[0], c->args[1]), bt_lower_value(c, c->args[2]),
        bt_lower_given(c, 3) ? bt_lower_operand(c, c->args[3]) : bt_arg_float(c->g, FLT_EPSILON)};
    c->out = bt_lower_node(c, BT_OP_RMS_NORM, 4, args);
}

/* A vector with an item a channel, to go with a tensor of `rank` dimensions, the second that of the channels. */
static struct bt_dyn channels(struct bt_call *c, struct bt_dyn vector, int rank)
{
    bt_expr shape[BT_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        shape[i] = bt_expr_int(c->x, i == 1 ? -1 : 1);
    }
    return bt_lower_reshape(c, vector, shape, rank);
}

/* x * weight + bias, per channel (dimension 1); each may be None. */
static struct bt_dyn per_channel(struct bt_call *c, struct bt_dyn x, struct bt_dyn weight, struct bt_dyn bias)
{
    if (weight.kind != BT_DYN_NONE) {
        x = bt_lower_binary(c, BT_OP_MUL, x, channels(c, weight, bt_lower_rank(c, x)));
    }
    return bias.kind == BT_DYN_NONE ? x : bt_lower_binary(c, BT_OP_ADD, x, channels(c, bias, bt_lower_rank(c, x)));
}

/* input, weight, bias, mean, variance, training, momentum, eps: per channel, in evaluation mode */
void bt_aten_batch_norm(struct bt_call *c)
{
    if (bt_lower_bool(c, c->args[5]) || !bt_lower_given(c, 3) || !bt_lower_given(c, 4)) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "training mode: call model.eval() before torch.jit.trace");
        return;
    }
    const int rank = bt_lower_rank(c, c->args[0]);
    struct bt_dyn variance = bt_lower_binary(c, BT_OP_ADD, channels(c, c->args[4], rank), c->args[7]);
    struct bt_dyn x = bt_lower_binary(c, BT_OP_SUB, c->args[0], channels(c, c->args[3], rank));
    x = bt_lower_binary(c, BT_OP_MUL, x, bt_lower_unary(c, BT_OP_RSQRT, variance));
    c->out = per_channel(c, x, c->args[1], c->args[2]);
}

/* Each of `groups` equal parts of the channels is normalised over all its items. */
static void normalize_groups(struct bt_call *c, bt_expr groups, struct bt_dyn weight, struct bt_dyn bias,
                             struct bt_dyn eps)
{
    bt_expr shape[BT_MAX_RANK];
    int rank = bt_lower_shape(c, c->args[0], shape);
    if (rank < 2) {
        bt_lower_fail(c, BERTC_INPUT, "the input has no dimension of channels");
        return;
    }
    const bt_expr rows[] = {shape[0], groups, bt_expr_int(c->x, -1)};
    const struct bt_arg args[] = {bt_lower_value(c, bt_lower_reshape(c, c->args[0], rows, 3)), bt_arg_int(c->g, 1),
                                  bt_arg_none(), bt_arg_none(), bt_lower_operand(c, eps)};
    struct bt_dyn x = bt_lower_reshape(c, bt_lower_node(c, BT_OP_LAYER_NORM, 5, args), shape, rank);
    c->out = per_channel(c, x, weight, bias);
}

/* input, num_groups, weight, bias, eps */
void bt_aten_group_norm(struct bt_call *c)
{
    normalize_groups(c, bt_lower_expr(c, c->args[1]), c->args[2], c->args[3], c->args[4]);
}

/* input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps */
void bt_aten_instance_norm(struct bt_call *c)
{
    if (bt_lower_bool(c, c->args[5])) {
        normalize_groups(c, bt_lower_size(c, c->args[0], 1), c->args[1], c->args[2], c->args[7]);
    } else {
        bt_aten_batch_norm(c); /* whose argument `training` is false then, too */
    }
}
