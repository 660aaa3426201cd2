/* gemm.h: what the providers of bt_gemm_f32 share */
#ifndef BT_KERNEL_GEMM_H
#define BT_KERNEL_GEMM_H

#include "kernel/kernels.h"

/* cblas_sgemm with 32-bit integers. */
typedef void bt_sgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                         const float *b, int ldb, float beta, float *c, int ldc);

/* Opens the first usable OpenBLAS of `path` (may be NULL), BERTC_OPENBLAS and the system's, and makes it
 * single-threaded. NULL: there is none. `name` receives what bt_gemm_provider says. */
bt_sgemm_fn *bt_openblas_open(const char *path, char *name, size_t size);

/* The plain C loop, for any sizes: bt_gemm_f32's arguments. */
void bt_gemm_f32_ref(bool trans_b, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda, const float *B,
                     int64_t ldb, float beta, float *C, int64_t ldc);

#endif
