/* ragged.c: run a call on its real tokens: the padded part once, then parts of whole sequences */
#include "exec/ragged.h"

#include <string.h>

#include "base/memory.h"
#include "exec/padding.h"
#include "exec/parts.h"

struct ragged {
    struct bt_planned *call;
    const struct bt_schedule_run *run;
    const struct bt_run *padded; /* the padded part, which has run */
    int64_t *counts;             /* per sequence: its tokens */
    int64_t *rows; /* per sequence: where its rows begin in the outputs by token; and the last one's end */
    struct bt_parts parts;
    struct bt_planned **plans; /* of each part */
};

static enum bertc_status run_part(void *context, int64_t part, struct bertc_error *err)
{
    const struct ragged *r = context;
    const int64_t first = r->parts.begin[part];
    const struct bt_ragged ragged = {.sequences = r->parts.sequences + first,
                                     .sequence_count = r->parts.begin[part + 1] - first,
                                     .padded = r->call->plan->padded,
                                     .padded_run = r->padded};
    struct bt_run state = {.inputs = r->run->inputs,
                           .outputs = r->run->outputs,
                           .kernels = r->run->kernels,
                           .profile = r->run->profile,
                           .sharers = bt_schedule_sharers(r->run->threads, r->parts.count),
                           .threads = r->parts.count > 1 ? 1 : r->run->threads,
                           .ragged = &ragged};
    return bt_schedule_plan(r->plans[part]->plan, r->run->workspaces, &state, err);
}

/* Where each sequence's rows go in outputs by token. */
static enum bertc_status place_rows(struct ragged *r, const int64_t *lengths, struct bertc_error *err)
{
    const int64_t items = r->call->items, length = r->call->length;
    for (int64_t i = 0; i < items; i++) {
        r->rows[i + 1] = r->rows[i] + (lengths ? lengths[i] : length);
        if (r->counts[i] > r->rows[i + 1] - r->rows[i]) {
            return bt_error_set(err, BERTC_INPUT,
                                "the masks that the model computes keep %lld tokens of sequence %lld, which has %lld",
                                (long long)r->counts[i], (long long)i, (long long)lengths[i]);
        }
    }
    return BERTC_OK;
}

/* Zeros where an output has rows for padding. */
static void clear_padding(const struct ragged *r)
{
    const struct bt_plan *plan = r->call->plan;
    for (size_t k = 0; k < plan->output_count; k++) {
        const struct bt_plan_output *output = &plan->outputs[k];
        if (output->token_axis < 0) {
            continue;
        }
        const int axis = output->token_axis + 1;
        const int64_t size = bt_numel(output->rank - axis, output->dims + axis) * (int64_t)bt_dtype_size(output->dtype);
        for (int64_t i = 0; i < r->call->items; i++) {
            const int64_t from = r->rows[i] + r->counts[i];
            memset((char *)r->run->outputs[k] + from * size, 0, (size_t)((r->rows[i + 1] - from) * size));
        }
    }
}

static enum bertc_status find_plans(struct ragged *r, struct bt_cache *cache, struct bt_weights *weights,
                                    struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    for (int64_t part = 0; part < r->parts.count && !status; part++) {
        status = bt_cache_part(cache, r->call->variant, r->parts.tokens[part],
                               r->parts.begin[part + 1] - r->parts.begin[part], weights, r->run->kernels,
                               &r->plans[part], err);
    }
    return status;
}

static enum bertc_status run_parts(struct ragged *r, struct bt_cache *cache, struct bt_weights *weights,
                                   struct bertc_error *err)
{
    int64_t tokens = 0;
    for (int64_t i = 0; i < r->call->items; i++) {
        tokens += r->counts[i];
    }
    const int64_t count = bt_schedule_token_parts(r->call->items, tokens, r->run->threads);
    enum bertc_status status = bt_parts_new(r->counts, r->call->items, count, &r->parts, err);
    if (status) {
        return status;
    }
    for (int64_t i = 0; i < r->call->items; i++) {
        r->parts.sequences[i].row = r->rows[r->parts.sequences[i].item];
    }
    r->plans = bt_calloc((size_t)count, sizeof *r->plans);
    status = r->plans ? find_plans(r, cache, weights, err) : bt_error_memory(err);
    if (!status) {
        clear_padding(r);
        status = bt_schedule_each(r->run->threads, count, run_part, r, err);
    }
    for (int64_t part = 0; r->plans && part < count; part++) {
        bt_planned_unref(r->plans[part]);
    }
    bt_free(r->plans);
    bt_parts_free(&r->parts);
    return status;
}

/* Counts tokens and runs the parts, while the padded part's workspace is there. */
static enum bertc_status run_tokens(struct ragged *r, struct bt_cache *cache, struct bt_weights *weights,
                                    const int64_t *lengths, struct bertc_error *err)
{
    const struct bt_variant *variant = r->call->variant;
    r->counts = bt_alloc((size_t)r->call->items, sizeof *r->counts);
    r->rows = bt_calloc((size_t)r->call->items + 1, sizeof *r->rows);
    enum bertc_status status = r->counts && r->rows ? BERTC_OK : bt_error_memory(err);
    if (!status) {
        status = bt_padding_count(&variant->tokens, &variant->graph, r->call->plan->padded, r->padded, r->call->items,
                                  r->call->length, r->counts, err);
    }
    if (!status) {
        status = place_rows(r, lengths, err);
    }
    if (!status) {
        status = run_parts(r, cache, weights, err);
    }
    bt_free(r->counts);
    bt_free(r->rows);
    return status;
}

enum bertc_status bt_ragged_run(struct bt_cache *cache, struct bt_planned *call, struct bt_weights *weights,
                                const struct bt_schedule_run *run, const int64_t *lengths, struct bertc_error *err)
{
    const size_t need = (size_t)call->plan->work_size;
    size_t got;
    struct bt_run padded = {.work = bt_workspace_take(run->workspaces, need, &got),
                            .inputs = run->inputs,
                            .outputs = run->outputs,
                            .kernels = run->kernels,
                            .profile = run->profile,
                            .threads = run->threads};
    if (!padded.work) {
        return bt_error_set(err, BERTC_MEMORY, "no memory for a workspace of %zu bytes", need);
    }
    struct ragged r = {.call = call, .run = run, .padded = &padded};
    enum bertc_status status = bt_plan_run(call->plan, &padded, err);
    if (!status) {
        status = run_tokens(&r, cache, weights, lengths, err);
    }
    bt_workspace_give(run->workspaces, padded.work, got, need);
    return status;
}
