/* arch_bert.h: the parts of BERT that its relatives are made of, by the names that each gives to its weights */
#ifndef BT_LOAD_ARCH_BERT_H
#define BT_LOAD_ARCH_BERT_H

#include "load/encoder.h"

/* "attn.Wqkv@1/3" means the second third of that weight's rows. */
struct bt_bert_names {
    const struct bt_bert_names *other; /* what others call them; NULL: none */
    const char *words; /* NULL: as the architecture says */
    const char *positions, *types; /* tables besides that of words; NULL: has none */
    const char *embedding_norm;
    const char *project; /* from the tables' width to the hidden size; NULL: they are the same */
    bool always_projects; /* even when they are the same */
    const char *layer;   /* "encoder.layer.%lld.", where the rest is */
    const char *query, *key, *value, *join, *attention_norm;
    const char *gate; /* its activation is a factor of `up`; NULL: `up` has the activation */
    const char *up, *down, *output_norm;
    bool no_attention_bias, no_inner_bias, no_down_bias;
};

extern const struct bt_bert_names bt_bert_names; /* BERT's own */

/* What layers attend with. */
struct bt_bert_context {
    bt_value mask; /* see bt_encoder_attend */
    const struct bt_rotary *rotary; /* NULL: positions are in the embeddings */
};

/* Those by which the weights are there: names, or one of its others. */
const struct bt_bert_names *bt_bert_choose(struct bt_encoder *e, const struct bt_bert_names *names);
/* words + types + positions (BT_NO_VALUE: none), normalised and projected. */
bt_value bt_bert_embed(struct bt_encoder *e, const struct bt_bert_names *names, bt_value positions);
/* What follows attention in a layer whose scope is entered: x is the layer's input, context what attention gave. */
bt_value bt_bert_finish(struct bt_encoder *e, const struct bt_bert_names *names, bt_value context, bt_value x);
/* One layer, whose scope is entered. */
bt_value bt_bert_layer(struct bt_encoder *e, const struct bt_bert_names *names, const struct bt_bert_context *context,
                       bt_value x);
bt_value bt_bert_layers(struct bt_encoder *e, const struct bt_bert_names *names, const struct bt_bert_context *context,
                        bt_value x);
/* The whole, by arch->spec: a struct bt_bert_names. */
bt_value bt_bert_encode(struct bt_encoder *e);

#define BT_BERT_INPUTS "input_ids attention_mask token_type_ids position_ids inputs_embeds"

/* The head that predicts words. */
#define BT_BERT_WORDS                                                                                                  \
    .dense = "cls.predictions.transform.dense", .norm = "cls.predictions.transform.LayerNorm",                         \
    .decoder = "cls.predictions.decoder", .bias = "cls.predictions.bias"
#define BT_ROBERTA_WORDS                                                                                               \
    .dense = "lm_head.dense", .activation = "gelu", .norm = "lm_head.layer_norm", .decoder = "lm_head.decoder",        \
    .bias = "lm_head.bias"
/* Whether the second sentence follows the first. */
#define BT_BERT_NEXT(key)                                                                                              \
    {.output = key, .rows = BT_ROWS_POOLED, .decoder = "cls.seq_relationship", .width = BT_WIDTH_TWO}

#endif
