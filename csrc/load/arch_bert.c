/* arch_bert.c: BERT, and how its many relatives make embeddings and layers: layer norms behind attention and ffn */
#include "load/arch_bert.h"

#include <stdio.h>
#include <string.h>

#define CURATED                                                                                                        \
    .words = "embeddings.piece_embeddings", .positions = "embeddings.position_embeddings",                             \
    .types = "embeddings.type_embeddings", .embedding_norm = "embeddings.embed_output_layer_norm",                     \
    .layer = "layers.%lld.", .join = "mha.output", .attention_norm = "attn_residual_layer_norm",                       \
    .up = "ffn.intermediate", .down = "ffn.output", .output_norm = "ffn_residual_layer_norm"

/* curated-transformers, with queries, keys and values in three weights or in one */
static const struct bt_bert_names curated_names = {CURATED, .query = "mha.query", .key = "mha.key",
                                                   .value = "mha.value"};
static const struct bt_bert_names curated_joint_names = {CURATED, .query = "mha.input@0/3", .key = "mha.input@1/3",
                                                         .value = "mha.input@2/3", .other = &curated_names};

const struct bt_bert_names bt_bert_names = {
    .other = &curated_joint_names,
    .positions = "embeddings.position_embeddings",
    .types = "embeddings.token_type_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .layer = "encoder.layer.%lld.",
    .query = "attention.self.query",
    .key = "attention.self.key",
    .value = "attention.self.value",
    .join = "attention.output.dense",
    .attention_norm = "attention.output.LayerNorm",
    .up = "intermediate.dense",
    .down = "output.dense",
    .output_norm = "output.LayerNorm",
};

/* The weight that a name's rows are of is there in the first layer. */
static bool fits(struct bt_encoder *e, const struct bt_bert_names *n)
{
    char name[BT_WEIGHT_NAME];
    snprintf(name, sizeof name, "%.*s.weight", (int)strcspn(n->query, "@"), n->query);
    const char *scope = e->nn.scope, *where = e->nn.graph->where;
    bt_nn_enter(&e->nn, n->layer, 0);
    const bool there = bt_nn_has(&e->nn, name);
    e->nn.scope = scope;
    e->nn.graph->where = where;
    return there;
}

const struct bt_bert_names *bt_bert_choose(struct bt_encoder *e, const struct bt_bert_names *names)
{
    const struct bt_bert_names *chosen = names;
    while (chosen && !fits(e, chosen)) {
        chosen = chosen->other;
    }
    chosen = chosen ? chosen : names;
    e->words = chosen->words ? chosen->words : e->words;
    return chosen;
}

bt_value bt_bert_embed(struct bt_encoder *e, const struct bt_bert_names *n, bt_value positions)
{
    const struct bt_config *c = e->config;
    bt_value x = bt_encoder_words(e);
    if (n->types && c->types > 0) {
        x = bt_nn_add(&e->nn, x, bt_encoder_types(e, n->types, c->embedding));
    }
    if (positions >= 0) {
        x = bt_nn_add(&e->nn, x, positions);
    }
    x = bt_nn_layer_norm(&e->nn, x, n->embedding_norm, c->eps, BT_BIAS);
    return n->project && (c->embedding != c->hidden || n->always_projects)
               ? bt_nn_linear(&e->nn, x, n->project, c->hidden, BT_BIAS)
               : x;
}

static bt_value add_and_norm(struct bt_encoder *e, bt_value x, bt_value residual, const char *norm)
{
    return bt_nn_layer_norm(&e->nn, bt_nn_add(&e->nn, x, residual), norm, e->config->eps, BT_BIAS);
}

static bt_value project_heads(struct bt_encoder *e, const struct bt_bert_names *n, const char *name, bt_value x)
{
    const struct bt_config *c = e->config;
    x = bt_nn_linear(&e->nn, x, name, c->hidden, n->no_attention_bias ? BT_NO_BIAS : BT_BIAS);
    return bt_nn_split_heads(&e->nn, x, c->heads);
}

