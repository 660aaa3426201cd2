/* plan.c: a graph specialised to concrete dimensions: steps, places in one workspace, outputs */
#include "exec/plan.h"

#include <assert.h>
#include <string.h>

#include "exec/builder.h"
#include "exec/view.h"

bt_step_fn *const bt_step_fns[BT_OP_COUNT] = {
#define BT_OP(id, name, args, infer, step) bt_step_##step,
#include "graph/ops.inc"
#undef BT_OP
};

/* Which values the outputs need. */

static void need_outputs(struct bt_builder *b, const struct bt_tree *tree)
{
    if (tree->kind == BT_TREE_TENSOR) {
        b->needed[tree->value] = true;
    }
    for (int32_t i = 0; i < tree->count; i++) {
        need_outputs(b, &tree->items[i]);
    }
}

static bool node_needed(const struct bt_builder *b, const struct bt_node *node)
{
    bool needed = false;
    for (int i = 0; i < node->nouts; i++) {
        needed = needed || b->needed[node->outs[i]];
    }
    return needed;
}

static void need_operands(struct bt_builder *b)
{
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

/* Whether linear layers pack the value (add_panels) and nobody else reads it: then no other copy is needed. */
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
        if (b->graph->values[v].kind == BT_VALUE_INPUT) {
            status = place_input(b, (bt_value)v, err);
        } else if (b->graph->values[v].kind == BT_VALUE_CONSTANT) {
            status = place_constant(b, (bt_value)v, err);
        }
    }
    return status;
}

/* Nodes. */

static enum bertc_status make_arg(struct bt_builder *b, const struct bt_arg *arg, struct bt_step_arg *out,
                                  struct bertc_error *err)
{
    const struct bt_graph *graph = b->graph;
    out->kind = arg->kind;
    out->dtype = arg->dtype;
    out->activation = arg->activation;
    out->count = arg->count;
    if (arg->kind == BT_ARG_VALUE) {
        const struct bt_value_info *info = &graph->values[arg->value];
        out->ref = b->refs[arg->value];
        if (info->kind == BT_VALUE_CONSTANT && graph->constants[info->index].tensor.quantized) {
            out->quant_scale = graph->constants[info->index].tensor.scale;
            out->quant_zero_point = graph->constants[info->index].tensor.zero_point;
        }
    } else if (arg->kind == BT_ARG_EXPR) {
        assert(arg->expr >= 0);
        out->scalar = b->plan->values[arg->expr];
    } else if (arg->kind == BT_ARG_VALUES) {
        out->refs = bt_arena_alloc(&b->plan->arena, (size_t)arg->count, sizeof *out->refs);
        for (int32_t i = 0; out->refs && i < arg->count; i++) {
            if (arg->list[i] >= 0) {
                out->refs[i] = b->refs[arg->list[i]];
            } else {
                out->refs[i].rank = -1;
            }
        }
    } else if (arg->kind == BT_ARG_EXPRS) {
        out->ints = bt_arena_alloc(&b->plan->arena, (size_t)arg->count, sizeof *out->ints);
        for (int32_t i = 0; out->ints && i < arg->count; i++) {
            out->ints[i] = b->plan->values[arg->list[i]].i;
        }
    }
    bool missing = (arg->kind == BT_ARG_VALUES && !out->refs) || (arg->kind == BT_ARG_EXPRS && !out->ints);
    return missing ? bt_error_memory(err) : BERTC_OK;
}

/* The argument from which a step's index operand comes, for messages about indices out of range. */
static const char *index_origin(const struct bt_graph *graph, const struct bt_node *node)
{
    switch (node->op) {
    case BT_OP_EMBEDDING: return bt_graph_origin(graph, node->args[1].value);
    case BT_OP_GATHER: return bt_graph_origin(graph, node->args[2].value);
    case BT_OP_INDEX:
    case BT_OP_INDEX_PUT: {
        const char *name = NULL;
        for (int32_t i = 0; i < node->args[1].count && !name; i++) {
            if (node->args[1].list[i] >= 0) {
                name = bt_graph_origin(graph, node->args[1].list[i]);
            }
        }
        return name;
    }
    default: return NULL;
    }
}

/* The dtype that a pointwise step computes in: the result's, but comparisons give bool and casts change it. */
static enum bertc_status common_dtype(const struct bt_graph *graph, const struct bt_node *node, enum bt_dtype *out,
                                      struct bertc_error *err)
{
    *out = graph->values[node->op == BT_OP_CAST ? node->args[0].value : node->outs[0]].dtype;
    if (node->op == BT_OP_CAST || *out != BT_BOOL) {
        return BERTC_OK;
    }
    return bt_graph_promote(graph, node->args, node->nargs, out, err);
}

