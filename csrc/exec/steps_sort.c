/* steps_sort.c: stable sorting along a dim; a NaN counts as larger than any number */
#include <string.h>

#include "exec/fold.h"
#include "exec/scratch.h"
#include "exec/step.h"

/* One column: its items as lanes, and their positions in order, with room to merge. */
struct column {
    int64_t length;
    bool descending, floats;
    union {
        const double *f64;
        const int64_t *i64;
    } items;
    int64_t *order, *spare;
};

static bool before_f64(double a, double b, bool descending)
{
    return descending ? a > b || (a != a && b == b) : a < b || (b != b && a == a);
}

static bool before(const struct column *c, int64_t a, int64_t b)
{
    if (c->floats) {
        return before_f64(c->items.f64[a], c->items.f64[b], c->descending);
    }
    return c->descending ? c->items.i64[a] > c->items.i64[b] : c->items.i64[a] < c->items.i64[b];
}

/* Merges from[begin, middle) and from[middle, end), each in order, into `to`. */
static void merge(const struct column *c, const int64_t *from, int64_t *to, int64_t begin, int64_t middle, int64_t end)
{
    int64_t left = begin, right = middle;
    for (int64_t i = begin; i < end; i++) {
        bool take_right = left == middle || (right < end && before(c, from[right], from[left]));
        to[i] = from[take_right ? right++ : left++];
    }
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void sort(struct column *c)
{
    for (int64_t i = 0; i < c->length; i++) {
        c->order[i] = i;
    }
    for (int64_t width = 1; width < c->length; width *= 2) {
        for (int64_t i = 0; i < c->length; i += 2 * width) {
            merge(c, c->order, c->spare, i, least(i + width, c->length), least(i + 2 * width, c->length));
        }
        int64_t *sorted = c->spare;
        c->spare = c->order;
        c->order = sorted;
    }
}

/* Items and two lists of positions. */
int64_t bt_scratch_sort(const struct bt_step *step, const struct bt_kernels *kernels)
{
    (void)kernels;
    const struct bt_ref *from = &step->args[0].ref;
    int64_t length = from->rank > 0 ? from->dims[step->args[1].scalar.i] : 1, size;
    return bt_mul_i64(length, 3 * (int64_t)sizeof(int64_t), &size) ? size : INT64_MAX;
}

/* One column of `fold` from `outer` and `inner` on, into the two results. */
static void sort_column(const struct bt_fold *fold, struct column *c, char *lanes, int64_t outer, int64_t inner,
                        const struct bt_ref *values, char *sorted, int64_t *indices)
{
    int64_t buffer, value_size = (int64_t)bt_dtype_size(values->dtype);
    for (int64_t at = 0; at < c->length; at++) {
        memcpy(lanes + at * 8, bt_fold_read(fold, outer, at, inner, 1, &buffer), 8);
    }
    sort(c);
    for (int64_t at = 0; at < c->length; at++) {
        int64_t to = (outer * c->length + at) * fold->inner + inner;
        bt_lanes_store(c->floats ? BT_LANE_F64 : BT_LANE_I64, lanes + c->order[at] * 8, values->dtype,
                       sorted + to * value_size, 1);
        indices[to] = c->order[at];
    }
}

enum bertc_status bt_step_sort(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    (void)err;
    const struct bt_ref *from = &step->args[0].ref, *values = &step->outs[0];
    if (bt_numel(from->rank, from->dims) == 0) {
        return BERTC_OK;
    }
    struct bt_fold fold;
    struct column c = {.floats = bt_dtype_is_float(from->dtype), .descending = step->args[2].scalar.i != 0};
    unsigned along = from->rank > 0 ? 1u << step->args[1].scalar.i : 0;
    bt_fold_init(&fold, from, bt_ref_data(run, from), along, c.floats ? BT_LANE_F64 : BT_LANE_I64);
    c.length = fold.length;
    char *lanes = bt_ref_data(run, &step->scratch);
    c.items.i64 = (const int64_t *)(void *)lanes;
    c.order = (int64_t *)(void *)lanes + c.length;
    c.spare = c.order + c.length;
    for (int64_t outer = 0; outer < fold.outer; outer++) {
        for (int64_t inner = 0; inner < fold.inner; inner++) {
            sort_column(&fold, &c, lanes, outer, inner, values, bt_ref_data(run, values),
                        bt_ref_data(run, &step->outs[1]));
        }
    }
    return BERTC_OK;
}
