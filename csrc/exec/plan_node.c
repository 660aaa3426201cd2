/* plan_node.c: a node's step: operands with places, a view or storage of its own, packed weights, scratch */
#include <assert.h>
#include <string.h>

#include "exec/builder.h"
#include "exec/view.h"

bt_step_fn *const bt_step_fns[BT_OP_COUNT] = {
#define BT_OP(id, name, args, infer, step) bt_step_##step,
#include "graph/ops.inc"
#undef BT_OP
};

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
        out->scalar = b->values[arg->expr];
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
            out->ints[i] = b->values[arg->list[i]].i;
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

/* A linear layer's constant weight is read in panels, which all plans of the model share. */
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
    return bt_weights_panels(b->weights, &tensor, b->kernels->panel, &step->panels, err);
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
        b->values[next->args[1].list[last]].i != last) {
        return;
    }
    int64_t step = 1;
    for (int d = last; d >= 0; d--) {
        const int64_t from = b->values[next->args[1].list[d]].i;
        out->strides[from] = step;
        step *= out->dims[from];
    }
}

enum bertc_status bt_builder_node(struct bt_builder *b, const struct bt_node *node, struct bertc_error *err)
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

    const bool each = bt_tokens_is_each(b, node);
    if (step.fn == bt_step_view && !each) {
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
    if (status == BERTC_OK && each) {
        status = bt_tokens_make_each(b, node, &step, err);
    }
    if (status == BERTC_OK) {
        status = add_scratch(b, &step, err);
    }
    step.input = index_origin(b->graph, node);
    return status == BERTC_OK ? bt_builder_step(b, &step, err) : status;
}
