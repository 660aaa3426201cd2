/* steps_each.c: run a step once a sequence, on its own tokens: attention, pooling, and moves into and out of a part */
#include <assert.h>

#include "exec/step.h"

/* Where a value of the padded part lies in its run. */
static struct bt_ref padded_ref(const struct bt_run *run, int32_t slot)
{
    struct bt_ref ref = run->ragged->padded[slot];
    ref.data = bt_ref_data(run->ragged->padded_run, &ref);
    ref.space = BT_SPACE_CONSTANT;
    ref.offset = 0;
    return ref;
}

static void narrow(const struct bt_run *run, const struct bt_window *window, int64_t number, struct bt_ref *ref)
{
    const struct bt_sequence *sequence = &run->ragged->sequences[number];
    const int64_t begin[] = {[BT_BY_NOTHING] = 0,
                             [BT_BY_START] = sequence->start,
                             [BT_BY_NUMBER] = number,
                             [BT_BY_ITEM] = sequence->item,
                             [BT_BY_ROW] = sequence->row};
    if (ref->space == BT_SPACE_PADDED) {
        *ref = padded_ref(run, ref->slot);
    }
    ref->offset += begin[window->by] * ref->strides[window->along] * (int64_t)bt_dtype_size(ref->dtype);
    for (int d = 0; d < ref->rank; d++) {
        if (window->single >> d & 1) {
            ref->dims[d] = 1;
        } else if (window->counted >> d & 1) {
            ref->dims[d] = sequence->count;
        }
    }
}

void bt_step_narrow(const struct bt_step *step, const struct bt_run *run, int64_t number, struct bt_step_arg *args,
                    struct bt_step *one)
{
    assert(step->nargs <= BT_EACH_ARGS);
    *one = *step;
    one->fn = step->each;
    one->args = args;
    for (int i = 0; i < step->nargs; i++) {
        args[i] = step->args[i];
        if (args[i].kind == BT_ARG_VALUE) {
            narrow(run, &step->windows[i], number, &args[i].ref);
        }
    }
    for (int i = 0; i < step->nouts; i++) {
        narrow(run, &step->windows[step->nargs + i], number, &one->outs[i]);
    }
}

enum bertc_status bt_step_each(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    struct bt_step_arg args[BT_EACH_ARGS];
    struct bt_step one;
    enum bertc_status status = BERTC_OK;
    for (int64_t number = 0; number < run->ragged->sequence_count && status == BERTC_OK; number++) {
        bt_step_narrow(step, run, number, args, &one);
        status = one.fn(&one, run, err);
    }
    return status;
}
