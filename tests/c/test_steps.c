/* test_steps.c: the neural-network steps, each alone, against plain formulas */
#include "step_check.h"

enum { ROUNDS = 60 };

static const enum bt_dtype floats[2] = {BT_F32, BT_F64};

static double tolerance_of(enum bt_dtype dtype)
{
    return dtype == BT_F32 ? 2e-5 : 1e-12;
}

static enum bt_dtype random_float(void)
{
    return floats[random_below(4) == 0];
}

static struct bt_step_arg optional(struct bt_step_arg arg)
{
    return random_below(2) ? arg : arg_none();
}

static double expect_activation(enum bt_activation activation, double x)
{
    const double cubic = sqrt(M_2_PI) * (x + 0.044715 * x * x * x), sigmoid = 1.0 / (1.0 + exp(-x));
    const double values[BT_ACT_COUNT] = {[BT_ACT_NONE] = x,
                                         [BT_ACT_GELU_ERF] = 0.5 * x * (1.0 + erf(x / sqrt(2.0))),
                                         [BT_ACT_GELU_TANH] = 0.5 * x * (1.0 + tanh(cubic)),
                                         [BT_ACT_TANH] = tanh(x),
                                         [BT_ACT_RELU] = x > 0.0 ? x : 0.0,
                                         [BT_ACT_SILU] = x * sigmoid,
                                         [BT_ACT_SIGMOID] = sigmoid};
    return values[activation];
}

static double expect_linear(const struct bt_step *step, const int64_t *index)
{
    const struct bt_ref *x = &step->args[0].ref, *w = &step->args[1].ref;
    int last = x->rank - 1;
    int64_t at[BT_MAX_RANK], n = index[last];
    memcpy(at, index, sizeof at);
    double sum = step->args[2].kind == BT_ARG_VALUE ? item_at(&step->args[2].ref, 1, &n) : 0.0;
    for (int64_t k = 0; k < x->dims[last]; k++) {
        at[last] = k;
        sum += item_at(x, x->rank, at) * item_at(w, 2, (int64_t[]){n, k});
    }
    const struct bt_step_arg *residual = &step->args[3];
    sum = expect_activation(step->op == BT_OP_LINEAR ? step->args[4].activation : BT_ACT_NONE, sum);
    return sum + (residual->kind == BT_ARG_VALUE ? item_at(&residual->ref, x->rank, index) : 0.0);
}

static struct bt_step_arg arg_activation(enum bt_activation activation)
{
    return (struct bt_step_arg){.kind = BT_ARG_ACTIVATION, .activation = activation};
}

static void test_linear(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        enum bt_dtype dtype = random_float();
        int rank = 1 + (int)random_below(4);
        int64_t k = random_below(20), n = 1 + random_below(20), dims[BT_MAX_RANK];
        for (int d = 0; d < rank - 1; d++) {
            dims[d] = random_below(8) ? 1 + random_below(5) : 0;
        }
        dims[rank - 1] = k;
        struct bt_step_arg args[5] = {arg_tensor(tensor_random(dtype, rank, dims, 0)),
                                      arg_tensor(tensor_random(dtype, 2, (int64_t[]){n, k}, 0)),
                                      optional(arg_tensor(tensor_random(dtype, 1, &n, 0)))};
        dims[rank - 1] = n;
        args[3] = optional(arg_tensor(tensor_random(dtype, rank, dims, 0)));
        args[4] = arg_activation((enum bt_activation)random_below(BT_ACT_COUNT));
        CHECK(step_agrees(BT_OP_LINEAR, args, 5, dtype, rank, dims, tolerance_of(dtype), expect_linear));
    }
    static const int64_t sizes[][3] = {{300, 70, 130}, {40, 90, 500}, {1, 64, 1000}}; /* split over rows, columns */
    for (int i = 0; i < 3; i++) {
        const int64_t *s = sizes[i];
        struct bt_step_arg args[5] = {arg_tensor(tensor_random(BT_F32, 2, (int64_t[]){s[0], s[1]}, 0)),
                                      arg_tensor(tensor_random(BT_F32, 2, (int64_t[]){s[2], s[1]}, 0)),
                                      arg_tensor(tensor_random(BT_F32, 1, &s[2], 0)),
                                      arg_tensor(tensor_random(BT_F32, 2, (int64_t[]){s[0], s[2]}, 0)),
                                      arg_activation(i ? BT_ACT_RELU : BT_ACT_NONE)};
        CHECK(step_agrees(BT_OP_LINEAR, args, 5, BT_F32, 2, (int64_t[]){s[0], s[2]}, 1e-4, expect_linear));
    }
}

