/* steps_copy.c: write a tensor of any strides and dtype as a contiguous one */
#include <string.h>

#include "base/thread.h"
#include "exec/grain.h"
#include "exec/lanes.h"
#include "exec/step.h"

struct copy {
    struct bt_reader from;
    char *to;
    enum bt_lane lane;
    enum bt_dtype dtype;
};

/* Items that need no conversion are loaded straight to where they go. */
static void copy_raw(void *context, int64_t begin, int64_t end)
{
    const struct copy *c = context;
    char *to = c->to + begin * c->from.item_size;
    const void *items = bt_reader_read(&c->from, begin, end - begin, to);
    if (items != to) {
        memcpy(to, items, (size_t)((end - begin) * c->from.item_size));
    }
}

static void copy_converted(void *context, int64_t begin, int64_t end)
{
    const struct copy *c = context;
    union bt_lane_block buffer;
    for (int64_t i = begin; i < end; i += BT_LANES) {
        int64_t n = end - i < BT_LANES ? end - i : BT_LANES;
        const void *lanes = bt_reader_read(&c->from, i, n, &buffer);
        bt_lanes_store(c->lane, lanes, c->dtype, c->to + i * (int64_t)bt_dtype_size(c->dtype), n);
    }
}

enum bertc_status bt_step_copy(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    (void)err;
    const struct bt_ref *from = &step->args[0].ref, *to = &step->outs[0];
    int64_t count = bt_numel(to->rank, to->dims);
    if (count == 0) {
        return BERTC_OK;
    }
    bool same = from->dtype == to->dtype;
    struct copy copy = {
        .to = bt_ref_data(run, to), .lane = same ? BT_LANE_RAW : bt_lane_of(from->dtype), .dtype = to->dtype};
    bt_reader_init(&copy.from, copy.lane, from->dtype, from->rank, from->dims, from->strides, bt_ref_data(run, from));
    bt_parallel_for(run->threads, count, bt_grain(8), same ? copy_raw : copy_converted, &copy);
    return BERTC_OK;
}

enum bertc_status bt_step_view(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    return bt_step_copy(step, run, err);
}
