/* rows.c: row kernels for AVX2 */
#if defined(__x86_64__)
#include "kernel/simd/avx2.h"

#define BT_VERSION(name) bt_##name##_avx2
#include "kernel/rows_tmpl.h"
#endif
