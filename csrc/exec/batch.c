/* batch.c: prove that a graph computes each item of its batch alone
 * Every value is either shared (it does not depend on the batch symbol) or batched (its first dimension is the
 * symbol, and nothing else of it is). The rules below say for each op which operands keep that so; what they don't
 * know is refused. */
#include "exec/batch.h"

#include "exec/step.h"

struct proof {
    const struct bt_graph *g;
    int32_t symbol;
    bool *depends; /* per expression: on the symbol */
};

static const struct bt_value_info *info_of(const struct proof *p, bt_value value)
{
    return &p->g->values[value];
}

static bool is_symbol(const struct proof *p, bt_expr e)
{
    return bt_expr_symbol_index(p->g->exprs, e) == p->symbol;
}

/* Whether a value is batched; *ok = false when it is neither batched nor shared. */
static bool is_batched(const struct proof *p, bt_value value, bool *ok)
{
    const struct bt_value_info *info = info_of(p, value);
    for (int d = 1; d < info->rank; d++) {
        *ok = *ok && !p->depends[info->dims[d]];
    }
    if (info->rank == 0 || !p->depends[info->dims[0]]) {
        return false;
    }
    *ok = *ok && is_symbol(p, info->dims[0]);
    return true;
}

static bool is_one(const struct proof *p, bt_expr e)
{
    int64_t value;
    return bt_expr_is_int(p->g->exprs, e, &value) && value == 1;
}

/* An operand that is broadcast to a batched result of `rank` dims: batched itself, or the same for all items. */
static bool broadcasts(const struct proof *p, const struct bt_arg *arg, int rank)
{
    if (arg->kind != BT_ARG_VALUE) {
        return true;
    }
    const struct bt_value_info *info = info_of(p, arg->value);
    bool ok = true;
    if (is_batched(p, arg->value, &ok)) {
        return ok && info->rank == rank;
    }
    return ok && (info->rank < rank || is_one(p, info->dims[0]));
}

static bool shared(const struct proof *p, const struct bt_arg *arg)
{
    bool ok = true;
    return arg->kind != BT_ARG_VALUE || (!is_batched(p, arg->value, &ok) && ok);
}

static bool batched(const struct proof *p, const struct bt_arg *arg)
{
    bool ok = true;
    return arg->kind == BT_ARG_VALUE && is_batched(p, arg->value, &ok) && ok;
}

/* Whether an argument that names dimensions leaves the first alone; NONE means all of them. */
static bool spares_batch(const struct proof *p, const struct bt_arg *arg)
{
    int64_t dim;
    if (arg->kind == BT_ARG_EXPR) {
        return bt_expr_is_int(p->g->exprs, arg->expr, &dim) && dim > 0;
    }
    for (int32_t i = 0; i < arg->count; i++) {
        if (!bt_expr_is_int(p->g->exprs, arg->list[i], &dim) || dim <= 0) {
            return false;
        }
    }
    return arg->kind == BT_ARG_EXPRS && arg->count > 0;
}

/* A permutation that keeps the first dimension in its place. */
static bool permutes_rest(const struct proof *p, const struct bt_arg *dims)
{
    int64_t first;
    return dims->count > 0 && bt_expr_is_int(p->g->exprs, dims->list[0], &first) && first == 0;
}

static bool all_batched(const struct proof *p, const struct bt_arg *list)
{
    bool ok = true;
    for (int32_t i = 0; i < list->count; i++) {
        ok = list->list[i] >= 0 && is_batched(p, list->list[i], &ok) && ok;
    }
    return ok;
}

/* Numbers that depend on the batch may only be sizes, of which inference has made the result's first dimension. */
static bool numbers_allowed(const struct proof *p, const struct bt_node *node)
{
    const bool sizes = node->op == BT_OP_RESHAPE || node->op == BT_OP_EXPAND || node->op == BT_OP_FULL;
    for (int i = 0; i < node->nargs; i++) {
        const struct bt_arg *arg = &node->args[i];
        if (arg->kind == BT_ARG_EXPR && p->depends[arg->expr]) {
            return false;
        }
        for (int32_t k = 0; arg->kind == BT_ARG_EXPRS && k < arg->count && !sizes; k++) {
            if (p->depends[arg->list[k]]) {
                return false;
            }
        }
    }
    return true;
}

