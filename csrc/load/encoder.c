/* encoder.c: the inputs and outputs of an encoder's graph */
#include "load/encoder.h"

#include <string.h>

static const char *const input_names[BT_IN_COUNT] = {
    [BT_IN_IDS] = "input_ids",
    [BT_IN_MASK] = "attention_mask",
    [BT_IN_TYPES] = "token_type_ids",
    [BT_IN_POSITIONS] = "position_ids",
    [BT_IN_EMBEDS] = "inputs_embeds",
    [BT_IN_ATTENTIONS] = "output_attentions",
    [BT_IN_HIDDEN_STATES] = "output_hidden_states",
};

const char *bt_encoder_input_name(enum bt_encoder_input input)
{
    return input_names[input];
}

bool bt_encoder_input_find(const char *name, size_t size, enum bt_encoder_input *out)
{
    for (int i = 0; i < BT_IN_COUNT; i++) {
        if (strlen(input_names[i]) == size && memcmp(input_names[i], name, size) == 0) {
            *out = (enum bt_encoder_input)i;
            return true;
        }
    }
    return false;
}

/* ---- inputs ---- */

static enum bertc_status check_input(const struct bt_encoder *e, enum bt_encoder_input input, bool choices,
                                     struct bertc_error *err)
{
    static const char *const shapes[] = {"[batch, sequence]", "[batch, choices, sequence]", "[batch, sequence, hidden]",
                                         "[batch, choices, sequence, hidden]"};
    const struct bt_value_info *info = &e->nn.graph->values[e->inputs[input]];
    const int rank = 2 + choices + (input == BT_IN_EMBEDS);
    const bool floats = bt_dtype_is_float(info->dtype);
    if (info->rank != rank) {
        return bt_error_set(err, BERTC_INPUT, "argument '%s' is not a tensor %s", input_names[input],
                            shapes[choices + 2 * (input == BT_IN_EMBEDS)]);
    }
    if (input != BT_IN_MASK && floats != (input == BT_IN_EMBEDS)) {
        return bt_error_set(err, BERTC_INPUT, "argument '%s' is %s, expected %s", input_names[input],
                            bt_dtype_name(info->dtype), input == BT_IN_EMBEDS ? "floats" : "integers");
    }
    return BERTC_OK;
}

static bool is_one(struct bt_graph *g, bt_expr size)
{
    return bt_expr_hint(g->exprs, size).i == 1 && bt_graph_same(g, size, bt_expr_int(g->exprs, 1));
}

static enum bertc_status check_sizes(const struct bt_encoder *e, enum bt_encoder_input first,
                                     enum bt_encoder_input input, struct bertc_error *err)
{
    struct bt_graph *g = e->nn.graph;
    const struct bt_value_info *a = &g->values[e->inputs[first]], *b = &g->values[e->inputs[input]];
    const int count = first == BT_IN_EMBEDS ? a->rank - 1 : a->rank;
    for (int d = 0; d < count; d++) {
        const bool shared = input == BT_IN_POSITIONS && d == 0 && is_one(g, b->dims[d]);
        if (!shared && !bt_graph_same(g, a->dims[d], b->dims[d])) {
            return bt_error_set(err, BERTC_INPUT, "argument '%s' has another shape than %s", input_names[input],
                                input_names[first]);
        }
    }
    return BERTC_OK;
}

/* [b, choices, s] as [b * choices, s], and likewise with embeddings. */
static bt_value merge_choices(struct bt_nn *nn, bt_value x)
{
    if (nn->status || x < 0) {
        return BT_NO_VALUE;
    }
    const struct bt_value_info info = nn->graph->values[x];
    bt_expr shape[3] = {bt_expr_binary(nn->graph->exprs, BT_EXPR_MUL, info.dims[0], info.dims[1])};
    for (int d = 2; d < info.rank; d++) {
        shape[d - 1] = info.dims[d];
    }
    return bt_nn_reshape(nn, x, info.rank - 1, shape);
}

static bt_value keep_mask(struct bt_nn *nn, bt_value mask)
{
    const bt_value keep = bt_nn_with_int(nn, BT_OP_NE, mask, 0);
    return bt_nn_unsqueeze(nn, bt_nn_unsqueeze(nn, keep, 1), 1);
}

static bool take_flag(const struct bt_encoder *e, const struct bt_tree *tree)
{
    int64_t flag;
    return tree->kind == BT_TREE_SCALAR && bt_expr_is_int(e->nn.graph->exprs, tree->scalar, &flag) && flag;
}

