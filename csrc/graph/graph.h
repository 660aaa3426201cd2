/* graph.h: the model as tensor operations over symbolic shapes
 * A graph is built for one signature (number, rank and dtype of the inputs) and holds for every call that satisfies its
 * guards: conditions over dimensions that the build had to decide. */
#ifndef BT_GRAPH_GRAPH_H
#define BT_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/activation.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/tensor.h"
#include "graph/expr.h"
#include "graph/table.h"

enum bt_op {
#define BT_OP(id, name, args, infer, step) BT_OP_##id,
#include "graph/ops.inc"
#undef BT_OP
    BT_OP_COUNT
};

struct bt_op_info {
    const char *name; /* ATen's */
    const char *args; /* argument names, separated by blanks */
};
extern const struct bt_op_info bt_ops[BT_OP_COUNT];

typedef int32_t bt_value; /* index into bt_graph.values; negative = none */
#define BT_NO_VALUE (-1)

enum bt_arg_kind {
    BT_ARG_NONE,
    BT_ARG_VALUE,  /* a tensor                                       */
    BT_ARG_EXPR,   /* a number: attribute, or operand instead of a tensor (then it promotes as Python scalars do) */
    BT_ARG_DTYPE,  /* enum bt_dtype in `dtype`                       */
    BT_ARG_ACTIVATION, /* enum bt_activation in `activation`         */
    BT_ARG_VALUES, /* tensors: cat, index (BT_NO_VALUE = None)       */
    BT_ARG_EXPRS,  /* numbers: shapes, dims, permutations            */
};

struct bt_arg {
    enum bt_arg_kind kind;
    enum bt_dtype dtype;
    enum bt_activation activation;
    bt_value value;
    bt_expr expr;
    int32_t *list; /* VALUES or EXPRS, in the graph's arena */
    int32_t count;
};

enum bt_value_kind { BT_VALUE_INPUT, BT_VALUE_CONSTANT, BT_VALUE_NODE };

struct bt_value_info {
    enum bt_value_kind kind;
    enum bt_dtype dtype;
    int8_t rank;
    bt_expr dims[BT_MAX_RANK];
    int32_t index;                  /* input number, constant number, or node number */
    const char *name;               /* argument, parameter or source name; may be NULL */
};

#define BT_MAX_OUTS 2 /* max.dim: values, indices */

struct bt_node {
    enum bt_op op;
    int nargs;
    struct bt_arg *args; /* one per name in bt_ops[op].args */
    int nouts;
    bt_value outs[BT_MAX_OUTS];
    const char *where; /* source: "code/__torch__/...py:12", for messages */
};

struct bt_constant {
    struct bt_tensor tensor; /* a view of the file */
    const char *name;        /* dotted parameter name or "CONSTANTS.c0" */
    bt_value value;
};

/* The structure of inputs and outputs. */
enum bt_tree_kind {
    BT_TREE_NONE,
    BT_TREE_TENSOR,
    BT_TREE_SCALAR,
    BT_TREE_STRING,
    BT_TREE_TUPLE,
    BT_TREE_LIST,
    BT_TREE_DICT
};

struct bt_tree {
    enum bt_tree_kind kind;
    const char *key;         /* under a dict (or a named tuple) */
    bt_value value;          /* TENSOR */
    bt_expr scalar;          /* SCALAR: an int, float or bool output */
    const char *text;        /* STRING */
    struct bt_tree *items;
    int32_t count;
};

struct bt_guard {
    bt_expr condition; /* bool */
    bool expected;
    const char *where; /* what needed it, for messages; may be NULL */
};

struct bt_graph {
    struct bt_arena arena; /* owns all below */
    struct bt_exprs *exprs;
    struct bt_value_info *values;
    size_t value_count, value_cap;
    struct bt_node *nodes; /* in execution order */
    size_t node_count, node_cap;
    struct bt_constant *constants;
    size_t constant_count, constant_cap;
    struct bt_guard *guards;
    size_t guard_count, guard_cap;
    bt_value *inputs; /* the leaves of the call's arguments, in order */
    size_t input_count, input_cap;
    struct bt_tree output;
    const char *where; /* set by the front end: source of the nodes that follow */
    const char *clamp_note; /* a slice of a constant that the input exceeds: the likely reason of a later misfit */
    enum bertc_status failure; /* a condition could not be decided or recorded: the next bt_graph_node reports it */
    struct bt_table node_table, constant_table, guard_table; /* value numbering */
};

void bt_graph_init(struct bt_graph *graph, struct bertc_error *err); /* zeroes; check exprs != NULL */
void bt_graph_free(struct bt_graph *graph);

