/* variant.h: a graph built for one signature, and the dimensions for which it holds */
#ifndef BT_EXEC_VARIANT_H
#define BT_EXEC_VARIANT_H

#include <stdatomic.h>

#include "base/error.h"
#include "exec/signature.h"
#include "exec/tokens.h"
#include "graph/graph.h"
#include "load/load.h"

struct bt_variant {
    atomic_int refs;
    struct bt_arena arena;         /* of the signature */
    struct bt_signature signature; /* of the call it was built for; its data pointers are not kept */
    struct bt_graph graph;         /* after the passes; never changes again */
    int32_t batch;                 /* the symbol along which calls may be cut, or -1 (batch.h) */
    struct bt_tokens tokens;       /* whether and how padding may be left out */
    struct bt_scalar *values;      /* room to evaluate the guards; used under the cache's lock */
    int64_t *symbols;
};

/* Builds the program's graph for these arguments and runs the passes over it. */
enum bertc_status bt_variant_new(const struct bt_program *program, const struct bertc_value *args,
                                 struct bt_variant **out, struct bertc_error *err);
struct bt_variant *bt_variant_ref(struct bt_variant *variant);
void bt_variant_unref(struct bt_variant *variant); /* NULL is fine */

/* Whether the graph holds for a call: same key, each symbol has one value, every guard decides as it did. On success
 * variant->symbols holds the call's symbols. */
bool bt_variant_holds(struct bt_variant *variant, const struct bt_signature *call);

/* Whether the batch of a call that the variant holds for may be cut: how many items it has, and about how many
 * tokens an item. */
bool bt_variant_batch(const struct bt_variant *variant, const struct bt_signature *call, int64_t *items,
                      int64_t *tokens);
/* Gives the tensors of an argument that have the batch another number of items; containers are copied into the arena.
 * *leaf counts the tensors from argument to argument. */
enum bertc_status bt_variant_resize(const struct bt_variant *variant, struct bertc_value *arg, int64_t items,
                                    struct bt_arena *arena, size_t *leaf, struct bertc_error *err);

#endif
