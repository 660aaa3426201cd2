/* steps_matmul.c: linear and matmul: batches of matrix products */
#include <stdatomic.h>
#include <string.h>

#include "base/thread.h"
#include "exec/grain.h"
#include "exec/iter.h"
#include "exec/matrix.h"
#include "exec/operand.h"
#include "exec/weights.h"

enum { A, B };
enum { PACK_COST = 8 }; /* of an item of a weight, in multiply-adds, when it comes from memory */

/* Both ops: out = a b (+ bias), where linear's b is the weight with its last two dims swapped. */
struct multiply {
    struct bt_ref refs[2]; /* a and b with at least two dims */
    struct bt_packed a, b, bias, residual;
    bool has_bias, has_residual;
    enum bt_activation activation;
    int64_t m, n, k, lda, ldb;
    bool trans_b;
    struct bt_iter batch; /* operands A, B */
};

/* A vector becomes a row on the left, a column on the right. */
static struct bt_ref as_matrix(const struct bt_ref *ref, int side)
{
    struct bt_ref matrix = *ref;
    if (ref->rank == 1) {
        int vector = side == A ? 1 : 0;
        matrix.rank = 2;
        matrix.dims[vector] = ref->dims[0];
        matrix.strides[vector] = ref->strides[0];
        matrix.dims[1 - vector] = 1;
        matrix.strides[1 - vector] = 0;
    }
    return matrix;
}

static void swap_last_dims(struct bt_ref *ref)
{
    int last = ref->rank - 1;
    int64_t dim = ref->dims[last], stride = ref->strides[last];
    ref->dims[last] = ref->dims[last - 1];
    ref->strides[last] = ref->strides[last - 1];
    ref->dims[last - 1] = dim;
    ref->strides[last - 1] = stride;
}

/* Where b is the same for the whole batch and the rows of a follow each other evenly, the batch is one tall matrix. */
static void fold_batch(struct multiply *p)
{
    struct bt_iter rows = p->batch;
    if (rows.rank == BT_MAX_RANK) {
        return;
    }
    for (int d = 0; d < p->batch.rank; d++) {
        if (p->batch.strides[B][d] != 0 && p->batch.dims[d] != 1) {
            return;
        }
    }
    rows.dims[rows.rank] = p->m;
    rows.strides[A][rows.rank] = p->lda;
    rows.strides[B][rows.rank++] = 0;
    int64_t m = bt_iter_count(&rows);
    bt_iter_merge(&rows);
    int64_t lda = rows.rank > 1 ? 0 : bt_matrix_ld(m, p->k, rows.rank ? rows.strides[A][0] : 0, 1);
    if (m == 0 || lda == 0) {
        return;
    }
    p->m = m;
    p->lda = lda;
    p->batch.rank = 0;
}

static void multiply_plan(const struct bt_step *step, struct bt_cuts *cuts, struct multiply *p)
{
    bool linear = step->op == BT_OP_LINEAR;
    struct bt_ref *a = &p->refs[A], *b = &p->refs[B];
    const struct bt_ref *out = &step->outs[0];
    *a = as_matrix(&step->args[0].ref, A);
    *b = as_matrix(&step->args[1].ref, B);
    if (linear && step->args[1].ref.rank > 1) {
        swap_last_dims(b);
    }
    p->m = a->dims[a->rank - 2];
    p->k = a->dims[a->rank - 1];
    p->n = b->dims[b->rank - 1];

    int64_t a_row = a->strides[a->rank - 2], a_col = a->strides[a->rank - 1];
    bt_packed_plan(&p->a, a, bt_matrix_ld(p->m, p->k, a_row, a_col) == 0, 2, cuts);
    p->lda = bt_matrix_ld(p->m, p->k, p->a.strides[a->rank - 2], p->a.strides[a->rank - 1]);
    int64_t b_row = b->strides[b->rank - 2], b_col = b->strides[b->rank - 1];
    bool fits = bt_matrix_b_layout(p->k, p->n, b_row, b_col, &p->trans_b, &p->ldb);
    bt_packed_plan(&p->b, b, !fits && !step->panels, 2, cuts);
    if (!fits) {
        bt_matrix_b_layout(p->k, p->n, p->n, 1, &p->trans_b, &p->ldb);
    }
    p->has_bias = linear && step->args[2].kind == BT_ARG_VALUE;
    if (p->has_bias) {
        bt_packed_plan(&p->bias, &step->args[2].ref, p->n > 1 && step->args[2].ref.strides[0] != 1, 1, cuts);
    }
    p->has_residual = linear && step->args[3].kind == BT_ARG_VALUE;
    if (p->has_residual) {
        const struct bt_ref *residual = &step->args[3].ref;
        bool copy = !bt_is_contiguous(residual->rank, residual->dims, residual->strides);
        bt_packed_plan(&p->residual, residual, copy, residual->rank, cuts);
    }
    p->activation = linear ? step->args[4].activation : BT_ACT_NONE;

    int64_t strides[BT_MAX_RANK];
    int batch_rank = out->rank - (step->args[0].ref.rank > 1) - (step->args[1].ref.rank > 1);
    bt_iter_init(&p->batch, batch_rank, out->dims);
    bt_iter_broadcast(a->rank - 2, a->dims, p->a.strides, batch_rank, out->dims, strides);
    bt_iter_add(&p->batch, strides);
    bt_iter_broadcast(b->rank - 2, b->dims, p->b.strides, batch_rank, out->dims, strides);
    bt_iter_add(&p->batch, strides);
    fold_batch(p);
}

static int64_t multiply_scratch(const struct bt_step *step)
{
    struct bt_cuts cuts = {0};
    struct multiply p;
    multiply_plan(step, &cuts, &p);
    return cuts.used;
}

