/* steps_quant.c: linear_dynamic: int8 weights, activations quantised anew in each call
 * The products run on the float GEMM: bytes times bytes are exact there, and so are their sums up to 2^24; what lies
 * beyond is rounded as finely as by the conversion to float that follows anyway. */
#include <math.h>

#include "base/thread.h"
#include "exec/grain.h"
#include "exec/iter.h"
#include "exec/matrix.h"
#include "exec/operand.h"
#include "exec/scratch.h"

/* real = (stored - zero_point) * scale */
struct affine {
    float scale;
    float zero_point;
};

struct dynamic {
    const struct bt_kernels *kernels;
    struct bt_packed x, weight, bias;
    int64_t m, n, k;
    const float *x_data, *bias_data;
    const int8_t *weight_data;
    float *x_levels, *weight_levels; /* stored - zero_point, m x k and n x k */
    float *out;
    struct affine x_affine, weight_affine;
};

static void dynamic_plan(const struct bt_step *step, struct bt_cuts *cuts, struct dynamic *p)
{
    const struct bt_ref *x = &step->args[0].ref, *weight = &step->args[1].ref, *bias = &step->args[2].ref;
    p->n = weight->dims[0];
    p->k = weight->dims[1];
    p->m = bt_numel(x->rank - 1, x->dims);
    bt_packed_plan(&p->x, x, !bt_is_contiguous(x->rank, x->dims, x->strides), x->rank, cuts);
    bt_packed_plan(&p->weight, weight, !bt_is_contiguous(2, weight->dims, weight->strides), 2, cuts);
    if (step->args[2].kind == BT_ARG_VALUE) {
        bt_packed_plan(&p->bias, bias, !bt_is_contiguous(1, bias->dims, bias->strides), 1, cuts);
    }
    p->x_levels = bt_cut(cuts, p->m * p->k, sizeof *p->x_levels);
    p->weight_levels = bt_cut(cuts, p->n * p->k, sizeof *p->weight_levels);
}

int64_t bt_scratch_linear_dynamic(const struct bt_step *step, const struct bt_kernels *kernels)
{
    (void)kernels;
    struct bt_cuts cuts = {0};
    struct dynamic p;
    dynamic_plan(step, &cuts, &p);
    return cuts.used;
}

/* Scale and zero point as PyTorch chooses them for a tensor with values from min to max, quantised to 0 .. levels. */
static struct affine choose_affine(float min, float max, int levels)
{
    const float smallest = 6.1e-5f; /* PyTorch's least scale, near float16's */
    min = min < 0.0f ? min : 0.0f;
    max = max > 0.0f ? max : 0.0f;
    double scale = ((double)max - min) / levels;
    if ((float)scale == 0.0f || isinf(1.0f / (float)scale)) {
        scale = 0.1;
    }
    if (scale < smallest) {
        float stretch = smallest / (float)scale;
        scale = smallest;
        if (min == 0.0f) {
            max = smallest * (float)levels;
        } else if (max == 0.0f) {
            min = -smallest * (float)levels;
        } else {
            min *= stretch;
            max *= stretch;
        }
    }
    /* Zero point from either end: the one whose terms are smaller is more precise. */
    double from_min = -min / scale, from_max = levels - max / scale;
    double zero_point = -fabs(min / scale) < levels - fabs(max / scale) ? from_min : from_max;
    zero_point = zero_point > 0.0 ? zero_point : 0.0;
    return (struct affine){(float)scale, (float)nearbyint(zero_point < levels ? zero_point : levels)};
}

/* A byte as PyTorch's kernel computes it, min(max(round(x / scale + zero_point), 0), 255), less the zero point. */
static void quantize_range(void *context, int64_t begin, int64_t end)
{
    const float round = 0x1.8p23f; /* adding and subtracting it rounds to the nearest even integer */
    const struct dynamic *p = context;
    const float inverse = 1.0f / p->x_affine.scale, zero_point = p->x_affine.zero_point;
    for (int64_t i = begin * p->k; i < end * p->k; i++) {
        float level = (float)((double)p->x_data[i] * inverse + zero_point);
        level = level > 0.0f ? level : 0.0f;
        level = level < 255.0f ? level : 255.0f;
        p->x_levels[i] = (level + round) - round - zero_point;
    }
}

static void widen_range(void *context, int64_t begin, int64_t end)
{
    const struct dynamic *p = context;
    for (int64_t i = begin * p->k; i < end * p->k; i++) {
        p->weight_levels[i] = (float)p->weight_data[i] - p->weight_affine.zero_point;
    }
}

static void rescale_range(void *context, int64_t begin, int64_t end)
{
    const struct dynamic *p = context;
    float scale = p->x_affine.scale * p->weight_affine.scale;
    for (int64_t i = begin; i < end; i++) {
        float *row = p->out + i * p->n;
        p->kernels->muls_f32(row, scale, row, (size_t)p->n);
        if (p->bias_data) {
            p->kernels->add_f32(row, p->bias_data, row, (size_t)p->n);
        }
    }
}

static void find_range(const struct dynamic *p, float *min, float *max)
{
    *min = *max = p->x_data[0];
    for (int64_t i = 1; i < p->m * p->k; i++) {
        *min = p->x_data[i] < *min ? p->x_data[i] : *min;
        *max = p->x_data[i] > *max ? p->x_data[i] : *max;
    }
}

enum bertc_status bt_step_linear_dynamic(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    const struct bt_step_arg *weight = &step->args[1], *reduce_range = &step->args[3];
    bool has_bias = step->args[2].kind == BT_ARG_VALUE;
    if (step->args[0].ref.dtype != BT_F32 || weight->ref.dtype != BT_I8 ||
        (has_bias && step->args[2].ref.dtype != BT_F32)) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "linear_dynamic of a %s operand is not implemented",
                            bt_dtype_name(step->args[0].ref.dtype));
    }
    struct bt_cuts cuts = bt_cuts_of(step, run);
    struct dynamic p = {.kernels = run->kernels};
    dynamic_plan(step, &cuts, &p);
    if (p.m == 0 || p.n == 0) {
        return BERTC_OK;
    }
    p.x_data = bt_packed_load(&p.x, run);
    p.weight_data = bt_packed_load(&p.weight, run);
    p.bias_data = has_bias ? bt_packed_load(&p.bias, run) : NULL;
    p.out = bt_ref_data(run, &step->outs[0]);
    float min = 0.0f, max = 0.0f;
    if (p.k > 0) {
        find_range(&p, &min, &max);
    }
    bool reduced = reduce_range->kind == BT_ARG_EXPR && reduce_range->scalar.i != 0;
    p.x_affine = choose_affine(min, max, reduced ? 127 : 255);
    p.weight_affine = (struct affine){(float)weight->quant_scale, (float)weight->quant_zero_point};
    bt_parallel_for(run->threads, p.m, bt_grain(p.k * 8), quantize_range, &p);
    bt_parallel_for(run->threads, p.n, bt_grain(p.k * 8), widen_range, &p);
    struct bt_product product = {.m = p.m,
                                 .n = p.n,
                                 .k = p.k,
                                 .a = p.x_levels,
                                 .lda = p.k,
                                 .b = p.weight_levels,
                                 .ldb = p.k,
                                 .trans_b = true,
                                 .c = p.out,
                                 .ldc = p.n};
    bt_product_run(run->threads, &product);
    bt_parallel_for(run->threads, p.m, bt_grain(p.n * 8), rescale_range, &p);
    return BERTC_OK;
}
