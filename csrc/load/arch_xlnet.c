/* arch_xlnet.c: XLNet without its memories: scores by content, by relative position and by segment */
#include <math.h>

#include "load/encoder.h"

static enum bertc_status configure(const struct bt_checkpoint *c, struct bt_config *config, struct bertc_error *err)
{
    int64_t *farthest = bt_arena_alloc(c->arena, 1, sizeof *farthest);
    enum bertc_status status;
    if (!farthest) {
        return bt_error_memory(err);
    }
    config->extra = farthest;
    if ((status = bt_checkpoint_require(c, "attn_type", "bi", err)) ||
        (status = bt_checkpoint_require_bool(c, "bi_data", false, err)) ||
        (status = bt_checkpoint_require_int(c, "d_head", config->hidden / config->heads, err)) ||
        (status = bt_checkpoint_require(c, "summary_type", "last", err)) ||
        (status = bt_checkpoint_require_bool(c, "summary_use_proj", true, err))) {
        return status;
    }
    return bt_checkpoint_int(c, "clamp_len", -1, INT32_MIN, farthest, err);
}

/* What all layers attend with. */
struct context {
    bt_value positions; /* [1, 2 * s, hidden], of the distances s, s - 1, ... 1 - s */
    bt_value index;     /* [b, h, s, s]: which of them belongs to a query and a key */
    bt_value mask;      /* [b, 1, s, s], to add; or BT_NO_VALUE */
    bt_value differs;   /* [b, 1, s, s]: query and key are of other segments; or BT_NO_VALUE */
};

static bt_value encode_distances(struct bt_encoder *e)
{
    struct bt_nn *nn = &e->nn;
    struct bt_graph *g = nn->graph;
    const int64_t hidden = e->config->hidden, *farthest = e->config->extra;
    const bt_value even = bt_nn_with_int(nn, BT_OP_MUL, bt_nn_range(nn, bt_nn_int(nn, (hidden + 1) / 2)), 2);
    const struct bt_arg power[] = {bt_arg_int(g, 10000),
                                   bt_arg_value(bt_nn_with_int(nn, BT_OP_DIV, bt_nn_cast(nn, even, BT_F32), hidden))};
    const bt_value frequency = bt_nn_unary(nn, BT_OP_RECIPROCAL, bt_nn_op(nn, BT_OP_POW, 2, power));
    const bt_expr twice = bt_expr_binary(g->exprs, BT_EXPR_MUL, e->length, bt_nn_int(nn, 2));
    const struct bt_arg down[] = {bt_arg_expr(e->length), bt_arg_value(bt_nn_range(nn, twice))};
    bt_value distance = bt_nn_cast(nn, bt_nn_op(nn, BT_OP_SUB, 2, down), BT_F32);
    if (*farthest > 0) {
        const struct bt_arg clamp[] = {bt_arg_value(distance), bt_arg_int(g, -*farthest), bt_arg_int(g, *farthest)};
        distance = bt_nn_op(nn, BT_OP_CLAMP, 3, clamp);
    }
    const bt_value angle = bt_nn_binary(nn, BT_OP_MUL, bt_nn_unsqueeze(nn, distance, 1), frequency);
    const bt_value parts[] = {bt_nn_unary(nn, BT_OP_SIN, angle), bt_nn_unary(nn, BT_OP_COS, angle)};
    return bt_nn_unsqueeze(nn, bt_nn_cast(nn, bt_nn_cat(nn, parts, 2, 1), nn->dtype), 0);
}

/* [b, 1, s, s] of [b, s]: whether the values of query and key differ. */
static bt_value pairs_that_differ(struct bt_nn *nn, bt_value ids)
{
    const bt_value differs = bt_nn_binary(nn, BT_OP_NE, bt_nn_unsqueeze(nn, ids, 2), bt_nn_unsqueeze(nn, ids, 1));
    return bt_nn_unsqueeze(nn, differs, 1);
}

