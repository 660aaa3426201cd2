/* arch_mobilebert.c: MobileBERT: narrow layers between bottlenecks, several ffns each, and scaling in place of norms */
#include <string.h>

#include "load/arch_bert.h"

struct mobile {
    int64_t narrow; /* the width within a layer */
    int64_t feed_forwards; /* in a layer */
    bool bottleneck; /* of a layer; else it is as wide as the hidden states */
    bool attends_narrow; /* queries, keys and values are made of the narrow states */
    bool shares_keys; /* else queries and keys have a bottleneck of their own */
    bool trigrams; /* each embedding beside its neighbours */
    bool normalizes; /* by layer norms */
};

static enum bertc_status configure(const struct bt_checkpoint *c, struct bt_config *config, struct bertc_error *err)
{
    struct mobile *m = bt_arena_alloc(c->arena, 1, sizeof *m);
    const char *norm;
    bool activates;
    if (!m) {
        return bt_error_memory(err);
    }
    config->extra = m;
    enum bertc_status status;
    if ((status = bt_arch_check_encoder(c, config, err)) ||
        (status = bt_checkpoint_int(c, "intra_bottleneck_size", 128, 1, &m->narrow, err)) ||
        (status = bt_checkpoint_int(c, "num_feedforward_networks", 4, 1, &m->feed_forwards, err)) ||
        (status = bt_checkpoint_bool(c, "use_bottleneck", true, &m->bottleneck, err)) ||
        (status = bt_checkpoint_bool(c, "use_bottleneck_attention", false, &m->attends_narrow, err)) ||
        (status = bt_checkpoint_bool(c, "key_query_shared_bottleneck", true, &m->shares_keys, err)) ||
        (status = bt_checkpoint_bool(c, "trigram_input", true, &m->trigrams, err)) ||
        (status = bt_checkpoint_bool(c, "classifier_activation", true, &activates, err)) ||
        (status = bt_checkpoint_string(c, "normalization_type", "no_norm", &norm, err))) {
        return status;
    }
    config->plain_pooler = !activates;
    m->normalizes = strcmp(norm, "layer_norm") == 0;
    m->narrow = m->bottleneck ? m->narrow : config->hidden;
    if (!m->normalizes && strcmp(norm, "no_norm") != 0) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: normalization_type '%.100s' is not supported", norm);
    }
    if (m->narrow % config->heads != 0 || m->feed_forwards > (int64_t)c->tensor_count ||
        config->embedding > config->hidden) {
        return bt_error_set(err, BERTC_FORMAT,
                            "config.json: intra_bottleneck_size %lld, num_feedforward_networks %lld and embedding_size "
                            "%lld do not fit the rest",
                            (long long)m->narrow, (long long)m->feed_forwards, (long long)config->embedding);
    }
    return BERTC_OK;
}

static const struct mobile *mobile_of(const struct bt_encoder *e)
{
    return e->config->extra;
}

/* "no norm" is a factor and a summand for each column. */
static bt_value normalize(struct bt_encoder *e, const char *name, int64_t width, double eps, bt_value x)
{
    struct bt_nn *nn = &e->nn;
    if (mobile_of(e)->normalizes) {
        return bt_nn_layer_norm(nn, x, name, eps, BT_BIAS);
    }
    const bt_value factor = bt_nn_vector(nn, name, ".weight", width), summand = bt_nn_vector(nn, name, ".bias", width);
    return bt_nn_add(nn, bt_nn_binary(nn, BT_OP_MUL, x, factor), summand);
}

static const double usual_eps = 1e-5; /* where transformers forgets the configuration's */

/* dense -> + residual (or BT_NO_VALUE) -> norm, named scope + part. */
static bt_value dense_and_norm(struct bt_encoder *e, const char *part, int64_t width, double eps, bt_value x,
                               bt_value residual)
{
    const char *scope = e->nn.scope;
    bt_nn_enter_below(&e->nn, part, 0);
    x = bt_nn_linear(&e->nn, x, "dense", width, BT_BIAS);
    x = residual >= 0 ? bt_nn_add(&e->nn, x, residual) : x;
    x = normalize(e, "LayerNorm", width, eps, x);
    e->nn.scope = scope;
    return x;
}

