/* steps_norm.c: layer_norm, rms_norm, softmax and log_softmax: a row at a time */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/thread.h"
#include "exec/grain.h"
#include "exec/iter.h"
#include "exec/matrix.h"
#include "exec/move.h"
#include "exec/operand.h"
#include "exec/scratch.h"

enum { X, Y };

/* layer_norm and rms_norm, over the last `inner` dims */
struct norm {
    const struct bt_kernels *kernels;
    bool rms, is_f32;
    int inner;
    int64_t n; /* items of a row */
    double eps;
    const void *x, *w, *b;
    void *y;
    bool packed_rows; /* x's rows are not contiguous */
    const struct bt_ref *x_ref, *y_ref;
    struct bt_iter rows; /* operands X, Y */
};

static void rms_row_f32(const struct norm *p, const float *x, float *y)
{
    enum { CHUNK = 256 };
    float squares[CHUNK];
    double sum = 0.0;
    for (int64_t i = 0; i < p->n; i += CHUNK) {
        size_t n = (size_t)(p->n - i < CHUNK ? p->n - i : CHUNK);
        p->kernels->mul_f32(x + i, x + i, squares, n);
        sum += p->kernels->sum_f32(squares, n);
    }
    p->kernels->muls_f32(x, (float)(1.0 / sqrt(sum / (double)p->n + p->eps)), y, (size_t)p->n);
    if (p->w) {
        p->kernels->mul_f32(y, p->w, y, (size_t)p->n);
    }
}

static void norm_row_f64(const struct norm *p, const double *x, double *y)
{
    const double *w = p->w, *b = p->b;
    double mean = 0.0, square = 0.0;
    if (!p->rms) {
        for (int64_t i = 0; i < p->n; i++) {
            mean += x[i];
        }
        mean /= (double)p->n;
    }
    for (int64_t i = 0; i < p->n; i++) {
        square += (x[i] - mean) * (x[i] - mean);
    }
    double scale = 1.0 / sqrt(square / (double)p->n + p->eps);
    for (int64_t i = 0; i < p->n; i++) {
        y[i] = (x[i] - mean) * scale * (w ? w[i] : 1.0) + (b ? b[i] : 0.0);
    }
}

static void norm_range(void *context, int64_t begin, int64_t end)
{
    const struct norm *p = context;
    int64_t size = p->is_f32 ? sizeof(float) : sizeof(double);
    int outer = p->x_ref->rank - p->inner;
    struct bt_iter it = p->rows;
    bt_iter_seek(&it, begin);
    for (int64_t i = begin; i < end; i++, bt_iter_next(&it)) {
        const void *x = (const char *)p->x + it.offset[X] * size;
        void *y = (char *)p->y + it.offset[Y] * size;
        if (p->packed_rows) {
            bt_move_items(1, (size_t)size, p->inner, p->x_ref->dims + outer,
                          (struct bt_side){y, p->y_ref->strides + outer},
                          (struct bt_side){(void *)(uintptr_t)x, p->x_ref->strides + outer});
            x = y;
        }
        if (!p->is_f32) {
            norm_row_f64(p, x, y);
        } else if (p->rms) {
            rms_row_f32(p, x, y);
        } else {
            p->kernels->layer_norm_f32(x, p->w, p->b, (float)p->eps, y, (size_t)p->n);
        }
    }
}

static void affine_plan(const struct bt_step_arg *arg, struct bt_packed *packed, struct bt_cuts *cuts)
{
    const struct bt_ref *ref = &arg->ref;
    if (arg->kind == BT_ARG_VALUE) {
        bt_packed_plan(packed, ref, !bt_is_contiguous(ref->rank, ref->dims, ref->strides), ref->rank, cuts);
    }
}

static const void *affine_load(const struct bt_step_arg *arg, const struct bt_packed *packed, const struct bt_run *run)
{
    return arg->kind == BT_ARG_VALUE ? bt_packed_load(packed, run) : NULL;
}

int64_t bt_scratch_layer_norm(const struct bt_step *step, const struct bt_kernels *kernels)
{
    (void)kernels;
    struct bt_cuts cuts = {0};
    struct bt_packed packed;
    affine_plan(&step->args[2], &packed, &cuts);
    if (step->op == BT_OP_LAYER_NORM) {
        affine_plan(&step->args[3], &packed, &cuts);
    }
    return cuts.used;
}

