/* aten_math.c: pointwise arithmetic, comparison and selection, on tensors and on numbers */
#include <math.h>
#include <string.h>

#include "load/lower.h"

void bt_aten_unary(struct bt_call *c)
{
    struct bt_dyn x = c->args[0];
    c->out = bt_lower_unary(c, (enum bt_op)c->detail, x);
    /* math.floor and math.ceil give ints */
    bool rounds = c->detail == BT_OP_FLOOR || c->detail == BT_OP_CEIL;
    if (rounds && x.kind == BT_DYN_SCALAR) {
        c->out = bt_dyn_scalar(bt_number_convert(c->x, bt_lower_expr(c, c->out), BT_I64));
    }
}

void bt_aten_binary(struct bt_call *c)
{
    c->out = bt_lower_binary(c, (enum bt_op)c->detail, c->args[0], c->args[1]);
}

/* x * factor, nothing when the factor is the constant 1. */
static struct bt_dyn scaled(struct bt_call *c, struct bt_dyn x, struct bt_dyn factor)
{
    struct bt_scalar value;
    bool one = bt_expr_is_const(c->x, bt_lower_expr(c, factor), &value) &&
               (value.type == BT_SCALAR_FLOAT ? value.f == 1.0 : value.i == 1);
    return one ? x : bt_lower_binary(c, BT_OP_MUL, x, factor);
}

/* add, sub: self, other, alpha */
void bt_aten_add(struct bt_call *c)
{
    c->out = bt_lower_binary(c, (enum bt_op)c->detail, c->args[0], scaled(c, c->args[1], c->args[2]));
}

void bt_aten_rsub(struct bt_call *c)
{
    c->out = bt_lower_binary(c, BT_OP_SUB, c->args[1], scaled(c, c->args[0], c->args[2]));
}

/* Rounds the quotient of integers towards zero: their float quotient would be exact only below 2^24. */
static struct bt_dyn truncated(struct bt_call *c, struct bt_dyn a, struct bt_dyn b)
{
    bool numbers = bt_lower_is_number(a) && bt_lower_is_number(b);
    if (numbers && bt_expr_is_non_negative(c->x, bt_lower_expr(c, a)) &&
        bt_expr_is_non_negative(c->x, bt_lower_expr(c, b))) {
        return bt_lower_binary(c, BT_OP_FLOOR_DIVIDE, a, b);
    }
    if (bt_dtype_is_float(bt_lower_type(c, a)) || bt_dtype_is_float(bt_lower_type(c, b))) {
        return bt_lower_unary(c, BT_OP_TRUNC, bt_lower_binary(c, BT_OP_DIV, a, b));
    }
    struct bt_dyn sign =
        bt_lower_binary(c, BT_OP_MUL, bt_lower_unary(c, BT_OP_SIGN, a), bt_lower_unary(c, BT_OP_SIGN, b));
    struct bt_dyn quotient =
        bt_lower_binary(c, BT_OP_FLOOR_DIVIDE, bt_lower_unary(c, BT_OP_ABS, a), bt_lower_unary(c, BT_OP_ABS, b));
    return bt_lower_binary(c, BT_OP_MUL, sign, quotient);
}

/* Of two integers at least one is a tensor. */
static bool any_integer_tensor(struct bt_call *c, struct bt_dyn a, struct bt_dyn b)
{
    return (a.kind == BT_DYN_TENSOR || b.kind == BT_DYN_TENSOR) && !bt_dtype_is_float(bt_lower_type(c, a)) &&
           !bt_dtype_is_float(bt_lower_type(c, b));
}

/* self, other, rounding_mode */
void bt_aten_div(struct bt_call *c)
{
    const char *mode = bt_lower_given(c, 2) ? c->args[2].text : "";
    if (strcmp(mode, "floor") == 0) {
        c->out = bt_lower_binary(c, BT_OP_FLOOR_DIVIDE, c->args[0], c->args[1]);
    } else if (strcmp(mode, "trunc") == 0) {
        c->out = truncated(c, c->args[0], c->args[1]);
    } else if (*mode) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "rounding_mode \"%s\" is not one of floor, trunc", mode);
    } else if (c->l->integer_div && any_integer_tensor(c, c->args[0], c->args[1])) {
        c->out = truncated(c, c->args[0], c->args[1]);
    } else {
        c->out = bt_lower_binary(c, BT_OP_DIV, c->args[0], c->args[1]);
    }
}