/* Rules for nodes whose result is batched. */

typedef bool rule_fn(const struct proof *p, const struct bt_node *node);

static bool pointwise(const struct proof *p, const struct bt_node *node)
{
    const int rank = info_of(p, node->outs[0])->rank;
    for (int i = 0; i < node->nargs; i++) {
        if (!broadcasts(p, &node->args[i], rank)) {
            return false;
        }
    }
    return true;
}

static bool view(const struct proof *p, const struct bt_node *node)
{
    const struct bt_arg *args = node->args;
    if (node->op == BT_OP_EXPAND) {
        return broadcasts(p, &args[0], info_of(p, node->outs[0])->rank);
    }
    /* A reshape from one batched value to another keeps each item's elements together. */
    return batched(p, &args[0]) && (node->op == BT_OP_RESHAPE   ? true
                                    : node->op == BT_OP_PERMUTE ? permutes_rest(p, &args[1])
                                                                : spares_batch(p, &args[1]));
}

/* One operand, and dimensions in the second argument. */
static bool along_dims(const struct proof *p, const struct bt_node *node)
{
    const int dims = node->op == BT_OP_NORM || node->op == BT_OP_ROLL ? 2 : 1;
    return batched(p, &node->args[0]) && spares_batch(p, &node->args[dims]);
}

static bool linear(const struct proof *p, const struct bt_node *node)
{
    const struct bt_arg *args = node->args;
    return batched(p, &args[0]) && info_of(p, args[0].value)->rank > 1 && shared(p, &args[1]) && shared(p, &args[2]) &&
           (args[3].kind == BT_ARG_NONE || batched(p, &args[3]));
}

/* Operands whose last two dimensions are matrices. */
static bool matrices(const struct proof *p, const struct bt_node *node)
{
    const int rank = info_of(p, node->outs[0])->rank;
    for (int i = 0; i < node->nargs; i++) {
        const struct bt_arg *arg = &node->args[i];
        if (!broadcasts(p, arg, rank) || (batched(p, arg) && rank < 3)) {
            return false;
        }
    }
    return rank >= 3;
}

static bool layer_norm(const struct proof *p, const struct bt_node *node)
{
    int64_t normalized;
    return batched(p, &node->args[0]) && bt_expr_is_int(p->g->exprs, node->args[1].expr, &normalized) &&
           normalized < info_of(p, node->args[0].value)->rank && shared(p, &node->args[2]) &&
           (node->op == BT_OP_RMS_NORM || shared(p, &node->args[3]));
}

static bool embedding(const struct proof *p, const struct bt_node *node)
{
    return shared(p, &node->args[0]) && batched(p, &node->args[1]);
}

static bool conv1d(const struct proof *p, const struct bt_node *node)
{
    return batched(p, &node->args[0]) && shared(p, &node->args[1]) && shared(p, &node->args[2]);
}

static bool gather(const struct proof *p, const struct bt_node *node)
{
    return batched(p, &node->args[0]) && spares_batch(p, &node->args[1]) && batched(p, &node->args[2]);
}

static bool cat(const struct proof *p, const struct bt_node *node)
{
    return all_batched(p, &node->args[0]) && spares_batch(p, &node->args[1]);
}

static bool pad(const struct proof *p, const struct bt_node *node)
{
    return batched(p, &node->args[0]) && node->args[1].count / 2 < info_of(p, node->args[0].value)->rank;
}

static bool triangle(const struct proof *p, const struct bt_node *node)
{
    return batched(p, &node->args[0]) && info_of(p, node->args[0].value)->rank >= 3;
}

static bool scatter(const struct proof *p, const struct bt_node *node)
{
    return batched(p, &node->args[0]) && batched(p, &node->args[1]) && spares_batch(p, &node->args[2]);
}

static bool full(const struct proof *p, const struct bt_node *node)
{
    (void)p;
    return node->args[0].count > 0; /* one value for all items */
}

