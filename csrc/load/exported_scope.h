/* exported_scope.h: the names of an exported graph while it runs, and the arguments of its nodes as values */
#ifndef BT_LOAD_EXPORTED_SCOPE_H
#define BT_LOAD_EXPORTED_SCOPE_H

#include "load/exported.h"

/* The names of one graph: those inside of a sub-graph are its own. */
struct bt_exported_scope {
    const struct bt_exported *e;
    struct bt_lower *l;
    struct bt_map names; /* to slots */
    struct bt_exported_slot {
        struct bt_dyn value;
        bool pending; /* a weight that becomes the value at its first use */
        size_t weight;
    } *slots;
    size_t count, cap;
};

/* Gives a name its value. A name may be given anew. */
enum bertc_status bt_exported_define(struct bt_exported_scope *scope, const char *name, struct bt_dyn value,
                                     struct bertc_error *err);
/* Lets a name stand for a weight. */
enum bertc_status bt_exported_define_weight(struct bt_exported_scope *scope, const char *name, size_t weight,
                                            struct bertc_error *err);
/* The value of an argument: {"as_tensor": {"name": "view_1"}}, {"as_ints": [1, 2]}; none of a sub-graph. */
enum bertc_status bt_exported_argument(struct bt_exported_scope *scope, const struct bt_json *argument,
                                       struct bt_dyn *out, struct bertc_error *err);
/* The name in {"as_tensor": {"name": ...}}, {"as_sym_int": {"as_name": ...}}, {"name": ...}; NULL when it has none. */
const char *bt_exported_name(const struct bt_json *argument);

#endif
