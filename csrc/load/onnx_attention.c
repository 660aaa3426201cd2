/* onnx_attention.c: the products of a graph, and attention that an exporter wrote out as products
 * PyTorch's exporters write scaled_dot_product_attention(q, k, v, mask) as
 *     s = softmax((q * c) @ (transpose(k) * c) + mask);  where(isnan(s), 0, s) @ v
 * with c the root of the scale. That is undone here, where the form is still whole. */
#include <float.h>
#include <math.h>

#include "load/onnx_lower.h"

struct written {
    bt_value query, key, mask; /* key transposed; mask may be BT_NO_VALUE */
    double scale;
};

static bool number_of(const struct bt_graph *g, const struct bt_arg *arg, double *out)
{
    struct bt_scalar s;
    if (arg->kind != BT_ARG_EXPR || !bt_expr_is_const(g->exprs, arg->expr, &s)) {
        return false;
    }
    *out = s.type == BT_SCALAR_FLOAT ? s.f : (double)s.i;
    return true;
}

/* x of x * number. */
static bt_value unscaled(const struct bt_graph *g, bt_value value, double *factor)
{
    const struct bt_node *mul = bt_onnx_maker(g, value, BT_OP_MUL);
    const int number = mul && mul->args[0].kind == BT_ARG_EXPR ? 0 : 1;
    return mul && mul->args[1 - number].kind == BT_ARG_VALUE && number_of(g, &mul->args[number], factor)
               ? mul->args[1 - number].value
               : BT_NO_VALUE;
}

/* The softmax over the last dimension whose NaN `value` replaces by 0: its operand. */
static bt_value guarded_scores(const struct bt_graph *g, bt_value value)
{
    const struct bt_node *where = bt_onnx_maker(g, value, BT_OP_WHERE);
    double zero;
    int64_t dim;
    if (!where || where->args[2].kind != BT_ARG_VALUE || where->args[0].kind != BT_ARG_VALUE ||
        !number_of(g, &where->args[1], &zero) || zero != 0.0) {
        return BT_NO_VALUE;
    }
    const struct bt_node *is_nan = bt_onnx_maker(g, where->args[0].value, BT_OP_ISNAN);
    const struct bt_node *softmax = bt_onnx_maker(g, where->args[2].value, BT_OP_SOFTMAX);
    return is_nan && softmax && is_nan->args[0].kind == BT_ARG_VALUE && is_nan->args[0].value == where->args[2].value &&
                   bt_expr_is_int(g->exprs, softmax->args[1].expr, &dim) && dim == g->values[value].rank - 1
               ? softmax->args[0].value
               : BT_NO_VALUE;
}

static bool same_dims(const struct bt_graph *g, bt_value a, bt_value b)
{
    bool same = g->values[a].rank == g->values[b].rank;
    for (int i = 0; same && i < g->values[a].rank; i++) {
        same = g->values[a].dims[i] == g->values[b].dims[i];
    }
    return same;
}

/* Scores masked with -inf are those of a mask that says what to keep. */
static bt_value kept(const struct bt_graph *g, bt_value mask)
{
    const struct bt_node *where = bt_onnx_maker(g, mask, BT_OP_WHERE);
    double yes, no;
    return where && where->args[0].kind == BT_ARG_VALUE && number_of(g, &where->args[1], &yes) &&
                   number_of(g, &where->args[2], &no) && yes == 0.0 && no == -INFINITY
               ? where->args[0].value
               : mask;
}

static bool match(const struct bt_graph *g, bt_value weights, struct written *out)
{
    const bt_value scores = guarded_scores(g, weights);
    const struct bt_node *sum = bt_onnx_maker(g, scores, BT_OP_ADD), *product = bt_onnx_maker(g, scores, BT_OP_MATMUL);
    bt_value raw = scores;
    out->mask = BT_NO_VALUE;
    for (int i = 0; sum && !product && i < 2; i++) {
        if (sum->args[i].kind == BT_ARG_VALUE && sum->args[1 - i].kind == BT_ARG_VALUE &&
            (product = bt_onnx_maker(g, sum->args[i].value, BT_OP_MATMUL))) {
            raw = sum->args[i].value;
            out->mask = kept(g, sum->args[1 - i].value);
        }
    }
    double a, b;
    if (!product || !same_dims(g, raw, scores)) {
        return false;
    }
    out->query = unscaled(g, product->args[0].value, &a);
    out->key = unscaled(g, product->args[1].value, &b);
    out->scale = out->query >= 0 && out->key >= 0 ? a * b : 0.0;
    return out->scale != 0.0 && g->values[out->query].rank >= 2 &&
           g->values[out->query].rank == g->values[out->key].rank;
}

