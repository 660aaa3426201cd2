/* simplify_expand.c: work on expanded operands is done before they are expanded, and views of full are full */
#include "pass/simplify.h"

static bool is_pointwise(enum bt_op op)
{
    return op >= BT_OP_CAST && op <= BT_OP_CLAMP;
}

/* full's number as it would be written in an expression; BT_NO_EXPR when that may be another number. */
static bt_expr number_of(const struct bt_graph *g, const struct bt_node *full, enum bt_dtype dtype)
{
    bt_expr number = full->args[1].expr;
    enum bt_scalar_type type = bt_expr_type(g->exprs, number);
    bool exact = (dtype == BT_BOOL && type == BT_SCALAR_BOOL) || (dtype == BT_I64 && type == BT_SCALAR_INT) ||
                 (dtype == BT_F32 && type == BT_SCALAR_FLOAT);
    return exact ? number : BT_NO_EXPR;
}

/* The operand before it was expanded; a full is a number. */
static bool shrink(const struct bt_graph *g, struct bt_arg *arg)
{
    const struct bt_node *node = arg->kind == BT_ARG_VALUE ? bt_match_producer(g, arg->value) : NULL;
    if (node && node->op == BT_OP_EXPAND) {
        *arg = node->args[0];
        return true;
    }
    bt_expr number = BT_NO_EXPR;
    if (node && node->op == BT_OP_FULL && g->values[arg->value].rank > 0) {
        number = number_of(g, node, g->values[arg->value].dtype);
    }
    if (number >= 0) {
        *arg = bt_arg_expr(number);
    }
    return number >= 0;
}

static bt_value expand_later(struct bt_rewriter *r, bt_value value, const struct bt_node *node, int first, int last)
{
    struct bt_arg args[3]; /* no pointwise op has more */
    bool changed = false, tensors = false;
    for (int i = 0; i < node->nargs; i++) {
        args[i] = node->args[i];
        if (i >= first && i <= last) {
            changed = shrink(r->g, &args[i]) || changed;
            tensors = tensors || args[i].kind == BT_ARG_VALUE;
        }
    }
    if (!changed || !tensors || (node->op == BT_OP_WHERE && args[0].kind != BT_ARG_VALUE)) {
        return BT_NO_VALUE;
    }
    bt_value small = bt_rewrite_op(r, node->op, node->nargs, args);
    if (small < 0 || r->g->values[small].dtype != r->g->values[value].dtype) {
        return BT_NO_VALUE;
    }
    return bt_rewrite_shaped(r, BT_OP_EXPAND, small, value);
}

/* Whether a value's shape is that of `inner` behind dimensions of one. */
static bool adds_ones(const struct bt_graph *g, bt_value inner, bt_value value)
{
    const struct bt_value_info *from = &g->values[inner], *to = &g->values[value];
    const int more = to->rank - from->rank;
    bool ones = more > 0;
    for (int d = 0; d < to->rank && ones; d++) {
        int64_t size;
        ones =
            d < more ? bt_expr_is_int(g->exprs, to->dims[d], &size) && size == 1 : to->dims[d] == from->dims[d - more];
    }
    return ones;
}

/* Dimensions of one before an operand's own are no matter where another operand has as many. */
static bt_value without_ones(struct bt_rewriter *r, const struct bt_node *node)
{
    struct bt_arg args[3]; /* no pointwise op has more */
    int rank[3], changed = 0;
    for (int i = 0; i < node->nargs; i++) {
        args[i] = node->args[i];
        rank[i] = args[i].kind == BT_ARG_VALUE ? r->g->values[args[i].value].rank : 0;
    }
    for (int i = 0; i < node->nargs; i++) {
        const struct bt_node *view = rank[i] > 0 ? bt_match_reshape(r->g, args[i].value) : NULL;
        bool wider = false;
        for (int k = 0; k < node->nargs; k++) {
            wider = wider || (k != i && rank[k] >= rank[i]);
        }
        if (view && wider && adds_ones(r->g, view->args[0].value, args[i].value)) {
            args[i] = view->args[0];
            rank[i] = r->g->values[args[i].value].rank;
            changed++;
        }
    }
    return changed ? bt_rewrite_op(r, node->op, node->nargs, args) : BT_NO_VALUE;
}

static bt_value broadcast(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    bt_value better = expand_later(r, value, node, 0, node->nargs - 1);
    return better >= 0 ? better : without_ones(r, node);
}

static bool same_last(const struct bt_graph *g, bt_value a, bt_value b, int count)
{
    const struct bt_value_info *x = &g->values[a], *y = &g->values[b];
    bool same = x->rank >= count && y->rank >= count;
    for (int d = 1; d <= count && same; d++) {
        same = x->dims[x->rank - d] == y->dims[y->rank - d];
    }
    return same;
}

