/* steps_scan.c: running sums along a dim, kept in double or int64 as ATen does */
#include "exec/fold.h"
#include "exec/step.h"

struct scan {
    struct bt_fold fold;
    enum bt_lane lane; /* F64 or I64 */
    enum bt_dtype dtype;
    char *out;
};

/* sums[i] += x[i] for n columns, or in a run y[i] = x[0] + ... + x[i] on top of sums[0]. The results are y. */
#define SCAN(name, type, plus)                                                \
    static void name(type *sums, const type *x, type *y, int64_t n, bool run) \
    {                                                                         \
        for (int64_t i = 0; i < n; i++) {                                     \
            type *total = &sums[run ? 0 : i];                                 \
            *total = plus(*total, x[i]);                                      \
            y[i] = *total;                                                    \
        }                                                                     \
    }
#define PLUS_F64(a, b) ((a) + (b))
#define PLUS_I64(a, b) ((int64_t)((uint64_t)(a) + (uint64_t)(b)))
SCAN(scan_f64, double, PLUS_F64)
SCAN(scan_i64, int64_t, PLUS_I64)

static void scan_block(void *context, int64_t outer, int64_t inner, int64_t n)
{
    const struct scan *s = context;
    union bt_lane_block sums = {.i64 = {0}}, buffer, y; /* all bits 0 is 0.0, too */
    bool run = s->fold.inner == 1;
    int64_t stride = run ? BT_LANES : 1;
    for (int64_t at = 0; at < s->fold.length; at += stride) {
        int64_t items = !run ? n : s->fold.length - at < stride ? s->fold.length - at : stride;
        const void *x = bt_fold_read(&s->fold, outer, at, inner, items, &buffer);
        if (s->lane == BT_LANE_F64) {
            scan_f64(sums.f64, x, y.f64, items, run);
        } else {
            scan_i64(sums.i64, x, y.i64, items, run);
        }
        int64_t first = (outer * s->fold.length + at) * s->fold.inner + inner;
        bt_lanes_store(s->lane, &y, s->dtype, s->out + first * (int64_t)bt_dtype_size(s->dtype), items);
    }
}

enum bertc_status bt_step_cumsum(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    (void)err;
    const struct bt_ref *from = &step->args[0].ref, *out = &step->outs[0];
    struct scan s = {.lane = bt_dtype_is_float(out->dtype) ? BT_LANE_F64 : BT_LANE_I64,
                     .dtype = out->dtype,
                     .out = bt_ref_data(run, out)};
    if (bt_numel(out->rank, out->dims) == 0) {
        return BERTC_OK;
    }
    unsigned along = from->rank > 0 ? 1u << step->args[1].scalar.i : 0;
    bt_fold_init(&s.fold, from, bt_ref_data(run, from), along, s.lane);
    bt_fold_run(&s.fold, run->threads, scan_block, &s);
    return BERTC_OK;
}
