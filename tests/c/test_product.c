/* test_product.c: products are the same whole and split over threads, by rows or columns */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "exec/matrix.h"
#include "kernel/panel.h"

enum { MAX_M = 260, MAX_N = 230, K = 384 };

static float A[MAX_M * K], B[MAX_N * K], packed[(MAX_N + 64) * K], bias[MAX_N];
static float residual[MAX_M * MAX_N], whole[MAX_M * MAX_N], cut[MAX_M * MAX_N];

/* Small integers: every order of a sum gives the same. */
static void fill(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)(rand() % 9 - 4);
    }
}

static bool is_same(const struct bt_kernels *kernels, bool panels, int64_t m, int64_t n, int threads)
{
    struct bt_product p = {.m = m,
                           .n = n,
                           .k = K,
                           .a = A,
                           .b = panels ? packed : B,
                           .bias = bias,
                           .residual = residual,
                           .c = whole,
                           .lda = K,
                           .ldb = K,
                           .ldc = n,
                           .trans_b = true,
                           .kernels = kernels,
                           .panels = panels};
    if (panels) {
        bt_panel_pack(kernels->panel->nr, K, n, B, 1, K, packed);
    }
    bt_product_one(&p);
    p.c = cut;
    memset(cut, 0xff, sizeof cut);
    bt_product_run(threads, &p);
    return memcmp(whole, cut, (size_t)(m * n) * sizeof *cut) == 0;
}

/* With few rows, enough of them for one thread, two or four, and more than columns. */
static void splits(void)
{
    static const int64_t rows[] = {1, 31, 48, 97, 100, 193, 260};
    fill(A, MAX_M * K);
    fill(B, MAX_N * K);
    fill(bias, MAX_N);
    fill(residual, MAX_M * MAX_N);
    struct bt_kernels kernels;
    bt_kernels_init(&kernels, bt_cpu_isa());
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int threads = 1; threads <= 4; threads++) {
            CHECK(is_same(&kernels, false, rows[i], MAX_N, threads));
            CHECK(!kernels.panel || is_same(&kernels, true, rows[i], MAX_N, threads));
        }
    }
}

int main(void)
{
    check_group("product splits", splits);
    return check_result();
}
