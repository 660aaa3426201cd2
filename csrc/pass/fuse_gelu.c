/* fuse_gelu.c: GELU written out, in any order of operands and factors, becomes one op
 * Values are expanded to polynomials in x and t, where t = erf(...) or tanh(...): GELU is 0.5 x + 0.5 x t, and the
 * argument of t a polynomial in x, whichever way they were written. */
#include <math.h>
#include <string.h>

#include "pass/match.h"
#include "pass/pass.h"

#define DEGREE 4    /* powers of x: 0 to 3 */
#define MAX_DEPTH 8 /* of a written-out GELU */
#define MAX_CANDIDATES 16

static const double sqrt_half = 0.70710678118654752440, sqrt_2_pi = 0.79788456080286535588, cubic = 0.044715;

/* coefficient[i][j] belongs to x^i t^j */
struct polynomial {
    double coefficient[DEGREE][2];
};

struct variables {
    bt_value x, t;
};

static bool multiply(const struct polynomial *a, const struct polynomial *b, struct polynomial *out)
{
    memset(out, 0, sizeof(*out));
    for (int i = 0; i < 2 * DEGREE; i++) {
        for (int k = 0; k < 2 * DEGREE; k++) {
            double product = a->coefficient[i / 2][i % 2] * b->coefficient[k / 2][k % 2];
            if (product == 0.0) {
                continue;
            }
            if (i / 2 + k / 2 >= DEGREE || i % 2 + k % 2 > 1) {
                return false;
            }
            out->coefficient[i / 2 + k / 2][i % 2 + k % 2] += product;
        }
    }
    return true;
}

static void add_scaled(struct polynomial *sum, const struct polynomial *a, double scale)
{
    for (int i = 0; i < 2 * DEGREE; i++) {
        sum->coefficient[i / 2][i % 2] += scale * a->coefficient[i / 2][i % 2];
    }
}

static struct polynomial constant(double value)
{
    return (struct polynomial){{{value, 0.0}}};
}

static bool expand(const struct bt_graph *g, const struct bt_arg *arg, struct variables v, int depth,
                   struct polynomial *out);

static bool expand_power(const struct bt_graph *g, const struct bt_node *node, struct variables v, int depth,
                         struct polynomial *out)
{
    double exponent;
    struct polynomial base;
    if (!bt_match_number(g, &node->args[1], &exponent) || (exponent != 2.0 && exponent != 3.0) ||
        !expand(g, &node->args[0], v, depth, &base)) {
        return false;
    }
    struct polynomial square;
    if (!multiply(&base, &base, &square)) {
        return false;
    }
    *out = square;
    return exponent == 2.0 || multiply(&square, &base, out);
}

static bool expand_node(const struct bt_graph *g, const struct bt_node *node, struct variables v, int depth,
                        struct polynomial *out)
{
    struct polynomial a, b;
    double divisor;
    switch (node->op) {
    case BT_OP_POW: return expand_power(g, node, v, depth, out);
    case BT_OP_NEG:
        *out = constant(0.0);
        if (!expand(g, &node->args[0], v, depth, &a)) {
            return false;
        }
        add_scaled(out, &a, -1.0);
        return true;
    case BT_OP_DIV:
        *out = constant(0.0);
        if (!bt_match_number(g, &node->args[1], &divisor) || divisor == 0.0 ||
            !expand(g, &node->args[0], v, depth, &a)) {
            return false;
        }
        add_scaled(out, &a, 1.0 / divisor);
        return true;
    case BT_OP_ADD:
    case BT_OP_SUB:
    case BT_OP_MUL: break;
    default: return false;
    }
    if (!expand(g, &node->args[0], v, depth, &a) || !expand(g, &node->args[1], v, depth, &b)) {
        return false;
    }
    if (node->op == BT_OP_MUL) {
        return multiply(&a, &b, out);
    }
    *out = a;
    add_scaled(out, &b, node->op == BT_OP_ADD ? 1.0 : -1.0);
    return true;
}

/* The operand as a polynomial in v.x and v.t; false when it is none. */
static bool expand(const struct bt_graph *g, const struct bt_arg *arg, struct variables v, int depth,
                   struct polynomial *out)
{
    double number;
    if (bt_match_number(g, arg, &number)) {
        *out = constant(number);
        return true;
    }
    if (arg->kind != BT_ARG_VALUE || depth == 0) {
        return false;
    }
    if (arg->value == v.x || arg->value == v.t) {
        *out = constant(0.0);
        out->coefficient[arg->value == v.x][arg->value == v.t] = 1.0;
        return true;
    }
    const struct bt_node *node = bt_match_producer(g, arg->value);
    return node && expand_node(g, node, v, depth - 1, out);
}

