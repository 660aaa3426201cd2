/* tree.h: the structure of inputs and outputs as text: "(float32[b, s, 384], {scores: int64[b]})" */
#ifndef BT_GRAPH_TREE_H
#define BT_GRAPH_TREE_H

#include "base/text.h"
#include "graph/graph.h"

size_t bt_tree_tensors(const struct bt_tree *tree); /* how many TENSOR leaves it has */

/* "[b, s, 384]" */
void bt_dims_text(struct bt_graph *g, const struct bt_value_info *info, struct bt_text *text);
void bt_value_text(struct bt_graph *g, bt_value value, struct bt_text *text);
void bt_tree_text(struct bt_graph *g, const struct bt_tree *tree, struct bt_text *text);

/* The same brackets and keys around tensors that `put` writes. */
typedef void bt_tree_put_fn(void *context, bt_value value, struct bt_text *text);
void bt_tree_write(struct bt_graph *g, const struct bt_tree *tree, bt_tree_put_fn *put, void *context,
                   struct bt_text *text);

#endif
