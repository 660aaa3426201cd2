/* simplify.c: build expressions in canonical form: polynomials, decided comparisons, folded conversions */
#include <assert.h>
#include <string.h>

#include "graph/expr_node.h"

/* ---- integers as polynomials ---- */

static bt_expr to_int(struct bt_exprs *x, bt_expr e)
{
    return bt_expr_type(x, e) == BT_SCALAR_INT ? e : bt_expr_unary(x, BT_EXPR_TO_INT, e);
}

static void to_poly(const struct bt_exprs *x, bt_expr e, struct bt_poly *out)
{
    const struct bt_expr_node *node = bt_expr_node_of(x, e);
    out->count = 0;
    if (node->op == BT_EXPR_POLY) {
        out->count = node->term_count;
        memcpy(out->terms, node->terms, (size_t)node->term_count * sizeof(*node->terms));
        return;
    }
    struct bt_term term = {.coef = 1, .degree = 1, .atoms = {e}};
    if (node->op == BT_EXPR_CONST) {
        term = (struct bt_term){.coef = x->hints[e].i};
    }
    bool added = bt_poly_add_term(out, &term);
    assert(added);
    (void)added;
}

static bool poly_non_negative(const struct bt_exprs *x, const struct bt_poly *poly)
{
    for (int32_t i = 0; i < poly->count; i++) {
        if (poly->terms[i].coef < 0) {
            return false;
        }
        for (int32_t k = 0; k < poly->terms[i].degree; k++) {
            if (!x->nodes[poly->terms[i].atoms[k]].non_negative) {
                return false;
            }
        }
    }
    return true;
}

static bt_expr from_poly(struct bt_exprs *x, const struct bt_poly *poly)
{
    if (poly->count == 0) {
        return bt_expr_int(x, 0);
    }
    const struct bt_term *first = &poly->terms[0];
    if (poly->count == 1 && first->degree == 0) {
        return bt_expr_int(x, first->coef);
    }
    if (poly->count == 1 && first->degree == 1 && first->coef == 1) {
        return first->atoms[0];
    }
    struct bt_expr_node node = {.op = BT_EXPR_POLY, .type = BT_SCALAR_INT, .a = BT_NO_EXPR, .b = BT_NO_EXPR};
    node.non_negative = poly_non_negative(x, poly);
    node.term_count = poly->count;
    node.terms = poly->terms;
    struct bt_scalar hint;
    if (!bt_expr_apply(&node, x->hints, &hint)) {
        return BT_NO_EXPR;
    }
    return bt_expr_intern(x, &node, &hint);
}

/* ADD, SUB and MUL; beyond the limits of a polynomial the node stays as it is. */
static bt_expr int_arithmetic(struct bt_exprs *x, enum bt_expr_op op, bt_expr a, bt_expr b)
{
    struct bt_poly pa, pb, product;
    to_poly(x, a, &pa);
    to_poly(x, b, &pb);
    if (op == BT_EXPR_MUL) {
        return bt_poly_mul(&pa, &pb, &product) ? from_poly(x, &product) : bt_expr_opaque(x, op, a, b);
    }
    return bt_poly_add(&pa, &pb, op == BT_EXPR_ADD ? 1 : -1) ? from_poly(x, &pa) : bt_expr_opaque(x, op, a, b);
}

/* a = quotient * b + rest. Of a divisor with several terms only an exact division is unique, so only that is used. */
static bool divide(struct bt_exprs *x, bt_expr a, bt_expr b, bt_expr *quotient, bt_expr *rest)
{
    struct bt_poly pa, pb, q, r;
    to_poly(x, a, &pa);
    to_poly(x, b, &pb);
    if (!bt_poly_divide(&pa, &pb, &q, &r) || (pb.count > 1 && r.count > 0)) {
        return false;
    }
    *quotient = from_poly(x, &q);
    *rest = from_poly(x, &r);
    return *quotient >= 0 && *rest >= 0;
}

static bool is_zero(const struct bt_exprs *x, bt_expr e)
{
    int64_t value;
    return bt_expr_is_int(x, e, &value) && value == 0;
}

