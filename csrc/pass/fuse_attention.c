/* fuse_attention.c: softmax(q k^T * scale + mask) v, however written, becomes scaled_dot_product_attention
 * The scores are followed down from the softmax to the product, and what happens to them on the way - sums, scales,
 * masked_fill - is collected into one scale and one additive mask. */
#include <math.h>

#include "pass/pass.h"
#include "pass/simplify.h"

enum { MAX_STEPS = 24 }; /* from the softmax down to the product */

static const double vanishing = -1e30; /* a score that is added to such a number leaves the number as it is */

struct attention {
    struct bt_rewriter *r;
    bt_value scores;  /* the softmax's operand: it says the shape */
    bt_value product; /* q k^T */
    double scale;     /* of the product */
    bt_value mask;    /* what is added to it, or BT_NO_VALUE */
};

static bool is_value(const struct bt_arg *arg)
{
    return arg->kind == BT_ARG_VALUE;
}

/* ---- q k^T ---- */

/* Whether both have the same last `count` dimensions, and as many elements. */
static bool keeps_last(const struct bt_value_info *a, const struct bt_value_info *b, int count)
{
    bool same = a->rank >= count && b->rank >= count;
    for (int d = 1; d <= count && same; d++) {
        same = a->dims[a->rank - d] == b->dims[b->rank - d];
    }
    return same;
}

/* The operand of a cast or reshape that leaves the values, and the last two dimensions, as they are. */
static bt_value look_through(const struct bt_graph *g, bt_value value)
{
    const struct bt_node *node = bt_match_producer(g, value);
    if (!node || (node->op != BT_OP_CAST && node->op != BT_OP_RESHAPE)) {
        return BT_NO_VALUE;
    }
    const struct bt_value_info *from = &g->values[node->args[0].value], *to = &g->values[value];
    if (node->op == BT_OP_CAST) {
        bool floats = bt_dtype_is_float(from->dtype) && bt_dtype_is_float(to->dtype);
        return floats && bt_dtype_storage(from->dtype) == bt_dtype_storage(to->dtype) ? node->args[0].value
                                                                                      : BT_NO_VALUE;
    }
    return keeps_last(from, to, 2) ? node->args[0].value : BT_NO_VALUE;
}

/* Whether the scores under `value` can be followed down to a product. */
static bool leads_to_product(const struct bt_graph *g, const struct bt_arg *arg, int steps)
{
    const struct bt_node *node = is_value(arg) ? bt_match_producer(g, arg->value) : NULL;
    if (!node || steps == 0) {
        return false;
    }
    switch (node->op) {
    case BT_OP_MATMUL: return true;
    case BT_OP_CAST:
    case BT_OP_RESHAPE:
    case BT_OP_DIV: return leads_to_product(g, &node->args[0], steps - 1);
    case BT_OP_ADD:
    case BT_OP_SUB:
    case BT_OP_MUL:
        return leads_to_product(g, &node->args[0], steps - 1) || leads_to_product(g, &node->args[1], steps - 1);
    case BT_OP_WHERE:
        return leads_to_product(g, &node->args[1], steps - 1) || leads_to_product(g, &node->args[2], steps - 1);
    default: return false;
    }
}

/* ---- the mask ---- */

static bool same_dims(const struct bt_value_info *a, const struct bt_value_info *b)
{
    return a->rank == b->rank && keeps_last(a, b, a->rank);
}

/* What is added to `at`, for the scores; below a reshape only terms of the full shape can follow it. */
static bt_value in_shape(struct attention *a, bt_value term, bt_value at)
{
    const struct bt_value_info *values = a->r->g->values;
    if (same_dims(&values[at], &values[a->scores])) {
        return term;
    }
    return same_dims(&values[term], &values[at]) ? bt_rewrite_shaped(a->r, BT_OP_RESHAPE, term, a->scores)
                                                 : BT_NO_VALUE;
}

/* mask += factor * term */
static bool add_term(struct attention *a, bt_value term, double factor, bt_value at)
{
    struct bt_graph *g = a->r->g;
    enum bt_dtype dtype = g->values[a->scores].dtype;
    term = in_shape(a, term, at);
    if (term >= 0 && g->values[term].dtype != dtype) {
        const struct bt_arg cast[] = {bt_arg_value(term), bt_arg_dtype(dtype)};
        term = bt_rewrite_op(a->r, BT_OP_CAST, 2, cast);
    }
    if (term >= 0 && factor != 1.0) {
        const struct bt_arg product[] = {bt_arg_value(term), bt_arg_float(g, factor)};
        term = bt_rewrite_op(a->r, BT_OP_MUL, 2, product);
    }
    if (term >= 0 && a->mask >= 0) {
        const struct bt_arg sum[] = {bt_arg_value(term), bt_arg_value(a->mask)};
        term = bt_rewrite_op(a->r, BT_OP_ADD, 2, sum);
    }
    a->mask = term;
    return term >= 0;
}

static bool follow(struct attention *a, bt_value at, double factor, int steps);

