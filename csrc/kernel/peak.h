/* peak.h: what a core can do at most: multiply-adds between registers, measured */
#ifndef BT_KERNEL_PEAK_H
#define BT_KERNEL_PEAK_H

#include "kernel/kernels.h"

/* FLOP/s of the calling thread with the widest multiply-adds of this instruction set: the best of many tries in about
 * so many seconds. */
double bt_peak_measure(enum bt_isa isa, double seconds);

/* Runs `count` rounds of multiply-adds on registers alone; returns their FLOPs and leaves in *sink what depends on all
 * of them. */
typedef double bt_peak_fn(float factor, float term, int64_t count, float *sink);
bt_peak_fn bt_peak_ref, bt_peak_avx2, bt_peak_avx512, bt_peak_neon;

#endif
