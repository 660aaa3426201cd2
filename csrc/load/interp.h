/* interp.h: run TorchScript code on values that build a graph */
#ifndef BT_LOAD_INTERP_H
#define BT_LOAD_INTERP_H

#include "graph/graph.h"
#include "load/script.h"

/* Evaluates `forward` of the root module (its file is `file`) for the input trees, one per parameter without self, and
 * fills graph->output. Conditions are decided for the present call (bt_graph_decide); only the branches taken are
 * evaluated. The script is not changed. */
enum bertc_status bt_interp_build(const struct bt_script *script, const struct bt_ts_file *file,
                                  const struct bt_ts_function *forward, const struct bt_tree *inputs, size_t count,
                                  struct bt_graph *graph, struct bertc_error *err);

#endif
