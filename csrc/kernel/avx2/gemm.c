/* gemm.c: packed GEMM for AVX2: 6 x 16 */
#if defined(__x86_64__)
#include "kernel/simd/avx2.h"

#define BT_VERSION(name) bt_##name##_avx2
#define TILE_ROWS 6
#define PANEL_VECTORS 2
#define WIDE_PANELS 2
#include "kernel/gemm_tmpl.h"
#endif
