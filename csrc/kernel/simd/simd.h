/* simd.h: the tiny vector language in which row kernels are written once
 *
 * Each of avx2.h, avx512.h and neon.h defines the types vf (VF_LANES floats) and vm (a lane mask), and
 *   vf_set1(s)  vf_load(p)  vf_store(p, v)           no alignment is assumed
 *   vf_load_tail(p, n, fill)  vf_store_tail(p, v, n) the first n < VF_LANES lanes; the others get `fill`
 *   vf_add  vf_sub  vf_mul  vf_div  vf_abs
 *   vf_fma(a, b, c) = a * b + c    vf_fnma(a, b, c) = c - a * b
 *   vf_max(a, b)  vf_min(a, b)     NaN when b is NaN; when only a is NaN, either
 *   vf_max_nan(a, b)               NaN when either is
 *   vf_copysign(size, sign)
 *   vf_round(a)                    to the nearest integer
 *   vf_scale2(a, n) = a * 2^n      integral -125 <= n <= 128, 0.5 <= |a| < 2 or a = NaN
 *   vf_scale2_above(a, n, least)   the same, but 0 where n < least, and n = NaN gives NaN
 *   vf_less(a, b)  vf_select(m, a, b) = m ? a : b
 *   vf_zip_low(a, b) = a0 b0 a1 b1 ...  vf_zip_high(a, b): the same of the upper halves
 *   vf_sum_lanes(a)  vf_max_lanes(a)   to one float, in a fixed order
 * avx512.h alone, where it says so by VF_TABLE:
 *   vf_table(table, number)        the entry of VF_TABLE floats that the lowest bits of `number` say
 *   vf_any(m) */
#ifndef BT_KERNEL_SIMD_SIMD_H
#define BT_KERNEL_SIMD_SIMD_H

#include <stddef.h>
#include <stdint.h>

/* Kernels pass these functions to loops by pointer: everything must end up in the loop. */
#define BT_INLINE static inline __attribute__((always_inline))
/* For loops over a constant number of vectors or coefficients, which belong in registers. */
#define BT_UNROLL _Pragma("GCC unroll 16")

#endif
