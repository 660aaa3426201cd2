/* pack_tmpl.h: fast packing into panels, over the vectors of a header of kernel/simd/
 * Included by gemm_tmpl.h, which knows how wide a panel is. */
#include "kernel/panel.h"
#include "kernel/simd/simd.h"

enum {
    PACK_COLS = PANEL_VECTORS * VF_LANES,
    ROUNDS = VF_LANES == 16  ? 4
             : VF_LANES == 8 ? 3
                             : 2, /* log2(VF_LANES) */
};

/* Each round interleaves the first half of the rows with the second; after all rounds, rows are columns. */
BT_INLINE void transpose(vf *rows)
{
    BT_UNROLL
    for (int round = 0; round < ROUNDS; round++) {
        vf next[VF_LANES];
        BT_UNROLL
        for (int i = 0; i < VF_LANES / 2; i++) {
            next[2 * i] = vf_zip_low(rows[i], rows[i + VF_LANES / 2]);
            next[2 * i + 1] = vf_zip_high(rows[i], rows[i + VF_LANES / 2]);
        }
        BT_UNROLL
        for (int i = 0; i < VF_LANES; i++) {
            rows[i] = next[i];
        }
    }
}

/* A panel whose columns lie in memory one after the other, each as `cols` says or all zeros. */
static void pack_columns(int64_t K, int64_t cols, const float *B, int64_t n_stride, float *packed)
{
    for (int64_t n = 0; n < PACK_COLS; n += VF_LANES) {
        for (int64_t k = 0; k < K; k += VF_LANES) {
            const int64_t rest = K - k < VF_LANES ? K - k : VF_LANES;
            vf block[VF_LANES];
            BT_UNROLL
            for (int i = 0; i < VF_LANES; i++) {
                const float *column = B + (n + i) * n_stride + k;
                block[i] = n + i >= cols      ? vf_set1(0.0f)
                           : rest == VF_LANES ? vf_load(column)
                                              : vf_load_tail(column, (size_t)rest, 0.0f);
            }
            transpose(block);
            for (int64_t i = 0; i < rest; i++) {
                vf_store(packed + (k + i) * PACK_COLS + n, block[i]);
            }
        }
    }
}

/* A panel whose rows are contiguous. */
BT_INLINE void pack_rows(int64_t K, int64_t cols, const float *B, int64_t k_stride, float *packed)
{
    for (int64_t k = 0; k < K; k++) {
        BT_UNROLL
        for (int64_t n = 0; n < PACK_COLS; n += VF_LANES) {
            const float *from = B + k * k_stride + n;
            vf_store(packed + k * PACK_COLS + n, cols - n >= VF_LANES ? vf_load(from)
                                                 : cols > n           ? vf_load_tail(from, (size_t)(cols - n), 0.0f)
                                                                      : vf_set1(0.0f));
        }
    }
}

static void pack(int64_t K, int64_t N, const float *B, int64_t k_stride, int64_t n_stride, float *packed)
{
    for (int64_t n = 0; n < N; n += PACK_COLS, packed += K * PACK_COLS) {
        const int64_t cols = N - n < PACK_COLS ? N - n : PACK_COLS;
        const float *panel = B + n * n_stride;
        if (n_stride == 1 && cols == PACK_COLS) {
            pack_rows(K, PACK_COLS, panel, k_stride, packed);
        } else if (n_stride == 1) {
            pack_rows(K, cols, panel, k_stride, packed);
        } else if (k_stride == 1) {
            pack_columns(K, cols, panel, n_stride, packed);
        } else {
            bt_panel_pack(PACK_COLS, K, cols, panel, k_stride, n_stride, packed);
        }
    }
}
