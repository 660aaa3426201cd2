/* rows.c: row kernels for AArch64 */
#if defined(__aarch64__)
#include "kernel/simd/neon.h"

#define BT_VERSION(name) bt_##name##_neon
#include "kernel/rows_tmpl.h"
#endif
