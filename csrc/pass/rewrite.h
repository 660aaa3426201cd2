/* rewrite.h: builds a graph anew, node by node, with a rule that may put something better in a node's place */
#ifndef BT_PASS_REWRITE_H
#define BT_PASS_REWRITE_H

#include "pass/match.h"

struct bt_rewriter;

/* A value of the same type to use instead of `value`, which `node` makes, or BT_NO_VALUE. The operands are rewritten
 * already; `node` is a copy. */
typedef bt_value bt_rewrite_rule(struct bt_rewriter *r, bt_value value, const struct bt_node *node);
/* Makes what stands for the old node `old`; `node` is it with operands mapped to new values. */
typedef enum bertc_status bt_rewrite_emit(struct bt_rewriter *r, const struct bt_node *old, const struct bt_node *node,
                                          bt_value *outs);

struct bt_rewriter {
    struct bt_graph *g;
    struct bertc_error *err;
    bt_rewrite_emit *emit;
    bt_rewrite_rule *rule;    /* for bt_rewrite_op; may be NULL */
    const void *context;      /* of emit */
    struct bertc_error trial; /* of nodes that a rule tries to make */
    int depth;                /* of rules that call themselves by bt_rewrite_op */
    bt_value *map;            /* from old values to new ones */
    const int32_t *old_uses;
    int32_t *uses; /* of new values, by the old nodes that they stand for */
    size_t use_count, use_cap;
};

/* Applies the rule to all nodes in order, equal nodes becoming one, and drops what is no longer needed. */
enum bertc_status bt_rewrite_graph(struct bt_graph *g, bt_rewrite_rule *rule, struct bertc_error *err);
/* The same with a function that makes every node. */
enum bertc_status bt_rewrite_emit_graph(struct bt_graph *g, bt_rewrite_emit *emit, const void *context,
                                        struct bertc_error *err);

/* A node, with the rule applied to it; BT_NO_VALUE when the operands do not fit. */
bt_value bt_rewrite_op(struct bt_rewriter *r, enum bt_op op, int nargs, const struct bt_arg *args);
/* Reshape or expand to the shape of `like`. */
bt_value bt_rewrite_shaped(struct bt_rewriter *r, enum bt_op op, bt_value value, bt_value like);
/* How often the values that became this one are used; 0 for what rules made on their way. */
int32_t bt_rewrite_uses(const struct bt_rewriter *r, bt_value value);

#endif
