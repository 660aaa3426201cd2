/* arch.h: the architectures that bertc knows by config.json's model_type, without code from the file
 * An architecture is a constant: what its configuration says when it is silent, the names of its weights, its heads,
 * and a function that makes embeddings and layers out of what encoder.h and nn.h offer. To add one: a file arch_*.c
 * with its struct bt_arch, and a line in arch.c. */
#ifndef BT_LOAD_ARCH_H
#define BT_LOAD_ARCH_H

#include "load/checkpoint.h"
#include "load/heads.h"

struct bt_encoder;

/* What most configurations have. */
struct bt_config {
    int64_t vocab, positions, types, hidden, inner, layers, heads, pad;
    int64_t embedding; /* width of the tables; 0 in an architecture's own: the hidden size */
    double eps;        /* of layer norms */
    const char *activation;
    int64_t labels;
    bool tied; /* the vocabulary's decoder is the table of words */
    bool no_dense_bias, no_norm_bias, no_decoder_bias; /* of heads */
    bool plain_pooler; /* the pooled output is the first token as it is */
    bool pools_mean;   /* heads take the mean of tokens in place of the first */
    const void *extra; /* what only this architecture has */
};

struct bt_arch {
    const char *model_type; /* "xlm-roberta" */
    const char *class_name; /* "XLMRoberta", of XLMRobertaModel and XLMRobertaForMaskedLM */
    const char *prefix;     /* "roberta.": before the encoder's names in a model with a head */
    const char *inputs;     /* forward's, in order: "input_ids attention_mask ..." */
    struct bt_config config;             /* for keys that config.json does not have */
    const char *const (*aliases)[2];     /* of keys: see struct bt_checkpoint */
    const char *words;                   /* the table of words: "embeddings.word_embeddings" */
    const char *pooler;                  /* the layer behind pooler_output; NULL: there is none */
    const struct bt_head *heads;
    size_t head_count;
    const void *spec; /* for a function that serves several architectures */
    /* Reads and checks what only this architecture has; NULL: nothing. */
    enum bertc_status (*configure)(const struct bt_checkpoint *c, struct bt_config *config, struct bertc_error *err);
    bt_value (*encode)(struct bt_encoder *e); /* the last hidden state */
};

/* BERTC_UNSUPPORTED names the known ones. */
enum bertc_status bt_arch_find(const char *model_type, const struct bt_arch **out, struct bertc_error *err);
enum bertc_status bt_arch_configure(const struct bt_arch *arch, const struct bt_checkpoint *c, struct bt_config *config,
                                    struct bertc_error *err);

/* Refuses what makes a decoder of an encoder, and relative positions where there are none. */
enum bertc_status bt_arch_check_encoder(const struct bt_checkpoint *c, struct bt_config *config,
                                        struct bertc_error *err);
/* BERTC_UNSUPPORTED with the key unless the activation is known. */
enum bertc_status bt_arch_activation(const struct bt_checkpoint *c, const char *key, const char *fallback,
                                     const char **out, struct bertc_error *err);

/* The base of rotary angles: rope_theta in `parameters` (NULL: none), else the configuration's `key`, else the
 * fallback. BERTC_UNSUPPORTED when they are scaled. */
enum bertc_status bt_arch_rope(const struct bt_checkpoint *c, const struct bt_json *parameters, const char *key,
                               double fallback, double *out, struct bertc_error *err);

#define BT_HEADS(table) .heads = table, .head_count = sizeof table / sizeof *table

#endif
