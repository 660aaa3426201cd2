/* dyn.h: the values that exist while a graph is built from code: tensors, numbers over dimensions, containers */
#ifndef BT_LOAD_DYN_H
#define BT_LOAD_DYN_H

#include "base/error.h"
#include "base/memory.h"
#include "format/pickle.h"
#include "graph/graph.h"

enum bt_dyn_kind {
    BT_DYN_NONE,
    BT_DYN_SCALAR, /* int, float or bool: an expression; dtypes, layouts, memory formats are ints too */
    BT_DYN_STRING,
    BT_DYN_DEVICE, /* every device is this CPU */
    BT_DYN_TENSOR,
    BT_DYN_LIST,   /* shared and mutable, as in Python */
    BT_DYN_TUPLE,
    BT_DYN_DICT,   /* keys are strings or ints; insertion order */
    BT_DYN_OBJECT, /* a module or packed parameters from data.pkl */
    BT_DYN_RANGE,  /* range(n): items[0..2] = start, stop, step */
    BT_DYN_UNINITIALIZED,
    BT_DYN_FUNCTION, /* a function or class of the program: text = its qualified name */
};

struct bt_var;
struct bt_dyn_items;

struct bt_dyn {
    enum bt_dyn_kind kind;
    bt_expr scalar;
    const char *text;            /* STRING */
    struct bt_var *tensor;
    struct bt_dyn_items *seq;    /* LIST, TUPLE, DICT, RANGE */
    const struct bt_pickle *object;
};

struct bt_dyn_items {
    struct bt_dyn *items;
    struct bt_dyn *keys; /* DICT; of a TUPLE the field names when it is a named one, else NULL */
    size_t count, cap, key_cap;
};

/* A tensor variable. In-place ops change what a variable means, and what every view of it means; the graph itself has
 * no mutation. So a view remembers how it was made, and is made again when its base has changed since. (var.c) */
struct bt_var {
    bt_value value;      /* current graph value; BT_NO_VALUE while it is only a number */
    bt_expr number;      /* a 0-dim tensor whose number is known (NumToTensor, 0-dim constants), else BT_NO_EXPR */
    enum bt_dtype dtype; /* of `number` */
    bool plain;          /* a 0-dim constant of the code: it promotes as the Python number it was traced from */
    struct bt_var *kept; /* of a nested tensor, which is stored padded: the mask of its items; else NULL */
    struct bt_var *base; /* what this is a view of, or NULL */
    enum bt_op op;       /* the view op that makes it from base */
    struct bt_arg *args; /* its arguments (args[0] is the base) */
    int nargs;
    uint32_t version;    /* of this variable: raised by every write */
    uint32_t base_version; /* of base when `value` was made */
};

/* The state of one lowering. */
struct bt_lower {
    struct bt_graph *graph;
    struct bt_arena *arena; /* for dyn values; freed after the build */
    bool integer_div;       /* archives before format 4: div of integer tensors rounds towards zero */
    bool float_full;        /* archives before format 5: full() is float32 whatever its value */
};

/* dyn.c: makers; the ones returning bool fail only for lack of memory */
struct bt_dyn bt_dyn_none(void);
struct bt_dyn bt_dyn_scalar(bt_expr e);
struct bt_dyn bt_dyn_string(const char *text);
struct bt_dyn bt_dyn_object(const struct bt_pickle *object);
struct bt_dyn bt_dyn_tensor(struct bt_var *var);
bool bt_dyn_seq(struct bt_lower *l, enum bt_dyn_kind kind, const struct bt_dyn *items, size_t count,
                struct bt_dyn *out);
bool bt_dyn_append(struct bt_lower *l, struct bt_dyn *list, struct bt_dyn item);
bool bt_dyn_dict_set(struct bt_lower *l, struct bt_dyn *dict, struct bt_dyn key, struct bt_dyn value);
const struct bt_dyn *bt_dyn_dict_get(const struct bt_lower *l, const struct bt_dyn *dict, const struct bt_dyn *key);
/* "Tensor", "int", "List", ... for messages. */
const char *bt_dyn_type_name(const struct bt_lower *l, const struct bt_dyn *d);
/* The number in a 0-dim tensor of the file. */
bt_expr bt_dyn_read_number(struct bt_exprs *x, const struct bt_tensor *t);
/* Any plain pickle value (constants, attributes): tensors become graph constants named `name`; 0-dim tensors become
 * known numbers. */
enum bertc_status bt_dyn_from_pickle(struct bt_lower *l, const struct bt_pickle *p, const char *name,
                                     struct bt_dyn *out, struct bertc_error *err);
enum bertc_status bt_dyn_from_tree(struct bt_lower *l, const struct bt_tree *tree, struct bt_dyn *out,
                                   struct bertc_error *err);
/* A result as an output tree (tensors read, known numbers of tensors materialised); in the graph's arena. */
enum bertc_status bt_dyn_to_tree(struct bt_lower *l, const struct bt_dyn *d, struct bt_tree *out,
                                 struct bertc_error *err);

/* var.c */
struct bt_var *bt_var_new(struct bt_lower *l, bt_value value);                          /* NULL: out of memory */
struct bt_var *bt_var_number(struct bt_lower *l, bt_expr number, enum bt_dtype dtype);
/* The value now: replays the view if its base was written to, materialises a number as full([]). */
enum bertc_status bt_var_read(struct bt_lower *l, struct bt_var *var, bt_value *out, struct bertc_error *err);
/* A view of base by one of the graph's view ops; args[0] is ignored. */
enum bertc_status bt_var_view(struct bt_lower *l, struct bt_var *base, enum bt_op op, const struct bt_arg *args,
                              int nargs, struct bt_var **out, struct bertc_error *err);
/* In-place: the variable now means `value` (cast and expanded to its dtype and shape); its bases follow through the
 * inverse of each view (slice_scatter, select_scatter, the inverse permutation, reshape). */
enum bertc_status bt_var_write(struct bt_lower *l, struct bt_var *var, bt_value value, struct bertc_error *err);
int bt_var_rank(const struct bt_lower *l, const struct bt_var *var);
enum bt_dtype bt_var_dtype(const struct bt_lower *l, const struct bt_var *var);

#endif