/* Whether the permutation swaps the last two dimensions only. */
static bool swaps_last(const struct bt_graph *g, const struct bt_node *permute)
{
    const int rank = permute->args[1].count;
    bool swaps = rank >= 2;
    for (int i = 0; i < rank && swaps; i++) {
        int64_t dim;
        swaps =
            bt_expr_is_int(g->exprs, permute->args[1].list[i], &dim) && dim == (i < rank - 2 ? i : 2 * rank - 3 - i);
    }
    return swaps;
}

/* The key of a transposed one: also through a reshape to rank 3 and back, as the dynamo exporter writes it. */
static bt_value untransposed(const struct bt_graph *g, bt_value value)
{
    const struct bt_node *permute = bt_onnx_maker(g, value, BT_OP_PERMUTE),
                         *back = bt_onnx_maker(g, value, BT_OP_RESHAPE);
    if (permute) {
        return swaps_last(g, permute) ? permute->args[0].value : BT_NO_VALUE;
    }
    permute = back ? bt_onnx_maker(g, back->args[0].value, BT_OP_PERMUTE) : NULL;
    const struct bt_node *merge =
        permute && swaps_last(g, permute) ? bt_onnx_maker(g, permute->args[0].value, BT_OP_RESHAPE) : NULL;
    if (!merge) {
        return BT_NO_VALUE;
    }
    const struct bt_value_info *to = &g->values[value], *from = &g->values[merge->args[0].value],
                               *merged = &g->values[permute->args[0].value];
    const int rank = to->rank;
    bool same = from->rank == rank && rank >= 2 && from->dims[rank - 2] == to->dims[rank - 1] &&
                from->dims[rank - 1] == to->dims[rank - 2] && merged->dims[merged->rank - 2] == from->dims[rank - 2] &&
                merged->dims[merged->rank - 1] == from->dims[rank - 1];
    for (int i = 0; i < rank - 2 && same; i++) {
        same = from->dims[i] == to->dims[i];
    }
    return same ? merge->args[0].value : BT_NO_VALUE;
}

/* The scale: 1/sqrt(d), where the product of its float32 roots is that but for their rounding. */
static struct bt_arg scale_arg(struct bt_onnx_call *o, const struct written *w)
{
    struct bt_graph *g = o->call.g;
    const struct bt_value_info *query = &g->values[w->query];
    int64_t size;
    const bool fixed = bt_expr_is_int(g->exprs, query->dims[query->rank - 1], &size);
    if (fixed && fabs(w->scale * sqrt((double)size) - 1.0) <= 4 * FLT_EPSILON) {
        return bt_arg_none();
    }
    return bt_arg_float(g, (float)w->scale);
}

struct bt_dyn bt_onnx_product(struct bt_onnx_call *o, struct bt_dyn a, struct bt_dyn b)
{
    struct bt_call *c = &o->call;
    struct written w;
    const struct bt_arg weights = bt_lower_value(c, a), value = bt_lower_value(c, b);
    if (c->status != BERTC_OK || !match(c->g, weights.value, &w) ||
        c->g->values[value.value].rank != c->g->values[w.query].rank) {
        return bt_lower_matmul(c, a, b);
    }
    bt_value key = untransposed(c->g, w.key);
    if (key < 0) {
        key = bt_lower_value(c, bt_onnx_swap_last(o, bt_lower_tensor(c, w.key))).value;
    }
    const struct bt_arg args[] = {bt_arg_value(w.query),
                                  bt_arg_value(key),
                                  value,
                                  w.mask >= 0 ? bt_arg_value(w.mask) : bt_arg_none(),
                                  bt_arg_expr(bt_expr_bool(c->x, false)),
                                  scale_arg(o, &w)};
    return bt_lower_node(c, BT_OP_SDPA, 6, args);
}
