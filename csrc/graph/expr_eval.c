/* expr_eval.c: Python's arithmetic on ints, floats and bools */
#include <math.h>

#include "graph/expr_node.h"

double bt_scalar_float(const struct bt_scalar *s)
{
    return s->type == BT_SCALAR_FLOAT ? s->f : (double)s->i;
}

static bool store_int(struct bt_scalar *out, int64_t value)
{
    *out = (struct bt_scalar){.type = BT_SCALAR_INT, .i = value};
    return true;
}

static bool store_bool(struct bt_scalar *out, bool value)
{
    *out = (struct bt_scalar){.type = BT_SCALAR_BOOL, .i = value};
    return true;
}

static bool store_float(struct bt_scalar *out, double value)
{
    *out = (struct bt_scalar){.type = BT_SCALAR_FLOAT, .f = value};
    return true;
}

static bool floor_div(int64_t a, int64_t b, int64_t *out)
{
    if (b == 0 || (a == INT64_MIN && b == -1)) {
        return false;
    }
    *out = a / b - (a % b != 0 && (a < 0) != (b < 0));
    return true;
}

static bool int_mod(int64_t a, int64_t b, int64_t *out)
{
    if (b == 0) {
        return false;
    }
    *out = b == -1 ? 0 : a % b;
    if (*out != 0 && (*out < 0) != (b < 0)) {
        *out += b;
    }
    return true;
}

static bool int_pow(int64_t base, int64_t exponent, int64_t *out)
{
    if (exponent < 0) {
        return false;
    }
    int64_t result = 1;
    while (exponent > 0) {
        if ((exponent & 1) && !bt_mul_i64(result, base, &result)) {
            return false;
        }
        exponent >>= 1;
        if (exponent > 0 && !bt_mul_i64(base, base, &base)) {
            return false;
        }
    }
    *out = result;
    return true;
}

static double float_mod(double a, double b)
{
    double mod = fmod(a, b);
    if (mod == 0.0) {
        return copysign(0.0, b);
    }
    return (b < 0) != (mod < 0) ? mod + b : mod;
}

static double float_floor_div(double a, double b)
{
    double quotient = (a - float_mod(a, b)) / b;
    double result = floor(quotient);
    return quotient - result > 0.5 ? result + 1.0 : result;
}

static bool apply_int(enum bt_expr_op op, int64_t a, int64_t b, struct bt_scalar *out)
{
    int64_t value = 0;
    bool good = true;
    switch (op) {
    case BT_EXPR_ADD: good = bt_add_i64(a, b, &value); break;
    case BT_EXPR_SUB: good = __builtin_sub_overflow(a, b, &value) == 0; break;
    case BT_EXPR_MUL: good = bt_mul_i64(a, b, &value); break;
    case BT_EXPR_FLOOR_DIV: good = floor_div(a, b, &value); break;
    case BT_EXPR_MOD: good = int_mod(a, b, &value); break;
    case BT_EXPR_POW: good = int_pow(a, b, &value); break;
    case BT_EXPR_MIN: value = a < b ? a : b; break;
    case BT_EXPR_MAX: value = a > b ? a : b; break;
    case BT_EXPR_EQ: return store_bool(out, a == b);
    case BT_EXPR_NE: return store_bool(out, a != b);
    case BT_EXPR_LT: return store_bool(out, a < b);
    case BT_EXPR_LE: return store_bool(out, a <= b);
    case BT_EXPR_GT: return store_bool(out, a > b);
    case BT_EXPR_GE: return store_bool(out, a >= b);
    case BT_EXPR_AND: return store_bool(out, a && b);
    case BT_EXPR_OR: return store_bool(out, a || b);
    default: return false;
    }
    return store_int(out, value) && good;
}

static bool apply_float(enum bt_expr_op op, double a, double b, struct bt_scalar *out)
{
    switch (op) {
    case BT_EXPR_ADD: return store_float(out, a + b);
    case BT_EXPR_SUB: return store_float(out, a - b);
    case BT_EXPR_MUL: return store_float(out, a * b);
    case BT_EXPR_DIV: return store_float(out, a / b) && b != 0.0;
    case BT_EXPR_FLOOR_DIV: return store_float(out, b != 0.0 ? float_floor_div(a, b) : 0.0) && b != 0.0;
    case BT_EXPR_MOD: return store_float(out, b != 0.0 ? float_mod(a, b) : 0.0) && b != 0.0;
    case BT_EXPR_POW: return store_float(out, pow(a, b)) && !(a == 0.0 && b < 0.0);
    case BT_EXPR_MIN: return store_float(out, b < a ? b : a);
    case BT_EXPR_MAX: return store_float(out, b > a ? b : a);
    case BT_EXPR_EQ: return store_bool(out, a == b);
    case BT_EXPR_NE: return store_bool(out, a != b);
    case BT_EXPR_LT: return store_bool(out, a < b);
    case BT_EXPR_LE: return store_bool(out, a <= b);
    case BT_EXPR_GT: return store_bool(out, a > b);
    case BT_EXPR_GE: return store_bool(out, a >= b);
    default: return false;
    }
}

