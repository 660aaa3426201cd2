/* range.c: bounds of integers that are known without running the graph */
#include "pass/range.h"

#include <string.h>

#include "pass/match.h"

#define MAX_DEPTH 5
#define MAX_ITEMS (1 << 14) /* of a constant that is looked through */

static const struct bt_range unknown = {INT64_MIN, INT64_MAX};

static struct bt_range range_at(const struct bt_graph *g, const struct bt_arg *arg, int depth);

bool bt_range_is_one(const struct bt_range *range)
{
    return range->low == range->high;
}

static struct bt_range of_expr(const struct bt_graph *g, bt_expr e)
{
    int64_t value;
    if (bt_expr_is_int(g->exprs, e, &value)) {
        return (struct bt_range){value, value};
    }
    return bt_expr_is_non_negative(g->exprs, e) ? (struct bt_range){0, INT64_MAX} : unknown;
}

static int64_t item(const struct bt_tensor *t, int64_t i)
{
    const char *data = t->data;
    int64_t wide;
    int32_t narrow;
    switch (t->dtype) {
    case BT_I64: memcpy(&wide, data + (size_t)i * sizeof(wide), sizeof(wide)); return wide;
    case BT_I32: memcpy(&narrow, data + (size_t)i * sizeof(narrow), sizeof(narrow)); return narrow;
    default: return data[i] != 0;
    }
}

/* Whether its items can be looked through, and there are some. */
static bool is_legible(const struct bt_tensor *t)
{
    const int64_t count = bt_numel(t->rank, t->dims);
    return t->data && !t->quantized && count > 0 && count <= MAX_ITEMS &&
           bt_is_contiguous(t->rank, t->dims, t->strides);
}

static struct bt_range of_constant(const struct bt_tensor *t)
{
    const int64_t count = bt_numel(t->rank, t->dims);
    if (!is_legible(t)) {
        return unknown;
    }
    struct bt_range range = {item(t, 0), item(t, 0)};
    for (int64_t i = 1; i < count; i++) {
        int64_t value = item(t, i);
        range.low = value < range.low ? value : range.low;
        range.high = value > range.high ? value : range.high;
    }
    return range;
}

bool bt_range_counts(const struct bt_graph *g, bt_value value, int64_t *first, int64_t *count)
{
    const struct bt_value_info *info = &g->values[value];
    const struct bt_tensor *t = info->kind == BT_VALUE_CONSTANT ? &g->constants[info->index].tensor : NULL;
    if (!t || (t->dtype != BT_I64 && t->dtype != BT_I32) || !is_legible(t)) {
        return false;
    }
    *first = item(t, 0);
    *count = bt_numel(t->rank, t->dims);
    for (int64_t i = 1; i < *count; i++) {
        if (item(t, i) != *first + i) {
            return false;
        }
    }
    return true;
}

/* a + b, where an unknown or overflowing bound stays unknown. */
static int64_t add_bound(int64_t a, int64_t b, int64_t none)
{
    int64_t sum;
    return a == none || b == none || !bt_add_i64(a, b, &sum) ? none : sum;
}

static struct bt_range negated(struct bt_range a)
{
    return (struct bt_range){a.high == INT64_MAX ? INT64_MIN : -a.high, a.low == INT64_MIN ? INT64_MAX : -a.low};
}

static struct bt_range sum(struct bt_range a, struct bt_range b)
{
    return (struct bt_range){add_bound(a.low, b.low, INT64_MIN), add_bound(a.high, b.high, INT64_MAX)};
}

static struct bt_range truth(bool always, bool never)
{
    return (struct bt_range){always, !never};
}

static struct bt_range lowest(struct bt_range a, struct bt_range b)
{
    return (struct bt_range){a.low < b.low ? a.low : b.low, a.high < b.high ? a.high : b.high};
}

static struct bt_range highest(struct bt_range a, struct bt_range b)
{
    return (struct bt_range){a.low > b.low ? a.low : b.low, a.high > b.high ? a.high : b.high};
}

static struct bt_range of_arange(const struct bt_graph *g, const struct bt_node *node)
{
    int64_t step;
    if (!bt_expr_is_int(g->exprs, node->args[2].expr, &step) || step < 1) {
        return unknown;
    }
    struct bt_range start = of_expr(g, node->args[0].expr), end = of_expr(g, node->args[1].expr);
    return (struct bt_range){start.low, end.high == INT64_MIN || end.high == INT64_MAX ? INT64_MAX : end.high - 1};
}

