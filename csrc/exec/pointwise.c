/* pointwise.c: the arithmetic of pointwise operators, on plain arrays */
#include "exec/pointwise.h"

#include <tgmath.h>

/* Integer arithmetic wraps around, and a division by zero gives 0. */

static int64_t add_int(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t sub_int(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

static int64_t mul_int(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}

static int64_t remainder_int(int64_t a, int64_t b)
{
    if (b == 0 || b == -1) {
        return 0;
    }
    int64_t rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

static int64_t floor_divide_int(int64_t a, int64_t b)
{
    if (b == 0) {
        return 0;
    }
    if (b == -1) {
        return sub_int(0, a);
    }
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t pow_int(int64_t base, int64_t exponent)
{
    if (exponent < 0) {
        return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
    }
    int64_t result = 1;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1) {
            result = mul_int(result, base);
        }
        base = mul_int(base, base);
    }
    return result;
}

/* The float forms of ATen's floor_divide and remainder, once per type. */
#define FLOAT_DIVISION(lane, type)                                   \
    static type remainder_##lane(type a, type b)                     \
    {                                                                \
        type rest = fmod(a, b);                                      \
        return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest; \
    }                                                                \
    static type floor_divide_##lane(type a, type b)                  \
    {                                                                \
        if (b == 0)                                                  \
            return a / b;                                            \
        type rest = fmod(a, b), quotient = (a - rest) / b;           \
        if (rest != 0 && (rest < 0) != (b < 0))                      \
            quotient -= 1;                                           \
        if (quotient == 0)                                           \
            return copysign((type)0, a / b);                         \
        type down = floor(quotient);                                 \
        return quotient - down > (type)0.5 ? down + 1 : down;        \
    }
FLOAT_DIVISION(F32, float)
FLOAT_DIVISION(F64, double)
#undef FLOAT_DIVISION

/* Formulas over the operands a, b and c, for the lanes that the list's name says. Kernels do the float32 part of the
 * KERNEL lists. */

#define FLOAT_1(X, ...)                     \
    X(NEG, -a, __VA_ARGS__)                 \
    X(ABS, fabs(a), __VA_ARGS__)            \
    X(SIGN, (a > 0) - (a < 0), __VA_ARGS__) \
    X(CEIL, ceil(a), __VA_ARGS__)           \
    X(FLOOR, floor(a), __VA_ARGS__)         \
    X(ROUND, nearbyint(a), __VA_ARGS__)     \
    X(TRUNC, trunc(a), __VA_ARGS__)         \
    X(SQRT, sqrt(a), __VA_ARGS__)           \
    X(RSQRT, 1 / sqrt(a), __VA_ARGS__)      \
    X(RECIPROCAL, 1 / a, __VA_ARGS__)       \
    X(LOG, log(a), __VA_ARGS__)             \
    X(SIN, sin(a), __VA_ARGS__)             \
    X(COS, cos(a), __VA_ARGS__)

/* Here b and c are numbers: one item each. */
#define FLOAT_NUMBERS(X, ...)                                           \
    X(SOFTPLUS, a * *b > *c ? a : log1p(exp(a * *b)) / *b, __VA_ARGS__) \
    X(ELU, a > 0 ? a : *b * expm1(a), __VA_ARGS__)                      \
    X(LEAKY_RELU, a > 0 ? a : *b * a, __VA_ARGS__)

#define KERNEL_1(X)                        \
    X(RELU, relu, a < 0 ? 0 : a)           \
    X(EXP, exp, exp(a))                    \
    X(TANH, tanh, tanh(a))                 \
    X(SIGMOID, sigmoid, 1 / (1 + exp(-a))) \
    X(ERF, erf, erf(a))                    \
    X(SILU, silu, a / (1 + exp(-a)))

#define KERNEL_2(X)    \
    X(ADD, add, a + b) \
    X(SUB, sub, a - b) \
    X(MUL, mul, a * b) \
    X(DIV, div, a / b)

#define INT_1(X, ...)                              \
    X(NEG, sub_int(0, a), __VA_ARGS__)             \
    X(ABS, a < 0 ? sub_int(0, a) : a, __VA_ARGS__) \
    X(SIGN, (a > 0) - (a < 0), __VA_ARGS__)        \
    X(CEIL, a, __VA_ARGS__)                        \
    X(FLOOR, a, __VA_ARGS__)                       \
    X(ROUND, a, __VA_ARGS__)                       \
    X(TRUNC, a, __VA_ARGS__)                       \
    X(RELU, a < 0 ? 0 : a, __VA_ARGS__)            \
    X(BITWISE_NOT, ~a, __VA_ARGS__)

#define INT_2(X, ...)                                    \
    X(ADD, add_int(a, b), __VA_ARGS__)                   \
    X(SUB, sub_int(a, b), __VA_ARGS__)                   \
    X(MUL, mul_int(a, b), __VA_ARGS__)                   \
    X(FLOOR_DIVIDE, floor_divide_int(a, b), __VA_ARGS__) \
    X(REMAINDER, remainder_int(a, b), __VA_ARGS__)       \
    X(POW, pow_int(a, b), __VA_ARGS__)                   \
    X(BITWISE_AND, a & b, __VA_ARGS__)                   \
    X(BITWISE_OR, a | b, __VA_ARGS__)                    \
    X(BITWISE_XOR, a ^ b, __VA_ARGS__)

#define FLOAT_2(X, lane, type)                                   \
    X(FLOOR_DIVIDE, floor_divide_##lane(a, b), lane, type, type) \
    X(REMAINDER, remainder_##lane(a, b), lane, type, type)       \
    X(POW, pow(a, b), lane, type, type)

/* A NaN is not equal to itself; integers always are. */
#define ANY_1(X, ...)   X(CAST, a, __VA_ARGS__)
#define ANY_2(X, ...)                                \
    X(MINIMUM, a < b || a != a ? a : b, __VA_ARGS__) \
    X(MAXIMUM, a > b || a != a ? a : b, __VA_ARGS__)
#define ANY_3(X, ...)                     \
    X(WHERE, a != 0 ? b : c, __VA_ARGS__) \
    X(CLAMP, b != b ? b : c != c ? c : a < b ? (b > c ? c : b) : a > c ? c : a, __VA_ARGS__)

#define TEST_1(X, ...)                  \
    X(LOGICAL_NOT, a == 0, __VA_ARGS__) \
    X(ISNAN, a != a, __VA_ARGS__)       \
    X(ISINF, fabs((double)a) == INFINITY, __VA_ARGS__)
#define TEST_2(X, ...)                            \
    X(EQ, a == b, __VA_ARGS__)                    \
    X(NE, a != b, __VA_ARGS__)                    \
    X(LT, a < b, __VA_ARGS__)                     \
    X(LE, a <= b, __VA_ARGS__)                    \
    X(GT, a > b, __VA_ARGS__)                     \
    X(GE, a >= b, __VA_ARGS__)                    \
    X(LOGICAL_AND, a != 0 && b != 0, __VA_ARGS__) \
    X(LOGICAL_OR, a != 0 || b != 0, __VA_ARGS__)  \
    X(LOGICAL_XOR, (a != 0) != (b != 0), __VA_ARGS__)

/* Functions from formulas. */

#define DEFINE(op, lane, type, result, operands, expr)                                                   \
    static void op##_##lane(const struct bt_kernels *kernels, const void *const *x, void *to, int64_t n) \
    {                                                                                                    \
        (void)kernels;                                                                                   \
        result *y = to;                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                                \
            operands                                                                                     \
            y[i] = (result)(expr);                                                                       \
        }                                                                                                \
    }
#define ITEM(type, name, k) type name = ((const type *)x[k])[i];
#define NUMBER(type, name, k) const type *name = x[k]; (void)name;
#define DEFINE_1(op, expr, lane, type, result) DEFINE(op, lane, type, result, ITEM(type, a, 0), expr)
#define DEFINE_2(op, expr, lane, type, result) \
    DEFINE(op, lane, type, result, ITEM(type, a, 0) ITEM(type, b, 1), expr)
#define DEFINE_3(op, expr, lane, type, result) \
    DEFINE(op, lane, type, result, ITEM(type, a, 0) ITEM(type, b, 1) ITEM(type, c, 2), expr)
#define DEFINE_NUMBERS(op, expr, lane, type, result) \
    DEFINE(op, lane, type, result, ITEM(type, a, 0) NUMBER(type, b, 1) NUMBER(type, c, 2), expr)

#define DEFINE_ANY(lane, type)         \
    ANY_1(DEFINE_1, lane, type, type)  \
    ANY_2(DEFINE_2, lane, type, type)  \
    ANY_3(DEFINE_3, lane, type, type)  \
    TEST_1(DEFINE_1, lane, type, bool) \
    TEST_2(DEFINE_2, lane, type, bool)
DEFINE_ANY(F32, float)
DEFINE_ANY(F64, double)
DEFINE_ANY(I64, int64_t)

#define DEFINE_FLOAT(lane, type)        \
    FLOAT_1(DEFINE_1, lane, type, type) \
    FLOAT_2(DEFINE_2, lane, type)       \
    FLOAT_NUMBERS(DEFINE_NUMBERS, lane, type, type)
DEFINE_FLOAT(F32, float)
DEFINE_FLOAT(F64, double)

INT_1(DEFINE_1, I64, int64_t, int64_t)
INT_2(DEFINE_2, I64, int64_t, int64_t)

#define DEFINE_KERNEL_1(op, name, expr)                                                               \
    static void op##_F32(const struct bt_kernels *kernels, const void *const *x, void *to, int64_t n) \
    {                                                                                                 \
        kernels->name##_f32(x[0], to, (size_t)n);                                                     \
    }                                                                                                 \
    DEFINE_1(op, expr, F64, double, double)
KERNEL_1(DEFINE_KERNEL_1)

#define DEFINE_KERNEL_2(op, name, expr)                                                               \
    static void op##_F32(const struct bt_kernels *kernels, const void *const *x, void *to, int64_t n) \
    {                                                                                                 \
        kernels->name##_f32(x[0], x[1], to, (size_t)n);                                               \
    }                                                                                                 \
    DEFINE_2(op, expr, F64, double, double)
KERNEL_2(DEFINE_KERNEL_2)

/* One item for all on the right. */

#define DEFINE_UNIFORM(op, name, number)                                                                      \
    static void op##_uniform_F32(const struct bt_kernels *kernels, const void *const *x, void *to, int64_t n) \
    {                                                                                                         \
        float b = *(const float *)x[1];                                                                       \
        kernels->name(x[0], number, to, (size_t)n);                                                           \
    }
DEFINE_UNIFORM(ADD, adds_f32, b)
DEFINE_UNIFORM(SUB, adds_f32, -b)
DEFINE_UNIFORM(MUL, muls_f32, b)
DEFINE(DIV_uniform, F32, float, float, ITEM(float, a, 0) NUMBER(float, b, 1), a / *b)

/* The exponents for which ATen does not call pow. */
#define POW_CASES(X)     \
    X(0.5, sqrt(a))      \
    X(2, a * a)          \
    X(3, a * a * a)      \
    X(-0.5, 1 / sqrt(a)) \
    X(-1, 1 / a)         \
    X(-2, 1 / (a * a))
#define POW_CASE(value, expr)             \
    if (b == value) {                     \
        for (int64_t i = 0; i < n; i++) { \
            const item a = from[i];       \
            y[i] = expr;                  \
        }                                 \
        return;                           \
    }
#define DEFINE_POW(lane, type)                                                                                  \
    static void POW_uniform_##lane(const struct bt_kernels *kernels, const void *const *x, void *to, int64_t n) \
    {                                                                                                           \
        typedef type item;                                                                                      \
        (void)kernels;                                                                                          \
        const item *from = x[0], b = *(const item *)x[1];                                                       \
        item *y = to;                                                                                           \
        POW_CASES(POW_CASE)                                                                                     \
        for (int64_t i = 0; i < n; i++)                                                                         \
            y[i] = pow(from[i], b);                                                                             \
    }
DEFINE_POW(F32, float)
DEFINE_POW(F64, double)

/* GELU's argument 1 is a bool: the tanh approximation, or exact. */

static void GELU_F32(const struct bt_kernels *kernels, const void *const *x, void *to, int64_t n)
{
    bool approximate = *(const float *)x[1] != 0;
    (approximate ? kernels->gelu_tanh_f32 : kernels->gelu_erf_f32)(x[0], to, (size_t)n);
}

static double gelu(double a, bool approximate)
{
    static const double sqrt_half = 0.70710678118654752440, sqrt_2_over_pi = 0.79788456080286535588;
    if (approximate) {
        return 0.5 * a * (1 + tanh(sqrt_2_over_pi * (a + 0.044715 * a * a * a)));
    }
    return 0.5 * a * (1 + erf(a * sqrt_half));
}
DEFINE(GELU, F64, double, double, ITEM(double, a, 0) NUMBER(double, b, 1), gelu(a, *b != 0))

/* Tables. */

#define ENTRY(op, expr, lane, ...) [BT_OP_##op] = op##_##lane,
#define KERNEL_ENTRY(op, name, expr) [BT_OP_##op] = op##_F32,
#define DOUBLE_ENTRY(op, name, expr) [BT_OP_##op] = op##_F64,
#define ANY_ENTRIES(lane) \
    ANY_1(ENTRY, lane) ANY_2(ENTRY, lane) ANY_3(ENTRY, lane) TEST_1(ENTRY, lane) TEST_2(ENTRY, lane)
#define FLOAT_ENTRIES(lane, type) \
    ANY_ENTRIES(lane)             \
    FLOAT_1(ENTRY, lane) FLOAT_2(ENTRY, lane, type) FLOAT_NUMBERS(ENTRY, lane) [BT_OP_GELU] = GELU_##lane,

static bt_pointwise_fn *const functions[][BT_OP_COUNT] = {
    [BT_LANE_F32] = {FLOAT_ENTRIES(F32, float) KERNEL_1(KERNEL_ENTRY) KERNEL_2(KERNEL_ENTRY)},
    [BT_LANE_F64] = {FLOAT_ENTRIES(F64, double) KERNEL_1(DOUBLE_ENTRY) KERNEL_2(DOUBLE_ENTRY)},
    [BT_LANE_I64] = {ANY_ENTRIES(I64) INT_1(ENTRY, I64) INT_2(ENTRY, I64)},
};

static bt_pointwise_fn *const uniform_functions[][BT_OP_COUNT] = {
    [BT_LANE_F32] = {[BT_OP_ADD] = ADD_uniform_F32,
                     [BT_OP_SUB] = SUB_uniform_F32,
                     [BT_OP_MUL] = MUL_uniform_F32,
                     [BT_OP_DIV] = DIV_uniform_F32,
                     [BT_OP_POW] = POW_uniform_F32},
    [BT_LANE_F64] = {[BT_OP_POW] = POW_uniform_F64},
    [BT_LANE_I64] = {NULL},
};

#define TEST_ENTRY(op, ...) [BT_OP_##op] = true,
static const bool to_bool[BT_OP_COUNT] = {TEST_1(TEST_ENTRY) TEST_2(TEST_ENTRY)};

static const struct {
    int numbers;
    double none[2];
} parameters[BT_OP_COUNT] = {
    [BT_OP_GELU] = {1, {0, 0}},
    [BT_OP_SOFTPLUS] = {2, {1, 20}},
    [BT_OP_ELU] = {1, {1, 0}},
    [BT_OP_LEAKY_RELU] = {1, {0.01, 0}},
    [BT_OP_CLAMP] = {0, {-INFINITY, INFINITY}},
};

struct bt_pointwise bt_pointwise_find(enum bt_op op, enum bt_lane lane)
{
    return (struct bt_pointwise){
        .fn = functions[lane][op],
        .uniform = uniform_functions[lane][op],
        .commutes = op == BT_OP_ADD || op == BT_OP_MUL,
        .to_bool = to_bool[op],
        .numbers = parameters[op].numbers,
        .none = {parameters[op].none[0], parameters[op].none[1]},
    };
}