void bt_aten_square(struct bt_call *c)
{
    c->out = bt_lower_binary(c, BT_OP_MUL, c->args[0], c->args[0]);
}

/* The logarithm whose base is the detail. */
void bt_aten_log(struct bt_call *c)
{
    struct bt_dyn factor = bt_lower_real(c, 1.0 / log(c->detail));
    c->out = bt_lower_binary(c, BT_OP_MUL, bt_lower_unary(c, BT_OP_LOG, c->args[0]), factor);
}

/* log(1 + x): the rounding of u = 1 + x is undone by x / (u - 1). */
void bt_aten_log1p(struct bt_call *c)
{
    struct bt_dyn x = c->args[0], one = bt_lower_integer(c, 1), u = bt_lower_binary(c, BT_OP_ADD, x, one);
    struct bt_dyn log_u = bt_lower_unary(c, BT_OP_LOG, u);
    struct bt_dyn part = bt_lower_binary(c, BT_OP_DIV, x, bt_lower_binary(c, BT_OP_SUB, u, one));
    const struct bt_dyn near[] = {bt_lower_binary(c, BT_OP_EQ, u, one), x, bt_lower_binary(c, BT_OP_MUL, log_u, part)};
    const struct bt_dyn far[] = {bt_lower_unary(c, BT_OP_ISINF, u), log_u, bt_lower_apply(c, BT_OP_WHERE, 3, near)};
    c->out = bt_lower_apply(c, BT_OP_WHERE, 3, far);
}

/* exp(x) - 1, through tanh(x / 2), which is exact near 0. */
void bt_aten_expm1(struct bt_call *c)
{
    struct bt_dyn x = c->args[0], half = bt_lower_binary(c, BT_OP_MUL, x, bt_lower_real(c, 0.5));
    struct bt_dyn power = bt_lower_unary(c, BT_OP_EXP, x), t = bt_lower_unary(c, BT_OP_TANH, half);
    c->out = bt_lower_binary(c, BT_OP_MUL, t, bt_lower_binary(c, BT_OP_ADD, power, bt_lower_integer(c, 1)));
}

/* self + value * tensor1 (* or /) tensor2 */
void bt_aten_addc(struct bt_call *c)
{
    struct bt_dyn product = bt_lower_binary(c, (enum bt_op)c->detail, c->args[1], c->args[2]);
    c->out = bt_lower_binary(c, BT_OP_ADD, c->args[0], scaled(c, product, c->args[3]));
}

/* self + weight * (end - self) */
void bt_aten_lerp(struct bt_call *c)
{
    struct bt_dyn step = bt_lower_binary(c, BT_OP_SUB, c->args[1], c->args[0]);
    c->out = bt_lower_binary(c, BT_OP_ADD, c->args[0], bt_lower_binary(c, BT_OP_MUL, step, c->args[2]));
}

void bt_aten_clamp(struct bt_call *c)
{
    c->out = bt_lower_apply(c, BT_OP_CLAMP, 3, c->args);
}

static struct bt_dyn as_bool(struct bt_call *c, struct bt_dyn mask)
{
    return bt_lower_type(c, mask) == BT_BOOL ? mask : bt_lower_cast(c, mask, BT_BOOL);
}

void bt_aten_where(struct bt_call *c)
{
    c->out = bt_lower_apply(c, BT_OP_WHERE, 3, (struct bt_dyn[]){as_bool(c, c->args[0]), c->args[1], c->args[2]});
}

/* self, mask, value: the result keeps self's dtype */
void bt_aten_masked_fill(struct bt_call *c)
{
    const struct bt_dyn operands[] = {as_bool(c, c->args[1]), c->args[2], c->args[0]};
    c->out = bt_lower_cast(c, bt_lower_apply(c, BT_OP_WHERE, 3, operands), bt_lower_type(c, c->args[0]));
}

void bt_aten_isfinite(struct bt_call *c)
{
    struct bt_dyn nan = bt_lower_unary(c, BT_OP_ISNAN, c->args[0]), inf = bt_lower_unary(c, BT_OP_ISINF, c->args[0]);
    c->out = bt_lower_unary(c, BT_OP_LOGICAL_NOT, bt_lower_binary(c, BT_OP_LOGICAL_OR, nan, inf));
}
