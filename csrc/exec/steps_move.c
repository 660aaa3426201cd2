/* steps_move.c: cat, pad, flip, roll, tril, triu and scatters: items copied to other places */
#include <string.h>

#include "exec/iter.h"
#include "exec/lanes.h"
#include "exec/move.h"
#include "exec/step.h"
#include "exec/view.h"

static int64_t size_of(const struct bt_ref *ref)
{
    return (int64_t)bt_dtype_size(ref->dtype);
}

/* Copies items between tensors of one dtype, from and to given item offsets. */
static void copy_part(const struct bt_run *run, int rank, const int64_t *dims, const struct bt_ref *to,
                      int64_t to_offset, const struct bt_ref *from, const int64_t *from_strides, int64_t from_offset)
{
    char *to_data = (char *)bt_ref_data(run, to) + to_offset * size_of(to);
    char *from_data = (char *)bt_ref_data(run, from) + from_offset * size_of(to);
    bt_move_items(run->threads, bt_dtype_size(to->dtype), rank, dims, (struct bt_side){to_data, to->strides},
                  (struct bt_side){from_data, from_strides});
}

static void copy_whole(const struct bt_run *run, const struct bt_ref *to, const struct bt_ref *from)
{
    copy_part(run, from->rank, from->dims, to, 0, from, from->strides, 0);
}

/* One operand of cat whose dtype is not the result's; `block` items lie together in the result, every `pitch`. */
static void convert_blocks(const struct bt_run *run, const struct bt_ref *from, enum bt_dtype dtype, char *to,
                           int64_t block, int64_t pitch)
{
    enum bt_lane lane = bt_lane_of(from->dtype);
    int64_t count = bt_numel(from->rank, from->dims), size = (int64_t)bt_dtype_size(dtype);
    union bt_lane_block buffer;
    struct bt_reader reader;
    bt_reader_init(&reader, lane, from->dtype, from->rank, from->dims, from->strides, bt_ref_data(run, from));
    for (int64_t i = 0; i < count;) {
        int64_t left = block - i % block, n = left < BT_LANES ? left : BT_LANES;
        const void *lanes = bt_reader_read(&reader, i, n, &buffer);
        bt_lanes_store(lane, lanes, dtype, to + (i / block * pitch + i % block) * size, n);
        i += n;
    }
}

enum bertc_status bt_step_cat(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    (void)err;
    const struct bt_ref *out = &step->outs[0];
    int64_t dim = step->args[1].scalar.i, at = 0;
    for (int32_t i = 0; i < step->args[0].count; i++) {
        const struct bt_ref *part = &step->args[0].refs[i];
        int64_t offset = at * out->strides[dim];
        if (part->dtype == out->dtype) {
            copy_part(run, part->rank, part->dims, out, offset, part, part->strides, 0);
        } else {
            convert_blocks(run, part, out->dtype, (char *)bt_ref_data(run, out) + offset * size_of(out),
                           part->dims[dim] * out->strides[dim], out->dims[dim] * out->strides[dim]);
        }
        at += part->dims[dim];
    }
    return BERTC_OK;
}

enum bertc_status bt_step_pad(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    (void)err;
    const struct bt_ref *self = &step->args[0].ref, *out = &step->outs[0];
    struct bt_scalar value = {.type = BT_SCALAR_INT};
    if (step->args[2].kind == BT_ARG_EXPR) {
        value = step->args[2].scalar;
    }
    bt_move_fill(value, out->dtype, bt_ref_data(run, out), 1, bt_numel(out->rank, out->dims));

    int64_t dims[BT_MAX_RANK], to = 0, from = 0;
    memcpy(dims, self->dims, sizeof dims);
    for (int k = 0; k < step->args[1].count; k++) { /* pairs before, after; the last dim first */
        int d = self->rank - 1 - k / 2;
        int64_t amount = step->args[1].ints[k];
        bool before = k % 2 == 0;
        if (amount < 0) {
            dims[d] += amount;
            from -= before ? amount * self->strides[d] : 0;
        } else if (before) {
            to += amount * out->strides[d];
        }
        if (dims[d] <= 0) {
            return BERTC_OK;
        }
    }
    copy_part(run, self->rank, dims, out, to, self, self->strides, from);
    return BERTC_OK;
}

