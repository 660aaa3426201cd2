/* batch.h: prove that a graph computes each item of its batch alone
 * Such a graph may run on a few sequences at a time: their activations stay in a core's cache through all layers,
 * and the cores share the batch without waiting for each other. */
#ifndef BT_EXEC_BATCH_H
#define BT_EXEC_BATCH_H

#include "base/error.h"
#include "graph/graph.h"

/* The symbol of the batch: the first dimension of every input and output that depends on it, along which no operation
 * mixes items. *symbol = -1 when there is none, or it can't be shown. */
enum bertc_status bt_batch_find(const struct bt_graph *graph, int32_t *symbol, struct bertc_error *err);

/* Whether a node with a result of the batch computes each item of it alone. depends: per expression, on the symbol. */
bool bt_batch_keeps_apart(const struct bt_graph *graph, const struct bt_node *node, int32_t symbol, bool *depends);

#endif