/* Comparisons and bool logic; a number among the operands must be an integer. */
static struct bt_range of_truth(const struct bt_node *node, struct bt_range a, struct bt_range b)
{
    bool apart = a.high < b.low || b.high < a.low;
    bool equal = bt_range_is_one(&a) && bt_range_is_one(&b) && a.low == b.low;
    switch (node->op) {
    case BT_OP_GE: return truth(a.low >= b.high, a.high < b.low);
    case BT_OP_GT: return truth(a.low > b.high, a.high <= b.low);
    case BT_OP_LE: return truth(a.high <= b.low, a.low > b.high);
    case BT_OP_LT: return truth(a.high < b.low, a.low >= b.high);
    case BT_OP_EQ: return truth(equal, apart);
    case BT_OP_NE: return truth(apart, equal);
    case BT_OP_BITWISE_AND: return lowest(a, b);
    case BT_OP_BITWISE_OR: return highest(a, b);
    default: return (struct bt_range){0, 1};
    }
}

static bool within(struct bt_range index, const struct bt_graph *g, bt_expr size)
{
    int64_t count;
    return bt_expr_is_int(g->exprs, size, &count) && index.low >= 0 && index.high < count;
}

/* An element of self, unless the index is wrong. */
static struct bt_range of_gather(const struct bt_graph *g, const struct bt_node *node, int depth)
{
    int64_t dim;
    if (!bt_expr_is_int(g->exprs, node->args[1].expr, &dim) ||
        !within(range_at(g, &node->args[2], depth), g, g->values[node->args[0].value].dims[dim])) {
        return unknown;
    }
    return range_at(g, &node->args[0], depth);
}

static struct bt_range of_sum(const struct bt_graph *g, const struct bt_node *node, int depth)
{
    struct bt_range a = range_at(g, &node->args[0], depth), b = range_at(g, &node->args[1], depth);
    return sum(a, node->op == BT_OP_SUB ? negated(b) : b);
}

static struct bt_range of_node(const struct bt_graph *g, const struct bt_node *node, enum bt_dtype dtype, int depth)
{
    const struct bt_arg *args = node->args;
    enum bt_dtype from = args[0].kind == BT_ARG_VALUE ? g->values[args[0].value].dtype : dtype;
    switch (node->op) {
    case BT_OP_ARANGE: return of_arange(g, node);
    case BT_OP_FULL: return range_at(g, &args[1], depth);
    case BT_OP_GATHER: return of_gather(g, node, depth);
    case BT_OP_PERMUTE:
    case BT_OP_RESHAPE:
    case BT_OP_EXPAND:
    case BT_OP_UNSQUEEZE:
    case BT_OP_SQUEEZE:
    case BT_OP_SLICE:
    case BT_OP_SELECT: return range_at(g, &args[0], depth);
    case BT_OP_CAST: return from == BT_BOOL || dtype == BT_I64 ? range_at(g, &args[0], depth) : unknown;
    case BT_OP_NEG: return dtype == BT_I64 ? negated(range_at(g, &args[0], depth)) : unknown;
    case BT_OP_ADD:
    case BT_OP_SUB: return dtype == BT_I64 ? of_sum(g, node, depth) : unknown; /* narrower types may wrap around */
    case BT_OP_LOGICAL_NOT:
    case BT_OP_BITWISE_NOT:
        return from == BT_BOOL ? sum((struct bt_range){1, 1}, negated(range_at(g, &args[0], depth))) : unknown;
    case BT_OP_GE:
    case BT_OP_GT:
    case BT_OP_LE:
    case BT_OP_LT:
    case BT_OP_EQ:
    case BT_OP_NE: return of_truth(node, range_at(g, &args[0], depth), range_at(g, &args[1], depth));
    case BT_OP_BITWISE_AND:
    case BT_OP_BITWISE_OR:
        return dtype == BT_BOOL ? of_truth(node, range_at(g, &args[0], depth), range_at(g, &args[1], depth)) : unknown;
    default: return unknown;
    }
}

static struct bt_range range_at(const struct bt_graph *g, const struct bt_arg *arg, int depth)
{
    if (arg->kind == BT_ARG_EXPR) {
        return of_expr(g, arg->expr);
    }
    if (arg->kind != BT_ARG_VALUE || depth == 0) {
        return unknown;
    }
    const struct bt_value_info *info = &g->values[arg->value];
    if (info->dtype != BT_I64 && info->dtype != BT_I32 && info->dtype != BT_BOOL) {
        return unknown;
    }
    struct bt_range range = unknown;
    const struct bt_node *node = bt_match_producer(g, arg->value);
    if (info->kind == BT_VALUE_CONSTANT) {
        range = of_constant(&g->constants[info->index].tensor);
    } else if (node) {
        range = of_node(g, node, info->dtype, depth - 1);
    }
    if (info->dtype == BT_BOOL) {
        range = highest(lowest(range, (struct bt_range){1, 1}), (struct bt_range){0, 0});
    }
    return range;
}

struct bt_range bt_range_of_arg(const struct bt_graph *g, const struct bt_arg *arg)
{
    return range_at(g, arg, MAX_DEPTH);
}

struct bt_range bt_range_of(const struct bt_graph *g, bt_value value)
{
    const struct bt_arg arg = bt_arg_value(value);
    return range_at(g, &arg, MAX_DEPTH);
}
