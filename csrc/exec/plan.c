/* plan.c: a graph specialised to concrete dimensions: steps, places in one workspace, outputs
 * While steps are made, a WORK ref has its storage's number in `slot` and its offset counts from the storage's start;
 * when all lifetimes are known, storages become output buffers or places in the workspace, and the refs are settled.
 * A pointwise step's result may take the place of an operand (place.c). */
#include "exec/plan.h"

#include <assert.h>
#include <string.h>

#include "exec/place.h"
#include "exec/view.h"

struct builder {
    struct bt_graph *graph;
    struct bt_weights *weights;
    const struct bt_kernels *kernels;
    struct bt_plan *plan;
    size_t step_cap, output_cap;
    struct bt_arena arena; /* of the fields below: gone when the plan is made */
    bool *needed;          /* per value */
    struct bt_ref *refs;   /* per value: where it is */
    struct bt_storage *storages;
    size_t storage_count, storage_cap;
};

static bt_step_fn *const step_fns[BT_OP_COUNT] = {
#define BT_OP(id, name, args, infer, step) bt_step_##step,
#include "graph/ops.inc"
#undef BT_OP
};

/* Which values the outputs need. */

static void need_outputs(struct builder *b, const struct bt_tree *tree)
{
    if (tree->kind == BT_TREE_TENSOR)
        b->needed[tree->value] = true;
    for (int32_t i = 0; i < tree->count; i++)
        need_outputs(b, &tree->items[i]);
}

static bool node_needed(const struct builder *b, const struct bt_node *node)
{
    bool needed = false;
    for (int i = 0; i < node->nouts; i++)
        needed = needed || b->needed[node->outs[i]];
    return needed;
}

static void need_operands(struct builder *b)
{
    for (size_t n = b->graph->node_count; n-- > 0;) {
        const struct bt_node *node = &b->graph->nodes[n];
        for (int i = 0; i < node->nargs && node_needed(b, node); i++) {
            const struct bt_arg *arg = &node->args[i];
            if (arg->kind == BT_ARG_VALUE)
                b->needed[arg->value] = true;
            for (int32_t k = 0; arg->kind == BT_ARG_VALUES && k < arg->count; k++) {
                if (arg->list[k] >= 0)
                    b->needed[arg->list[k]] = true;
            }
        }
    }
}

/* Storages and steps. */

/* Sets dtype, dims and contiguous strides. Later products of dims cannot overflow: zeros count as ones here. */
static enum bertc_status shape_ref(const struct builder *b, bt_value value, struct bt_ref *ref, struct bertc_error *err)
{
    const struct bt_value_info *info = &b->graph->values[value];
    ref->dtype = bt_dtype_storage(info->dtype);
    ref->rank = info->rank;
    int64_t bytes = (int64_t)bt_dtype_size(ref->dtype);
    for (int d = 0; d < info->rank; d++) {
        int64_t dim = b->plan->values[info->dims[d]].i;
        if (dim < 0)
            return bt_error_set(err, BERTC_INPUT, "dimension %d of %s comes out as %lld", d,
                                info->name ? info->name : "a tensor", (long long)dim);
        if (!bt_mul_i64(bytes, dim > 0 ? dim : 1, &bytes) || bytes > BT_PLACE_LIMIT)
            return bt_error_set(err, BERTC_INPUT, "%s needs more than %lld bytes", info->name ? info->name : "a tensor",
                                (long long)BT_PLACE_LIMIT);
        ref->dims[d] = dim;
    }
    bt_contiguous_strides(ref->rank, ref->dims, ref->strides);
    return BERTC_OK;
}

/* Gives a ref of known dtype and dims its own storage, to be written by the next step. */
static enum bertc_status own_storage(struct builder *b, struct bt_ref *ref, struct bertc_error *err)
{
    if (!bt_arena_reserve(&b->arena, &b->storages, &b->storage_cap, b->storage_count + 1, sizeof *b->storages))
        return bt_error_memory(err);
    b->storages[b->storage_count] = (struct bt_storage){
        .size = bt_numel(ref->rank, ref->dims) * (int64_t)bt_dtype_size(ref->dtype),
        .last = b->plan->step_count,
        .output = -1,
    };
    ref->space = BT_SPACE_WORK;
    ref->slot = (int32_t)b->storage_count++;
    ref->offset = 0;
    return BERTC_OK;
}