static bt_expr int_division(struct bt_exprs *x, enum bt_expr_op op, bt_expr a, bt_expr b)
{
    bt_expr quotient, rest;
    if (is_zero(x, b)) {
        return BT_NO_EXPR;
    }
    if (!divide(x, a, b, &quotient, &rest)) {
        return bt_expr_opaque(x, op, a, b);
    }
    if (op == BT_EXPR_MOD) {
        return is_zero(x, rest) ? rest : bt_expr_opaque(x, op, rest, b);
    }
    if (is_zero(x, rest)) {
        return quotient;
    }
    bt_expr fraction = bt_expr_opaque(x, op, rest, b);
    return fraction < 0 ? fraction : int_arithmetic(x, BT_EXPR_ADD, quotient, fraction);
}

static bt_expr int_power(struct bt_exprs *x, bt_expr a, bt_expr b)
{
    int64_t exponent;
    if (!bt_expr_is_int(x, b, &exponent) || bt_expr_is_const(x, a, NULL) || exponent > BT_POLY_ATOMS) {
        return bt_expr_opaque(x, BT_EXPR_POW, a, b);
    }
    bt_expr result = bt_expr_int(x, 1);
    for (int64_t i = 0; i < exponent && result >= 0; i++) {
        result = int_arithmetic(x, BT_EXPR_MUL, result, a);
    }
    return result;
}

/* ---- comparisons ---- */

enum { LESS = 1, EQUAL = 2, GREATER = 4, UNKNOWN = LESS | EQUAL | GREATER };

/* Which relations of a to b no call can rule out. */
static int possible_relations(const struct bt_exprs *x, bt_expr a, bt_expr b)
{
    if (a == b) {
        return EQUAL;
    }
    struct bt_poly d, pb, minus = {.count = 0};
    to_poly(x, a, &d);
    to_poly(x, b, &pb);
    if (!bt_poly_add(&d, &pb, -1) || !bt_poly_add(&minus, &d, -1)) {
        return UNKNOWN;
    }
    if (d.count == 0) {
        return EQUAL;
    }
    int relations = UNKNOWN;
    bool apart = d.terms[d.count - 1].degree == 0; /* a constant part: then a one-sided difference is never 0 */
    if (poly_non_negative(x, &d)) {
        relations &= apart ? GREATER : GREATER | EQUAL;
    }
    if (poly_non_negative(x, &minus)) {
        relations &= apart ? LESS : LESS | EQUAL;
    }
    return relations;
}

static int accepted_relations(enum bt_expr_op op)
{
    switch (op) {
    case BT_EXPR_EQ: return EQUAL;
    case BT_EXPR_NE: return LESS | GREATER;
    case BT_EXPR_LT: return LESS;
    case BT_EXPR_LE: return LESS | EQUAL;
    case BT_EXPR_GT: return GREATER;
    default: return GREATER | EQUAL;
    }
}

/* One spelling for each condition: < and <= only, and the older operand of == first. */
static bt_expr ordered(struct bt_exprs *x, enum bt_expr_op op, bt_expr a, bt_expr b)
{
    if (op == BT_EXPR_GT) {
        return bt_expr_opaque(x, BT_EXPR_LT, b, a);
    }
    if (op == BT_EXPR_GE) {
        return bt_expr_opaque(x, BT_EXPR_LE, b, a);
    }
    bool symmetric = op != BT_EXPR_LT && op != BT_EXPR_LE;
    bool swap = symmetric && (a > b || bt_expr_is_const(x, a, NULL)) && !bt_expr_is_const(x, b, NULL);
    return swap ? bt_expr_opaque(x, op, b, a) : bt_expr_opaque(x, op, a, b);
}

static bt_expr compare(struct bt_exprs *x, enum bt_expr_op op, bt_expr a, bt_expr b)
{
    if (bt_expr_type(x, a) != BT_SCALAR_FLOAT && bt_expr_type(x, b) != BT_SCALAR_FLOAT) {
        a = to_int(x, a);
        b = to_int(x, b);
        if (a < 0 || b < 0) {
            return BT_NO_EXPR;
        }
        int possible = possible_relations(x, a, b), accepted = accepted_relations(op);
        if ((possible & accepted) == 0 || (possible & ~accepted) == 0) {
            return bt_expr_bool(x, (possible & accepted) != 0);
        }
    }
    return ordered(x, op, a, b);
}

static bt_expr int_extreme(struct bt_exprs *x, enum bt_expr_op op, bt_expr a, bt_expr b)
{
    int possible = possible_relations(x, a, b);
    if ((possible & GREATER) == 0) {
        return op == BT_EXPR_MIN ? a : b;
    }
    if ((possible & LESS) == 0) {
        return op == BT_EXPR_MIN ? b : a;
    }
    return a < b ? bt_expr_opaque(x, op, a, b) : bt_expr_opaque(x, op, b, a);
}

