/* plan.c: a graph specialised to concrete dimensions: steps, places in one workspace, outputs */
#include "exec/plan.h"

#include <string.h>

#include "exec/builder.h"

/* Which values the outputs need. */

/* Whether the plan's part of the graph, if it is of a part, makes the value. */
static bool makes(const struct bt_builder *b, bt_value value)
{
    return !b->tokens || (b->tokens->domain[value] < BT_TOKENS) == b->padded;
}

static void need_outputs(struct bt_builder *b, const struct bt_tree *tree)
{
    if (tree->kind == BT_TREE_TENSOR && makes(b, tree->value)) {
        b->needed[tree->value] = true;
    }
    for (int32_t i = 0; i < tree->count; i++) {
        need_outputs(b, &tree->items[i]);
    }
}

/* What a plan of tokens needs of the padded part is made there. */
static bool node_needed(const struct bt_builder *b, const struct bt_node *node)
{
    bool needed = false;
    if (b->tokens && !b->padded && b->tokens->domain[node->outs[0]] == BT_PADDED) {
        return false;
    }
    for (int i = 0; i < node->nouts; i++) {
        needed = needed || b->needed[node->outs[i]];
    }
    return needed;
}

static void need_operands(struct bt_builder *b)
{
    for (size_t i = 0; b->padded && i < b->tokens->padded_count; i++) {
        b->needed[b->tokens->padded[i]] = true;
    }
    for (size_t n = b->graph->node_count; n-- > 0;) {
        const struct bt_node *node = &b->graph->nodes[n];
        for (int i = 0; i < node->nargs && node_needed(b, node); i++) {
            const struct bt_arg *arg = &node->args[i];
            if (arg->kind == BT_ARG_VALUE) {
                b->needed[arg->value] = true;
            }
            for (int32_t k = 0; arg->kind == BT_ARG_VALUES && k < arg->count; k++) {
                if (arg->list[k] >= 0) {
                    b->needed[arg->list[k]] = true;
                }
            }
        }
    }
}

/* Values that are no node's. */

static enum bertc_status place_input(struct bt_builder *b, bt_value value, struct bertc_error *err)
{
    struct bt_ref *ref = &b->refs[value];
    enum bertc_status status = bt_builder_shape(b, value, ref, err);
    ref->space = BT_SPACE_INPUT;
    ref->slot = b->graph->values[value].index;
    if (status != BERTC_OK || ref->dtype == b->graph->values[value].dtype) {
        return status;
    }
    struct bt_ref half = *ref;
    half.dtype = b->graph->values[value].dtype;
    status = bt_builder_own(b, ref, err);
    return status == BERTC_OK ? bt_builder_copy(b, &half, ref, err) : status;
}

/* Whether linear layers pack the value (plan_node.c) and nobody else reads it: then no other copy is needed. */
static bool only_packed(const struct bt_builder *b, bt_value value)
{
    const struct bt_value_info *info = &b->graph->values[value];
    if (!b->kernels->panel || info->rank != 2 || bt_dtype_storage(info->dtype) != BT_F32) {
        return false;
    }
    int32_t others = b->uses[value];
    for (size_t n = 0; n < b->graph->node_count; n++) {
        const struct bt_node *node = &b->graph->nodes[n];
        others -= node->op == BT_OP_LINEAR && node->args[1].value == value;
    }
    return others == 0;
}

static enum bertc_status place_constant(struct bt_builder *b, bt_value value, struct bertc_error *err)
{
    const struct bt_constant *constant = &b->graph->constants[b->graph->values[value].index];
    struct bt_tensor tensor = constant->tensor;
    tensor.dtype = bt_dtype_storage(tensor.dtype);
    if (!only_packed(b, value)) {
        enum bertc_status status = bt_weights_prepare(b->weights, &constant->tensor, &tensor, err);
        if (status != BERTC_OK) {
            return status;
        }
    }
    struct bt_ref *ref = &b->refs[value];
    *ref = (struct bt_ref){.space = BT_SPACE_CONSTANT, .dtype = tensor.dtype, .rank = tensor.rank, .data = tensor.data};
    memcpy(ref->dims, tensor.dims, sizeof ref->dims);
    memcpy(ref->strides, tensor.strides, sizeof ref->strides);
    return BERTC_OK;
}

static enum bertc_status place_leaves(struct bt_builder *b, struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    for (size_t v = 0; v < b->graph->value_count && status == BERTC_OK; v++) {
        if (!b->needed[v]) {
            continue;
        }
        if (b->graph->values[v].kind == BT_VALUE_INPUT && makes(b, (bt_value)v)) {
            status = place_input(b, (bt_value)v, err);
        } else if (b->graph->values[v].kind == BT_VALUE_CONSTANT) {
            status = place_constant(b, (bt_value)v, err);
        }
    }
    return status;
}