/* A cast between dtypes that are stored alike changes nothing. */
static bool cast_is_alias(const struct bt_graph *graph, const struct bt_node *node)
{
    return node->op == BT_OP_CAST && bt_dtype_storage(graph->values[node->args[0].value].dtype) ==
                                         bt_dtype_storage(graph->values[node->outs[0]].dtype);
}

/* A linear layer's constant weight is packed for the microkernel, once for all plans of the model. */
static enum bertc_status add_panels(struct bt_builder *b, struct bt_step *step, struct bertc_error *err)
{
    const struct bt_ref *weight = &step->args[1].ref;
    if (step->op != BT_OP_LINEAR || !b->kernels->panel || weight->space != BT_SPACE_CONSTANT ||
        weight->dtype != BT_F32 || weight->rank != 2) {
        return BERTC_OK;
    }
    struct bt_tensor tensor = {.dtype = BT_F32, .rank = 2};
    tensor.data = (const char *)weight->data + weight->offset;
    memcpy(tensor.dims, weight->dims, sizeof tensor.dims);
    memcpy(tensor.strides, weight->strides, sizeof tensor.strides);
    const struct bt_value_info *info = &b->graph->values[step->node->args[1].value];
    if (info->kind == BT_VALUE_CONSTANT) {
        tensor = b->graph->constants[info->index].tensor; /* as the file has it, before any conversion */
    }
    return bt_weights_pack(b->weights, &tensor, b->kernels->panel, &step->panels, err);
}

static enum bertc_status add_scratch(struct bt_builder *b, struct bt_step *step, struct bertc_error *err)
{
    step->scratch_size = bt_step_scratch(step, b->kernels);
    if (step->scratch_size == 0) {
        return BERTC_OK;
    }
    if (step->scratch_size < 0 || step->scratch_size > BT_PLACE_LIMIT) {
        return bt_error_set(err, BERTC_INPUT, "the step needs more than %lld bytes of workspace",
                            (long long)BT_PLACE_LIMIT);
    }
    step->scratch = (struct bt_ref){.dtype = BT_U8, .rank = 1, .dims = {step->scratch_size}, .strides = {1}};
    return bt_builder_own(b, &step->scratch, err);
}

static bool reads(const struct bt_node *node, bt_value value)
{
    for (int i = 0; i < node->nargs; i++) {
        if (node->args[i].kind == BT_ARG_VALUE && node->args[i].value == value) {
            return true;
        }
    }
    return false;
}

/* Attention writes its rows wherever they belong: when a permute comes next, so that the permuted view is contiguous
 * and needs no copy. Any layout is right: other readers follow the strides. */
static void choose_layout(const struct bt_builder *b, const struct bt_node *node, struct bt_ref *out)
{
    const struct bt_node *next = node + 1, *end = b->graph->nodes + b->graph->node_count;
    while (next < end && !reads(next, node->outs[0])) {
        next++;
    }
    const int last = out->rank - 1;
    if (next == end || next->op != BT_OP_PERMUTE || next->args[1].count != out->rank ||
        b->plan->values[next->args[1].list[last]].i != last) {
        return;
    }
    int64_t step = 1;
    for (int d = last; d >= 0; d--) {
        const int64_t from = b->plan->values[next->args[1].list[d]].i;
        out->strides[from] = step;
        step *= out->dims[from];
    }
}

static enum bertc_status plan_node(struct bt_builder *b, const struct bt_node *node, struct bertc_error *err)
{
    struct bt_step step = {
        .fn = bt_step_fns[node->op], .op = node->op, .nargs = node->nargs, .nouts = node->nouts, .node = node};
    step.args = bt_arena_alloc(&b->plan->arena, (size_t)node->nargs, sizeof *step.args);
    if (!step.args) {
        return bt_error_memory(err);
    }
    for (int i = 0; i < node->nargs; i++) {
        enum bertc_status status = make_arg(b, &node->args[i], &step.args[i], err);
        if (status != BERTC_OK) {
            return status;
        }
    }
    for (int i = 0; i < node->nouts; i++) {
        enum bertc_status status = bt_builder_shape(b, node->outs[i], &step.outs[i], err);
        if (status != BERTC_OK) {
            return status;
        }
    }

    if (step.fn == bt_step_view) {
        struct bt_ref view = step.outs[0];
        enum bt_view placed = bt_view_place(node->op, step.args, &view);
        if (placed == BT_VIEW_MISFIT) {
            return bt_error_set(err, BERTC_INPUT, "the view leaves its operand's bounds");
        }
        if (placed == BT_VIEW_ALIAS) {
            b->refs[node->outs[0]] = view;
            return BERTC_OK;
        }
    } else if (cast_is_alias(b->graph, node)) {
        b->refs[node->outs[0]] = step.args[0].ref;
        return BERTC_OK;
    }

