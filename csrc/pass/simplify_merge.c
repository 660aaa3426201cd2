/* simplify_merge.c: work on merged dimensions is done before they are merged
 * Models merge batch and heads for bmm, and part them again behind it. Apart, the batch stays a dimension of its own,
 * and what lies in another order in memory needs no copy. */
#include "pass/simplify.h"

/* A dimension that a reshape makes of two. */
struct merge {
    int from_last; /* of the merged value's dims: 1 is the last */
    bt_expr outer, inner, size; /* of the two, and of the one */
};

static int dim_of(const struct merge *m, const struct bt_value_info *merged)
{
    return merged->rank - m->from_last;
}

static bool is_one(const struct bt_graph *g, bt_expr e)
{
    int64_t size;
    return bt_expr_is_int(g->exprs, e, &size) && size == 1;
}

/* The operand of a reshape that merges two adjacent dims and does nothing else. Dims of one are no matter: to drop them
 * never copies. */
static bt_value apart(const struct bt_graph *g, bt_value value, struct merge *m)
{
    const struct bt_node *node = bt_match_op(g, value, BT_OP_RESHAPE);
    if (!node) {
        return BT_NO_VALUE;
    }
    const struct bt_value_info *from = &g->values[node->args[0].value], *to = &g->values[value];
    int dim = 0;
    if (to->rank == 0 || from->rank != to->rank + 1) {
        return BT_NO_VALUE;
    }
    while (dim < to->rank - 1 && from->dims[dim] == to->dims[dim]) {
        dim++;
    }
    for (int d = dim + 1; d < to->rank; d++) {
        if (from->dims[d + 1] != to->dims[d]) {
            return BT_NO_VALUE;
        }
    }
    if (is_one(g, from->dims[dim]) || is_one(g, from->dims[dim + 1])) {
        return BT_NO_VALUE;
    }
    *m = (struct merge){to->rank - dim, from->dims[dim], from->dims[dim + 1], to->dims[dim]};
    return node->args[0].value;
}

/* The value with these two sizes in the place of the merged one. */
static bt_value resized(struct bt_rewriter *r, enum bt_op op, bt_value value, const struct bt_value_info *like,
                        const struct merge *m, bt_expr outer, bt_expr inner)
{
    struct bt_value_info shape = *like;
    const int dim = dim_of(m, like);
    for (int d = shape.rank++; d > dim; d--) {
        shape.dims[d] = shape.dims[d - 1];
    }
    shape.dims[dim] = outer;
    shape.dims[dim + 1] = inner;
    const struct bt_arg args[] = {bt_arg_value(value), bt_arg_exprs(shape.dims, shape.rank)};
    return value < 0 ? BT_NO_VALUE : bt_rewrite_op(r, op, 2, args);
}

/* An operand as it was before the merge; what is the same along the merged dimension has one there. */
static bt_value operand_apart(struct bt_rewriter *r, bt_value value, const struct merge *m)
{
    const struct bt_graph *g = r->g;
    const struct bt_value_info info = g->values[value];
    const bt_expr one = bt_expr_int(g->exprs, 1);
    struct merge own;
    bt_value before = apart(g, value, &own);
    if (before >= 0 && own.from_last == m->from_last && own.outer == m->outer && own.inner == m->inner) {
        return before;
    }
    if (info.rank < m->from_last) {
        return value;
    }
    if (is_one(g, info.dims[dim_of(m, &info)])) {
        return resized(r, BT_OP_RESHAPE, value, &info, m, one, one);
    }
    const struct bt_node *expand = bt_match_op(g, value, BT_OP_EXPAND);
    const bt_value small = expand ? expand->args[0].value : BT_NO_VALUE;
    if (small < 0 || info.dims[dim_of(m, &info)] != m->size || g->values[small].rank != info.rank ||
        !is_one(g, g->values[small].dims[dim_of(m, &info)])) {
        return BT_NO_VALUE;
    }
    const struct bt_value_info from = g->values[small];
    return resized(r, BT_OP_EXPAND, resized(r, BT_OP_RESHAPE, small, &from, m, one, one), &info, m, m->outer, m->inner);
}

/* The dims of a permutation, for one dimension more. */
static bool permutation_apart(const struct bt_graph *g, int dim, const struct bt_arg *dims, struct bt_value_info *out)
{
    out->rank = 0;
    for (int32_t d = 0; d < dims->count; d++) {
        int64_t from;
        if (!bt_expr_is_int(g->exprs, dims->list[d], &from)) {
            return false;
        }
        out->dims[out->rank++] = bt_expr_int(g->exprs, from + (from > dim));
        if (from == dim) {
            out->dims[out->rank++] = bt_expr_int(g->exprs, from + 1);
        }
    }
    return true;
}

