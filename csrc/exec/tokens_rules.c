/* tokens_rules.c: which operations keep tokens apart, read a sequence's own under a mask, or pool them */
#include "exec/batch.h"
#include "exec/step.h"
#include "exec/tokens_proof.h"

static bool is_one(const struct bt_tokens_proof *p, bt_expr e)
{
    int64_t value;
    return bt_expr_is_int(p->g->exprs, e, &value) && value == 1;
}

static bool is_shared(const struct bt_tokens_proof *p, const struct bt_arg *arg)
{
    return bt_proof_domain(p, arg) == BT_SHARED;
}

static bool is_tokens(const struct bt_tokens_proof *p, const struct bt_arg *arg)
{
    return bt_proof_domain(p, arg) == BT_TOKENS;
}

/* ---- what the tokens' part takes from the padded part ---- */

static bool take(struct bt_tokens_proof *p, bt_value value)
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

static bool add_reader(struct bt_tokens_proof *p, struct bt_token_reader reader)
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
static bool take_rows(struct bt_tokens_proof *p, bt_value value, int rank, int axis)
{
    const struct bt_value_info *info = bt_proof_info(p, value);
    const int own = axis - rank + info->rank;
    if (axis < 1 || own < 0 || info->dims[own] != p->s || !bt_proof_has_fixed_dims(p, value, own + 1)) {
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
static bool spreads(struct bt_tokens_proof *p, const struct bt_arg *arg, int rank, int axis)
{
    switch (bt_proof_domain(p, arg)) {
    case BT_SHARED: return true;
    case BT_PADDED: return take_rows(p, arg->value, rank, axis);
    case BT_TOKENS: return bt_proof_info(p, arg->value)->rank == rank && bt_proof_axis(p, arg->value) == axis;
    case BT_ITEMS: break;
    }
    return false;
}

/* ---- rules: nodes whose result is laid out by token ---- */

typedef bool rule_fn(struct bt_tokens_proof *p, const struct bt_node *node);

static int result_rank(const struct bt_tokens_proof *p, const struct bt_node *node)
{
    return bt_proof_info(p, node->outs[0])->rank;
}

static int result_axis(const struct bt_tokens_proof *p, const struct bt_node *node)
{
    return bt_proof_axis(p, node->outs[0]);
}

static bool pointwise(struct bt_tokens_proof *p, const struct bt_node *node)
{
    bool ok = true;
    for (int i = 0; i < node->nargs && ok; i++) {
        ok = spreads(p, &node->args[i], result_rank(p, node), result_axis(p, node));
    }
    return ok;
}

/* How many rows lie between the batch and the tokens; -1 when that is no constant. */
static int64_t rows_before(const struct bt_tokens_proof *p, bt_value value)
{
    int64_t rows = 1, dim;
    for (int d = 1; d < bt_proof_axis(p, value); d++) {
        if (!bt_expr_is_int(p->g->exprs, bt_proof_info(p, value)->dims[d], &dim) || !bt_mul_i64(rows, dim, &rows)) {
            return -1;
        }
    }
    return rows;
}

/* Constant dims in an argument that leave the batch and the tokens alone; NONE means all of them. */
static bool spares_tokens(const struct bt_tokens_proof *p, const struct bt_arg *arg, int axis)
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

static bool view(struct bt_tokens_proof *p, const struct bt_node *node)
{
    const struct bt_arg *args = node->args;
    const int from = bt_proof_axis(p, args[0].value), to = result_axis(p, node);
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

static bool along_dims(struct bt_tokens_proof *p, const struct bt_node *node)
{
    const int dims = node->op == BT_OP_NORM || node->op == BT_OP_ROLL ? 2 : 1;
    return is_tokens(p, &node->args[0]) && spares_tokens(p, &node->args[dims], bt_proof_axis(p, node->args[0].value));
}

static bool linear(struct bt_tokens_proof *p, const struct bt_node *node)
{
    const struct bt_arg *args = node->args;
    return spreads(p, &args[0], result_rank(p, node), result_axis(p, node)) &&
           result_axis(p, node) < result_rank(p, node) - 1 && is_shared(p, &args[1]) && is_shared(p, &args[2]) &&
           (args[3].kind == BT_ARG_NONE || spreads(p, &args[3], result_rank(p, node), result_axis(p, node)));
}

static bool matmul(struct bt_tokens_proof *p, const struct bt_node *node)
{
    return is_tokens(p, &node->args[0]) && is_shared(p, &node->args[1]) &&
           bt_proof_info(p, node->args[1].value)->rank <= 2 &&
           bt_proof_axis(p, node->args[0].value) < result_rank(p, node) - 1;
}

static bool layer_norm(struct bt_tokens_proof *p, const struct bt_node *node)
{
    const struct bt_arg *args = node->args;
    int64_t normalized;
    return spreads(p, &args[0], result_rank(p, node), result_axis(p, node)) &&
           bt_expr_is_int(p->g->exprs, args[1].expr, &normalized) &&
           result_axis(p, node) < result_rank(p, node) - normalized && is_shared(p, &args[2]) &&
           (node->op == BT_OP_RMS_NORM || is_shared(p, &args[3]));
}

static bool embedding(struct bt_tokens_proof *p, const struct bt_node *node)
{
    const struct bt_arg *index = &node->args[1];
    return is_shared(p, &node->args[0]) &&
           spreads(p, index, bt_proof_info(p, index->value)->rank, result_axis(p, node));
}

/* Keys and values are tokens; the queries too, or one row a sequence. */
static bool attention(struct bt_tokens_proof *p, const struct bt_node *node)
{
    enum { QUERY, KEY, VALUE, MASK };
    const struct bt_arg *args = node->args;
    for (int i = QUERY; i <= VALUE; i++) {
        const bool tokens = is_tokens(p, &args[i]);
        if (tokens ? bt_proof_axis(p, args[i].value) != bt_proof_info(p, args[i].value)->rank - 2 : i != QUERY) {
            return false;
        }
    }
    if (bt_proof_domain(p, &args[QUERY]) < BT_TOKENS || bt_proof_domain(p, &args[MASK]) != BT_PADDED) {
        return false;
    }
    const struct bt_value_info *mask = bt_proof_info(p, args[MASK].value);
    const int rank = result_rank(p, node), keys = mask->rank - 1;
    if (keys < 0 || mask->dims[keys] != p->s) {
        return false;
    }
    for (int d = 0; d < keys; d++) {
        const bool batch = mask->dims[d] == p->b && d + rank - mask->rank == 0;
        const bool queries = mask->dims[d] == p->s && d == keys - 1 && is_tokens(p, &args[QUERY]);
        if (!batch && !queries && !bt_proof_is_fixed(p, mask->dims[d])) {
            return false;
        }
    }
    return add_reader(p, (struct bt_token_reader){.reading = BT_READ_MASK, .value = args[MASK].value});
}

static bool cat(struct bt_tokens_proof *p, const struct bt_node *node)
{
    bool ok = spares_tokens(p, &node->args[1], result_axis(p, node));
    for (int32_t i = 0; i < node->args[0].count && ok; i++) {
        const struct bt_arg part = bt_arg_value(node->args[0].list[i]);
        ok = part.value >= 0 && is_tokens(p, &part) && bt_proof_axis(p, part.value) == result_axis(p, node);
    }
    return ok;
}

/* Constant indices of dims behind the tokens. */
static bool index_rest(struct bt_tokens_proof *p, const struct bt_node *node)
{
    bool ok = is_tokens(p, &node->args[0]) && bt_proof_axis(p, node->args[0].value) == result_axis(p, node);
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

bool bt_proof_tokens_rule(struct bt_tokens_proof *p, const struct bt_node *node)
{
    for (size_t i = 0; i < sizeof token_rules / sizeof *token_rules; i++) {
        if (token_rules[i].step == bt_step_fns[node->op]) {
            return token_rules[i].rule(p, node);
        }
    }
    return false;
}

/* ---- nodes whose result is one row a sequence ---- */

/* A selection of one token. */
static bool pick(struct bt_tokens_proof *p, const struct bt_node *node)
{
    const struct bt_arg *args = node->args;
    int64_t dim, first, last;
    return bt_expr_is_int(p->g->exprs, args[1].expr, &dim) && dim == bt_proof_axis(p, args[0].value) && dim > 0 &&
           bt_expr_is_int(p->g->exprs, args[2].expr, &first) &&
           (node->op == BT_OP_SELECT || (bt_expr_is_int(p->g->exprs, args[3].expr, &last) && last == first + 1)) &&
           add_reader(p, (struct bt_token_reader){.reading = BT_READ_INDEX, .index = args[2].expr});
}

/* A sum over tokens, each times a padded factor: that of padding is 0. */
static bool pool(struct bt_tokens_proof *p, const struct bt_node *node)
{
    const struct bt_arg *dims = &node->args[1];
    const struct bt_node *product = p->makers[node->args[0].value];
    const int axis = bt_proof_axis(p, node->args[0].value);
    int64_t dim;
    if (node->op != BT_OP_SUM || dims->kind != BT_ARG_EXPRS || dims->count != 1 || axis < 1 ||
        !bt_expr_is_int(p->g->exprs, dims->list[0], &dim) || dim != axis || !product || product->op != BT_OP_MUL) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (bt_proof_domain(p, &product->args[i]) == BT_PADDED) {
            return add_reader(p, (struct bt_token_reader){.reading = BT_READ_WEIGHT, .value = product->args[i].value});
        }
    }
    return false;
}

/* Made of rows of sequences, and of padded values that have such rows. */
static bool item_by_item(struct bt_tokens_proof *p, const struct bt_node *node)
{
    if (!bt_batch_keeps_apart(p->g, node, p->t->batch, p->on_batch)) {
        return false;
    }
    for (int i = 0; i < node->nargs; i++) {
        const struct bt_arg *arg = &node->args[i];
        if (arg->kind == BT_ARG_VALUES || (arg->kind == BT_ARG_EXPR && !bt_proof_is_fixed(p, arg->expr))) {
            return false;
        }
        if (bt_proof_domain(p, arg) == BT_PADDED && (!bt_proof_is_by_item(p, arg->value) || !take(p, arg->value))) {
            return false;
        }
    }
    return true;
}

bool bt_proof_items_rule(struct bt_tokens_proof *p, const struct bt_node *node)
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
