/* test_pointwise.c: pointwise steps over broadcast, permuted and sliced operands, against the formulas */
#include "exec_net.h"

enum { MAX_ITEMS = 20000, OPERANDS = 3 };

static uint64_t seed = 1;

/* A tensor of the wanted dims, whose memory is permuted and has gaps, and its numbers in order. */
struct operand {
    char memory[2 * MAX_ITEMS * sizeof(double)];
    double items[MAX_ITEMS];
    bt_value value;
};

/* The number for a position: small, signed, with fractions for floats. */
static double any_number(enum bt_dtype dtype)
{
    int64_t whole = net_between(&seed, dtype == BT_U8 ? 0 : -9, 9);
    if (dtype == BT_BOOL) {
        return (double)(whole & 1);
    }
    return bt_dtype_is_int(dtype) ? (double)whole : (double)whole / 4;
}

static void make_operand(struct net *net, struct operand *x, enum bt_dtype dtype, int rank, const int64_t *dims)
{
    int64_t order[BT_MAX_RANK], back[BT_MAX_RANK], stored[BT_MAX_RANK], strides[BT_MAX_RANK];
    int64_t step = net_between(&seed, 1, 2), rotation = rank > 0 ? net_between(&seed, 0, rank - 1) : 0;
    for (int d = 0; d < rank; d++) {
        order[d] = (d + rotation) % rank;
        back[order[d]] = d;
        stored[d] = dims[order[d]] * (d == 0 ? step : 1);
    }
    int64_t count = bt_numel(rank, stored);
    for (int64_t i = 0; i < count; i++) {
        net_set_number(dtype, x->memory, i, any_number(dtype));
    }
    x->value = net_input(net, dtype, rank, stored, x->memory);
    if (rank == 0) {
        x->items[0] = net_number(dtype, x->memory, 0);
        return;
    }
    struct bt_graph *g = &net->graph;
    x->value = NET_OP(net, BT_OP_SLICE, bt_arg_value(x->value), bt_arg_int(g, 0), bt_arg_int(g, 0),
                      bt_arg_int(g, stored[0]), bt_arg_int(g, step));
    x->value = NET_OP(net, BT_OP_PERMUTE, bt_arg_value(x->value), net_ints(net, rank, back));
    bt_contiguous_strides(rank, stored, strides);
    strides[0] *= step;
    for (int64_t i = 0; i < bt_numel(rank, dims); i++) {
        int64_t rest = i, at = 0;
        for (int d = rank - 1; d >= 0; d--) {
            at += rest % dims[d] * strides[back[d]];
            rest /= dims[d];
        }
        x->items[i] = net_number(dtype, x->memory, at);
    }
}

/* The operand's item for item i of the result. */
static double broadcast_item(const struct operand *x, int rank, const int64_t *dims, int out_rank,
                             const int64_t *out_dims, int64_t i)
{
    int64_t at = 0, stride = 1;
    for (int d = rank - 1; d >= 0; d--) {
        int64_t size = out_dims[d + out_rank - rank];
        at += dims[d] == 1 ? 0 : i % size * stride;
        i /= size;
        stride *= dims[d];
    }
    return x->items[at];
}

typedef double formula_fn(double a, double b, double c);

#define FORMULA(name, expr)                          \
    static double name(double a, double b, double c) \
    {                                                \
        (void)a, (void)b, (void)c;                   \
        return expr;                                 \
    }
