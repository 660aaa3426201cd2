/* rows.c: reference kernels of whole rows: double arithmetic, rounded once */
#include <math.h>

#include "kernel/versions.h"

static double sum(const float *x, size_t n)
{
    double total = 0.0;
    for (size_t i = 0; i < n; i++) {
        total += x[i];
    }
    return total;
}

float bt_sum_f32_ref(const float *x, size_t n)
{
    return (float)sum(x, n);
}

/* NaN when there is one, as amax. */
float bt_max_f32_ref(const float *x, size_t n)
{
    float max = x[0];
    for (size_t i = 1; i < n; i++) {
        max = x[i] > max || isnan(x[i]) ? x[i] : max;
    }
    return max;
}

void bt_layer_norm_f32_ref(const float *x, const float *w, const float *b, float eps, float *y, size_t n)
{
    double mean = sum(x, n) / (double)n;
    double var = 0.0;
    for (size_t i = 0; i < n; i++) {
        var += (x[i] - mean) * (x[i] - mean);
    }
    double rstd = 1.0 / sqrt(var / (double)n + (double)eps);
    for (size_t i = 0; i < n; i++) {
        double unit = (x[i] - mean) * rstd;
        y[i] = (float)(unit * (w ? w[i] : 1.0f) + (b ? b[i] : 0.0f));
    }
}

/* The exponents are rounded to float at every step, as in PyTorch: with a bias of -10000 on all keys the rounded
 * scores decide. */
static void exponents(const float *x, const float *bias, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = bias ? x[i] + bias[i] : x[i];
    }
    float max = n > 0 ? bt_max_f32_ref(y, n) : 0.0f;
    for (size_t i = 0; i < n; i++) {
        y[i] -= max;
    }
}

void bt_exp_sums_f32_ref(float *x, size_t pitch, size_t rows, const float *bias, double *sums, size_t n)
{
    for (size_t row = 0; row < rows; row++, x += pitch) {
        sums[row] = 0.0;
        exponents(x, bias, x, n);
        for (size_t i = 0; i < n; i++) {
            double e = exp((double)x[i]);
            x[i] = (float)e;
            sums[row] += e;
        }
    }
}

void bt_softmax_f32_ref(const float *x, const float *bias, float scale, float *y, size_t n)
{
    double total = 0.0;
    bt_muls_f32_ref(x, scale, y, n);
    exponents(y, bias, y, n);
    for (size_t i = 0; i < n; i++) {
        total += exp((double)y[i]);
    }
    for (size_t i = 0; i < n; i++) {
        y[i] = (float)(exp((double)y[i]) / total);
    }
}
