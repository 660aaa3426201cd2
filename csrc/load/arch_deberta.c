/* arch_deberta.c: DeBERTa, version 1 and 2 (3 is 2 with other weights): scores also by relative positions */
#include <math.h>
#include <string.h>

#include "load/arch_bert.h"

struct deberta {
    bool v2;
    bool by_position[2];  /* the scores have terms of content to position, and of position to content */
    bool relative;        /* there is a table of relative positions */
    bool shares;          /* v2: its rows become keys and queries by the content's own weights */
    bool normalizes;      /* v2: they are normalised */
    bool adds_positions;  /* absolute positions are in the embeddings */
    int64_t farthest;     /* the largest distance */
    int64_t buckets;      /* v2: distances are sorted into so many for each direction; 0: they are not */
    int64_t taps, groups; /* v2: of the convolution beside the first layer; 0: there is none */
    const char *conv_activation;
    int terms; /* of a score */
};

static const struct deberta *deberta_of(const struct bt_encoder *e)
{
    return e->config->extra;
}

/* ---- configuration ---- */

/* "c2p|p2c", or a list of such. */
static enum bertc_status read_terms(const struct bt_checkpoint *c, struct deberta *d, struct bertc_error *err)
{
    static const char *const names[] = {"c2p", "p2c"};
    const struct bt_json *value = bt_checkpoint_value(c, "pos_att_type");
    const bool list = value && value->kind == BT_JSON_ARRAY;
    d->terms = 1;
    for (size_t i = 0; value && i < (list ? value->size : 1); i++) {
        const char *text = bt_json_string(list ? &value->items[i] : value);
        while (text && *text) {
            const size_t size = strcspn(text, "|");
            const int which = size == 3 && memcmp(text, names[1], 3) == 0;
            if (size != 3 || memcmp(text, names[which], 3) != 0) {
                return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: pos_att_type '%.100s' is not supported",
                                    text);
            }
            d->by_position[which] = true;
            d->terms++;
            text += size + (text[size] == '|');
        }
    }
    return BERTC_OK;
}

static enum bertc_status read_relative(const struct bt_checkpoint *c, const struct bt_config *config, struct deberta *d,
                                       struct bertc_error *err)
{
    enum bertc_status status;
    if ((status = bt_checkpoint_bool(c, "relative_attention", false, &d->relative, err)) ||
        (status = bt_checkpoint_bool(c, "position_biased_input", true, &d->adds_positions, err)) ||
        (status = bt_checkpoint_int(c, "max_relative_positions", -1, -1, &d->farthest, err))) {
        return status;
    }
    d->farthest = d->farthest < 1 ? config->positions : d->farthest;
    return read_terms(c, d, err);
}

static enum bertc_status read_v2(const struct bt_checkpoint *c, struct deberta *d, struct bertc_error *err)
{
    const char *norm;
    enum bertc_status status;
    if ((status = bt_checkpoint_int(c, "position_buckets", -1, -1, &d->buckets, err)) ||
        (status = bt_checkpoint_bool(c, "share_att_key", false, &d->shares, err)) ||
        (status = bt_checkpoint_string(c, "norm_rel_ebd", "none", &norm, err)) ||
        (status = bt_checkpoint_int(c, "conv_kernel_size", 0, 0, &d->taps, err)) ||
        (status = bt_checkpoint_int(c, "conv_groups", 1, 1, &d->groups, err)) ||
        (status = bt_arch_activation(c, "conv_act", "tanh", &d->conv_activation, err))) {
        return status;
    }
    d->buckets = d->buckets > 0 ? d->buckets : 0;
    d->normalizes = strcmp(norm, "layer_norm") == 0;
    if (!d->normalizes && strcmp(norm, "none") != 0) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: norm_rel_ebd '%.100s' is not supported", norm);
    }
    if (d->taps > 0 && d->taps % 2 == 0) {
        return bt_error_set(err, BERTC_FORMAT, "config.json: conv_kernel_size %lld is not odd", (long long)d->taps);
    }
    return BERTC_OK;
}

static struct deberta *deberta_new(const struct bt_checkpoint *c, struct bt_config *config)
{
    struct deberta *d = bt_arena_alloc(c->arena, 1, sizeof *d);
    config->extra = d;
    return d;
}

