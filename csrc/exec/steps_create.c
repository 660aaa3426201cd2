/* steps_create.c: arange, full and eye: tensors made from numbers */
#include <string.h>

#include "exec/lanes.h"
#include "exec/move.h"
#include "exec/step.h"

static double as_float(struct bt_scalar number)
{
    return number.type == BT_SCALAR_FLOAT ? number.f : (double)number.i;
}

static uint64_t as_int(struct bt_scalar number)
{
    int64_t truncated = number.i;
    if (number.type == BT_SCALAR_FLOAT) {
        bt_lanes_store(BT_LANE_F64, &number.f, BT_I64, &truncated, 1);
    }
    return (uint64_t)truncated;
}

/* Integers count exactly, and wrap; floats are computed in double, so that no error builds up. */
enum bertc_status bt_step_arange(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    (void)err;
    const struct bt_ref *out = &step->outs[0];
    struct bt_scalar start = step->args[0].scalar, stride = step->args[2].scalar;
    enum bt_lane lane = bt_dtype_is_float(out->dtype) ? BT_LANE_F64 : BT_LANE_I64;
    char *to = bt_ref_data(run, out);
    union bt_lane_block block;
    for (int64_t i = 0; i < out->dims[0]; i += BT_LANES) {
        int64_t n = out->dims[0] - i < BT_LANES ? out->dims[0] - i : BT_LANES;
        for (int64_t k = 0; k < n; k++) {
            if (lane == BT_LANE_F64) {
                block.f64[k] = as_float(start) + (double)(i + k) * as_float(stride);
            } else {
                block.i64[k] = (int64_t)(as_int(start) + (uint64_t)(i + k) * as_int(stride));
            }
        }
        bt_lanes_store(lane, &block, out->dtype, to + i * (int64_t)bt_dtype_size(out->dtype), n);
    }
    return BERTC_OK;
}

enum bertc_status bt_step_full(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    (void)err;
    const struct bt_ref *out = &step->outs[0];
    bt_move_fill(step->args[1].scalar, out->dtype, bt_ref_data(run, out), 1, bt_numel(out->rank, out->dims));
    return BERTC_OK;
}

enum bertc_status bt_step_eye(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    (void)err;
    const struct bt_ref *out = &step->outs[0];
    struct bt_scalar zero = {.type = BT_SCALAR_INT}, one = {.type = BT_SCALAR_INT, .i = 1};
    int64_t rows = out->dims[0], cols = out->dims[1];
    bt_move_fill(zero, out->dtype, bt_ref_data(run, out), 1, rows * cols);
    bt_move_fill(one, out->dtype, bt_ref_data(run, out), cols + 1, rows < cols ? rows : cols);
    return BERTC_OK;
}
