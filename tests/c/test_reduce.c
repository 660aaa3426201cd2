/* test_reduce.c: reductions, arg-reductions and running sums over every choice of dims, against plain loops */
#include "exec_net.h"

enum { RANK = 4, ITEMS = 4096 };

/* A [2, 3, 2, n] tensor, stored in another order. */
struct sample {
    char memory[ITEMS * sizeof(double)];
    double items[ITEMS];
    int64_t dims[RANK];
    bt_value value;
};

static void make_sample(struct net *net, struct sample *x, enum bt_dtype dtype, int64_t last, int rotation)
{
    int64_t stored[RANK], back[RANK], strides[RANK];
    uint64_t seed = (uint64_t)(last * RANK + rotation + 1);
    memcpy(x->dims, (int64_t[]){2, 3, 2, last}, sizeof x->dims);
    for (int d = 0; d < RANK; d++) {
        int source = (d + rotation) % RANK;
        back[source] = d;
        stored[d] = x->dims[source];
    }
    bt_contiguous_strides(RANK, stored, strides);
    for (int64_t i = 0; i < bt_numel(RANK, stored); i++) {
        double number = (double)net_between(&seed, dtype == BT_BOOL ? 0 : -3, dtype == BT_BOOL ? 1 : 3);
        net_set_number(dtype, x->memory, i, bt_dtype_is_float(dtype) ? number / 2 : number);
    }
    for (int64_t i = 0; i < bt_numel(RANK, x->dims); i++) {
        int64_t rest = i, at = 0;
        for (int d = RANK - 1; d >= 0; d--) {
            at += rest % x->dims[d] * strides[back[d]];
            rest /= x->dims[d];
        }
        x->items[i] = net_number(dtype, x->memory, at);
    }
    bt_value input = net_input(net, dtype, RANK, stored, x->memory);
    x->value = NET_OP(net, BT_OP_PERMUTE, bt_arg_value(input), net_ints(net, RANK, back));
}

/* Number of the result's item to which item i belongs. */
static int64_t target(const int64_t *dims, unsigned along, int64_t i)
{
    int64_t at = 0, stride = 1;
    for (int d = RANK - 1; d >= 0; d--) {
        if (!(along >> d & 1)) {
            at += i % dims[d] * stride;
            stride *= dims[d];
        }
        i /= dims[d];
    }
    return at;
}

static double reduce_plain(enum bt_op op, const double *v, int64_t n, double param)
{
    double sum = 0, prod = 1, most = v[0], least = v[0], any = 0, all = 1, norm = 0, var = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += v[i];
        prod *= v[i];
        most = fmax(most, v[i]);
        least = fmin(least, v[i]);
        any = any != 0 || v[i] != 0;
        all = all != 0 && v[i] != 0;
        norm += param == 0 ? v[i] != 0 : pow(fabs(v[i]), param);
    }
    for (int64_t i = 0; i < n; i++) {
        var += (v[i] - sum / (double)n) * (v[i] - sum / (double)n);
    }
    switch (op) {
    case BT_OP_SUM: return sum;
    case BT_OP_MEAN: return sum / (double)n;
    case BT_OP_PROD: return prod;
    case BT_OP_AMAX: return most;
    case BT_OP_AMIN: return least;
    case BT_OP_ANY: return any;
    case BT_OP_ALL: return all;
    case BT_OP_VAR: return (double)n > param ? var / ((double)n - param) : NAN;
    default: return isinf(param) ? fmax(fabs(most), fabs(least)) : param == 0 ? norm : pow(norm, 1 / param);
    }
}

static bt_value add_reduction(struct net *net, enum bt_op op, bt_value x, unsigned along, double param)
{
    int64_t dims[RANK];
    int count = 0;
    for (int d = 0; d < RANK; d++) {
        if (along >> d & 1) {
            dims[count++] = d;
        }
    }
    struct bt_arg list = net_ints(net, count, dims), keep = bt_arg_expr(bt_expr_bool(net->graph.exprs, along & 1));
    struct bt_arg number = bt_arg_float(&net->graph, param);
    if (op == BT_OP_NORM) {
        return NET_OP(net, op, bt_arg_value(x), number, list, keep);
    }
    if (op == BT_OP_VAR) {
        return NET_OP(net, op, bt_arg_value(x), list, keep, number);
    }
    return NET_OP(net, op, bt_arg_value(x), list, keep);
}

