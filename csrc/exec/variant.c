/* variant.c: a graph built for one signature, and the dimensions for which it holds */
#include "exec/variant.h"

#include "exec/batch.h"
#include "exec/schedule.h"
#include "graph/tree.h"
#include "pass/pass.h"

struct bt_variant *bt_variant_ref(struct bt_variant *variant)
{
    atomic_fetch_add(&variant->refs, 1);
    return variant;
}

void bt_variant_unref(struct bt_variant *variant)
{
    if (variant && atomic_fetch_sub(&variant->refs, 1) == 1) {
        bt_graph_free(&variant->graph);
        bt_arena_free(&variant->arena);
        bt_free(variant);
    }
}

enum bertc_status bt_variant_new(const struct bt_program *program, const struct bertc_value *args,
                                 struct bt_variant **out, struct bertc_error *err)
{
    struct bt_variant *v = bt_calloc(1, sizeof *v);
    if (!v) {
        return bt_error_memory(err);
    }
    atomic_init(&v->refs, 1);
    enum bertc_status status = bt_signature_make(&v->signature, &v->arena, args, program->param_count, err);
    if (status) {
        goto fail;
    }
    bt_graph_init(&v->graph, err);
    if (!v->graph.exprs) {
        status = bt_error_memory(err);
        goto fail;
    }
    status = program->build(program, args, &v->graph, err);
    if (status) {
        goto fail;
    }
    status = bt_passes_run(&v->graph, err);
    if (status) {
        goto fail;
    }
    status = bt_batch_find(&v->graph, &v->batch, err);
    if (status) {
        goto fail;
    }
    status = bt_tokens_find(&v->graph, &v->tokens, err);
    if (status) {
        goto fail;
    }
    const size_t symbols = (size_t)bt_expr_symbol_count(v->graph.exprs);
    v->values = bt_arena_alloc(&v->arena, (size_t)bt_expr_count(v->graph.exprs), sizeof *v->values);
    v->symbols = bt_arena_alloc(&v->arena, symbols, sizeof *v->symbols);
    if (!v->values || !v->symbols) {
        status = bt_error_memory(err);
        goto fail;
    }
    *out = v;
    return BERTC_OK;
fail:
    bt_variant_unref(v);
    return status;
}

/* Reads the symbols' values off the call's dimensions; false when one symbol would need two values. */
static bool bind_symbols(struct bt_variant *v, const struct bt_signature *call)
{
    const struct bt_graph *g = &v->graph;
    const int32_t symbols = bt_expr_symbol_count(g->exprs);
    for (int32_t k = 0; k < symbols; k++) {
        v->symbols[k] = -1;
    }
    size_t next = 0;
    for (size_t i = 0; i < g->input_count; i++) {
        const struct bt_value_info *info = &g->values[g->inputs[i]];
        for (int d = 0; d < info->rank; d++) {
            const int64_t size = call->dims[next++];
            const int32_t k = bt_expr_symbol_index(g->exprs, info->dims[d]);
            if (k < 0) {
                int64_t fixed;
                if (!bt_expr_is_int(g->exprs, info->dims[d], &fixed) || fixed != size) {
                    return false;
                }
            } else if (v->symbols[k] < 0) {
                v->symbols[k] = size;
            } else if (v->symbols[k] != size) {
                return false;
            }
        }
    }
    return true;
}

/* Inputs of one rank share the symbol of an axis where their sizes are the same (bt_bind_inputs). A graph in which they
 * do not was built for an odd call: it would hold for the usual one too, but says less of it. */
static bool tells_symbols_apart(const struct bt_variant *v)
{
    const struct bt_graph *g = &v->graph;
    for (size_t i = 0; i < g->input_count; i++) {
        const struct bt_value_info *a = &g->values[g->inputs[i]];
        for (size_t j = 0; j < i; j++) {
            const struct bt_value_info *b = &g->values[g->inputs[j]];
            for (int d = 0; a->rank == b->rank && d < a->rank; d++) {
                const int32_t k = bt_expr_symbol_index(g->exprs, a->dims[d]);
                const int32_t l = bt_expr_symbol_index(g->exprs, b->dims[d]);
                if (k >= 0 && l >= 0 && k != l && v->symbols[k] == v->symbols[l]) {
                    return false;
                }
            }
        }
    }
    return true;
}

bool bt_variant_holds(struct bt_variant *v, const struct bt_signature *call)
{
    if (!bt_signature_same_key(&v->signature, call) || !bind_symbols(v, call) || !tells_symbols_apart(v)) {
        return false;
    }
    bt_expr failed;
    bt_exprs_evaluate(v->graph.exprs, v->symbols, v->values, &failed);
    for (size_t i = 0; i < v->graph.guard_count; i++) {
        const struct bt_guard *guard = &v->graph.guards[i];
        if ((v->values[guard->condition].i != 0) != guard->expected) {
            return false;
        }
    }
    return true;
}

/* Whether an input leaf's first dimension is the batch. */
static bool has_batch(const struct bt_variant *v, size_t leaf)
{
    const struct bt_value_info *info = &v->graph.values[v->graph.inputs[leaf]];
    return info->rank > 0 && bt_expr_symbol_index(v->graph.exprs, info->dims[0]) == v->batch;
}

bool bt_variant_batch(const struct bt_variant *v, const struct bt_signature *call, int64_t *items, int64_t *tokens)
{
    const struct bt_graph *g = &v->graph;
    if (v->batch < 0 || g->input_count > BT_SCHEDULE_LEAVES || bt_tree_tensors(&g->output) > BT_SCHEDULE_LEAVES) {
        return false;
    }
    *tokens = 1;
    const int64_t *dims = call->dims;
    for (size_t i = 0; i < g->input_count; i++) {
        const int rank = g->values[g->inputs[i]].rank;
        if (has_batch(v, i)) {
            *items = dims[0];
            *tokens = rank > 1 && dims[1] > *tokens ? dims[1] : *tokens;
        }
        dims += rank;
    }
    return true;
}

enum bertc_status bt_variant_resize(const struct bt_variant *v, struct bertc_value *arg, int64_t items,
                                    struct bt_arena *arena, size_t *leaf, struct bertc_error *err)
{
    if (arg->kind == BERTC_TENSOR && has_batch(v, (*leaf)++)) {
        arg->tensor.dims[0] = items;
    }
    if (arg->count == 0) {
        return BERTC_OK;
    }
    arg->items = bt_arena_copy(arena, arg->items, arg->count * sizeof *arg->items);
    if (!arg->items) {
        return bt_error_memory(err);
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; i < arg->count && !status; i++) {
        status = bt_variant_resize(v, &arg->items[i], items, arena, leaf, err);
    }
    return status;
}