static enum bertc_status check_common(const struct bt_checkpoint *c, struct bt_config *config, struct bertc_error *err)
{
    enum bertc_status status = bt_arch_check_encoder(c, config, err);
    return status ? status : bt_checkpoint_require_int(c, "pooler_hidden_size", config->hidden, err);
}

static enum bertc_status configure_v1(const struct bt_checkpoint *c, struct bt_config *config, struct bertc_error *err)
{
    struct deberta *d = deberta_new(c, config);
    enum bertc_status status = d ? check_common(c, config, err) : bt_error_memory(err);
    status = status ? status : bt_checkpoint_require_bool(c, "talking_head", false, err);
    return status ? status : read_relative(c, config, d, err);
}

static enum bertc_status configure_v2(const struct bt_checkpoint *c, struct bt_config *config, struct bertc_error *err)
{
    struct deberta *d = deberta_new(c, config);
    enum bertc_status status = d ? check_common(c, config, err) : bt_error_memory(err);
    status = status ? status : bt_checkpoint_require_int(c, "attention_head_size", config->hidden / config->heads, err);
    status = status ? status : read_relative(c, config, d, err);
    if (!status) {
        d->v2 = true;
        status = read_v2(c, d, err);
    }
    return status;
}

/* ---- relative positions ---- */

struct relative {
    bt_value rows;     /* [2 * span, hidden] of the table */
    bt_value distance; /* [s, s], of the query from the key, perhaps in buckets */
    bt_expr span;
};

/* Small distances are their own bucket; larger ones share one by their logarithm. */
static bt_value in_buckets(struct bt_nn *nn, bt_value distance, int64_t buckets, int64_t farthest)
{
    struct bt_graph *g = nn->graph;
    const int64_t half = buckets / 2;
    const float range = logf((float)((double)(farthest - 1) / (double)half));
    const bt_value small = bt_nn_binary(nn, BT_OP_BITWISE_AND, bt_nn_with_int(nn, BT_OP_LT, distance, half),
                                        bt_nn_with_int(nn, BT_OP_GT, distance, -half));
    const bt_value far =
        bt_nn_where(nn, small, bt_arg_int(g, half - 1), bt_arg_value(bt_nn_unary(nn, BT_OP_ABS, distance)));
    bt_value bucket = bt_nn_unary(nn, BT_OP_LOG, bt_nn_with_int(nn, BT_OP_DIV, far, half));
    bucket = bt_nn_with_int(nn, BT_OP_MUL, bt_nn_with_float(nn, BT_OP_DIV, bucket, (double)range), half - 1);
    bucket = bt_nn_with_int(nn, BT_OP_ADD, bt_nn_unary(nn, BT_OP_CEIL, bucket), half);
    bucket = bt_nn_binary(nn, BT_OP_MUL, bucket, bt_nn_unary(nn, BT_OP_SIGN, distance));
    bucket = bt_nn_where(nn, bt_nn_with_int(nn, BT_OP_LE, far, half), bt_arg_value(bt_nn_cast(nn, distance, BT_F32)),
                         bt_arg_value(bucket));
    return bt_nn_cast(nn, bucket, BT_I64);
}

static struct relative relate(struct bt_encoder *e)
{
    struct bt_nn *nn = &e->nn;
    const struct deberta *d = deberta_of(e);
    const int64_t span = d->buckets ? d->buckets : d->farthest;
    struct relative r = {.span = bt_nn_int(nn, span)};
    const bt_value place = bt_nn_range(nn, e->length);
    r.distance = bt_nn_binary(nn, BT_OP_SUB, bt_nn_unsqueeze(nn, place, 1), bt_nn_unsqueeze(nn, place, 0));
    r.rows = bt_nn_table(nn, "encoder.rel_embeddings", 2 * span, e->config->hidden);
    if (d->normalizes) {
        r.rows = bt_nn_layer_norm(nn, r.rows, "encoder.LayerNorm", e->config->eps, BT_BIAS);
    }
    if (d->buckets) {
        r.distance = in_buckets(nn, r.distance, d->buckets, d->farthest);
    } else if (!d->v2) {
        struct bt_exprs *x = nn->graph->exprs;
        const bt_expr middle = r.span;
        r.span = bt_expr_binary(x, BT_EXPR_MIN, e->length, middle);
        r.rows = bt_nn_slice(nn, r.rows, 0, bt_expr_binary(x, BT_EXPR_SUB, middle, r.span),
                             bt_expr_binary(x, BT_EXPR_ADD, middle, r.span));
    }
    r.rows = bt_nn_unsqueeze(nn, r.rows, 0);
    return r;
}

