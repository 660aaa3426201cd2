/* kernels.h: the table of compute kernels, filled for this CPU */
#ifndef BT_KERNEL_KERNELS_H
#define BT_KERNEL_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/panel.h"

/* Function types of kernels.inc. Rows are contiguous; y may be x; n may be 0; no alignment is assumed. */
typedef void bt_map_f32_fn(const float *x, float *y, size_t n);                          /* y = f(x) */
typedef void bt_zip_f32_fn(const float *a, const float *b, float *y, size_t n);          /* y = f(a, b) */
typedef void bt_zips_f32_fn(const float *a, float b, float *y, size_t n);                /* y = f(a, scalar) */
/* One row: y = (x - mean) / sqrt(var + eps) * w + b; w and b may be NULL (1 and 0). */
typedef void bt_layer_norm_f32_fn(const float *x, const float *w, const float *b, float eps, float *y, size_t n);
/* One row: y = softmax(x * scale + bias); bias may be NULL. A row of -inf gives NaN, as ATen's softmax does. */
typedef void bt_softmax_f32_fn(const float *x, const float *bias, float scale, float *y, size_t n);
/* The softmax before its division, of rows that begin `pitch` items apart, in place: x = exp(x + bias - the row's
 * maximum of x + bias), or 0 below 2^-100: products with less are soon denormal, which is slow. sums[i] is the sum of
 * row i. Appending items whose exp is 0 changes neither. */
typedef void bt_exp_sums_f32_fn(float *x, size_t pitch, size_t rows, const float *bias, double *sums, size_t n);
typedef float bt_reduce_f32_fn(const float *x, size_t n); /* sum, max; of n >= 1 values */

enum bt_isa { BT_ISA_REF, BT_ISA_AVX2, BT_ISA_AVX512, BT_ISA_NEON, BT_ISA_COUNT };

enum bt_kernel_id {
#define BT_KERNEL(id, type, isa, tolerance)
#define BT_KERNEL_OP(id, type) BT_KERNEL_##id,
#include "kernel/kernels.inc"
#undef BT_KERNEL
#undef BT_KERNEL_OP
    BT_KERNEL_COUNT
};

struct bt_kernels {
#define BT_KERNEL(id, type, isa, tolerance)
#define BT_KERNEL_OP(id, type) bt_##type##_fn *id;
#include "kernel/kernels.inc"
#undef BT_KERNEL
#undef BT_KERNEL_OP
    enum bt_isa isa[BT_KERNEL_COUNT];  /* which version each entry is */
    const struct bt_panel_gemm *panel; /* for packed weights; NULL: bt_gemm_f32 does all products */
};

enum bt_isa bt_cpu_isa(void); /* the best this CPU runs, lowered by BERTC_CPU (base/cpu.h) */
/* Reference kernels first, then overwritten by what `isa` allows: pass bt_cpu_isa(). */
void bt_kernels_init(struct bt_kernels *kernels, enum bt_isa isa);
const char *bt_isa_name(enum bt_isa isa);            /* "ref", "avx2", "avx512", "neon" */

/* C (M x N, row stride ldc) = A (M x K, lda) * B + beta * C. B is K x N (ldb), or N x K when trans_b. fp32, through
 * OpenBLAS (single-threaded), opened at the first call; a plain C loop when there is none or BERTC_GEMM=ref. */
void bt_gemm_f32(bool trans_b, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda, const float *B,
                 int64_t ldb, float beta, float *C, int64_t ldc);
/* "openblas 0.3.x (path)", "reference" */
const char *bt_gemm_provider(void);
/* A path to try before the system's names: the Python package passes the wheel's. Before the first call only. */
void bt_gemm_library(const char *path);

#endif