/* x one place on along the sequence, zeros behind its end; or one place back. */
static bt_value shifted(struct bt_encoder *e, bt_value x, bool next)
{
    struct bt_nn *nn = &e->nn;
    if (nn->status) {
        return BT_NO_VALUE;
    }
    const bt_expr one = bt_nn_int(nn, 1), zero = bt_nn_int(nn, 0);
    const bt_expr but_last = bt_expr_binary(nn->graph->exprs, BT_EXPR_SUB, e->length, one);
    const bt_value rest = next ? bt_nn_slice(nn, x, 1, one, e->length) : bt_nn_slice(nn, x, 1, zero, but_last);
    const bt_expr before = next ? zero : one, behind = next ? one : zero;
    const bt_expr last[] = {before, behind}, middle[] = {zero, zero, before, behind};
    const bool ids = nn->graph->values[x].rank == 2;
    const struct bt_arg args[] = {bt_arg_value(rest), bt_arg_exprs(ids ? last : middle, ids ? 2 : 4),
                                  bt_arg_int(nn->graph, 0)};
    return bt_nn_op(nn, BT_OP_PAD, 3, args);
}

/* The embeddings of the next tokens, or of the previous ones. Of ids, not of embeddings, so that tokens stay apart. */
static bt_value neighbours(struct bt_encoder *e, bt_value words, bool next)
{
    struct bt_nn *nn = &e->nn;
    const struct bt_config *c = e->config;
    if (e->inputs[BT_IN_IDS] < 0) {
        return shifted(e, words, next);
    }
    const bt_expr end =
        next ? bt_expr_binary(nn->graph->exprs, BT_EXPR_SUB, e->length, bt_nn_int(nn, 1)) : bt_nn_int(nn, 0);
    const struct bt_arg there[] = {bt_arg_value(bt_nn_range(nn, e->length)), bt_arg_expr(end)};
    const bt_value factor = bt_nn_unsqueeze(nn, bt_nn_cast(nn, bt_nn_op(nn, BT_OP_NE, 2, there), nn->dtype), 1);
    const bt_value ids = shifted(e, e->inputs[BT_IN_IDS], next);
    return bt_nn_binary(nn, BT_OP_MUL, bt_nn_embedding(nn, e->words, c->vocab, c->embedding, ids), factor);
}

static bt_value embed(struct bt_encoder *e)
{
    const struct bt_config *c = e->config;
    const struct mobile *m = mobile_of(e);
    bt_value x = bt_encoder_words(e);
    if (m->trigrams) {
        const bt_value parts[] = {neighbours(e, x, true), x, neighbours(e, x, false)};
        x = bt_nn_cat(&e->nn, parts, 3, 2);
    }
    /* which the files have in any case */
    const bt_value transformed = bt_nn_linear(&e->nn, x, "embeddings.embedding_transformation", c->hidden, BT_BIAS);
    x = m->trigrams || c->embedding != c->hidden ? transformed : x;
    x = bt_nn_add(&e->nn, x, bt_encoder_positions(e, "embeddings.position_embeddings", c->hidden));
    x = bt_nn_add(&e->nn, x, bt_encoder_types(e, "embeddings.token_type_embeddings", c->hidden));
    return normalize(e, "embeddings.LayerNorm", c->hidden, usual_eps, x);
}

static bt_value project(struct bt_encoder *e, const char *name, bt_value x)
{
    return bt_nn_split_heads(&e->nn, bt_nn_linear(&e->nn, x, name, mobile_of(e)->narrow, BT_BIAS), e->config->heads);
}

/* Attention of the narrow states, with what the layer's bottlenecks make of x. */
static bt_value attend(struct bt_encoder *e, bt_value x, bt_value narrow)
{
    const struct mobile *m = mobile_of(e);
    const double eps = e->config->eps;
    bt_value keys = x, values = x;
    if (m->bottleneck && m->shares_keys) {
        keys = dense_and_norm(e, "bottleneck.attention.", m->narrow, eps, x, BT_NO_VALUE);
    }
    if (m->bottleneck && m->attends_narrow) {
        keys = values = narrow;
    }
    const bt_value query = project(e, "attention.self.query", keys), key = project(e, "attention.self.key", keys);
    const bt_value value = project(e, "attention.self.value", values);
    x = bt_encoder_attend(e, query, key, value, e->keep);
    return dense_and_norm(e, "attention.output.", m->narrow, eps, x, narrow);
}

