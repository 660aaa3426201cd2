/* tree.h: the structure of inputs and outputs as text: "(float32[b, s, 384], {scores: int64[b]})" */
#ifndef BT_GRAPH_TREE_H
#define BT_GRAPH_TREE_H

#include "base/text.h"
#include "graph/graph.h"

void bt_value_text(struct bt_graph *g, bt_value value, struct bt_text *text);
void bt_tree_text(struct bt_graph *g, const struct bt_tree *tree, struct bt_text *text);

#endif
