/* neon.h: simd.h for AArch64 */
#ifndef BT_KERNEL_SIMD_NEON_H
#define BT_KERNEL_SIMD_NEON_H

#include <arm_neon.h>

#include "kernel/simd/simd.h"

typedef float32x4_t vf;
typedef uint32x4_t vm;

enum { VF_LANES = 4 };

BT_INLINE vf vf_set1(float s)
{
    return vdupq_n_f32(s);
}

BT_INLINE vf vf_load(const float *p)
{
    return vld1q_f32(p);
}

BT_INLINE void vf_store(float *p, vf v)
{
    vst1q_f32(p, v);
}

BT_INLINE vf vf_load_tail(const float *p, size_t n, float fill)
{
    float lanes[VF_LANES] = {fill, fill, fill, fill};
    for (size_t i = 0; i < n; i++) {
        lanes[i] = p[i];
    }
    return vld1q_f32(lanes);
}

BT_INLINE void vf_store_tail(float *p, vf v, size_t n)
{
    float lanes[VF_LANES];
    vst1q_f32(lanes, v);
    for (size_t i = 0; i < n; i++) {
        p[i] = lanes[i];
    }
}

BT_INLINE vf vf_add(vf a, vf b)
{
    return vaddq_f32(a, b);
}

BT_INLINE vf vf_sub(vf a, vf b)
{
    return vsubq_f32(a, b);
}

BT_INLINE vf vf_mul(vf a, vf b)
{
    return vmulq_f32(a, b);
}

BT_INLINE vf vf_div(vf a, vf b)
{
    return vdivq_f32(a, b);
}

BT_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}

BT_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return vfmsq_f32(c, a, b);
}

BT_INLINE vf vf_max(vf a, vf b)
{
    return vmaxq_f32(a, b);
}

BT_INLINE vf vf_min(vf a, vf b)
{
    return vminq_f32(a, b);
}

BT_INLINE vf vf_max_nan(vf a, vf b)
{
    return vmaxq_f32(a, b);
}

BT_INLINE vf vf_abs(vf a)
{
    return vabsq_f32(a);
}

BT_INLINE vf vf_copysign(vf size, vf sign)
{
    return vbslq_f32(vdupq_n_u32(0x80000000u), sign, size);
}

BT_INLINE vf vf_round(vf a)
{
    return vrndnq_f32(a);
}

/* 2^128 is not a float: half of the power, twice. */
BT_INLINE vf vf_scale2(vf a, vf n)
{
    int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(126));
    vf half = vf_mul(a, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
    return vf_add(half, half);
}

BT_INLINE vm vf_less(vf a, vf b)
{
    return vcltq_f32(a, b);
}

BT_INLINE vf vf_select(vm m, vf a, vf b)
{
    return vbslq_f32(m, a, b);
}

BT_INLINE vf vf_scale2_above(vf a, vf n, float least)
{
    return vf_select(vf_less(n, vf_set1(least)), vf_set1(0.0f), vf_scale2(a, n));
}

BT_INLINE vf vf_zip_low(vf a, vf b)
{
    return vzip1q_f32(a, b);
}

BT_INLINE vf vf_zip_high(vf a, vf b)
{
    return vzip2q_f32(a, b);
}

BT_INLINE float vf_sum_lanes(vf a)
{
    return vaddvq_f32(a);
}

BT_INLINE float vf_max_lanes(vf a)
{
    return vmaxvq_f32(a);
}

#endif
