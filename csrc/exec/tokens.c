/* tokens.c: prove that a graph can run on the real tokens of a batch alone
 * Values are sorted into domains in the order of the nodes; a rule by step says what keeps tokens apart. What no rule
 * knows is refused, and then the graph runs on the padded batch only. */
#include "exec/tokens.h"

#include <string.h>

#include "exec/batch.h"
#include "exec/step.h"

struct proof {
    struct bt_graph *g;
    struct bt_tokens *t;
    bool *on_batch, *on_length; /* per expression: whether it depends on the symbol */
    bt_expr b, s, b_times_s; /* the graph has no other symbols */
    const struct bt_node **makers; /* per value: the node, or NULL */
    struct bertc_error *err;
    enum bertc_status status;
};

static const struct bt_value_info *info_of(const struct proof *p, bt_value value)
{
    return &p->g->values[value];
}

static bool is_fixed(const struct proof *p, bt_expr e)
{
    return !p->on_batch[e] && !p->on_length[e];
}

static bool is_one(const struct proof *p, bt_expr e)
{
    int64_t value;
    return bt_expr_is_int(p->g->exprs, e, &value) && value == 1;
}

static bool has_fixed_dims(const struct proof *p, bt_value value, int from)
{
    for (int d = from; d < info_of(p, value)->rank; d++) {
        if (!is_fixed(p, info_of(p, value)->dims[d])) {
            return false;
        }
    }
    return true;
}

/* Which dim counts the tokens of a value laid out by token; -1 when it is not. */
static int token_axis(const struct proof *p, bt_value value)
{
    const struct bt_value_info *info = info_of(p, value);
    if (info->rank > 0 && info->dims[0] == p->b_times_s) {
        return has_fixed_dims(p, value, 1) ? 0 : -1;
    }
    if (info->rank < 2 || info->dims[0] != p->b) {
        return -1;
    }
    int axis = -1;
    for (int d = 1; d < info->rank; d++) {
        if (info->dims[d] == p->s && axis < 0) {
            axis = d;
        } else if (!is_fixed(p, info->dims[d])) {
            return -1;
        }
    }
    return axis;
}

static bool is_by_item(const struct proof *p, bt_value value)
{
    const struct bt_value_info *info = info_of(p, value);
    return info->rank > 0 && info->dims[0] == p->b && has_fixed_dims(p, value, 1);
}

static enum bt_domain domain_of(const struct proof *p, const struct bt_arg *arg)
{
    return arg->kind == BT_ARG_VALUE ? (enum bt_domain)p->t->domain[arg->value] : BT_SHARED;
}

static int axis_of(const struct proof *p, bt_value value)
{
    return p->t->axis[value];
}

static bool is_shared(const struct proof *p, const struct bt_arg *arg)
{
    return domain_of(p, arg) == BT_SHARED;
}

static bool is_tokens(const struct proof *p, const struct bt_arg *arg)
{
    return domain_of(p, arg) == BT_TOKENS;
}

/* ---- what the tokens' part takes from the padded part ---- */

static bool take(struct proof *p, bt_value value)
{
    struct bt_tokens *t = p->t;
    if (t->slot[value] >= 0) {
        return true;
    }
    if (!bt_arena_reserve(&p->g->arena, &t->padded, &t->padded_cap, t->padded_count + 1, sizeof *t->padded)) {
        p->status = bt_error_memory(p->err);
        return false;
    }
    t->slot[value] = (int32_t)t->padded_count;
    t->padded[t->padded_count++] = value;
    return true;
}

static bool add_reader(struct proof *p, struct bt_token_reader reader)
{
    struct bt_tokens *t = p->t;
    if (!bt_arena_reserve(&p->g->arena, &t->readers, &t->reader_cap, t->reader_count + 1, sizeof *t->readers)) {
        p->status = bt_error_memory(p->err);
        return false;
    }
    t->readers[t->reader_count++] = reader;
    return reader.reading == BT_READ_INDEX || take(p, reader.value);
}

