/* onnx_activation.c: activation functions */
#include <string.h>

#include "load/onnx_lower.h"

static struct bt_dyn unary(struct bt_onnx_call *o, enum bt_op op, struct bt_dyn x)
{
    return bt_onnx_apply(o, op, 1, &x);
}

struct bt_dyn bt_onnx_gelu(struct bt_onnx_call *o, struct bt_dyn x, bool tanh)
{
    const struct bt_dyn operands[] = {x, bt_dyn_scalar(bt_expr_bool(o->call.x, tanh))};
    return bt_lower_apply(&o->call, BT_OP_GELU, 2, operands);
}

void bt_onnx_op_gelu(struct bt_onnx_call *o)
{
    const char *approximate = bt_onnx_string(o, "approximate", "none");
    const bool tanh = strcmp(approximate, "tanh") == 0;
    if (!tanh && strcmp(approximate, "none") != 0) {
        bt_lower_fail(&o->call, BERTC_UNSUPPORTED, "approximate \"%.40s\" is not one of none, tanh", approximate);
    }
    o->outs[0] = bt_onnx_gelu(o, bt_onnx_tensor(o, 0), tanh);
}

/* An ATen lowering on input 0 and numbers behind it. */
static void call_aten(struct bt_onnx_call *o, void (*lower)(struct bt_call *c), enum bt_op detail, int count,
                      const double *numbers)
{
    struct bt_call *c = &o->call;
    c->args[0] = bt_onnx_tensor(o, 0);
    for (int i = 0; i < count; i++) {
        c->args[1 + i] = bt_lower_real(c, numbers[i]);
    }
    c->detail = (int)detail;
    lower(c);
    o->outs[0] = c->out;
}

void bt_onnx_op_softplus(struct bt_onnx_call *o)
{
    call_aten(o, bt_aten_attributes, BT_OP_SOFTPLUS, 2, (const double[]){1, 20});
}

void bt_onnx_op_elu(struct bt_onnx_call *o)
{
    call_aten(o, bt_aten_attributes, BT_OP_ELU, 1, (const double[]){bt_onnx_float(o, "alpha", 1.0)});
}

void bt_onnx_op_leaky_relu(struct bt_onnx_call *o)
{
    call_aten(o, bt_aten_attributes, BT_OP_LEAKY_RELU, 1, (const double[]){bt_onnx_float(o, "alpha", 0.01)});
}

/* gamma * elu(x, alpha) */
void bt_onnx_op_selu(struct bt_onnx_call *o)
{
    call_aten(o, bt_aten_attributes, BT_OP_ELU, 1,
              (const double[]){bt_onnx_float(o, "alpha", 1.6732632423543772848170429916717)});
    const double gamma = bt_onnx_float(o, "gamma", 1.0507009873554804934193349852946);
    o->outs[0] = bt_onnx_binary(o, BT_OP_MUL, o->outs[0], bt_lower_real(&o->call, gamma));
}

void bt_onnx_op_prelu(struct bt_onnx_call *o)
{
    struct bt_dyn x = bt_onnx_tensor(o, 0);
    struct bt_dyn positive = bt_onnx_binary(o, BT_OP_GT, x, bt_lower_integer(&o->call, 0));
    const struct bt_dyn operands[] = {positive, x, bt_onnx_binary(o, BT_OP_MUL, x, bt_onnx_input(o, 1))};
    o->outs[0] = bt_onnx_apply(o, BT_OP_WHERE, 3, operands);
}

/* min(max(alpha * x + beta, 0), 1) */
static struct bt_dyn hard_sigmoid(struct bt_onnx_call *o, struct bt_dyn x, double alpha, double beta)
{
    struct bt_call *c = &o->call;
    x = bt_onnx_binary(o, BT_OP_MUL, x, bt_lower_real(c, alpha));
    x = bt_onnx_binary(o, BT_OP_ADD, x, bt_lower_real(c, beta));
    return bt_onnx_apply(o, BT_OP_CLAMP, 3, (struct bt_dyn[]){x, bt_lower_integer(c, 0), bt_lower_integer(c, 1)});
}

