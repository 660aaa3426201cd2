/* matrix.h: matrix operands in the layouts a GEMM takes, and products split over threads */
#ifndef BT_EXEC_MATRIX_H
#define BT_EXEC_MATRIX_H

#include <stdbool.h>
#include <stdint.h>

#include "exec/scratch.h"
#include "exec/step.h"

/* Items from one row to the next when a rows x cols matrix with these strides is row-major, else 0. */
int64_t bt_matrix_ld(int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride);

/* How a B operand (k x n) with these strides is stored: its leading dimension, and whether that is of n x k rows. False
 * when it is neither way row-major. */
bool bt_matrix_b_layout(int64_t k, int64_t n, int64_t k_stride, int64_t n_stride, bool *trans, int64_t *ld);

/* An operand where it lies, or copied to scratch in row-major order. */
struct bt_packed {
    const struct bt_ref *ref;
    bool copied;
    void *copy;
    int64_t strides[BT_MAX_RANK]; /* of what bt_packed_load returns */
};

/* With `copy`, cuts room for the operand: leading dims (all but the last `inner`) that are only expanded stay so. */
void bt_packed_plan(struct bt_packed *p, const struct bt_ref *ref, bool copy, int inner, struct bt_cuts *cuts);
/* The operand's address; makes the copy first if there is to be one. */
const void *bt_packed_load(const struct bt_packed *p, const struct bt_run *run);

/* C (m x n) = activation(A (m x k) B + bias) + residual. B is k x n, or n x k when trans_b; bias has n items or is
 * NULL; residual lies like C or is NULL. */
struct bt_product {
    int64_t m, n, k;
    const float *a, *b, *bias, *residual;
    float *c;
    int64_t lda, ldb, ldc;
    bool trans_b;
    enum bt_activation activation;
    const struct bt_kernels *kernels;
    bool panels; /* b is packed for kernels->panel; else it lies as ldb and trans_b say */
};

/* One product, split over threads in blocks of rows or columns, never of k. */
void bt_product_run(int threads, const struct bt_product *p);
/* The same on the calling thread, for callers that split a batch of products. */
void bt_product_one(const struct bt_product *p);

/* float64, any strides: a[i, l] is a[i * a_row + l * a_col] and so on. Plain loops: such models are rare. */
struct bt_product_f64 {
    int64_t m, n, k;
    const double *a, *b, *bias, *residual;
    double *c;
    int64_t a_row, a_col, b_row, b_col, ldc;
    enum bt_activation activation;
};
void bt_product_run_f64(int threads, const struct bt_product_f64 *p);

#endif
