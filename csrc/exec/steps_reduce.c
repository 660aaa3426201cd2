/* steps_reduce.c: fold a tensor along some of its dims
 * Sums are kept in double or int64, which is closer to the true value than a float32 cascade, and in an order that does
 * not depend on strides or threads. */
#include <math.h>
#include <string.h>

#include "exec/fold.h"
#include "exec/step.h"

enum { WAYS = 64 }; /* accumulators of a run along the innermost dim; divides BT_LANES */

/* acc[i] = f(acc[i], x[i], p[i]) */
typedef void fold_fn(void *acc, const void *x, const void *p, int64_t n);

#define FOLD(name, type, expr)                                           \
    static void name(void *acc, const void *x, const void *p, int64_t n) \
    {                                                                    \
        (void)p;                                                         \
        type *y = acc;                                                   \
        for (int64_t i = 0; i < n; i++) {                                \
            type a = y[i], v = ((const type *)x)[i];                     \
            y[i] = (expr);                                               \
        }                                                                \
    }
#define PARAM (((const double *)p)[i])
#define LARGER(a, v) ((v) > (a) || (v) != (v) ? (v) : (a))
#define SMALLER(a, v) ((v) < (a) || (v) != (v) ? (v) : (a))

FOLD(sum_f64, double, a + v)
FOLD(sum_i64, int64_t, (int64_t)((uint64_t)a + (uint64_t)v))
FOLD(prod_f64, double, a *v)
FOLD(prod_i64, int64_t, (int64_t)((uint64_t)a * (uint64_t)v))
FOLD(amax_f64, double, LARGER(a, v))
FOLD(amax_i64, int64_t, v > a ? v : a)
FOLD(amin_f64, double, SMALLER(a, v))
FOLD(amin_i64, int64_t, v < a ? v : a)
FOLD(any_f64, double, a != 0 || v != 0)
FOLD(any_i64, int64_t, a != 0 || v != 0)
FOLD(all_f64, double, a != 0 && v != 0)
FOLD(all_i64, int64_t, a != 0 && v != 0)
FOLD(deviation, double, a + (v - PARAM) * (v - PARAM)) /* from the mean */
FOLD(nonzero, double, a + (v != 0))
FOLD(absolute, double, a + fabs(v))
FOLD(square, double, a + v * v)
FOLD(power, double, a + pow(fabs(v), PARAM))
FOLD(amax_abs, double, LARGER(a, fabs(v)))
FOLD(amin_abs, double, SMALLER(a, fabs(v)))

/* A way to fold, for double and for int64 items. */
struct rule {
    double start_f64;
    int64_t start_i64;
    fold_fn *fn[2];    /* takes in an item; NULL: not for this type */
    fold_fn *merge[2]; /* puts two accumulators together */
};

#define BOTH(name) {name##_f64, name##_i64}
static const struct rule sum = {0, 0, BOTH(sum), BOTH(sum)};
static const struct rule prod = {1, 1, BOTH(prod), BOTH(prod)};
static const struct rule amax = {-INFINITY, INT64_MIN, BOTH(amax), BOTH(amax)};
static const struct rule amin = {INFINITY, INT64_MAX, BOTH(amin), BOTH(amin)};
static const struct rule any = {0, 0, BOTH(any), BOTH(any)};
static const struct rule all = {1, 1, BOTH(all), BOTH(all)};
static const struct rule var = {0, 0, {deviation, NULL}, {sum_f64, NULL}};
static const struct rule norm_0 = {0, 0, {nonzero, NULL}, {sum_f64, NULL}};
static const struct rule norm_1 = {0, 0, {absolute, NULL}, {sum_f64, NULL}};
static const struct rule norm_2 = {0, 0, {square, NULL}, {sum_f64, NULL}};
static const struct rule norm_p = {0, 0, {power, NULL}, {sum_f64, NULL}};
static const struct rule norm_max = {0, 0, {amax_abs, NULL}, {amax_f64, NULL}};
static const struct rule norm_min = {INFINITY, 0, {amin_abs, NULL}, {amin_f64, NULL}};

static const struct rule *const rules[BT_OP_COUNT] = {
    [BT_OP_SUM] = &sum,   [BT_OP_MEAN] = &sum, [BT_OP_PROD] = &prod, [BT_OP_AMAX] = &amax,
    [BT_OP_AMIN] = &amin, [BT_OP_ANY] = &any,  [BT_OP_ALL] = &all,   [BT_OP_VAR] = &var,
};

static const struct rule *norm_rule(double order)
{
    if (isinf(order)) {
        return order > 0 ? &norm_max : &norm_min;
    }
    return order == 0 ? &norm_0 : order == 1 ? &norm_1 : order == 2 ? &norm_2 : &norm_p;
}

struct reduce {
    struct bt_fold fold;
    const struct rule *rule;
    enum bt_op op;
    enum bt_lane lane; /* F64 or I64 */
    double param;      /* NORM: the order; VAR: what is taken off the count */
    enum bt_dtype dtype;
    char *out;
};

static void fill(enum bt_lane lane, union bt_lane_block *block, double f64, int64_t i64, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (lane == BT_LANE_F64) {
            block->f64[i] = f64;
        } else {
            block->i64[i] = i64;
        }
    }
}