void bt_onnx_op_hard_sigmoid(struct bt_onnx_call *o)
{
    o->outs[0] = hard_sigmoid(o, bt_onnx_tensor(o, 0), bt_onnx_float(o, "alpha", 0.2), bt_onnx_float(o, "beta", 0.5));
}

void bt_onnx_op_hard_swish(struct bt_onnx_call *o)
{
    struct bt_dyn x = bt_onnx_tensor(o, 0);
    o->outs[0] = bt_onnx_binary(o, BT_OP_MUL, x, hard_sigmoid(o, x, 1.0 / 6.0, 0.5));
}

/* x * sigmoid(alpha * x); the name of the operator that ONNX Runtime had first is QuickGelu */
static void swish(struct bt_onnx_call *o, double alpha)
{
    struct bt_dyn x = bt_onnx_tensor(o, 0), gate = x;
    if (alpha == 1.0) {
        o->outs[0] = unary(o, BT_OP_SILU, x);
        return;
    }
    gate = unary(o, BT_OP_SIGMOID, bt_onnx_binary(o, BT_OP_MUL, x, bt_lower_real(&o->call, alpha)));
    o->outs[0] = bt_onnx_binary(o, BT_OP_MUL, x, gate);
}

void bt_onnx_op_swish(struct bt_onnx_call *o)
{
    swish(o, bt_onnx_float(o, "alpha", 1.0));
}

void bt_onnx_op_quick_gelu(struct bt_onnx_call *o)
{
    swish(o, bt_onnx_float(o, "alpha", 1.702));
}

void bt_onnx_op_mish(struct bt_onnx_call *o)
{
    bt_onnx_op_softplus(o);
    o->outs[0] = bt_onnx_binary(o, BT_OP_MUL, bt_onnx_tensor(o, 0), unary(o, BT_OP_TANH, o->outs[0]));
}

/* Before opset 13 the dimensions from `axis` on, by default all but the first, were one; flat, if they are more. */
void bt_onnx_op_softmax(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_tensor(o, 0);
    bt_expr shape[BT_MAX_RANK];
    const int rank = bt_lower_shape(c, x, shape);
    const int axis = bt_onnx_axis(o, o->opset < 13 ? 1 : -1, rank);
    const bool flat = o->opset < 13 && axis < rank - 1;
    if (flat) {
        bt_expr merged[BT_MAX_RANK];
        for (int i = 0; i < axis; i++) {
            merged[i] = shape[i];
        }
        merged[axis] = bt_expr_int(c->x, -1);
        x = bt_lower_reshape(c, x, merged, axis + 1);
    }
    const struct bt_arg args[] = {bt_lower_value(c, x), bt_arg_int(c->g, axis), bt_arg_none()};
    o->outs[0] = bt_lower_node(c, (enum bt_op)o->detail, 3, args);
    if (flat) {
        o->outs[0] = bt_lower_reshape(c, o->outs[0], shape, rank);
    }
}

void bt_onnx_op_gelu_exact(struct bt_onnx_call *o)
{
    o->outs[0] = bt_onnx_gelu(o, bt_onnx_tensor(o, 0), false);
}

/* x, bias */
void bt_onnx_op_bias_gelu(struct bt_onnx_call *o)
{
    o->outs[0] = bt_onnx_gelu(o, bt_onnx_add_bias(o, bt_onnx_tensor(o, 0), bt_onnx_tensor(o, 1)), false);
}

void bt_onnx_op_fast_gelu(struct bt_onnx_call *o)
{
    o->outs[0] = bt_onnx_gelu(o, bt_onnx_add_bias(o, bt_onnx_tensor(o, 0), bt_onnx_tensor(o, 1)), true);
}