/* A new input leaf. dims are expressions (usually symbols). */
enum bertc_status bt_graph_input(struct bt_graph *g, const char *name, enum bt_dtype dtype, int rank,
                                 const bt_expr *dims, bt_value *out, struct bertc_error *err);
/* A constant; the same memory viewed the same way gives the same value. */
enum bertc_status bt_graph_constant(struct bt_graph *g, const struct bt_tensor *tensor, const char *name, bt_value *out,
                                    struct bertc_error *err);

/* Appends a node, infers its outputs and writes their ids to outs (bt_ops' number of them). Inference also brings the
 * arguments into canonical form: dims non-negative constants, -1 in shapes resolved, slice bounds clamped to
 * [0, size], omitted trailing arguments NONE. Lists are copied. A misfit (shapes that do not broadcast, a float index)
 * is BERTC_INPUT and names op, where, shapes and the inputs from which they came; more than BT_MAX_RANK dims or an
 * unimplemented dtype is BERTC_UNSUPPORTED. A view that changes nothing, or a cast to the same dtype, appends no node
 * and returns its operand; a node that is there already is not appended again. */
enum bertc_status bt_graph_node(struct bt_graph *g, enum bt_op op, const struct bt_arg *args, int nargs, bt_value *outs,
                                struct bertc_error *err);

/* Argument makers. */
struct bt_arg bt_arg_none(void);
struct bt_arg bt_arg_value(bt_value value);
struct bt_arg bt_arg_expr(bt_expr expr);
struct bt_arg bt_arg_int(struct bt_graph *g, int64_t value);
struct bt_arg bt_arg_float(struct bt_graph *g, double value);
struct bt_arg bt_arg_dtype(enum bt_dtype dtype);
struct bt_arg bt_arg_activation(enum bt_activation activation);
struct bt_arg bt_arg_values(const bt_value *values, int32_t count); /* borrowed until bt_graph_node copies it */
struct bt_arg bt_arg_exprs(const bt_expr *exprs, int32_t count);
/* Shorthand: one output; BT_NO_VALUE on failure with err set. NONE args beyond nargs. */
bt_value bt_graph_op(struct bt_graph *g, struct bertc_error *err, enum bt_op op, int nargs, const struct bt_arg *args);

/* Decides a condition at build time: constants at once, else by the hints of the present call, recorded as a guard. */
bool bt_graph_decide(struct bt_graph *g, bt_expr condition);
/* a == b for dimensions: identical, or decided and guarded. */
bool bt_graph_same(struct bt_graph *g, bt_expr a, bt_expr b);

/* Promotion of ATen: dtype of a result from operand kinds. Numbers (BT_ARG_EXPR) and rank-0 tensors promote only across
 * categories (bool < int < float); a float number makes integers float32. */
enum bertc_status bt_graph_promote(const struct bt_graph *g, const struct bt_arg *args, int nargs, enum bt_dtype *out,
                                   struct bertc_error *err);

/* The input argument that `value` is a view or cast of, e.g. "input_ids"; NULL when it is computed. */
const char *bt_graph_origin(const struct bt_graph *g, bt_value value);

/* The value that `value` is a view or cast of, through any number of them; itself when it is none. */
bt_value bt_graph_root(const struct bt_graph *g, bt_value value);
int bt_op_nargs(enum bt_op op);

/* Inference for one node: fills dtype/rank/dims of infos[0..nouts) and canonicalises args. Called by bt_graph_node, and
 * by passes after a rewrite. (infer.c, one function a rule of ops.inc) */
enum bertc_status bt_infer(struct bt_graph *g, struct bt_node *node, struct bt_value_info *infos,
                           struct bertc_error *err);

/* Internal consistency: order, ids in range, args per op, a re-inference that agrees. For debug builds and tests. */
enum bertc_status bt_graph_verify(struct bt_graph *g, struct bertc_error *err);

/* The readable text of the graph (one node a line, shapes at the right), allocated with bt_alloc; NULL: out of memory.
 * `title` becomes the first line. */
char *bt_graph_text(struct bt_graph *g, const char *title);

/* The line of one node in that text, without shapes; likewise. */
char *bt_graph_node_text(struct bt_graph *g, size_t node);

/* How often each value is used by nodes and outputs; freed by bt_free. NULL: out of memory. */
int32_t *bt_graph_uses(const struct bt_graph *g);
/* Drops the nodes that no output needs; their values' index becomes -1. */
enum bertc_status bt_graph_drop_dead(struct bt_graph *g, struct bertc_error *err);

#endif
