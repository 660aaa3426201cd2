/* signature.h: what distinguishes one call from another: the arguments' structure, and their dimensions */
#ifndef BT_EXEC_SIGNATURE_H
#define BT_EXEC_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/memory.h"
#include "bertc.h"

struct bt_signature {
    uint8_t *key; /* kinds, keys, dtypes, ranks and scalar values: what a graph is built for */
    size_t key_size, key_cap;
    int64_t *dims; /* of all tensor leaves, in order: what a plan is made for */
    size_t dim_count, dim_cap;
    const void **data; /* one address per tensor leaf */
    size_t leaf_count, leaf_cap;
};

/* Reads the arguments, depth first. Memory comes from the arena. Containers nested deeper than 16 are BERTC_INPUT. */
enum bertc_status bt_signature_make(struct bt_signature *signature, struct bt_arena *arena,
                                    const struct bertc_value *args, size_t count, struct bertc_error *err);

bool bt_signature_same_key(const struct bt_signature *a, const struct bt_signature *b);
bool bt_signature_same_dims(const struct bt_signature *a, const struct bt_signature *b);
uint64_t bt_signature_hash(const struct bt_signature *signature); /* of key and dims */

#endif
