/* checkpoint.h: a model directory's configuration and weights, and how an architecture takes what it needs from them */
#ifndef BT_LOAD_CHECKPOINT_H
#define BT_LOAD_CHECKPOINT_H

#include "base/map.h"
#include "format/json.h"
#include "format/safetensors.h"

struct bt_checkpoint {
    struct bt_arena *arena; /* of all this and of what architectures add */
    const struct bt_json *config;
    const struct bt_named_tensor *tensors;
    size_t tensor_count;
    struct bt_map index; /* name -> number in tensors */
};

/* Values of config.json; the fallback when it has no such key (or null), BERTC_FORMAT when the value is of another
 * kind. */
enum bertc_status bt_checkpoint_size(const struct bt_checkpoint *c, const char *key, int64_t fallback, int64_t *out,
                                     struct bertc_error *err); /* at least 1 */
enum bertc_status bt_checkpoint_float(const struct bt_checkpoint *c, const char *key, double fallback, double *out,
                                      struct bertc_error *err);
enum bertc_status bt_checkpoint_string(const struct bt_checkpoint *c, const char *key, const char *fallback,
                                       const char **out, struct bertc_error *err);
bool bt_checkpoint_flag(const struct bt_checkpoint *c, const char *key); /* true only for true */

/* A weight that an architecture needs. */
struct bt_weight_slot {
    const char *name;
    int rank;
    int dims[2]; /* numbers into the finder's sizes */
};

struct bt_weight_finder {
    const struct bt_checkpoint *checkpoint;
    const char *prefix; /* of all names when the model is a part of a larger one: "bert." */
    const int64_t *sizes;
    size_t missing_count;
    char missing[200]; /* the first names */
};

/* Finds weights named scope + slot name, with or without the prefix, LayerNorm's also as gamma and beta (2018). An
 * absent one is noted in the finder and NULL in `out`; a wrong shape is BERTC_FORMAT. */
enum bertc_status bt_checkpoint_weights(struct bt_weight_finder *finder, const char *scope,
                                        const struct bt_weight_slot *slots, size_t count,
                                        const struct bt_named_tensor **out, struct bertc_error *err);
/* BERTC_FORMAT with their names when weights were missing. */
enum bertc_status bt_checkpoint_complete(const struct bt_weight_finder *finder, struct bertc_error *err);

#endif