/* A padded operand of which each token takes its own row: [b, s, ...], [1, s, ...], [s, ...]; what lies before the
 * tokens must be one row, so that those of a sequence follow each other. */
static bool take_rows(struct proof *p, bt_value value, int rank, int axis)
{
    const struct bt_value_info *info = info_of(p, value);
    const int own = axis - rank + info->rank;
    if (axis < 1 || own < 0 || info->dims[own] != p->s || !has_fixed_dims(p, value, own + 1)) {
        return false;
    }
    for (int d = 0; d < own; d++) {
        if (!is_one(p, info->dims[d]) && !(info->dims[d] == p->b && d + rank - info->rank == 0)) {
            return false;
        }
    }
    p->t->axis[value] = (int8_t)own;
    return take(p, value);
}

/* An operand that is broadcast to tokens. */
static bool spreads(struct proof *p, const struct bt_arg *arg, int rank, int axis)
{
    switch (domain_of(p, arg)) {
    case BT_SHARED: return true;
    case BT_PADDED: return take_rows(p, arg->value, rank, axis);
    case BT_TOKENS: return info_of(p, arg->value)->rank == rank && axis_of(p, arg->value) == axis;
    case BT_ITEMS: break;
    }
    return false;
}

/* ---- rules: nodes whose result is laid out by token ---- */

typedef bool rule_fn(struct proof *p, const struct bt_node *node);

static int result_rank(const struct proof *p, const struct bt_node *node)
{
    return info_of(p, node->outs[0])->rank;
}

static int result_axis(const struct proof *p, const struct bt_node *node)
{
    return axis_of(p, node->outs[0]);
}

static bool pointwise(struct proof *p, const struct bt_node *node)
{
    bool ok = true;
    for (int i = 0; i < node->nargs && ok; i++) {
        ok = spreads(p, &node->args[i], result_rank(p, node), result_axis(p, node));
    }
    return ok;
}

/* How many rows lie between the batch and the tokens; -1 when that is no constant. */
static int64_t rows_before(const struct proof *p, bt_value value)
{
    int64_t rows = 1, dim;
    for (int d = 1; d < axis_of(p, value); d++) {
        if (!bt_expr_is_int(p->g->exprs, info_of(p, value)->dims[d], &dim) || !bt_mul_i64(rows, dim, &rows)) {
            return -1;
        }
    }
    return rows;
}

/* Constant dims in an argument that leave the batch and the tokens alone; NONE means all of them. */
static bool spares_tokens(const struct proof *p, const struct bt_arg *arg, int axis)
{
    const int32_t count = arg->kind == BT_ARG_EXPRS ? arg->count : 1;
    if (arg->kind != BT_ARG_EXPR && (arg->kind != BT_ARG_EXPRS || count == 0)) {
        return false;
    }
    for (int32_t i = 0; i < count; i++) {
        const bt_expr e = arg->kind == BT_ARG_EXPR ? arg->expr : arg->list[i];
        int64_t dim;
        if (!bt_expr_is_int(p->g->exprs, e, &dim) || dim <= 0 || dim == axis) {
            return false;
        }
    }
    return true;
}

static bool view(struct proof *p, const struct bt_node *node)
{
    const struct bt_arg *args = node->args;
    const int from = axis_of(p, args[0].value), to = result_axis(p, node);
    int64_t source, rows;
    switch (node->op) {
    case BT_OP_RESHAPE: /* each token of each row before keeps its items */
        rows = rows_before(p, args[0].value);
        return rows >= 0 && rows == rows_before(p, node->outs[0]);
    case BT_OP_PERMUTE:
        return bt_expr_is_int(p->g->exprs, args[1].list[to], &source) && source == from &&
               bt_expr_is_int(p->g->exprs, args[1].list[0], &source) && source == 0;
    case BT_OP_SELECT:
    case BT_OP_SLICE: return spares_tokens(p, &args[1], from);
    default: return true; /* unsqueeze, squeeze, expand: the axis was found again */
    }
}

