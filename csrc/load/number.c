/* number.c: pointwise ops on numbers: Python's arithmetic, and that of 0-dim tensors whose number is known */
#include "load/lower.h"

enum result_type { SAME, FLOAT, BOOL };

static const struct rule {
    enum bt_op op;
    enum bt_expr_op expr;
    enum result_type type;
} rules[] = {
    {BT_OP_ADD, BT_EXPR_ADD, SAME},
    {BT_OP_SUB, BT_EXPR_SUB, SAME},
    {BT_OP_MUL, BT_EXPR_MUL, SAME},
    {BT_OP_DIV, BT_EXPR_DIV, FLOAT},
    {BT_OP_FLOOR_DIVIDE, BT_EXPR_FLOOR_DIV, SAME},
    {BT_OP_REMAINDER, BT_EXPR_MOD, SAME},
    {BT_OP_POW, BT_EXPR_POW, SAME},
    {BT_OP_MINIMUM, BT_EXPR_MIN, SAME},
    {BT_OP_MAXIMUM, BT_EXPR_MAX, SAME},
    {BT_OP_NEG, BT_EXPR_NEG, SAME},
    {BT_OP_ABS, BT_EXPR_ABS, SAME},
    {BT_OP_SIGN, BT_EXPR_SIGN, SAME},
    {BT_OP_CEIL, BT_EXPR_CEIL, SAME},
    {BT_OP_FLOOR, BT_EXPR_FLOOR, SAME},
    {BT_OP_ROUND, BT_EXPR_ROUND, SAME},
    {BT_OP_TRUNC, BT_EXPR_TRUNC, SAME},
    {BT_OP_SQRT, BT_EXPR_SQRT, FLOAT},
    {BT_OP_EXP, BT_EXPR_EXP, FLOAT},
    {BT_OP_LOG, BT_EXPR_LOG, FLOAT},
    {BT_OP_EQ, BT_EXPR_EQ, BOOL},
    {BT_OP_NE, BT_EXPR_NE, BOOL},
    {BT_OP_LT, BT_EXPR_LT, BOOL},
    {BT_OP_LE, BT_EXPR_LE, BOOL},
    {BT_OP_GT, BT_EXPR_GT, BOOL},
    {BT_OP_GE, BT_EXPR_GE, BOOL},
    {BT_OP_LOGICAL_AND, BT_EXPR_AND, BOOL},
    {BT_OP_LOGICAL_OR, BT_EXPR_OR, BOOL},
    {BT_OP_LOGICAL_XOR, BT_EXPR_NE, BOOL},
    {BT_OP_LOGICAL_NOT, BT_EXPR_NOT, BOOL},
};

bt_expr bt_number_convert(struct bt_exprs *x, bt_expr e, enum bt_dtype dtype)
{
    if (e < 0) {
        return e;
    }
    enum bt_scalar_type type = bt_expr_type(x, e);
    if (dtype == BT_BOOL) {
        return type == BT_SCALAR_BOOL ? e : bt_expr_unary(x, BT_EXPR_TO_BOOL, e);
    }
    if (bt_dtype_is_float(dtype)) {
        struct bt_scalar value;
        e = type == BT_SCALAR_FLOAT ? e : bt_expr_unary(x, BT_EXPR_TO_FLOAT, e);
        /* a constant of a float32 tensor has been rounded, and code that looks for a boundary relies on it */
        bool rounds = dtype == BT_F32 && bt_expr_is_const(x, e, &value);
        return rounds ? bt_expr_float(x, (float)value.f) : e;
    }
    return type == BT_SCALAR_INT ? e : bt_expr_unary(x, BT_EXPR_TO_INT, e);
}

static int category(enum bt_dtype dtype)
{
    return dtype == BT_BOOL ? 0 : bt_dtype_is_int(dtype) ? 1 : 2;
}

static enum bt_dtype promote(enum bt_dtype a, enum bt_dtype b)
{
    if (a == b) {
        return a;
    }
    if (category(a) != category(b)) {
        return category(a) > category(b) ? a : b;
    }
    if (bt_dtype_size(a) == bt_dtype_size(b)) {
        return bt_dtype_is_float(a) ? BT_F32 : BT_I16; /* float16 with bfloat16; uint8 with int8 */
    }
    return bt_dtype_size(a) > bt_dtype_size(b) ? a : b;
}

/* The dtype that 0-dim tensors and plain numbers promote to; false when none is a tensor. */
static bool promote_all(struct bt_call *c, int count, const struct bt_dyn *operands, enum bt_dtype *out)
{
    bool any_tensor = false, is_tensor = false;
    enum bt_dtype tensor = BT_BOOL, plain = BT_BOOL;
    for (int i = 0; i < count; i++) {
        enum bt_dtype type = bt_lower_type(c, operands[i]);
        is_tensor |= operands[i].kind == BT_DYN_TENSOR;
        if (bt_lower_is_plain(operands[i])) {
            plain = promote(plain, bt_lower_default(type));
        } else {
            tensor = any_tensor ? promote(tensor, type) : type;
            any_tensor = true;
        }
    }
    *out = !any_tensor || category(plain) > category(tensor) ? plain : tensor;
    return is_tensor;
}

