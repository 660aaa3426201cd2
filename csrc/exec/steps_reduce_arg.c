/* steps_reduce_arg.c: the largest or smallest item along a dim, and where it is
 * The first of equals wins; a NaN wins over any number, as in ATen. */
#include <string.h>

#include "exec/fold.h"
#include "exec/step.h"

/* Takes in n items whose first is at `position`: each for its own column, or in a run all for one. */
typedef void take_fn(void *best, int64_t *where, const void *items, int64_t n, int64_t position, bool run);

#define TAKE(name, type, better)                                                                           \
    static void name(void *best, int64_t *where, const void *items, int64_t n, int64_t position, bool run) \
    {                                                                                                      \
        type *y = best;                                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                                  \
            int64_t column = run ? 0 : i;                                                                  \
            type v = ((const type *)items)[i], a = y[column];                                              \
            if (better) {                                                                                  \
                y[column] = v;                                                                             \
                where[column] = run ? position + i : position;                                             \
            }                                                                                              \
        }                                                                                                  \
    }
TAKE(take_max_f64, double, v > a || (v != v && a == a))
TAKE(take_min_f64, double, v < a || (v != v && a == a))
TAKE(take_max_i64, int64_t, v > a)
TAKE(take_min_i64, int64_t, v < a)

struct search {
    struct bt_fold fold;
    enum bt_lane lane;
    take_fn *take;
    char *values; /* NULL: not asked for */
    enum bt_dtype dtype;
    int64_t *indices;
};

static void search_block(void *context, int64_t outer, int64_t inner, int64_t n)
{
    const struct search *s = context;
    union bt_lane_block best, buffer;
    int64_t where[BT_LANES] = {0};
    bool run = s->fold.inner == 1;
    memcpy(&best, bt_fold_read(&s->fold, outer, 0, inner, n, &buffer), (size_t)(n * s->fold.reader.lane_size));
    int64_t stride = run ? BT_LANES : 1;
    for (int64_t at = 0; at < s->fold.length; at += stride) {
        int64_t items = !run ? n : s->fold.length - at < stride ? s->fold.length - at : stride;
        s->take(&best, where, bt_fold_read(&s->fold, outer, at, inner, items, &buffer), items, at, run);
    }
    int64_t first = outer * s->fold.inner + inner;
    memcpy(s->indices + first, where, (size_t)n * sizeof *where);
    if (s->values) {
        bt_lanes_store(s->lane, &best, s->dtype, s->values + first * (int64_t)bt_dtype_size(s->dtype), n);
    }
}

enum bertc_status bt_step_reduce_arg(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    const struct bt_ref *from = &step->args[0].ref, *indices = &step->outs[step->nouts - 1];
    bool largest = step->op == BT_OP_ARGMAX || step->op == BT_OP_MAX_DIM;
    struct search s = {.dtype = from->dtype, .indices = bt_ref_data(run, indices)};
    if (step->nouts > 1) {
        s.values = bt_ref_data(run, &step->outs[0]);
    }
    if (bt_dtype_is_float(from->dtype)) {
        s.lane = BT_LANE_F64;
        s.take = largest ? take_max_f64 : take_min_f64;
    } else {
        s.lane = BT_LANE_I64;
        s.take = largest ? take_max_i64 : take_min_i64;
    }
    unsigned along = step->args[1].kind == BT_ARG_EXPR ? 1u << step->args[1].scalar.i : (1u << from->rank) - 1;
    bt_fold_init(&s.fold, from, bt_ref_data(run, from), from->rank > 0 ? along : 0, s.lane);
    if (bt_numel(indices->rank, indices->dims) == 0) {
        return BERTC_OK;
    }
    if (s.fold.length == 0) {
        return bt_error_set(err, BERTC_INPUT, "%s of no items is not defined", bt_ops[step->op].name);
    }
    bt_fold_run(&s.fold, run->threads, search_block, &s);
    return BERTC_OK;
}