/* ---- bools ---- */

static bt_expr to_bool(struct bt_exprs *x, bt_expr e)
{
    if (bt_expr_type(x, e) == BT_SCALAR_BOOL) {
        return e;
    }
    bool is_float = bt_expr_type(x, e) == BT_SCALAR_FLOAT;
    bt_expr zero = is_float ? bt_expr_float(x, 0.0) : bt_expr_int(x, 0);
    return zero < 0 ? zero : compare(x, BT_EXPR_NE, e, zero);
}

static bt_expr negate_bool(struct bt_exprs *x, bt_expr e)
{
    const struct bt_expr_node node = *bt_expr_node_of(x, e);
    bool floats = bt_expr_type(x, node.b) == BT_SCALAR_FLOAT ||
                  (node.op != BT_EXPR_CONST && bt_expr_type(x, node.a) == BT_SCALAR_FLOAT);
    switch (node.op) {
    case BT_EXPR_EQ: return bt_expr_opaque(x, BT_EXPR_NE, node.a, node.b);
    case BT_EXPR_NE: return bt_expr_opaque(x, BT_EXPR_EQ, node.a, node.b);
    case BT_EXPR_NOT: return node.a;
    case BT_EXPR_LT:
        return floats ? bt_expr_opaque(x, BT_EXPR_NOT, e, BT_NO_EXPR) : bt_expr_opaque(x, BT_EXPR_LE, node.b, node.a);
    case BT_EXPR_LE:
        return floats ? bt_expr_opaque(x, BT_EXPR_NOT, e, BT_NO_EXPR) : bt_expr_opaque(x, BT_EXPR_LT, node.b, node.a);
    default: return bt_expr_opaque(x, BT_EXPR_NOT, e, BT_NO_EXPR);
    }
}

static bt_expr logic(struct bt_exprs *x, enum bt_expr_op op, bt_expr a, bt_expr b)
{
    a = to_bool(x, a);
    b = to_bool(x, b);
    if (a < 0 || b < 0) {
        return BT_NO_EXPR;
    }
    int64_t value;
    if (bt_expr_is_int(x, a, &value)) {
        return (value != 0) == (op == BT_EXPR_AND) ? b : a;
    }
    if (bt_expr_is_int(x, b, &value)) {
        return (value != 0) == (op == BT_EXPR_AND) ? a : b;
    }
    if (a == b) {
        return a;
    }
    return a < b ? bt_expr_opaque(x, op, a, b) : bt_expr_opaque(x, op, b, a);
}

/* ---- conversions ---- */

/* int(x): exact quotients and whole floats go back to integer form, so that int(s / 2) is a floor division. */
static bt_expr float_to_int(struct bt_exprs *x, bt_expr e)
{
    const struct bt_expr_node node = *bt_expr_node_of(x, e);
    if (node.op == BT_EXPR_TO_FLOAT) {
        return to_int(x, node.a);
    }
    if (node.op == BT_EXPR_FLOOR && bt_expr_node_of(x, node.a)->op == BT_EXPR_DIV) {
        const struct bt_expr_node quotient = *bt_expr_node_of(x, node.a);
        if (bt_expr_type(x, quotient.a) == BT_SCALAR_INT && bt_expr_type(x, quotient.b) == BT_SCALAR_INT) {
            return int_division(x, BT_EXPR_FLOOR_DIV, quotient.a, quotient.b);
        }
    }
    if (node.op == BT_EXPR_DIV && bt_expr_is_non_negative(x, node.a) && bt_expr_is_non_negative(x, node.b)) {
        return int_division(x, BT_EXPR_FLOOR_DIV, node.a, node.b);
    }
    return bt_expr_opaque(x, BT_EXPR_TO_INT, e, BT_NO_EXPR);
}

static bt_expr to_float(struct bt_exprs *x, bt_expr e)
{
    return bt_expr_type(x, e) == BT_SCALAR_FLOAT ? e : bt_expr_opaque(x, BT_EXPR_TO_FLOAT, e, BT_NO_EXPR);
}

