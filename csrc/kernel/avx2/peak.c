/* peak.c: the loop of kernel/peak.h for AVX2 and FMA */
#if defined(__x86_64__)
#include "kernel/simd/avx2.h"

#define BT_VERSION(name) bt_##name##_avx2
#include "kernel/peak_tmpl.h"
#endif
