/* panel.c: bring a weight into the panels that a microkernel reads one after the other */
#include <string.h>

#include "kernel/panel.h"

int64_t bt_panel_size(int64_t nr, int64_t K, int64_t N)
{
    return (N + nr - 1) / nr * nr * K;
}

/* One panel of `cols` columns. In blocks of rows, so that a transposed weight is read and written by whole cache
 * lines. */
static void pack_panel(int64_t nr, int64_t K, int64_t cols, const float *B, int64_t k_stride, int64_t n_stride,
                       float *out)
{
    enum { ROWS = 16 };
    for (int64_t k0 = 0; k0 < K; k0 += ROWS) {
        const int64_t k1 = k0 + ROWS < K ? k0 + ROWS : K;
        for (int64_t n = 0; n < cols; n++) {
            for (int64_t k = k0; k < k1; k++) {
                out[k * nr + n] = B[k * k_stride + n * n_stride];
            }
        }
    }
}

void bt_panel_pack(int64_t nr, int64_t K, int64_t N, const float *B, int64_t k_stride, int64_t n_stride, float *packed)
{
    for (int64_t n = 0; n < N; n += nr) {
        const int64_t cols = N - n < nr ? N - n : nr;
        if (cols < nr) {
            memset(packed, 0, (size_t)(K * nr) * sizeof *packed);
        }
        pack_panel(nr, K, cols, B + n * n_stride, k_stride, n_stride, packed);
        packed += K * nr;
    }
}