static void check_reduction(enum bt_op op, enum bt_dtype dtype, unsigned along, int64_t last, int rotation,
                            double param)
{
    static struct sample x;
    static double want[ITEMS], group[ITEMS];
    struct net net;
    net_init(&net);
    make_sample(&net, &x, dtype, last, rotation);
    net_output(&net, add_reduction(&net, op, x.value, along, param));
    int64_t items = bt_numel(RANK, x.dims), results = 1;
    for (int d = 0; d < RANK; d++) {
        results *= along >> d & 1 ? 1 : x.dims[d];
    }
    for (int64_t r = 0; r < results; r++) {
        int64_t n = 0;
        for (int64_t i = 0; i < items; i++) {
            if (target(x.dims, along, i) == r) {
                group[n++] = x.items[i];
            }
        }
        want[r] = reduce_plain(op, group, n, param);
    }
    bool good = net_run(&net, 1) && net_equals(&net, 0, want, results, dtype == BT_F64 ? 1e-13 : 1e-6);
    if (!good) {
        printf("    %s of %s, dims %x, last %d: %s\n", bt_ops[op].name, bt_dtype_name(dtype), along, (int)last,
               net.err.text);
    }
    CHECK(good);
    net_free(&net);
}

static void test_reductions(void)
{
    static const struct {
        enum bt_op op;
        bool floats_only;
        double param;
    } cases[] = {
        {BT_OP_SUM, false, 0},  {BT_OP_MEAN, true, 0},        {BT_OP_PROD, false, 0}, {BT_OP_AMAX, false, 0},
        {BT_OP_AMIN, false, 0}, {BT_OP_ANY, false, 0},        {BT_OP_ALL, false, 0},  {BT_OP_VAR, true, 0},
        {BT_OP_VAR, true, 1},   {BT_OP_NORM, true, 2},        {BT_OP_NORM, true, 1},  {BT_OP_NORM, true, 0},
        {BT_OP_NORM, true, 3},  {BT_OP_NORM, true, INFINITY},
    };
    static const enum bt_dtype dtypes[] = {BT_F32, BT_F64, BT_I64, BT_I32, BT_BOOL};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        for (size_t d = 0; d < sizeof dtypes / sizeof dtypes[0]; d++) {
            if (cases[c].floats_only && !bt_dtype_is_float(dtypes[d])) {
                continue;
            }
            if (dtypes[d] == BT_I64 && cases[c].op == BT_OP_PROD) {
                continue; /* overflows: test_values */
            }
            for (unsigned along = 1; along < 1u << RANK; along++) {
                check_reduction(cases[c].op, dtypes[d], along, along % 3 ? 5 : 130, (int)along % RANK, cases[c].param);
            }
        }
    }
}

static void test_arg_reductions(void)
{
    static const enum bt_op ops[] = {BT_OP_ARGMAX, BT_OP_ARGMIN, BT_OP_MAX_DIM, BT_OP_MIN_DIM};
    static struct sample x;
    static double indices[ITEMS], values[ITEMS];
    for (int k = 0; k < 4 * RANK * 2; k++) {
        enum bt_op op = ops[k % 4];
        int dim = k / 4 % RANK;
        bool largest = op == BT_OP_ARGMAX || op == BT_OP_MAX_DIM;
        enum bt_dtype dtype = k / (4 * RANK) ? BT_F32 : BT_I64;
        struct net net;
        net_init(&net);
        make_sample(&net, &x, dtype, 7, k % RANK);
        struct bt_arg args[] = {bt_arg_value(x.value), bt_arg_int(&net.graph, dim)};
        bt_value outs[BT_MAX_OUTS] = {BT_NO_VALUE, BT_NO_VALUE};
        CHECK(bt_graph_node(&net.graph, op, args, 2, outs, &net.err) == BERTC_OK);
        int64_t items = bt_numel(RANK, x.dims), results = items / x.dims[dim], stride = 1;
        for (int d = dim + 1; d < RANK; d++) {
            stride *= x.dims[d];
        }
        for (int64_t r = 0; r < results; r++) {
            indices[r] = -1;
        }
        for (int64_t i = 0; i < items; i++) {
            int64_t r = target(x.dims, 1u << dim, i);
            if (indices[r] < 0 || (largest ? x.items[i] > values[r] : x.items[i] < values[r])) {
                values[r] = x.items[i];
                indices[r] = (double)(i / stride % x.dims[dim]);
            }
        }
        net_output(&net, outs[0]);
        bool pair = op == BT_OP_MAX_DIM || op == BT_OP_MIN_DIM;
        if (pair) {
            net_output(&net, outs[1]);
        }
        CHECK(net_run(&net, 1) && net_equals(&net, pair ? 1 : 0, indices, results, 0));
        CHECK(!pair || net_equals(&net, 0, values, results, 0));
        net_free(&net);
    }
}