/* of [b, h, s, 2 * span], for each other token the term at its distance: [b, h, s, s] */
static bt_value at_distance(struct bt_encoder *e, const struct relative *r, bt_value terms, bool reverse)
{
    struct bt_nn *nn = &e->nn;
    struct bt_exprs *x = nn->graph->exprs;
    bt_value index = reverse ? bt_nn_unary(nn, BT_OP_NEG, r->distance) : r->distance;
    const bt_expr last =
        bt_expr_binary(x, BT_EXPR_SUB, bt_expr_binary(x, BT_EXPR_MUL, r->span, bt_nn_int(nn, 2)), bt_nn_int(nn, 1));
    const struct bt_arg shifted[] = {bt_arg_value(index), bt_arg_expr(r->span)};
    const struct bt_arg clamped[] = {bt_arg_value(bt_nn_op(nn, BT_OP_ADD, 2, shifted)), bt_arg_int(nn->graph, 0),
                                     bt_arg_expr(last)};
    index = bt_nn_op(nn, BT_OP_CLAMP, 3, clamped);
    index = bt_nn_unsqueeze(nn, bt_nn_unsqueeze(nn, index, 0), 0);
    const bt_expr shape[] = {e->batch, bt_nn_int(nn, e->config->heads), e->length, e->length};
    const struct bt_arg expanded[] = {bt_arg_value(index), bt_arg_exprs(shape, 4)};
    const struct bt_arg gathered[] = {bt_arg_value(terms), bt_arg_int(nn->graph, 3),
                                      bt_arg_value(bt_nn_op(nn, BT_OP_EXPAND, 2, expanded))};
    return bt_nn_op(nn, BT_OP_GATHER, 3, gathered);
}

static bt_value by_transposed(struct bt_nn *nn, bt_value a, bt_value b)
{
    return bt_nn_binary(nn, BT_OP_MATMUL, a, bt_nn_swap(nn, b, 2, 3));
}

/* The rows of the table as keys or queries, [1, h, 2 * span, d]. */
static bt_value rows_as(struct bt_encoder *e, const struct relative *r, const char *name, enum bt_bias bias)
{
    return bt_nn_split_heads(&e->nn, bt_nn_linear(&e->nn, r->rows, name, e->config->hidden, bias), e->config->heads);
}

/* ---- attention ---- */

struct parts {
    bt_value query, key, value;   /* of the content, [b, h, s, d] */
    bt_value row_keys, row_queries; /* of relative positions; BT_NO_VALUE: not asked for */
};

static double scale_of(const struct bt_encoder *e)
{
    const struct bt_config *c = e->config;
    return (double)sqrtf((float)(c->hidden / c->heads) * (float)deberta_of(e)->terms);
}

/* One weight makes queries, keys and values, head by head; only two of them have a bias. */
static struct parts make_v1(struct bt_encoder *e, const struct relative *r, bt_value x)
{
    struct bt_nn *nn = &e->nn;
    const struct bt_config *c = e->config;
    const struct deberta *d = deberta_of(e);
    const int64_t size = c->hidden / c->heads;
    const bt_value joint =
        bt_nn_split_heads(nn, bt_nn_linear(nn, x, "attention.self.in_proj", 3 * c->hidden, BT_NO_BIAS), c->heads);
    bt_value part[3];
    for (int i = 0; i < 3; i++) {
        part[i] = bt_nn_slice_fixed(nn, joint, 3, i * size, (i + 1) * size);
    }
    static const char *const biases[] = {"attention.self.q_bias", NULL, "attention.self.v_bias"};
    const bt_expr shape[] = {bt_nn_int(nn, c->heads), bt_nn_int(nn, 1), bt_nn_int(nn, size)};
    for (int i = 0; i < 3; i += 2) {
        part[i] = bt_nn_add(nn, part[i], bt_nn_reshape(nn, bt_nn_weight(nn, biases[i], 1, &c->hidden), 3, shape));
    }
    struct parts p = {part[0], part[1], part[2], BT_NO_VALUE, BT_NO_VALUE};
    if (d->relative && d->by_position[0]) {
        p.row_keys = rows_as(e, r, "attention.self.pos_proj", BT_NO_BIAS);
    }
    if (d->relative && d->by_position[1]) {
        p.row_queries = rows_as(e, r, "attention.self.pos_q_proj", BT_BIAS);
    }
    return p;
}

