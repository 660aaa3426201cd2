/* peak.c: the loop of kernel/peak.h for AVX-512 */
#if defined(__x86_64__)
#include "kernel/simd/avx512.h"

#define BT_VERSION(name) bt_##name##_avx512
#include "kernel/peak_tmpl.h"
#endif
