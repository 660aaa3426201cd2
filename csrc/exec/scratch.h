/* scratch.h: private workspace of the steps that pack or convert operands */
#ifndef BT_EXEC_SCRATCH_H
#define BT_EXEC_SCRATCH_H

#include <stdint.h>

#include "base/memory.h"
#include "exec/step.h"

/* Bytes by step name, INT64_MAX when they cannot be counted; the other steps need none. Each is defined next to its
 * step function. */
extern bt_step_scratch_fn bt_scratch_linear, bt_scratch_matmul, bt_scratch_layer_norm, bt_scratch_sdpa,
    bt_scratch_conv1d, bt_scratch_linear_dynamic, bt_scratch_sort, bt_scratch_matmul_integer;

/* Cuts a step's workspace into arrays. The plan cuts nothing (data NULL) to learn the sum; the run makes the same cuts
 * again, so that both agree. */
struct bt_cuts {
    char *data;
    int64_t used;
};

static inline struct bt_cuts bt_cuts_of(const struct bt_step *step, const struct bt_run *run)
{
    return (struct bt_cuts){step->scratch_size > 0 ? bt_ref_data(run, &step->scratch) : NULL, 0};
}

/* The next array of count * size bytes, aligned to BT_ALIGN; NULL while counting. */
static inline void *bt_cut(struct bt_cuts *cuts, int64_t count, int64_t size)
{
    int64_t start = cuts->used, bytes;
    if (!bt_mul_i64(count, size, &bytes) || !bt_add_i64(bytes, BT_ALIGN - 1, &bytes) ||
        !bt_add_i64(start, bytes & -(int64_t)BT_ALIGN, &cuts->used)) {
        cuts->used = INT64_MAX;
    }
    return cuts->data ? cuts->data + start : NULL;
}

#endif