static bool along_dims(struct proof *p, const struct bt_node *node)
{
    const int dims = node->op == BT_OP_NORM || node->op == BT_OP_ROLL ? 2 : 1;
    return is_tokens(p, &node->args[0]) && spares_tokens(p, &node->args[dims], axis_of(p, node->args[0].value));
}

static bool linear(struct proof *p, const struct bt_node *node)
{
    const struct bt_arg *args = node->args;
    return spreads(p, &args[0], result_rank(p, node), result_axis(p, node)) &&
           result_axis(p, node) < result_rank(p, node) - 1 && is_shared(p, &args[1]) && is_shared(p, &args[2]) &&
           (args[3].kind == BT_ARG_NONE || spreads(p, &args[3], result_rank(p, node), result_axis(p, node)));
}

static bool matmul(struct proof *p, const struct bt_node *node)
{
    return is_tokens(p, &node->args[0]) && is_shared(p, &node->args[1]) && info_of(p, node->args[1].value)->rank <= 2 &&
           axis_of(p, node->args[0].value) < result_rank(p, node) - 1;
}

static bool layer_norm(struct proof *p, const struct bt_node *node)
{
    const struct bt_arg *args = node->args;
    int64_t normalized;
    return spreads(p, &args[0], result_rank(p, node), result_axis(p, node)) &&
           bt_expr_is_int(p->g->exprs, args[1].expr, &normalized) &&
           result_axis(p, node) < result_rank(p, node) - normalized && is_shared(p, &args[2]) &&
           (node->op == BT_OP_RMS_NORM || is_shared(p, &args[3]));
}

static bool embedding(struct proof *p, const struct bt_node *node)
{
    const struct bt_arg *index = &node->args[1];
    return is_shared(p, &node->args[0]) && spreads(p, index, info_of(p, index->value)->rank, result_axis(p, node));
}

/* Keys and values are tokens; the queries too, or one row a sequence. */
static bool attention(struct proof *p, const struct bt_node *node)
{
    enum { QUERY, KEY, VALUE, MASK };
    const struct bt_arg *args = node->args;
    for (int i = QUERY; i <= VALUE; i++) {
        const bool tokens = is_tokens(p, &args[i]);
        if (tokens ? axis_of(p, args[i].value) != info_of(p, args[i].value)->rank - 2 : i != QUERY) {
            return false;
        }
    }
    if (domain_of(p, &args[QUERY]) < BT_TOKENS || domain_of(p, &args[MASK]) != BT_PADDED) {
        return false;
    }
    const struct bt_value_info *mask = info_of(p, args[MASK].value);
    const int rank = result_rank(p, node), keys = mask->rank - 1;
    if (keys < 0 || mask->dims[keys] != p->s) {
        return false;
    }
    for (int d = 0; d < keys; d++) {
        const bool batch = mask->dims[d] == p->b && d + rank - mask->rank == 0;
        const bool queries = mask->dims[d] == p->s && d == keys - 1 && is_tokens(p, &args[QUERY]);
        if (!batch && !queries && !is_fixed(p, mask->dims[d])) {
            return false;
        }
    }
    return add_reader(p, (struct bt_token_reader){.reading = BT_READ_MASK, .value = args[MASK].value});
}

static bool cat(struct proof *p, const struct bt_node *node)
{
    bool ok = spares_tokens(p, &node->args[1], result_axis(p, node));
    for (int32_t i = 0; i < node->args[0].count && ok; i++) {
        const struct bt_arg part = bt_arg_value(node->args[0].list[i]);
        ok = part.value >= 0 && is_tokens(p, &part) && axis_of(p, part.value) == result_axis(p, node);
    }
    return ok;
}

