/* onnx_nn.c: layers: products, convolutions, normalisation */
#include <string.h>

#include "load/onnx_lower.h"

void bt_onnx_op_matmul(struct bt_onnx_call *o)
{
    o->outs[0] = bt_onnx_product(o, bt_onnx_tensor(o, 0), bt_onnx_tensor(o, 1));
}

struct bt_dyn bt_onnx_add_bias(struct bt_onnx_call *o, struct bt_dyn x, struct bt_dyn bias)
{
    return bias.kind == BT_DYN_NONE ? x : bt_onnx_binary(o, BT_OP_ADD, x, bias);
}

static struct bt_dyn scaled(struct bt_onnx_call *o, struct bt_dyn x, double factor)
{
    return factor == 1.0 ? x : bt_onnx_binary(o, BT_OP_MUL, x, bt_lower_real(&o->call, factor));
}

/* alpha * a b + beta * c, with a and b possibly transposed */
void bt_onnx_op_gemm(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn a = bt_onnx_tensor(o, 0), b = bt_onnx_tensor(o, 1), bias = bt_onnx_tensor(o, 2);
    const double alpha = bt_onnx_float(o, "alpha", 1.0), beta = bt_onnx_float(o, "beta", 1.0);
    if (bt_lower_rank(c, a) != 2 || bt_lower_rank(c, b) != 2) {
        bt_lower_fail(c, BERTC_INPUT, "operands of rank %d and %d, expected matrices", bt_lower_rank(c, a),
                      bt_lower_rank(c, b));
        return;
    }
    a = bt_onnx_int(o, "transA", 0) ? bt_onnx_swap_last(o, a) : a;
    if (!bt_onnx_int(o, "transB", 0)) {
        o->outs[0] = scaled(o, bt_lower_matmul(c, a, b), alpha);
    } else if (alpha == 1.0 && beta == 1.0 && bt_lower_rank(c, bias) == 1) {
        o->outs[0] = bt_lower_linear(c, a, b, bias);
        return;
    } else {
        o->outs[0] = scaled(o, bt_lower_linear(c, a, b, bt_dyn_none()), alpha);
    }
    if (bias.kind != BT_DYN_NONE && beta != 0.0) {
        o->outs[0] = bt_onnx_add_bias(o, o->outs[0], scaled(o, bias, beta));
    }
}

/* alpha * a b, with the last two dimensions of each possibly swapped */
void bt_onnx_op_fused_matmul(struct bt_onnx_call *o)
{
    struct bt_dyn a = bt_onnx_tensor(o, 0), b = bt_onnx_tensor(o, 1);
    if (bt_onnx_int(o, "transBatchA", 0) || bt_onnx_int(o, "transBatchB", 0)) {
        bt_lower_fail(&o->call, BERTC_UNSUPPORTED, "transBatchA and transBatchB are not implemented");
    }
    a = bt_onnx_int(o, "transA", 0) ? bt_onnx_swap_last(o, a) : a;
    b = bt_onnx_int(o, "transB", 0) ? bt_onnx_swap_last(o, b) : b;
    o->outs[0] = scaled(o, bt_lower_matmul(&o->call, a, b), bt_onnx_float(o, "alpha", 1.0));
}

/* Gemm with an activation behind it */
void bt_onnx_op_fused_gemm(struct bt_onnx_call *o)
{
    static const struct {
        const char *name;
        enum bt_op op;
    } activations[] = {{"Relu", BT_OP_RELU}, {"Tanh", BT_OP_TANH}, {"Sigmoid", BT_OP_SIGMOID}};
    const char *name = bt_onnx_string(o, "activation", "");
    bt_onnx_op_gemm(o);
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        if (strcmp(activations[i].name, name) == 0) {
            o->outs[0] = bt_lower_unary(&o->call, activations[i].op, o->outs[0]);
            return;
        }
    }
    if (*name) {
        bt_lower_fail(&o->call, BERTC_UNSUPPORTED, "activation \"%.40s\" is not implemented", name);
    }
}