static double expect_matmul(const struct bt_step *step, const int64_t *index)
{
    const struct bt_ref *a = &step->args[0].ref, *b = &step->args[1].ref, *out = &step->outs[0];
    int batch = out->rank - (a->rank > 1) - (b->rank > 1);
    int64_t at_a[BT_MAX_RANK + 2], at_b[BT_MAX_RANK + 2];
    memcpy(at_a, index, (size_t)batch * sizeof *index);
    memcpy(at_b, index, (size_t)batch * sizeof *index);
    int rank_a = batch, rank_b = batch, at = batch;
    if (a->rank > 1) {
        at_a[rank_a++] = index[at++];
    }
    rank_a++;
    rank_b++;
    if (b->rank > 1) {
        at_b[rank_b++] = index[at];
    }
    double sum = 0.0;
    for (int64_t k = 0; k < a->dims[a->rank - 1]; k++) {
        at_a[rank_a - 1] = k;
        at_b[batch] = k;
        sum += item_at(a, rank_a, at_a) * item_at(b, rank_b, at_b);
    }
    return sum;
}

static void test_matmul(void)
{
    for (int round = 0; round < 4 * ROUNDS; round++) {
        enum bt_dtype dtype = random_float();
        int batch = (int)random_below(4), rank_a = 1 + (int)random_below(batch + 2),
            rank_b = 1 + (int)random_below(batch + 2);
        int64_t m = random_below(9), k = 1 + random_below(9), n = 1 + random_below(9);
        int64_t dims[BT_MAX_RANK], dims_a[BT_MAX_RANK], dims_b[BT_MAX_RANK];
        int batch_a = rank_a > 2 ? rank_a - 2 : 0, batch_b = rank_b > 2 ? rank_b - 2 : 0;
        batch = batch_a > batch_b ? batch_a : batch_b;
        for (int d = 0; d < batch; d++) {
            bool a_has = d >= batch - batch_a, b_has = d >= batch - batch_b;
            dims[d] = 1 + random_below(4);
            if (a_has) {
                dims_a[d - (batch - batch_a)] = b_has && random_below(4) == 0 ? 1 : dims[d];
            }
            if (b_has) {
                dims_b[d - (batch - batch_b)] =
                    a_has && dims_a[d - (batch - batch_a)] == dims[d] && random_below(4) == 0 ? 1 : dims[d];
            }
        }
        int rank = batch;
        if (rank_a > 1) {
            dims_a[rank_a - 2] = dims[rank++] = m;
        }
        dims_a[rank_a - 1] = k;
        dims_b[rank_b > 1 ? rank_b - 2 : 0] = k;
        if (rank_b > 1) {
            dims_b[rank_b - 1] = dims[rank++] = n;
        }
        struct bt_step_arg args[2] = {arg_tensor(tensor_random(dtype, rank_a, dims_a, 0)),
                                      arg_tensor(tensor_random(dtype, rank_b, dims_b, 0))};
        CHECK(step_agrees(BT_OP_MATMUL, args, 2, dtype, rank, dims, tolerance_of(dtype), expect_matmul));
    }
    struct bertc_error err = {0};
    struct bt_step step;
    int64_t dims[2] = {2, 2};
    struct bt_step_arg args[2] = {arg_tensor(tensor_random(BT_I64, 2, dims, 9)),
                                  arg_tensor(tensor_random(BT_I64, 2, dims, 9))};
    CHECK_REFUSAL(step_run(&step, BT_OP_MATMUL, args, 2, BT_I64, 2, dims, 1, &err), &err, BERTC_UNSUPPORTED,
                  "matmul with a int64 operand");
    free_buffers();
}