FORMULA(f_neg, -a)
FORMULA(f_abs, fabs(a))
FORMULA(f_sign, (a > 0) - (a < 0))
FORMULA(f_ceil, ceil(a))
FORMULA(f_floor, floor(a))
FORMULA(f_round, nearbyint(a))
FORMULA(f_trunc, trunc(a))
FORMULA(f_relu, a < 0 ? 0 : a)
FORMULA(f_sqrt, sqrt(a))
FORMULA(f_rsqrt, 1 / sqrt(a))
FORMULA(f_reciprocal, 1 / a)
FORMULA(f_exp, exp(a))
FORMULA(f_log, log(a))
FORMULA(f_sin, sin(a))
FORMULA(f_cos, cos(a))
FORMULA(f_tanh, tanh(a))
FORMULA(f_sigmoid, 1 / (1 + exp(-a)))
FORMULA(f_erf, erf(a))
FORMULA(f_silu, a / (1 + exp(-a)))
FORMULA(f_not, a == 0)
FORMULA(f_isnan, isnan(a) != 0)
FORMULA(f_isinf, isinf(a) != 0)
FORMULA(f_add, a + b)
FORMULA(f_sub, a - b)
FORMULA(f_mul, a *b)
FORMULA(f_div, a / b)
FORMULA(f_floor_divide, floor(a / b))
FORMULA(f_remainder, fmod(a, b) != 0 && (fmod(a, b) < 0) != (b < 0) ? fmod(a, b) + b : fmod(a, b))
FORMULA(f_pow, pow(a, b))
FORMULA(f_minimum, fmin(a, b))
FORMULA(f_maximum, fmax(a, b))
FORMULA(f_eq, a == b)
FORMULA(f_ne, a != b)
FORMULA(f_lt, a < b)
FORMULA(f_le, a <= b)
FORMULA(f_gt, a > b)
FORMULA(f_ge, a >= b)
FORMULA(f_and, a != 0 && b != 0)
FORMULA(f_or, a != 0 || b != 0)
FORMULA(f_xor, (a != 0) != (b != 0))
FORMULA(f_bit_and, (double)((int64_t)a & (int64_t)b))
FORMULA(f_bit_or, (double)((int64_t)a | (int64_t)b))
FORMULA(f_bit_xor, (double)((int64_t)a ^ (int64_t)b))
FORMULA(f_bit_not, (double)~(int64_t)a)
FORMULA(f_where, a != 0 ? b : c)
FORMULA(f_clamp, fmin(fmax(a, b), c))

enum takes { FLOATS = 1, INTS = 2, BOOLS = 4, NUMBERS = FLOATS | INTS, ALL = NUMBERS | BOOLS };

static const struct op_case {
    enum bt_op op;
    int nargs;
    enum takes takes;
    bool nonzero; /* the second integer operand must not be 0 here */
    formula_fn *formula;
} cases[] = {
    {BT_OP_NEG, 1, NUMBERS, false, f_neg},
    {BT_OP_ABS, 1, NUMBERS, false, f_abs},
    {BT_OP_SIGN, 1, NUMBERS, false, f_sign},
    {BT_OP_CEIL, 1, NUMBERS, false, f_ceil},
    {BT_OP_FLOOR, 1, NUMBERS, false, f_floor},
    {BT_OP_ROUND, 1, NUMBERS, false, f_round},
    {BT_OP_TRUNC, 1, NUMBERS, false, f_trunc},
    {BT_OP_RELU, 1, NUMBERS, false, f_relu},
    {BT_OP_SQRT, 1, ALL, false, f_sqrt},
    {BT_OP_RSQRT, 1, NUMBERS, false, f_rsqrt},
    {BT_OP_RECIPROCAL, 1, NUMBERS, false, f_reciprocal},
    {BT_OP_EXP, 1, ALL, false, f_exp},
    {BT_OP_LOG, 1, ALL, false, f_log},
    {BT_OP_SIN, 1, ALL, false, f_sin},
    {BT_OP_COS, 1, ALL, false, f_cos},
    {BT_OP_TANH, 1, ALL, false, f_tanh},
    {BT_OP_SIGMOID, 1, ALL, false, f_sigmoid},
    {BT_OP_ERF, 1, ALL, false, f_erf},
    {BT_OP_SILU, 1, FLOATS, false, f_silu},
    {BT_OP_LOGICAL_NOT, 1, ALL, false, f_not},
    {BT_OP_ISNAN, 1, ALL, false, f_isnan},
    {BT_OP_ISINF, 1, ALL, false, f_isinf},
    {BT_OP_ADD, 2, NUMBERS, false, f_add},
    {BT_OP_SUB, 2, NUMBERS, false, f_sub},
    {BT_OP_MUL, 2, ALL, false, f_mul},
    {BT_OP_DIV, 2, ALL, false, f_div},
    {BT_OP_FLOOR_DIVIDE, 2, NUMBERS, true, f_floor_divide},
    {BT_OP_REMAINDER, 2, NUMBERS, true, f_remainder},
    {BT_OP_POW, 2, FLOATS, false, f_pow},
    {BT_OP_MINIMUM, 2, ALL, false, f_minimum},
    {BT_OP_MAXIMUM, 2, ALL, false, f_maximum},
    {BT_OP_EQ, 2, ALL, false, f_eq},
    {BT_OP_NE, 2, ALL, false, f_ne},
    {BT_OP_LT, 2, ALL, false, f_lt},
    {BT_OP_LE, 2, ALL, false, f_le},
    {BT_OP_GT, 2, ALL, false, f_gt},
    {BT_OP_GE, 2, ALL, false, f_ge},
    {BT_OP_LOGICAL_AND, 2, ALL, false, f_and},
    {BT_OP_LOGICAL_OR, 2, ALL, false, f_or},
    {BT_OP_LOGICAL_XOR, 2, ALL, false, f_xor},
    {BT_OP_BITWISE_AND, 2, INTS | BOOLS, false, f_bit_and},
    {BT_OP_BITWISE_OR, 2, INTS | BOOLS, false, f_bit_or},
    {BT_OP_BITWISE_XOR, 2, INTS | BOOLS, false, f_bit_xor},
    {BT_OP_BITWISE_NOT, 1, INTS, false, f_bit_not},
    {BT_OP_BITWISE_NOT, 1, BOOLS, false, f_not},
    {BT_OP_WHERE, 3, ALL, false, f_where},
    {BT_OP_CLAMP, 3, NUMBERS, false, f_clamp},
};

