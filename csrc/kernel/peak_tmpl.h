/* peak_tmpl.h: the loop of peak.h over the vectors of a header of kernel/simd/ */
#include "kernel/peak.h"
#include "kernel/simd/simd.h"

/* Sums that do not wait for each other: enough to hide the latency of all units, and few enough for the registers. */
enum { CHAINS = VF_LANES == 8 ? 12 : 24 };

double BT_VERSION(peak)(float factor, float term, int64_t count, float *sink)
{
    const vf f = vf_set1(factor), t = vf_set1(term);
    vf sum[CHAINS];
    _Pragma("GCC unroll 32") for (int i = 0; i < CHAINS; i++)
    {
        sum[i] = vf_set1((float)i);
    }
    for (int64_t n = 0; n < count; n++) {
        _Pragma("GCC unroll 32") for (int i = 0; i < CHAINS; i++)
        {
            sum[i] = vf_fma(f, t, sum[i]);
        }
    }
    _Pragma("GCC unroll 32") for (int i = 1; i < CHAINS; i++)
    {
        sum[0] = vf_add(sum[0], sum[i]);
    }
    *sink = vf_sum_lanes(sum[0]);
    return 2.0 * VF_LANES * CHAINS * (double)count;
}