static double expect_norm(const struct bt_step *step, const int64_t *index)
{
    const struct bt_ref *x = &step->args[0].ref;
    bool rms = step->op == BT_OP_RMS_NORM;
    int inner = (int)step->args[1].scalar.i, outer = x->rank - inner;
    int64_t at[BT_MAX_RANK], n = bt_numel(inner, x->dims + outer);
    memcpy(at, index, sizeof at);
    double mean = 0.0, square = 0.0;
    for (int pass = rms; pass < 2; pass++) {
        for (int64_t i = 0; i < n; i++) {
            int64_t left = i;
            for (int d = x->rank - 1; d >= outer; d--) {
                at[d] = left % x->dims[d];
                left /= x->dims[d];
            }
            double value = item_at(x, x->rank, at);
            if (pass == 0) {
                mean += value / (double)n;
            } else {
                square += (value - mean) * (value - mean) / (double)n;
            }
        }
    }
    double y = (item_at(x, x->rank, index) - mean) / sqrt(square + 1e-3);
    if (step->args[2].kind == BT_ARG_VALUE) {
        y *= item_at(&step->args[2].ref, x->rank, index);
    }
    if (!rms && step->args[3].kind == BT_ARG_VALUE) {
        y += item_at(&step->args[3].ref, x->rank, index);
    }
    return y;
}

static void test_norm(void)
{
    for (int round = 0; round < 2 * ROUNDS; round++) {
        enum bt_dtype dtype = random_float();
        int rank = 1 + (int)random_below(4), inner = 1 + (int)random_below(rank);
        int64_t dims[BT_MAX_RANK];
        for (int d = 0; d < rank; d++) {
            dims[d] = 1 + random_below(9);
        }
        struct bt_step_arg x = arg_tensor(tensor_random(dtype, rank, dims, 0));
        struct bt_step_arg w = optional(arg_tensor(tensor_random(dtype, inner, dims + rank - inner, 0)));
        struct bt_step_arg b = optional(arg_tensor(tensor_random(dtype, inner, dims + rank - inner, 0)));
        struct bt_step_arg layer[5] = {x, arg_int(inner), w, b, arg_float(1e-3)};
        struct bt_step_arg rms[4] = {x, arg_int(inner), w, arg_float(1e-3)};
        double tolerance = tolerance_of(dtype) * 10;
        if (round % 2) {
            CHECK(step_agrees(BT_OP_LAYER_NORM, layer, 5, dtype, rank, dims, tolerance, expect_norm));
        } else {
            CHECK(step_agrees(BT_OP_RMS_NORM, rms, 4, dtype, rank, dims, tolerance, expect_norm));
        }
    }
}

static double expect_softmax(const struct bt_step *step, const int64_t *index)
{
    const struct bt_ref *x = &step->args[0].ref;
    int64_t at[BT_MAX_RANK], dim = step->args[1].scalar.i;
    memcpy(at, index, sizeof at);
    double sum = 0.0, value = item_at(x, x->rank, index);
    for (int64_t i = 0; i < (x->rank ? x->dims[dim] : 1); i++) {
        at[dim] = i;
        sum += exp(item_at(x, x->rank, at));
    }
    return step->op == BT_OP_SOFTMAX ? exp(value) / sum : value - log(sum);
}