static bt_value widen(struct bt_encoder *e, const char *name, bt_value x)
{
    return bt_nn_activation(&e->nn, e->config->activation, bt_nn_linear(&e->nn, x, name, e->config->inner, BT_BIAS));
}

static bt_value feed_forward(struct bt_encoder *e, int64_t i, bt_value x)
{
    const char *scope = e->nn.scope;
    bt_nn_enter_below(&e->nn, "ffn.%lld.", i);
    x = dense_and_norm(e, "output.", mobile_of(e)->narrow, e->config->eps, widen(e, "intermediate.dense", x), x);
    e->nn.scope = scope;
    return x;
}

static bt_value layer(struct bt_encoder *e, bt_value x)
{
    const struct mobile *m = mobile_of(e);
    const double eps = e->config->eps;
    const bt_value narrow = m->bottleneck ? dense_and_norm(e, "bottleneck.input.", m->narrow, eps, x, BT_NO_VALUE) : x;
    bt_value y = attend(e, x, narrow);
    for (int64_t i = 0; i + 1 < m->feed_forwards && !e->nn.status; i++) {
        y = feed_forward(e, i, y);
    }
    y = dense_and_norm(e, "output.", m->narrow, usual_eps, widen(e, "intermediate.dense", y), y);
    return m->bottleneck ? dense_and_norm(e, "output.bottleneck.", e->config->hidden, eps, y, x) : y;
}

static bt_value encode(struct bt_encoder *e)
{
    bt_value x = embed(e);
    bt_encoder_hidden(e, x);
    for (int64_t i = 0; i < e->config->layers && !e->nn.status; i++) {
        bt_nn_enter(&e->nn, "encoder.layer.%lld.", i);
        x = layer(e, x);
        bt_encoder_hidden(e, x);
    }
    return x;
}

/* The table of words is narrower than the hidden states: `dense` has the columns that it lacks. */
static bt_value decode_words(struct bt_encoder *e, bt_value x)
{
    struct bt_nn *nn = &e->nn;
    const struct bt_config *c = e->config;
    const bt_value words = bt_head_vocabulary(e, "cls.predictions.decoder");
    bt_value table = bt_nn_swap(nn, words, 0, 1);
    const bt_value rest = bt_nn_table(nn, "cls.predictions.dense", c->hidden - c->embedding, c->vocab);
    if (c->embedding < c->hidden) {
        table = bt_nn_cat(nn, (const bt_value[]){table, rest}, 2, 0);
    }
    const bt_value bias = bt_head_vocabulary_bias(e, "cls.predictions.decoder", "cls.predictions.bias");
    return bt_nn_add(nn, bt_nn_binary(nn, BT_OP_MATMUL, x, table), bias);
}

#define WORDS BT_BERT_WORDS, .dense_hidden = true, .decode = decode_words

static const struct bt_head heads[] = {
    BT_HEAD_CLASSES("classifier", .rows = BT_ROWS_POOLED),
    BT_HEAD_TOKENS("classifier"),
    BT_HEAD_SPANS("qa_outputs"),
    BT_HEAD_WORDS(WORDS),
    BT_HEAD("ForPreTraining", {.output = "prediction_logits", .width = BT_WIDTH_VOCAB, WORDS},
            BT_BERT_NEXT("seq_relationship_logits")),
    BT_HEAD("ForNextSentencePrediction", BT_BERT_NEXT("logits")),
    BT_HEAD_CHOICES("classifier", .rows = BT_ROWS_POOLED),
};

const struct bt_arch bt_arch_mobilebert = {
    .model_type = "mobilebert",
    .class_name = "MobileBert",
    .prefix = "mobilebert.",
    .inputs = BT_BERT_INPUTS,
    .config = {.vocab = 30522,
               .positions = 512,
               .types = 2,
               .embedding = 128,
               .hidden = 512,
               .inner = 512,
               .layers = 24,
               .heads = 4,
               .eps = 1e-12,
               .activation = "relu"},
    .words = "embeddings.word_embeddings",
    .pooler = "pooler.dense",
    BT_HEADS(heads),
    .configure = configure,
    .encode = encode,
};
