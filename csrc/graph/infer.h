/* infer.h: what the inference rules of infer_*.c share: reading arguments, broadcasting, messages */
#ifndef BT_GRAPH_INFER_H
#define BT_GRAPH_INFER_H

#include "graph/graph.h"

/* One inference under way. */
struct bt_inference {
    struct bt_graph *g;
    struct bt_node *node;
    struct bt_value_info *out; /* out[0], and out[1] of rules with two results */
    struct bertc_error *err;
};

typedef enum bertc_status bt_infer_fn(struct bt_inference *in);

/* One per `infer` name in ops.inc. */
#define BT_OP(id, name, args, infer, step) bt_infer_fn bt_infer_##infer;
#include "graph/ops.inc"
#undef BT_OP

/* BERTC_INPUT: "op (where): message (input_ids [2, 9], ...)", with the concrete shapes of the graph's inputs. */
enum bertc_status bt_infer_misfit(struct bt_inference *in, const char *fmt, ...) BT_PRINTF(2, 3);
/* BERTC_UNSUPPORTED: "op (where): message". */
enum bertc_status bt_infer_refuse(struct bt_inference *in, const char *fmt, ...) BT_PRINTF(2, 3);
/* "[2, 9, 32]": dims under the hints; valid as long as the graph. */
const char *bt_infer_shape(struct bt_inference *in, int rank, const bt_expr *dims);
const char *bt_infer_shape_of(struct bt_inference *in, const struct bt_value_info *info);
long long bt_infer_hint(const struct bt_inference *in, bt_expr e);

/* Arguments. All setters of canonical form write to in->node->args. */
bool bt_infer_given(const struct bt_inference *in, int i); /* there and not NONE */
enum bertc_status bt_infer_tensor(struct bt_inference *in, int i, const struct bt_value_info **out);
/* NULL in *out for NONE. */
enum bertc_status bt_infer_optional(struct bt_inference *in, int i, const struct bt_value_info **out);
/* A constant number; one that depends on dimensions is fixed by a guard. `missing` stands for NONE. */
enum bertc_status bt_infer_int(struct bt_inference *in, int i, int64_t missing, int64_t *out);
enum bertc_status bt_infer_bool(struct bt_inference *in, int i, bool *out); /* NONE = false */
/* NONE, or a number (an expression). */
enum bertc_status bt_infer_number(struct bt_inference *in, int i);
/* An integer expression. */
enum bertc_status bt_infer_expr(struct bt_inference *in, int i, bt_expr *out);
/* NONE leaves *dtype. */
enum bertc_status bt_infer_dtype(struct bt_inference *in, int i, enum bt_dtype *dtype);
/* A dimension, wrapped into [0, rank) and stored so. Of a scalar, 0 and -1 count as dimension 0. */
enum bertc_status bt_infer_dim(struct bt_inference *in, int i, int rank, int *out);
/* A list of distinct dimensions (NONE or empty: all), stored wrapped; chosen[d] says whether d is in it. */
enum bertc_status bt_infer_dims(struct bt_inference *in, int i, int rank, bool *chosen);
/* A list of integer expressions of at most BT_MAX_RANK items; anything else is refused. */
enum bertc_status bt_infer_list(struct bt_inference *in, int i, const bt_expr **items, int *count);
/* Replaces argument i by a list of expressions (newly allocated unless it is the same). */
enum bertc_status bt_infer_set_list(struct bt_inference *in, int i, const bt_expr *items, int count);
enum bertc_status bt_infer_set_int(struct bt_inference *in, int i, int64_t value);

/* Results. */
void bt_infer_like(struct bt_inference *in, const struct bt_value_info *info); /* dtype and dims of info */
enum bertc_status bt_infer_add_dim(struct bt_inference *in, bt_expr dim);      /* appends to out[0] */
/* Broadcasts dims of `info` into out[0], which holds the shape so far (rank 0 at the start). */
enum bertc_status bt_infer_broadcast(struct bt_inference *in, const struct bt_value_info *info);
/* The promoted dtype of arguments first..last into out[0]. */
enum bertc_status bt_infer_promote(struct bt_inference *in, int first, int last);
bool bt_infer_same_shape(struct bt_inference *in, const struct bt_value_info *a, const struct bt_value_info *b);
/* Clamped start, end and the length of a slice of a dimension; arguments first to first + 2 are start, end, step. */
enum bertc_status bt_infer_bounds(struct bt_inference *in, const struct bt_value_info *self, int dim, int first,
                                  bt_expr *length);
/* An index into `size`, wrapped and checked, stored in argument i. */
enum bertc_status bt_infer_wrap_index(struct bt_inference *in, int i, bt_expr size);

#endif