static bool takes(const struct op_case *c, enum bt_dtype dtype)
{
    return c->takes & (dtype == BT_BOOL ? BOOLS : bt_dtype_is_float(dtype) ? FLOATS : INTS);
}

/* Some dims are 1 or left out; now and then none at all, or rows as long as a block. */
static int operand_dims(int out_rank, const int64_t *out_dims, int64_t *dims)
{
    int skipped = net_between(&seed, 0, 3) == 0 ? (int)net_between(&seed, 0, out_rank) : 0;
    for (int d = skipped; d < out_rank; d++) {
        dims[d - skipped] = net_between(&seed, 0, 3) == 0 ? 1 : out_dims[d];
    }
    return out_rank - skipped;
}

static void check_case(const struct op_case *c, enum bt_dtype dtype)
{
    static struct operand x[OPERANDS];
    static double want[MAX_ITEMS];
    static const int64_t rows[] = {1, 3, 7, 260, 300, 1030};
    struct net net;
    struct bt_arg args[OPERANDS];
    double numbers[OPERANDS] = {0};
    int64_t out_dims[BT_MAX_RANK], dims[OPERANDS][BT_MAX_RANK];
    int ranks[OPERANDS], out_rank = (int)net_between(&seed, 0, 4);
    net_init(&net);
    for (int d = 0; d < out_rank; d++) {
        out_dims[d] = d + 1 < out_rank ? net_between(&seed, 1, 2) : rows[net_between(&seed, 0, 5)];
    }
    for (int k = 0; k < c->nargs; k++) {
        enum bt_dtype own = c->op == BT_OP_WHERE && k == 0 ? BT_BOOL : dtype;
        bool number = k > 0 && dtype != BT_BOOL && net_between(&seed, 0, 2) == 0;
        ranks[k] = k == 0 ? out_rank : operand_dims(out_rank, out_dims, dims[k]);
        if (k == 0) {
            memcpy(dims[k], out_dims, sizeof out_dims);
        }
        if (number) {
            ranks[k] = -1;
            numbers[k] = any_number(own);
            if (c->nonzero && numbers[k] == 0) {
                numbers[k] = 2;
            }
            args[k] = bt_dtype_is_int(dtype) ? bt_arg_int(&net.graph, (int64_t)numbers[k])
                                             : bt_arg_float(&net.graph, numbers[k]);
            continue;
        }
        make_operand(&net, &x[k], own, ranks[k], dims[k]);
        for (int64_t i = 0; c->nonzero && k > 0 && i < 2 * MAX_ITEMS; i++) {
            if (net_number(own, x[k].memory, i) == 0) {
                net_set_number(own, x[k].memory, i, 2);
            }
        }
        for (int64_t i = 0; c->nonzero && k > 0 && i < MAX_ITEMS; i++) {
            x[k].items[i] = x[k].items[i] == 0 ? 2 : x[k].items[i];
        }
        args[k] = bt_arg_value(x[k].value);
    }
    bt_value value = net_op(&net, c->op, c->nargs, args);
    net_output(&net, value);
    int64_t count = bt_numel(out_rank, out_dims);
    for (int64_t i = 0; i < count; i++) {
        double v[OPERANDS] = {0};
        for (int k = 0; k < c->nargs; k++) {
            v[k] = ranks[k] < 0 ? numbers[k] : broadcast_item(&x[k], ranks[k], dims[k], out_rank, out_dims, i);
        }
        want[i] = c->formula(v[0], v[1], v[2]);
        if (net.graph.values[value].dtype == BT_U8) {
            want[i] = (double)(uint8_t)(int64_t)want[i];
        }
    }
    bool good = net_run(&net, 1) && net_equals(&net, 0, want, count, dtype == BT_F64 ? 1e-14 : 2e-6);
    if (!good) {
        printf("    %s of %s: %s\n", bt_ops[c->op].name, bt_dtype_name(dtype), net.err.text);
    }
    CHECK(good);
    net_free(&net);
}

