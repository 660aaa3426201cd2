/* scratch.c: which steps need private workspace */
#include "exec/scratch.h"

static bt_step_scratch_fn *const scratch[BT_OP_COUNT] = {
    [BT_OP_LINEAR] = bt_scratch_linear,
    [BT_OP_LINEAR_DYNAMIC] = bt_scratch_linear_dynamic,
    [BT_OP_MATMUL] = bt_scratch_matmul,
    [BT_OP_LAYER_NORM] = bt_scratch_layer_norm,
    [BT_OP_RMS_NORM] = bt_scratch_layer_norm,
    [BT_OP_SDPA] = bt_scratch_sdpa,
    [BT_OP_CONV1D] = bt_scratch_conv1d,
    [BT_OP_SORT] = bt_scratch_sort,
    [BT_OP_MATMUL_INTEGER] = bt_scratch_matmul_integer,
};

int64_t bt_step_scratch(const struct bt_step *step, const struct bt_kernels *kernels)
{
    return scratch[step->op] ? scratch[step->op](step, kernels) : 0;
}
