/* peak.c: prints the GFLOP/s of one core in a loop of fused multiply-adds that touches no memory */

#include <stdio.h>
#include <time.h>

#if defined(__AVX512F__)
enum { LANES = 16, CHAINS = 24 }; /* of 32 registers */
#elif defined(__AVX2__)
enum { LANES = 8, CHAINS = 12 }; /* of 16 registers */
#else
enum { LANES = 4, CHAINS = 24 };
#endif

typedef float vector __attribute__((vector_size(LANES * sizeof(float))));

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static vector multiply_add(vector factor, vector term, long count)
{
    vector sum[CHAINS];
#pragma GCC unroll 32
    for (int i = 0; i < CHAINS; i++) {
        sum[i] = term * (float)i;
    }
    for (long n = 0; n < count; n++) {
#pragma GCC unroll 32 /* so that the sums stay in registers */
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = sum[i] * factor + term;
        }
    }
#pragma GCC unroll 32
    for (int i = 1; i < CHAINS; i++) {
        sum[0] += sum[i];
    }
    return sum[0];
}

int main(int argc, char **argv)
{
    enum { TRIES = 10, COUNT = 1000000 };
    vector factor, term;
    for (int i = 0; i < LANES; i++) {
        factor[i] = 1.0f - 0.1f * (float)argc; /* unknown to the compiler; the sums converge */
        term[i] = 0.5f;
    }
    double best = 1e9;
    volatile float sink;
    for (int i = 0; i < TRIES; i++) {
        double start = seconds();
        sink = multiply_add(factor, term, COUNT)[0];
        double time = seconds() - start;
        best = time < best ? time : best;
    }
    (void)argv;
    (void)sink;
    printf("%.2f\n", 2e-9 * LANES * CHAINS * COUNT / best);
    return 0;
}