/* A score plus so low a number is that number, so filling the mask with it is filling the scores. */
static bool follow_where(struct attention *a, const struct bt_node *node, double factor, int steps)
{
    struct bt_graph *g = a->r->g;
    int kept = leads_to_product(g, &node->args[1], steps) ? 1 : 2;
    double fill;
    if (!bt_match_number(g, &node->args[3 - kept], &fill) || !(fill * factor <= vanishing) ||
        !is_value(&node->args[0]) || !is_value(&node->args[kept]) ||
        !follow(a, node->args[kept].value, factor, steps)) {
        return false;
    }
    bt_value condition = in_shape(a, node->args[0].value, node->outs[0]);
    struct bt_arg args[3] = {bt_arg_value(condition)};
    args[3 - kept] = bt_arg_float(g, fill * factor);
    args[kept] = a->mask >= 0 ? bt_arg_value(a->mask) : bt_arg_float(g, 0.0);
    if (condition >= 0) {
        a->mask = bt_rewrite_op(a->r, BT_OP_WHERE, 3, args);
    }
    return condition >= 0 && a->mask >= 0;
}

/* A sum of the scores and a term, or the scores times a number. */
static bool follow_arithmetic(struct attention *a, const struct bt_node *node, double factor, int steps)
{
    const struct bt_graph *g = a->r->g;
    int kept = leads_to_product(g, &node->args[0], steps) ? 0 : 1;
    const struct bt_arg *scores = &node->args[kept], *other = &node->args[1 - kept];
    double number;
    if (!is_value(scores)) {
        return false;
    }
    if (node->op == BT_OP_MUL || node->op == BT_OP_DIV) {
        bool known = bt_match_number(g, other, &number) && (node->op == BT_OP_MUL || (kept == 0 && number != 0.0));
        return known && follow(a, scores->value, node->op == BT_OP_MUL ? factor * number : factor / number, steps);
    }
    if (!is_value(other) || (node->op == BT_OP_SUB && kept != 0)) {
        return false;
    }
    return follow(a, scores->value, factor, steps) &&
           add_term(a, other->value, node->op == BT_OP_SUB ? -factor : factor, node->outs[0]);
}

/* Collects what makes `at`, whose value times factor is what the softmax sees. */
static bool follow(struct attention *a, bt_value at, double factor, int steps)
{
    const struct bt_graph *g = a->r->g;
    const struct bt_node *made = bt_match_producer(g, at);
    if (!made || steps == 0 || bt_rewrite_uses(a->r, at) > 1) {
        return false;
    }
    const struct bt_node node = *made; /* masks are made on the way */
    bt_value inner = look_through(g, at);
    switch (node.op) {
    case BT_OP_MATMUL:
        a->product = at;
        a->scale = factor;
        return true;
    case BT_OP_WHERE: return follow_where(a, &node, factor, steps - 1);
    case BT_OP_ADD:
    case BT_OP_SUB:
    case BT_OP_MUL:
    case BT_OP_DIV: return follow_arithmetic(a, &node, factor, steps - 1);
    default: return inner >= 0 && follow(a, inner, factor, steps - 1);
    }
}

/* ---- the whole ---- */

/* Moves a number that q or k is multiplied by to the scale. */
static bt_value unscaled(struct attention *a, bt_value value)
{
    const struct bt_graph *g = a->r->g;
    const struct bt_node *node = bt_match_producer(g, value);
    double number;
    if (!node || (node->op != BT_OP_MUL && node->op != BT_OP_DIV)) {
        return value;
    }
    int kept = node->op == BT_OP_MUL && node->args[0].kind != BT_ARG_VALUE;
    const struct bt_arg *factor = &node->args[1 - kept];
    if (!is_value(&node->args[kept]) || !bt_match_number(g, factor, &number) || number == 0.0 || !isfinite(number) ||
        g->values[node->args[kept].value].dtype != g->values[value].dtype) {
        return value;
    }
    a->scale = node->op == BT_OP_MUL ? a->scale * number : a->scale / number;
    return node->args[kept].value;
}

/* The value with its last two dimensions swapped. */
static bt_value swapped(struct attention *a, bt_value value)
{
    struct bt_graph *g = a->r->g;
    int rank = g->values[value].rank;
    bt_expr dims[BT_MAX_RANK];
    for (int d = 0; d < rank; d++) {
        dims[d] = bt_expr_int(g->exprs, d < rank - 2 ? d : 2 * rank - 3 - d);
    }
    const struct bt_arg args[] = {bt_arg_value(value), bt_arg_exprs(dims, rank)};
    return bt_rewrite_op(a->r, BT_OP_PERMUTE, 2, args);
}

/* How the leading dimensions of a product relate to those of the scores. */
enum heads { HEADS_SAME, HEADS_MERGED, HEADS_OTHER };

