/* tokens_proof.h: what the parts of the proof in tokens.h share */
#ifndef BT_EXEC_TOKENS_PROOF_H
#define BT_EXEC_TOKENS_PROOF_H

#include "exec/tokens.h"

struct bt_tokens_proof {
    struct bt_graph *g;
    struct bt_tokens *t;
    bool *on_batch, *on_length; /* per expression: whether it depends on the symbol */
    bt_expr b, s, b_times_s; /* the graph has no other symbols */
    const struct bt_node **makers; /* per value: the node, or NULL */
    struct bertc_error *err;
    enum bertc_status status;
};

static inline const struct bt_value_info *bt_proof_info(const struct bt_tokens_proof *p, bt_value value)
{
    return &p->g->values[value];
}

static inline bool bt_proof_is_fixed(const struct bt_tokens_proof *p, bt_expr e)
{
    return !p->on_batch[e] && !p->on_length[e];
}

static inline bool bt_proof_has_fixed_dims(const struct bt_tokens_proof *p, bt_value value, int from)
{
    for (int d = from; d < bt_proof_info(p, value)->rank; d++) {
        if (!bt_proof_is_fixed(p, bt_proof_info(p, value)->dims[d])) {
            return false;
        }
    }
    return true;
}

static inline bool bt_proof_is_by_item(const struct bt_tokens_proof *p, bt_value value)
{
    const struct bt_value_info *info = bt_proof_info(p, value);
    return info->rank > 0 && info->dims[0] == p->b && bt_proof_has_fixed_dims(p, value, 1);
}

static inline enum bt_domain bt_proof_domain(const struct bt_tokens_proof *p, const struct bt_arg *arg)
{
    return arg->kind == BT_ARG_VALUE ? (enum bt_domain)p->t->domain[arg->value] : BT_SHARED;
}

static inline int bt_proof_axis(const struct bt_tokens_proof *p, bt_value value)
{
    return p->t->axis[value];
}
/* Whether a node with a result of tokens keeps them apart. What it takes from the padded part, and what reads tokens,
 * is noted; p->status says when memory ran out. (tokens_rules.c) */
bool bt_proof_tokens_rule(struct bt_tokens_proof *p, const struct bt_node *node);
/* The same for a result with a row a sequence. */
bool bt_proof_items_rule(struct bt_tokens_proof *p, const struct bt_node *node);

#endif
