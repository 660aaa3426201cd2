/* gemm.c: matrix product in plain C, blocked so that compilers vectorise it */
#include "kernel/gemm.h"

/* A block of C of ROWS x COLS stays in registers or L1 while a packed K_BLOCK x COLS panel of B goes by. */
enum { ROWS = 4, COLS = 16, K_BLOCK = 256 };

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* panel[k][j] = B(k, j), zero beyond `cols`. */
static void pack_panel(bool trans_b, int64_t depth, int64_t cols, const float *B, int64_t ldb, float (*panel)[COLS])
{
    for (int64_t k = 0; k < depth; k++) {
        for (int64_t j = 0; j < COLS; j++) {
            panel[k][j] = j >= cols ? 0.0f : trans_b ? B[j * ldb + k] : B[k * ldb + j];
        }
    }
}

/* C (rows x cols) += A (rows x depth) * panel. Rows beyond `rows` repeat the last one and are dropped. */
static void multiply_block(int64_t rows, int64_t cols, int64_t depth, const float *A, int64_t lda, float (*panel)[COLS],
                           float *C, int64_t ldc)
{
    const float *a[ROWS];
    float sums[ROWS][COLS] = {{0.0f}};
    for (int64_t i = 0; i < ROWS; i++) {
        a[i] = A + least(i, rows - 1) * lda;
    }
    for (int64_t k = 0; k < depth; k++) {
        for (int64_t i = 0; i < ROWS; i++) {
            for (int64_t j = 0; j < COLS; j++) {
                sums[i][j] += a[i][k] * panel[k][j];
            }
        }
    }
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < cols; j++) {
            C[i * ldc + j] += sums[i][j];
        }
    }
}

static void scale(int64_t M, int64_t N, float beta, float *C, int64_t ldc)
{
    for (int64_t i = 0; i < M; i++) {
        for (int64_t j = 0; j < N; j++) {
            C[i * ldc + j] = beta == 0.0f ? 0.0f : beta * C[i * ldc + j]; /* 0 overwrites even NaN, as in BLAS */
        }
    }
}

void bt_gemm_f32_ref(bool trans_b, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda, const float *B,
                     int64_t ldb, float beta, float *C, int64_t ldc)
{
    float panel[K_BLOCK][COLS];
    scale(M, N, beta, C, ldc);
    for (int64_t j = 0; j < N; j += COLS) {
        int64_t cols = least(COLS, N - j);
        for (int64_t k = 0; k < K; k += K_BLOCK) {
            int64_t depth = least(K_BLOCK, K - k);
            pack_panel(trans_b, depth, cols, trans_b ? B + j * ldb + k : B + k * ldb + j, ldb, panel);
            for (int64_t i = 0; i < M; i += ROWS) {
                multiply_block(least(ROWS, M - i), cols, depth, A + i * lda + k, lda, panel, C + i * ldc + j, ldc);
            }
        }
    }
}
