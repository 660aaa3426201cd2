/* simplify_algebra.c: x + 0, x * 1, and(x, true), where of a known condition, x != 0, casts of casts, sums of
 * constants */
#include "pass/range.h"
#include "pass/simplify.h"

/* The number that all elements of an operand are. */
static bool known_number(const struct bt_graph *g, const struct bt_arg *arg, double *out)
{
    struct bt_range range = bt_range_of_arg(g, arg);
    if (bt_range_is_one(&range)) {
        *out = (double)range.low;
        return true;
    }
    const struct bt_node *full = arg->kind == BT_ARG_VALUE ? bt_match_op(g, arg->value, BT_OP_FULL) : NULL;
    return bt_match_number(g, full ? &full->args[1] : arg, out);
}

/* x op number == x; -0.0 + 0 is 0.0, which compares equal. */
static const struct identity {
    enum bt_op op;
    double number;
    bool right_only, bools_only;
} identities[] = {
    {BT_OP_ADD, 0, false, false},        {BT_OP_SUB, 0, true, false},         {BT_OP_MUL, 1, false, false},
    {BT_OP_DIV, 1, true, false},         {BT_OP_BITWISE_AND, 1, false, true}, {BT_OP_BITWISE_OR, 0, false, true},
    {BT_OP_LOGICAL_AND, 1, false, true}, {BT_OP_LOGICAL_OR, 0, false, true},
};

static bt_value apply_identity(struct bt_rewriter *r, bt_value value, const struct bt_node *node,
                               const struct identity *identity)
{
    double number;
    for (int i = 0; i < (identity->right_only ? 1 : 2); i++) {
        const struct bt_arg *kept = &node->args[i];
        if (kept->kind != BT_ARG_VALUE || !known_number(r->g, &node->args[1 - i], &number) ||
            number != identity->number) {
            continue;
        }
        enum bt_dtype dtype = r->g->values[kept->value].dtype;
        if (dtype == r->g->values[value].dtype && (!identity->bools_only || dtype == BT_BOOL)) {
            return bt_rewrite_shaped(r, BT_OP_EXPAND, kept->value, value);
        }
    }
    return BT_NO_VALUE;
}

static bt_value drop_identity(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    for (size_t i = 0; i < sizeof(identities) / sizeof(identities[0]); i++) {
        if (identities[i].op == node->op) {
            return apply_identity(r, value, node, &identities[i]);
        }
    }
    return BT_NO_VALUE;
}

/* float32 sums and products of known numbers */
static bt_value fold_float(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    double number[2] = {0.0, 0.0};
    int operands = node->op == BT_OP_CAST || node->op == BT_OP_NEG ? 1 : 2;
    for (int i = 0; i < operands; i++) {
        if (!known_number(r->g, &node->args[i], &number[i])) {
            return BT_NO_VALUE;
        }
    }
    float a = (float)number[0], b = (float)number[1], result;
    switch (node->op) {
    case BT_OP_CAST: result = a; break;
    case BT_OP_NEG: result = -a; break;
    case BT_OP_ADD: result = a + b; break;
    case BT_OP_SUB: result = a - b; break;
    case BT_OP_MUL: result = a * b; break;
    default: return BT_NO_VALUE;
    }
    return bt_simplify_full(r, value, bt_expr_float(r->g->exprs, (double)result));
}

static bool is_foldable(enum bt_op op)
{
    return op == BT_OP_CAST || op == BT_OP_NEG || op == BT_OP_ADD || op == BT_OP_SUB || op == BT_OP_MUL;
}

/* Whether every value of `from` is exactly one of `to`, and true in both or in neither. */
static bool is_lossless(enum bt_dtype from, enum bt_dtype to)
{
    switch (from) {
    case BT_BOOL: return true;
    case BT_I32: return to == BT_I64 || to == BT_F64;
    case BT_F16:
    case BT_BF16: return to == BT_F32 || to == BT_F64;
    case BT_F32: return to == BT_F64;
    default: return false;
    }
}

static bt_value cast_once(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    const struct bt_node *inner = bt_match_op(r->g, node->args[0].value, BT_OP_CAST);
    if (!inner || !is_lossless(r->g->values[inner->args[0].value].dtype, r->g->values[inner->outs[0]].dtype)) {
        return BT_NO_VALUE;
    }
    const struct bt_arg args[] = {inner->args[0], bt_arg_dtype(r->g->values[value].dtype)};
    return bt_rewrite_op(r, BT_OP_CAST, 2, args);
}

/* x != 0 -> whether x */
static bt_value compare_with_zero(struct bt_rewriter *r, const struct bt_node *node)
{
    const bool zero = node->args[1].kind == BT_ARG_EXPR && bt_match_is_number(r->g, &node->args[1], 0.0);
    const struct bt_arg args[] = {node->args[0], bt_arg_dtype(BT_BOOL)};
    return zero && node->args[0].kind == BT_ARG_VALUE ? bt_rewrite_op(r, BT_OP_CAST, 2, args) : BT_NO_VALUE;
}

static bool is_negation(const struct bt_graph *g, const struct bt_node *node)
{
    return node && (node->op == BT_OP_LOGICAL_NOT || node->op == BT_OP_BITWISE_NOT) &&
           g->values[node->args[0].value].dtype == BT_BOOL;
}

static bt_value drop_negations(const struct bt_graph *g, const struct bt_node *node)
{
    const struct bt_node *inner = bt_match_producer(g, node->args[0].value);
    return is_negation(g, node) && is_negation(g, inner) ? inner->args[0].value : BT_NO_VALUE;
}

static bt_value choose(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    double condition;
    if (!known_number(r->g, &node->args[0], &condition)) {
        return BT_NO_VALUE;
    }
    const struct bt_arg *chosen = &node->args[condition != 0.0 ? 1 : 2];
    if (chosen->kind == BT_ARG_EXPR) {
        return bt_simplify_full(r, value, chosen->expr);
    }
    const struct bt_arg cast[] = {*chosen, bt_arg_dtype(r->g->values[value].dtype)};
    return bt_rewrite_shaped(r, BT_OP_EXPAND, bt_rewrite_op(r, BT_OP_CAST, 2, cast), value);
}

/* Every index is the same: one row for all. */
static bt_value repeat_row(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    struct bt_range index = bt_range_of_arg(r->g, &node->args[1]);
    int64_t rows;
    if (!bt_range_is_one(&index) || index.low < 0 ||
        !bt_expr_is_int(r->g->exprs, r->g->values[node->args[0].value].dims[0], &rows) || index.low >= rows) {
        return BT_NO_VALUE;
    }
    const struct bt_arg select[] = {node->args[0], bt_arg_int(r->g, 0), bt_arg_int(r->g, index.low)};
    return bt_rewrite_shaped(r, BT_OP_EXPAND, bt_rewrite_op(r, BT_OP_SELECT, 3, select), value);
}

bt_value bt_simplify_algebra(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    bt_value better = BT_NO_VALUE;
    if (is_foldable(node->op) && r->g->values[value].dtype == BT_F32) {
        better = fold_float(r, value, node);
    }
    if (better >= 0) {
        return better;
    }
    switch (node->op) {
    case BT_OP_CAST: return cast_once(r, value, node);
    case BT_OP_NE: return compare_with_zero(r, node);
    case BT_OP_LOGICAL_NOT:
    case BT_OP_BITWISE_NOT: return drop_negations(r->g, node);
    case BT_OP_WHERE: return choose(r, value, node);
    case BT_OP_EMBEDDING: return repeat_row(r, value, node);
    default: return drop_identity(r, value, node);
    }
}
