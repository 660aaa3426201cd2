/* gemm.c: packed GEMM for NEON: 6 x 16 */
#if defined(__aarch64__)
#include "kernel/simd/neon.h"

#define BT_VERSION(name) bt_##name##_neon
#define TILE_ROWS 6
#define PANEL_VECTORS 4
#define WIDE_PANELS 2
#include "kernel/gemm_tmpl.h"
#endif