static enum heads heads_of(const struct attention *a, bt_value product)
{
    const struct bt_value_info *scores = &a->r->g->values[a->scores], *info = &a->r->g->values[product];
    if (info->rank != scores->rank) {
        return info->rank == 3 && scores->rank > 3 ? HEADS_MERGED : HEADS_OTHER;
    }
    for (int d = 0; d < info->rank - 2; d++) {
        if (info->dims[d] != scores->dims[d]) {
            return HEADS_OTHER;
        }
    }
    return HEADS_SAME;
}

/* q, k or v with its heads apart, as in the scores. */
static bt_value with_heads(struct attention *a, bt_value value, bt_value product)
{
    struct bt_graph *g = a->r->g;
    enum heads heads = heads_of(a, product);
    if (value < 0 || heads != HEADS_MERGED) {
        return heads == HEADS_SAME ? value : BT_NO_VALUE;
    }
    const struct bt_value_info info = g->values[value];
    struct bt_value_info apart = g->values[a->scores];
    if (info.rank != 3 || info.dims[0] != g->values[product].dims[0]) {
        return BT_NO_VALUE;
    }
    apart.dims[apart.rank - 2] = info.dims[1];
    apart.dims[apart.rank - 1] = info.dims[2];
    const struct bt_arg args[] = {bt_arg_value(value), bt_arg_exprs(apart.dims, apart.rank)};
    return bt_rewrite_op(a->r, BT_OP_RESHAPE, 2, args);
}

/* The mask broadcasts to the scores without making them larger. */
static bool mask_fits(const struct attention *a)
{
    const struct bt_graph *g = a->r->g;
    const struct bt_value_info *scores = &g->values[a->scores];
    if (a->mask < 0) {
        return true;
    }
    const struct bt_value_info *mask = &g->values[a->mask];
    bool fits = mask->rank <= scores->rank;
    for (int d = 1; d <= mask->rank && fits; d++) {
        int64_t size;
        bt_expr dim = mask->dims[mask->rank - d];
        fits = dim == scores->dims[scores->rank - d] || (bt_expr_is_int(g->exprs, dim, &size) && size == 1);
    }
    return fits;
}

static bt_value attend(struct attention *a, bt_value out, bt_value v)
{
    struct bt_graph *g = a->r->g;
    const struct bt_node product = *bt_match_producer(g, a->product);
    if (g->values[product.args[0].value].rank < 2 || g->values[product.args[1].value].rank < 2) {
        return BT_NO_VALUE;
    }
    bt_value q = unscaled(a, product.args[0].value);
    bt_value k = unscaled(a, swapped(a, unscaled(a, product.args[1].value)));
    q = with_heads(a, q, a->product);
    k = with_heads(a, k, a->product);
    v = with_heads(a, v, out);
    if (q < 0 || k < 0 || v < 0 || !mask_fits(a)) {
        return BT_NO_VALUE;
    }
    const struct bt_arg args[] = {bt_arg_value(q),
                                  bt_arg_value(k),
                                  bt_arg_value(v),
                                  a->mask >= 0 ? bt_arg_value(a->mask) : bt_arg_none(),
                                  bt_arg_none(),
                                  bt_arg_float(g, a->scale),
                                  bt_arg_expr(bt_expr_bool(g->exprs, true))};
    return bt_rewrite_shaped(a->r, BT_OP_RESHAPE, bt_rewrite_op(a->r, BT_OP_SDPA, 7, args), out);
}

/* Over the last dimension, in the arithmetic of its operand. */
static bool is_plain_softmax(const struct bt_graph *g, const struct bt_node *node)
{
    int64_t dim;
    enum bt_dtype from = g->values[node->args[0].value].dtype, to = g->values[node->outs[0]].dtype;
    return bt_dtype_storage(from) == bt_dtype_storage(to) && bt_expr_is_int(g->exprs, node->args[1].expr, &dim) &&
           dim == g->values[node->outs[0]].rank - 1;
}

static bt_value fuse(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    const struct bt_graph *g = r->g;
    if (node->op != BT_OP_MATMUL) {
        return bt_simplify_view(r, value, node); /* the transposition of a transposed key */
    }
    bt_value weights = node->args[0].value;
    for (bt_value inner = weights; inner >= 0; inner = look_through(g, inner)) {
        weights = inner;
        if (bt_rewrite_uses(r, inner) > 1) {
            return BT_NO_VALUE; /* the weights themselves are asked for */
        }
    }
    const struct bt_node *softmax = bt_match_op(g, weights, BT_OP_SOFTMAX);
    if (!softmax || !is_plain_softmax(g, softmax) || g->values[node->args[1].value].rank < 2) {
        return BT_NO_VALUE;
    }
    struct attention a = {.r = r, .scores = softmax->args[0].value, .mask = BT_NO_VALUE};
    if (!follow(&a, a.scores, 1.0, MAX_STEPS)) {
        return BT_NO_VALUE;
    }
    return attend(&a, value, node->args[1].value);
}

enum bertc_status bt_pass_fuse_attention(struct bt_graph *g, struct bertc_error *err)
{
    return bt_rewrite_graph(g, fuse, err);
}