/* A linear of repeated rows is computed once for each. */
static bt_value linear_unexpanded(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    const struct bt_node *expand = bt_match_op(r->g, node->args[0].value, BT_OP_EXPAND);
    if (!expand || node->args[3].kind != BT_ARG_NONE ||
        !same_last(r->g, node->args[0].value, expand->args[0].value, 1)) {
        return BT_NO_VALUE;
    }
    const struct bt_arg args[] = {expand->args[0], node->args[1], node->args[2], node->args[3], node->args[4]};
    return bt_rewrite_shaped(r, BT_OP_EXPAND, bt_rewrite_op(r, BT_OP_LINEAR, 5, args), value);
}

static bool same_but(const struct bt_graph *g, bt_value a, bt_value b, int dim)
{
    const struct bt_value_info *x = &g->values[a], *y = &g->values[b];
    bool same = x->rank == y->rank;
    for (int d = 0; d < x->rank && same; d++) {
        same = d == dim || x->dims[d] == y->dims[d];
    }
    return same;
}

static bt_value before_expand(const struct bt_graph *g, bt_value value)
{
    const struct bt_node *expand = bt_match_op(g, value, BT_OP_EXPAND);
    bool same_rank = expand && g->values[expand->args[0].value].rank == g->values[value].rank;
    return same_rank ? expand->args[0].value : BT_NO_VALUE;
}

/* slice, cat: along a dimension that was not expanded */
static bt_value part_unexpanded(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    enum { MOST_PARTS = 8, MOST_ARGS = 5 };
    const struct bt_graph *g = r->g;
    const bool cat = node->op == BT_OP_CAT;
    const int32_t count = cat ? node->args[0].count : 1;
    const bt_value *parts = cat ? node->args[0].list : &node->args[0].value;
    bt_value small[MOST_PARTS];
    int64_t dim;
    if (count > MOST_PARTS || !bt_expr_is_int(g->exprs, node->args[1].expr, &dim)) {
        return BT_NO_VALUE;
    }
    for (int32_t i = 0; i < count; i++) {
        small[i] = before_expand(g, parts[i]);
        if (small[i] < 0 || !same_but(g, small[i], small[0], (int)dim) ||
            g->values[small[i]].dims[dim] != g->values[parts[i]].dims[dim]) {
            return BT_NO_VALUE;
        }
    }
    struct bt_arg args[MOST_ARGS];
    for (int i = 0; i < node->nargs; i++) {
        args[i] = node->args[i];
    }
    args[0] = cat ? bt_arg_values(small, count) : bt_arg_value(small[0]);
    return bt_rewrite_shaped(r, BT_OP_EXPAND, bt_rewrite_op(r, node->op, node->nargs, args), value);
}

static bt_value permute_unexpanded(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    const bt_value small = before_expand(r->g, node->args[0].value);
    const struct bt_arg args[] = {bt_arg_value(small), node->args[1]};
    return small < 0 ? BT_NO_VALUE
                     : bt_rewrite_shaped(r, BT_OP_EXPAND, bt_rewrite_op(r, BT_OP_PERMUTE, 2, args), value);
}

/* Keys, values and masks of an attention are broadcast anyway. */
static bt_value attend_unexpanded(struct bt_rewriter *r, const struct bt_node *node)
{
    enum { KEY = 1, MASK = 3, ARGS = 7 };
    const struct bt_graph *g = r->g;
    struct bt_arg args[ARGS];
    bool changed = false;
    for (int i = 0; i < ARGS; i++) {
        args[i] = node->args[i];
        const struct bt_node *expand =
            args[i].kind == BT_ARG_VALUE ? bt_match_op(g, args[i].value, BT_OP_EXPAND) : NULL;
        if (!expand || i < KEY || (i < MASK && !same_last(g, args[i].value, expand->args[0].value, 2))) {
            continue;
        }
        args[i] = expand->args[0];
        changed = true;
    }
    return changed ? bt_rewrite_op(r, BT_OP_SDPA, ARGS, args) : BT_NO_VALUE;
}

bt_value bt_simplify_expand(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    const struct bt_node *full = node->op <= BT_OP_SELECT ? bt_match_op(r->g, node->args[0].value, BT_OP_FULL) : NULL;
    if (full) {
        return bt_simplify_full(r, value, full->args[1].expr);
    }
    switch (node->op) {
    case BT_OP_EMBEDDING: return expand_later(r, value, node, 1, 1);
    case BT_OP_LINEAR: return linear_unexpanded(r, value, node);
    case BT_OP_SDPA: return attend_unexpanded(r, node);
    case BT_OP_PERMUTE: return permute_unexpanded(r, value, node);
    case BT_OP_SLICE:
    case BT_OP_CAT: return part_unexpanded(r, value, node);
    default: return is_pointwise(node->op) ? broadcast(r, value, node) : BT_NO_VALUE;
    }
}