static bool all_bools(struct bt_call *c, int count, const bt_expr *e)
{
    for (int i = 0; i < count; i++) {
        if (bt_expr_type(c->x, e[i]) != BT_SCALAR_BOOL) {
            return false;
        }
    }
    return true;
}

/* The ops that are more than one expression. */
static bool compose(struct bt_call *c, enum bt_op op, int count, const bt_expr *e, bt_expr *out)
{
    struct bt_exprs *x = c->x;
    switch (op) {
    case BT_OP_RELU: *out = bt_expr_binary(x, BT_EXPR_MAX, e[0], bt_expr_int(x, 0)); return true;
    case BT_OP_RECIPROCAL: *out = bt_expr_binary(x, BT_EXPR_DIV, bt_expr_int(x, 1), e[0]); return true;
    case BT_OP_RSQRT:
        *out = bt_expr_binary(x, BT_EXPR_DIV, bt_expr_int(x, 1), bt_expr_unary(x, BT_EXPR_SQRT, e[0]));
        return true;
    case BT_OP_BITWISE_NOT:
        *out = all_bools(c, 1, e) ? bt_expr_unary(x, BT_EXPR_NOT, e[0])
                                  : bt_expr_binary(x, BT_EXPR_SUB, bt_expr_int(x, -1), e[0]);
        return true;
    case BT_OP_BITWISE_AND:
    case BT_OP_BITWISE_OR:
    case BT_OP_BITWISE_XOR:
        if (!all_bools(c, count, e)) {
            return false;
        }
        *out = bt_expr_binary(x,
                              op == BT_OP_BITWISE_AND  ? BT_EXPR_AND
                              : op == BT_OP_BITWISE_OR ? BT_EXPR_OR
                                                       : BT_EXPR_NE,
                              e[0], e[1]);
        return true;
    case BT_OP_WHERE: *out = bt_graph_decide(c->g, bt_number_convert(x, e[0], BT_BOOL)) ? e[1] : e[2]; return true;
    default: return false;
    }
}

/* self, min or None, max or None */
static bt_expr clamp(struct bt_call *c, const struct bt_dyn *operands)
{
    bt_expr e = bt_lower_expr(c, operands[0]);
    if (operands[1].kind != BT_DYN_NONE) {
        e = bt_expr_binary(c->x, BT_EXPR_MAX, e, bt_lower_expr(c, operands[1]));
    }
    if (operands[2].kind != BT_DYN_NONE) {
        e = bt_expr_binary(c->x, BT_EXPR_MIN, e, bt_lower_expr(c, operands[2]));
    }
    return e;
}

static const struct rule *find_rule(enum bt_op op)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].op == op) {
            return &rules[i];
        }
    }
    return NULL;
}

static bt_expr evaluate(struct bt_call *c, const struct rule *rule, int count, bt_expr *e)
{
    enum bt_expr_op op = rule->expr;
    bool rounds = op == BT_EXPR_CEIL || op == BT_EXPR_FLOOR || op == BT_EXPR_ROUND || op == BT_EXPR_TRUNC;
    if (rounds && bt_expr_type(c->x, e[0]) != BT_SCALAR_FLOAT) {
        return e[0];
    }
    bool logical = op == BT_EXPR_AND || op == BT_EXPR_OR || op == BT_EXPR_NOT || rule->op == BT_OP_LOGICAL_XOR;
    for (int i = 0; i < count && logical; i++) {
        e[i] = bt_number_convert(c->x, e[i], BT_BOOL);
    }
    return count == 1 ? bt_expr_unary(c->x, op, e[0]) : bt_expr_binary(c->x, op, e[0], e[1]);
}

bool bt_number_apply(struct bt_call *c, enum bt_op op, int count, const struct bt_dyn *operands, struct bt_dyn *out)
{
    const struct rule *rule = find_rule(op);
    bt_expr e[3], result = BT_NO_EXPR;
    enum bt_dtype dtype;
    bool is_clamp = op == BT_OP_CLAMP, tensor = promote_all(c, is_clamp ? 1 : count, operands, &dtype);
    if (op == BT_OP_WHERE) {
        tensor = promote_all(c, 2, operands + 1, &dtype) || tensor;
    }
    for (int i = 0; i < count && !is_clamp; i++) {
        e[i] = bt_lower_expr(c, operands[i]);
    }
    if (c->status != BERTC_OK) {
        return true;
    }
    if (is_clamp) {
        result = clamp(c, operands);
    } else if (rule) {
        result = evaluate(c, rule, count, e);
    } else if (!compose(c, op, count, e, &result)) {
        return false;
    }
    if (tensor) {
        enum result_type type = rule ? rule->type : op == BT_OP_RECIPROCAL || op == BT_OP_RSQRT ? FLOAT : SAME;
        if (type == BOOL) {
            dtype = BT_BOOL;
        } else if (type == FLOAT && !bt_dtype_is_float(dtype)) {
            dtype = BT_F32;
        }
        *out = bt_lower_number(c, bt_number_convert(c->x, result, dtype), dtype);
        return true;
    }
    *out = bt_dyn_scalar(bt_lower_checked(c, result));
    return true;
}
