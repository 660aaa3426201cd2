/* onnx_math.c: pointwise arithmetic, comparison, selection and casts */
#include <math.h>

#include "load/onnx_lower.h"

void bt_onnx_op_unary(struct bt_onnx_call *o)
{
    const struct bt_dyn x = bt_onnx_input(o, 0);
    o->outs[0] = bt_onnx_apply(o, (enum bt_op)o->detail, 1, &x);
}

void bt_onnx_op_binary(struct bt_onnx_call *o)
{
    o->outs[0] = bt_onnx_binary(o, (enum bt_op)o->detail, bt_onnx_input(o, 0), bt_onnx_input(o, 1));
}

/* not (a == b) is a != b. */
void bt_onnx_op_not(struct bt_onnx_call *o)
{
    const struct bt_dyn x = bt_onnx_input(o, 0);
    const struct bt_node *eq = bt_onnx_made_by(o, x, BT_OP_EQ);
    o->outs[0] = eq ? bt_lower_node(&o->call, BT_OP_NE, 2, (struct bt_arg[]){eq->args[0], eq->args[1]})
                    : bt_onnx_apply(o, BT_OP_LOGICAL_NOT, 1, &x);
}

/* x * sigmoid(x) is silu(x), for which ONNX had no operator for long. */
void bt_onnx_op_mul(struct bt_onnx_call *o)
{
    for (size_t i = 0; i < 2; i++) {
        const struct bt_dyn x = bt_onnx_input(o, i);
        const struct bt_node *gate = bt_onnx_made_by(o, bt_onnx_input(o, 1 - i), BT_OP_SIGMOID);
        if (gate && x.kind == BT_DYN_TENSOR && x.tensor->value >= 0 && gate->args[0].kind == BT_ARG_VALUE &&
            gate->args[0].value == x.tensor->value) {
            o->outs[0] = bt_lower_unary(&o->call, BT_OP_SILU, x);
            return;
        }
    }
    o->outs[0] = bt_onnx_binary(o, BT_OP_MUL, bt_onnx_input(o, 0), bt_onnx_input(o, 1));
}

void bt_onnx_op_is_inf(struct bt_onnx_call *o)
{
    const bool negative = bt_onnx_int(o, "detect_negative", 1), positive = bt_onnx_int(o, "detect_positive", 1);
    const struct bt_dyn x = bt_onnx_input(o, 0);
    if (negative && positive) {
        o->outs[0] = bt_onnx_apply(o, BT_OP_ISINF, 1, &x);
    } else {
        const double sought = negative ? -INFINITY : positive ? INFINITY : NAN; /* which nothing equals */
        o->outs[0] = bt_onnx_binary(o, BT_OP_EQ, x, bt_lower_real(&o->call, sought));
    }
}

void bt_onnx_op_identity(struct bt_onnx_call *o)
{
    o->outs[0] = bt_onnx_input(o, 0);
}

/* data, ratio, training_mode -> output, mask; before opset 12 the operator never trains */
void bt_onnx_op_dropout(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    if (bt_onnx_given(o, 2) && bt_lower_bool(c, bt_onnx_scalar(o, 2)) &&
        !(bt_onnx_given(o, 1) && bt_onnx_is_number(o, bt_onnx_scalar(o, 1), 0))) {
        bt_lower_fail(c, BERTC_UNSUPPORTED,
                      "the model was exported in training mode, so its results are random: call "
                      "model.eval() before the export");
    }
    o->outs[0] = bt_onnx_input(o, 0);
    if (o->out_count > 1) {
        bt_expr dims[BT_MAX_RANK];
        const int rank = bt_onnx_shape(o, o->outs[0], dims);
        const struct bt_arg args[] = {bt_arg_exprs(dims, rank), bt_arg_expr(bt_expr_bool(c->x, true)),
                                      bt_arg_dtype(BT_BOOL)};
        o->outs[1] = bt_lower_node(c, BT_OP_FULL, 3, args);
    }
}

static struct bt_dyn cast_to(struct bt_onnx_call *o, struct bt_dyn x, enum bt_dtype dtype)
{
    struct bt_call *c = &o->call;
    if (x.kind != BT_DYN_LIST) {
        return c->status == BERTC_OK && bt_lower_type(c, x) != dtype ? bt_lower_cast(c, x, dtype) : x;
    }
    struct bt_dyn out = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (size_t i = 0; i < x.seq->count; i++) {
        struct bt_dyn item = x.seq->items[i];
        bt_lower_append(c, &out, item.kind == BT_DYN_LIST ? cast_to(o, item, dtype) : bt_lower_cast(c, item, dtype));
    }
    return out;
}

void bt_onnx_op_cast(struct bt_onnx_call *o)
{
    enum bt_dtype dtype = BT_F32;
    const char *name;
    if (!bt_onnx_dtype(bt_onnx_int(o, "to", 0), &dtype, &name)) {
        bt_lower_fail(&o->call, BERTC_UNSUPPORTED, "to type %s, which is not supported", name);
    }
    o->outs[0] = cast_to(o, bt_onnx_input(o, 0), dtype);
}

