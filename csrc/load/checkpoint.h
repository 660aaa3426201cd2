/* checkpoint.h: a model directory's configuration and weights, and how an architecture takes what it needs from them */
#ifndef BT_LOAD_CHECKPOINT_H
#define BT_LOAD_CHECKPOINT_H

#include "base/map.h"
#include "format/json.h"
#include "format/safetensors.h"

struct bt_checkpoint {
    struct bt_arena *arena; /* of all this and of what architectures add */
    const struct bt_json *config;
    const char *const (*aliases)[2]; /* what keys are called here, ended by NULL: {"hidden_size", "dim"}; or NULL */
    const struct bt_named_tensor *tensors;
    size_t tensor_count;
    struct bt_map index; /* name -> number in tensors */
};

/* Values of config.json; the fallback when it has no such key (or null), BERTC_FORMAT when the value is of another
 * kind. */
const char *bt_checkpoint_key(const struct bt_checkpoint *c, const char *key); /* as the file calls it */
const struct bt_json *bt_checkpoint_value(const struct bt_checkpoint *c, const char *key); /* NULL when none or null */
/* From `lowest` to INT32_MAX, so that small multiples do not overflow. */
enum bertc_status bt_checkpoint_int(const struct bt_checkpoint *c, const char *key, int64_t fallback, int64_t lowest,
                                    int64_t *out, struct bertc_error *err);
enum bertc_status bt_checkpoint_float(const struct bt_checkpoint *c, const char *key, double fallback, double *out,
                                      struct bertc_error *err);
enum bertc_status bt_checkpoint_string(const struct bt_checkpoint *c, const char *key, const char *fallback,
                                       const char **out, struct bertc_error *err);
enum bertc_status bt_checkpoint_bool(const struct bt_checkpoint *c, const char *key, bool fallback, bool *out,
                                     struct bertc_error *err);
/* BERTC_UNSUPPORTED, with the key and its value, unless it is absent or `only`. */
enum bertc_status bt_checkpoint_require(const struct bt_checkpoint *c, const char *key, const char *only,
                                        struct bertc_error *err);
enum bertc_status bt_checkpoint_require_bool(const struct bt_checkpoint *c, const char *key, bool only,
                                             struct bertc_error *err);
enum bertc_status bt_checkpoint_require_int(const struct bt_checkpoint *c, const char *key, int64_t only,
                                            struct bertc_error *err);

enum { BT_WEIGHT_NAME = 256 }; /* room for a name; longer ones are cut, and then not found */

/* By its full name, LayerNorm's also as gamma and beta (2018); NULL when absent. */
const struct bt_named_tensor *bt_checkpoint_find(const struct bt_checkpoint *c, const char *name);
bool bt_checkpoint_has_prefix(const struct bt_checkpoint *c, const char *prefix);
/* BERTC_FORMAT when the shape is another, BERTC_UNSUPPORTED when the weight is not of floating point. */
enum bertc_status bt_checkpoint_check(const struct bt_named_tensor *weight, int rank, const int64_t *dims,
                                      struct bertc_error *err);

/* What a build took. */
struct bt_weight_log {
    bool *used; /* per tensor */
    size_t missing_count;
    char missing[300]; /* the first names */
};

void bt_checkpoint_note_missing(struct bt_weight_log *log, const char *name);

#endif