static void touch(struct builder *b, const struct bt_ref *ref)
{
    if (ref->space == BT_SPACE_WORK && ref->rank >= 0)
        b->storages[ref->slot].last = b->plan->step_count;
}

static enum bertc_status append_step(struct builder *b, const struct bt_step *step, struct bertc_error *err)
{
    struct bt_plan *plan = b->plan;
    if (!bt_arena_reserve(&plan->arena, &plan->steps, &b->step_cap, plan->step_count + 1, sizeof *step))
        return bt_error_memory(err);
    for (int i = 0; i < step->nargs; i++) {
        const struct bt_step_arg *arg = &step->args[i];
        if (arg->kind == BT_ARG_VALUE)
            touch(b, &arg->ref);
        for (int32_t k = 0; arg->kind == BT_ARG_VALUES && k < arg->count; k++)
            touch(b, &arg->refs[k]);
    }
    plan->steps[plan->step_count++] = *step;
    return BERTC_OK;
}

static enum bertc_status append_copy(struct builder *b, const struct bt_ref *from, const struct bt_ref *to,
                                     struct bertc_error *err)
{
    struct bt_step step = {.fn = bt_step_copy, .op = BT_OP_CAST, .nargs = 1, .nouts = 1, .outs = {*to}};
    step.args = bt_arena_alloc(&b->plan->arena, 1, sizeof *step.args);
    if (!step.args)
        return bt_error_memory(err);
    step.args[0].kind = BT_ARG_VALUE;
    step.args[0].ref = *from;
    return append_step(b, &step, err);
}

/* Values that are no node's. */

static enum bertc_status place_input(struct builder *b, bt_value value, struct bertc_error *err)
{
    struct bt_ref *ref = &b->refs[value];
    enum bertc_status status = shape_ref(b, value, ref, err);
    ref->space = BT_SPACE_INPUT;
    ref->slot = b->graph->values[value].index;
    if (status != BERTC_OK || ref->dtype == b->graph->values[value].dtype)
        return status;
    struct bt_ref half = *ref;
    half.dtype = b->graph->values[value].dtype;
    status = own_storage(b, ref, err);
    return status == BERTC_OK ? append_copy(b, &half, ref, err) : status;
}

static enum bertc_status place_constant(struct builder *b, bt_value value, struct bertc_error *err)
{
    struct bt_tensor tensor;
    const struct bt_constant *constant = &b->graph->constants[b->graph->values[value].index];
    enum bertc_status status = bt_weights_prepare(b->weights, &constant->tensor, &tensor, err);
    if (status != BERTC_OK)
        return status;
    struct bt_ref *ref = &b->refs[value];
    *ref = (struct bt_ref){
        .space = BT_SPACE_CONSTANT, .dtype = tensor.dtype, .rank = tensor.rank, .data = tensor.data};
    memcpy(ref->dims, tensor.dims, sizeof ref->dims);
    memcpy(ref->strides, tensor.strides, sizeof ref->strides);
    return BERTC_OK;
}

static enum bertc_status place_leaves(struct builder *b, struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    for (size_t v = 0; v < b->graph->value_count && status == BERTC_OK; v++) {
        if (!b->needed[v])
            continue;
        if (b->graph->values[v].kind == BT_VALUE_INPUT)
            status = place_input(b, (bt_value)v, err);
        else if (b->graph->values[v].kind == BT_VALUE_CONSTANT)
            status = place_constant(b, (bt_value)v, err);
    }
    return status;
}

/* Nodes. */

static enum bertc_status make_arg(struct builder *b, const struct bt_arg *arg, struct bt_step_arg *out,
                                  struct bertc_error *err)
{
    const struct bt_graph *graph = b->graph;
    out->kind = arg->kind;
    out->dtype = arg->dtype;
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
            if (arg->list[i] >= 0)
                out->refs[i] = b->refs[arg->list[i]];
            else
                out->refs[i].rank = -1;
        }
    } else if (arg->kind == BT_ARG_EXPRS) {
        out->ints = bt_arena_alloc(&b->plan->arena, (size_t)arg->count, sizeof *out->ints);
        for (int32_t i = 0; out->ints && i < arg->count; i++)
            out->ints[i] = b->plan->values[arg->list[i]].i;
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
            if (node->args[1].list[i] >= 0)
                name = bt_graph_origin(graph, node->args[1].list[i]);
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
    if (node->op == BT_OP_CAST || *out != BT_BOOL)
        return BERTC_OK;
    return bt_graph_promote(graph, node->args, node->nargs, out, err);
}