/* Folds one run of items into acc[0]. */
static void fold_run(const struct reduce *r, const struct rule *rule, int64_t outer, union bt_lane_block *acc,
                     const union bt_lane_block *params)
{
    union bt_lane_block buffer;
    int lane = r->lane == BT_LANE_I64;
    fill(r->lane, acc, rule->start_f64, rule->start_i64, WAYS);
    for (int64_t at = 0; at < r->fold.length; at += BT_LANES) {
        int64_t n = r->fold.length - at < BT_LANES ? r->fold.length - at : BT_LANES;
        const double *x = bt_fold_read(&r->fold, outer, at, 0, n, &buffer);
        for (int64_t i = 0; i < n; i += WAYS) {
            rule->fn[lane](acc, x + i, params, n - i < WAYS ? n - i : WAYS);
        }
    }
    for (int ways = WAYS / 2; ways > 0; ways /= 2) {
        rule->merge[lane](acc, acc->f64 + ways, NULL, ways);
    }
}

/* Folds n columns, row by row. */
static void fold_columns(const struct reduce *r, const struct rule *rule, int64_t outer, int64_t inner, int64_t n,
                         union bt_lane_block *acc, const union bt_lane_block *params)
{
    union bt_lane_block buffer;
    fill(r->lane, acc, rule->start_f64, rule->start_i64, n);
    for (int64_t at = 0; at < r->fold.length; at++) {
        rule->fn[r->lane == BT_LANE_I64](acc, bt_fold_read(&r->fold, outer, at, inner, n, &buffer), params, n);
    }
}

static void fold_block(const struct reduce *r, const struct rule *rule, int64_t outer, int64_t inner, int64_t n,
                       union bt_lane_block *acc, const union bt_lane_block *params)
{
    if (r->fold.inner == 1) {
        fold_run(r, rule, outer, acc, params);
    } else {
        fold_columns(r, rule, outer, inner, n, acc, params);
    }
}

static void finish(const struct reduce *r, double *acc, int64_t n)
{
    double count = (double)r->fold.length;
    for (int64_t i = 0; i < n; i++) {
        if (r->op == BT_OP_MEAN) {
            acc[i] /= count;
        } else if (r->op == BT_OP_VAR) {
            acc[i] /= fmax(count - r->param, 0);
        } else if (r->rule == &norm_2) {
            acc[i] = sqrt(acc[i]);
        } else if (r->rule == &norm_p) {
            acc[i] = pow(acc[i], 1 / r->param);
        }
    }
}

static void reduce_block(void *context, int64_t outer, int64_t inner, int64_t n)
{
    const struct reduce *r = context;
    union bt_lane_block acc, params;
    if (r->op == BT_OP_VAR) {
        fold_block(r, &sum, outer, inner, n, &acc, NULL);
        int64_t count = r->fold.inner == 1 ? WAYS : n;
        for (int64_t i = 0; i < count; i++) {
            params.f64[i] = acc.f64[r->fold.inner == 1 ? 0 : i] / (double)r->fold.length;
        }
    } else if (r->rule == &norm_p) {
        fill(BT_LANE_F64, &params, r->param, 0, BT_LANES);
    }
    fold_block(r, r->rule, outer, inner, n, &acc, &params);
    if (r->lane == BT_LANE_F64) {
        finish(r, acc.f64, n);
    }
    bt_lanes_store(r->lane, &acc, r->dtype, r->out + (outer * r->fold.inner + inner) * (int64_t)bt_dtype_size(r->dtype),
                   n);
}

static double number_of(const struct bt_step_arg *arg, double otherwise)
{
    if (arg->kind == BT_ARG_NONE) {
        return otherwise;
    }
    return arg->scalar.type == BT_SCALAR_FLOAT ? arg->scalar.f : (double)arg->scalar.i;
}

/* Bits of the dims that an argument lists: all when it names none. */
static unsigned dims_of(const struct bt_step_arg *dims, int rank)
{
    unsigned bits = 0;
    for (int32_t i = 0; dims->kind == BT_ARG_EXPRS && i < dims->count; i++) {
        bits |= 1u << dims->ints[i];
    }
    return bits ? bits : (1u << rank) - 1;
}

enum bertc_status bt_step_reduce(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    const struct bt_ref *from = &step->args[0].ref, *out = &step->outs[0];
    struct reduce r = {.op = step->op, .rule = rules[step->op], .dtype = out->dtype, .out = bt_ref_data(run, out)};
    if (step->op == BT_OP_NORM) {
        r.param = number_of(&step->args[1], 2);
        r.rule = norm_rule(r.param);
    } else if (step->op == BT_OP_VAR) {
        r.param = number_of(&step->args[3], 1);
    }
    bool tests = step->op == BT_OP_ANY || step->op == BT_OP_ALL;
    r.lane = bt_dtype_is_float(tests ? from->dtype : out->dtype) ? BT_LANE_F64 : BT_LANE_I64;
    bt_fold_init(&r.fold, from, bt_ref_data(run, from),
                 dims_of(&step->args[step->op == BT_OP_NORM ? 2 : 1], from->rank), r.lane);
    if (bt_numel(out->rank, out->dims) == 0) {
        return BERTC_OK;
    }
    if (r.fold.length == 0 && (r.rule == &amax || r.rule == &amin || r.rule == &norm_max || r.rule == &norm_min)) {
        return bt_error_set(err, BERTC_INPUT, "%s of no items is not defined", bt_ops[step->op].name);
    }
    bt_fold_run(&r.fold, run->threads, reduce_block, &r);
    return BERTC_OK;
}
