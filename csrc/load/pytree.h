/* pytree.h: how the arguments and results of an exported program nest, as torch.utils._pytree writes it */
#ifndef BT_LOAD_PYTREE_H
#define BT_LOAD_PYTREE_H

#include "load/dyn.h"

enum bt_pytree_kind { BT_PYTREE_LEAF, BT_PYTREE_TUPLE, BT_PYTREE_LIST, BT_PYTREE_DICT };

struct bt_pytree {
    enum bt_pytree_kind kind;
    size_t leaf; /* LEAF: its number, depth first */
    const char **keys; /* DICT: also of dataclasses, whose fields they are */
    struct bt_pytree *items;
    size_t count;
};

/* Parses a tree specification, '[1, {"type": ..., "context": ..., "children_spec": [...]}]', and counts its leaves. */
enum bertc_status bt_pytree_parse(const char *text, struct bt_arena *arena, struct bt_pytree *out, size_t *leaves,
                                  struct bertc_error *err);

/* The type in TorchScript's notation, given that of each leaf: "Tuple[Tensor, int]". NULL: out of memory. */
const char *bt_pytree_type(const struct bt_pytree *tree, const char *const *leaf_types, struct bt_arena *arena);

/* The leaves' values as the tree nests them. */
enum bertc_status bt_pytree_value(struct bt_lower *l, const struct bt_pytree *tree, const struct bt_dyn *leaves,
                                  struct bt_dyn *out, struct bertc_error *err);

#endif