static struct context context_of(struct bt_encoder *e)
{
    struct bt_nn *nn = &e->nn;
    struct bt_graph *g = nn->graph;
    const bt_value place = bt_nn_unsqueeze(nn, bt_nn_range(nn, e->length), 0);
    const bt_value types = e->inputs[BT_IN_TYPES];
    bt_value index = bt_nn_binary(nn, BT_OP_SUB, bt_nn_unsqueeze(nn, place, 1), bt_nn_unsqueeze(nn, place, 2));
    const struct bt_arg shift[] = {bt_arg_value(index), bt_arg_expr(e->length)};
    index = bt_nn_unsqueeze(nn, bt_nn_op(nn, BT_OP_ADD, 2, shift), 1);
    const bt_expr shape[] = {e->batch, bt_nn_int(nn, e->config->heads), e->length, e->length};
    const struct bt_arg expand[] = {bt_arg_value(index), bt_arg_exprs(shape, 4)};
    struct context c = {.positions = encode_distances(e),
                        .index = bt_nn_op(nn, BT_OP_EXPAND, 2, expand),
                        .mask = BT_NO_VALUE,
                        .differs = types >= 0 ? pairs_that_differ(nn, types) : BT_NO_VALUE};
    if (e->keep >= 0) { /* padding attends to itself */
        const bt_value hidden = bt_nn_unary(nn, BT_OP_LOGICAL_NOT, e->keep);
        const bt_value blocked = bt_nn_binary(nn, BT_OP_BITWISE_AND, hidden, pairs_that_differ(nn, place));
        c.mask = bt_nn_where(nn, blocked, bt_arg_float(g, -1e30), bt_arg_float(g, 0.0));
        c.mask = bt_nn_cast(nn, c.mask, nn->dtype);
    }
    return c;
}

/* x by a weight [hidden, heads, size], as [b, heads, s, size]. */
static bt_value project(struct bt_encoder *e, const char *name, bt_value x)
{
    struct bt_nn *nn = &e->nn;
    const struct bt_config *c = e->config;
    const int64_t dims[] = {c->hidden, c->heads, c->hidden / c->heads};
    const bt_expr matrix[] = {bt_nn_int(nn, c->hidden), bt_nn_int(nn, c->hidden)};
    const bt_value weight = bt_nn_reshape(nn, bt_nn_weight(nn, name, 3, dims), 2, matrix);
    return bt_nn_split_heads(nn, bt_nn_binary(nn, BT_OP_MATMUL, x, weight), c->heads);
}

/* The query plus a bias, by the transposed keys. */
static bt_value score(struct bt_encoder *e, bt_value query, const char *bias, bt_value keys)
{
    struct bt_nn *nn = &e->nn;
    const int64_t dims[] = {e->config->heads, e->config->hidden / e->config->heads};
    const bt_value biased = bt_nn_add(nn, query, bt_nn_unsqueeze(nn, bt_nn_weight(nn, bias, 2, dims), 1));
    return bt_nn_binary(nn, BT_OP_MATMUL, biased, bt_nn_swap(nn, keys, 2, 3));
}

/* [b, h, s, 1 of 2]: the scores of the own segment and of another, by the weight [2, heads, size]. */
static bt_value segment_scores(struct bt_encoder *e, const struct context *context, bt_value query)
{
    struct bt_nn *nn = &e->nn;
    const int64_t dims[] = {2, e->config->heads, e->config->hidden / e->config->heads};
    const bt_value segments = bt_nn_swap(nn, bt_nn_weight(nn, "rel_attn.seg_embed", 3, dims), 0, 1);
    const bt_value both = score(e, query, "rel_attn.r_s_bias", bt_nn_unsqueeze(nn, segments, 0));
    return context->differs < 0 ? BT_NO_VALUE
                                : bt_nn_where(nn, context->differs, bt_arg_value(bt_nn_slice_fixed(nn, both, 3, 1, 2)),
                                              bt_arg_value(bt_nn_slice_fixed(nn, both, 3, 0, 1)));
}

