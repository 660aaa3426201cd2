/* peak.c: the loop of kernel/peak.h in plain C, as the compiler's own vectors do it */
#include "kernel/peak.h"

double bt_peak_ref(float factor, float term, int64_t count, float *sink)
{
    enum { SUMS = 32 };
    float sum[SUMS] = {0};
    for (int64_t n = 0; n < count; n++) {
        for (int i = 0; i < SUMS; i++) {
            sum[i] = sum[i] * factor + term;
        }
    }
    *sink = 0;
    for (int i = 0; i < SUMS; i++) {
        *sink += sum[i];
    }
    return 2.0 * SUMS * (double)count;
}
