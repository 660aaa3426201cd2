/* aten_reduce.c: reductions, norms, and operators along one dimension */
#include <math.h>

#include "load/lower.h"

static bool keepdim(struct bt_call *c, int i)
{
    return bt_lower_given(c, i) && bt_lower_bool(c, c->args[i]);
}

static struct bt_arg flag(struct bt_call *c, bool value)
{
    return bt_arg_expr(bt_expr_bool(c->x, value));
}

/* The dims of parameter i, all when it is None or empty. */
static struct bt_arg dims_arg(struct bt_call *c, int i)
{
    int dims[BT_MAX_RANK];
    int count = bt_lower_dims(c, c->args[i], bt_lower_rank(c, c->args[0]), dims);
    return bt_lower_ints(c, dims, count);
}

static struct bt_arg dtype_arg(struct bt_call *c, int i)
{
    return bt_lower_given(c, i) ? bt_arg_dtype(bt_lower_dtype(c, c->args[i], BT_F32)) : bt_arg_none();
}

/* self, dim, keepdim */
void bt_aten_reduce(struct bt_call *c)
{
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), dims_arg(c, 1), flag(c, keepdim(c, 2))};
    c->out = bt_lower_node(c, (enum bt_op)c->detail, 3, args);
}

/* self, dim, keepdim, dtype */
void bt_aten_reduce_dtype(struct bt_call *c)
{
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), dims_arg(c, 1), flag(c, keepdim(c, 2)),
                                  dtype_arg(c, 3)};
    c->out = bt_lower_node(c, (enum bt_op)c->detail, 4, args);
}

static struct bt_arg dim_arg(struct bt_call *c, int i)
{
    return bt_arg_int(c->g, bt_lower_dim(c, c->args[i], bt_lower_rank(c, c->args[0])));
}

/* max.dim, min.dim: self, dim, keepdim -> values, indices */
void bt_aten_reduce_pair(struct bt_call *c)
{
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), dim_arg(c, 1), flag(c, keepdim(c, 2))};
    c->out = bt_lower_pair(c, (enum bt_op)c->detail, 3, args);
}

/* argmax, argmin: self, dim, keepdim; without dim over the flattened tensor */
void bt_aten_arg_reduce(struct bt_call *c)
{
    struct bt_dyn x = c->args[0];
    struct bt_arg dim = bt_arg_int(c->g, 0);
    if (bt_lower_given(c, 1)) {
        dim = dim_arg(c, 1);
    } else {
        bt_expr all = bt_expr_int(c->x, -1);
        x = bt_lower_reshape(c, x, &all, 1);
    }
    const struct bt_arg args[] = {bt_lower_value(c, x), dim, flag(c, keepdim(c, 2))};
    c->out = bt_lower_node(c, (enum bt_op)c->detail, 3, args);
}

/* The variance, or with the detail SQRT the standard deviation. */
static void variance(struct bt_call *c, struct bt_arg dims, bool keep, struct bt_arg correction)
{
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), dims, flag(c, keep), correction};
    c->out = bt_lower_node(c, BT_OP_VAR, 4, args);
    if (c->detail == BT_OP_SQRT) {
        c->out = bt_lower_unary(c, BT_OP_SQRT, c->out);
    }
}

/* self, dim, unbiased, keepdim */
void bt_aten_var(struct bt_call *c)
{
    variance(c, dims_arg(c, 1), keepdim(c, 3), bt_arg_int(c->g, bt_lower_bool(c, c->args[2])));
}

/* self, dim, correction, keepdim */
void bt_aten_var_correction(struct bt_call *c)
{
    struct bt_arg correction = bt_lower_given(c, 2) ? bt_lower_operand(c, c->args[2]) : bt_arg_int(c->g, 1);
    variance(c, dims_arg(c, 1), keepdim(c, 3), correction);
}

/* self, unbiased */
void bt_aten_var_all(struct bt_call *c)
{
    variance(c, dims_arg(c, 2), false, bt_arg_int(c->g, bt_lower_bool(c, c->args[1])));
}

static struct bt_dyn vector_norm(struct bt_call *c, struct bt_dyn x, double order, struct bt_arg dims, bool keep)
{
    const struct bt_arg args[] = {bt_lower_value(c, x), bt_arg_float(c->g, order), dims, flag(c, keep)};
    return bt_lower_node(c, BT_OP_NORM, 4, args);
}

