/* tokens.c: prove that a graph can run on the real tokens of a batch alone
 * Values are sorted into domains in the order of the nodes; a rule by step says what keeps tokens apart. What no rule
 * knows is refused, and then the graph runs on the padded batch only. */
#include "exec/tokens_proof.h"

/* Which dim counts the tokens of a value laid out by token; -1 when it is not. */
static int token_axis(const struct bt_tokens_proof *p, bt_value value)
{
    const struct bt_value_info *info = bt_proof_info(p, value);
    if (info->rank > 0 && info->dims[0] == p->b_times_s) {
        return bt_proof_has_fixed_dims(p, value, 1) ? 0 : -1;
    }
    if (info->rank < 2 || info->dims[0] != p->b) {
        return -1;
    }
    int axis = -1;
    for (int d = 1; d < info->rank; d++) {
        if (info->dims[d] == p->s && axis < 0) {
            axis = d;
        } else if (!bt_proof_is_fixed(p, info->dims[d])) {
            return -1;
        }
    }
    return axis;
}

/* Numbers that depend on the dimensions may only be sizes: the tokens' part has its own. */
static bool numbers_allowed(const struct bt_tokens_proof *p, const struct bt_node *node)
{
    const bool sizes = node->op == BT_OP_RESHAPE || node->op == BT_OP_EXPAND;
    for (int i = 0; i < node->nargs; i++) {
        const struct bt_arg *arg = &node->args[i];
        if (arg->kind == BT_ARG_EXPR && !bt_proof_is_fixed(p, arg->expr)) {
            return false;
        }
        for (int32_t k = 0; arg->kind == BT_ARG_EXPRS && k < arg->count && !sizes; k++) {
            if (!bt_proof_is_fixed(p, arg->list[k])) {
                return false;
            }
        }
    }
    return true;
}

/* The highest domain among the operands. */
static enum bt_domain operands_domain(const struct bt_tokens_proof *p, const struct bt_node *node)
{
    enum bt_domain highest = BT_SHARED;
    for (int i = 0; i < node->nargs; i++) {
        const struct bt_arg *arg = &node->args[i];
        enum bt_domain own = bt_proof_domain(p, arg);
        highest = own > highest ? own : highest;
        for (int32_t k = 0; arg->kind == BT_ARG_VALUES && k < arg->count; k++) {
            own = arg->list[k] >= 0 ? (enum bt_domain)p->t->domain[arg->list[k]] : BT_SHARED;
            highest = own > highest ? own : highest;
        }
    }
    return highest;
}

/* Where padding begins to cost: rows of a table, and products, of padded positions. */
static bool begins_tokens(const struct bt_tokens_proof *p, const struct bt_node *node)
{
    const bool table = node->op == BT_OP_EMBEDDING;
    return (table || node->op == BT_OP_LINEAR || node->op == BT_OP_LAYER_NORM) &&
           token_axis(p, node->args[table ? 1 : 0].value) == 1 && token_axis(p, node->outs[0]) == 1;
}

static void place_padded(const struct bt_tokens_proof *p, const struct bt_node *node, bool shared)
{
    for (int i = 0; i < node->nouts; i++) {
        shared = shared && bt_proof_has_fixed_dims(p, node->outs[i], 0);
    }
    for (int i = 0; i < node->nouts; i++) {
        p->t->domain[node->outs[i]] = shared && numbers_allowed(p, node) ? BT_SHARED : BT_PADDED;
    }
}

/* Tokens or items; false when a result is neither. */
static bool place_live(const struct bt_tokens_proof *p, const struct bt_node *node)
{
    for (int i = 0; i < node->nouts; i++) {
        const int axis = token_axis(p, node->outs[i]);
        const enum bt_domain domain = axis >= 0 ? BT_TOKENS : BT_ITEMS;
        p->t->axis[node->outs[i]] = (int8_t)axis;
        p->t->domain[node->outs[i]] = (uint8_t)domain;
        p->t->items = p->t->items || domain == BT_ITEMS;
        if ((axis < 0 && !bt_proof_is_by_item(p, node->outs[i])) || domain != p->t->domain[node->outs[0]]) {
            return false;
        }
    }
    return true;
}

/* Sorts a node's results into domains; false when the node mixes tokens. */
static bool place_node(struct bt_tokens_proof *p, const struct bt_node *node)
{
    const enum bt_domain operands = operands_domain(p, node);
    if (operands < BT_TOKENS && !(operands == BT_PADDED && begins_tokens(p, node))) {
        place_padded(p, node, operands == BT_SHARED);
        return true;
    }
    if (!place_live(p, node) || !numbers_allowed(p, node)) {
        return false;
    }
    if (p->t->domain[node->outs[0]] == BT_ITEMS) {
        return bt_proof_items_rule(p, node);
    }
    return bt_proof_tokens_rule(p, node);
}