static void test_softmax(void)
{
    for (int round = 0; round < 2 * ROUNDS; round++) {
        enum bt_dtype dtype = random_float();
        int rank = (int)random_below(5);
        int64_t dims[BT_MAX_RANK];
        for (int d = 0; d < rank; d++) {
            dims[d] = random_below(12) ? 1 + random_below(9) : 0;
        }
        struct bt_step_arg args[3] = {arg_tensor(tensor_random(dtype, rank, dims, 0)),
                                      arg_int(random_below(2) && rank ? rank - 1 : random_below(rank)), arg_none()};
        CHECK(step_agrees(round % 2 ? BT_OP_SOFTMAX : BT_OP_LOG_SOFTMAX, args, 3, dtype, rank, dims,
                          tolerance_of(dtype), expect_softmax));
    }
    for (int i = 0; i < 4; i++) { /* no item is larger than another: 0 / 0 */
        enum bt_dtype dtype = floats[i % 2];
        int64_t dims[2] = {2, 3};
        struct bt_step_arg args[3] = {arg_tensor(tensor_plain(dtype, 2, dims)), arg_int(1), arg_none()};
        for (int64_t k = 0; k < 6; k++) {
            item_store(dtype, (void *)(uintptr_t)args[0].ref.data, k, k < 3 ? -INFINITY : 1.0);
        }
        CHECK(step_agrees(i < 2 ? BT_OP_SOFTMAX : BT_OP_LOG_SOFTMAX, args, 3, dtype, 2, dims, tolerance_of(dtype),
                          expect_softmax));
    }
}

static double expect_sdpa(const struct bt_step *step, const int64_t *index)
{
    const struct bt_ref *q = &step->args[0].ref, *k = &step->args[1].ref, *v = &step->args[2].ref;
    const struct bt_step_arg *mask = &step->args[3], *scale = &step->args[5];
    int rank = step->outs[0].rank;
    int64_t at[BT_MAX_RANK], query = index[rank - 2], width = q->dims[q->rank - 1];
    double scores[256], max = -INFINITY, sum = 0.0, out = 0.0;
    int64_t keys = k->dims[k->rank - 2];
    for (int64_t j = 0; j < keys; j++) {
        memcpy(at, index, sizeof at);
        scores[j] = 0.0;
        for (int64_t e = 0; e < width; e++) {
            at[rank - 1] = e;
            at[rank - 2] = query;
            double left = item_at(q, rank, at);
            at[rank - 2] = j;
            scores[j] += left * item_at(k, rank, at);
        }
        scores[j] *= scale->kind == BT_ARG_EXPR ? scale->scalar.f : 1.0 / sqrt((double)width);
        at[rank - 2] = query;
        at[rank - 1] = j;
        if (mask->kind == BT_ARG_VALUE && mask->ref.dtype == BT_BOOL) {
            scores[j] = item_at(&mask->ref, rank, at) != 0.0 ? scores[j] : -INFINITY;
        } else if (mask->kind == BT_ARG_VALUE) {
            scores[j] += item_at(&mask->ref, rank, at);
        }
        if (step->args[4].scalar.i && j > query) {
            scores[j] = -INFINITY;
        }
        max = scores[j] > max ? scores[j] : max;
    }
    if (max == -INFINITY) {
        return step->args[6].scalar.i && keys > 0 ? (double)NAN : 0.0;
    }
    for (int64_t j = 0; j < keys; j++) {
        memcpy(at, index, sizeof at);
        at[rank - 2] = j;
        sum += exp(scores[j] - max);
        out += exp(scores[j] - max) * item_at(v, rank, at);
    }
    return out / sum;
}

static struct bt_ref random_mask(int rank, const int64_t *dims, int64_t queries, int64_t keys)
{
    enum bt_dtype dtype = random_below(2) ? BT_BOOL : random_float();
    int64_t mask_dims[BT_MAX_RANK];
    int mask_rank = 2 + (int)random_below(rank - 1);
    for (int d = 0; d < mask_rank - 2; d++) {
        mask_dims[d] = random_below(2) ? 1 : dims[rank - mask_rank + d];
    }
    mask_dims[mask_rank - 2] = random_below(2) ? 1 : queries;
    mask_dims[mask_rank - 1] = random_below(8) ? keys : 1;
    struct bt_ref mask = tensor_random(dtype, mask_rank, mask_dims, 2);
    double masked = random_below(2) ? -INFINITY : -3.4028234e38;
    if (dtype != BT_BOOL && random_below(2) && bt_is_contiguous(mask_rank, mask.dims, mask.strides)) {
        for (int64_t i = 0; i < bt_numel(mask_rank, mask_dims); i++) {
            if (random_below(3)) {
                item_store(dtype, (char *)(uintptr_t)mask.data + mask.offset, i, masked);
            }
        }
    }
    return mask;
}

