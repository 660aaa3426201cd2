/* onnx_quant.c: quantised tensors: to and from bytes, and exact products of bytes, as ONNX Runtime computes them */
#include "load/onnx_quant.h"

/* A scale or zero point: one, or one an item of dimension `axis` of x, to broadcast with x. */
static struct bt_dyn along_axis(struct bt_onnx_call *o, struct bt_dyn d, int rank)
{
    struct bt_call *c = &o->call;
    int64_t size;
    if (c->status != BERTC_OK || bt_lower_rank(c, d) == 0) {
        return d;
    }
    if (bt_lower_rank(c, d) != 1) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "scales of blocks are not implemented, only of tensors and channels");
        return d;
    }
    bt_expr shape[BT_MAX_RANK];
    const bool one = bt_expr_is_int(c->x, bt_lower_size(c, d, 0), &size) && size == 1;
    const int axis = one ? -1 : bt_onnx_axis(o, 1, rank);
    for (int i = 0; i < rank; i++) {
        shape[i] = bt_expr_int(c->x, i == axis ? -1 : 1);
    }
    return one ? bt_lower_select(c, d, 0, bt_expr_int(c->x, 0)) : bt_lower_reshape(c, d, shape, rank);
}

static struct bt_dyn as_float(struct bt_onnx_call *o, struct bt_dyn d)
{
    return bt_lower_cast(&o->call, d, BT_F32);
}

struct bt_dyn bt_onnx_dequantized(struct bt_onnx_call *o, struct bt_dyn x, struct bt_dyn scale, struct bt_dyn zero)
{
    struct bt_call *c = &o->call;
    const int rank = bt_lower_rank(c, x);
    struct bt_dyn levels = as_float(o, x);
    if (zero.kind != BT_DYN_NONE) {
        levels = bt_onnx_binary(o, BT_OP_SUB, levels, as_float(o, along_axis(o, zero, rank)));
    }
    return bt_onnx_binary(o, BT_OP_MUL, levels, along_axis(o, scale, rank));
}

/* x, scale, zero point */
void bt_onnx_op_dequantize(struct bt_onnx_call *o)
{
    o->outs[0] = bt_onnx_dequantized(o, bt_onnx_tensor(o, 0), bt_onnx_scalar(o, 1), bt_onnx_tensor(o, 2));
}

/* round(x / scale) + zero point, to nearest even, within the dtype */
static struct bt_dyn quantized(struct bt_onnx_call *o, struct bt_dyn x, struct bt_dyn scale, struct bt_dyn zero,
                               enum bt_dtype dtype)
{
    struct bt_call *c = &o->call;
    const int64_t low = dtype == BT_U8 ? 0 : -128;
    x = bt_lower_unary(c, BT_OP_ROUND, bt_onnx_binary(o, BT_OP_DIV, x, scale));
    x = zero.kind == BT_DYN_NONE ? x : bt_onnx_binary(o, BT_OP_ADD, x, as_float(o, zero));
    const struct bt_dyn bounds[] = {x, bt_lower_integer(c, low), bt_lower_integer(c, low + 255)};
    return bt_lower_cast(c, bt_onnx_apply(o, BT_OP_CLAMP, 3, bounds), dtype);
}

/* x, scale, zero point, whose dtype is the result's; without it `output_dtype`, by default uint8 */
void bt_onnx_op_quantize(struct bt_onnx_call *o)
{
    enum { UINT8 = 2 };
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_tensor(o, 0), zero = bt_onnx_tensor(o, 2);
    const int64_t code = bt_onnx_int(o, "output_dtype", 0);
    const int rank = bt_lower_rank(c, x);
    const char *name;
    enum bt_dtype dtype = BT_F32;
    bool known = true;
    if (zero.kind == BT_DYN_NONE) {
        known = bt_onnx_dtype(code ? code : UINT8, &dtype, &name);
    } else {
        dtype = bt_lower_type(c, zero);
        name = bt_dtype_name(dtype);
    }
    if (!known || (dtype != BT_U8 && dtype != BT_I8)) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "to %s is not implemented, only to bytes", name);
    }
    zero = zero.kind == BT_DYN_NONE ? zero : along_axis(o, zero, rank);
    o->outs[0] = quantized(o, x, along_axis(o, bt_onnx_scalar(o, 1), rank), zero, dtype);
}

