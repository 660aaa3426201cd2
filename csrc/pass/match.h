/* match.h: what rewrites share: questions about nodes, and replacing one */
#ifndef BT_PASS_MATCH_H
#define BT_PASS_MATCH_H

#include <stdbool.h>

#include "graph/graph.h"

/* The node that makes `value`, or NULL for inputs and constants. */
const struct bt_node *bt_match_producer(const struct bt_graph *g, bt_value value);
/* The same when it is of this op, else NULL. */
const struct bt_node *bt_match_op(const struct bt_graph *g, bt_value value, enum bt_op op);
/* The same when it is a reshape, or another op that gives the same elements another shape. */
const struct bt_node *bt_match_reshape(const struct bt_graph *g, bt_value value);
/* A known number: an expression, a rank-0 constant, or full([]) of a number, through casts. */
bool bt_match_number(const struct bt_graph *g, const struct bt_arg *arg, double *out);
bool bt_match_near(double value, double expected); /* equal but for the rounding of a decimal or a float32 */
/* Whether arg is this known number. */
bool bt_match_is_number(const struct bt_graph *g, const struct bt_arg *arg, double expected);
/* The tensor among the first two arguments when the other is a number. */
bool bt_match_tensor_and_number(const struct bt_graph *g, const struct bt_node *node, bt_value *tensor, double *number);
/* Whether value is a constant; its tensor. */
bool bt_match_constant(const struct bt_graph *g, bt_value value, struct bt_tensor *out);
/* Whether arg is a list with exactly this one number. */
bool bt_match_single(const struct bt_graph *g, const struct bt_arg *arg, int64_t expected);

/* Whether dtype and shape are the same. */
bool bt_match_same_type(const struct bt_value_info *a, const struct bt_value_info *b);

/* Gives node `index` another op and arguments, if inference agrees that its result stays the same; otherwise the node
 * stays as it is and *done is false. Operands must be made before the node. */
enum bertc_status bt_match_replace(struct bt_graph *g, size_t index, enum bt_op op, const struct bt_arg *args,
                                   int nargs, bool *done, struct bertc_error *err);

#endif
