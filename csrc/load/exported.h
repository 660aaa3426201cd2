/* exported.h: a torch.export program in memory: its graph as JSON, its weights, what callers pass and get
 * Schema: torch/_export/serde/schema.py, of which versions 1 (torch 2.1) to 8 (torch 2.6 and later) are read. */
#ifndef BT_LOAD_EXPORTED_H
#define BT_LOAD_EXPORTED_H

#include "base/map.h"
#include "format/json.h"
#include "load/archive.h"
#include "load/load.h"
#include "load/pytree.h"

enum bt_exported_role { BT_EXPORTED_PARAMETER, BT_EXPORTED_BUFFER, BT_EXPORTED_CONSTANT };

struct bt_exported_tensor {
    const char *name; /* dotted */
    enum bt_exported_role role;
    struct bt_tensor tensor;
};

/* What the program's graph is given besides the caller's arguments. */
struct bt_exported_weights {
    struct bt_exported_tensor *items; /* in the order of the state dict, then the others */
    size_t count, cap;
    struct bt_map names;  /* to items */
    struct bt_map places; /* of the data, to the first item there */
    struct bt_archive **nested; /* archives inside the archive, which the tensors are views of */
    size_t nested_count, nested_cap;
};

/* A value that callers pass. */
struct bt_exported_leaf {
    const char *type;            /* TorchScript's notation */
    const struct bt_json *sizes; /* of a tensor: one union a dimension; else NULL */
    bool constant;               /* baked into the program: it can only be `value` */
    struct bertc_value value;    /* a tensor's is its shape when exported, with data NULL */
};

enum bt_exported_kind { BT_EXPORTED_WEIGHT, BT_EXPORTED_USER, BT_EXPORTED_TOKEN };

/* A placeholder of the graph. */
struct bt_exported_input {
    enum bt_exported_kind kind;
    const char *name;
    size_t index; /* of weights.items or leaves */
};

/* Filled at load, immutable from then on. */
struct bt_exported {
    struct bt_arena *arena;
    const char *member;            /* "models/model.json" */
    const struct bt_json *program; /* its root */
    const struct bt_json *graph;
    struct bt_exported_weights weights;
    struct bt_exported_input *inputs;
    size_t input_count;
    struct bt_exported_leaf *leaves;
    size_t leaf_count;
    struct bt_pytree *args; /* one per param */
    struct bertc_param *params;
    struct bertc_value *defaults;
    size_t param_count;
    struct bt_pytree result;
    const struct bt_json **outputs; /* the result's leaves, as arguments of nodes are written */
    size_t output_count;
};

/* The member of a union that is set: {"as_int": 3}, or in schema 1 the one of many that is not null. NULL: none. */
const struct bt_json *bt_exported_union(const struct bt_json *value, const char **tag);
/* The ScalarType of ATen for one of the schema; -1 when it has none. */
int64_t bt_exported_dtype(int64_t code);

/* exported_weights.c */
/* Reads the weights and constants of the program called `model`, "" in the layout of torch before 2.8. */
enum bertc_status bt_exported_read_weights(struct bt_exported *e, struct bt_archive *archive, const char *model,
                                           struct bertc_error *err);
bool bt_exported_find_weight(const struct bt_exported *e, const char *name, size_t *out);
void bt_exported_close(struct bt_exported *e); /* accepts a zeroed one */

/* exported_signature.c */
/* Reads what the placeholders stand for, the arguments and the results. */
enum bertc_status bt_exported_read_signature(struct bt_exported *e, struct bertc_error *err);
/* The arguments that the program was exported with, one per param; NULL when the file does not tell. *memory is set
 * when memory is out. */
struct bertc_value *bt_exported_example(const struct bt_exported *e, bool *memory);

/* exported_bind.c */
/* Makes the graph's inputs from a call's arguments, after checking them against the exported shapes; values[i] becomes
 * leaf i. */
enum bertc_status bt_exported_bind(const struct bt_exported *e, struct bt_lower *l, const struct bertc_value *args,
                                   struct bt_dyn *values, struct bertc_error *err);

/* exported_build.c */
enum bertc_status bt_exported_build(const struct bt_exported *e, const struct bertc_value *args, struct bt_graph *graph,
                                    struct bertc_error *err);

#endif