static struct parts make_v2(struct bt_encoder *e, const struct relative *r, bt_value x)
{
    static const char *const names[] = {"attention.self.query_proj", "attention.self.key_proj",
                                        "attention.self.value_proj"};
    const struct bt_config *c = e->config;
    const struct deberta *d = deberta_of(e);
    bt_value part[3];
    for (int i = 0; i < 3; i++) {
        part[i] = bt_nn_split_heads(&e->nn, bt_nn_linear(&e->nn, x, names[i], c->hidden, BT_BIAS), c->heads);
    }
    struct parts p = {part[0], part[1], part[2], BT_NO_VALUE, BT_NO_VALUE};
    if (d->relative && d->by_position[0]) {
        p.row_keys = rows_as(e, r, d->shares ? names[1] : "attention.self.pos_key_proj", BT_BIAS);
    }
    if (d->relative && d->by_position[1]) {
        p.row_queries = rows_as(e, r, d->shares ? names[0] : "attention.self.pos_query_proj", BT_BIAS);
    }
    return p;
}

/* [b, h, s, s]; every term is divided by the scale. */
static bt_value scores_of(struct bt_encoder *e, const struct relative *r, const struct parts *p)
{
    struct bt_nn *nn = &e->nn;
    const double scale = scale_of(e);
    bt_value query = bt_nn_with_float(nn, BT_OP_DIV, p->query, scale);
    bt_value scores = by_transposed(nn, query, p->key);
    bt_value terms = BT_NO_VALUE;
    if (p->row_keys >= 0) {
        terms = at_distance(e, r, by_transposed(nn, query, p->row_keys), false);
    }
    if (p->row_queries >= 0) {
        const bt_value rows = bt_nn_with_float(nn, BT_OP_DIV, p->row_queries, scale);
        const bt_value term = bt_nn_swap(nn, at_distance(e, r, by_transposed(nn, p->key, rows), true), 2, 3);
        terms = terms >= 0 ? bt_nn_add(nn, terms, term) : term;
    }
    return terms >= 0 ? bt_nn_add(nn, scores, terms) : scores;
}

static bt_value attend(struct bt_encoder *e, const struct relative *r, bt_value mask, bt_value x)
{
    const struct parts parts = deberta_of(e)->v2 ? make_v2(e, r, x) : make_v1(e, r, x);
    bt_value scores = scores_of(e, r, &parts);
    if (mask >= 0) {
        scores = bt_nn_where(&e->nn, mask, bt_arg_value(scores), bt_encoder_lowest(e));
    }
    return bt_encoder_weigh(e, scores, parts.value);
}

/* ---- layers ---- */

/* x where tokens are, 0 at padding. */
static bt_value without_padding(struct bt_encoder *e, bt_value x)
{
    struct bt_nn *nn = &e->nn;
    const bt_value mask = e->inputs[BT_IN_MASK];
    return mask >= 0 ? bt_nn_binary(nn, BT_OP_MUL, x, bt_nn_unsqueeze(nn, bt_nn_cast(nn, mask, nn->dtype), 2)) : x;
}

static bt_value embed(struct bt_encoder *e)
{
    struct bt_nn *nn = &e->nn;
    const struct bt_config *c = e->config;
    bt_value x = bt_encoder_words(e);
    if (deberta_of(e)->adds_positions) {
        x = bt_nn_add(nn, x, bt_encoder_positions(e, "embeddings.position_embeddings", c->embedding));
    }
    if (c->types > 0) {
        x = bt_nn_add(nn, x, bt_encoder_types(e, "embeddings.token_type_embeddings", c->embedding));
    }
    if (c->embedding != c->hidden) {
        x = bt_nn_linear(nn, x, "embeddings.embed_proj", c->hidden, BT_NO_BIAS);
    }
    return without_padding(e, bt_nn_layer_norm(nn, x, "embeddings.LayerNorm", c->eps, BT_BIAS));
}