void bt_onnx_op_einsum(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    c->args[0] = bt_dyn_string(bt_onnx_string(o, "equation", ""));
    c->args[1] = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (size_t i = 0; i < o->input_count; i++) {
        bt_lower_append(c, &c->args[1], bt_onnx_tensor(o, i));
    }
    c->args[2] = bt_dyn_none();
    if (c->status == BERTC_OK) {
        bt_aten_einsum(c);
    }
    o->outs[0] = c->out;
}

/* A list of `count` integers from an attribute, else `fallback` each; of pads the starts. */
static struct bt_dyn window(struct bt_onnx_call *o, const char *name, int64_t fallback, int count)
{
    struct bt_call *c = &o->call;
    const struct bt_onnx_attribute *a = bt_onnx_attribute_of(o, name, BT_ONNX_INTS);
    struct bt_dyn list = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (int i = 0; i < count; i++) {
        const bool given = a && (size_t)i < a->ints.count;
        bt_lower_append(c, &list, bt_lower_integer(c, given ? a->ints.items[i] : fallback));
    }
    return list;
}

/* x, w, bias */
void bt_onnx_op_conv(struct bt_onnx_call *o)
{
    enum { STRIDE = 3, PADDING, DILATION, GROUPS };
    struct bt_call *c = &o->call;
    const struct bt_onnx_attribute *pads = bt_onnx_attribute_of(o, "pads", BT_ONNX_INTS);
    c->args[0] = bt_onnx_tensor(o, 0);
    c->args[1] = bt_onnx_tensor(o, 1);
    c->args[2] = bt_onnx_tensor(o, 2);
    const int count = bt_lower_rank(c, c->args[1]) - 2;
    const char *mode = bt_onnx_string(o, "auto_pad", "NOTSET");
    if (strcmp(mode, "NOTSET") != 0 && strcmp(mode, "VALID") != 0) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "auto_pad \"%.40s\" is not implemented", mode);
    }
    for (int i = 0; pads && i < count && (size_t)(i + count) < pads->ints.count; i++) {
        if (pads->ints.items[i] != pads->ints.items[i + count]) {
            bt_lower_fail(c, BERTC_UNSUPPORTED, "padding that differs between the sides is not implemented");
        }
    }
    c->args[STRIDE] = window(o, "strides", 1, count);
    c->args[PADDING] = window(o, "pads", 0, count);
    c->args[DILATION] = window(o, "dilations", 1, count);
    c->args[GROUPS] = bt_lower_integer(c, bt_onnx_int(o, "group", 1));
    c->detail = GROUPS;
    if (c->status == BERTC_OK && count == 2) {
        bt_aten_conv2d(c);
    } else if (c->status == BERTC_OK) {
        bt_aten_conv1d(c);
    }
    o->outs[0] = c->out;
}

/* Over the last `count` dimensions. */
static struct bt_dyn normalize(struct bt_onnx_call *o, enum bt_op op, struct bt_dyn x, int count, struct bt_dyn weight,
                               struct bt_dyn bias, double eps)
{
    struct bt_call *c = &o->call;
    struct bt_arg args[5] = {bt_lower_value(c, x), bt_arg_int(c->g, count), bt_lower_value(c, weight)};
    int last = 3;
    if (op == BT_OP_LAYER_NORM) {
        args[last++] = bt_lower_value(c, bias);
    }
    args[last++] = bt_arg_float(c->g, eps);
    return bt_lower_node(c, op, last, args);
}

struct bt_dyn bt_onnx_layer_norm(struct bt_onnx_call *o, struct bt_dyn x, struct bt_dyn weight, struct bt_dyn bias,
                                 double eps)
{
    return normalize(o, BT_OP_LAYER_NORM, x, 1, weight, bias, eps);
}