static void check_sdpa(enum bt_dtype dtype, int rank, int64_t queries, int64_t keys, int64_t width, int64_t value_width)
{
    int64_t dims[3][BT_MAX_RANK], out[BT_MAX_RANK];
    for (int d = 0; d < rank - 2; d++) {
        out[d] = 1 + random_below(4);
        int whole = (int)random_below(3);
        for (int i = 0; i < 3; i++) {
            dims[i][d] = i == whole || random_below(4) ? out[d] : 1;
        }
    }
    out[rank - 2] = dims[0][rank - 2] = queries;
    dims[1][rank - 2] = dims[2][rank - 2] = keys;
    dims[0][rank - 1] = dims[1][rank - 1] = width;
    out[rank - 1] = dims[2][rank - 1] = value_width;
    bool causal = random_below(4) == 0;
    struct bt_step_arg args[7] = {arg_tensor(tensor_random(dtype, rank, dims[0], 0)),
                                  arg_tensor(tensor_random(dtype, rank, dims[1], 0)),
                                  arg_tensor(tensor_random(dtype, rank, dims[2], 0)),
                                  optional(arg_tensor(random_mask(rank, out, queries, keys))),
                                  arg_int(causal),
                                  optional(arg_float(0.7)),
                                  arg_int(random_below(2))};
    CHECK(step_agrees(BT_OP_SDPA, args, 7, dtype, rank, out, tolerance_of(dtype), expect_sdpa));
}

static void test_sdpa(void)
{
    for (int round = 0; round < 4 * ROUNDS; round++) {
        check_sdpa(random_float(), 2 + (int)random_below(3), random_below(12),
                   random_below(12) ? 1 + random_below(12) : 0, 1 + random_below(8), 1 + random_below(8));
    }
    for (int round = 0; round < 8; round++) { /* several blocks of queries */
        check_sdpa(BT_F32, 4, 150, 170, 3, 2);
    }
}

static double expect_conv1d(const struct bt_step *step, const int64_t *index)
{
    const struct bt_ref *x = &step->args[0].ref, *w = &step->args[1].ref;
    int64_t per_group = w->dims[0] / step->args[6].scalar.i, group = index[1] / per_group;
    double sum = step->args[2].kind == BT_ARG_VALUE ? item_at(&step->args[2].ref, 1, index + 1) : 0.0;
    for (int64_t c = 0; c < w->dims[1]; c++) {
        for (int64_t t = 0; t < w->dims[2]; t++) {
            int64_t at = index[2] * step->args[3].ints[0] + t * step->args[5].ints[0] - step->args[4].ints[0];
            if (at >= 0 && at < x->dims[2]) {
                sum += item_at(x, 3, (int64_t[]){index[0], group * w->dims[1] + c, at}) *
                       item_at(w, 3, (int64_t[]){index[1], c, t});
            }
        }
    }
    return sum;
}

