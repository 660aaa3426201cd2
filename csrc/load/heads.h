/* heads.h: what follows an encoder, as tables: a head is one or two branches from hidden states to an output */
#ifndef BT_LOAD_HEADS_H
#define BT_LOAD_HEADS_H

#include "graph/graph.h"

struct bt_encoder;
struct bt_model;

enum bt_rows {
    BT_ROWS_ALL,    /* a result for each token                                          */
    BT_ROWS_POOLED, /* for the pooled output                                            */
    BT_ROWS_FIRST,  /* for the first token                                              */
    BT_ROWS_LAST,   /* for the last place, padding or not                               */
    BT_ROWS_KEPT,   /* for the first token that the mask keeps                          */
    BT_ROWS_MEAN,   /* for the mean of the tokens that the mask keeps                   */
};

enum bt_width { BT_WIDTH_LABELS, BT_WIDTH_ONE, BT_WIDTH_TWO, BT_WIDTH_VOCAB };

enum bt_form {
    BT_FORM_PLAIN,
    BT_FORM_SQUEEZED, /* without the last dimension, which is 1          */
    BT_FORM_SPANS,    /* two outputs: where an answer starts and ends    */
    BT_FORM_CHOICES,  /* [b * choices, 1] as [b, choices]                */
};

/* rows -> dense -> activation -> norm -> decoder; the three in the middle together or not at all. */
struct bt_branch {
    const char *output; /* NULL: no such branch; of spans the first, "end_logits" is the other */
    enum bt_rows rows;
    const char *dense;
    const char *activation;     /* of ACT2FN; NULL: the configuration's hidden_act */
    const char *activation_key; /* of the configuration, `activation` when it is silent */
    const char *norm;
    const char *decoder; /* NULL: always the table of words */
    const char *bias; /* of the decoder when it has a name of its own: "cls.predictions.bias" */
    enum bt_width width;
    enum bt_form form;
    bool dense_hidden; /* before the vocabulary `dense` is as wide as the table of words, unless this says hidden */
    bt_value (*decode)(struct bt_encoder *e, bt_value x); /* instead of the decoder */
};

enum { BT_BRANCHES = 2 };

struct bt_head {
    const char *name; /* "ForMaskedLM" */
    struct bt_branch branches[BT_BRANCHES];
    const char *inputs; /* when their order differs from the bare model's */
};

/* Rows of tables. */
#define BT_HEAD(suffix, ...) {.name = suffix, .branches = {__VA_ARGS__}}
#define BT_BRANCH_LOGITS(layer, ...) {.output = "logits", .decoder = layer, __VA_ARGS__}
#define BT_HEAD_TOKENS(layer) BT_HEAD("ForTokenClassification", BT_BRANCH_LOGITS(layer, .rows = BT_ROWS_ALL))
#define BT_HEAD_SPANS(layer)                                                                                           \
    BT_HEAD("ForQuestionAnswering",                                                                                    \
            {.output = "start_logits", .decoder = layer, .width = BT_WIDTH_TWO, .form = BT_FORM_SPANS})
#define BT_HEAD_CLASSES(layer, ...) BT_HEAD("ForSequenceClassification", BT_BRANCH_LOGITS(layer, __VA_ARGS__))
#define BT_HEAD_CHOICES(layer, ...)                                                                                    \
    BT_HEAD("ForMultipleChoice",                                                                                       \
            BT_BRANCH_LOGITS(layer, .width = BT_WIDTH_ONE, .form = BT_FORM_CHOICES, __VA_ARGS__))
/* Logits of the vocabulary: dense, activation and norm, then the decoder. */
#define BT_HEAD_WORDS(...) BT_HEAD("ForMaskedLM", {.output = "logits", .width = BT_WIDTH_VOCAB, __VA_ARGS__})

/* By config.json's `architectures`, else by the weights; NULL in *out is the bare model. */
enum bertc_status bt_head_choose(const struct bt_model *model, const struct bt_head **out, struct bertc_error *err);
/* Whether a name belongs to any head of the architecture, or to its pooler. */
bool bt_head_owns(const struct bt_model *model, const char *name);
bool bt_head_is_absent(const struct bt_model *model, const struct bt_head *head); /* nothing of any branch */
bool bt_head_takes_choices(const struct bt_head *head);
bool bt_head_pools(const struct bt_head *head);
/* The vocabulary's decoder: its own weight, or the table of words when they are tied; and its bias, which may have a
 * second name. */
bt_value bt_head_vocabulary(struct bt_encoder *e, const char *decoder);
bt_value bt_head_vocabulary_bias(struct bt_encoder *e, const char *decoder, const char *name);
/* Adds the head's outputs. */
void bt_head_build(struct bt_encoder *e, bt_value hidden, bt_value pooled);

#endif