    if (node->op == BT_OP_SDPA) {
        choose_layout(b, node, &step.outs[0]);
    }
    enum bertc_status status = BERTC_OK;
    for (int i = 0; i < node->nouts && status == BERTC_OK; i++) {
        status = bt_builder_own(b, &step.outs[i], err);
        b->refs[node->outs[i]] = step.outs[i];
    }
    if (status == BERTC_OK && step.fn == bt_step_pointwise) {
        status = common_dtype(b->graph, node, &step.common, err);
    }
    if (status == BERTC_OK) {
        status = add_panels(b, &step, err);
    }
    if (status == BERTC_OK) {
        status = add_scratch(b, &step, err);
    }
    step.input = index_origin(b->graph, node);
    return status == BERTC_OK ? bt_builder_step(b, &step, err) : status;
}

static enum bertc_status plan_nodes(struct bt_builder *b, struct bertc_error *err)
{
    for (size_t n = 0; n < b->graph->node_count; n++) {
        const struct bt_node *node = &b->graph->nodes[n];
        enum bertc_status status = node_needed(b, node) ? plan_node(b, node, err) : BERTC_OK;
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
    const struct bt_ref *ref = &b->refs[value];
    struct bt_plan_output *output = &plan->outputs[plan->output_count++];
    output->dtype = b->graph->values[value].dtype == BT_BF16 ? BT_F32 : b->graph->values[value].dtype;
    output->rank = ref->rank;
    memcpy(output->dims, ref->dims, sizeof output->dims);

    if (output->dtype == ref->dtype && is_whole_storage(b, ref) && b->storages[ref->slot].output < 0) {
        b->storages[ref->slot].output = (int32_t)slot;
        return BERTC_OK;
    }
    struct bt_ref to = *ref;
    to.space = BT_SPACE_OUTPUT;
    to.dtype = output->dtype;
    to.slot = (int32_t)slot;
    to.offset = 0;
    bt_contiguous_strides(to.rank, to.dims, to.strides);
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

static enum bertc_status evaluate(struct bt_builder *b, const int64_t *symbols, struct bertc_error *err)
{
    struct bt_exprs *exprs = b->graph->exprs;
    size_t count = (size_t)bt_expr_count(exprs);
    bt_expr failed = BT_NO_EXPR;
    b->plan->values = bt_arena_alloc(&b->plan->arena, count + 1, sizeof *b->plan->values);
    b->needed = bt_arena_alloc(&b->arena, b->graph->value_count + 1, sizeof *b->needed);
    b->refs = bt_arena_alloc(&b->arena, b->graph->value_count + 1, sizeof *b->refs);
    b->uses = bt_graph_uses(b->graph);
    if (!b->plan->values || !b->needed || !b->refs || !b->uses) {
        return bt_error_memory(err);
    }
    bt_exprs_evaluate(exprs, symbols, b->plan->values, &failed);
    if (failed >= 0) {
        return bt_error_set(err, BERTC_INPUT, "%s has no value for inputs of these dimensions",
                            bt_expr_text(exprs, failed));
    }
    return BERTC_OK;
}

enum bertc_status bt_plan_new(struct bt_graph *graph, const int64_t *symbols, struct bt_weights *weights,
                              const struct bt_kernels *kernels, struct bt_plan **out, struct bertc_error *err)
{
    struct bt_builder b = {.graph = graph, .weights = weights, .kernels = kernels};
    b.plan = bt_calloc(1, sizeof *b.plan);
    if (!b.plan) {
        return bt_error_memory(err);
    }
    enum bertc_status status = evaluate(&b, symbols, err);
    if (status == BERTC_OK) {
        need_outputs(&b, &graph->output);
        need_operands(&b);
        status = place_leaves(&b, err);
    }
    if (status == BERTC_OK) {
        status = plan_nodes(&b, err);
    }
    if (status == BERTC_OK) {
        status = plan_outputs(&b, &graph->output, err);
    }
    if (status == BERTC_OK) {
        status = bt_builder_settle(&b, err);
    }
    bt_free(b.uses);
    bt_arena_free(&b.arena);
    if (status == BERTC_OK) {
        *out = b.plan;
    } else {
        bt_plan_free(b.plan);
    }
    return status;
}

void bt_plan_free(struct bt_plan *plan)
{
    if (!plan) {
        return;
    }
    bt_arena_free(&plan->arena);
    bt_free(plan);
}