static bt_value attend(struct bt_encoder *e, const struct context *context, bt_value x)
{
    struct bt_nn *nn = &e->nn;
    const struct bt_config *c = e->config;
    const bt_value query = project(e, "rel_attn.q", x), key = project(e, "rel_attn.k", x);
    const bt_value value = project(e, "rel_attn.v", x), place = project(e, "rel_attn.r", context->positions);
    const struct bt_arg gather[] = {bt_arg_value(score(e, query, "rel_attn.r_r_bias", place)), bt_arg_int(nn->graph, 3),
                                    bt_arg_value(context->index)};
    bt_value scores = bt_nn_add(nn, score(e, query, "rel_attn.r_w_bias", key), bt_nn_op(nn, BT_OP_GATHER, 3, gather));
    const bt_value segment = segment_scores(e, context, query);
    scores = segment >= 0 ? bt_nn_add(nn, scores, segment) : scores;
    scores = bt_nn_with_float(nn, BT_OP_MUL, scores, 1.0 / sqrt((double)(c->hidden / c->heads)));
    scores = context->mask >= 0 ? bt_nn_add(nn, scores, context->mask) : scores;
    const int64_t dims[] = {c->hidden, c->heads, c->hidden / c->heads};
    const bt_expr matrix[] = {bt_nn_int(nn, c->hidden), bt_nn_int(nn, c->hidden)};
    const struct bt_arg out[] = {bt_arg_value(bt_encoder_weigh(e, scores, value)),
                                 bt_arg_value(bt_nn_reshape(nn, bt_nn_weight(nn, "rel_attn.o", 3, dims), 2, matrix))};
    return bt_nn_op(nn, BT_OP_LINEAR, 2, out);
}

static bt_value encode(struct bt_encoder *e)
{
    struct bt_nn *nn = &e->nn;
    const struct bt_config *c = e->config;
    const struct context context = context_of(e);
    bt_value x = bt_encoder_words(e);
    bt_encoder_hidden(e, x);
    for (int64_t i = 0; i < c->layers && !nn->status; i++) {
        bt_nn_enter(nn, "layer.%lld.", i);
        x = bt_nn_layer_norm(nn, bt_nn_add(nn, attend(e, &context, x), x), "rel_attn.layer_norm", c->eps, BT_BIAS);
        bt_value y = bt_nn_activation(nn, c->activation, bt_nn_linear(nn, x, "ff.layer_1", c->inner, BT_BIAS));
        y = bt_nn_linear(nn, y, "ff.layer_2", c->hidden, BT_BIAS);
        x = bt_nn_layer_norm(nn, bt_nn_add(nn, y, x), "ff.layer_norm", c->eps, BT_BIAS);
        bt_encoder_hidden(e, x);
    }
    return x;
}

#define SUMMARY                                                                                                        \
    .rows = BT_ROWS_LAST, .dense = "sequence_summary.summary", .activation = "tanh",                                   \
    .activation_key = "summary_activation"

static const struct bt_head heads[] = {
    BT_HEAD_CLASSES("logits_proj", SUMMARY),
    BT_HEAD_TOKENS("classifier"),
    BT_HEAD("ForQuestionAnsweringSimple",
            {.output = "start_logits", .decoder = "qa_outputs", .width = BT_WIDTH_TWO, .form = BT_FORM_SPANS}),
    BT_HEAD("LMHeadModel", BT_BRANCH_LOGITS("lm_loss", .width = BT_WIDTH_VOCAB)),
    BT_HEAD_CHOICES("logits_proj", SUMMARY),
};

static const char *const aliases[][2] = {{"hidden_size", "d_model"},       {"num_attention_heads", "n_head"},
                                         {"num_hidden_layers", "n_layer"}, {"intermediate_size", "d_inner"},
                                         {"hidden_act", "ff_activation"},  {NULL, NULL}};

const struct bt_arch bt_arch_xlnet = {
    .model_type = "xlnet",
    .class_name = "XLNet",
    .prefix = "transformer.",
    .inputs = "input_ids attention_mask token_type_ids inputs_embeds",
    .config = {.vocab = 32000,
               .positions = INT64_MAX,
               .hidden = 1024,
               .inner = 4096,
               .layers = 24,
               .heads = 16,
               .eps = 1e-12,
               .activation = "gelu"},
    .aliases = aliases,
    .words = "word_embedding",
    BT_HEADS(heads),
    .configure = configure,
    .encode = encode,
};