void bt_onnx_op_cast_like(struct bt_onnx_call *o)
{
    o->outs[0] = cast_to(o, bt_onnx_input(o, 0), bt_lower_type(&o->call, bt_onnx_tensor(o, 1)));
}

static bool is_integer(struct bt_onnx_call *o, struct bt_dyn d)
{
    return d.kind == BT_DYN_LIST || !bt_dtype_is_float(bt_lower_type(&o->call, d));
}

/* Of integers the quotient rounds towards zero; sizes are not negative, so that of them is floor_divide. */
static struct bt_dyn divide_integers(struct bt_onnx_call *o, struct bt_dyn a, struct bt_dyn b)
{
    struct bt_call *c = &o->call;
    struct bt_dyn known_a, known_b;
    const bool a_known = bt_lower_is_number(a) || bt_onnx_known(o, a, &known_a);
    const bool b_known = bt_lower_is_number(b) || bt_onnx_known(o, b, &known_b);
    if (a_known && b_known && (a.kind == BT_DYN_LIST || b.kind == BT_DYN_LIST)) {
        return bt_onnx_binary(o, BT_OP_FLOOR_DIVIDE, a, b);
    }
    c->args[0] = bt_onnx_as_tensor(o, a);
    c->args[1] = bt_onnx_as_tensor(o, b);
    c->args[2] = bt_dyn_string("trunc");
    bt_aten_div(c);
    return c->out;
}

void bt_onnx_op_div(struct bt_onnx_call *o)
{
    struct bt_dyn a = bt_onnx_input(o, 0), b = bt_onnx_input(o, 1);
    const bool integers = o->call.status == BERTC_OK && is_integer(o, a) && is_integer(o, b);
    o->outs[0] = integers ? divide_integers(o, a, b) : bt_onnx_binary(o, BT_OP_DIV, a, b);
}

/* Without fmod the sign is the divisor's, with it the dividend's: the same where neither is negative. */
void bt_onnx_op_mod(struct bt_onnx_call *o)
{
    struct bt_dyn a = bt_onnx_input(o, 0), b = bt_onnx_input(o, 1);
    if (!bt_onnx_int(o, "fmod", 0)) {
        o->outs[0] = bt_onnx_binary(o, BT_OP_REMAINDER, a, b);
        return;
    }
    struct bt_dyn magnitude =
        bt_onnx_binary(o, BT_OP_REMAINDER, bt_onnx_apply(o, BT_OP_ABS, 1, &a), bt_onnx_apply(o, BT_OP_ABS, 1, &b));
    o->outs[0] = bt_onnx_binary(o, BT_OP_MUL, bt_onnx_apply(o, BT_OP_SIGN, 1, &a), magnitude);
}

/* The result has the base's dtype whatever the exponent's is. */
void bt_onnx_op_pow(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn base = bt_onnx_input(o, 0), exponent = bt_onnx_input(o, 1);
    if (base.kind == BT_DYN_LIST || c->status != BERTC_OK) {
        o->outs[0] = bt_onnx_binary(o, BT_OP_POW, base, exponent);
        return;
    }
    o->outs[0] = cast_to(o, bt_onnx_binary(o, BT_OP_POW, base, exponent), bt_lower_type(c, base));
}

/* Min, Max, Sum of any number of inputs */
void bt_onnx_op_variadic(struct bt_onnx_call *o)
{
    o->outs[0] = bt_onnx_input(o, 0);
    for (size_t i = 1; i < o->input_count; i++) {
        o->outs[0] = bt_onnx_binary(o, (enum bt_op)o->detail, o->outs[0], bt_onnx_input(o, i));
    }
}

void bt_onnx_op_mean(struct bt_onnx_call *o)
{
    o->detail = BT_OP_ADD;
    bt_onnx_op_variadic(o);
    o->outs[0] = bt_onnx_binary(o, BT_OP_DIV, o->outs[0], bt_lower_integer(&o->call, (int64_t)o->input_count));
}

void bt_onnx_op_where(struct bt_onnx_call *o)
{
    const struct bt_dyn operands[] = {bt_onnx_input(o, 0), bt_onnx_input(o, 1), bt_onnx_input(o, 2)};
    o->outs[0] = bt_onnx_apply(o, BT_OP_WHERE, 3, operands);
}

/* input, min, max; before opset 11 attributes that are never absent */
void bt_onnx_op_clip(struct bt_onnx_call *o)
{
    struct bt_dyn operands[3] = {bt_onnx_input(o, 0), bt_dyn_none(), bt_dyn_none()};
    static const char *const names[] = {"min", "max"};
    for (size_t i = 0; i < 2; i++) {
        if (o->opset < 11 && bt_onnx_attribute(o, names[i])) {
            operands[i + 1] = bt_lower_real(&o->call, bt_onnx_float(o, names[i], 0));
        } else if (bt_onnx_given(o, i + 1)) {
            operands[i + 1] = bt_onnx_scalar(o, i + 1);
        }
    }
    o->outs[0] = bt_onnx_apply(o, BT_OP_CLAMP, 3, operands);
}