/* Whether p has exactly these two terms, given by their indices [i][j]. */
static bool has_terms(const struct polynomial *p, const int (*at)[2], const double *expected)
{
    struct polynomial rest = *p;
    for (int k = 0; k < 2; k++) {
        if (!bt_match_near(rest.coefficient[at[k][0]][at[k][1]], expected[k])) {
            return false;
        }
        rest.coefficient[at[k][0]][at[k][1]] = 0.0;
    }
    for (int i = 0; i < 2 * DEGREE; i++) {
        if (rest.coefficient[i / 2][i % 2] != 0.0) {
            return false;
        }
    }
    return true;
}

static bool is_arithmetic(enum bt_op op)
{
    return op == BT_OP_ADD || op == BT_OP_SUB || op == BT_OP_MUL || op == BT_OP_DIV || op == BT_OP_POW;
}

/* Calls visit on value and on what it is computed from by arithmetic, outermost first, until it says true. */
struct search {
    const struct bt_graph *g;
    bool (*visit)(struct search *s, bt_value value);
    int budget;          /* values left to look at */
    struct variables v;  /* what was found */
    bool tanh;
};

static bool search(struct search *s, bt_value value, int depth)
{
    if (s->budget-- <= 0) {
        return false;
    }
    if (s->visit(s, value)) {
        return true;
    }
    const struct bt_node *node = bt_match_producer(s->g, value);
    if (!node || depth == 0 || !is_arithmetic(node->op)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (node->args[i].kind == BT_ARG_VALUE && search(s, node->args[i].value, depth - 1)) {
            return true;
        }
    }
    return false;
}

/* Whether the argument of t is the right polynomial in `value`. */
static bool visit_x(struct search *s, bt_value value)
{
    static const int at[2][2] = {{1, 0}, {3, 0}};
    const double erf_terms[2] = {sqrt_half, 0.0}, tanh_terms[2] = {sqrt_2_pi, sqrt_2_pi * cubic};
    const struct bt_node *function = bt_match_producer(s->g, s->v.t);
    struct polynomial p;
    if (s->g->values[value].rank == 0 && s->g->values[s->v.t].rank != 0) {
        return false;
    }
    s->v.x = value;
    struct variables only_x = {value, BT_NO_VALUE};
    return expand(s->g, &function->args[0], only_x, MAX_DEPTH, &p) &&
           has_terms(&p, at, s->tanh ? tanh_terms : erf_terms);
}

static bool visit_t(struct search *s, bt_value value)
{
    const struct bt_node *node = bt_match_producer(s->g, value);
    if (!node || (node->op != BT_OP_ERF && node->op != BT_OP_TANH)) {
        return false;
    }
    struct search inner = {.g = s->g, .visit = visit_x, .budget = MAX_CANDIDATES};
    inner.v.t = value;
    inner.tanh = node->op == BT_OP_TANH;
    if (!search(&inner, node->args[0].value, MAX_DEPTH)) {
        return false;
    }
    s->v = inner.v;
    s->tanh = inner.tanh;
    return true;
}

static enum bertc_status fuse(struct bt_graph *g, size_t index, struct bertc_error *err)
{
    static const int at[2][2] = {{1, 0}, {1, 1}};
    static const double halves[2] = {0.5, 0.5};
    struct search s = {.g = g, .visit = visit_t, .budget = MAX_CANDIDATES};
    const struct bt_arg root = bt_arg_value(g->nodes[index].outs[0]);
    struct polynomial p;
    if (!search(&s, root.value, MAX_DEPTH) || g->values[s.v.x].dtype != g->values[root.value].dtype ||
        !expand(g, &root, s.v, MAX_DEPTH, &p) || !has_terms(&p, at, halves)) {
        return BERTC_OK;
    }
    const struct bt_arg args[] = {bt_arg_value(s.v.x), bt_arg_expr(bt_expr_bool(g->exprs, s.tanh))};
    bool done;
    return bt_match_replace(g, index, BT_OP_GELU, args, 2, &done, err);
}

enum bertc_status bt_pass_fuse_gelu(struct bt_graph *g, struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; i < g->node_count && !status; i++) {
        if (is_arithmetic(g->nodes[i].op)) {
            status = fuse(g, i, err);
        }
    }
    return status;
}
