/* peak.c: measure what a core can do at most */
#include "kernel/peak.h"

#include "base/clock.h"

static bt_peak_fn *version(enum bt_isa isa)
{
    switch (isa) {
#if defined(__x86_64__)
    case BT_ISA_AVX512: return bt_peak_avx512;
    case BT_ISA_AVX2: return bt_peak_avx2;
#elif defined(__aarch64__)
    case BT_ISA_NEON: return bt_peak_neon;
#endif
    default: return bt_peak_ref;
    }
}

double bt_peak_measure(enum bt_isa isa, double seconds)
{
    enum { ROUNDS = 20000 }; /* a fraction of a millisecond: some tries are not interrupted */
    const int64_t end = bt_clock_ns() + (int64_t)(seconds * 1e9);
    double best = 0;
    for (int64_t start = bt_clock_ns(); start < end || best == 0;) {
        float sink;
        const double flops = version(isa)(1.0f, 0.5f, ROUNDS, &sink);
        const int64_t now = bt_clock_ns();
        const double rate = now > start ? flops * 1e9 / (double)(now - start) : 0;
        best = rate > best ? rate : best;
        start = now;
    }
    return best;
}
