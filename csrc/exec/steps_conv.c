/* steps_conv.c: conv1d as a matrix product for each batch item and group */
#include <string.h>

#include "base/thread.h"
#include "exec/grain.h"
#include "exec/matrix.h"
#include "exec/move.h"
#include "exec/operand.h"
#include "exec/scratch.h"

struct conv {
    const struct bt_step *step;
    const struct bt_run *run;
    size_t size; /* of an item */
    int64_t length, filters, channels, taps, out_length; /* filters and channels of one group */
    int64_t stride, padding, dilation, groups;
    int64_t units, slices; /* batch items * groups, in so many slices */
    struct bt_packed weight;
    const char *input, *weight_data;
    char *out;
    bool direct; /* the input itself is the matrix of columns */
    bool trans;
    int64_t ld;
    bool slides;  /* one channel a group: taps slide over its padded row */
    int64_t room; /* items in scratch of each slice: the columns, channels * taps x out_length, or the padded row */
    char *scratch;
};

static void conv_plan(const struct bt_step *step, struct bt_cuts *cuts, struct conv *p)
{
    const struct bt_ref *input = &step->args[0].ref, *weight = &step->args[1].ref, *out = &step->outs[0];
    int64_t groups = step->args[6].scalar.i;
    *p = (struct conv){.step = step,
                       .size = bt_dtype_size(input->dtype),
                       .length = input->dims[2],
                       .filters = weight->dims[0] / groups,
                       .channels = weight->dims[1],
                       .taps = weight->dims[2],
                       .out_length = out->dims[2],
                       .stride = step->args[3].ints[0],
                       .padding = step->args[4].ints[0],
                       .dilation = step->args[5].ints[0],
                       .groups = groups,
                       .units = input->dims[0] * groups};
    p->slices = bt_slice_count(p->units);
    bt_packed_plan(&p->weight, weight, !bt_is_contiguous(3, weight->dims, weight->strides), 3, cuts);
    p->direct = p->taps == 1 && p->stride == 1 && p->padding == 0 &&
                bt_matrix_b_layout(p->channels, p->length, input->strides[1], input->strides[2], &p->trans, &p->ld);
    if (p->direct) {
        return;
    }
    p->slides = p->channels == 1 && p->stride == 1 && input->dtype == BT_F32;
    p->room = p->length + 2 * p->padding;
    if (!p->slides && !bt_mul_i64(p->channels * p->taps, p->out_length, &p->room)) {
        p->room = INT64_MAX;
    }
    p->scratch = bt_cut(cuts, p->room, p->slices * (int64_t)p->size);
    bt_matrix_b_layout(p->channels * p->taps, p->out_length, p->out_length, 1, &p->trans, &p->ld);
}

int64_t bt_scratch_conv1d(const struct bt_step *step, const struct bt_kernels *kernels)
{
    (void)kernels;
    struct bt_cuts cuts = {0};
    struct conv p;
    conv_plan(step, &cuts, &p);
    return cuts.used;
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return a > 0 ? (a - 1) / b + 1 : 0;
}

/* columns[c * taps + t][i] = input[c][i * stride + t * dilation - padding], zero outside of the input. */
static void load_columns(const struct conv *p, const char *input, char *columns)
{
    const int64_t *strides = p->step->args[0].ref.strides;
    const int64_t from_strides[2] = {strides[1], p->stride * strides[2]}, to_strides[2] = {p->taps * p->out_length, 1};
    int64_t size = (int64_t)p->size;
    if (p->padding > 0) {
        memset(columns, 0, (size_t)(p->channels * p->taps * p->out_length * size));
    }
    for (int64_t t = 0; t < p->taps; t++) {
        int64_t shift = t * p->dilation - p->padding;
        int64_t begin = divide_up(-shift, p->stride), end = divide_up(p->length - shift, p->stride);
        end = end < p->out_length ? end : p->out_length;
        if (begin >= end) {
            continue;
        }
        const int64_t dims[2] = {p->channels, end - begin};
        const char *from = input + (begin * p->stride + shift) * strides[2] * size;
        bt_move_items(1, p->size, 2, dims, (struct bt_side){columns + (t * p->out_length + begin) * size, to_strides},
                      (struct bt_side){(void *)(uintptr_t)from, from_strides});
    }
}

