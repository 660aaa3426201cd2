/* nn.h: the layers of an encoder as graph nodes, their weights found by name
 * Every function returns BT_NO_VALUE once something failed: a builder checks nn->status at its end only. */
#ifndef BT_LOAD_NN_H
#define BT_LOAD_NN_H

#include "graph/graph.h"
#include "load/checkpoint.h"

struct bt_nn {
    struct bt_graph *graph;
    const struct bt_checkpoint *checkpoint;
    struct bt_weight_log *log; /* of a trial build, in which a missing weight is noted and taken for zeros; else NULL */
    const char *prefix; /* before all names: "bert.", or "" */
    enum bt_dtype dtype; /* of the arithmetic: most weights\' */
    const char *scope; /* between it and the names that functions take: "encoder.layer.3." */
    struct bertc_error *err;
    enum bertc_status status;
};

enum bt_bias { BT_NO_BIAS, BT_BIAS };

/* The names that follow are in "encoder.layer.%lld.", say; the graph's `where` too. */
void bt_nn_enter(struct bt_nn *nn, const char *pattern, int64_t number);
void bt_nn_enter_below(struct bt_nn *nn, const char *pattern, int64_t number); /* the same, within the present scope */
enum bertc_status bt_nn_fail(struct bt_nn *nn, enum bertc_status status); /* after bt_error_set */

/* ---- layers ---- */

/* A weight of this shape; any other is BERTC_FORMAT. */
bt_value bt_nn_weight(struct bt_nn *nn, const char *name, int rank, const int64_t *dims);
bt_value bt_nn_vector(struct bt_nn *nn, const char *name, const char *part, int64_t size); /* name + ".bias" */
bool bt_nn_has(const struct bt_nn *nn, const char *name);
bt_value bt_nn_linear(struct bt_nn *nn, bt_value x, const char *name, int64_t out, enum bt_bias bias);
bt_value bt_nn_layer_norm(struct bt_nn *nn, bt_value x, const char *name, double eps, enum bt_bias bias);
bt_value bt_nn_table(struct bt_nn *nn, const char *name, int64_t rows, int64_t width); /* name.weight */
bt_value bt_nn_embedding(struct bt_nn *nn, const char *name, int64_t rows, int64_t width, bt_value ids);

/* Activation functions by the names of transformers' ACT2FN: "gelu", "gelu_new", "relu", ... */
bool bt_nn_knows_activation(const char *name);
bt_value bt_nn_activation(struct bt_nn *nn, const char *name, bt_value x);

/* ---- single operations ---- */

bt_value bt_nn_op(struct bt_nn *nn, enum bt_op op, int nargs, const struct bt_arg *args);
bt_value bt_nn_unary(struct bt_nn *nn, enum bt_op op, bt_value x);
bt_value bt_nn_binary(struct bt_nn *nn, enum bt_op op, bt_value a, bt_value b);
bt_value bt_nn_add(struct bt_nn *nn, bt_value a, bt_value b);
bt_value bt_nn_with_int(struct bt_nn *nn, enum bt_op op, bt_value x, int64_t number);
bt_value bt_nn_with_float(struct bt_nn *nn, enum bt_op op, bt_value x, double number);
bt_value bt_nn_cast(struct bt_nn *nn, bt_value x, enum bt_dtype dtype);
bt_value bt_nn_range(struct bt_nn *nn, bt_expr count); /* 0, 1, ... as int64 */
bt_value bt_nn_where(struct bt_nn *nn, bt_value condition, struct bt_arg yes, struct bt_arg no);

/* Dimensions are counted from 0. */
bt_value bt_nn_unsqueeze(struct bt_nn *nn, bt_value x, int dim);
bt_value bt_nn_select(struct bt_nn *nn, bt_value x, int dim, int64_t index);
bt_value bt_nn_slice(struct bt_nn *nn, bt_value x, int dim, bt_expr start, bt_expr end);
bt_value bt_nn_slice_fixed(struct bt_nn *nn, bt_value x, int dim, int64_t start, int64_t end);
bt_value bt_nn_swap(struct bt_nn *nn, bt_value x, int a, int b); /* transposes two dimensions */
bt_value bt_nn_reshape(struct bt_nn *nn, bt_value x, int rank, const bt_expr *shape);
bt_value bt_nn_cat(struct bt_nn *nn, const bt_value *parts, int32_t count, int dim);

bt_expr bt_nn_dim(const struct bt_nn *nn, bt_value x, int dim); /* BT_NO_EXPR after a failure */
bt_expr bt_nn_int(const struct bt_nn *nn, int64_t number);

/* [batch, sequence, heads * size] as [batch, heads, sequence, size], and back. */
bt_value bt_nn_split_heads(struct bt_nn *nn, bt_value x, int64_t heads);
bt_value bt_nn_join_heads(struct bt_nn *nn, bt_value x);

#endif
