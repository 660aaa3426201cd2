/* run.c: carry out a plan's steps */
#include "exec/plan.h"

enum bertc_status bt_plan_run(const struct bt_plan *plan, const struct bt_run *run, struct bertc_error *err)
{
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct bt_step *step = &plan->steps[i];
        enum bertc_status status = step->fn(step, run, err);
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
