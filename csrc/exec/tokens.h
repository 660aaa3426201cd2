/* tokens.h: prove that a graph can run on the real tokens of a batch alone, one sequence behind the other
 * Padding may be left out where every operation works token by token, or attends within a sequence under a mask, or
 * selects or pools a sequence's tokens. What prepares masks and positions runs on the padded batch; the rest on `T`
 * tokens, as if they were one sequence of a batch of one. */
#ifndef BT_EXEC_TOKENS_H
#define BT_EXEC_TOKENS_H

#include "base/error.h"
#include "graph/graph.h"

/* Where a value lives. */
enum bt_domain {
    BT_SHARED, /* made of weights and numbers only */
    BT_PADDED, /* computed once a call, of the padded batch */
    BT_TOKENS, /* [b, s, ...], [b, h, s, d] or [b*s, ...]: of the real tokens only */
    BT_ITEMS,  /* [b, ...]: one row a sequence */
};

/* What a sequence's tokens are read by: tokens behind the last one that is read by any are padding. */
enum bt_reading {
    BT_READ_MASK,   /* attention, where the mask `value` keeps them */
    BT_READ_WEIGHT, /* a sum over tokens, where the factor `value` is not 0 */
    BT_READ_INDEX,  /* a selection of the token at `index` */
};

struct bt_token_reader {
    enum bt_reading reading;
    bt_value value;
    bt_expr index; /* a constant */
};

struct bt_tokens {
    int32_t batch, length; /* the symbols b and s; batch < 0: the graph cannot run on tokens alone */
    bool outputs;          /* some output has places for padding */
    bool padded_outputs;   /* some output is a padded value itself, such as a mask */
    bool items;            /* some value has a row a sequence */
    uint8_t *domain;       /* per value */
    int8_t *axis;          /* per value: of tokens or padded positions, the dim that counts them; else -1 */
    int32_t *slot;         /* per value: its index in `padded`, or -1 */
    bt_value *padded;      /* what the tokens' part reads of the padded part */
    size_t padded_count, padded_cap;
    struct bt_token_reader *readers;
    size_t reader_count, reader_cap;
};

/* The proof, in the graph's arena. */
enum bertc_status bt_tokens_find(struct bt_graph *graph, struct bt_tokens *tokens, struct bertc_error *err);

#endif