static void test_cases(void)
{
    static const enum bt_dtype dtypes[] = {BT_F32, BT_F64, BT_I64, BT_I32, BT_U8, BT_BOOL};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t d = 0; d < sizeof dtypes / sizeof dtypes[0]; d++) {
            for (int repeat = 0; repeat < 12 && takes(&cases[i], dtypes[d]); repeat++) {
                check_case(&cases[i], dtypes[d]);
            }
        }
    }
}

/* One op of a few numbers and their results. */
static void check_row(enum bt_op op, enum bt_dtype dtype, int64_t count, const void *items, int nargs,
                      const struct bt_arg *more, struct net *net, const double *want, double tolerance)
{
    struct bt_arg args[OPERANDS + 1] = {bt_arg_value(net_input(net, dtype, 1, &count, items))};
    for (int k = 1; k < nargs; k++) {
        args[k] = more[k - 1];
    }
    net_output(net, net_op(net, op, nargs, args));
    CHECK(net_run(net, 1) && net_equals(net, 0, want, count, tolerance));
    net_free(net);
    net_init(net);
}

static void test_parameters(void)
{
    struct net net;
    net_init(&net);
    struct bt_graph *g = &net.graph;
    const float x[4] = {-2, -0.5f, 0, 3};
    double want[4];
    for (int tanh_form = 0; tanh_form < 2; tanh_form++) {
        for (int i = 0; i < 4; i++) {
            double v = (double)x[i];
            want[i] = tanh_form ? 0.5 * v * (1 + tanh(sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)))
                                : 0.5 * v * (1 + erf(v / sqrt(2)));
        }
        check_row(BT_OP_GELU, BT_F32, 4, x, 2, (struct bt_arg[]){bt_arg_expr(bt_expr_bool(g->exprs, tanh_form))}, &net,
                  want, 1e-6);
    }
    for (int i = 0; i < 4; i++) {
        want[i] = (double)x[i] * 2 > 5 ? (double)x[i] : log1p(exp((double)x[i] * 2)) / 2;
    }
    check_row(BT_OP_SOFTPLUS, BT_F32, 4, x, 3, (struct bt_arg[]){bt_arg_int(g, 2), bt_arg_float(g, 5)}, &net, want,
              1e-6);
    for (int i = 0; i < 4; i++) {
        want[i] = x[i] > 0 ? (double)x[i] : 1.5 * expm1((double)x[i]);
    }
    check_row(BT_OP_ELU, BT_F32, 4, x, 2, (struct bt_arg[]){bt_arg_float(g, 1.5)}, &net, want, 1e-6);
    check_row(BT_OP_LEAKY_RELU, BT_F32, 4, x, 2, (struct bt_arg[]){bt_arg_float(g, 0.25)}, &net,
              (double[]){-0.5, -0.125, 0, 3}, 0);
    check_row(BT_OP_CLAMP, BT_F32, 4, x, 3, (struct bt_arg[]){bt_arg_none(), bt_arg_int(g, 1)}, &net,
              (double[]){-2, -0.5, 0, 1}, 0);
    check_row(BT_OP_CLAMP, BT_I64, 2, (int64_t[]){-5, INT64_MAX}, 3,
              (struct bt_arg[]){bt_arg_int(g, -1), bt_arg_none()}, &net, (double[]){-1, 0x1p63}, 0);
    check_row(BT_OP_CLAMP, BT_F32, 2, (float[]){NAN, INFINITY}, 3,
              (struct bt_arg[]){bt_arg_int(g, 0), bt_arg_int(g, 1)}, &net, (double[]){NAN, 1}, 0);
    static const double exponents[] = {0.5, 2, 3, -0.5, -1, -2, 0, 1, 1.5};
    for (size_t e = 0; e < sizeof exponents / sizeof exponents[0]; e++) {
        for (int i = 0; i < 4; i++) {
            want[i] = pow((double)x[i], exponents[e]);
        }
        check_row(BT_OP_POW, BT_F32, 4, x, 2, (struct bt_arg[]){bt_arg_float(g, exponents[e])}, &net, want, 1e-6);
    }
    net_free(&net);
}

