/* checkpoint.c: take values from config.json and weights by name, with their shapes checked */
#include "load/checkpoint.h"

#include <stdio.h>
#include <string.h>

/* The key's value, NULL when there is none. */
static const struct bt_json *config_value(const struct bt_checkpoint *c, const char *key)
{
    const struct bt_json *value = bt_json_get(c->config, key);
    return value && value->kind != BT_JSON_NULL ? value : NULL;
}

enum bertc_status bt_checkpoint_size(const struct bt_checkpoint *c, const char *key, int64_t fallback, int64_t *out,
                                     struct bertc_error *err)
{
    const struct bt_json *value = config_value(c, key);
    *out = fallback;
    if (value && (value->kind != BT_JSON_INT || value->integer < 1)) {
        return bt_error_set(err, BERTC_FORMAT, "config.json: %s is not a positive integer", key);
    }
    if (value) {
        *out = value->integer;
    }
    return BERTC_OK;
}

enum bertc_status bt_checkpoint_float(const struct bt_checkpoint *c, const char *key, double fallback, double *out,
                                      struct bertc_error *err)
{
    const struct bt_json *value = config_value(c, key);
    *out = fallback;
    if (value && value->kind != BT_JSON_FLOAT && value->kind != BT_JSON_INT) {
        return bt_error_set(err, BERTC_FORMAT, "config.json: %s is not a number", key);
    }
    if (value) {
        *out = value->number;
    }
    return BERTC_OK;
}

enum bertc_status bt_checkpoint_string(const struct bt_checkpoint *c, const char *key, const char *fallback,
                                       const char **out, struct bertc_error *err)
{
    const struct bt_json *value = config_value(c, key);
    *out = value ? bt_json_string(value) : fallback;
    return *out ? BERTC_OK : bt_error_set(err, BERTC_FORMAT, "config.json: %s is not a string", key);
}

bool bt_checkpoint_flag(const struct bt_checkpoint *c, const char *key)
{
    const struct bt_json *value = config_value(c, key);
    return value && value->kind == BT_JSON_BOOL && value->boolean;
}

static const struct bt_named_tensor *find_exact(const struct bt_checkpoint *c, const char *name, size_t size)
{
    size_t i;
    return bt_map_get(&c->index, name, size, &i) ? &c->tensors[i] : NULL;
}

/* Tries the name, then as the port of Google's checkpoints called it. */
static const struct bt_named_tensor *find_either(const struct bt_checkpoint *c, const char *name)
{
    static const char *const renamed[][2] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                                             {"LayerNorm.bias", "LayerNorm.beta"}};
    size_t size = strlen(name);
    const struct bt_named_tensor *found = find_exact(c, name, size);
    for (size_t i = 0; i < 2 && !found; i++) {
        size_t end = strlen(renamed[i][0]);
        if (size >= end && strcmp(name + size - end, renamed[i][0]) == 0) {
            char old[256];
            int old_size = snprintf(old, sizeof old, "%.*s%s", (int)(size - end), name, renamed[i][1]);
            found = find_exact(c, old, (size_t)old_size);
        }
    }
    return found;
}

static const struct bt_named_tensor *find_weight(const struct bt_weight_finder *finder, const char *scope,
                                                 const char *name)
{
    char full[200];
    snprintf(full, sizeof full, "%s%s%s", finder->prefix, scope, name);
    const struct bt_named_tensor *found = find_either(finder->checkpoint, full + strlen(finder->prefix));
    return found ? found : find_either(finder->checkpoint, full);
}

static enum bertc_status check_weight(const struct bt_weight_finder *finder, const struct bt_weight_slot *slot,
                                      const struct bt_named_tensor *weight, struct bertc_error *err)
{
    const struct bt_tensor *tensor = &weight->tensor;
    bool fits = tensor->rank == slot->rank;
    for (int i = 0; fits && i < slot->rank; i++) {
        fits = tensor->dims[i] == finder->sizes[slot->dims[i]];
    }
    if (!fits) {
        bt_error_set(err, BERTC_FORMAT, "weight %.200s has shape [", weight->name);
        for (int i = 0; i < tensor->rank; i++) {
            bt_error_append(err, i ? ", %lld" : "%lld", (long long)tensor->dims[i]);
        }
        bt_error_append(err, "], config.json says [");
        for (int i = 0; i < slot->rank; i++) {
            bt_error_append(err, i ? ", %lld" : "%lld", (long long)finder->sizes[slot->dims[i]]);
        }
        bt_error_append(err, "]");
        return BERTC_FORMAT;
    }
    if (!bt_dtype_is_float(tensor->dtype)) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "weight %.200s is %s, not floating point", weight->name,
                            bt_dtype_name(tensor->dtype));
    }
    return BERTC_OK;
}

static void note_missing(struct bt_weight_finder *finder, const char *scope, const char *name)
{
    size_t used = strlen(finder->missing), left = sizeof finder->missing - used;
    const char *comma = used ? ", " : "";
    finder->missing_count++;
    if (strlen(comma) + strlen(scope) + strlen(name) < left) {
        snprintf(finder->missing + used, left, "%s%s%s", comma, scope, name);
    }
}

enum bertc_status bt_checkpoint_weights(struct bt_weight_finder *finder, const char *scope,
                                        const struct bt_weight_slot *slots, size_t count,
                                        const struct bt_named_tensor **out, struct bertc_error *err)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = find_weight(finder, scope, slots[i].name);
        if (!out[i]) {
            note_missing(finder, scope, slots[i].name);
            continue;
        }
        enum bertc_status status = check_weight(finder, &slots[i], out[i], err);
        if (status) {
            return status;
        }
    }
    return BERTC_OK;
}

enum bertc_status bt_checkpoint_complete(const struct bt_weight_finder *finder, struct bertc_error *err)
{
    if (finder->missing_count == 0) {
        return BERTC_OK;
    }
    return bt_error_set(err, BERTC_FORMAT, "weights that config.json asks for are missing: %s (%zu in all)",
                        finder->missing, finder->missing_count);
}
