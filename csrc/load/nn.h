/* nn.h: the layers of an encoder as graph nodes
 * Every function returns BT_NO_VALUE once something failed: a builder checks nn->status at its end only. */
#ifndef BT_LOAD_NN_H
#define BT_LOAD_NN_H

#include "format/safetensors.h"
#include "graph/graph.h"

struct bt_nn {
    struct bt_graph *graph;
    struct bertc_error *err;
    enum bertc_status status;
};

bt_value bt_nn_op(struct bt_nn *nn, enum bt_op op, int nargs, const struct bt_arg *args);
bt_value bt_nn_weight(struct bt_nn *nn, const struct bt_named_tensor *weight);
bt_value bt_nn_add(struct bt_nn *nn, bt_value a, bt_value b);
bt_value bt_nn_embedding(struct bt_nn *nn, const struct bt_named_tensor *table, bt_value ids);
bt_value bt_nn_linear(struct bt_nn *nn, bt_value x, const struct bt_named_tensor *weight,
                      const struct bt_named_tensor *bias);
bt_value bt_nn_layer_norm(struct bt_nn *nn, bt_value x, const struct bt_named_tensor *weight,
                          const struct bt_named_tensor *bias, double eps);

/* Activation functions by the names of transformers' ACT2FN: "gelu", "gelu_new", "relu", ... */
struct bt_act_fn;
const struct bt_act_fn *bt_act_fn_find(const char *name); /* NULL: unknown */
bt_value bt_nn_activation(struct bt_nn *nn, const struct bt_act_fn *activation, bt_value x);

/* An attention mask [batch, sequence], not 0 where a token may be attended to, as a bool [batch, 1, 1, sequence]. */
bt_value bt_nn_keep_mask(struct bt_nn *nn, bt_value mask);
/* Multi-head attention of [batch, sequence, heads * size] projections; mask BT_NO_VALUE attends everywhere. */
bt_value bt_nn_attention(struct bt_nn *nn, bt_value query, bt_value key, bt_value value, int64_t heads, bt_value mask);

#endif
