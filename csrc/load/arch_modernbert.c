/* arch_modernbert.c: ModernBERT: norms before attention and ffn, rotary positions, most layers see a window only */
#include <string.h>

#include "load/encoder.h"

struct modern {
    bool *slides; /* per layer: it sees a window */
    int64_t reach; /* of the window, to each side */
    double base[2]; /* of rotary angles, by slides */
    bool norm_bias, attention_bias, ffn_bias;
};

static const char *const type_names[] = {"full_attention", "sliding_attention"};

static enum bertc_status read_layer_types(const struct bt_checkpoint *c, const struct bt_config *config,
                                          struct modern *m, struct bertc_error *err)
{
    const struct bt_json *types = bt_checkpoint_value(c, "layer_types");
    int64_t every;
    enum bertc_status status = bt_checkpoint_int(c, "global_attn_every_n_layers", 3, 1, &every, err);
    if (!status && types && (types->kind != BT_JSON_ARRAY || (int64_t)types->size != config->layers)) {
        return bt_error_set(err, BERTC_FORMAT, "config.json: layer_types is not a list of %lld names",
                            (long long)config->layers);
    }
    for (int64_t i = 0; i < config->layers && !status; i++) {
        const char *name = types ? bt_json_string(&types->items[i]) : type_names[i % every != 0];
        m->slides[i] = name && strcmp(name, type_names[true]) == 0;
        if (!name || (!m->slides[i] && strcmp(name, type_names[false]) != 0)) {
            return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: layer type '%.100s' is not supported",
                                name ? name : "?");
        }
    }
    return status;
}

static enum bertc_status read_rope(const struct bt_checkpoint *c, struct modern *m, struct bertc_error *err)
{
    const struct bt_json *parameters = bt_checkpoint_value(c, "rope_parameters");
    enum bertc_status status = bt_arch_rope(c, bt_json_get(parameters, type_names[false]), "global_rope_theta",
                                            160000.0, &m->base[false], err);
    return status ? status
                  : bt_arch_rope(c, bt_json_get(parameters, type_names[true]), "local_rope_theta", 10000.0,
                                 &m->base[true], err);
}

static enum bertc_status read_biases(const struct bt_checkpoint *c, struct bt_config *config, struct modern *m,
                                     struct bertc_error *err)
{
    bool dense, decoder;
    enum bertc_status status;
    if ((status = bt_checkpoint_bool(c, "norm_bias", false, &m->norm_bias, err)) ||
        (status = bt_checkpoint_bool(c, "attention_bias", false, &m->attention_bias, err)) ||
        (status = bt_checkpoint_bool(c, "mlp_bias", false, &m->ffn_bias, err)) ||
        (status = bt_checkpoint_bool(c, "classifier_bias", false, &dense, err)) ||
        (status = bt_checkpoint_bool(c, "decoder_bias", true, &decoder, err))) {
        return status;
    }
    config->no_norm_bias = !m->norm_bias;
    config->no_dense_bias = !dense;
    config->no_decoder_bias = !decoder;
    return BERTC_OK;
}

static enum bertc_status configure(const struct bt_checkpoint *c, struct bt_config *config, struct bertc_error *err)
{
    struct modern *m = bt_arena_alloc(c->arena, 1, sizeof *m);
    const char *pooling;
    int64_t window;
    if (!m || !(m->slides = bt_arena_alloc(c->arena, (size_t)config->layers, sizeof *m->slides))) {
        return bt_error_memory(err);
    }
    config->extra = m;
    enum bertc_status status;
    if ((status = bt_checkpoint_int(c, "local_attention", 128, 0, &window, err)) ||
        (status = bt_checkpoint_string(c, "classifier_pooling", "cls", &pooling, err)) ||
        (status = read_layer_types(c, config, m, err)) || (status = read_rope(c, m, err)) ||
        (status = read_biases(c, config, m, err))) {
        return status;
    }
    m->reach = window / 2;
    config->pools_mean = strcmp(pooling, "mean") == 0;
    if (!config->pools_mean && strcmp(pooling, "cls") != 0) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: classifier_pooling '%.100s' is not supported",
                            pooling);
    }
    return BERTC_OK;
}

/* What layers of one type attend with. */
struct sight {
    bt_value mask;
    struct bt_rotary rotary;
};

/* [b or 1, 1, s, s]: what is within reach, and kept. */
static bt_value window_mask(struct bt_encoder *e, int64_t reach)
{
    struct bt_nn *nn = &e->nn;
    const bt_value place = bt_nn_range(nn, e->length);
    bt_value mask = bt_nn_binary(nn, BT_OP_SUB, bt_nn_unsqueeze(nn, place, 1), bt_nn_unsqueeze(nn, place, 0));
    mask = bt_nn_with_int(nn, BT_OP_LE, bt_nn_unary(nn, BT_OP_ABS, mask), reach);
    mask = bt_nn_unsqueeze(nn, bt_nn_unsqueeze(nn, mask, 0), 0);
    return e->keep >= 0 ? bt_nn_binary(nn, BT_OP_BITWISE_AND, e->keep, mask) : mask;
}