/* Nodes. */

static enum bertc_status plan_nodes(struct bt_builder *b, struct bertc_error *err)
{
    for (size_t n = 0; n < b->graph->node_count; n++) {
        const struct bt_node *node = &b->graph->nodes[n];
        if (b->tokens && !b->padded) {
            b->values = b->tokens->domain[node->outs[0]] == BT_ITEMS ? b->item_values : b->token_values;
        }
        enum bertc_status status = node_needed(b, node) ? bt_builder_node(b, node, err) : BERTC_OK;
        if (status != BERTC_OK && node->where) {
            bt_error_append(err, " (%s at %s)", bt_ops[node->op].name, node->where);
        }
        if (status != BERTC_OK) {
            return status;
        }
    }
    return BERTC_OK;
}

/* Outputs. */

/* Whether the ref is all of its storage, in order, so that the storage can be the output's buffer itself. */
static bool is_whole_storage(const struct bt_builder *b, const struct bt_ref *ref)
{
    return ref->space == BT_SPACE_WORK && ref->offset == 0 && bt_is_contiguous(ref->rank, ref->dims, ref->strides) &&
           bt_numel(ref->rank, ref->dims) * (int64_t)bt_dtype_size(ref->dtype) == b->storages[ref->slot].size;
}

static enum bertc_status plan_output(struct bt_builder *b, bt_value value, struct bertc_error *err)
{
    struct bt_plan *plan = b->plan;
    size_t slot = plan->output_count;
    if (!bt_arena_reserve(&plan->arena, &plan->outputs, &b->output_cap, slot + 1, sizeof *plan->outputs)) {
        return bt_error_memory(err);
    }
    struct bt_ref to = {.space = BT_SPACE_OUTPUT, .slot = (int32_t)slot};
    enum bertc_status status = bt_builder_shape(b, value, &to, err);
    if (status != BERTC_OK) {
        return status;
    }
    struct bt_plan_output *output = &plan->outputs[plan->output_count++];
    output->dtype = b->graph->values[value].dtype == BT_BF16 ? BT_F32 : b->graph->values[value].dtype;
    output->rank = to.rank;
    memcpy(output->dims, to.dims, sizeof output->dims);
    output->token_axis = b->tokens ? b->tokens->axis[value] : -1;
    to.dtype = output->dtype;
    if (!makes(b, value)) {
        return BERTC_OK;
    }
    const struct bt_ref *ref = &b->refs[value];
    if (b->tokens && !b->padded) {
        return bt_tokens_output(b, value, &to, err);
    }
    if (output->dtype == ref->dtype && is_whole_storage(b, ref) && b->storages[ref->slot].output < 0) {
        b->storages[ref->slot].output = (int32_t)slot;
        return BERTC_OK;
    }
    return bt_builder_copy(b, ref, &to, err);
}

static enum bertc_status plan_outputs(struct bt_builder *b, const struct bt_tree *tree, struct bertc_error *err)
{
    enum bertc_status status = tree->kind == BT_TREE_TENSOR ? plan_output(b, tree->value, err) : BERTC_OK;
    for (int32_t i = 0; i < tree->count && status == BERTC_OK; i++) {
        status = plan_outputs(b, &tree->items[i], err);
    }
    return status;
}

/* The padded part: what the other reads stays to the end of the call. */
static enum bertc_status keep_padded(struct bt_builder *b, struct bertc_error *err)
{
    const struct bt_tokens *t = b->tokens;
    b->plan->padded = bt_arena_alloc(&b->plan->arena, t->padded_count + 1, sizeof *b->plan->padded);
    if (!b->plan->padded) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < t->padded_count; i++) {
        const struct bt_ref *ref = &b->refs[t->padded[i]];
        b->plan->padded[i] = *ref;
        if (ref->space == BT_SPACE_WORK) {
            b->storages[ref->slot].last = b->plan->step_count;
        }
    }
    return BERTC_OK;
}

/* ---- plans ---- */

static enum bertc_status evaluate(struct bt_builder *b, const int64_t *symbols, const struct bt_scalar **out,
                                  struct bertc_error *err)
{
    struct bt_exprs *exprs = b->graph->exprs;
    bt_expr failed = BT_NO_EXPR;
    struct bt_scalar *values = bt_arena_alloc(&b->plan->arena, (size_t)bt_expr_count(exprs) + 1, sizeof *values);
    if (!values) {
        return bt_error_memory(err);
    }
    bt_exprs_evaluate(exprs, symbols, values, &failed);
    *out = values;
    /* Of tokens, only dims are read that tokens.c knows; what else fails is of the padded part. */
    if (failed >= 0 && (!b->tokens || b->padded)) {
        return bt_error_set(err, BERTC_INPUT, "%s has no value for inputs of these dimensions",
                            bt_expr_text(exprs, failed));
    }
    return BERTC_OK;
}