/* What the convolution of the embeddings adds to the first layer's result. */
static bt_value convolve(struct bt_encoder *e, bt_value embedded, bt_value x)
{
    struct bt_nn *nn = &e->nn;
    const struct bt_config *c = e->config;
    const struct deberta *d = deberta_of(e);
    bt_nn_enter(nn, "encoder.conv.", 0);
    const int64_t dims[] = {c->hidden, c->hidden / d->groups, d->taps};
    const bt_expr one = bt_nn_int(nn, 1), padding = bt_nn_int(nn, (d->taps - 1) / 2);
    const struct bt_arg args[] = {bt_arg_value(bt_nn_swap(nn, embedded, 1, 2)),
                                  bt_arg_value(bt_nn_weight(nn, "conv.weight", 3, dims)),
                                  bt_arg_value(bt_nn_weight(nn, "conv.bias", 1, dims)),
                                  bt_arg_exprs(&one, 1),
                                  bt_arg_exprs(&padding, 1),
                                  bt_arg_exprs(&one, 1),
                                  bt_arg_int(nn->graph, d->groups)};
    bt_value out = bt_nn_swap(nn, bt_nn_op(nn, BT_OP_CONV1D, 7, args), 1, 2);
    if (e->keep >= 0) {
        const bt_value kept = bt_nn_unsqueeze(nn, bt_nn_with_int(nn, BT_OP_NE, e->inputs[BT_IN_MASK], 0), 2);
        out = bt_nn_where(nn, kept, bt_arg_value(out), bt_arg_float(nn->graph, 0.0));
    }
    out = bt_nn_add(nn, x, bt_nn_activation(nn, d->conv_activation, out));
    return without_padding(e, bt_nn_layer_norm(nn, out, "LayerNorm", c->eps, BT_BIAS));
}

static bt_value encode(struct bt_encoder *e)
{
    struct bt_nn *nn = &e->nn;
    const struct deberta *d = deberta_of(e);
    const bt_value embedded = embed(e);
    const struct relative r = d->relative ? relate(e) : (struct relative){.rows = BT_NO_VALUE};
    /* between tokens: padding attends to nothing, too */
    const bt_value mask =
        e->keep >= 0 ? bt_nn_binary(nn, BT_OP_BITWISE_AND, e->keep, bt_nn_swap(nn, e->keep, 2, 3)) : BT_NO_VALUE;
    bt_value x = embedded;
    bt_encoder_hidden(e, x);
    for (int64_t i = 0; i < e->config->layers && !nn->status; i++) {
        bt_nn_enter(nn, "encoder.layer.%lld.", i);
        x = bt_bert_finish(e, &bt_bert_names, attend(e, &r, mask, x), x);
        if (i == 0 && d->taps > 0) {
            x = convolve(e, embedded, x);
        }
        bt_encoder_hidden(e, x);
    }
    return x;
}

#define POOLED                                                                                                         \
    .rows = BT_ROWS_FIRST, .dense = "pooler.dense", .activation = "gelu", .activation_key = "pooler_hidden_act"

static const struct bt_head heads[] = {
    BT_HEAD_CLASSES("classifier", POOLED),
    BT_HEAD_TOKENS("classifier"),
    BT_HEAD_SPANS("qa_outputs"),
    BT_HEAD_WORDS(BT_BERT_WORDS),
    /* legacy: false */
    BT_HEAD_WORDS(.dense = "lm_predictions.lm_head.dense", .norm = "lm_predictions.lm_head.LayerNorm",
                  .bias = "lm_predictions.lm_head.bias"),
    BT_HEAD_CHOICES("classifier", POOLED),
};

#define DEBERTA_CONFIG .positions = 512, .eps = 1e-7, .activation = "gelu"

const struct bt_arch bt_arch_deberta = {
    .model_type = "deberta",
    .class_name = "Deberta",
    .prefix = "deberta.",
    .inputs = BT_BERT_INPUTS,
    .config = {DEBERTA_CONFIG, .vocab = 50265, .hidden = 768, .inner = 3072, .layers = 12, .heads = 12},
    .words = "embeddings.word_embeddings",
    BT_HEADS(heads),
    .configure = configure_v1,
    .encode = encode,
};

const struct bt_arch bt_arch_deberta_v2 = {
    .model_type = "deberta-v2",
    .class_name = "DebertaV2",
    .prefix = "deberta.",
    .inputs = BT_BERT_INPUTS,
    .config = {DEBERTA_CONFIG, .vocab = 128100, .hidden = 1536, .inner = 6144, .layers = 24, .heads = 24},
    .words = "embeddings.word_embeddings",
    BT_HEADS(heads),
    .configure = configure_v2,
    .encode = encode,
};