/* Constant indices of dims behind the tokens. */
static bool index_rest(struct proof *p, const struct bt_node *node)
{
    bool ok = is_tokens(p, &node->args[0]) && axis_of(p, node->args[0].value) == result_axis(p, node);
    for (int32_t i = 0; i < node->args[1].count && ok; i++) {
        const bt_value index = node->args[1].list[i];
        ok = index < 0 || (i > result_axis(p, node) && p->t->domain[index] == BT_SHARED);
    }
    return ok;
}

static const struct {
    bt_step_fn *step;
    rule_fn *rule;
} token_rules[] = {
    {bt_step_pointwise, pointwise},
    {bt_step_view, view},
    {bt_step_reduce, along_dims},
    {bt_step_softmax, along_dims},
    {bt_step_reduce_arg, along_dims},
    {bt_step_linear, linear},
    {bt_step_matmul, matmul},
    {bt_step_layer_norm, layer_norm},
    {bt_step_embedding, embedding},
    {bt_step_sdpa, attention},
    {bt_step_cat, cat},
    {bt_step_index, index_rest},
};

/* ---- nodes whose result is one row a sequence ---- */

/* A selection of one token. */
static bool pick(struct proof *p, const struct bt_node *node)
{
    const struct bt_arg *args = node->args;
    int64_t dim, first, last;
    return bt_expr_is_int(p->g->exprs, args[1].expr, &dim) && dim == axis_of(p, args[0].value) && dim > 0 &&
           bt_expr_is_int(p->g->exprs, args[2].expr, &first) &&
           (node->op == BT_OP_SELECT || (bt_expr_is_int(p->g->exprs, args[3].expr, &last) && last == first + 1)) &&
           add_reader(p, (struct bt_token_reader){.reading = BT_READ_INDEX, .index = args[2].expr});
}

/* A sum over tokens, each times a padded factor: that of padding is 0. */
static bool pool(struct proof *p, const struct bt_node *node)
{
    const struct bt_arg *dims = &node->args[1];
    const struct bt_node *product = p->makers[node->args[0].value];
    const int axis = axis_of(p, node->args[0].value);
    int64_t dim;
    if (node->op != BT_OP_SUM || dims->kind != BT_ARG_EXPRS || dims->count != 1 || axis < 1 ||
        !bt_expr_is_int(p->g->exprs, dims->list[0], &dim) || dim != axis || !product || product->op != BT_OP_MUL) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (domain_of(p, &product->args[i]) == BT_PADDED) {
            return add_reader(p, (struct bt_token_reader){.reading = BT_READ_WEIGHT, .value = product->args[i].value});
        }
    }
    return false;
}

/* Made of rows of sequences, and of padded values that have such rows. */
static bool item_by_item(struct proof *p, const struct bt_node *node)
{
    if (!bt_batch_keeps_apart(p->g, node, p->t->batch, p->on_batch)) {
        return false;
    }
    for (int i = 0; i < node->nargs; i++) {
        const struct bt_arg *arg = &node->args[i];
        if (arg->kind == BT_ARG_VALUES || (arg->kind == BT_ARG_EXPR && !is_fixed(p, arg->expr))) {
            return false;
        }
        if (domain_of(p, arg) == BT_PADDED && (!is_by_item(p, arg->value) || !take(p, arg->value))) {
            return false;
        }
    }
    return true;
}

static bool item_rule(struct proof *p, const struct bt_node *node)
{
    bool tokens = false;
    for (int i = 0; i < node->nargs; i++) {
        tokens = tokens || is_tokens(p, &node->args[i]);
    }
    if (!tokens) {
        return item_by_item(p, node);
    }
    switch (node->op) {
    case BT_OP_SDPA: return attention(p, node);
    case BT_OP_SELECT:
    case BT_OP_SLICE: return pick(p, node);
    default: return pool(p, node);
    }
}

/* ---- the proof ---- */

