/* checkpoint.c: take values from config.json and weights by name, with their shapes checked */
#include "load/checkpoint.h"

#include <stdio.h>
#include <string.h>

const char *bt_checkpoint_key(const struct bt_checkpoint *c, const char *key)
{
    for (size_t i = 0; c->aliases && c->aliases[i][0]; i++) {
        if (strcmp(c->aliases[i][0], key) == 0 && bt_json_get(c->config, c->aliases[i][1])) {
            return c->aliases[i][1];
        }
    }
    return key;
}

const struct bt_json *bt_checkpoint_value(const struct bt_checkpoint *c, const char *key)
{
    const struct bt_json *value = bt_json_get(c->config, bt_checkpoint_key(c, key));
    return value && value->kind != BT_JSON_NULL ? value : NULL;
}

enum bertc_status bt_checkpoint_int(const struct bt_checkpoint *c, const char *key, int64_t fallback, int64_t lowest,
                                    int64_t *out, struct bertc_error *err)
{
    const struct bt_json *value = bt_checkpoint_value(c, key);
    *out = fallback;
    if (value && (value->kind != BT_JSON_INT || value->integer < lowest || value->integer > INT32_MAX)) {
        return bt_error_set(err, BERTC_FORMAT, "config.json: %s is not an integer from %lld to %d",
                            bt_checkpoint_key(c, key), (long long)lowest, INT32_MAX);
    }
    if (value) {
        *out = value->integer;
    }
    return BERTC_OK;
}

enum bertc_status bt_checkpoint_float(const struct bt_checkpoint *c, const char *key, double fallback, double *out,
                                      struct bertc_error *err)
{
    const struct bt_json *value = bt_checkpoint_value(c, key);
    *out = fallback;
    if (value && value->kind != BT_JSON_FLOAT && value->kind != BT_JSON_INT) {
        return bt_error_set(err, BERTC_FORMAT, "config.json: %s is not a number", bt_checkpoint_key(c, key));
    }
    if (value) {
        *out = value->number;
    }
    return BERTC_OK;
}

enum bertc_status bt_checkpoint_string(const struct bt_checkpoint *c, const char *key, const char *fallback,
                                       const char **out, struct bertc_error *err)
{
    const struct bt_json *value = bt_checkpoint_value(c, key);
    *out = value ? bt_json_string(value) : fallback;
    return !value || *out
               ? BERTC_OK
               : bt_error_set(err, BERTC_FORMAT, "config.json: %s is not a string", bt_checkpoint_key(c, key));
}

enum bertc_status bt_checkpoint_bool(const struct bt_checkpoint *c, const char *key, bool fallback, bool *out,
                                     struct bertc_error *err)
{
    const struct bt_json *value = bt_checkpoint_value(c, key);
    *out = fallback;
    if (value && value->kind != BT_JSON_BOOL) {
        return bt_error_set(err, BERTC_FORMAT, "config.json: %s is not true or false", bt_checkpoint_key(c, key));
    }
    if (value) {
        *out = value->boolean;
    }
    return BERTC_OK;
}

enum bertc_status bt_checkpoint_require(const struct bt_checkpoint *c, const char *key, const char *only,
                                        struct bertc_error *err)
{
    const char *text;
    enum bertc_status status = bt_checkpoint_string(c, key, only, &text, err);
    if (!status && strcmp(text, only) != 0) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: %s '%.100s' is not supported, only '%s'",
                            bt_checkpoint_key(c, key), text, only);
    }
    return status;
}

enum bertc_status bt_checkpoint_require_bool(const struct bt_checkpoint *c, const char *key, bool only,
                                             struct bertc_error *err)
{
    bool value;
    enum bertc_status status = bt_checkpoint_bool(c, key, only, &value, err);
    if (!status && value != only) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: a model with %s %s is not supported", key,
                            value ? "true" : "false");
    }
    return status;
}

enum bertc_status bt_checkpoint_require_int(const struct bt_checkpoint *c, const char *key, int64_t only,
                                            struct bertc_error *err)
{
    int64_t value;
    enum bertc_status status = bt_checkpoint_int(c, key, only, INT32_MIN, &value, err);
    if (!status && value != only) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: %s %lld is not supported, only %lld", key,
                            (long long)value, (long long)only);
    }
    return status;
}

static const struct bt_named_tensor *find_exact(const struct bt_checkpoint *c, const char *name, size_t size)
{
    size_t i;
    return bt_map_get(&c->index, name, size, &i) ? &c->tensors[i] : NULL;
}

const struct bt_named_tensor *bt_checkpoint_find(const struct bt_checkpoint *c, const char *name)
{
    static const char *const renamed[][2] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                                             {"LayerNorm.bias", "LayerNorm.beta"}};
    const size_t size = strlen(name);
    const struct bt_named_tensor *found = find_exact(c, name, size);
    for (size_t i = 0; i < 2 && !found; i++) {
        const size_t end = strlen(renamed[i][0]);
        if (size >= end && strcmp(name + size - end, renamed[i][0]) == 0) {
            char old[BT_WEIGHT_NAME];
            snprintf(old, sizeof old, "%.*s%s", (int)(size - end), name, renamed[i][1]);
            found = find_exact(c, old, strlen(old));
        }
    }
    return found;
}

bool bt_checkpoint_has_prefix(const struct bt_checkpoint *c, const char *prefix)
{
    bool found = false;
    for (size_t i = 0; i < c->tensor_count && !found; i++) {
        found = strncmp(c->tensors[i].name, prefix, strlen(prefix)) == 0;
    }
    return found;
}

enum bertc_status bt_checkpoint_check(const struct bt_named_tensor *weight, int rank, const int64_t *dims,
                                      struct bertc_error *err)
{
    const struct bt_tensor *tensor = &weight->tensor;
    if (tensor->rank != rank || memcmp(tensor->dims, dims, (size_t)rank * sizeof *dims) != 0) {
        bt_error_set(err, BERTC_FORMAT, "weight %.200s has shape [", weight->name);
        for (int i = 0; i < tensor->rank; i++) {
            bt_error_append(err, i ? ", %lld" : "%lld", (long long)tensor->dims[i]);
        }
        bt_error_append(err, "], config.json says [");
        for (int i = 0; i < rank; i++) {
            bt_error_append(err, i ? ", %lld" : "%lld", (long long)dims[i]);
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

void bt_checkpoint_note_missing(struct bt_weight_log *log, const char *name)
{
    const size_t used = strlen(log->missing), left = sizeof log->missing - used;
    const char *comma = used ? ", " : "";
    log->missing_count++;
    if (strlen(comma) + strlen(name) < left) {
        snprintf(log->missing + used, left, "%s%s", comma, name);
    }
}
