/* flops.c: the arithmetic that a step cannot do without */
#include "exec/flops.h"

/* Dimension d of an argument, negative from the last; 1 where it has none. */
static int64_t dim(const struct bt_step *step, int arg, int d)
{
    const struct bt_ref *ref = &step->args[arg].ref;
    d += d < 0 ? ref->rank : 0;
    return d >= 0 && d < ref->rank ? ref->dims[d] : 1;
}

int64_t bt_step_flops(const struct bt_step *step)
{
    int64_t adds; /* for each item of the result */
    switch (step->op) {
    case BT_OP_LINEAR:
    case BT_OP_LINEAR_DYNAMIC:
    case BT_OP_MATMUL: adds = dim(step, 0, -1); break;
    case BT_OP_SDPA: {
        const int64_t keys = dim(step, 1, -2), width = dim(step, 0, -1), value_width = dim(step, 2, -1);
        const int64_t rows = value_width > 0 ? bt_numel(step->outs[0].rank, step->outs[0].dims) / value_width : 0;
        return 2 * rows * keys * (width + value_width);
    }
    case BT_OP_CONV1D: adds = dim(step, 1, 1) * dim(step, 1, 2); break;
    default: return 0;
    }
    return 2 * adds * bt_numel(step->outs[0].rank, step->outs[0].dims);
}

int64_t bt_run_flops(const struct bt_step *step, const struct bt_run *run)
{
    if (!step->each) {
        return bt_step_flops(step);
    }
    int64_t sum = 0;
    for (int64_t number = 0; number < run->ragged->sequence_count; number++) {
        struct bt_step_arg args[BT_EACH_ARGS];
        struct bt_step one;
        bt_step_narrow(step, run, number, args, &one);
        sum += bt_step_flops(&one);
    }
    return sum;
}