/* Tokens of an output must lie behind the batch, so that a sequence's rows follow each other. */
static bool place_outputs(struct bt_tokens_proof *p, const struct bt_tree *tree)
{
    const bool tensor = tree->kind == BT_TREE_TENSOR;
    const enum bt_domain domain = tensor ? (enum bt_domain)p->t->domain[tree->value] : BT_SHARED;
    bool ok = domain != BT_TOKENS || bt_proof_axis(p, tree->value) <= 1;
    p->t->outputs = p->t->outputs || domain == BT_TOKENS;
    p->t->padded_outputs = p->t->padded_outputs || domain == BT_PADDED;
    for (int32_t i = 0; i < tree->count && ok; i++) {
        ok = place_outputs(p, &tree->items[i]);
    }
    return ok;
}

static bool reads_mask(const struct bt_tokens *t)
{
    for (size_t i = 0; i < t->reader_count; i++) {
        if (t->readers[i].reading == BT_READ_MASK) {
            return true;
        }
    }
    return false;
}

static bool prove(struct bt_tokens_proof *p)
{
    const struct bt_graph *g = p->g;
    for (size_t v = 0; v < g->value_count; v++) {
        p->t->domain[v] = g->values[v].kind == BT_VALUE_CONSTANT ? BT_SHARED : BT_PADDED;
        p->t->axis[v] = -1;
        p->t->slot[v] = -1;
    }
    for (size_t n = 0; n < g->node_count; n++) {
        if (!place_node(p, &g->nodes[n])) {
            return false;
        }
        for (int i = 0; i < g->nodes[n].nouts; i++) {
            p->makers[g->nodes[n].outs[i]] = &g->nodes[n];
        }
    }
    return place_outputs(p, &g->output) && reads_mask(p->t);
}

/* b and s are the first two dimensions of the first input that has two. */
static bool find_symbols(struct bt_tokens_proof *p)
{
    struct bt_graph *g = p->g;
    for (size_t i = 0; i < g->input_count; i++) {
        const struct bt_value_info *info = &g->values[g->inputs[i]];
        if (info->rank < 2) {
            continue;
        }
        p->b = info->dims[0];
        p->s = info->dims[1];
        p->t->batch = bt_expr_symbol_index(g->exprs, p->b);
        p->t->length = bt_expr_symbol_index(g->exprs, p->s);
        p->b_times_s = bt_expr_binary(g->exprs, BT_EXPR_MUL, p->b, p->s);
        return bt_expr_symbol_count(g->exprs) == 2 && p->t->batch >= 0 && p->t->length >= 0 &&
               p->t->batch != p->t->length && p->b_times_s >= 0;
    }
    return false;
}

static bool reserve(struct bt_tokens_proof *p)
{
    struct bt_graph *g = p->g;
    struct bt_tokens *t = p->t;
    const size_t exprs = (size_t)bt_expr_count(g->exprs), values = g->value_count + 1;
    t->domain = bt_arena_alloc(&g->arena, values, sizeof *t->domain);
    t->axis = bt_arena_alloc(&g->arena, values, sizeof *t->axis);
    t->slot = bt_arena_alloc(&g->arena, values, sizeof *t->slot);
    p->makers = bt_calloc(values, sizeof *p->makers);
    p->on_batch = bt_calloc(exprs, sizeof *p->on_batch);
    p->on_length = bt_calloc(exprs, sizeof *p->on_length);
    return t->domain && t->axis && t->slot && p->makers && p->on_batch && p->on_length;
}

enum bertc_status bt_tokens_find(struct bt_graph *graph, struct bt_tokens *tokens, struct bertc_error *err)
{
    struct bt_tokens_proof p = {.g = graph, .t = tokens, .err = err};
    *tokens = (struct bt_tokens){.batch = -1};
    if (!find_symbols(&p)) {
        tokens->batch = -1;
        return BERTC_OK;
    }
    bool proven = false;
    if (reserve(&p)) {
        bt_exprs_depend(graph->exprs, tokens->batch, p.on_batch);
        bt_exprs_depend(graph->exprs, tokens->length, p.on_length);
        proven = prove(&p);
    } else {
        p.status = bt_error_memory(err);
    }
    if (!proven) {
        tokens->batch = -1;
    }
    bt_free(p.makers);
    bt_free(p.on_batch);
    bt_free(p.on_length);
    return p.status;
}