/* Products with one row of taps are too small for a GEMM. */
static void slide(const struct conv *p, const float *weight, const float *input, float *row, float *out)
{
    memset(row, 0, (size_t)p->room * sizeof *row);
    bt_move_run(sizeof *row, p->length, row + p->padding, 1, input, p->step->args[0].ref.strides[2]);
    memset(out, 0, (size_t)(p->filters * p->out_length) * sizeof *out);
    for (int64_t f = 0; f < p->filters; f++) {
        for (int64_t t = 0; t < p->taps; t++) {
            const float *from = row + t * p->dilation;
            for (int64_t i = 0; i < p->out_length; i++) {
                out[f * p->out_length + i] += weight[f * p->taps + t] * from[i];
            }
        }
    }
}

static void multiply(const struct conv *p, const void *weight, const void *columns, void *out)
{
    int64_t k = p->channels * p->taps, n = p->out_length;
    if (p->size == sizeof(float)) {
        struct bt_product product = {.m = p->filters,
                                     .n = n,
                                     .k = k,
                                     .a = weight,
                                     .lda = k,
                                     .b = columns,
                                     .ldb = p->ld,
                                     .trans_b = p->trans,
                                     .c = out,
                                     .ldc = n};
        bt_product_run(p->slices == 1 ? p->run->threads : 1, &product);
    } else {
        struct bt_product_f64 product = {.m = p->filters,
                                         .n = n,
                                         .k = k,
                                         .a = weight,
                                         .a_row = k,
                                         .a_col = 1,
                                         .b = columns,
                                         .b_row = p->trans ? 1 : p->ld,
                                         .b_col = p->trans ? p->ld : 1,
                                         .c = out,
                                         .ldc = n};
        bt_product_run_f64(p->slices == 1 ? p->run->threads : 1, &product);
    }
}

static void add_bias(const struct conv *p, int64_t first_filter, char *out)
{
    const struct bt_ref *bias = &p->step->args[2].ref;
    const void *data = bt_ref_data(p->run, bias);
    for (int64_t f = 0; f < p->filters; f++) {
        double value = bt_operand_real(bias->dtype, data, (first_filter + f) * bias->strides[0]);
        void *row = out + f * p->out_length * (int64_t)p->size;
        if (p->size == sizeof(float)) {
            p->run->kernels->adds_f32(row, (float)value, row, (size_t)p->out_length);
        } else {
            for (int64_t i = 0; i < p->out_length; i++) {
                ((double *)row)[i] += value;
            }
        }
    }
}

static void conv_slices(void *context, int64_t begin, int64_t end)
{
    const struct conv *p = context;
    const int64_t *strides = p->step->args[0].ref.strides;
    int64_t size = (int64_t)p->size, k = p->channels * p->taps;
    for (int64_t slice = begin; slice < end; slice++) {
        int64_t unit = bt_slice_begin(slice, p->slices, p->units);
        int64_t last = bt_slice_begin(slice + 1, p->slices, p->units);
        for (; unit < last; unit++) {
            int64_t item = unit / p->groups, group = unit % p->groups, filter = group * p->filters;
            const char *input = p->input + (item * strides[0] + group * p->channels * strides[1]) * size;
            char *out = p->out + unit * p->filters * p->out_length * size;
            const void *weight = p->weight_data + filter * k * size;
            if (p->direct) {
                multiply(p, weight, input, out);
            } else if (p->slides) {
                slide(p, weight, (const float *)input, (float *)p->scratch + slice * p->room, (float *)out);
            } else {
                char *columns = p->scratch + slice * p->room * size;
                load_columns(p, input, columns);
                multiply(p, weight, columns, out);
            }
            if (p->step->args[2].kind == BT_ARG_VALUE) {
                add_bias(p, filter, out);
            }
        }
    }
}

enum bertc_status bt_step_conv1d(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    enum bertc_status status = bt_operand_float(step, 3, err);
    if (status != BERTC_OK) {
        return status;
    }
    struct bt_cuts cuts = bt_cuts_of(step, run);
    struct conv p;
    conv_plan(step, &cuts, &p);
    if (p.units == 0 || p.out_length == 0) {
        return BERTC_OK;
    }
    p.run = run;
    p.input = bt_ref_data(run, &step->args[0].ref);
    p.weight_data = bt_packed_load(&p.weight, run);
    p.out = bt_ref_data(run, &step->outs[0]);
    int64_t cost = (p.filters + 8) * p.channels * p.taps * p.out_length * p.units;
    bt_parallel_for(run->threads, p.slices, bt_grain(cost / p.slices), conv_slices, &p);
    return BERTC_OK;
}
