/* panel.h: matrix products with a weight packed for one instruction set, and what follows them done on the hot tile */
#ifndef BT_KERNEL_PANEL_H
#define BT_KERNEL_PANEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/activation.h"

/* C = activation(A B + bias) + residual: A is M x K, B packed K x N, C M x N; lda, ldc and ldr are row strides. */
struct bt_panel_args {
    int64_t M, N, K;
    const float *A;
    int64_t lda;
    const float *B;        /* by bt_panel_pack */
    const float *bias;     /* N values, or NULL */
    const float *residual; /* M x N, or NULL */
    int64_t ldr;
    float *C; /* overlaps no operand but the residual, which it may be */
    int64_t ldc;
    enum bt_activation activation;
};

/* One instruction set's GEMM: the microkernel and the packing it reads are one thing. An element of C is the same
 * whatever the other rows and columns: its sum over K has one order. */
struct bt_panel_gemm {
    int64_t mr; /* rows of a tile */
    int64_t nr; /* columns of a panel; B can be cut in front of any panel */
    void (*run)(const struct bt_panel_args *args);
    /* bt_panel_pack for operands that change with every call: fast when a stride is 1 */
    void (*pack)(int64_t K, int64_t N, const float *B, int64_t k_stride, int64_t n_stride, float *packed);
};

extern const struct bt_panel_gemm bt_panel_gemm_avx2, bt_panel_gemm_avx512, bt_panel_gemm_neon;

/* The weight as panels of nr columns, each K rows of nr values, the last filled up with zeros: ceil(N / nr) * nr * K
 * floats. B(k, n) is at B[k * k_stride + n * n_stride]. */
int64_t bt_panel_size(int64_t nr, int64_t K, int64_t N);
void bt_panel_pack(int64_t nr, int64_t K, int64_t N, const float *B, int64_t k_stride, int64_t n_stride, float *packed);

#endif