enum bertc_status bt_step_layer_norm(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    enum bertc_status status = bt_operand_float(step, step->nargs, err);
    if (status != BERTC_OK) {
        return status;
    }
    const struct bt_ref *x = &step->args[0].ref, *y = &step->outs[0];
    bool rms = step->op == BT_OP_RMS_NORM;
    const struct bt_step_arg *weight = &step->args[2], *bias = rms ? NULL : &step->args[3];
    const struct bt_step_arg *eps = &step->args[rms ? 3 : 4];
    int inner = (int)step->args[1].scalar.i, outer = x->rank - inner;
    struct norm p = {.kernels = run->kernels,
                     .rms = rms,
                     .is_f32 = y->dtype == BT_F32,
                     .inner = inner,
                     .n = bt_numel(inner, x->dims + outer),
                     .x = bt_ref_data(run, x),
                     .y = bt_ref_data(run, y),
                     .x_ref = x,
                     .y_ref = y};
    if (p.n == 0) {
        return BERTC_OK;
    }
    if (eps->kind == BT_ARG_NONE) {
        p.eps = rms ? (double)FLT_EPSILON : 1e-5; /* ATen's defaults */
    } else {
        p.eps = eps->scalar.type == BT_SCALAR_FLOAT ? eps->scalar.f : (double)eps->scalar.i;
    }
    p.packed_rows = !bt_is_contiguous(inner, x->dims + outer, x->strides + outer);
    struct bt_cuts cuts = bt_cuts_of(step, run);
    struct bt_packed packed;
    affine_plan(weight, &packed, &cuts);
    p.w = affine_load(weight, &packed, run);
    if (bias) {
        affine_plan(bias, &packed, &cuts);
        p.b = affine_load(bias, &packed, run);
    }
    bt_iter_init(&p.rows, outer, x->dims);
    bt_iter_add(&p.rows, x->strides);
    bt_iter_add(&p.rows, y->strides);
    /* A row waits for its sums, and a thread has the rows it has just made in its cache: worth sharing early. */
    bt_parallel_for(run->threads, bt_iter_count(&p.rows), bt_grain(p.n * 40), norm_range, &p);
    return BERTC_OK;
}

struct softmax {
    const struct bt_kernels *kernels;
    bool log, fast; /* fast: contiguous float32 rows */
    enum bt_dtype x_dtype, y_dtype;
    int64_t n, x_stride, y_stride;
    const char *x;
    char *y;
    struct bt_iter rows; /* operands X, Y */
};

static void log_softmax_row(const struct softmax *p, const float *x, float *y)
{
    size_t n = (size_t)p->n;
    float max = p->kernels->max_f32(x, n);
    p->kernels->adds_f32(x, -max, y, n);
    p->kernels->exp_f32(y, y, n);
    float log_sum = logf(p->kernels->sum_f32(y, n));
    p->kernels->adds_f32(x, -max, y, n);
    p->kernels->adds_f32(y, -log_sum, y, n);
}

static void softmax_strided(const struct softmax *p, const void *x, void *y)
{
    double max = -INFINITY, sum = 0.0;
    for (int64_t i = 0; i < p->n; i++) {
        double value = bt_operand_real(p->x_dtype, x, i * p->x_stride);
        max = value > max || isnan(value) ? value : max;
    }
    for (int64_t i = 0; i < p->n; i++) {
        sum += exp(bt_operand_real(p->x_dtype, x, i * p->x_stride) - max);
    }
    double log_sum = log(sum);
    for (int64_t i = 0; i < p->n; i++) {
        double value = bt_operand_real(p->x_dtype, x, i * p->x_stride) - max;
        bt_operand_set_real(p->y_dtype, y, i * p->y_stride, p->log ? value - log_sum : exp(value) / sum);
    }
}

static void softmax_range(void *context, int64_t begin, int64_t end)
{
    const struct softmax *p = context;
    int64_t x_size = (int64_t)bt_dtype_size(p->x_dtype), y_size = (int64_t)bt_dtype_size(p->y_dtype);
    struct bt_iter it = p->rows;
    bt_iter_seek(&it, begin);
    for (int64_t i = begin; i < end; i++, bt_iter_next(&it)) {
        const void *x = p->x + it.offset[X] * x_size;
        void *y = p->y + it.offset[Y] * y_size;
        if (!p->fast) {
            softmax_strided(p, x, y);
        } else if (p->log) {
            log_softmax_row(p, x, y);
        } else {
            p->kernels->softmax_f32(x, NULL, 1.0f, y, (size_t)p->n);
        }
    }
}

static bool is_real(enum bt_dtype dtype)
{
    return dtype == BT_F32 || dtype == BT_F64;
}

enum bertc_status bt_step_softmax(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    const struct bt_ref *x = &step->args[0].ref, *y = &step->outs[0];
    if (!is_real(x->dtype) || !is_real(y->dtype)) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "%s from %s to %s is not implemented", bt_ops[step->op].name,
                            bt_dtype_name(x->dtype), bt_dtype_name(y->dtype));
    }
    int dim = (int)step->args[1].scalar.i;
    bool scalar = x->rank == 0;
    struct softmax p = {.kernels = run->kernels,
                        .log = step->op == BT_OP_LOG_SOFTMAX,
                        .x_dtype = x->dtype,
                        .y_dtype = y->dtype,
                        .n = scalar ? 1 : x->dims[dim],
                        .x_stride = scalar ? 1 : x->strides[dim],
                        .y_stride = scalar ? 1 : y->strides[dim],
                        .x = bt_ref_data(run, x),
                        .y = bt_ref_data(run, y)};
    if (p.n == 0) {
        return BERTC_OK;
    }
    p.fast = x->dtype == BT_F32 && y->dtype == BT_F32 && (p.n == 1 || (p.x_stride == 1 && p.y_stride == 1));
    bt_iter_init(&p.rows, x->rank, x->dims);
    if (!scalar) {
        p.rows.dims[dim] = 1;
    }
    bt_iter_add(&p.rows, x->strides);
    bt_iter_add(&p.rows, y->strides);
    bt_parallel_for(run->threads, bt_iter_count(&p.rows), bt_grain(p.n * 16), softmax_range, &p);
    return BERTC_OK;
}