/* A cast between dtypes that are stored alike changes nothing. */
static bool cast_is_alias(const struct bt_graph *graph, const struct bt_node *node)
{
    return node->op == BT_OP_CAST && bt_dtype_storage(graph->values[node->args[0].value].dtype) ==
                                         bt_dtype_storage(graph->values[node->outs[0]].dtype);
}

static enum bertc_status add_scratch(struct builder *b, struct bt_step *step, struct bertc_error *err)
{
    step->scratch_size = bt_step_scratch(step, b->kernels);
    if (step->scratch_size == 0)
        return BERTC_OK;
    if (step->scratch_size < 0 || step->scratch_size > BT_PLACE_LIMIT)
        return bt_error_set(err, BERTC_INPUT, "the step needs more than %lld bytes of workspace",
                            (long long)BT_PLACE_LIMIT);
    step->scratch = (struct bt_ref){.dtype = BT_U8, .rank = 1, .dims = {step->scratch_size}, .strides = {1}};
    return own_storage(b, &step->scratch, err);
}

static enum bertc_status plan_node(struct builder *b, const struct bt_node *node, struct bertc_error *err)
{
    struct bt_step step = {
        .fn = step_fns[node->op], .op = node->op, .nargs = node->nargs, .nouts = node->nouts, .node = node};
    step.args = bt_arena_alloc(&b->plan->arena, (size_t)node->nargs, sizeof *step.args);
    if (!step.args)
        return bt_error_memory(err);
    for (int i = 0; i < node->nargs; i++) {
        enum bertc_status status = make_arg(b, &node->args[i], &step.args[i], err);
        if (status != BERTC_OK)
            return status;
    }
    for (int i = 0; i < node->nouts; i++) {
        enum bertc_status status = shape_ref(b, node->outs[i], &step.outs[i], err);
        if (status != BERTC_OK)
            return status;
    }

    if (step.fn == bt_step_view) {
        struct bt_ref view = step.outs[0];
        enum bt_view placed = bt_view_place(node->op, step.args, &view);
        if (placed == BT_VIEW_MISFIT)
            return bt_error_set(err, BERTC_INPUT, "the view leaves its operand's bounds");
        if (placed == BT_VIEW_ALIAS) {
            b->refs[node->outs[0]] = view;
            return BERTC_OK;
        }
    } else if (cast_is_alias(b->graph, node)) {
        b->refs[node->outs[0]] = step.args[0].ref;
        return BERTC_OK;
    }

    enum bertc_status status = BERTC_OK;
    for (int i = 0; i < node->nouts && status == BERTC_OK; i++) {
        status = own_storage(b, &step.outs[i], err);
        b->refs[node->outs[i]] = step.outs[i];
    }
    if (status == BERTC_OK && step.fn == bt_step_pointwise)
        status = common_dtype(b->graph, node, &step.common, err);
    if (status == BERTC_OK)
        status = add_scratch(b, &step, err);
    step.input = index_origin(b->graph, node);
    return status == BERTC_OK ? append_step(b, &step, err) : status;
}

static enum bertc_status plan_nodes(struct builder *b, struct bertc_error *err)
{
    for (size_t n = 0; n < b->graph->node_count; n++) {
        const struct bt_node *node = &b->graph->nodes[n];
        enum bertc_status status = node_needed(b, node) ? plan_node(b, node, err) : BERTC_OK;
        if (status != BERTC_OK)
            return bt_error_append(err, " (%s at %s)", bt_ops[node->op].name, node->where ? node->where : "?");
    }
    return BERTC_OK;
}

/* Outputs. */

/* Whether the ref is all of its storage, in order, so that the storage can be the output's buffer itself. */
static bool is_whole_storage(const struct builder *b, const struct bt_ref *ref)
{
    return ref->space == BT_SPACE_WORK && ref->offset == 0 && bt_is_contiguous(ref->rank, ref->dims, ref->strides) &&
           bt_numel(ref->rank, ref->dims) * (int64_t)bt_dtype_size(ref->dtype) == b->storages[ref->slot].size;
}