/* Numbers that depend on the dimensions may only be sizes: the tokens' part has its own. */
static bool numbers_allowed(const struct proof *p, const struct bt_node *node)
{
    const bool sizes = node->op == BT_OP_RESHAPE || node->op == BT_OP_EXPAND;
    for (int i = 0; i < node->nargs; i++) {
        const struct bt_arg *arg = &node->args[i];
        if (arg->kind == BT_ARG_EXPR && !is_fixed(p, arg->expr)) {
            return false;
        }
        for (int32_t k = 0; arg->kind == BT_ARG_EXPRS && k < arg->count && !sizes; k++) {
            if (!is_fixed(p, arg->list[k])) {
                return false;
            }
        }
    }
    return true;
}

/* The highest domain among the operands. */
static enum bt_domain operands_domain(const struct proof *p, const struct bt_node *node)
{
    enum bt_domain highest = BT_SHARED;
    for (int i = 0; i < node->nargs; i++) {
        const struct bt_arg *arg = &node->args[i];
        enum bt_domain own = domain_of(p, arg);
        highest = own > highest ? own : highest;
        for (int32_t k = 0; arg->kind == BT_ARG_VALUES && k < arg->count; k++) {
            own = arg->list[k] >= 0 ? (enum bt_domain)p->t->domain[arg->list[k]] : BT_SHARED;
            highest = own > highest ? own : highest;
        }
    }
    return highest;
}

/* Where padding begins to cost: rows of a table, and products, of padded positions. */
static bool begins_tokens(const struct proof *p, const struct bt_node *node)
{
    const bool table = node->op == BT_OP_EMBEDDING;
    return (table || node->op == BT_OP_LINEAR || node->op == BT_OP_LAYER_NORM) &&
           token_axis(p, node->args[table ? 1 : 0].value) == 1 && token_axis(p, node->outs[0]) == 1;
}

static void place_padded(const struct proof *p, const struct bt_node *node, bool shared)
{
    for (int i = 0; i < node->nouts; i++) {
        shared = shared && has_fixed_dims(p, node->outs[i], 0);
    }
    for (int i = 0; i < node->nouts; i++) {
        p->t->domain[node->outs[i]] = shared && numbers_allowed(p, node) ? BT_SHARED : BT_PADDED;
    }
}

/* Tokens or items; false when a result is neither. */
static bool place_live(const struct proof *p, const struct bt_node *node)
{
    for (int i = 0; i < node->nouts; i++) {
        const int axis = token_axis(p, node->outs[i]);
        const enum bt_domain domain = axis >= 0 ? BT_TOKENS : BT_ITEMS;
        p->t->axis[node->outs[i]] = (int8_t)axis;
        p->t->domain[node->outs[i]] = (uint8_t)domain;
        p->t->items = p->t->items || domain == BT_ITEMS;
        if ((axis < 0 && !is_by_item(p, node->outs[i])) || domain != p->t->domain[node->outs[0]]) {
            return false;
        }
    }
    return true;
}

/* Sorts a node's results into domains; false when the node mixes tokens. */
static bool place_node(struct proof *p, const struct bt_node *node)
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
        return item_rule(p, node);
    }
    for (size_t i = 0; i < sizeof token_rules / sizeof *token_rules; i++) {
        if (token_rules[i].step == bt_step_fns[node->op]) {
            return token_rules[i].rule(p, node);
        }
    }
    return false;
}

/* Tokens of an output must lie behind the batch, so that a sequence's rows follow each other. */
static bool place_outputs(struct proof *p, const struct bt_tree *tree)
{
    const bool tensor = tree->kind == BT_TREE_TENSOR;
    const enum bt_domain domain = tensor ? (enum bt_domain)p->t->domain[tree->value] : BT_SHARED;
    bool ok = domain != BT_TOKENS || axis_of(p, tree->value) <= 1;
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

static bool prove(struct proof *p)
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
static bool find_symbols(struct proof *p)
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

static bool reserve(struct proof *p)
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
    struct proof p = {.g = graph, .t = tokens, .err = err};
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
