/* fold.c: a tensor as [outer][length][inner], for steps that run along some of its dims */
#include "exec/fold.h"

#include "base/thread.h"
#include "exec/grain.h"

void bt_fold_init(struct bt_fold *fold, const struct bt_ref *ref, const void *data, unsigned along, enum bt_lane lane)
{
    int64_t dims[BT_MAX_RANK], strides[BT_MAX_RANK];
    int last = ref->rank - 1, rank = 0;
    while (last >= 0 && !(along >> last & 1)) {
        last--;
    }
    fold->outer = fold->length = fold->inner = 1;
    for (int pass = 0; pass < 2; pass++) { /* first the kept dims before `last`, then those to run along */
        for (int d = 0; d <= last; d++) {
            if ((along >> d & 1) != (unsigned)pass) {
                continue;
            }
            *(pass ? &fold->length : &fold->outer) *= ref->dims[d];
            dims[rank] = ref->dims[d];
            strides[rank++] = ref->strides[d];
        }
    }
    for (int d = last + 1; d < ref->rank; d++) {
        fold->inner *= ref->dims[d];
        dims[rank] = ref->dims[d];
        strides[rank++] = ref->strides[d];
    }
    bt_reader_init(&fold->reader, lane, ref->dtype, rank, dims, strides, data);
}

const void *bt_fold_read(const struct bt_fold *fold, int64_t outer, int64_t position, int64_t inner, int64_t n,
                         void *buffer)
{
    return bt_reader_read(&fold->reader, (outer * fold->length + position) * fold->inner + inner, n, buffer);
}

struct task {
    const struct bt_fold *fold;
    bt_fold_fn *fn;
    void *context;
    int64_t blocks; /* of columns */
};

static void run_range(void *context, int64_t begin, int64_t end)
{
    const struct task *task = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t inner = i % task->blocks * BT_LANES, left = task->fold->inner - inner;
        task->fn(task->context, i / task->blocks, inner, left < BT_LANES ? left : BT_LANES);
    }
}

void bt_fold_run(const struct bt_fold *fold, int threads, bt_fold_fn *fn, void *context)
{
    struct task task = {fold, fn, context, (fold->inner + BT_LANES - 1) / BT_LANES};
    int64_t columns = fold->inner < BT_LANES ? fold->inner : BT_LANES;
    bt_parallel_for(threads, fold->outer * task.blocks, bt_grain(4 * fold->length * columns), run_range, &task);
}