struct batch {
    const struct multiply *multiply;
    struct bt_product first;
};

static void multiply_range(void *context, int64_t begin, int64_t end)
{
    const struct batch *batch = context;
    struct bt_iter it = batch->multiply->batch;
    bt_iter_seek(&it, begin);
    for (int64_t i = begin; i < end; i++, bt_iter_next(&it)) {
        struct bt_product product = batch->first;
        product.a += it.offset[A];
        product.b += it.offset[B];
        const int64_t offset = i * product.m * product.ldc;
        product.c += offset;
        product.residual = product.residual ? product.residual + offset : NULL;
        bt_product_one(&product);
    }
}

struct unpacked {
    const struct batch *batch;
    const struct bt_panels *panels;
    int64_t count;
    atomic_bool failed; /* out of memory */
};

/* With a weight that is not packed: panel by panel in the same room, from which the cache serves it. */
static void multiply_panels(void *context, int64_t begin, int64_t end)
{
    struct unpacked *unpacked = context;
    struct batch batch = *unpacked->batch;
    const struct bt_product whole = batch.first;
    const int64_t nr = whole.kernels->panel->nr;
    float *room = bt_alloc((size_t)bt_panels_room(unpacked->panels), sizeof *room);
    bool good = room;
    for (int64_t n = begin * nr; n < whole.n && n < end * nr && good; n += nr) {
        good = bt_panels_one(unpacked->panels, n, room);
        batch.first.b = room;
        batch.first.n = whole.n - n < nr ? whole.n - n : nr;
        batch.first.c = whole.c + n;
        batch.first.bias = whole.bias ? whole.bias + n : NULL;
        batch.first.residual = whole.residual ? whole.residual + n : NULL;
        if (good) {
            multiply_range(&batch, 0, unpacked->count);
        }
    }
    bt_free(room);
    if (!good) {
        atomic_store(&unpacked->failed, true);
    }
}

static enum bertc_status multiply_f32(const struct multiply *p, const struct bt_step *step, const struct bt_run *run,
                                      const void *bias, float *out, struct bertc_error *err)
{
    const int64_t count = bt_iter_count(&p->batch);
    const float *panels = step->panels ? bt_panels_all(step->panels, count * p->m) : NULL;
    struct batch batch = {p,
                          {.m = p->m,
                           .n = p->n,
                           .k = p->k,
                           .a = bt_packed_load(&p->a, run),
                           .lda = p->lda,
                           .b = step->panels ? panels : bt_packed_load(&p->b, run),
                           .ldb = p->ldb,
                           .trans_b = p->trans_b,
                           .panels = step->panels != NULL,
                           .bias = bias,
                           .residual = p->has_residual ? bt_packed_load(&p->residual, run) : NULL,
                           .activation = p->activation,
                           .kernels = run->kernels,
                           .c = out,
                           .ldc = p->n}};
    if (step->panels && !panels) {
        struct unpacked unpacked = {.batch = &batch, .panels = step->panels, .count = count};
        const int64_t nr = run->kernels->panel->nr, cost = nr * p->k * (count * p->m + PACK_COST);
        bt_parallel_for(run->threads, (p->n + nr - 1) / nr, bt_grain(cost), multiply_panels, &unpacked);
        return unpacked.failed ? bt_error_memory(err) : BERTC_OK;
    }
    if (count == 1) {
        bt_product_run(run->threads, &batch.first);
    } else {
        bt_parallel_for(run->threads, count, bt_grain(p->m * p->n * p->k), multiply_range, &batch);
    }
    return BERTC_OK;
}

static void multiply_f64(const struct multiply *p, const struct bt_run *run, const void *bias, double *out)
{
    const double *a = bt_packed_load(&p->a, run), *b = bt_packed_load(&p->b, run);
    const double *residual = p->has_residual ? bt_packed_load(&p->residual, run) : NULL;
    struct bt_iter it = p->batch;
    int64_t count = bt_iter_count(&it);
    for (int64_t i = 0; i < count; i++, bt_iter_next(&it)) {
        struct bt_product_f64 product = {
            .m = p->m,
            .n = p->n,
            .k = p->k,
            .a = a + it.offset[A],
            .a_row = p->lda,
            .a_col = 1,
            .b = b + it.offset[B],
            .b_row = p->trans_b ? 1 : p->ldb,
            .b_col = p->trans_b ? p->ldb : 1,
            .bias = bias,
            .residual = residual ? residual + i * p->m * p->n : NULL,
            .activation = p->activation,
            .c = out + i * p->m * p->n,
            .ldc = p->n,
        };
        bt_product_run_f64(run->threads, &product);
    }
}

static enum bertc_status multiply(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    enum bertc_status status = bt_operand_float(step, step->nargs, err);
    if (status != BERTC_OK) {
        return status;
    }
    struct bt_cuts cuts = bt_cuts_of(step, run);
    struct multiply p;
    multiply_plan(step, &cuts, &p);
    const void *bias = p.has_bias ? bt_packed_load(&p.bias, run) : NULL;
    void *out = bt_ref_data(run, &step->outs[0]);
    if (step->outs[0].dtype == BT_F32) {
        return multiply_f32(&p, step, run, bias, out, err);
    }
    multiply_f64(&p, run, bias, out);
    return BERTC_OK;
}

int64_t bt_scratch_linear(const struct bt_step *step, const struct bt_kernels *kernels)
{
    (void)kernels;
    return multiply_scratch(step);
}

int64_t bt_scratch_matmul(const struct bt_step *step, const struct bt_kernels *kernels)
{
    (void)kernels;
    return multiply_scratch(step);
}

enum bertc_status bt_step_linear(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    return multiply(step, run, err);
}

enum bertc_status bt_step_matmul(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    return multiply(step, run, err);
}