static void test_running_sums(void)
{
    static const enum bt_dtype dtypes[] = {BT_F32, BT_F64, BT_I64, BT_I32, BT_BOOL};
    static struct sample x;
    static double want[ITEMS];
    for (int k = 0; k < RANK * 5 * 2; k++) {
        int dim = k % RANK;
        struct net net;
        net_init(&net);
        make_sample(&net, &x, dtypes[k / RANK % 5], k / (RANK * 5) ? 340 : 3, k % 3);
        net_output(&net, NET_OP(&net, BT_OP_CUMSUM, bt_arg_value(x.value), bt_arg_int(&net.graph, dim)));
        int64_t items = bt_numel(RANK, x.dims), stride = 1;
        for (int d = dim + 1; d < RANK; d++) {
            stride *= x.dims[d];
        }
        for (int64_t i = 0; i < items; i++) {
            want[i] = x.items[i] + (i / stride % x.dims[dim] > 0 ? want[i - stride] : 0);
        }
        CHECK(net_run(&net, 1) && net_equals(&net, 0, want, items, 1e-6));
        net_free(&net);
    }
}

/* Results that only particular numbers show: NaN, overflow, ties, long sums. */
static void test_values(void)
{
    enum { LONG = 100003 };
    static float tenths[LONG];
    struct net net;
    net_init(&net);
    struct bt_graph *g = &net.graph;
    float nans[4] = {1, NAN, 3, NAN};
    int64_t wide[2] = {INT64_MAX, 2};
    for (int i = 0; i < LONG; i++) {
        tenths[i] = 0.1f;
    }
    struct bt_arg x = bt_arg_value(net_input(&net, BT_F32, 1, (int64_t[]){4}, nans));
    struct bt_arg w = bt_arg_value(net_input(&net, BT_I64, 1, (int64_t[]){2}, wide));
    struct bt_arg t = bt_arg_value(net_input(&net, BT_F32, 1, (int64_t[]){LONG}, tenths));
    struct bt_arg dims = net_ints(&net, 1, (int64_t[]){0}), keep = bt_arg_none();
    net_output(&net, NET_OP(&net, BT_OP_AMAX, x, dims));
    net_output(&net, NET_OP(&net, BT_OP_ARGMAX, x, bt_arg_int(g, 0)));
    net_output(&net, NET_OP(&net, BT_OP_ANY, x, dims));
    net_output(&net, NET_OP(&net, BT_OP_SUM, w, dims));
    net_output(&net, NET_OP(&net, BT_OP_PROD, w, dims));
    net_output(&net, NET_OP(&net, BT_OP_SUM, t, dims));
    net_output(&net, NET_OP(&net, BT_OP_SUM, t, dims, keep, bt_arg_dtype(BT_I64)));
    net_output(&net, NET_OP(&net, BT_OP_CUMSUM, x, bt_arg_int(g, 0), bt_arg_dtype(BT_F64)));
    CHECK(net_run(&net, 1));
    CHECK(net_equals(&net, 0, (double[]){NAN}, 1, 0));
    CHECK(net_equals(&net, 1, (double[]){1}, 1, 0));
    CHECK(net_equals(&net, 2, (double[]){1}, 1, 0));
    CHECK(((const int64_t *)(const void *)net.outputs[3])[0] == INT64_MIN + 1);
    CHECK(((const int64_t *)(const void *)net.outputs[4])[0] == -2);
    CHECK(net_equals(&net, 5, (double[]){LONG * (double)0.1f}, 1, 1e-7));
    CHECK(net_equals(&net, 6, (double[]){0}, 1, 0));
    CHECK(net_equals(&net, 7, (double[]){1, NAN, NAN, NAN}, 4, 0));
    net_free(&net);
}

static void test_scalar(void)
{
    double number = 5;
    struct net net;
    net_init(&net);
    struct bt_arg x = bt_arg_value(net_input(&net, BT_F64, 0, NULL, &number));
    net_output(&net, NET_OP(&net, BT_OP_SUM, x));
    net_output(&net, NET_OP(&net, BT_OP_ARGMAX, x, bt_arg_int(&net.graph, 0)));
    net_output(&net, NET_OP(&net, BT_OP_CUMSUM, x, bt_arg_int(&net.graph, 0)));
    CHECK(net_run(&net, 1));
    CHECK(net_equals(&net, 0, &number, 1, 0) && net_equals(&net, 1, (double[]){0}, 1, 0));
    CHECK(net_equals(&net, 2, &number, 1, 0));
    net_free(&net);
}

int main(void)
{
    check_group("reduce", test_reductions);
    check_group("reduce arg", test_arg_reductions);
    check_group("running sums", test_running_sums);
    check_group("reduce values", test_values);
    check_group("reduce scalar", test_scalar);
    return check_result();
}
