/* gemm.c: matrix product by the provider that is there */
#include "kernel/gemm.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 }; /* cblas.h's */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bt_sgemm_fn *sgemm; /* NULL: the plain loop */
static char provider[4096] = "reference";
static char library[4096];

static void open_provider(void)
{
    const char *choice = getenv("BERTC_GEMM");
    if (!choice || strcmp(choice, "ref") != 0) {
        sgemm = bt_openblas_open(library, provider, sizeof provider);
    }
}

void bt_gemm_library(const char *path)
{
    snprintf(library, sizeof library, "%s", path);
}

const char *bt_gemm_provider(void)
{
    pthread_once(&once, open_provider);
    return provider;
}

void bt_gemm_f32(bool trans_b, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda, const float *B,
                 int64_t ldb, float beta, float *C, int64_t ldc)
{
    pthread_once(&once, open_provider);
    const int64_t sizes[] = {M, N, K, lda, ldb, ldc};
    bool fits = K > 0; /* BLAS implementations differ in what they do to C for K = 0 */
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fits = fits && sizes[i] <= INT_MAX;
    }
    if (M <= 0 || N <= 0) {
        return;
    }
    if (sgemm && fits) {
        sgemm(ROW_MAJOR, NO_TRANS, trans_b ? TRANS : NO_TRANS, (int)M, (int)N, (int)K, 1.0f, A, (int)lda, B, (int)ldb,
              beta, C, (int)ldc);
    } else {
        bt_gemm_f32_ref(trans_b, M, N, K, A, lda, B, ldb, beta, C, ldc);
    }
}