/* The argument that names a dimension of the operand, or -1. */
static int dim_argument(enum bt_op op)
{
    return op == BT_OP_SOFTMAX || op == BT_OP_GATHER || op == BT_OP_SLICE || op == BT_OP_CAT ? 1 : -1;
}

/* Puts the arguments that name dimensions right, in args; dim is the merged one, of the operand. */
static bool dims_apart(struct bt_graph *g, enum bt_op op, int dim, struct bt_arg *args, struct bt_value_info *room)
{
    const int at = dim_argument(op);
    int64_t along;
    if (op == BT_OP_PERMUTE) {
        if (!permutation_apart(g, dim, &args[1], room)) {
            return false;
        }
        args[1] = bt_arg_exprs(room->dims, room->rank);
    }
    if (at < 0) {
        return true;
    }
    if (!bt_expr_is_int(g->exprs, args[at].expr, &along) || along == dim) {
        return false;
    }
    args[at] = bt_arg_int(g, along + (along > dim));
    return true;
}

static bool is_possible(const struct bt_graph *g, const struct bt_node *node, const struct merge *m)
{
    if (g->values[node->outs[0]].rank >= BT_MAX_RANK) {
        return false;
    }
    if (node->op == BT_OP_MATMUL || node->op == BT_OP_SDPA) {
        return m->from_last > 2;
    }
    return node->op == BT_OP_PERMUTE || dim_argument(node->op) >= 0 ||
           (node->op >= BT_OP_CAST && node->op <= BT_OP_CLAMP);
}

/* The first operand whose dims were merged. */
static bt_value find_merged(const struct bt_graph *g, const struct bt_node *node, struct merge *m)
{
    for (int i = 0; i < node->nargs; i++) {
        const struct bt_arg *arg = &node->args[i];
        if (arg->kind == BT_ARG_VALUE && apart(g, arg->value, m) >= 0) {
            return arg->value;
        }
        for (int32_t k = 0; arg->kind == BT_ARG_VALUES && k < arg->count; k++) {
            if (arg->list[k] >= 0 && apart(g, arg->list[k], m) >= 0) {
                return arg->list[k];
            }
        }
    }
    return BT_NO_VALUE;
}

/* An attention's operands are taken apart in any case: to part a dimension never copies. */
static bt_value attention_operand_apart(struct bt_rewriter *r, bt_value value, const struct merge *m)
{
    const struct bt_value_info info = r->g->values[value];
    bt_value better = operand_apart(r, value, m);
    if (better >= 0 || info.dims[dim_of(m, &info)] != m->size) {
        return better;
    }
    return resized(r, BT_OP_RESHAPE, value, &info, m, m->outer, m->inner);
}

static bool arg_apart(struct bt_rewriter *r, enum bt_op op, const struct merge *m, struct bt_arg *arg)
{
    bt_value *list = &arg->value;
    int32_t count = arg->kind == BT_ARG_VALUE;
    if (arg->kind == BT_ARG_VALUES) {
        arg->list = list = bt_arena_copy(&r->g->arena, arg->list, (size_t)arg->count * sizeof(*list));
        count = list ? arg->count : 0;
    }
    bool all = list != NULL;
    for (int32_t k = 0; k < count && all; k++) {
        list[k] = op == BT_OP_SDPA ? attention_operand_apart(r, list[k], m) : operand_apart(r, list[k], m);
        all = list[k] >= 0;
    }
    return all;
}

bt_value bt_simplify_merge(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    enum { MOST_ARGS = 7 };
    struct bt_graph *g = r->g;
    struct merge m;
    struct bt_arg args[MOST_ARGS];
    struct bt_value_info room;
    if (node->nargs > MOST_ARGS) {
        return BT_NO_VALUE;
    }
    const bt_value merged = find_merged(g, node, &m);
    if (merged < 0 || !is_possible(g, node, &m)) {
        return BT_NO_VALUE;
    }
    const int dim = dim_of(&m, &g->values[merged]);
    for (int i = 0; i < node->nargs; i++) {
        args[i] = node->args[i];
        if (!arg_apart(r, node->op, &m, &args[i])) {
            return BT_NO_VALUE;
        }
    }
    if (!dims_apart(g, node->op, dim, args, &room)) {
        return BT_NO_VALUE;
    }
    return bt_rewrite_shaped(r, BT_OP_RESHAPE, bt_rewrite_op(r, node->op, node->nargs, args), value);
}
