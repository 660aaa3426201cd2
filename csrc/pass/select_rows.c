/* select_rows.c: what only one row of is selected is computed for this row alone
 * Backwards, every value gets the rows that its users ask for; forwards, values of which all users want the same row of
 * the same dimension are computed with a dimension of size 1 there. */
#include "pass/pass.h"
#include "pass/rewrite.h"

enum { WHOLE = -1, IMPOSSIBLE = -2 }; /* instead of an operand's dimension */

enum wanted { WANT_NOTHING, WANT_ROW, WANT_ALL };

struct demand {
    enum wanted wanted;
    int dim;       /* WANT_ROW: */
    bt_expr index; /* which one */
};

static bool is_int(const struct bt_graph *g, bt_expr e, int64_t expected)
{
    int64_t value;
    return bt_expr_is_int(g->exprs, e, &value) && value == expected;
}

static int int_of(const struct bt_graph *g, const struct bt_arg *arg)
{
    int64_t value;
    return arg->kind == BT_ARG_EXPR && bt_expr_is_int(g->exprs, arg->expr, &value) ? (int)value : IMPOSSIBLE;
}

/* Of an operand that is broadcast to the result. */
static int broadcast_dim(const struct bt_graph *g, const struct bt_value_info *in, const struct bt_value_info *out,
                         int dim)
{
    int own = dim - out->rank + in->rank;
    if (own < 0) {
        return WHOLE;
    }
    if (in->dims[own] == out->dims[dim]) {
        return own;
    }
    return is_int(g, in->dims[own], 1) ? WHOLE : IMPOSSIBLE;
}

/* A dimension that a reshape leaves alone: all before it, or all after it, are the same. */
static int reshaped_dim(const struct bt_value_info *in, const struct bt_value_info *out, int dim)
{
    int before = 0, after = 0, from_last = out->rank - dim;
    while (before <= dim && before < in->rank && in->dims[before] == out->dims[before]) {
        before++;
    }
    while (after < from_last && after < in->rank &&
           in->dims[in->rank - 1 - after] == out->dims[out->rank - 1 - after]) {
        after++;
    }
    if (before > dim) {
        return dim;
    }
    return after == from_last ? in->rank - from_last : IMPOSSIBLE;
}

static int attention_dim(const struct bt_graph *g, const struct bt_node *node, int i, int dim)
{
    enum { QUERY, KEY, VALUE, MASK, CAUSAL };
    const struct bt_value_info *in = &g->values[node->args[i].value], *out = &g->values[node->outs[0]];
    if (dim == out->rank - 1 || (node->args[CAUSAL].kind != BT_ARG_NONE && int_of(g, &node->args[CAUSAL]) != 0)) {
        return IMPOSSIBLE;
    }
    if (dim == out->rank - 2 && (i == KEY || i == VALUE)) {
        return WHOLE;
    }
    if (i != MASK && dim < out->rank - 2) {
        return broadcast_dim(g, in, out, dim);
    }
    int own = dim - out->rank + in->rank;
    return own < 0 || (i == MASK && is_int(g, in->dims[own], 1)) ? WHOLE : own;
}

static int matmul_dim(const struct bt_value_info *in, const struct bt_value_info *out, int i, int dim)
{
    if (dim != out->rank - 2 || in->rank < 2) {
        return IMPOSSIBLE;
    }
    return i == 0 ? in->rank - 2 : WHOLE;
}

/* The dimension of operand i (a value) whose rows are those of the result's dimension. */
static int operand_dim(const struct bt_graph *g, const struct bt_node *node, int i, int dim)
{
    const struct bt_value_info *in = &g->values[node->args[i].value], *out = &g->values[node->outs[0]];
    const int last = out->rank - 1;
    int at;
    switch (node->op) {
    case BT_OP_PERMUTE: return (int)bt_expr_hint(g->exprs, node->args[1].list[dim]).i;
    case BT_OP_RESHAPE: return reshaped_dim(in, out, dim);
    case BT_OP_EXPAND: return broadcast_dim(g, in, out, dim);
    case BT_OP_UNSQUEEZE: at = int_of(g, &node->args[1]); return at == dim ? IMPOSSIBLE : dim - (dim > at);
    case BT_OP_LINEAR: return dim == last ? IMPOSSIBLE : i == 0 || i == 3 ? dim : WHOLE;
    case BT_OP_LAYER_NORM:
    case BT_OP_RMS_NORM: return dim > last - int_of(g, &node->args[1]) ? IMPOSSIBLE : i == 0 ? dim : WHOLE;
    case BT_OP_SOFTMAX: return int_of(g, &node->args[1]) == dim ? IMPOSSIBLE : dim;
    case BT_OP_SDPA: return attention_dim(g, node, i, dim);
    case BT_OP_MATMUL: return matmul_dim(in, out, i, dim);
    default: return node->op >= BT_OP_CAST && node->op <= BT_OP_CLAMP ? broadcast_dim(g, in, out, dim) : IMPOSSIBLE;
    }
}

/* Whether the node selects one row of its first operand. */
static bool is_selection(const struct bt_graph *g, const struct bt_node *node, struct demand *out)
{
    if (node->op != BT_OP_SELECT && node->op != BT_OP_SLICE) {
        return false;
    }
    *out = (struct demand){WANT_ROW, int_of(g, &node->args[1]), node->args[2].expr};
    return node->op == BT_OP_SELECT ||
           is_int(g, bt_expr_binary(g->exprs, BT_EXPR_SUB, node->args[3].expr, node->args[2].expr), 1);
}

