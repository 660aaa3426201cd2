/* math_tmpl.h: exp, erf, tanh and the activations built from them, on one vector
 * Included by rows_tmpl.h after a header of kernel/simd/. The coefficients are our own minimax fits (Lawson's
 * iteration in double precision); kernelcheck measures what they lead to. */
#include "kernel/gelu_table.h"
#include "kernel/simd/simd.h"

/* sum of c[i] x^i */
BT_INLINE vf math_polynomial(vf x, const float *c, int count)
{
    vf y = vf_set1(c[count - 1]);
    BT_UNROLL
    for (int i = count - 2; i >= 0; i--) {
        y = vf_fma(y, x, vf_set1(c[i]));
    }
    return y;
}

#define MATH_POLYNOMIAL(x, ...) \
    math_polynomial(x, (const float[]){__VA_ARGS__}, (int)(sizeof((const float[]){__VA_ARGS__}) / sizeof(float)))

/* x = n ln 2 + the result, which is within +-ln 2 / 2. ln 2 is split so that its error vanishes. */
BT_INLINE vf math_reduce(vf x, vf *n)
{
    *n = vf_round(vf_mul(x, vf_set1(1.44269504f)));
    return vf_fnma(*n, vf_set1(-1.9046543e-9f), vf_fnma(*n, vf_set1(0.693147182f), x));
}

/* exp(r) - 1 for |r| <= ln 2 / 2, with a relative error of 3e-9 before rounding. */
BT_INLINE vf math_expm1_reduced(vf r)
{
    vf p = MATH_POLYNOMIAL(r, 0.49999994f, 0.166665196f, 0.0416683927f, 0.00836878084f, 0.00138144649f);
    return vf_fma(vf_mul(r, r), p, r);
}

/* 0 where the result would be below 2^-125: masked keys make many such, and denormal numbers are a hundred times as
 * slow. The other limit is where it is inf. */
BT_INLINE vf math_exp(vf x)
{
    vf least = vf_set1(-86.6f);
    vf n, r = math_reduce(vf_max(least, vf_min(vf_set1(89.0f), x)), &n);
    vf e = vf_scale2(vf_add(vf_set1(1.0f), math_expm1_reduced(r)), n);
    return vf_select(vf_less(x, least), vf_set1(0.0f), e);
}

BT_INLINE vf math_exp_reduced(vf r)
{
    return MATH_POLYNOMIAL(r, 1.0f, 1.0f, 0.49999994f, 0.166665196f, 0.0416683927f, 0.00836878084f, 0.00138144649f);
}

#define MATH_WHOLE 12582912.0f /* 1.5 * 2^23: what is added to it becomes an integer */

/* exp of a softmax's exponent, x <= 0 or NaN, to 2 + |x| / 20 ULP; 0 where it would be below about 2^least, whatever
 * the steps before make of such an x. */
BT_INLINE vf math_exp_weight(vf x, float least)
{
    vf whole = vf_set1(MATH_WHOLE);
    vf n = vf_sub(vf_fma(x, vf_set1(1.44269504f), whole), whole);
    vf r = vf_fnma(n, vf_set1(0.693147182f), x);
    vf e = MATH_POLYNOMIAL(r, 1.0f, 1.0f, 0.499992311f, 0.166671157f, 0.0418903306f, 0.00831250101f);
    return vf_scale2_above(e, n, least);
}

/* The normal distribution's upper tail, erfc(a / sqrt 2) / 2, for 0 <= a <= MATH_TAIL_END: beyond, it would be below
 * 2^-125. Its product with exp(a^2 / 2) is a polynomial in (1 - 0.29 a) / (1 + 0.29 a), to 5e-8. The rounding error of
 * a^2 would count a^2 / 2 times in the result: a^2 is only ever part of an fma, and n has few enough bits for its
 * product with the first part of ln 2 to be exact. */
#define MATH_TAIL_END 12.9f
BT_INLINE vf math_normal_tail(vf a)
{
    vf whole = vf_set1(MATH_WHOLE);
    vf half = vf_mul(vf_set1(-0.5f), a);
    vf n = vf_sub(vf_fma(vf_mul(half, a), vf_set1(1.44269504f), whole), whole);
    vf r = vf_fnma(n, vf_set1(-2.12194442e-4f), vf_fma(half, a, vf_mul(n, vf_set1(-0.693359375f))));
    vf e = math_exp_reduced(r);
    vf q = vf_sub(vf_div(vf_set1(2.0f), vf_fma(vf_set1(0.29f), a, vf_set1(1.0f))), vf_set1(1.0f));
    vf p = MATH_POLYNOMIAL(q, 0.107745253f, 0.189013213f, 0.125816867f, 0.060315568f, 0.0177526567f, 0.000937978795f,
                           -0.00145409722f, -0.000280841865f, 0.000153380461f);
    return vf_scale2(vf_mul(p, e), n);
}