static bt_value normalize(struct bt_encoder *e, const char *name, bt_value x)
{
    const struct modern *m = e->config->extra;
    return bt_nn_layer_norm(&e->nn, x, name, e->config->eps, m->norm_bias ? BT_BIAS : BT_NO_BIAS);
}

/* Queries, keys or values of [b, s, 3, h, d] as [b, h, s, d]. */
static bt_value third(struct bt_nn *nn, bt_value joint, int64_t index)
{
    return bt_nn_swap(nn, bt_nn_select(nn, joint, 2, index), 1, 2);
}

static bt_value attend(struct bt_encoder *e, const struct sight *sight, bt_value x)
{
    struct bt_nn *nn = &e->nn;
    const struct bt_config *c = e->config;
    const struct modern *m = c->extra;
    const enum bt_bias bias = m->attention_bias ? BT_BIAS : BT_NO_BIAS;
    const bt_expr shape[] = {e->batch, e->length, bt_nn_int(nn, 3), bt_nn_int(nn, c->heads),
                             bt_nn_int(nn, c->hidden / c->heads)};
    const bt_value joint = bt_nn_reshape(nn, bt_nn_linear(nn, x, "attn.Wqkv", 3 * c->hidden, bias), 5, shape);
    const bt_value query = bt_encoder_rotate(e, sight->rotary, third(nn, joint, 0));
    const bt_value key = bt_encoder_rotate(e, sight->rotary, third(nn, joint, 1));
    x = bt_encoder_attend(e, query, key, third(nn, joint, 2), sight->mask);
    return bt_nn_linear(nn, x, "attn.Wo", c->hidden, bias);
}

static bt_value feed_forward(struct bt_encoder *e, bt_value x)
{
    struct bt_nn *nn = &e->nn;
    const struct bt_config *c = e->config;
    const struct modern *m = c->extra;
    const enum bt_bias bias = m->ffn_bias ? BT_BIAS : BT_NO_BIAS;
    x = bt_nn_linear(nn, x, "mlp.Wi", 2 * c->inner, bias);
    const bt_value inner = bt_nn_slice_fixed(nn, x, 2, 0, c->inner);
    const bt_value gate = bt_nn_slice_fixed(nn, x, 2, c->inner, 2 * c->inner);
    x = bt_nn_binary(nn, BT_OP_MUL, bt_nn_activation(nn, c->activation, inner), gate);
    return bt_nn_linear(nn, x, "mlp.Wo", c->hidden, bias);
}

static bt_value encode(struct bt_encoder *e)
{
    struct bt_nn *nn = &e->nn;
    const struct bt_config *c = e->config;
    const struct modern *m = c->extra;
    const int64_t size = c->hidden / c->heads;
    const struct sight sights[] = {{e->keep, bt_encoder_rotary(e, m->base[false], size)},
                                   {window_mask(e, m->reach), bt_encoder_rotary(e, m->base[true], size)}};
    bt_value x = normalize(e, "embeddings.norm", bt_encoder_words(e));
    for (int64_t i = 0; i < c->layers && !nn->status; i++) {
        bt_encoder_hidden(e, x);
        bt_nn_enter(nn, "layers.%lld.", i);
        x = bt_nn_add(nn, x, attend(e, &sights[m->slides[i]], i == 0 ? x : normalize(e, "attn_norm", x)));
        x = bt_nn_add(nn, x, feed_forward(e, normalize(e, "mlp_norm", x)));
    }
    bt_nn_enter(nn, "", 0);
    x = normalize(e, "final_norm", x);
    bt_encoder_hidden(e, x);
    return x;
}

#define HEAD .dense = "head.dense", .activation = "gelu", .activation_key = "classifier_activation", .norm = "head.norm"

static const struct bt_head heads[] = {
    BT_HEAD_CLASSES("classifier", .rows = BT_ROWS_FIRST, HEAD),
    BT_HEAD("ForTokenClassification", BT_BRANCH_LOGITS("classifier", HEAD)),
    BT_HEAD("ForQuestionAnswering",
            {.output = "start_logits", .decoder = "classifier", .width = BT_WIDTH_TWO, .form = BT_FORM_SPANS, HEAD}),
    BT_HEAD_WORDS(HEAD, .decoder = "decoder"),
    BT_HEAD_CHOICES("classifier", .rows = BT_ROWS_KEPT, HEAD),
};

static const char *const aliases[][2] = {
    {"hidden_act", "hidden_activation"}, {"layer_norm_eps", "norm_eps"}, {NULL, NULL}};

const struct bt_arch bt_arch_modernbert = {
    .model_type = "modernbert",
    .class_name = "ModernBert",
    .prefix = "model.",
    .inputs = "input_ids attention_mask position_ids inputs_embeds",
    .config = {.vocab = 50368,
               .positions = 8192,
               .hidden = 768,
               .inner = 1152,
               .layers = 22,
               .heads = 12,
               .eps = 1e-5,
               .activation = "gelu"},
    .aliases = aliases,
    .words = "embeddings.tok_embeddings",
    BT_HEADS(heads),
    .configure = configure,
    .encode = encode,
};