/* Exporters write zeros for the bias that a layer does not have: None then. */
static struct bt_dyn without_zeros(struct bt_onnx_call *o, struct bt_dyn bias)
{
    const struct bt_tensor *t = bt_onnx_constant_of(o, bias);
    if (!t) {
        return bias;
    }
    const uint8_t *bytes = t->data;
    const size_t size = (size_t)bt_numel(t->rank, t->dims) * bt_dtype_size(t->dtype);
    size_t i = 0;
    while (i < size && bytes[i] == 0) {
        i++;
    }
    return i == size && bt_is_contiguous(t->rank, t->dims, t->strides) ? bt_dyn_none() : bias;
}

/* x, scale, bias: over the dimensions from `axis` on */
void bt_onnx_op_layer_normalization(struct bt_onnx_call *o)
{
    struct bt_dyn x = bt_onnx_tensor(o, 0);
    const int rank = bt_lower_rank(&o->call, x), count = rank - bt_onnx_axis(o, -1, rank);
    bt_onnx_refuse_outputs(o, "which training uses");
    o->outs[0] = normalize(o, (enum bt_op)o->detail, x, count, bt_onnx_tensor(o, 1),
                           without_zeros(o, bt_onnx_tensor(o, 2)), bt_onnx_float(o, "epsilon", 1e-5));
}

/* input, skip, gamma, then of layer_norm beta, then bias -> normalised, mean, deviation, sum */
void bt_onnx_op_skip_layer_norm(struct bt_onnx_call *o)
{
    enum { SUM = 3 };
    const size_t beta = o->detail == BT_OP_LAYER_NORM ? 3 : SIZE_MAX, bias = o->detail == BT_OP_LAYER_NORM ? 4 : 3;
    struct bt_dyn x = bt_onnx_add_bias(o, bt_onnx_tensor(o, 0), bt_onnx_tensor(o, bias));
    x = bt_onnx_binary(o, BT_OP_ADD, x, bt_onnx_tensor(o, 1));
    o->outs[0] = normalize(o, (enum bt_op)o->detail, x, 1, bt_onnx_tensor(o, 2), bt_onnx_tensor(o, beta),
                           bt_onnx_float(o, "epsilon", 1e-12));
    if (o->out_count > SUM) {
        o->outs[SUM] = x;
    }
}

/* x, scale, bias, mean, variance: per channel, dimension 1 */
void bt_onnx_op_batch_normalization(struct bt_onnx_call *o)
{
    enum { TRAINING = 5, MOMENTUM, EPS, CUDNN };
    struct bt_call *c = &o->call;
    if (bt_onnx_int(o, "training_mode", 0)) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "the model was exported in training mode: call model.eval() before");
    }
    for (size_t i = 0; i < 5; i++) {
        c->args[i] = bt_onnx_tensor(o, i);
    }
    c->args[TRAINING] = bt_dyn_scalar(bt_expr_bool(c->x, false));
    c->args[MOMENTUM] = bt_lower_real(c, 0);
    c->args[EPS] = bt_lower_real(c, bt_onnx_float(o, "epsilon", 1e-5));
    c->args[CUDNN] = bt_dyn_scalar(bt_expr_bool(c->x, false));
    bt_aten_batch_norm(c);
    o->outs[0] = c->out;
}

/* x, scale, bias: over all dimensions behind the channels, of each channel or of each of `num_groups` groups of them */
void bt_onnx_op_group_normalization(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    const bool groups = o->detail;
    struct bt_dyn x = bt_onnx_tensor(o, 0);
    if (groups && o->opset < 21) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "before opset 21, with scales of groups, it is not implemented");
        return;
    }
    c->args[0] = x;
    c->args[1] = groups ? bt_lower_integer(c, bt_onnx_int(o, "num_groups", 0)) : bt_dyn_scalar(bt_lower_size(c, x, 1));
    c->args[2] = bt_onnx_tensor(o, 1);
    c->args[3] = bt_onnx_tensor(o, 2);
    c->args[4] = bt_lower_real(c, bt_onnx_float(o, "epsilon", 1e-5));
    if (c->status == BERTC_OK) {
        bt_aten_group_norm(c);
    }
    o->outs[0] = c->out;
}
