/* pass.h: rewrites that make a graph smaller without changing what it computes */
#ifndef BT_PASS_PASS_H
#define BT_PASS_PASS_H

#include "base/error.h"
#include "graph/graph.h"

/* All passes in order; ends without dead nodes. A failure (memory, or a bug found by the verifier in debug builds)
 * leaves the graph unusable. */
enum bertc_status bt_passes_run(struct bt_graph *g, struct bertc_error *err);

/* matmul(x, W^T) [+ b] and matmul(x, W) [+ b] of a constant W -> linear */
enum bertc_status bt_pass_fuse_linear(struct bt_graph *g, struct bertc_error *err);
/* 0.5 x (1 + erf(x / sqrt 2)) and 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), however written -> gelu */
enum bertc_status bt_pass_fuse_gelu(struct bt_graph *g, struct bertc_error *err);
/* (x - mean) / sqrt(var + eps) [* w] [+ b] over the last dimension -> layer_norm, x / sqrt(mean(x^2) + eps) [* w] ->
 * rms_norm */
enum bertc_status bt_pass_fuse_layer_norm(struct bt_graph *g, struct bertc_error *err);
/* Arithmetic with known numbers, views of views, work on expanded operands: the smaller way to say it. Equal nodes
 * become one. */
enum bertc_status bt_pass_simplify(struct bt_graph *g, struct bertc_error *err);
/* softmax(q k^T * scale + mask) v -> scaled_dot_product_attention */
enum bertc_status bt_pass_fuse_attention(struct bt_graph *g, struct bertc_error *err);
/* What only some rows of are selected is computed for these rows alone. */
enum bertc_status bt_pass_select_rows(struct bt_graph *g, struct bertc_error *err);
/* activation(linear) and linear + residual -> linear */
enum bertc_status bt_pass_fuse_epilogue(struct bt_graph *g, struct bertc_error *err);
/* Nodes in the order in which the outputs ask for them, whatever the front end's was. */
enum bertc_status bt_pass_order(struct bt_graph *g, struct bertc_error *err);

#endif
