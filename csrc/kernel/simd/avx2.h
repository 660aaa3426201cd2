/* avx2.h: simd.h for AVX2 and FMA */
#ifndef BT_KERNEL_SIMD_AVX2_H
#define BT_KERNEL_SIMD_AVX2_H

#include <immintrin.h>

#include "kernel/simd/simd.h"

typedef __m256 vf;
typedef __m256 vm;

enum { VF_LANES = 8 };

BT_INLINE vf vf_set1(float s)
{
    return _mm256_set1_ps(s);
}

BT_INLINE vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

BT_INLINE void vf_store(float *p, vf v)
{
    _mm256_storeu_ps(p, v);
}

BT_INLINE __m256i vf_tail_mask(size_t n)
{
    static const int32_t ones_then_zeros[2 * VF_LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(ones_then_zeros + VF_LANES - n));
}

BT_INLINE vf vf_load_tail(const float *p, size_t n, float fill)
{
    __m256i mask = vf_tail_mask(n);
    return _mm256_blendv_ps(vf_set1(fill), _mm256_maskload_ps(p, mask), _mm256_castsi256_ps(mask));
}

BT_INLINE void vf_store_tail(float *p, vf v, size_t n)
{
    _mm256_maskstore_ps(p, vf_tail_mask(n), v);
}

BT_INLINE vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}

BT_INLINE vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}

BT_INLINE vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}

BT_INLINE vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}

BT_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

BT_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

BT_INLINE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

BT_INLINE vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}

BT_INLINE vf vf_max_nan(vf a, vf b)
{
    return _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}

BT_INLINE vf vf_abs(vf a)
{
    return _mm256_andnot_ps(vf_set1(-0.0f), a);
}

BT_INLINE vf vf_copysign(vf size, vf sign)
{
    return _mm256_or_ps(vf_abs(size), _mm256_and_ps(vf_set1(-0.0f), sign));
}

BT_INLINE vf vf_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* 2^128 is not a float: half of the power, twice. */
BT_INLINE vf vf_scale2(vf a, vf n)
{
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(126));
    vf half = vf_mul(a, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
    return vf_add(half, half);
}

BT_INLINE vm vf_less(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}

BT_INLINE vf vf_select(vm m, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, m);
}

BT_INLINE vf vf_scale2_above(vf a, vf n, float least)
{
    return vf_select(vf_less(n, vf_set1(least)), vf_set1(0.0f), vf_scale2(a, n));
}

BT_INLINE vf vf_zip_low(vf a, vf b)
{
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
}

BT_INLINE vf vf_zip_high(vf a, vf b)
{
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
}

BT_INLINE float vf_sum_lanes(vf a)
{
    __m128 v = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)));
}

BT_INLINE float vf_max_lanes(vf a)
{
    __m128 v = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    v = _mm_max_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_max_ss(v, _mm_movehdup_ps(v)));
}

#endif
