/* cpu.h: what this processor can do, and how many of its cores we may use */
#ifndef BT_BASE_CPU_H
#define BT_BASE_CPU_H

#include <stdbool.h>

struct bt_cpu {
    bool avx2;   /* AVX2, FMA and F16C, and the system saves the registers (XGETBV) */
    bool avx512; /* F, BW, DQ, VL, and the system saves the registers              */
    bool neon;
    bool clmul;  /* carry-less products, with SSE4.1 */
    bool wide_clmul; /* four at once, with AVX-512 */
};

/* Features of the CPU, lowered by BERTC_CPU=ref|avx2|avx512|neon (never raised). Detected once, thread-safe. */
struct bt_cpu bt_cpu_features(void);
/* Processors this process may run on: affinity mask, then cgroup v1/v2 CPU quota (rounded up); at least 1. */
int bt_cpu_count(void);
/* Processors that the quotas of this process's control groups allow, rounded up; 0 = no quota. `root` comes before
 * /proc and /sys: "" but for tests. */
int bt_cpu_quota(const char *root);

#endif
