/* schedule.c: run a call as a whole, or its batch in parts of whole items */
#include "exec/schedule.h"

#include <pthread.h>

#include "base/thread.h"

/* Measured: 128 to 256 tokens of a 384 or 768 wide model run at the speed of the caches; fewer pay for packing and
 * dispatch, more for traffic to the next cache. */
#define PART_TOKENS 192

int64_t bt_schedule_parts(int64_t items, int64_t tokens, int threads)
{
    const int64_t each = tokens < PART_TOKENS ? PART_TOKENS / (tokens > 0 ? tokens : 1) : 1;
    int64_t parts = (items + each - 1) / each;
    if (parts > 1 && threads > 1) {
        parts = (parts + threads - 1) / threads * threads;
    }
    return parts < items ? parts : items;
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

static enum bertc_status run_plan(const struct bt_plan *plan, const struct bt_schedule_run *run,
                                  const void *const *inputs, void *const *outputs, int64_t first_item, int threads,
                                  struct bertc_error *err)
{
    const size_t need = (size_t)plan->work_size;
    size_t got;
    void *work = bt_workspace_take(run->workspaces, need, &got);
    if (!work) {
        return bt_error_set(err, BERTC_MEMORY, "no memory for a workspace of %zu bytes", need);
    }
    const struct bt_run state = {.work = work,
                                 .inputs = inputs,
                                 .outputs = outputs,
                                 .kernels = run->kernels,
                                 .profile = run->profile,
                                 .first_item = first_item,
                                 .threads = threads};
    enum bertc_status status = bt_plan_run(plan, &state, err);
    bt_workspace_give(run->workspaces, work, got, need);
    return status;
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

struct parts {
    const struct bt_schedule *schedule;
    const struct bt_schedule_run *run;
    pthread_mutex_t lock; /* of what follows */
    int64_t failed;       /* the first part that failed, or schedule->parts */
    enum bertc_status status;
    struct bertc_error *err;
};

static void run_parts(void *context, int64_t begin, int64_t end)
{
    struct parts *p = context;
    const struct bt_schedule *s = p->schedule;
    const void *inputs[BT_SCHEDULE_LEAVES];
    void *outputs[BT_SCHEDULE_LEAVES];
    for (int64_t part = begin; part < end; part++) {
        struct bertc_error err = {0};
        const bool larger = part < s->items % s->parts || s->items % s->parts == 0;
        const int64_t first = part_begin(s, part);
        part_leaves(s, p->run, first, inputs, outputs);
        enum bertc_status status = run_plan(s->plans[larger ? 0 : 1], p->run, inputs, outputs, first, 1, &err);
        if (!status) {
            continue;
        }
        pthread_mutex_lock(&p->lock);
        if (part < p->failed) {
            p->failed = part;
            p->status = status;
            if (p->err) {
                *p->err = err;
            }
        }
        pthread_mutex_unlock(&p->lock);
        return;
    }
}

enum bertc_status bt_schedule_run(const struct bt_schedule *schedule, const struct bt_schedule_run *run,
                                  struct bertc_error *err)
{
    if (schedule->parts == 1) {
        return run_plan(schedule->plans[0], run, run->inputs, run->outputs, 0, run->threads, err);
    }
    struct parts p = {schedule, run, PTHREAD_MUTEX_INITIALIZER, schedule->parts, BERTC_OK, err};
    bt_parallel_for(run->threads, schedule->parts, 1, run_parts, &p);
    return p.status;
}
