/* encoder.h: one build of an encoder's graph: its inputs, and the parts that architectures share */
#ifndef BT_LOAD_ENCODER_H
#define BT_LOAD_ENCODER_H

#include "load/model.h"
#include "load/nn.h"

enum bt_encoder_input {
    BT_IN_IDS,
    BT_IN_MASK,
    BT_IN_TYPES,
    BT_IN_POSITIONS,
    BT_IN_EMBEDS,
    BT_IN_ATTENTIONS,
    BT_IN_HIDDEN_STATES,
    BT_IN_COUNT
};

struct bt_values {
    bt_value *items;
    size_t count, cap;
};

struct bt_encoder {
    struct bt_nn nn;
    const struct bt_model *model;
    const struct bt_config *config;
    const char *words; /* the table of words */
    bt_value inputs[BT_IN_COUNT]; /* [b, s], and [b, s, d] for BT_IN_EMBEDS; BT_NO_VALUE when not given */
    bt_expr choices;              /* of a multiple choice: how many the batch was multiplied by */
    bt_expr batch, length;
    bt_value keep; /* the mask as bool [b, 1, 1, s]; BT_NO_VALUE without one */
    bool wants_attentions, wants_hidden_states;
    struct bt_values hidden_states, attentions; /* as far as they are wanted */
    struct bt_tree *outputs;
    size_t output_count, output_cap;
};

/* The names of forward's inputs, and what they are when not given. */
const char *bt_encoder_input_name(enum bt_encoder_input input);
bool bt_encoder_input_find(const char *name, size_t size, enum bt_encoder_input *out);

/* Takes the inputs, of which `which` says one per tree, and checks their shapes. */
void bt_encoder_begin(struct bt_encoder *e, const struct bt_tree *trees, const enum bt_encoder_input *which,
                      size_t count);
void bt_encoder_output(struct bt_encoder *e, const char *key, bt_value value);
/* Makes the outputs so far, then hidden states and attentions, the graph's. */
void bt_encoder_end(struct bt_encoder *e);

/* ---- embeddings ---- */

bt_value bt_encoder_words(struct bt_encoder *e); /* given embeddings, or rows of the table of words */
bt_value bt_encoder_types(struct bt_encoder *e, const char *name, int64_t width);
/* Rows 0, 1, ... of a table, or those of given positions. */
bt_value bt_encoder_positions(struct bt_encoder *e, const char *name, int64_t width);
/* Rows pad + 1, pad + 2, ... for tokens, and pad for padding, by the ids (RoBERTa). */
bt_value bt_encoder_positions_by_id(struct bt_encoder *e, const char *name, int64_t pad);

/* ---- layers ---- */

/* Call it with the input of the first layer and the result of each. */
void bt_encoder_hidden(struct bt_encoder *e, bt_value hidden);

/* The same for the weights of its attention. */
void bt_encoder_attention(struct bt_encoder *e, bt_value weights);

/* Attention of [b, h, s, d] values; mask is bool, or added to the scores, or BT_NO_VALUE. */
bt_value bt_encoder_attend(struct bt_encoder *e, bt_value query, bt_value key, bt_value value, bt_value mask);
/* softmax(scores) value, with the weights among the attentions when they are wanted. [b, s, h * d] */
bt_value bt_encoder_weigh(struct bt_encoder *e, bt_value scores, bt_value value);
struct bt_arg bt_encoder_lowest(struct bt_encoder *e); /* the lowest float, for scores of what is masked */
/* keep as a number to add to scores: 0, and the lowest float where nothing may be attended to. */
bt_value bt_encoder_additive(struct bt_encoder *e, bt_value keep);

struct bt_rotary {
    bt_value cos, sin; /* [1 or b, 1, s, d] */
};
struct bt_rotary bt_encoder_rotary(struct bt_encoder *e, double base, int64_t size);
bt_value bt_encoder_rotate(struct bt_encoder *e, struct bt_rotary rotary, bt_value x); /* x is [b, h, s, d] */

#endif