static enum bertc_status plan_output(struct builder *b, bt_value value, struct bertc_error *err)
{
    struct bt_plan *plan = b->plan;
    size_t slot = plan->output_count;
    if (!bt_arena_reserve(&plan->arena, &plan->outputs, &b->output_cap, slot + 1, sizeof *plan->outputs))
        return bt_error_memory(err);
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
    return append_copy(b, ref, &to, err);
}

static enum bertc_status plan_outputs(struct builder *b, const struct bt_tree *tree, struct bertc_error *err)
{
    enum bertc_status status = tree->kind == BT_TREE_TENSOR ? plan_output(b, tree->value, err) : BERTC_OK;
    for (int32_t i = 0; i < tree->count && status == BERTC_OK; i++)
        status = plan_outputs(b, &tree->items[i], err);
    return status;
}

/* The end: refs become addresses. */

static void settle(const struct builder *b, struct bt_ref *ref)
{
    if (ref->space != BT_SPACE_WORK || ref->rank < 0)
        return;
    const struct bt_storage *storage = &b->storages[ref->slot];
    if (storage->output >= 0)
        ref->space = BT_SPACE_OUTPUT;
    else
        ref->offset += storage->offset;
    ref->slot = storage->output >= 0 ? storage->output : 0;
}

static enum bertc_status settle_all(struct builder *b, struct bertc_error *err)
{
    struct bt_plan *plan = b->plan;
    int32_t *order = bt_arena_alloc(&b->arena, b->storage_count + 1, sizeof *order);
    if (!order)
        return bt_error_memory(err);
    enum bertc_status status =
        bt_place(plan->steps, plan->step_count, b->storages, order, &plan->work_size, err);
    for (size_t s = 0; s < plan->step_count && status == BERTC_OK; s++) {
        struct bt_step *step = &plan->steps[s];
        for (int i = 0; i < step->nargs; i++) {
            if (step->args[i].kind == BT_ARG_VALUE)
                settle(b, &step->args[i].ref);
            for (int32_t k = 0; step->args[i].kind == BT_ARG_VALUES && k < step->args[i].count; k++)
                settle(b, &step->args[i].refs[k]);
        }
        for (int i = 0; i < step->nouts; i++)
            settle(b, &step->outs[i]);
        if (step->scratch_size > 0)
            settle(b, &step->scratch);
    }
    return status;
}

static enum bertc_status evaluate(struct builder *b, const int64_t *symbols, struct bertc_error *err)
{
    struct bt_exprs *exprs = b->graph->exprs;
    size_t count = (size_t)bt_expr_count(exprs);
    bt_expr failed = BT_NO_EXPR;
    b->plan->values = bt_arena_alloc(&b->plan->arena, count + 1, sizeof *b->plan->values);
    b->needed = bt_arena_alloc(&b->arena, b->graph->value_count + 1, sizeof *b->needed);
    b->refs = bt_arena_alloc(&b->arena, b->graph->value_count + 1, sizeof *b->refs);
    if (!b->plan->values || !b->needed || !b->refs)
        return bt_error_memory(err);
    bt_exprs_evaluate(exprs, symbols, b->plan->values, &failed);
    if (failed >= 0)
        return bt_error_set(err, BERTC_INPUT, "%s has no value for inputs of these dimensions",
                            bt_expr_text(exprs, failed));
    return BERTC_OK;
}

enum bertc_status bt_plan_new(struct bt_graph *graph, const int64_t *symbols, struct bt_weights *weights,
                              const struct bt_kernels *kernels, struct bt_plan **out, struct bertc_error *err)
{
    struct builder b = {.graph = graph, .weights = weights, .kernels = kernels};
    b.plan = bt_calloc(1, sizeof *b.plan);
    if (!b.plan)
        return bt_error_memory(err);
    enum bertc_status status = evaluate(&b, symbols, err);
    if (status == BERTC_OK) {
        need_outputs(&b, &graph->output);
        need_operands(&b);
        status = place_leaves(&b, err);
    }
    if (status == BERTC_OK)
        status = plan_nodes(&b, err);
    if (status == BERTC_OK)
        status = plan_outputs(&b, &graph->output, err);
    if (status == BERTC_OK)
        status = settle_all(&b, err);
    bt_arena_free(&b.arena);
    if (status == BERTC_OK)
        *out = b.plan;
    else
        bt_plan_free(b.plan);
    return status;
}

void bt_plan_free(struct bt_plan *plan)
{
    if (!plan)
        return;
    bt_arena_free(&plan->arena);
    bt_free(plan);
}
