/* onnx_lower.h: what the lowering functions of onnx_*.c share: a node's inputs, attributes and known shapes
 * They are straight-line code over the helpers of lower.h: the first failure stays in the call. A value is a tensor
 * variable; of rank 0 it may be a known number, and of rank 1 a LIST of known numbers, so that what a model computes
 * from Shape stays symbolic. */
#ifndef BT_LOAD_ONNX_LOWER_H
#define BT_LOAD_ONNX_LOWER_H

#include "load/lower.h"
#include "load/onnx_model.h"

struct bt_onnx_scope;

struct bt_onnx_call {
    struct bt_call call; /* its args belong to the ATen lowerings that are called from here */
    struct bt_onnx_scope *scope;
    const struct bt_onnx_node *node;
    int64_t opset; /* of the node's domain */
    int detail;    /* the last column of onnx.inc: usually the graph op */
    struct bt_dyn *inputs; /* None where omitted */
    size_t input_count;
    struct bt_dyn *outs; /* None at first */
    size_t out_count;
};

#define ONNX(domain, name, lowering, detail) void bt_onnx_op_##lowering(struct bt_onnx_call *o);
#include "load/onnx.inc"
#undef ONNX

/* Inputs: as they are, as tensors (None when omitted), and as integers that must be known: of rank 1, or one of rank 0.
 * Reading one that is omitted and required fails the call. */
bool bt_onnx_given(const struct bt_onnx_call *o, size_t i);
struct bt_dyn bt_onnx_input(struct bt_onnx_call *o, size_t i);
struct bt_dyn bt_onnx_tensor(struct bt_onnx_call *o, size_t i);
int bt_onnx_numbers(struct bt_onnx_call *o, size_t i, bt_expr *list, int cap);
/* The only item of a number or of a known list of one, else the tensor. */
struct bt_dyn bt_onnx_scalar(struct bt_onnx_call *o, size_t i);

/* Fails the call when input i is given, or an output behind the first is used: `what` says what it is. */
void bt_onnx_refuse_input(struct bt_onnx_call *o, size_t i, const char *what);
void bt_onnx_refuse_outputs(struct bt_onnx_call *o, const char *what);

/* Attributes. */
int64_t bt_onnx_int(struct bt_onnx_call *o, const char *name, int64_t fallback);
double bt_onnx_float(struct bt_onnx_call *o, const char *name, double fallback);
const char *bt_onnx_string(struct bt_onnx_call *o, const char *name, const char *fallback);
const struct bt_onnx_attribute *bt_onnx_attribute(struct bt_onnx_call *o, const char *name); /* NULL: not given */
/* The same, failing the call when it is of another kind. */
const struct bt_onnx_attribute *bt_onnx_attribute_of(struct bt_onnx_call *o, const char *name, enum bt_onnx_kind kind);
/* The integers of an attribute, or where that is not given of input i; false when neither is. */
bool bt_onnx_list(struct bt_onnx_call *o, const char *name, size_t i, bt_expr *list, int cap, int *count);
/* The same for the dims of a tensor of this rank: 0 .. rank - 1. */
bool bt_onnx_dims(struct bt_onnx_call *o, const char *name, size_t i, int rank, int *dims, int *count);
int bt_onnx_axis(struct bt_onnx_call *o, int64_t fallback, int rank); /* attribute "axis" */

/* Known values (onnx_known.c). Small integer constants of rank 1 are known too. */
bool bt_onnx_known(struct bt_onnx_call *o, struct bt_dyn d, struct bt_dyn *list); /* of rank 1: as a LIST */
bool bt_onnx_is_matrix(struct bt_dyn d); /* a LIST of LISTs of equal length: a known value of rank 2, as pads are */
struct bt_dyn bt_onnx_flattened(struct bt_onnx_call *o, struct bt_dyn matrix);
/* The decimal number of at most FLT_DIG digits that is read as this float32, which is what the model's author wrote;
 * the float itself when there is none. */
double bt_onnx_decimal(float value);
int bt_onnx_rank(struct bt_onnx_call *o, struct bt_dyn d);
int bt_onnx_shape(struct bt_onnx_call *o, struct bt_dyn d, bt_expr *dims);
struct bt_dyn bt_onnx_as_tensor(struct bt_onnx_call *o, struct bt_dyn d);
struct bt_dyn bt_onnx_integer(struct bt_onnx_call *o, bt_expr e); /* a number of dtype int64 */
struct bt_dyn bt_onnx_constant(struct bt_onnx_call *o, const struct bt_onnx_tensor *t, const char *name);

/* Pointwise, on any values. */
struct bt_dyn bt_onnx_apply(struct bt_onnx_call *o, enum bt_op op, int count, const struct bt_dyn *operands);
struct bt_dyn bt_onnx_binary(struct bt_onnx_call *o, enum bt_op op, struct bt_dyn a, struct bt_dyn b);

/* Whether the call is the number `value`. */
bool bt_onnx_is_number(struct bt_onnx_call *o, struct bt_dyn d, double value);
/* The node that makes d, or a value of the graph; NULL when it is of another op. */
const struct bt_node *bt_onnx_made_by(struct bt_onnx_call *o, struct bt_dyn d, enum bt_op op);
const struct bt_node *bt_onnx_maker(const struct bt_graph *g, bt_value value, enum bt_op op);
/* The constant that d is, or NULL. */
const struct bt_tensor *bt_onnx_constant_of(struct bt_onnx_call *o, struct bt_dyn d);

/* Layers that several operators are made of. */
struct bt_dyn bt_onnx_product(struct bt_onnx_call *o, struct bt_dyn a, struct bt_dyn b); /* onnx_attention.c */
struct bt_dyn bt_onnx_add_bias(struct bt_onnx_call *o, struct bt_dyn x, struct bt_dyn bias); /* None: x */
struct bt_dyn bt_onnx_layer_norm(struct bt_onnx_call *o, struct bt_dyn x, struct bt_dyn weight, struct bt_dyn bias,
                                 double eps);
struct bt_dyn bt_onnx_gelu(struct bt_onnx_call *o, struct bt_dyn x, bool tanh);
/* [batch, length, heads * size] to [batch, heads, length, size], and back */
struct bt_dyn bt_onnx_split_heads(struct bt_onnx_call *o, struct bt_dyn x, int64_t heads);
struct bt_dyn bt_onnx_merge_heads(struct bt_onnx_call *o, struct bt_dyn x);
struct bt_dyn bt_onnx_swap_last(struct bt_onnx_call *o, struct bt_dyn x); /* the last two dimensions */

/* onnx_build.c: run the graph that the attribute names, in a scope inside the node's. */
void bt_onnx_run_body(struct bt_onnx_call *o, const char *attribute);

#endif
