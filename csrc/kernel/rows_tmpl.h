/* rows_tmpl.h: the row kernels, over the vectors of a header of kernel/simd/
 * A rows.c includes that header, defines BT_VERSION(name) as the kernel's name for its ISA, then includes this. Every
 * sum has one order for a given n, whatever the alignment. */
#include <math.h>

#include "kernel/math_tmpl.h"
#include "kernel/versions.h"

/* The vector at x of a row that has n more values; the lanes beyond it are `fill`. */
BT_INLINE vf load_part(const float *x, size_t n, float fill)
{
    return n >= VF_LANES ? vf_load(x) : vf_load_tail(x, n, fill);
}

BT_INLINE void store_part(float *y, vf v, size_t n)
{
    if (n >= VF_LANES) {
        vf_store(y, v);
    } else {
        vf_store_tail(y, v, n);
    }
}

BT_INLINE void map_row(vf (*f)(vf), const float *x, float *y, size_t n)
{
    size_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES) {
        vf_store(y + i, f(vf_load(x + i)));
    }
    if (i < n) {
        vf_store_tail(y + i, f(vf_load_tail(x + i, n - i, 0.0f)), n - i);
    }
}

BT_INLINE void zip_row(vf (*f)(vf, vf), const float *a, const float *b, float *y, size_t n)
{
    size_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES) {
        vf_store(y + i, f(vf_load(a + i), vf_load(b + i)));
    }
    if (i < n) {
        vf_store_tail(y + i, f(vf_load_tail(a + i, n - i, 0.0f), vf_load_tail(b + i, n - i, 1.0f)), n - i);
    }
}

BT_INLINE void zip_scalar(vf (*f)(vf, vf), const float *a, float b, float *y, size_t n)
{
    vf scalar = vf_set1(b);
    size_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES) {
        vf_store(y + i, f(vf_load(a + i), scalar));
    }
    if (i < n) {
        vf_store_tail(y + i, f(vf_load_tail(a + i, n - i, 0.0f), scalar), n - i);
    }
}

#define MAP(name, f)                                          \
    void BT_VERSION(name)(const float *x, float *y, size_t n) \
    {                                                         \
        map_row(f, x, y, n);                                  \
    }
#define ZIP(name, f)                                                          \
    void BT_VERSION(name)(const float *a, const float *b, float *y, size_t n) \
    {                                                                         \
        zip_row(f, a, b, y, n);                                               \
    }
#define ZIPS(name, f)                                                  \
    void BT_VERSION(name)(const float *a, float b, float *y, size_t n) \
    {                                                                  \
        zip_scalar(f, a, b, y, n);                                     \
    }

MAP(gelu_erf_f32, math_gelu_erf)
MAP(gelu_tanh_f32, math_gelu_tanh)
MAP(tanh_f32, math_tanh)
MAP(sigmoid_f32, math_sigmoid)
MAP(silu_f32, math_silu)
MAP(exp_f32, math_exp)
MAP(erf_f32, math_erf)
MAP(relu_f32, math_relu)
ZIP(add_f32, vf_add)
ZIP(sub_f32, vf_sub)
ZIP(mul_f32, vf_mul)
ZIP(div_f32, vf_div)
ZIPS(adds_f32, vf_add)
ZIPS(muls_f32, vf_mul)

/* Sums and maxima over a row go through ACCUMULATORS chains of vectors, for the latency of one addition. */
enum { ACCUMULATORS = 4, STRIDE = ACCUMULATORS * VF_LANES };
/* Sums add up this many values in float, and these sums in double: the rounding errors of long rows stay small. */
enum { BLOCK = 32 * VF_LANES };

BT_INLINE size_t block_size(size_t rest)
{
    return rest < BLOCK ? rest : BLOCK;
}

/* f(a chain's value, the next vector) over a row, until each chain has its part; `fill` must not change a chain. */
BT_INLINE vf fold_row(vf (*f)(vf, vf), const float *x, size_t n, float fill)
{
    vf chains[ACCUMULATORS] = {vf_set1(fill), vf_set1(fill), vf_set1(fill), vf_set1(fill)};
    size_t i = 0;
    for (; i + STRIDE <= n; i += STRIDE) {
        BT_UNROLL
        for (size_t j = 0; j < ACCUMULATORS; j++) {
            chains[j] = f(chains[j], vf_load(x + i + j * VF_LANES));
        }
    }
    BT_UNROLL
    for (size_t j = 0; j < ACCUMULATORS; j++) {
        if (i + j * VF_LANES < n) {
            chains[j] = f(chains[j], load_part(x + i + j * VF_LANES, n - i - j * VF_LANES, fill));
        }
    }
    return f(f(chains[0], chains[1]), f(chains[2], chains[3]));
}

float BT_VERSION(sum_f32)(const float *x, size_t n)
{
    double total = 0.0;
    for (size_t i = 0; i < n; i += BLOCK) {
        total += vf_sum_lanes(fold_row(vf_add, x + i, block_size(n - i), 0.0f));
    }
    return (float)total;
}

float BT_VERSION(max_f32)(const float *x, size_t n)
{
    float lanes[VF_LANES];
    vf_store(lanes, fold_row(vf_max_nan, x, n, -INFINITY));
    float max = lanes[0];
    for (size_t j = 1; j < VF_LANES; j++) {
        max = lanes[j] > max || isnan(lanes[j]) ? lanes[j] : max;
    }
    return max;
}

/* Sums of (x - shift) and of its square. */
struct moments {
    double first;
    double second;
};

BT_INLINE void add_moments(const float *x, float shift, size_t n, vf *first, vf *second)
{
    const vf d = vf_sub(load_part(x, n, shift), vf_set1(shift));
    *first = vf_add(*first, d);
    *second = vf_fma(d, d, *second);
}

