/* encoder_part.c: embeddings, attention and rotary positions, as architectures share them */
#include <float.h>
#include <math.h>

#include "load/encoder.h"

/* ---- embeddings ---- */

/* inputs_embeds, whose width is known from here on. */
static bt_value given_words(struct bt_encoder *e)
{
    struct bt_nn *nn = &e->nn;
    const bt_value given = e->inputs[BT_IN_EMBEDS];
    const bt_expr width = bt_nn_int(nn, e->config->embedding);
    if (!nn->status && !bt_graph_same(nn->graph, bt_nn_dim(nn, given, 2), width)) {
        bt_nn_fail(nn, bt_error_set(nn->err, BERTC_INPUT, "argument 'inputs_embeds' is %lld wide, expected %lld",
                                    (long long)bt_expr_hint(nn->graph->exprs, bt_nn_dim(nn, given, 2)).i,
                                    (long long)e->config->embedding));
    }
    const bt_expr shape[] = {e->batch, e->length, width};
    return bt_nn_cast(nn, bt_nn_reshape(nn, given, 3, shape), nn->dtype);
}

bt_value bt_encoder_words(struct bt_encoder *e)
{
    const struct bt_config *c = e->config;
    const bt_value table = bt_nn_table(&e->nn, e->words, c->vocab, c->embedding);
    if (e->inputs[BT_IN_EMBEDS] >= 0) {
        return given_words(e);
    }
    return bt_nn_binary(&e->nn, BT_OP_EMBEDDING, table, e->inputs[BT_IN_IDS]);
}

bt_value bt_encoder_types(struct bt_encoder *e, const char *name, int64_t width)
{
    const bt_value table = bt_nn_table(&e->nn, name, e->config->types, width), types = e->inputs[BT_IN_TYPES];
    return types >= 0 ? bt_nn_binary(&e->nn, BT_OP_EMBEDDING, table, types) : bt_nn_select(&e->nn, table, 0, 0);
}

static void check_length(struct bt_encoder *e)
{
    struct bt_graph *g = e->nn.graph;
    const bt_expr limit = bt_nn_int(&e->nn, e->config->positions);
    if (!e->nn.status && !bt_graph_decide(g, bt_expr_binary(g->exprs, BT_EXPR_LE, e->length, limit))) {
        bt_nn_fail(&e->nn,
                   bt_error_set(e->nn.err, BERTC_INPUT,
                                "sequence length %lld is longer than the model's %lld positions (config.json "
                                "max_position_embeddings)",
                                (long long)bt_expr_hint(g->exprs, e->length).i, (long long)e->config->positions));
    }
}

bt_value bt_encoder_positions(struct bt_encoder *e, const char *name, int64_t width)
{
    struct bt_nn *nn = &e->nn;
    const bt_value table = bt_nn_table(nn, name, e->config->positions, width), given = e->inputs[BT_IN_POSITIONS];
    if (given >= 0) {
        return bt_nn_binary(nn, BT_OP_EMBEDDING, table, given);
    }
    check_length(e);
    return bt_nn_slice(nn, table, 0, bt_nn_int(nn, 0), e->length);
}

bt_value bt_encoder_positions_by_id(struct bt_encoder *e, const char *name, int64_t pad)
{
    struct bt_nn *nn = &e->nn;
    const bt_value ids = e->inputs[BT_IN_IDS];
    const bt_value table = bt_nn_table(nn, name, e->config->positions, e->config->embedding);
    bt_value positions = e->inputs[BT_IN_POSITIONS];
    if (positions < 0 && ids >= 0) {
        const bt_value token = bt_nn_cast(nn, bt_nn_with_int(nn, BT_OP_NE, ids, pad), BT_I64);
        const bt_value count = bt_nn_with_int(nn, BT_OP_CUMSUM, token, 1);
        positions = bt_nn_with_int(nn, BT_OP_ADD, bt_nn_binary(nn, BT_OP_MUL, count, token), pad);
    } else if (positions < 0) {
        positions = bt_nn_with_int(nn, BT_OP_ADD, bt_nn_range(nn, e->length), pad + 1);
    }
    return bt_nn_binary(nn, BT_OP_EMBEDDING, table, positions);
}

/* ---- attention ---- */

struct bt_arg bt_encoder_lowest(struct bt_encoder *e)
{
    return bt_arg_float(e->nn.graph, -(double)FLT_MAX);
}

bt_value bt_encoder_additive(struct bt_encoder *e, bt_value keep)
{
    const bt_value bias = bt_nn_where(&e->nn, keep, bt_arg_float(e->nn.graph, 0.0), bt_encoder_lowest(e));
    return bt_nn_cast(&e->nn, bias, e->nn.dtype);
}

