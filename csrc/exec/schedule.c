/* schedule.c: run a call as a whole, or its batch in parts of whole items */
#include "exec/schedule.h"

#include <pthread.h>

#include "base/thread.h"

/* Measured on models 384 and 768 wide: fewer tokens pay for dispatch and for reading the weights once more, more for
 * traffic to the next cache. */
#define PART_TOKENS 128

/* So many parts that no thread waits for another at the end. */
static int64_t parts_of_threads(int64_t parts, int64_t items, int threads)
{
    if (parts > 1 && threads > 1) {
        parts = (parts + threads - 1) / threads * threads;
    }
    return parts < items ? parts : items;
}

int64_t bt_schedule_parts(int64_t items, int64_t tokens, int threads)
{
    const int64_t each = tokens < PART_TOKENS ? PART_TOKENS / (tokens > 0 ? tokens : 1) : 1;
    return parts_of_threads((items + each - 1) / each, items, threads);
}

int64_t bt_schedule_token_parts(int64_t items, int64_t tokens, int threads)
{
    return parts_of_threads((tokens + PART_TOKENS - 1) / PART_TOKENS, items, threads);
}

int64_t bt_schedule_larger(int64_t items, int64_t parts)
{
    return (items + parts - 1) / parts;
}

/* The first item of a part. */
static int64_t part_begin(const struct bt_schedule *s, int64_t part)
{
    const int64_t smaller = s->items / s->parts, larger_parts = s->items % s->parts;
    return part * smaller + (part < larger_parts ? part : larger_parts);
}

enum bertc_status bt_schedule_plan(const struct bt_plan *plan, struct bt_workspaces *workspaces, struct bt_run *state,
                                   struct bertc_error *err)
{
    const size_t need = (size_t)plan->work_size;
    size_t got;
    state->work = bt_workspace_take(workspaces, need, &got);
    if (!state->work) {
        return bt_error_set(err, BERTC_MEMORY, "no memory for a workspace of %zu bytes", need);
    }
    enum bertc_status status = bt_plan_run(plan, state, err);
    bt_workspace_give(workspaces, state->work, got, need);
    return status;
}

int bt_schedule_sharers(int threads, int64_t parts)
{
    return parts < threads ? (int)parts : threads;
}

struct each {
    bt_part_fn *fn;
    void *context;
    pthread_mutex_t lock; /* of what follows */
    int64_t failed;       /* the first part that failed, or their number */
    enum bertc_status status;
    struct bertc_error *err;
};

static void run_each(void *context, int64_t begin, int64_t end)
{
    struct each *e = context;
    for (int64_t part = begin; part < end; part++) {
        struct bertc_error err = {0};
        enum bertc_status status = e->fn(e->context, part, &err);
        if (!status) {
            continue;
        }
        pthread_mutex_lock(&e->lock);
        if (part < e->failed) {
            e->failed = part;
            e->status = status;
            if (e->err) {
                *e->err = err;
            }
        }
        pthread_mutex_unlock(&e->lock);
        return;
    }
}

enum bertc_status bt_schedule_each(int threads, int64_t parts, bt_part_fn *fn, void *context, struct bertc_error *err)
{
    struct each e = {fn, context, PTHREAD_MUTEX_INITIALIZER, parts, BERTC_OK, err};
    bt_parallel_for(threads, parts, 1, run_each, &e);
    return e.status;
}

/* Moves each leaf that has the batch to the part's first item. */
static void part_leaves(const struct bt_schedule *s, const struct bt_schedule_run *run, int64_t first,
                        const void **inputs, void **outputs)
{
    const int64_t *dims = s->dims;
    for (size_t i = 0; i < s->graph->input_count; i++) {
        const struct bt_value_info *info = &s->graph->values[s->graph->inputs[i]];
        const bool batched = info->rank > 0 && bt_expr_symbol_index(s->graph->exprs, info->dims[0]) == s->symbol;
        const int64_t item = batched ? bt_numel(info->rank - 1, dims + 1) * (int64_t)bt_dtype_size(info->dtype) : 0;
        inputs[i] = (const char *)run->inputs[i] + first * item;
        dims += info->rank;
    }
    for (size_t i = 0; i < s->plans[0]->output_count; i++) {
        const struct bt_plan_output *output = &s->plans[0]->outputs[i];
        const int64_t item = bt_numel(output->rank - 1, output->dims + 1) * (int64_t)bt_dtype_size(output->dtype);
        outputs[i] = (char *)run->outputs[i] + first * item;
    }
}

struct whole {
    const struct bt_schedule *schedule;
    const struct bt_schedule_run *run;
};

static enum bertc_status run_part(void *context, int64_t part, struct bertc_error *err)
{
    const struct whole *whole = context;
    const struct bt_schedule *s = whole->schedule;
    const void *inputs[BT_SCHEDULE_LEAVES];
    void *outputs[BT_SCHEDULE_LEAVES];
    const bool larger = part < s->items % s->parts || s->items % s->parts == 0;
    struct bt_run state = {.inputs = inputs,
                           .outputs = outputs,
                           .kernels = whole->run->kernels,
                           .profile = whole->run->profile,
                           .sharers = bt_schedule_sharers(whole->run->threads, s->parts),
                           .first_item = part_begin(s, part),
                           .threads = 1};
    part_leaves(s, whole->run, state.first_item, inputs, outputs);
    return bt_schedule_plan(s->plans[larger ? 0 : 1], whole->run->workspaces, &state, err);
}

enum bertc_status bt_schedule_run(const struct bt_schedule *schedule, const struct bt_schedule_run *run,
                                  struct bertc_error *err)
{
    if (schedule->parts == 1) {
        struct bt_run state = {.inputs = run->inputs,
                               .outputs = run->outputs,
                               .kernels = run->kernels,
                               .profile = run->profile,
                               .threads = run->threads};
        return bt_schedule_plan(schedule->plans[0], run->workspaces, &state, err);
    }
    struct whole whole = {schedule, run};
    return bt_schedule_each(run->threads, schedule->parts, run_part, &whole, err);
}
