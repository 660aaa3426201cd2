/* test_panel.c: packed products of small integers, which are exact in any order, and of rows alone and together */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "kernel/kernels.h"

enum { MAX_M = 41, MAX_N = 150, MAX_K = 600, PAD = 3, UNTOUCHED = 77 };

static float A[MAX_M * (MAX_K + PAD)], B[MAX_N * MAX_K], R[MAX_M * (MAX_N + PAD)], C[MAX_M * (MAX_N + PAD)];
static float bias[MAX_N], packed[(MAX_N + 64) * MAX_K];

/* The GEMMs that this CPU runs. */
static const struct bt_panel_gemm *gemm_of(enum bt_isa isa)
{
    struct bt_kernels kernels;
    bool runs = isa == bt_cpu_isa() || (isa == BT_ISA_AVX2 && bt_cpu_isa() == BT_ISA_AVX512);
    bt_kernels_init(&kernels, isa);
    return runs ? kernels.panel : NULL;
}

static void fill(float *x, int64_t count, bool integers)
{
    for (int64_t i = 0; i < count; i++) {
        x[i] = integers ? (float)(rand() % 9 - 4) : (float)rand() / (float)RAND_MAX - 0.5f;
    }
}

static float expected(const struct bt_panel_args *args, int64_t i, int64_t j)
{
    float sum = args->bias ? args->bias[j] : 0.0f;
    for (int64_t k = 0; k < args->K; k++) {
        sum += args->A[i * args->lda + k] * B[j * args->K + k];
    }
    if (args->activation == BT_ACT_RELU && sum < 0.0f) {
        sum = 0.0f;
    }
    return sum + (args->residual ? args->residual[i * args->ldr + j] : 0.0f);
}

static bool is_right(const struct bt_panel_gemm *gemm, int64_t M, int64_t N, int64_t K, int variant)
{
    const int64_t ldc = N + PAD;
    struct bt_panel_args args = {
        .M = M, .N = N, .K = K, .A = A, .lda = K + PAD, .B = packed, .ldr = ldc, .C = C, .ldc = ldc};
    args.bias = variant & 1 ? bias : NULL;
    args.residual = variant & 2 ? R : NULL;
    args.activation = variant & 4 ? BT_ACT_RELU : BT_ACT_NONE;
    bt_panel_pack(gemm->nr, K, N, B, 1, K, packed);
    for (int64_t i = 0; i < M * ldc; i++) {
        C[i] = UNTOUCHED;
    }
    gemm->run(&args);
    for (int64_t i = 0; i < M; i++) {
        for (int64_t j = 0; j < ldc; j++) {
            if (C[i * ldc + j] != (j < N ? expected(&args, i, j) : (float)UNTOUCHED)) {
                return false;
            }
        }
    }
    return true;
}

static void sizes(const struct bt_panel_gemm *gemm)
{
    static const int64_t depths[] = {0, 1, 7, 64, 257, 600};
    fill(A, MAX_M * (MAX_K + PAD), true);
    fill(B, MAX_N * MAX_K, true);
    fill(R, MAX_M * (MAX_N + PAD), true);
    fill(bias, MAX_N, true);
    for (int64_t M = 0; M <= MAX_M; M++) {
        for (int64_t N = 0; N <= MAX_N; N += M % 3 ? 31 : 7) {
            const int variant = (int)(M + N) % 8;
            CHECK(is_right(gemm, M, N, depths[(size_t)(M + N) % 6], variant));
        }
    }
}

/* A row has the same bits alone, among others, and when the columns are cut at a panel. */
static void one_order(const struct bt_panel_gemm *gemm)
{
    static float whole[MAX_M * MAX_N], part[MAX_N];
    const int64_t K = 600, N = 3 * gemm->nr - 5;
    fill(A, MAX_M * K, false);
    fill(B, N * K, false);
    fill(bias, N, false);
    bt_panel_pack(gemm->nr, K, N, B, 1, K, packed);
    struct bt_panel_args args = {.M = MAX_M, .N = N, .K = K, .A = A, .lda = K, .B = packed, .bias = bias, .C = whole};
    args.ldc = N;
    args.activation = BT_ACT_GELU_ERF;
    gemm->run(&args);
    for (int64_t i = 0; i < MAX_M; i++) {
        struct bt_panel_args row = args;
        row.M = 1;
        row.A = A + i * K;
        row.C = part;
        gemm->run(&row);
        CHECK(memcmp(part, whole + i * N, (size_t)N * sizeof *part) == 0);
    }
    struct bt_panel_args right = args;
    right.N = N - gemm->nr;
    right.B = packed + gemm->nr * K;
    right.bias = bias + gemm->nr;
    right.M = 1;
    right.C = part;
    gemm->run(&right);
    CHECK(memcmp(part, whole + gemm->nr, (size_t)right.N * sizeof *part) == 0);
}

static void all(void (*check)(const struct bt_panel_gemm *gemm))
{
    for (int isa = 0; isa < BT_ISA_COUNT; isa++) {
        const struct bt_panel_gemm *gemm = gemm_of((enum bt_isa)isa);
        if (gemm) {
            check(gemm);
        }
    }
}

static void check_sizes(void)
{
    all(sizes);
}

static void check_order(void)
{
    all(one_order);
}

int main(void)
{
    check_group("panel sizes", check_sizes);
    check_group("panel order", check_order);
    return check_result();
}
