/* peak.c: the loop of kernel/peak.h for NEON */
#if defined(__aarch64__)
#include "kernel/simd/neon.h"

#define BT_VERSION(name) bt_##name##_neon
#include "kernel/peak_tmpl.h"
#endif