static enum bertc_status take_inputs(struct bt_encoder *e, const struct bt_tree *trees,
                                     const enum bt_encoder_input *which, size_t count, struct bertc_error *err)
{
    const bool choices = e->model->head && bt_head_takes_choices(e->model->head);
    for (size_t i = 0; i < count; i++) {
        if (which[i] == BT_IN_ATTENTIONS) {
            e->wants_attentions = take_flag(e, &trees[i]);
        } else if (which[i] == BT_IN_HIDDEN_STATES) {
            e->wants_hidden_states = take_flag(e, &trees[i]);
        } else if (trees[i].kind == BT_TREE_TENSOR) {
            e->inputs[which[i]] = trees[i].value;
            enum bertc_status status = check_input(e, which[i], choices, err);
            if (status) {
                return status;
            }
        }
    }
    if ((e->inputs[BT_IN_IDS] >= 0) == (e->inputs[BT_IN_EMBEDS] >= 0)) {
        return bt_error_set(err, BERTC_INPUT, "one of input_ids and inputs_embeds must be given");
    }
    const enum bt_encoder_input first = e->inputs[BT_IN_IDS] >= 0 ? BT_IN_IDS : BT_IN_EMBEDS;
    for (int i = 0; i < BT_IN_COUNT; i++) {
        enum bertc_status status = e->inputs[i] >= 0 ? check_sizes(e, first, (enum bt_encoder_input)i, err) : BERTC_OK;
        if (status) {
            return status;
        }
    }
    return BERTC_OK;
}

void bt_encoder_begin(struct bt_encoder *e, const struct bt_tree *trees, const enum bt_encoder_input *which,
                      size_t count)
{
    struct bt_nn *nn = &e->nn;
    for (int i = 0; i < BT_IN_COUNT; i++) {
        e->inputs[i] = BT_NO_VALUE;
    }
    e->keep = BT_NO_VALUE;
    if (bt_nn_fail(nn, take_inputs(e, trees, which, count, nn->err))) {
        return;
    }
    bt_value *ids = &e->inputs[e->inputs[BT_IN_IDS] >= 0 ? BT_IN_IDS : BT_IN_EMBEDS];
    if (e->model->head && bt_head_takes_choices(e->model->head)) {
        e->choices = bt_nn_dim(nn, *ids, 1);
        for (int i = 0; i < BT_IN_COUNT; i++) {
            e->inputs[i] = merge_choices(nn, e->inputs[i]);
        }
    }
    e->batch = bt_nn_dim(nn, *ids, 0);
    e->length = bt_nn_dim(nn, *ids, 1);
    bt_value *positions = &e->inputs[BT_IN_POSITIONS];
    if (*positions >= 0 && is_one(nn->graph, bt_nn_dim(nn, *positions, 0))) {
        *positions = bt_nn_reshape(nn, *positions, 2, (const bt_expr[]){bt_nn_int(nn, 1), e->length});
    }
    if (e->inputs[BT_IN_MASK] >= 0) {
        e->keep = keep_mask(nn, e->inputs[BT_IN_MASK]);
    }
}

/* ---- outputs ---- */

static struct bt_tree *add_output(struct bt_encoder *e, const char *key)
{
    struct bt_nn *nn = &e->nn;
    if (nn->status ||
        !bt_arena_reserve(&nn->graph->arena, &e->outputs, &e->output_cap, e->output_count + 1, sizeof *e->outputs)) {
        bt_nn_fail(nn, nn->status ? nn->status : bt_error_memory(nn->err));
        return NULL;
    }
    struct bt_tree *tree = &e->outputs[e->output_count++];
    *tree = (struct bt_tree){.key = key, .value = BT_NO_VALUE};
    return tree;
}

void bt_encoder_output(struct bt_encoder *e, const char *key, bt_value value)
{
    struct bt_tree *tree = add_output(e, key);
    if (tree) {
        tree->kind = BT_TREE_TENSOR;
        tree->value = value;
    }
}

static void output_list(struct bt_encoder *e, const char *key, const struct bt_values *values)
{
    struct bt_tree *tree = add_output(e, key);
    if (!tree) {
        return;
    }
    tree->kind = BT_TREE_TUPLE;
    tree->items = bt_arena_alloc(&e->nn.graph->arena, values->count, sizeof *tree->items);
    if (!tree->items) {
        bt_nn_fail(&e->nn, bt_error_memory(e->nn.err));
        return;
    }
    tree->count = (int32_t)values->count;
    for (size_t i = 0; i < values->count; i++) {
        tree->items[i] = (struct bt_tree){.kind = BT_TREE_TENSOR, .value = values->items[i]};
    }
}

void bt_encoder_end(struct bt_encoder *e)
{
    if (e->wants_hidden_states) {
        output_list(e, "hidden_states", &e->hidden_states);
    }
    if (e->wants_attentions) {
        output_list(e, "attentions", &e->attentions);
    }
    e->nn.graph->output =
        (struct bt_tree){.kind = BT_TREE_DICT, .items = e->outputs, .count = (int32_t)e->output_count};
}

static void keep_value(struct bt_encoder *e, struct bt_values *list, bt_value value)
{
    struct bt_nn *nn = &e->nn;
    if (nn->status) {
        return;
    }
    if (!bt_arena_reserve(&nn->graph->arena, &list->items, &list->cap, list->count + 1, sizeof *list->items)) {
        bt_nn_fail(nn, bt_error_memory(nn->err));
        return;
    }
    list->items[list->count++] = value;
}

void bt_encoder_hidden(struct bt_encoder *e, bt_value hidden)
{
    if (e->wants_hidden_states) {
        keep_value(e, &e->hidden_states, hidden);
    }
}

void bt_encoder_attention(struct bt_encoder *e, bt_value weights)
{
    if (e->wants_attentions) {
        keep_value(e, &e->attentions, weights);
    }
}
