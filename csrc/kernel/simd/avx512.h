/* avx512.h: simd.h for AVX-512 F, BW, DQ and VL */
#ifndef BT_KERNEL_SIMD_AVX512_H
#define BT_KERNEL_SIMD_AVX512_H

#include <immintrin.h>

#include "kernel/simd/simd.h"

typedef __m512 vf;
typedef __mmask16 vm;

enum { VF_LANES = 16 };

BT_INLINE vf vf_set1(float s)
{
    return _mm512_set1_ps(s);
}

BT_INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

BT_INLINE void vf_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}

BT_INLINE vm vf_tail_mask(size_t n)
{
    return (vm)((1u << n) - 1u);
}

BT_INLINE vf vf_load_tail(const float *p, size_t n, float fill)
{
    return _mm512_mask_loadu_ps(vf_set1(fill), vf_tail_mask(n), p);
}

BT_INLINE void vf_store_tail(float *p, vf v, size_t n)
{
    _mm512_mask_storeu_ps(p, vf_tail_mask(n), v);
}

BT_INLINE vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}

BT_INLINE vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}

BT_INLINE vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

BT_INLINE vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}

BT_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

BT_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

BT_INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

BT_INLINE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

BT_INLINE vf vf_max_nan(vf a, vf b)
{
    return _mm512_mask_mov_ps(_mm512_max_ps(a, b), _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), a);
}

BT_INLINE vf vf_abs(vf a)
{
    return _mm512_abs_ps(a);
}

BT_INLINE vf vf_copysign(vf size, vf sign)
{
    return _mm512_or_ps(vf_abs(size), _mm512_and_ps(vf_set1(-0.0f), sign));
}

BT_INLINE vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

BT_INLINE vf vf_scale2(vf a, vf n)
{
    return _mm512_scalef_ps(a, n);
}

/* The comparison's mask is part of the scaling. */
BT_INLINE vf vf_scale2_above(vf a, vf n, float least)
{
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(n, vf_set1(least), _CMP_NLT_UQ), a, n);
}

BT_INLINE vm vf_less(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

BT_INLINE vf vf_select(vm m, vf a, vf b)
{
    return _mm512_mask_blend_ps(m, b, a);
}

BT_INLINE int vf_any(vm m)
{
    return m != 0;
}

#define VF_TABLE 32
BT_INLINE vf vf_table(const float *table, vf number)
{
    return _mm512_permutex2var_ps(vf_load(table), _mm512_castps_si512(number), vf_load(table + 16));
}

BT_INLINE vf vf_zip_low(vf a, vf b)
{
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), b);
}

BT_INLINE vf vf_zip_high(vf a, vf b)
{
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
                                  b);
}

BT_INLINE float vf_sum_lanes(vf a)
{
    return _mm512_reduce_add_ps(a);
}

BT_INLINE float vf_max_lanes(vf a)
{
    return _mm512_reduce_max_ps(a);
}

#endif