static bt_expr true_division(struct bt_exprs *x, bt_expr a, bt_expr b)
{
    bt_expr quotient, rest;
    if (bt_expr_type(x, a) == BT_SCALAR_INT && bt_expr_type(x, b) == BT_SCALAR_INT && !is_zero(x, b) &&
        divide(x, a, b, &quotient, &rest) && is_zero(x, rest)) {
        return to_float(x, quotient);
    }
    return bt_expr_opaque(x, BT_EXPR_DIV, a, b);
}

static bt_expr round_float(struct bt_exprs *x, enum bt_expr_op op, bt_expr e)
{
    e = to_float(x, e);
    return e < 0 || bt_expr_node_of(x, e)->op == BT_EXPR_TO_FLOAT ? e : bt_expr_opaque(x, op, e, BT_NO_EXPR);
}

/* ---- constructors ---- */

bt_expr bt_expr_unary(struct bt_exprs *x, enum bt_expr_op op, bt_expr a)
{
    if (a < 0) {
        return BT_NO_EXPR;
    }
    enum bt_scalar_type type = bt_expr_type(x, a);
    switch (op) {
    case BT_EXPR_TO_BOOL: return to_bool(x, a);
    case BT_EXPR_NOT: a = to_bool(x, a); return a < 0 ? a : negate_bool(x, a);
    case BT_EXPR_TO_FLOAT: return to_float(x, a);
    case BT_EXPR_TO_INT:
        if (type == BT_SCALAR_INT) {
            return a;
        }
        return type == BT_SCALAR_FLOAT ? float_to_int(x, a) : bt_expr_opaque(x, op, a, BT_NO_EXPR);
    case BT_EXPR_CEIL:
    case BT_EXPR_FLOOR:
    case BT_EXPR_ROUND:
    case BT_EXPR_TRUNC: return round_float(x, op, a);
    case BT_EXPR_NEG:
    case BT_EXPR_ABS:
    case BT_EXPR_SIGN:
        if (type != BT_SCALAR_FLOAT) {
            a = to_int(x, a);
        }
        if (op == BT_EXPR_NEG && type != BT_SCALAR_FLOAT) {
            return bt_expr_binary(x, BT_EXPR_SUB, bt_expr_int(x, 0), a);
        }
        if (a < 0 || (op == BT_EXPR_ABS && bt_expr_is_non_negative(x, a))) {
            return a;
        }
        return bt_expr_opaque(x, op, a, BT_NO_EXPR);
    default: return bt_expr_opaque(x, op, a, BT_NO_EXPR);
    }
}

static bt_expr float_binary(struct bt_exprs *x, enum bt_expr_op op, bt_expr a, bt_expr b)
{
    if ((op == BT_EXPR_MIN || op == BT_EXPR_MAX) && a == b) {
        return a;
    }
    return bt_expr_opaque(x, op, a, b);
}

bt_expr bt_expr_binary(struct bt_exprs *x, enum bt_expr_op op, bt_expr a, bt_expr b)
{
    if (a < 0 || b < 0) {
        return BT_NO_EXPR;
    }
    if (op >= BT_EXPR_EQ && op <= BT_EXPR_GE) {
        return compare(x, op, a, b);
    }
    if (op == BT_EXPR_AND || op == BT_EXPR_OR) {
        return logic(x, op, a, b);
    }
    if (bt_expr_type(x, a) == BT_SCALAR_FLOAT || bt_expr_type(x, b) == BT_SCALAR_FLOAT) {
        return float_binary(x, op, a, b);
    }
    a = to_int(x, a);
    b = to_int(x, b);
    if (a < 0 || b < 0) {
        return BT_NO_EXPR;
    }
    int64_t exponent;
    switch (op) {
    case BT_EXPR_ADD:
    case BT_EXPR_SUB:
    case BT_EXPR_MUL: return int_arithmetic(x, op, a, b);
    case BT_EXPR_FLOOR_DIV:
    case BT_EXPR_MOD: return int_division(x, op, a, b);
    case BT_EXPR_MIN:
    case BT_EXPR_MAX: return int_extreme(x, op, a, b);
    case BT_EXPR_DIV: return true_division(x, a, b);
    case BT_EXPR_POW:
        if (bt_expr_is_int(x, b, &exponent) && exponent < 0) {
            return bt_expr_binary(x, op, a, bt_expr_float(x, (double)exponent));
        }
        return int_power(x, a, b);
    default: return BT_NO_EXPR;
    }
}
