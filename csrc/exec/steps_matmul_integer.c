/* steps_matmul_integer.c: products of bytes with exact int32 sums
 * They run on the float GEMM, a few columns of self at a time: bytes less a zero point are below 2^8, so that their
 * products are exact, and sums of BLOCK of them, which stay below 2^24. */
#include "base/thread.h"
#include "exec/grain.h"
#include "exec/iter.h"
#include "exec/matrix.h"
#include "exec/scratch.h"

enum { BLOCK = 256 };

struct operands {
    struct bt_packed self, other;
    int64_t m, n, k;
    const void *a, *b, *zero_a, *zero_b; /* zero points may be NULL */
    enum bt_dtype type_a, type_b;
    int64_t zero_b_step; /* 0: one for all columns */
    int64_t from, count; /* the present columns of self */
    float *wide_a, *wide_b, *part;
    int32_t *out;
};

static void plan(const struct bt_step *step, struct bt_cuts *cuts, struct operands *p)
{
    const struct bt_ref *self = &step->args[0].ref, *other = &step->args[1].ref;
    p->k = other->dims[0];
    p->n = other->dims[1];
    p->m = bt_numel(self->rank - 1, self->dims);
    const int64_t block = p->k < BLOCK ? p->k : BLOCK;
    bt_packed_plan(&p->self, self, !bt_is_contiguous(self->rank, self->dims, self->strides), self->rank, cuts);
    bt_packed_plan(&p->other, other, !bt_is_contiguous(2, other->dims, other->strides), 2, cuts);
    p->wide_a = bt_cut(cuts, p->m * block, sizeof *p->wide_a);
    p->wide_b = bt_cut(cuts, block * p->n, sizeof *p->wide_b);
    p->part = bt_cut(cuts, p->m * p->n, sizeof *p->part);
}

int64_t bt_scratch_matmul_integer(const struct bt_step *step, const struct bt_kernels *kernels)
{
    (void)kernels;
    struct bt_cuts cuts = {0};
    struct operands p;
    plan(step, &cuts, &p);
    return cuts.used;
}

static int byte_at(enum bt_dtype dtype, const void *data, int64_t i)
{
    return !data ? 0 : dtype == BT_I8 ? ((const int8_t *)data)[i] : ((const uint8_t *)data)[i];
}

static void widen_self(void *context, int64_t begin, int64_t end)
{
    const struct operands *p = context;
    const int zero = byte_at(p->type_a, p->zero_a, 0);
    for (int64_t i = begin; i < end; i++) {
        for (int64_t l = 0; l < p->count; l++) {
            p->wide_a[i * p->count + l] = (float)(byte_at(p->type_a, p->a, i * p->k + p->from + l) - zero);
        }
    }
}

static void widen_other(void *context, int64_t begin, int64_t end)
{
    const struct operands *p = context;
    for (int64_t l = begin; l < end; l++) {
        for (int64_t j = 0; j < p->n; j++) {
            const int zero = byte_at(p->type_b, p->zero_b, j * p->zero_b_step);
            p->wide_b[l * p->n + j] = (float)(byte_at(p->type_b, p->b, (p->from + l) * p->n + j) - zero);
        }
    }
}

static void add_part(void *context, int64_t begin, int64_t end)
{
    const struct operands *p = context;
    for (int64_t i = begin * p->n; i < end * p->n; i++) {
        const int32_t part = (int32_t)p->part[i];
        p->out[i] = p->from == 0 ? part : (int32_t)((uint32_t)p->out[i] + (uint32_t)part);
    }
}

static void multiply_block(struct operands *p, int threads)
{
    bt_parallel_for(threads, p->m, bt_grain(p->count * 8), widen_self, p);
    bt_parallel_for(threads, p->count, bt_grain(p->n * 8), widen_other, p);
    const struct bt_product product = {.m = p->m,
                                       .n = p->n,
                                       .k = p->count,
                                       .a = p->wide_a,
                                       .lda = p->count,
                                       .b = p->wide_b,
                                       .ldb = p->n,
                                       .c = p->part,
                                       .ldc = p->n};
    bt_product_run(threads, &product);
    bt_parallel_for(threads, p->m, bt_grain(p->n * 8), add_part, p);
}

/* A zero point's address. */
static const void *zero_point(const struct bt_step_arg *arg, const struct bt_run *run)
{
    return arg->kind == BT_ARG_VALUE ? bt_ref_data(run, &arg->ref) : NULL;
}

enum bertc_status bt_step_matmul_integer(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    (void)err;
    const struct bt_ref *zero_b = &step->args[3].ref;
    struct bt_cuts cuts = bt_cuts_of(step, run);
    struct operands p = {.type_a = step->args[0].ref.dtype, .type_b = step->args[1].ref.dtype};
    plan(step, &cuts, &p);
    if (p.m == 0 || p.n == 0) {
        return BERTC_OK;
    }
    p.a = bt_packed_load(&p.self, run);
    p.b = bt_packed_load(&p.other, run);
    p.zero_a = zero_point(&step->args[2], run);
    p.zero_b = zero_point(&step->args[3], run);
    p.zero_b_step = p.zero_b && zero_b->rank == 1 && zero_b->dims[0] > 1 ? zero_b->strides[0] : 0;
    p.out = bt_ref_data(run, &step->outs[0]);
    for (int64_t i = 0; p.k == 0 && i < p.m * p.n; i++) {
        p.out[i] = 0;
    }
    for (p.from = 0; p.from < p.k; p.from += p.count) {
        p.count = p.k - p.from < BLOCK ? p.k - p.from : BLOCK;
        multiply_block(&p, run->threads);
    }
    return BERTC_OK;
}
