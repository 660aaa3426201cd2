/* matrix.c: matrix operands in the layouts a GEMM takes, and products split over threads */
#include "exec/matrix.h"

#include <math.h>
#include <string.h>

#include "base/thread.h"
#include "exec/grain.h"
#include "exec/move.h"

enum {
    ROW_UNIT = 32,    /* multiples of a microkernel's tile, so that a split moves no tile boundary */
    COL_UNIT = 64,    /* and of a packed panel */
    ENOUGH_ROWS = 48, /* measured on models 384 and 768 wide: with fewer, reading all panels costs more than it saves */
};

int64_t bt_matrix_ld(int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride)
{
    if (cols > 1 && col_stride != 1) {
        return 0;
    }
    if (rows <= 1) {
        return cols > 0 ? cols : 1;
    }
    return row_stride >= cols ? row_stride : 0;
}

bool bt_matrix_b_layout(int64_t k, int64_t n, int64_t k_stride, int64_t n_stride, bool *trans, int64_t *ld)
{
    *trans = false;
    *ld = bt_matrix_ld(k, n, k_stride, n_stride);
    if (*ld == 0) {
        *trans = true;
        *ld = bt_matrix_ld(n, k, n_stride, k_stride);
    }
    return *ld > 0;
}

void bt_packed_plan(struct bt_packed *p, const struct bt_ref *ref, bool copy, int inner, struct bt_cuts *cuts)
{
    *p = (struct bt_packed){.ref = ref, .copied = copy};
    memcpy(p->strides, ref->strides, sizeof p->strides);
    if (!copy) {
        return;
    }
    int64_t items = 1;
    for (int d = ref->rank - 1; d >= 0; d--) {
        if (d < ref->rank - inner && ref->strides[d] == 0) {
            p->strides[d] = 0;
            continue;
        }
        p->strides[d] = items;
        if (!bt_mul_i64(items, ref->dims[d], &items)) {
            items = INT64_MAX;
        }
    }
    p->copy = bt_cut(cuts, items, (int64_t)bt_dtype_size(ref->dtype));
}

const void *bt_packed_load(const struct bt_packed *p, const struct bt_run *run)
{
    void *data = bt_ref_data(run, p->ref);
    if (!p->copied) {
        return data;
    }
    int64_t dims[BT_MAX_RANK];
    for (int d = 0; d < p->ref->rank; d++) {
        dims[d] = p->strides[d] == 0 && p->ref->dims[d] > 0 ? 1 : p->ref->dims[d];
    }
    bt_move_items(run->threads, bt_dtype_size(p->ref->dtype), p->ref->rank, dims, (struct bt_side){p->copy, p->strides},
                  (struct bt_side){data, p->ref->strides});
    return p->copy;
}

/* What the microkernels do on their tiles, after a product by the other GEMMs. */
static void finish_rows(const struct bt_product *p)
{
    if (p->activation == BT_ACT_NONE && !p->residual) {
        return;
    }
    bt_map_f32_fn *const maps[BT_ACT_COUNT] = {
        [BT_ACT_GELU_ERF] = p->kernels->gelu_erf_f32, [BT_ACT_GELU_TANH] = p->kernels->gelu_tanh_f32,
        [BT_ACT_TANH] = p->kernels->tanh_f32,         [BT_ACT_RELU] = p->kernels->relu_f32,
        [BT_ACT_SILU] = p->kernels->silu_f32,         [BT_ACT_SIGMOID] = p->kernels->sigmoid_f32,
    };
    for (int64_t i = 0; i < p->m; i++) {
        float *c = p->c + i * p->ldc;
        if (p->activation != BT_ACT_NONE) {
            maps[p->activation](c, c, (size_t)p->n);
        }
        if (p->residual) {
            p->kernels->add_f32(c, p->residual + i * p->ldc, c, (size_t)p->n);
        }
    }
}