/* Of at most BLOCK values. */
BT_INLINE struct moments block_moments(const float *x, float shift, size_t n)
{
    const vf zero = vf_set1(0.0f);
    vf first[ACCUMULATORS] = {zero, zero, zero, zero}, second[ACCUMULATORS] = {zero, zero, zero, zero};
    size_t i = 0;
    for (; i + STRIDE <= n; i += STRIDE) {
        BT_UNROLL
        for (size_t j = 0; j < ACCUMULATORS; j++) {
            add_moments(x + i + j * VF_LANES, shift, VF_LANES, &first[j], &second[j]);
        }
    }
    for (; i < n; i += VF_LANES) {
        add_moments(x + i, shift, n - i, &first[0], &second[0]);
    }
    return (struct moments){
        vf_sum_lanes(vf_add(vf_add(first[0], first[1]), vf_add(first[2], first[3]))),
        vf_sum_lanes(vf_add(vf_add(second[0], second[1]), vf_add(second[2], second[3]))),
    };
}

BT_INLINE struct moments row_moments(const float *x, float shift, size_t n)
{
    struct moments total = {0.0, 0.0};
    for (size_t i = 0; i < n; i += BLOCK) {
        struct moments block = block_moments(x + i, shift, block_size(n - i));
        total.first += block.first;
        total.second += block.second;
    }
    return total;
}

/* y = ((x - shift) * factor + term) * w + b */
BT_INLINE void scale_part(const float *x, const float *w, const float *b, float shift, vf factor, vf term, float *y,
                          size_t n)
{
    const vf v = vf_fma(vf_sub(load_part(x, n, shift), vf_set1(shift)), factor, term);
    const vf offset = b ? load_part(b, n, 0.0f) : vf_set1(0.0f);
    store_part(y, w ? vf_fma(v, load_part(w, n, 0.0f), offset) : vf_add(v, offset), n);
}

/* In two passes: deviations from nearly the mean keep large means from drowning small variances. */
void BT_VERSION(layer_norm_f32)(const float *x, const float *w, const float *b, float eps, float *y, size_t n)
{
    const float shift = BT_VERSION(sum_f32)(x, n) / (float)n;
    const struct moments moments = row_moments(x, shift, n);
    const double rest = moments.first / (double)n;
    double var = moments.second / (double)n - rest * rest;
    var = var < 0.0 ? 0.0 : var; /* by rounding; NaN stays NaN */
    const double rstd = 1.0 / sqrt(var + (double)eps);
    const vf factor = vf_set1((float)rstd), term = vf_set1((float)(-rest * rstd));
    size_t i = 0;
    for (; w && b && i + VF_LANES <= n; i += VF_LANES) {
        scale_part(x + i, w + i, b + i, shift, factor, term, y + i, VF_LANES);
    }
    for (; i < n; i += VF_LANES) {
        scale_part(x + i, w ? w + i : NULL, b ? b + i : NULL, shift, factor, term, y + i, n - i);
    }
}

/* x = x + bias, where there is one; returns the largest, without NaN. */
BT_INLINE float max_exponent(float *x, const float *bias, size_t n)
{
    if (!bias) {
        return vf_max_lanes(fold_row(vf_max, x, n, -INFINITY));
    }
    vf max = vf_set1(-INFINITY);
    for (size_t i = 0; i < n; i += VF_LANES) {
        const vf v = vf_add(load_part(x + i, n - i, -INFINITY), load_part(bias + i, n - i, 0.0f));
        max = vf_max(max, v);
        store_part(x + i, v, n - i);
    }
    return vf_max_lanes(max);
}

BT_INLINE vf weigh(float *x, vf max, float least, size_t n)
{
    const vf e = math_exp_weight(vf_sub(load_part(x, n, -INFINITY), max), least);
    store_part(x, e, n);
    return e;
}

/* x = exp(x - max), 0 below 2^least; returns the sum. See the reference about rounding. Whole vectors have a loop of
 * their own: it takes most of the time. */
BT_INLINE double exp_sum(float *x, float row_max, float least, size_t n)
{
    const vf max = vf_set1(row_max);
    const size_t whole = n / VF_LANES * VF_LANES;
    double total = 0.0;
    for (size_t begin = 0; begin < n; begin += BLOCK) {
        const size_t end = begin + BLOCK < whole ? begin + BLOCK : whole;
        vf sum = vf_set1(0.0f);
        for (size_t i = begin; i < end; i += VF_LANES) {
            sum = vf_add(sum, weigh(x + i, max, least, VF_LANES));
        }
        if (end < n && end < begin + BLOCK) {
            sum = vf_add(sum, weigh(x + end, max, least, n - end));
        }
        total += vf_sum_lanes(sum);
    }
    return total;
}

/* The maxima of a few rows come first: the wait for one hides behind the others. */
void BT_VERSION(exp_sums_f32)(float *x, size_t pitch, size_t rows, const float *bias, double *sums, size_t n)
{
    enum { FEW = 16 };
    for (size_t begin = 0; begin < rows; begin += FEW) {
        const size_t end = rows - begin < FEW ? rows : begin + FEW;
        float max[FEW];
        for (size_t i = begin; i < end; i++) {
            max[i - begin] = max_exponent(x + i * pitch, bias, n);
        }
        for (size_t i = begin; i < end; i++) {
            sums[i] = exp_sum(x + i * pitch, max[i - begin], -100.0f, n);
        }
    }
}

void BT_VERSION(softmax_f32)(const float *x, const float *bias, float scale, float *y, size_t n)
{
    zip_scalar(vf_mul, x, scale, y, n);
    const float max = max_exponent(y, bias, n);
    zip_scalar(vf_mul, y, (float)(1.0 / exp_sum(y, max, -124.5f, n)), y, n);
}
