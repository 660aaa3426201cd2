/* lower.h: what the lowering functions of aten_*.c share: arguments as numbers or values, nodes, views, arithmetic
 * A lowering is straight-line code: the first failure stays in the call, and every helper after it does nothing and
 * returns None, 0 or BT_NO_EXPR. */
#ifndef BT_LOAD_LOWER_H
#define BT_LOAD_LOWER_H

#include "load/schema.h"

struct bt_call {
    struct bt_lower *l;
    struct bt_graph *g;
    struct bt_exprs *x;
    const char *name;                  /* "aten::add", for messages */
    int detail;                        /* the last column of aten.inc: usually the graph op */
    struct bt_dyn args[BT_MAX_PARAMS]; /* one per parameter of the schema */
    struct bt_dyn out;                 /* None at first */
    enum bertc_status status;
    struct bertc_error *err;
};

#define ATEN(name, schema, lowering, detail) void bt_aten_##lowering(struct bt_call *c);
#include "load/aten.inc"
#undef ATEN

void bt_lower_fail(struct bt_call *c, enum bertc_status status, const char *fmt, ...) BT_PRINTF(3, 4);
/* Keeps the status of a function of another layer, which has written its message. */
bool bt_lower_ok(struct bt_call *c, enum bertc_status status);

/* Arguments. Numbers are plain ones and tensors known to be one. An integer or bool that depends on dimensions is
 * decided for the present call and guarded. */
bool bt_lower_given(const struct bt_call *c, int i); /* not None */
bool bt_lower_is_number(struct bt_dyn d);
bool bt_lower_is_plain(struct bt_dyn d); /* a Python number, or a constant that was traced from one */
bt_expr bt_lower_expr(struct bt_call *c, struct bt_dyn d);
bt_expr bt_lower_checked(struct bt_call *c, bt_expr e); /* fails the call when e is BT_NO_EXPR */
int64_t bt_lower_int(struct bt_call *c, struct bt_dyn d);
double bt_lower_float(struct bt_call *c, struct bt_dyn d); /* constants only */
bool bt_lower_bool(struct bt_call *c, struct bt_dyn d);
int bt_lower_dim(struct bt_call *c, struct bt_dyn d, int rank); /* 0 .. rank - 1 */
/* A list of dims into dims[BT_MAX_RANK]; None or an empty list means all. Returns their number. */
int bt_lower_dims(struct bt_call *c, struct bt_dyn d, int rank, int *dims);
enum bt_dtype bt_lower_dtype(struct bt_call *c, struct bt_dyn d, enum bt_dtype fallback); /* of a ScalarType code */
int bt_lower_list(struct bt_call *c, struct bt_dyn d, bt_expr *list, int cap); /* numbers of a list; returns how many */
size_t bt_lower_count(struct bt_dyn d); /* items of a list, 0 of None */

/* Tensors */
int bt_lower_rank(struct bt_call *c, struct bt_dyn d);
bt_expr bt_lower_size(struct bt_call *c, struct bt_dyn d, int dim); /* dim >= 0 */
int bt_lower_shape(struct bt_call *c, struct bt_dyn d, bt_expr *dims); /* into dims[BT_MAX_RANK]; returns the rank */
enum bt_dtype bt_lower_type(struct bt_call *c, struct bt_dyn d); /* of a plain number: int64, float32 or bool */
enum bt_dtype bt_lower_default(enum bt_dtype dtype); /* what a Python number of its category has */
bool bt_lower_equal(struct bt_call *c, bt_expr a, int64_t b); /* of a dimension; decided and guarded */

/* Arguments of nodes: bt_lower_value makes numbers tensors, bt_lower_operand leaves them numbers; None stays None. */
struct bt_arg bt_lower_value(struct bt_call *c, struct bt_dyn d);
struct bt_arg bt_lower_operand(struct bt_call *c, struct bt_dyn d);
struct bt_arg bt_lower_exprs(struct bt_call *c, struct bt_dyn d); /* a list of numbers */
struct bt_arg bt_lower_ints(struct bt_call *c, const int *values, int count);

/* Results */
struct bt_dyn bt_lower_integer(struct bt_call *c, int64_t value);
struct bt_dyn bt_lower_real(struct bt_call *c, double value);
struct bt_dyn bt_lower_tensor(struct bt_call *c, bt_value value); /* a new variable */
struct bt_dyn bt_lower_number(struct bt_call *c, bt_expr number, enum bt_dtype dtype); /* a 0-dim tensor */
struct bt_dyn bt_lower_seq(struct bt_call *c, enum bt_dyn_kind kind, const struct bt_dyn *items, size_t count);
void bt_lower_append(struct bt_call *c, struct bt_dyn *list, struct bt_dyn item);

/* Nodes: any; views (args[0] is the base and ignored); pointwise, which on numbers alone gives a number. */
struct bt_dyn bt_lower_node(struct bt_call *c, enum bt_op op, int nargs, const struct bt_arg *args);
/* Both outputs of a node, as a tuple. */
struct bt_dyn bt_lower_pair(struct bt_call *c, enum bt_op op, int nargs, const struct bt_arg *args);
struct bt_dyn bt_lower_view(struct bt_call *c, struct bt_dyn base, enum bt_op op, int nargs, const struct bt_arg *args);
struct bt_dyn bt_lower_apply(struct bt_call *c, enum bt_op op, int count, const struct bt_dyn *operands);
struct bt_dyn bt_lower_unary(struct bt_call *c, enum bt_op op, struct bt_dyn a);
struct bt_dyn bt_lower_binary(struct bt_call *c, enum bt_op op, struct bt_dyn a, struct bt_dyn b);
struct bt_dyn bt_lower_cat(struct bt_call *c, struct bt_dyn list, int dim);
struct bt_dyn bt_lower_matmul(struct bt_call *c, struct bt_dyn a, struct bt_dyn b);
struct bt_dyn bt_lower_linear(struct bt_call *c, struct bt_dyn x, struct bt_dyn weight, struct bt_dyn bias);
struct bt_dyn bt_lower_cast(struct bt_call *c, struct bt_dyn d, enum bt_dtype dtype);

struct bt_dyn bt_lower_reshape(struct bt_call *c, struct bt_dyn d, const bt_expr *shape, int rank);
struct bt_dyn bt_lower_expand(struct bt_call *c, struct bt_dyn d, const bt_expr *size, int rank);
struct bt_dyn bt_lower_permute(struct bt_call *c, struct bt_dyn d, const int *dims, int rank);
struct bt_dyn bt_lower_unsqueeze(struct bt_call *c, struct bt_dyn d, int dim);
struct bt_dyn bt_lower_slice(struct bt_call *c, struct bt_dyn d, int dim, bt_expr start, bt_expr end);
struct bt_dyn bt_lower_select(struct bt_call *c, struct bt_dyn d, int dim, bt_expr index);
struct bt_dyn bt_lower_reduce(struct bt_call *c, enum bt_op op, struct bt_dyn d, const int *dims, int count, bool keep);

/* number.c: a pointwise op on numbers alone, with the dtype rules of 0-dim tensors when one of them is a tensor. False
 * when expressions do not have the op. */
bool bt_number_apply(struct bt_call *c, enum bt_op op, int count, const struct bt_dyn *operands, struct bt_dyn *out);
bt_expr bt_number_convert(struct bt_exprs *x, bt_expr e, enum bt_dtype dtype);

#endif