bt_value bt_encoder_weigh(struct bt_encoder *e, bt_value scores, bt_value value)
{
    struct bt_nn *nn = &e->nn;
    const bt_value weights = bt_nn_with_int(nn, BT_OP_SOFTMAX, scores, 3);
    bt_encoder_attention(e, weights);
    return bt_nn_join_heads(nn, bt_nn_binary(nn, BT_OP_MATMUL, weights, value));
}

/* The arithmetic that shows its weights. */
static bt_value attend_eagerly(struct bt_encoder *e, bt_value query, bt_value key, bt_value value, bt_value mask)
{
    struct bt_nn *nn = &e->nn;
    int64_t size = 1;
    if (nn->status || !bt_expr_is_int(nn->graph->exprs, bt_nn_dim(nn, query, 3), &size)) {
        return BT_NO_VALUE;
    }
    bt_value scores = bt_nn_binary(nn, BT_OP_MATMUL, query, bt_nn_swap(nn, key, 2, 3));
    scores = bt_nn_with_float(nn, BT_OP_MUL, scores, 1.0 / sqrt((double)size));
    if (mask >= 0) {
        const bool keeps = nn->graph->values[mask].dtype == BT_BOOL;
        scores = bt_nn_add(nn, scores, keeps ? bt_encoder_additive(e, mask) : mask);
    }
    return bt_encoder_weigh(e, scores, value);
}

bt_value bt_encoder_attend(struct bt_encoder *e, bt_value query, bt_value key, bt_value value, bt_value mask)
{
    struct bt_nn *nn = &e->nn;
    if (e->wants_attentions) {
        return attend_eagerly(e, query, key, value, mask);
    }
    const struct bt_arg args[] = {bt_arg_value(query),
                                  bt_arg_value(key),
                                  bt_arg_value(value),
                                  mask >= 0 ? bt_arg_value(mask) : bt_arg_none(),
                                  bt_arg_expr(bt_expr_bool(nn->graph->exprs, false)),
                                  bt_arg_none()};
    return bt_nn_join_heads(nn, bt_nn_op(nn, BT_OP_SDPA, 6, args));
}

/* ---- rotary positions ---- */

/* [1, s], or what was given. */
static bt_value position_ids(struct bt_encoder *e)
{
    const bt_value given = e->inputs[BT_IN_POSITIONS];
    return given >= 0 ? given : bt_nn_unsqueeze(&e->nn, bt_nn_range(&e->nn, e->length), 0);
}

struct bt_rotary bt_encoder_rotary(struct bt_encoder *e, double base, int64_t size)
{
    struct bt_nn *nn = &e->nn;
    struct bt_graph *g = nn->graph;
    const bt_value even = bt_nn_with_int(nn, BT_OP_MUL, bt_nn_range(nn, bt_nn_int(nn, size / 2)), 2);
    const bt_value exponent = bt_nn_with_int(nn, BT_OP_DIV, bt_nn_cast(nn, even, BT_F32), size);
    const struct bt_arg power[] = {bt_arg_float(g, base), bt_arg_value(exponent)};
    const bt_value frequency = bt_nn_unary(nn, BT_OP_RECIPROCAL, bt_nn_op(nn, BT_OP_POW, 2, power));
    bt_value position = bt_nn_cast(nn, position_ids(e), BT_F32);
    position = bt_nn_unsqueeze(nn, bt_nn_unsqueeze(nn, position, 1), 3);
    const bt_value half = bt_nn_binary(nn, BT_OP_MUL, position, frequency);
    const bt_value angle = bt_nn_cat(nn, (const bt_value[]){half, half}, 2, 3);
    return (struct bt_rotary){bt_nn_cast(nn, bt_nn_unary(nn, BT_OP_COS, angle), nn->dtype),
                              bt_nn_cast(nn, bt_nn_unary(nn, BT_OP_SIN, angle), nn->dtype)};
}

bt_value bt_encoder_rotate(struct bt_encoder *e, struct bt_rotary rotary, bt_value x)
{
    struct bt_nn *nn = &e->nn;
    int64_t size = 0;
    if (nn->status || !bt_expr_is_int(nn->graph->exprs, bt_nn_dim(nn, x, 3), &size)) {
        return BT_NO_VALUE;
    }
    const bt_value low = bt_nn_slice_fixed(nn, x, 3, 0, size / 2), high = bt_nn_slice_fixed(nn, x, 3, size / 2, size);
    const bt_value turned = bt_nn_cat(nn, (const bt_value[]){bt_nn_unary(nn, BT_OP_NEG, high), low}, 2, 3);
    return bt_nn_add(nn, bt_nn_binary(nn, BT_OP_MUL, x, rotary.cos), bt_nn_binary(nn, BT_OP_MUL, turned, rotary.sin));
}