/* Plans with b->values set, and frees what only the making needed. */
static enum bertc_status make_plan(struct bt_builder *b, struct bt_plan **out, struct bertc_error *err)
{
    struct bt_graph *graph = b->graph;
    enum bertc_status status = BERTC_OK;
    b->needed = bt_arena_alloc(&b->arena, graph->value_count + 1, sizeof *b->needed);
    b->refs = bt_arena_alloc(&b->arena, graph->value_count + 1, sizeof *b->refs);
    b->uses = bt_graph_uses(graph);
    b->plan->values = b->values;
    if (!b->needed || !b->refs || !b->uses) {
        status = bt_error_memory(err);
    } else {
        need_outputs(b, &graph->output);
        need_operands(b);
        status = place_leaves(b, err);
    }
    if (status == BERTC_OK && b->tokens && !b->padded) {
        status = bt_tokens_leaves(b, err);
    }
    if (status == BERTC_OK) {
        status = plan_nodes(b, err);
    }
    if (status == BERTC_OK) {
        status = plan_outputs(b, &graph->output, err);
    }
    if (status == BERTC_OK && b->padded) {
        status = keep_padded(b, err);
    }
    if (status == BERTC_OK) {
        status = bt_builder_settle(b, err);
    }
    if (status == BERTC_OK) {
        *out = b->plan;
    }
    return status;
}

static enum bertc_status begin(struct bt_builder *b, struct bertc_error *err)
{
    b->plan = bt_calloc(1, sizeof *b->plan);
    return b->plan ? BERTC_OK : bt_error_memory(err);
}

static enum bertc_status finish(struct bt_builder *b, enum bertc_status status)
{
    bt_free(b->uses);
    bt_arena_free(&b->arena);
    if (status != BERTC_OK) {
        bt_plan_free(b->plan);
    }
    return status;
}

/* Of the whole graph, or its padded part. */
static enum bertc_status plan_call(struct bt_builder *b, const int64_t *symbols, struct bt_plan **out,
                                   struct bertc_error *err)
{
    enum bertc_status status = begin(b, err);
    if (status == BERTC_OK) {
        status = evaluate(b, symbols, &b->values, err);
    }
    if (status == BERTC_OK) {
        status = make_plan(b, out, err);
    }
    return finish(b, status);
}

enum bertc_status bt_plan_new(struct bt_graph *graph, const int64_t *symbols, struct bt_weights *weights,
                              const struct bt_kernels *kernels, struct bt_plan **out, struct bertc_error *err)
{
    struct bt_builder b = {.graph = graph, .weights = weights, .kernels = kernels};
    return plan_call(&b, symbols, out, err);
}

enum bertc_status bt_plan_padded(struct bt_graph *graph, const struct bt_tokens *tokens, const int64_t *symbols,
                                 struct bt_weights *weights, const struct bt_kernels *kernels, struct bt_plan **out,
                                 struct bertc_error *err)
{
    struct bt_builder b = {.graph = graph, .tokens = tokens, .padded = true, .weights = weights, .kernels = kernels};
    return plan_call(&b, symbols, out, err);
}

enum bertc_status bt_plan_tokens(struct bt_graph *graph, const struct bt_tokens *tokens, int64_t token_count,
                                 int64_t items, struct bt_weights *weights, const struct bt_kernels *kernels,
                                 struct bt_plan **out, struct bertc_error *err)
{
    struct bt_builder b = {.graph = graph, .tokens = tokens, .weights = weights, .kernels = kernels};
    int64_t symbols[2];
    enum bertc_status status = begin(&b, err);
    symbols[tokens->batch] = items;
    symbols[tokens->length] = 1;
    if (status == BERTC_OK) {
        status = evaluate(&b, symbols, &b.item_values, err);
    }
    symbols[tokens->batch] = 1;
    symbols[tokens->length] = token_count;
    if (status == BERTC_OK) {
        status = evaluate(&b, symbols, &b.token_values, err);
    }
    if (status == BERTC_OK) {
        b.values = b.token_values;
        status = make_plan(&b, out, err);
    }
    return finish(&b, status);
}

void bt_plan_free(struct bt_plan *plan)
{
    if (!plan) {
        return;
    }
    bt_arena_free(&plan->arena);
    bt_free(plan);
}
