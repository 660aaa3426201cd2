/* gemm.c: packed GEMM for AVX-512: 14 x 32 */
#if defined(__x86_64__)
#include "kernel/simd/avx512.h"

#define BT_VERSION(name) bt_##name##_avx512
#define TILE_ROWS 14
#define PANEL_VECTORS 2
#define WIDE_PANELS 4
#include "kernel/gemm_tmpl.h"
#endif