static bt_value attend(struct bt_encoder *e, const struct bt_bert_names *n, const struct bt_bert_context *context,
                       bt_value x)
{
    bt_value query = project_heads(e, n, n->query, x), key = project_heads(e, n, n->key, x);
    const bt_value value = project_heads(e, n, n->value, x);
    if (context->rotary) {
        query = bt_encoder_rotate(e, *context->rotary, query);
        key = bt_encoder_rotate(e, *context->rotary, key);
    }
    return bt_encoder_attend(e, query, key, value, context->mask);
}

static bt_value feed_forward(struct bt_encoder *e, const struct bt_bert_names *n, bt_value x)
{
    const struct bt_config *c = e->config;
    const enum bt_bias inner = n->no_inner_bias ? BT_NO_BIAS : BT_BIAS;
    const char *first = n->gate ? n->gate : n->up;
    bt_value y = bt_nn_activation(&e->nn, c->activation, bt_nn_linear(&e->nn, x, first, c->inner, inner));
    if (n->gate) {
        y = bt_nn_binary(&e->nn, BT_OP_MUL, y, bt_nn_linear(&e->nn, x, n->up, c->inner, inner));
    }
    return bt_nn_linear(&e->nn, y, n->down, c->hidden, n->no_down_bias ? BT_NO_BIAS : BT_BIAS);
}

bt_value bt_bert_finish(struct bt_encoder *e, const struct bt_bert_names *n, bt_value context, bt_value x)
{
    const enum bt_bias bias = n->no_attention_bias ? BT_NO_BIAS : BT_BIAS;
    x = add_and_norm(e, bt_nn_linear(&e->nn, context, n->join, e->config->hidden, bias), x, n->attention_norm);
    return add_and_norm(e, feed_forward(e, n, x), x, n->output_norm);
}

bt_value bt_bert_layer(struct bt_encoder *e, const struct bt_bert_names *n, const struct bt_bert_context *context,
                       bt_value x)
{
    x = bt_bert_finish(e, n, attend(e, n, context, x), x);
    bt_encoder_hidden(e, x);
    return x;
}

bt_value bt_bert_layers(struct bt_encoder *e, const struct bt_bert_names *n, const struct bt_bert_context *context,
                        bt_value x)
{
    bt_encoder_hidden(e, x);
    for (int64_t i = 0; i < e->config->layers && !e->nn.status; i++) {
        bt_nn_enter(&e->nn, n->layer, i);
        x = bt_bert_layer(e, n, context, x);
    }
    return x;
}

bt_value bt_bert_encode(struct bt_encoder *e)
{
    const struct bt_bert_names *n = bt_bert_choose(e, e->model->arch->spec);
    const bt_value positions = bt_encoder_positions(e, n->positions, e->config->embedding);
    return bt_bert_layers(e, n, &(struct bt_bert_context){.mask = e->keep}, bt_bert_embed(e, n, positions));
}

static const struct bt_head heads[] = {
    BT_HEAD_CLASSES("classifier", .rows = BT_ROWS_POOLED),
    BT_HEAD_TOKENS("classifier"),
    BT_HEAD_SPANS("qa_outputs"),
    BT_HEAD_WORDS(BT_BERT_WORDS),
    BT_HEAD("ForPreTraining", {.output = "prediction_logits", .width = BT_WIDTH_VOCAB, BT_BERT_WORDS},
            BT_BERT_NEXT("seq_relationship_logits")),
    BT_HEAD("ForNextSentencePrediction", BT_BERT_NEXT("logits")),
    BT_HEAD_CHOICES("classifier", .rows = BT_ROWS_POOLED),
};

const struct bt_arch bt_arch_bert = {
    .model_type = "bert",
    .class_name = "Bert",
    .prefix = "bert.",
    .inputs = BT_BERT_INPUTS,
    .config = {.vocab = 30522,
               .positions = 512,
               .types = 2,
               .hidden = 768,
               .inner = 3072,
               .layers = 12,
               .heads = 12,
               .eps = 1e-12,
               .activation = "gelu"},
    .words = "embeddings.word_embeddings",
    .pooler = "pooler.dense",
    BT_HEADS(heads),
    .spec = &bt_bert_names,
    .configure = bt_arch_check_encoder,
    .encode = bt_bert_encode,
};