void bt_product_one(const struct bt_product *p)
{
    if (p->m == 0 || p->n == 0) {
        return;
    }
    if (p->panels) {
        p->kernels->panel->run(&(struct bt_panel_args){.M = p->m,
                                                       .N = p->n,
                                                       .K = p->k,
                                                       .A = p->a,
                                                       .lda = p->lda,
                                                       .B = p->b,
                                                       .bias = p->bias,
                                                       .residual = p->residual,
                                                       .ldr = p->ldc,
                                                       .C = p->c,
                                                       .ldc = p->ldc,
                                                       .activation = p->activation});
        return;
    }
    if (p->bias) {
        for (int64_t i = 0; i < p->m; i++) {
            memcpy(p->c + i * p->ldc, p->bias, (size_t)p->n * sizeof *p->bias);
        }
    }
    bt_gemm_f32(p->trans_b, p->m, p->n, p->k, p->a, p->lda, p->b, p->ldb, p->bias ? 1.0f : 0.0f, p->c, p->ldc);
    finish_rows(p);
}

static void product_rows(void *context, int64_t begin, int64_t end)
{
    struct bt_product p = *(const struct bt_product *)context;
    p.a += begin * p.lda;
    p.c += begin * p.ldc;
    p.residual = p.residual ? p.residual + begin * p.ldc : NULL;
    p.m = end - begin;
    bt_product_one(&p);
}

static void product_cols(void *context, int64_t begin, int64_t end)
{
    struct bt_product p = *(const struct bt_product *)context;
    p.b += begin * (p.panels ? p.k : p.trans_b ? p.ldb : 1);
    p.c += begin;
    p.residual = p.residual ? p.residual + begin : NULL;
    p.bias = p.bias ? p.bias + begin : NULL;
    p.n = end - begin;
    bt_product_one(&p);
}

/* One piece a thread, of whole units: every piece reads all of the other operand. */
static void split(int threads, int64_t count, int64_t unit, int64_t cost, bt_parallel_fn *fn, struct bt_product *p)
{
    const int64_t units = (count + unit - 1) / unit, grain = bt_grain(cost * unit);
    const int64_t share = threads > 1 ? (units + threads - 1) / threads : units;
    bt_parallel_for(threads, count, (share > grain ? share : grain) * unit, fn, p);
}

/* Rows are split while each thread has enough of them for what it reads of b: a layer's rows then stay with the thread
 * that made them, in its cache. */
void bt_product_run(int threads, const struct bt_product *p)
{
    struct bt_product shared = *p;
    if (p->m >= p->n || (p->panels && p->m >= (int64_t)ENOUGH_ROWS * threads)) {
        split(threads, p->m, p->panels ? 1 : ROW_UNIT, p->n * p->k, product_rows, &shared);
    } else {
        split(threads, p->n, COL_UNIT, p->m * p->k, product_cols, &shared);
    }
}

static double activate_f64(enum bt_activation activation, double x)
{
    switch (activation) {
    case BT_ACT_GELU_ERF: return 0.5 * x * erfc(-x * sqrt(0.5));
    case BT_ACT_GELU_TANH: return 0.5 * x * (1.0 + tanh(sqrt(M_2_PI) * (x + 0.044715 * x * x * x)));
    case BT_ACT_TANH: return tanh(x);
    case BT_ACT_RELU: return x < 0.0 ? 0.0 : x;
    case BT_ACT_SILU: return x / (1.0 + exp(-x));
    case BT_ACT_SIGMOID: return 1.0 / (1.0 + exp(-x));
    default: return x;
    }
}

static void product_rows_f64(void *context, int64_t begin, int64_t end)
{
    const struct bt_product_f64 *p = context;
    for (int64_t i = begin; i < end; i++) {
        for (int64_t j = 0; j < p->n; j++) {
            const double *a = p->a + i * p->a_row, *b = p->b + j * p->b_col;
            double sum = p->bias ? p->bias[j] : 0.0;
            for (int64_t l = 0; l < p->k; l++) {
                sum += a[l * p->a_col] * b[l * p->b_row];
            }
            sum = activate_f64(p->activation, sum);
            p->c[i * p->ldc + j] = sum + (p->residual ? p->residual[i * p->ldc + j] : 0.0);
        }
    }
}

void bt_product_run_f64(int threads, const struct bt_product_f64 *p)
{
    struct bt_product_f64 shared = *p;
    bt_parallel_for(threads, p->m, bt_grain(p->n * p->k), product_rows_f64, &shared);
}