static void demand(struct demand *known, struct demand more)
{
    bool same =
        known->wanted == WANT_ROW && more.wanted == WANT_ROW && known->dim == more.dim && known->index == more.index;
    if (known->wanted == WANT_NOTHING) {
        *known = more;
    } else if (!same) {
        known->wanted = WANT_ALL;
    }
}

static void demand_tree(const struct bt_tree *tree, struct demand *demands)
{
    if (tree->kind == BT_TREE_TENSOR) {
        demands[tree->value].wanted = WANT_ALL;
    }
    for (int32_t i = 0; i < tree->count; i++) {
        demand_tree(&tree->items[i], demands);
    }
}

/* Whether the node can make one row from rows of its operands. */
static bool can_narrow(const struct bt_graph *g, const struct bt_node *node, int dim)
{
    bool can = node->nouts == 1, tensors = false;
    for (int i = 0; i < node->nargs && can; i++) {
        if (node->args[i].kind == BT_ARG_VALUE) {
            can = operand_dim(g, node, i, dim) != IMPOSSIBLE;
            tensors = true;
        }
    }
    return can && tensors;
}

static void demand_operands(const struct bt_graph *g, const struct bt_node *node, struct demand *demands)
{
    struct demand *own = &demands[node->outs[0]], row;
    bool selection = is_selection(g, node, &row);
    if (selection || (own->wanted == WANT_ROW && !can_narrow(g, node, own->dim))) {
        own->wanted = WANT_ALL;
    }
    for (int i = 0; i < node->nargs; i++) {
        const struct bt_arg *arg = &node->args[i];
        struct demand more = {.wanted = WANT_ALL};
        if (own->wanted == WANT_ROW && arg->kind == BT_ARG_VALUE) {
            int dim = operand_dim(g, node, i, own->dim);
            more = dim >= 0 ? (struct demand){WANT_ROW, dim, own->index} : more;
        }
        if (arg->kind == BT_ARG_VALUE) {
            demand(&demands[arg->value], selection ? row : more);
        }
        for (int32_t k = 0; arg->kind == BT_ARG_VALUES && k < arg->count; k++) {
            if (arg->list[k] >= 0) {
                demand(&demands[arg->list[k]], more);
            }
        }
    }
}

/* ---- forwards ---- */

static bool is_narrow(const struct bt_graph *g, const struct demand *demands, bt_value old)
{
    return g->values[old].kind == BT_VALUE_NODE && demands[old].wanted == WANT_ROW;
}

/* x[..., index:index + 1, ...] */
static enum bertc_status slice_row(struct bt_rewriter *r, struct bt_arg *arg, int dim, bt_expr index)
{
    struct bt_graph *g = r->g;
    bt_expr end = bt_expr_binary(g->exprs, BT_EXPR_ADD, index, bt_expr_int(g->exprs, 1));
    const struct bt_arg args[] = {*arg, bt_arg_int(g, dim), bt_arg_expr(index), bt_arg_expr(end), bt_arg_int(g, 1)};
    return bt_graph_node(g, BT_OP_SLICE, args, 5, &arg->value, r->err);
}

static enum bertc_status narrow(struct bt_rewriter *r, const struct bt_node *old, const struct bt_node *node, int dim,
                                bt_expr index)
{
    const struct demand *demands = r->context;
    enum bertc_status status = BERTC_OK;
    for (int i = 0; i < node->nargs && !status; i++) {
        if (node->args[i].kind != BT_ARG_VALUE || is_narrow(r->g, demands, old->args[i].value)) {
            continue;
        }
        int own = operand_dim(r->g, old, i, dim);
        if (own >= 0) {
            status = slice_row(r, &node->args[i], own, index);
        }
    }
    if (!status && (node->op == BT_OP_RESHAPE || node->op == BT_OP_EXPAND)) {
        struct bt_arg *shape = &node->args[1];
        shape->list = bt_arena_copy(&r->g->arena, shape->list, (size_t)shape->count * sizeof(*shape->list));
        if (!shape->list) {
            return bt_error_memory(r->err);
        }
        shape->list[dim] = bt_expr_int(r->g->exprs, 1);
    }
    return status;
}

static enum bertc_status emit(struct bt_rewriter *r, const struct bt_node *old, const struct bt_node *node,
                              bt_value *outs)
{
    const struct demand *demands = r->context;
    const struct demand *own = &demands[old->outs[0]];
    struct bt_graph *g = r->g;
    struct demand row;
    enum bertc_status status = BERTC_OK;
    if (own->wanted == WANT_ROW) {
        status = narrow(r, old, node, own->dim, own->index);
    } else if (is_selection(g, old, &row) && is_narrow(g, demands, old->args[0].value)) {
        node->args[2] = bt_arg_int(g, 0);
        if (node->op == BT_OP_SLICE) {
            node->args[3] = bt_arg_int(g, 1);
        }
    }
    g->where = old->where;
    return status ? status : bt_graph_node(g, node->op, node->args, node->nargs, outs, r->err);
}

enum bertc_status bt_pass_select_rows(struct bt_graph *g, struct bertc_error *err)
{
    struct demand *demands = bt_calloc(g->value_count + 1, sizeof(*demands));
    if (!demands) {
        return bt_error_memory(err);
    }
    bool rows = false;
    demand_tree(&g->output, demands);
    for (size_t i = g->node_count; i-- > 0;) {
        demand_operands(g, &g->nodes[i], demands);
        rows = rows || demands[g->nodes[i].outs[0]].wanted == WANT_ROW;
    }
    enum bertc_status status = rows ? bt_rewrite_emit_graph(g, emit, demands, err) : BERTC_OK;
    bt_free(demands);
    return status;
}