enum bertc_status bt_step_flip(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    (void)err;
    const struct bt_ref *self = &step->args[0].ref, *out = &step->outs[0];
    int64_t strides[BT_MAX_RANK], last = 0;
    memcpy(strides, self->strides, sizeof strides);
    if (bt_numel(self->rank, self->dims) == 0) {
        return BERTC_OK;
    }
    for (int32_t i = 0; i < step->args[1].count && self->rank > 0; i++) {
        int64_t d = step->args[1].ints[i];
        last += (self->dims[d] - 1) * strides[d];
        strides[d] = -strides[d];
    }
    copy_part(run, self->rank, self->dims, out, 0, self, strides, last);
    return BERTC_OK;
}

/* Each rolled dim is cut in two pieces that change places, so k rolled dims make 2^k blocks. */
enum bertc_status bt_step_roll(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    (void)err;
    const struct bt_ref *self = &step->args[0].ref, *out = &step->outs[0];
    const struct bt_step_arg *shifts = &step->args[1], *dims = &step->args[2];
    int rolled = self->rank > 0 && bt_numel(self->rank, self->dims) > 0 ? dims->count : 0;
    for (unsigned piece = 0; piece < 1u << rolled; piece++) {
        int64_t block[BT_MAX_RANK], to = 0, from = 0;
        memcpy(block, self->dims, sizeof block);
        for (int i = 0; i < rolled; i++) {
            int64_t d = dims->ints[i], size = self->dims[d], shift = shifts->ints[i] % size;
            shift += shift < 0 ? size : 0;
            bool wraps = piece >> i & 1;
            block[d] = wraps ? shift : size - shift;
            from += wraps ? (size - shift) * self->strides[d] : 0;
            to += wraps ? 0 : shift * out->strides[d];
        }
        copy_part(run, self->rank, block, out, to, self, self->strides, from);
    }
    return BERTC_OK;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

enum bertc_status bt_step_triangle(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    (void)err;
    const struct bt_ref *self = &step->args[0].ref, *out = &step->outs[0];
    bool lower = step->op == BT_OP_TRIL;
    int last = self->rank - 1;
    int64_t rows = self->dims[last - 1], cols = self->dims[last], size = size_of(self);
    int64_t diagonal = clamp(step->args[1].scalar.i, -rows, cols);
    const char *from = bt_ref_data(run, self);
    char *to = bt_ref_data(run, out);
    memset(to, 0, (size_t)(bt_numel(out->rank, out->dims) * size));
    struct bt_iter it;
    bt_iter_init(&it, last, self->dims);
    bt_iter_add(&it, self->strides);
    int64_t count = cols > 0 ? bt_iter_count(&it) : 0;
    for (int64_t i = 0; i < count; i++, bt_iter_next(&it)) {
        int64_t row = it.index[last - 1];
        int64_t begin = lower ? 0 : clamp(row + diagonal, 0, cols);
        int64_t end = lower ? clamp(row + diagonal + 1, 0, cols) : cols;
        bt_move_run((size_t)size, end - begin, to + (i * cols + begin) * size, 1,
                    from + (it.offset[0] + begin * self->strides[last]) * size, self->strides[last]);
    }
    return BERTC_OK;
}

/* slice_scatter, select_scatter: the part to be replaced is the view that slice or select would make of the result. */
enum bertc_status bt_step_scatter(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    const struct bt_ref *self = &step->args[0].ref, *src = &step->args[1].ref, *out = &step->outs[0];
    bool slice = step->op == BT_OP_SLICE_SCATTER;
    struct bt_step_arg view_args[5] = {{.kind = BT_ARG_VALUE, .ref = *out}};
    memcpy(view_args + 1, step->args + 2, (size_t)(step->nargs - 2) * sizeof *view_args);
    struct bt_ref part = *src;
    if (src->dtype != out->dtype ||
        bt_view_place(slice ? BT_OP_SLICE : BT_OP_SELECT, view_args, &part) != BT_VIEW_ALIAS) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "%s of a %s part into a %s tensor that it does not fit",
                            bt_ops[step->op].name, bt_dtype_name(src->dtype), bt_dtype_name(out->dtype));
    }
    copy_whole(run, out, self);
    copy_whole(run, &part, src);
    return BERTC_OK;
}