/* max(x, 0) - |x| tail(|x|); the first is written so that -inf gives NaN, as 0 times it would. */
BT_INLINE vf math_gelu_erf_wide(vf x)
{
    vf size = vf_abs(x), half = vf_set1(0.5f);
    vf near = vf_min(vf_set1(MATH_TAIL_END), size);
    return vf_fnma(near, math_normal_tail(near), vf_fma(half, size, vf_mul(half, x)));
}

#ifdef VF_TABLE
/* The tail by table is half the work: an addition of 1.5 * 2^23 leaves the entry's number in the lowest bits. It ends
 * where larger x are their own result; a vector with a smaller -x takes the other way too. */
BT_INLINE vf math_gelu_erf(vf x)
{
    const vf whole = vf_set1(MATH_WHOLE), near = vf_min(vf_set1(GELU_TABLE_END), vf_abs(x));
    const vf number = vf_fma(near, vf_set1(1.0f / GELU_PIECE), whole);
    const vf d = vf_fnma(vf_sub(number, whole), vf_set1(GELU_PIECE), near);
    vf tail = vf_table(gelu_table[GELU_POWERS - 1], number);
    BT_UNROLL
    for (int i = GELU_POWERS - 2; i >= 0; i--) {
        tail = vf_fma(tail, d, vf_table(gelu_table[i], number));
    }
    const vf y = vf_fnma(near, tail, vf_max(vf_set1(0.0f), x));
    const vm far = vf_less(x, vf_set1(-GELU_TABLE_END));
    return __builtin_expect(vf_any(far), 0) ? vf_select(far, math_gelu_erf_wide(x), y) : y;
}
#else
BT_INLINE vf math_gelu_erf(vf x)
{
    return math_gelu_erf_wide(x);
}
#endif

BT_INLINE vf math_erf(vf x)
{
    vf size = vf_abs(x);
    vf p = MATH_POLYNOMIAL(vf_mul(x, x), 1.12837911f, -0.376125723f, 0.112827174f, -0.0268025473f, 0.00505109457f,
                           -0.000631512725f);
    vf tail = math_normal_tail(vf_min(vf_set1(MATH_TAIL_END), vf_mul(vf_set1(1.41421356f), size)));
    vf large = vf_copysign(vf_fnma(vf_set1(2.0f), tail, vf_set1(1.0f)), x);
    return vf_select(vf_less(size, vf_set1(0.85f)), vf_mul(x, p), large);
}

/* e / (e + 2) with e = exp(2 |x|) - 1, which keeps its precision near 0. */
BT_INLINE vf math_tanh(vf x)
{
    vf twice = vf_min(vf_set1(20.0f), vf_add(vf_abs(x), vf_abs(x)));
    vf n, r = math_reduce(twice, &n);
    vf power = vf_scale2(vf_set1(1.0f), n);
    vf e = vf_fma(power, math_expm1_reduced(r), vf_sub(power, vf_set1(1.0f)));
    return vf_copysign(vf_div(e, vf_add(e, vf_set1(2.0f))), x);
}

BT_INLINE vf math_sigmoid(vf x)
{
    vf one = vf_set1(1.0f);
    vf e = math_exp(vf_sub(vf_set1(0.0f), vf_abs(x)));
    return vf_div(vf_select(vf_less(x, vf_set1(0.0f)), e, one), vf_add(one, e));
}

BT_INLINE vf math_silu(vf x)
{
    return vf_mul(x, math_sigmoid(x));
}

/* x sigmoid(2 u) is 0.5 x (1 + tanh(u)); u = sqrt(2 / pi) (x + 0.044715 x^3). */
BT_INLINE vf math_gelu_tanh(vf x)
{
    vf slope = vf_fma(vf_mul(x, x), vf_set1(0.0713548163f), vf_set1(1.59576912f));
    return vf_mul(x, math_sigmoid(vf_mul(x, slope)));
}

BT_INLINE vf math_relu(vf x)
{
    return vf_max(vf_set1(0.0f), x);
}
