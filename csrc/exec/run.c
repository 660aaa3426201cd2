/* run.c: carry out a plan's steps */
#include "base/clock.h"
#include "base/thread.h"
#include "exec/plan.h"
#include "exec/profile.h"

static enum bertc_status run_steps(const struct bt_plan *plan, const struct bt_run *run, struct bertc_error *err)
{
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct bt_step *step = &plan->steps[i];
        const int64_t start = run->profile ? bt_clock_ns() : 0;
        enum bertc_status status = step->fn(step, run, err);
        if (run->profile) {
            bt_profile_add(run, step, start);
        }
        if (status == BERTC_OK) {
            continue;
        }
        if (step->node && step->node->where) {
            bt_error_append(err, " (%s at %s)", bt_ops[step->op].name, step->node->where);
        }
        return status;
    }
    return BERTC_OK;
}

enum bertc_status bt_plan_run(const struct bt_plan *plan, const struct bt_run *run, struct bertc_error *err)
{
    const int before = bt_parallel_begin(run->threads);
    enum bertc_status status = run_steps(plan, run, err);
    bt_parallel_end(before);
    return status;
}
