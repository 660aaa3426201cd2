/* aten_activation.c: activation functions, most of them compositions of the graph's pointwise ops */
#include <string.h>

#include "load/lower.h"

static struct bt_dyn clamped(struct bt_call *c, struct bt_dyn x, struct bt_dyn low, struct bt_dyn high)
{
    return bt_lower_apply(c, BT_OP_CLAMP, 3, (struct bt_dyn[]){x, low, high});
}

/* relu6(x + 3) / 6 */
static struct bt_dyn hard_sigmoid(struct bt_call *c, struct bt_dyn x)
{
    x = bt_lower_binary(c, BT_OP_ADD, x, bt_lower_integer(c, 3));
    return bt_lower_binary(c, BT_OP_DIV, clamped(c, x, bt_lower_integer(c, 0), bt_lower_integer(c, 6)),
                           bt_lower_integer(c, 6));
}

static struct bt_dyn softplus(struct bt_call *c, struct bt_dyn x)
{
    return bt_lower_apply(c, BT_OP_SOFTPLUS, 3, (struct bt_dyn[]){x, bt_lower_real(c, 1), bt_lower_real(c, 20)});
}

/* An op whose attributes follow self in the schema as they do in the graph. */
void bt_aten_attributes(struct bt_call *c)
{
    int count = c->detail == BT_OP_SOFTPLUS ? 3 : 2;
    c->out = bt_lower_apply(c, (enum bt_op)c->detail, count, c->args);
}

void bt_aten_gelu(struct bt_call *c)
{
    const char *approximate = c->args[1].text;
    bool tanh = strcmp(approximate, "tanh") == 0;
    if (!tanh && strcmp(approximate, "none") != 0) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "approximate \"%s\" is not one of none, tanh", approximate);
    }
    const struct bt_dyn operands[] = {c->args[0], bt_dyn_scalar(bt_expr_bool(c->x, tanh))};
    c->out = bt_lower_apply(c, BT_OP_GELU, 2, operands);
}

void bt_aten_relu6(struct bt_call *c)
{
    c->out = clamped(c, c->args[0], bt_lower_integer(c, 0), bt_lower_integer(c, 6));
}

void bt_aten_hardsigmoid(struct bt_call *c)
{
    c->out = hard_sigmoid(c, c->args[0]);
}

void bt_aten_hardswish(struct bt_call *c)
{
    c->out = bt_lower_binary(c, BT_OP_MUL, c->args[0], hard_sigmoid(c, c->args[0]));
}

void bt_aten_mish(struct bt_call *c)
{
    struct bt_dyn gate = bt_lower_unary(c, BT_OP_TANH, softplus(c, c->args[0]));
    c->out = bt_lower_binary(c, BT_OP_MUL, c->args[0], gate);
}

void bt_aten_log_sigmoid(struct bt_call *c)
{
    c->out = bt_lower_unary(c, BT_OP_NEG, softplus(c, bt_lower_unary(c, BT_OP_NEG, c->args[0])));
}

/* self, alpha, scale, input_scale */
void bt_aten_elu(struct bt_call *c)
{
    if (bt_lower_float(c, c->args[3]) != 1) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "input_scale other than 1 is not implemented");
    }
    c->out = bt_lower_apply(c, BT_OP_ELU, 2, c->args);
    if (bt_lower_float(c, c->args[2]) != 1) {
        c->out = bt_lower_binary(c, BT_OP_MUL, c->out, c->args[2]);
    }
}

void bt_aten_selu(struct bt_call *c)
{
    const struct bt_dyn operands[] = {c->args[0], bt_lower_real(c, 1.6732632423543772848170429916717)};
    struct bt_dyn elu = bt_lower_apply(c, BT_OP_ELU, 2, operands);
    c->out = bt_lower_binary(c, BT_OP_MUL, elu, bt_lower_real(c, 1.0507009873554804934193349852946));
}

/* self, threshold, value; torch 1.0 writes relu as threshold(x, 0, 0) */
void bt_aten_threshold(struct bt_call *c)
{
    if (bt_lower_float(c, c->args[1]) == 0 && bt_lower_float(c, c->args[2]) == 0) {
        c->out = bt_lower_unary(c, BT_OP_RELU, c->args[0]);
        return;
    }
    struct bt_dyn below = bt_lower_binary(c, BT_OP_LE, c->args[0], c->args[1]);
    c->out = bt_lower_apply(c, BT_OP_WHERE, 3, (struct bt_dyn[]){below, c->args[2], c->args[0]});
}

/* self, weight: one slope, or one a channel (dimension 1) */
void bt_aten_prelu(struct bt_call *c)
{
    struct bt_dyn x = c->args[0], slope = c->args[1];
    int rank = bt_lower_rank(c, x);
    if (rank > 1 && bt_lower_rank(c, slope) == 1) {
        bt_expr shape[BT_MAX_RANK];
        for (int i = 0; i < rank; i++) {
            shape[i] = bt_expr_int(c->x, i == 1 ? -1 : 1);
        }
        slope = bt_lower_reshape(c, slope, shape, rank);
    }
    struct bt_dyn positive = bt_lower_binary(c, BT_OP_GT, x, bt_lower_integer(c, 0));
    c->out = bt_lower_apply(c, BT_OP_WHERE, 3, (struct bt_dyn[]){positive, x, bt_lower_binary(c, BT_OP_MUL, x, slope)});
}

/* self, dim: the first half times the sigmoid of the second */
void bt_aten_glu(struct bt_call *c)
{
    struct bt_dyn x = c->args[0];
    int dim = bt_lower_dim(c, c->args[1], bt_lower_rank(c, x));
    bt_expr size = bt_lower_size(c, x, dim);
    bt_expr half = bt_expr_binary(c->x, BT_EXPR_FLOOR_DIV, size, bt_expr_int(c->x, 2));
    struct bt_dyn gate = bt_lower_unary(c, BT_OP_SIGMOID, bt_lower_slice(c, x, dim, half, size));
    c->out = bt_lower_binary(c, BT_OP_MUL, bt_lower_slice(c, x, dim, bt_expr_int(c->x, 0), half), gate);
}