struct bt_onnx_levels bt_onnx_quantize_dynamic(struct bt_onnx_call *o, struct bt_dyn x)
{
    struct bt_call *c = &o->call;
    int dims[BT_MAX_RANK];
    const int rank = bt_lower_rank(c, x);
    for (int i = 0; i < rank; i++) {
        dims[i] = i;
    }
    const struct bt_dyn zero = bt_lower_integer(c, 0), most = bt_lower_integer(c, 255);
    struct bt_dyn low = bt_onnx_binary(o, BT_OP_MINIMUM, bt_lower_reduce(c, BT_OP_AMIN, x, dims, rank, false), zero);
    struct bt_dyn high = bt_onnx_binary(o, BT_OP_MAXIMUM, bt_lower_reduce(c, BT_OP_AMAX, x, dims, rank, false), zero);
    struct bt_dyn width = bt_onnx_binary(o, BT_OP_SUB, high, low);
    struct bt_dyn flat = bt_onnx_binary(o, BT_OP_EQ, width, zero);
    const struct bt_dyn scales[] = {flat, bt_lower_integer(c, 1), bt_onnx_binary(o, BT_OP_DIV, width, most)};
    struct bt_onnx_levels out = {.scale = bt_onnx_apply(o, BT_OP_WHERE, 3, scales)};
    struct bt_dyn from = bt_onnx_binary(o, BT_OP_SUB, zero, bt_onnx_binary(o, BT_OP_DIV, low, out.scale));
    const struct bt_dyn bounds[] = {from, zero, most};
    struct bt_dyn point = bt_lower_unary(c, BT_OP_ROUND, bt_onnx_apply(o, BT_OP_CLAMP, 3, bounds));
    out.zero = bt_lower_cast(c, point, BT_U8);
    out.levels = quantized(o, x, out.scale, out.zero, BT_U8);
    return out;
}

/* x -> levels, scale, zero point: of the whole tensor */
void bt_onnx_op_dynamic_quantize(struct bt_onnx_call *o)
{
    const struct bt_onnx_levels q = bt_onnx_quantize_dynamic(o, bt_onnx_tensor(o, 0));
    const struct bt_dyn outs[] = {q.levels, q.scale, q.zero};
    for (size_t i = 0; i < o->out_count && i < 3; i++) {
        o->outs[i] = outs[i];
    }
}

static struct bt_dyn product(struct bt_onnx_call *o, struct bt_dyn a, struct bt_dyn b, struct bt_dyn zero_a,
                             struct bt_dyn zero_b)
{
    struct bt_call *c = &o->call;
    const struct bt_arg args[] = {bt_lower_value(c, a), bt_lower_value(c, b), bt_lower_value(c, zero_a),
                                  bt_lower_value(c, zero_b)};
    return bt_lower_node(c, BT_OP_MATMUL_INTEGER, 4, args);
}

/* a, b, their zero points */
void bt_onnx_op_matmul_integer(struct bt_onnx_call *o)
{
    o->outs[0] = product(o, bt_onnx_tensor(o, 0), bt_onnx_tensor(o, 1), bt_onnx_tensor(o, 2), bt_onnx_tensor(o, 3));
}

struct bt_dyn bt_onnx_integer_product(struct bt_onnx_call *o, struct bt_onnx_levels a, struct bt_dyn b,
                                      struct bt_dyn scale_b, struct bt_dyn zero_b, struct bt_dyn bias)
{
    struct bt_dyn sums = as_float(o, product(o, a.levels, b, a.zero, zero_b));
    sums = bt_onnx_binary(o, BT_OP_MUL, sums, bt_onnx_binary(o, BT_OP_MUL, a.scale, scale_b));
    return bt_onnx_add_bias(o, sums, bias);
}

/* a, b, scales of a and b, zero points of a and b, bias */
void bt_onnx_op_matmul_integer_to_float(struct bt_onnx_call *o)
{
    const struct bt_onnx_levels a = {bt_onnx_tensor(o, 0), bt_onnx_tensor(o, 2), bt_onnx_tensor(o, 4)};
    o->outs[0] = bt_onnx_integer_product(o, a, bt_onnx_tensor(o, 1), bt_onnx_tensor(o, 3), bt_onnx_tensor(o, 5),
                                         bt_onnx_tensor(o, 6));
}

/* a, b, scale of b, zero point of b, bias */
void bt_onnx_op_dynamic_quantize_matmul(struct bt_onnx_call *o)
{
    const struct bt_onnx_levels a = bt_onnx_quantize_dynamic(o, bt_onnx_tensor(o, 0));
    o->outs[0] = bt_onnx_integer_product(o, a, bt_onnx_tensor(o, 1), bt_onnx_tensor(o, 2), bt_onnx_tensor(o, 3),
                                         bt_onnx_tensor(o, 4));
}