static bool apply_unary(enum bt_expr_op op, const struct bt_scalar *a, struct bt_scalar *out)
{
    bool is_float = a->type == BT_SCALAR_FLOAT;
    double f = bt_scalar_float(a);
    switch (op) {
    case BT_EXPR_NOT: return store_bool(out, is_float ? f == 0.0 : a->i == 0);
    case BT_EXPR_NEG: return is_float ? store_float(out, -f) : apply_int(BT_EXPR_SUB, 0, a->i, out);
    case BT_EXPR_ABS:
        if (is_float || a->i >= 0) {
            return is_float ? store_float(out, fabs(f)) : store_int(out, a->i);
        }
        return apply_int(BT_EXPR_SUB, 0, a->i, out);
    case BT_EXPR_SIGN: return is_float ? store_float(out, (f > 0) - (f < 0)) : store_int(out, (a->i > 0) - (a->i < 0));
    case BT_EXPR_SQRT: return store_float(out, sqrt(f));
    case BT_EXPR_EXP: return store_float(out, exp(f));
    case BT_EXPR_LOG: return store_float(out, log(f));
    case BT_EXPR_CEIL: return store_float(out, ceil(f));
    case BT_EXPR_FLOOR: return store_float(out, floor(f));
    case BT_EXPR_ROUND: return store_float(out, nearbyint(f));
    case BT_EXPR_TRUNC: return store_float(out, trunc(f));
    case BT_EXPR_TO_INT:
        if (!is_float) {
            return store_int(out, a->i);
        }
        return f >= -0x1p63 && f < 0x1p63 && store_int(out, (int64_t)f);
    case BT_EXPR_TO_FLOAT: return store_float(out, f);
    case BT_EXPR_TO_BOOL: return store_bool(out, is_float ? f != 0.0 : a->i != 0);
    default: return false;
    }
}

static bool apply_poly(const struct bt_expr_node *node, const struct bt_scalar *values, struct bt_scalar *out)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < node->term_count; i++) {
        const struct bt_term *term = &node->terms[i];
        int64_t product = term->coef;
        for (int32_t k = 0; k < term->degree; k++) {
            if (!bt_mul_i64(product, values[term->atoms[k]].i, &product)) {
                return false;
            }
        }
        if (!bt_add_i64(sum, product, &sum)) {
            return false;
        }
    }
    return store_int(out, sum);
}

bool bt_expr_apply(const struct bt_expr_node *node, const struct bt_scalar *values, struct bt_scalar *out)
{
    if (node->op == BT_EXPR_POLY) {
        return apply_poly(node, values, out);
    }
    const struct bt_scalar *a = &values[node->a];
    if (node->b < 0) {
        return apply_unary(node->op, a, out);
    }
    const struct bt_scalar *b = &values[node->b];
    if (a->type == BT_SCALAR_FLOAT || b->type == BT_SCALAR_FLOAT || node->op == BT_EXPR_DIV) {
        return apply_float(node->op, bt_scalar_float(a), bt_scalar_float(b), out);
    }
    return apply_int(node->op, a->i, b->i, out);
}

void bt_exprs_evaluate(const struct bt_exprs *x, const int64_t *symbols, struct bt_scalar *values, bt_expr *failed)
{
    *failed = BT_NO_EXPR;
    for (size_t i = 0; i < x->count; i++) {
        const struct bt_expr_node *node = &x->nodes[i];
        if (node->op == BT_EXPR_CONST) {
            values[i] = x->hints[i];
        } else if (node->op == BT_EXPR_SYMBOL) {
            store_int(&values[i], symbols[node->a]);
        } else if (!bt_expr_apply(node, values, &values[i])) {
            values[i] = (struct bt_scalar){.type = node->type};
            if (*failed < 0) {
                *failed = (bt_expr)i;
            }
        }
    }
}

static bool node_depends(const struct bt_expr_node *node, int32_t symbol, const bool *depends)
{
    if (node->op == BT_EXPR_SYMBOL) {
        return node->a == symbol;
    }
    for (int32_t t = 0; t < node->term_count; t++) {
        for (int32_t i = 0; i < node->terms[t].degree; i++) {
            if (depends[node->terms[t].atoms[i]]) {
                return true;
            }
        }
    }
    return (node->a >= 0 && depends[node->a]) || (node->b >= 0 && depends[node->b]);
}

void bt_exprs_depend(const struct bt_exprs *x, int32_t symbol, bool *depends)
{
    for (size_t e = 0; e < x->count; e++) {
        depends[e] = node_depends(&x->nodes[e], symbol, depends);
    }
}
