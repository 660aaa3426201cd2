/* test_gemm.c: matrix products of small integers, which are exact in any order of summation */
#include <math.h>
#include <stdlib.h>

#include "base/thread.h"
#include "check.h"
#include "kernel/gemm.h"

typedef void gemm_fn(bool trans_b, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda, const float *B,
                     int64_t ldb, float beta, float *C, int64_t ldc);

struct product {
    bool trans_b;
    int64_t M, N, K;
    int64_t pad; /* between rows */
    float beta;
};

enum { MAX_SIZE = 700 * 340, UNTOUCHED = 77 };

static float A[MAX_SIZE], B[MAX_SIZE], C[MAX_SIZE];

static float element(int64_t i, int64_t j)
{
    return (float)((i * 7 + j * 3) % 11 - 5);
}

static void fill(float *x, int64_t rows, int64_t cols, int64_t stride)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < stride; j++) {
            x[i * stride + j] = j < cols ? element(i, j) : (float)UNTOUCHED;
        }
    }
}

static float expected(const struct product *p, int64_t i, int64_t j)
{
    float sum = p->beta == 0.0f ? 0.0f : p->beta * element(i, j);
    for (int64_t k = 0; k < p->K; k++) {
        sum += element(i, k) * (p->trans_b ? element(j, k) : element(k, j));
    }
    return sum;
}

static bool is_right(gemm_fn *gemm, const struct product *p)
{
    int64_t lda = p->K + p->pad, ldb = (p->trans_b ? p->K : p->N) + p->pad, ldc = p->N + p->pad;
    fill(A, p->M, p->K, lda);
    fill(B, p->trans_b ? p->N : p->K, p->trans_b ? p->K : p->N, ldb);
    fill(C, p->M, p->N, ldc);
    gemm(p->trans_b, p->M, p->N, p->K, A, lda, B, ldb, p->beta, C, ldc);
    for (int64_t i = 0; i < p->M; i++) {
        for (int64_t j = 0; j < ldc; j++) {
            if (C[i * ldc + j] != (j < p->N ? expected(p, i, j) : (float)UNTOUCHED)) {
                return false;
            }
        }
    }
    return true;
}

static void check_sizes(gemm_fn *gemm)
{
    static const int64_t sizes[][3] = {{1, 1, 1},     {1, 33, 17},  {5, 1, 300},  {7, 16, 0},
                                       {3, 31, 64},   {4, 16, 256}, {64, 64, 64}, {17, 100, 257},
                                       {30, 70, 600}, {0, 5, 5},    {5, 0, 5}};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (int variant = 0; variant < 12; variant++) {
            const float betas[] = {0.0f, 1.0f, -2.0f};
            struct product p = {variant & 1, sizes[s][0],         sizes[s][1],
                                sizes[s][2], variant & 2 ? 3 : 1, betas[variant / 4]};
            CHECK(is_right(gemm, &p));
        }
    }
}

static void reference(void)
{
    check_sizes(bt_gemm_f32_ref);
}

static void provider(void)
{
    check_sizes(bt_gemm_f32);
    CHECK(bt_gemm_provider()[0] != '\0');
}

/* What is in C does not matter when it is overwritten. */
static void overwriting(void)
{
    gemm_fn *const functions[] = {bt_gemm_f32_ref, bt_gemm_f32};
    for (int f = 0; f < 2; f++) {
        for (int64_t K = 0; K < 3; K++) {
            float c[2] = {NAN, INFINITY};
            functions[f](false, 1, 2, K, A, 4, B, 4, 0.0f, c, 2);
            CHECK(isfinite(c[0]) && isfinite(c[1]));
        }
    }
}

/* Columns [begin, end) of one product, from any thread. */
static void multiply_columns(void *context, int64_t begin, int64_t end)
{
    const struct product *p = context;
    bt_gemm_f32(true, p->M, end - begin, p->K, A, p->K, B + begin * p->K, p->K, 0.0f, C + begin, p->N);
}

static void threads(void)
{
    struct product p = {true, 64, 128, 300, 0, 0.0f};
    fill(A, p.M, p.K, p.K);
    fill(B, p.N, p.K, p.K);
    for (int round = 0; round < 50; round++) {
        bt_parallel_for(4, p.N, 8, multiply_columns, &p);
        bool right = true;
        for (int64_t i = 0; i < p.M * p.N; i += 37) {
            right = right && C[i] == expected(&p, i / p.N, i % p.N);
        }
        CHECK(right);
    }
}

int main(void)
{
    check_group("gemm reference", reference);
    check_group("gemm provider", provider);
    check_group("gemm overwriting", overwriting);
    check_group("gemm threads", threads);
    return check_result();
}