static void test_edges(void)
{
    struct net net;
    net_init(&net);
    struct bt_graph *g = &net.graph;
    const int64_t extremes[3] = {INT64_MIN, 7, -7};
    struct bt_arg minus_one = bt_arg_int(g, -1);
    check_row(BT_OP_FLOOR_DIVIDE, BT_I64, 3, extremes, 2, &minus_one, &net, (double[]){-0x1p63, -7, 7}, 0);
    minus_one = bt_arg_int(g, -1);
    check_row(BT_OP_REMAINDER, BT_I64, 3, extremes, 2, &minus_one, &net, (double[]){0, 0, 0}, 0);
    struct bt_arg zero = bt_arg_int(g, 0);
    check_row(BT_OP_FLOOR_DIVIDE, BT_I64, 3, extremes, 2, &zero, &net, (double[]){0, 0, 0}, 0);
    zero = bt_arg_int(g, 0);
    check_row(BT_OP_REMAINDER, BT_I64, 3, extremes, 2, &zero, &net, (double[]){0, 0, 0}, 0);
    struct bt_arg power = bt_arg_int(g, -3);
    check_row(BT_OP_POW, BT_I64, 4, (int64_t[]){1, -1, 0, 5}, 2, &power, &net, (double[]){1, -1, 0, 0}, 0);
    power = bt_arg_int(g, 5);
    check_row(BT_OP_POW, BT_I64, 3, (int64_t[]){-2, 0, 3}, 2, &power, &net, (double[]){-32, 0, 243}, 0);
    check_row(BT_OP_NEG, BT_I64, 3, extremes, 1, NULL, &net, (double[]){-0x1p63, -7, 7}, 0);
    check_row(BT_OP_ABS, BT_I32, 2, (int32_t[]){INT32_MIN, -3}, 1, NULL, &net, (double[]){INT32_MIN, 3}, 0);
    check_row(BT_OP_ISNAN, BT_F32, 3, (float[]){NAN, INFINITY, 1}, 1, NULL, &net, (double[]){1, 0, 0}, 0);
    check_row(BT_OP_ISINF, BT_F64, 3, (double[]){NAN, -INFINITY, 1}, 1, NULL, &net, (double[]){0, 1, 0}, 0);
    struct bt_arg number = bt_arg_float(g, 1);
    check_row(BT_OP_MAXIMUM, BT_F32, 2, (float[]){NAN, 0}, 2, &number, &net, (double[]){NAN, 1}, 0);
    number = bt_arg_float(g, NAN);
    check_row(BT_OP_MINIMUM, BT_F32, 2, (float[]){1, 0}, 2, &number, &net, (double[]){NAN, NAN}, 0);
    /* In float32, not double: a Python number takes the tensor's dtype. */
    number = bt_arg_float(g, 0.1);
    check_row(BT_OP_EQ, BT_F32, 2, (float[]){0.1f, 0.2f}, 2, &number, &net, (double[]){1, 0}, 0);
    number = bt_arg_float(g, 0.5);
    check_row(BT_OP_GT, BT_I64, 2, (int64_t[]){0, 1}, 2, &number, &net, (double[]){0, 1}, 0);
    net_free(&net);
}