static void test_conv1d(void)
{
    for (int round = 0; round < 2 * ROUNDS; round++) {
        enum bt_dtype dtype = random_float();
        bool pointwise = random_below(3) == 0;
        int64_t groups = 1 + random_below(3), channels = 1 + random_below(4), filters = (1 + random_below(4)) * groups;
        int64_t taps = pointwise ? 1 : 1 + random_below(4), stride = pointwise ? 1 : 1 + random_below(3);
        int64_t padding = pointwise ? 0 : random_below(4), dilation = 1 + random_below(3),
                length = 1 + random_below(20);
        int64_t room = length + 2 * padding - dilation * (taps - 1) - 1;
        if (room < 0) {
            continue;
        }
        int64_t out[3] = {random_below(20), filters, room / stride + 1};
        struct bt_step_arg args[7] = {
            arg_tensor(tensor_random(dtype, 3, (int64_t[]){out[0], channels * groups, length}, 0)),
            arg_tensor(tensor_random(dtype, 3, (int64_t[]){filters, channels, taps}, 0)),
            optional(arg_tensor(tensor_random(dtype, 1, &filters, 0))),
            arg_ints(&stride, 1),
            arg_ints(&padding, 1),
            arg_ints(&dilation, 1),
            arg_int(groups)};
        CHECK(step_agrees(BT_OP_CONV1D, args, 7, dtype, 3, out, tolerance_of(dtype), expect_conv1d));
    }
}

/* The activations' scale and zero point, found by the first call for a result. */
static double dynamic_scale;
static int64_t dynamic_zero_point;

static void choose_dynamic(const struct bt_step *step)
{
    const struct bt_ref *x = &step->args[0].ref;
    int64_t levels = step->args[3].scalar.i ? 127 : 255;
    double min = 0.0, max = 0.0;
    for (int64_t i = 0; i < x->dims[0] * x->dims[1]; i++) {
        double value = item_at(x, 2, (int64_t[]){i / x->dims[1], i % x->dims[1]});
        min = value < min ? value : min;
        max = value > max ? value : max;
    }
    dynamic_scale = max > min ? (max - min) / (double)levels : 0.1;
    dynamic_zero_point = (int64_t)nearbyint(-min / dynamic_scale);
}

static double expect_dynamic(const struct bt_step *step, const int64_t *index)
{
    const struct bt_ref *x = &step->args[0].ref;
    const struct bt_step_arg *w = &step->args[1];
    int64_t sum = 0;
    if (index[0] == 0 && index[1] == 0) {
        choose_dynamic(step);
    }
    for (int64_t k = 0; k < x->dims[1]; k++) {
        double value = item_at(x, 2, (int64_t[]){index[0], k});
        /* Values near a tie fall where float32 puts them, as in PyTorch's kernel. */
        float inverse = 1.0f / (float)dynamic_scale;
        int64_t level = (int64_t)nearbyintf((float)(value * (double)inverse + (double)dynamic_zero_point));
        level = (level < 0 ? 0 : level > 255 ? 255 : level) - dynamic_zero_point;
        sum += level * ((int64_t)item_at(&w->ref, 2, (int64_t[]){index[1], k}) - w->quant_zero_point);
    }
    double bias = step->args[2].kind == BT_ARG_VALUE ? item_at(&step->args[2].ref, 1, index + 1) : 0.0;
    return (double)sum * (double)(float)dynamic_scale * w->quant_scale + bias;
}

static void test_dynamic(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        int64_t m = 1 + random_below(12), k = 1 + random_below(40), n = 1 + random_below(12);
        struct bt_step_arg args[4] = {arg_tensor(tensor_random(BT_F32, 2, (int64_t[]){m, k}, 0)),
                                      arg_tensor(tensor_random(BT_I8, 2, (int64_t[]){n, k}, 127)),
                                      optional(arg_tensor(tensor_random(BT_F32, 1, &n, 0))), arg_int(round % 2)};
        args[1].quant_scale = 0.0625;
        args[1].quant_zero_point = random_below(100);
        CHECK(step_agrees(BT_OP_LINEAR_DYNAMIC, args, 4, BT_F32, 2, (int64_t[]){m, n}, 1e-4, expect_dynamic));
    }
}

int main(void)
{
    bt_kernels_init(&kernels, bt_cpu_isa());
    check_group("steps: linear", test_linear);
    check_group("steps: matmul", test_matmul);
    check_group("steps: norm", test_norm);
    check_group("steps: softmax", test_softmax);
    check_group("steps: sdpa", test_sdpa);
    check_group("steps: conv1d", test_conv1d);
    check_group("steps: linear_dynamic", test_dynamic);
    return check_result();
}
