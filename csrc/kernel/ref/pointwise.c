/* pointwise.c: reference kernels of functions of one or two elements: double arithmetic, rounded once */
#include <math.h>

#include "kernel/versions.h"

static double gelu_erf(double x)
{
    return 0.5 * x * erfc(-x * 0.70710678118654752440);
}

/* 0.5 x (1 + tanh(u)), without its cancellation for negative x. */
static double gelu_tanh(double x)
{
    double u = 0.79788456080286535588 * (x + 0.044715 * x * x * x);
    return x / (1.0 + exp(-2.0 * u));
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double silu(double x)
{
    return x / (1.0 + exp(-x));
}

static double relu(double x)
{
    return x < 0.0 ? 0.0 : x; /* NaN stays NaN */
}

#define MAP(name, f)                                         \
    void bt_##name##_ref(const float *x, float *y, size_t n) \
    {                                                        \
        for (size_t i = 0; i < n; i++) {                     \
            y[i] = (float)f((double)x[i]);                   \
        }                                                    \
    }

MAP(gelu_erf_f32, gelu_erf)
MAP(gelu_tanh_f32, gelu_tanh)
MAP(tanh_f32, tanh)
MAP(sigmoid_f32, sigmoid)
MAP(silu_f32, silu)
MAP(exp_f32, exp)
MAP(erf_f32, erf)
MAP(relu_f32, relu)

#define ZIP(name, op)                                                        \
    void bt_##name##_ref(const float *a, const float *b, float *y, size_t n) \
    {                                                                        \
        for (size_t i = 0; i < n; i++) {                                     \
            y[i] = a[i] op b[i];                                             \
        }                                                                    \
    }

ZIP(add_f32, +)
ZIP(sub_f32, -)
ZIP(mul_f32, *)
ZIP(div_f32, /)

#define ZIPS(name, op)                                                \
    void bt_##name##_ref(const float *a, float b, float *y, size_t n) \
    {                                                                 \
        for (size_t i = 0; i < n; i++) {                              \
            y[i] = a[i] op b;                                         \
        }                                                             \
    }

ZIPS(adds_f32, +)
ZIPS(muls_f32, *)