static void test_casts(void)
{
    struct net net;
    net_init(&net);
    const double x[6] = {1.9, -1.9, 0, NAN, INFINITY, 300};
    struct bt_arg to = bt_arg_dtype(BT_I64);
    check_row(BT_OP_CAST, BT_F64, 6, x, 2, &to, &net, (double[]){1, -1, 0, -0x1p63, -0x1p63, 300}, 0);
    to = bt_arg_dtype(BT_BOOL);
    check_row(BT_OP_CAST, BT_F64, 6, x, 2, &to, &net, (double[]){1, 1, 0, 1, 1, 1}, 0);
    to = bt_arg_dtype(BT_F32);
    check_row(BT_OP_CAST, BT_F64, 6, x, 2, &to, &net, (double[]){(double)1.9f, (double)-1.9f, 0, NAN, INFINITY, 300},
              0);
    to = bt_arg_dtype(BT_F16);
    check_row(BT_OP_CAST, BT_F64, 6, x, 2, &to, &net, (double[]){1.9, -1.9, 0, NAN, INFINITY, 300}, 1e-3);
    to = bt_arg_dtype(BT_U8);
    check_row(BT_OP_CAST, BT_I64, 4, (int64_t[]){-1, 0, 255, 256}, 2, &to, &net, (double[]){255, 0, 255, 0}, 0);
    to = bt_arg_dtype(BT_I64);
    check_row(BT_OP_CAST, BT_BOOL, 3, (uint8_t[]){0, 1, 2}, 2, &to, &net, (double[]){0, 1, 1}, 0);
    to = bt_arg_dtype(BT_F32);
    check_row(BT_OP_CAST, BT_I64, 2, (int64_t[]){16777217, INT64_MIN}, 2, &to, &net, (double[]){16777216, -0x1p63}, 0);
    to = bt_arg_dtype(BT_I32);
    check_row(BT_OP_CAST, BT_F32, 3, (float[]){2.5f, -2.5f, 1e6f}, 2, &to, &net, (double[]){2, -2, 1e6}, 0);
    net_free(&net);
}

/* The result is the same to the bit, however many threads share the work, and with every kernel version. */
static void test_threads(void)
{
    enum { ROWS = 700, COLUMNS = 300 };
    static float x[ROWS * COLUMNS], bias[COLUMNS];
    static float first[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        x[i] = (float)(i % 1001) / 100 - 5;
    }
    for (int i = 0; i < COLUMNS; i++) {
        bias[i] = (float)i / COLUMNS;
    }
    for (int threads = 1; threads <= 4; threads++) {
        struct net net;
        net_init(&net);
        struct bt_cpu cpu = bt_cpu_features();
        bt_kernels_init(&net.kernels, cpu.avx512 ? BT_ISA_AVX512 : cpu.avx2 ? BT_ISA_AVX2 : BT_ISA_REF);
        bt_value a = net_input(&net, BT_F32, 2, (int64_t[]){ROWS, COLUMNS}, x);
        bt_value b = net_input(&net, BT_F32, 1, (int64_t[]){COLUMNS}, bias);
        bt_value sum = NET_OP(&net, BT_OP_ADD, bt_arg_value(a), bt_arg_value(b));
        net_output(&net, NET_OP(&net, BT_OP_GELU, bt_arg_value(sum), bt_arg_int(&net.graph, 0)));
        CHECK(net_run(&net, threads));
        if (threads == 1) {
            memcpy(first, net.outputs[0], sizeof first);
        }
        CHECK(memcmp(first, net.outputs[0], sizeof first) == 0);
        net_free(&net);
    }
}

int main(void)
{
    check_group("pointwise", test_cases);
    check_group("pointwise parameters", test_parameters);
    check_group("pointwise edges", test_edges);
    check_group("casts", test_casts);
    check_group("pointwise threads", test_threads);
    return check_result();
}