/* By step: ops that run the same way mix items the same way. What is not listed (arange over the batch, indexing,
 * per-tensor quantisation) is refused. */
static const struct {
    bt_step_fn *step;
    rule_fn *rule;
} rules[] = {
    {bt_step_view, view},
    {bt_step_pointwise, pointwise},
    {bt_step_reduce, along_dims},
    {bt_step_reduce_arg, along_dims},
    {bt_step_sort, along_dims},
    {bt_step_cumsum, along_dims},
    {bt_step_softmax, along_dims},
    {bt_step_flip, along_dims},
    {bt_step_roll, along_dims},
    {bt_step_linear, linear},
    {bt_step_matmul, matrices},
    {bt_step_sdpa, matrices},
    {bt_step_layer_norm, layer_norm},
    {bt_step_embedding, embedding},
    {bt_step_conv1d, conv1d},
    {bt_step_gather, gather},
    {bt_step_cat, cat},
    {bt_step_pad, pad},
    {bt_step_triangle, triangle},
    {bt_step_scatter, scatter},
    {bt_step_full, full},
};

static bool keeps_items_apart(const struct proof *p, const struct bt_node *node)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].step == bt_step_fns[node->op]) {
            return numbers_allowed(p, node) && rules[i].rule(p, node);
        }
    }
    return false;
}

bool bt_batch_keeps_apart(const struct bt_graph *graph, const struct bt_node *node, int32_t symbol, bool *depends)
{
    const struct proof p = {graph, symbol, depends};
    return keeps_items_apart(&p, node);
}

static bool node_allowed(const struct proof *p, const struct bt_node *node)
{
    bool ok = true, any = false;
    for (int i = 0; i < node->nouts; i++) {
        any = is_batched(p, node->outs[i], &ok) || any;
    }
    if (any || !ok) {
        return ok && keeps_items_apart(p, node);
    }
    /* A shared result: nothing batched may go in. */
    bool apart = numbers_allowed(p, node);
    for (int i = 0; i < node->nargs && apart; i++) {
        const struct bt_arg *arg = &node->args[i];
        apart = shared(p, arg);
        for (int32_t k = 0; arg->kind == BT_ARG_VALUES && k < arg->count && apart; k++) {
            apart = arg->list[k] < 0 || (!is_batched(p, arg->list[k], &apart) && apart);
        }
    }
    return apart;
}

static bool output_allowed(const struct proof *p, const struct bt_tree *tree)
{
    bool ok = tree->kind != BT_TREE_SCALAR || !p->depends[tree->scalar];
    if (tree->kind == BT_TREE_TENSOR) {
        ok = is_batched(p, tree->value, &ok) && ok;
    }
    for (int32_t i = 0; i < tree->count && ok; i++) {
        ok = output_allowed(p, &tree->items[i]);
    }
    return ok;
}

static bool prove(const struct proof *p)
{
    bool ok = true;
    for (size_t i = 0; i < p->g->input_count && ok; i++) {
        is_batched(p, p->g->inputs[i], &ok);
    }
    for (size_t i = 0; i < p->g->node_count && ok; i++) {
        ok = node_allowed(p, &p->g->nodes[i]);
    }
    return ok && output_allowed(p, &p->g->output);
}

enum bertc_status bt_batch_find(const struct bt_graph *graph, int32_t *symbol, struct bertc_error *err)
{
    *symbol = -1;
    const struct bt_value_info *first = graph->input_count ? &graph->values[graph->inputs[0]] : NULL;
    struct proof p = {.g = graph};
    p.symbol = first && first->rank > 0 ? bt_expr_symbol_index(graph->exprs, first->dims[0]) : -1;
    if (p.symbol < 0) {
        return BERTC_OK;
    }
    p.depends = bt_calloc((size_t)bt_expr_count(graph->exprs), sizeof *p.depends);
    if (!p.depends) {
        return bt_error_memory(err);
    }
    bt_exprs_depend(graph->exprs, p.symbol, p.depends);
    if (prove(&p)) {
        *symbol = p.symbol;
    }
    bt_free(p.depends);
    return BERTC_OK;
}
