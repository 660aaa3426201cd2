/* kernel_truth.h: what kernels should compute, in long double */
#ifndef BT_TESTS_KERNEL_TRUTH_H
#define BT_TESTS_KERNEL_TRUTH_H

#include <math.h>

#include "kernel/kernels.h"

enum { INPUTS = 3 };

struct call {
    const float *in[INPUTS]; /* layer_norm: x, w, b; softmax: x, bias */
    float scalar;
    float *y;
    size_t n;
};

static inline long double true_gelu_erf(long double x)
{
    return x * 0.5L * erfcl(-x * 0.707106781186547524400844362104849039L);
}

static inline long double true_gelu_tanh(long double x)
{
    return x * 0.5L * (1.0L + tanhl(0.797884560802865355879892119868763737L * (x + 0.044715L * x * x * x)));
}

static inline long double true_sigmoid(long double x)
{
    return 1.0L / (1.0L + expl(-x));
}

static inline long double true_silu(long double x)
{
    return x / (1.0L + expl(-x));
}

static inline long double true_relu(long double x)
{
    return x < 0.0L ? 0.0L : x;
}

/* Kernels of one input element. */
static const struct {
    enum bt_kernel_id id;
    long double (*f)(long double);
} true_maps[] = {
    {BT_KERNEL_gelu_erf_f32, true_gelu_erf},
    {BT_KERNEL_gelu_tanh_f32, true_gelu_tanh},
    {BT_KERNEL_tanh_f32, tanhl},
    {BT_KERNEL_sigmoid_f32, true_sigmoid},
    {BT_KERNEL_silu_f32, true_silu},
    {BT_KERNEL_exp_f32, expl},
    {BT_KERNEL_erf_f32, erfl},
    {BT_KERNEL_relu_f32, true_relu},
};

static inline void true_map(enum bt_kernel_id id, const struct call *c)
{
    for (size_t k = 0; k < sizeof true_maps / sizeof true_maps[0]; k++) {
        for (size_t i = 0; i < c->n && true_maps[k].id == id; i++) {
            c->y[i] = (float)true_maps[k].f(c->in[0][i]);
        }
    }
}

static inline void true_layer_norm(const struct call *c)
{
    long double sum = 0.0L, squares = 0.0L;
    for (size_t i = 0; i < c->n; i++) {
        sum += c->in[0][i];
        squares += (long double)c->in[0][i] * c->in[0][i];
    }
    long double mean = sum / c->n, var = squares / c->n - mean * mean;
    for (size_t i = 0; i < c->n; i++) {
        long double unit = (c->in[0][i] - mean) / sqrtl(var + c->scalar);
        c->y[i] = (float)(unit * (c->in[1] ? c->in[1][i] : 1.0f) + (c->in[2] ? c->in[2][i] : 0.0f));
    }
}

/* With the exponents rounded to float, as the reference says. */
static inline void true_softmax(const struct call *c)
{
    long double sum = 0.0L;
    float max = -INFINITY;
    for (int pass = 0; pass < 3; pass++) {
        for (size_t i = 0; i < c->n; i++) {
            float x = c->in[0][i] * c->scalar;
            x = c->in[1] ? x + c->in[1][i] : x;
            float below = x - max;
            switch (pass) {
            case 0: max = x > max || isnan(x) ? x : max; break;
            case 1: sum += expl(below); break;
            case 2: c->y[i] = (float)(expl(below) / sum); break;
            }
        }
    }
}

#endif