/* self, p, dim, keepdim, dtype */
void bt_aten_norm(struct bt_call *c)
{
    struct bt_dyn x = c->args[0];
    if (bt_lower_given(c, 4)) {
        x = bt_lower_cast(c, x, bt_lower_dtype(c, c->args[4], BT_F32));
    }
    double order = bt_lower_given(c, 1) ? bt_lower_float(c, c->args[1]) : 2;
    c->out = vector_norm(c, x, order, dims_arg(c, 2), keepdim(c, 3));
}

/* self, dim, keepdim */
void bt_aten_frobenius_norm(struct bt_call *c)
{
    c->out = vector_norm(c, c->args[0], 2, dims_arg(c, 1), keepdim(c, 2));
}

/* log(sum(exp(x - m))) + m, where m is the maximum, or 0 where that is infinite. self, dim, keepdim */
void bt_aten_logsumexp(struct bt_call *c)
{
    int dims[BT_MAX_RANK], count = bt_lower_dims(c, c->args[1], bt_lower_rank(c, c->args[0]), dims);
    struct bt_dyn max = bt_lower_reduce(c, BT_OP_AMAX, c->args[0], dims, count, true);
    const struct bt_dyn finite[] = {bt_lower_unary(c, BT_OP_ISINF, max), bt_lower_integer(c, 0), max};
    max = bt_lower_apply(c, BT_OP_WHERE, 3, finite);
    struct bt_dyn powers = bt_lower_unary(c, BT_OP_EXP, bt_lower_binary(c, BT_OP_SUB, c->args[0], max));
    struct bt_dyn sum = bt_lower_unary(c, BT_OP_LOG, bt_lower_reduce(c, BT_OP_SUM, powers, dims, count, true));
    c->out = bt_lower_binary(c, BT_OP_ADD, sum, max);
    const struct bt_arg args[] = {bt_arg_none(), bt_lower_ints(c, dims, count)};
    if (!keepdim(c, 2)) {
        c->out = bt_lower_view(c, c->out, BT_OP_SQUEEZE, 2, args);
    }
}

/* cumsum, softmax, log_softmax: self, dim, dtype */
void bt_aten_scan(struct bt_call *c)
{
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), dim_arg(c, 1), dtype_arg(c, 2)};
    c->out = bt_lower_node(c, (enum bt_op)c->detail, 3, args);
}

/* _softmax, _log_softmax: self, dim, half_to_float */
void bt_aten_scan_half(struct bt_call *c)
{
    struct bt_arg dtype = bt_lower_bool(c, c->args[2]) ? bt_arg_dtype(BT_F32) : bt_arg_none();
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), dim_arg(c, 1), dtype};
    c->out = bt_lower_node(c, (enum bt_op)c->detail, 3, args);
}

static struct bt_dyn bounded_norm(struct bt_call *c, struct bt_dyn x, int dim, struct bt_dyn eps)
{
    struct bt_dyn norm = vector_norm(c, x, 2, bt_lower_ints(c, &dim, 1), false);
    return bt_lower_binary(c, BT_OP_MAXIMUM, norm, eps);
}

/* x1, x2, p, eps, keepdim: along the last dimension */
void bt_aten_pairwise_distance(struct bt_call *c)
{
    struct bt_dyn x = bt_lower_binary(c, BT_OP_SUB, c->args[0], c->args[1]);
    x = bt_lower_binary(c, BT_OP_ADD, x, c->args[3]);
    const int last = bt_lower_dim(c, bt_lower_integer(c, -1), bt_lower_rank(c, x));
    c->out = vector_norm(c, x, bt_lower_float(c, c->args[2]), bt_lower_ints(c, &last, 1), keepdim(c, 4));
}

/* x1, x2, dim, eps */
void bt_aten_cosine_similarity(struct bt_call *c)
{
    struct bt_dyn product = bt_lower_binary(c, BT_OP_MUL, c->args[0], c->args[1]);
    int dim = bt_lower_dim(c, c->args[2], bt_lower_rank(c, product)), behind = dim - bt_lower_rank(c, product);
    struct bt_dyn norms[2];
    for (int i = 0; i < 2; i++) {
        int own = bt_lower_dim(c, bt_lower_integer(c, behind), bt_lower_rank(c, c->args[i]));
        norms[i] = bounded_norm(c, c->args[i], own, c->args[3]);
    }
    struct bt_dyn dot = bt_lower_reduce(c, BT_OP_SUM, product, &dim, 1, false);
    c->out = bt_lower_binary(c, BT_OP_DIV, dot, bt_lower_binary(c, BT_OP_MUL, norms[0], norms[1]));
}
