/* signature.c: what distinguishes one call from another */
#include "exec/signature.h"

#include <string.h>

#define MAX_DEPTH 16

static bool key_bytes(struct bt_signature *s, struct bt_arena *arena, const void *bytes, size_t size)
{
    if (!bt_arena_reserve(arena, &s->key, &s->key_cap, s->key_size + size, 1)) {
        return false;
    }
    memcpy(s->key + s->key_size, bytes, size);
    s->key_size += size;
    return true;
}

/* Text is written with its length, so that two keys are equal only when all their parts are. */
static bool key_text(struct bt_signature *s, struct bt_arena *arena, const char *text)
{
    size_t size = text ? strlen(text) : 0;
    return key_bytes(s, arena, &size, sizeof size) && (size == 0 || key_bytes(s, arena, text, size));
}

static bool add_tensor(struct bt_signature *s, struct bt_arena *arena, const struct bt_tensor *t)
{
    const uint8_t head[2] = {(uint8_t)t->dtype, (uint8_t)t->rank};
    if (!key_bytes(s, arena, head, sizeof head) ||
        !bt_arena_reserve(arena, &s->dims, &s->dim_cap, s->dim_count + (size_t)t->rank, sizeof *s->dims) ||
        !bt_arena_reserve(arena, &s->data, &s->leaf_cap, s->leaf_count + 1, sizeof *s->data)) {
        return false;
    }
    for (int d = 0; d < t->rank; d++) {
        s->dims[s->dim_count++] = t->dims[d];
    }
    s->data[s->leaf_count++] = t->data;
    return true;
}

static enum bertc_status add_value(struct bt_signature *s, struct bt_arena *arena, const struct bertc_value *value,
                                   int depth, struct bertc_error *err)
{
    if (depth > MAX_DEPTH) {
        return bt_error_set(err, BERTC_INPUT, "arguments nest deeper than %d containers", MAX_DEPTH);
    }
    const uint8_t kind = (uint8_t)value->kind;
    bool ok = key_bytes(s, arena, &kind, 1) && key_text(s, arena, value->key);
    switch (value->kind) {
    case BERTC_NONE: break;
    case BERTC_BOOL:
    case BERTC_INT: ok = ok && key_bytes(s, arena, &value->integer, sizeof value->integer); break;
    case BERTC_FLOAT: ok = ok && key_bytes(s, arena, &value->number, sizeof value->number); break;
    case BERTC_STRING: ok = ok && key_text(s, arena, value->text); break;
    case BERTC_TENSOR: ok = ok && add_tensor(s, arena, &value->tensor); break;
    case BERTC_TUPLE:
    case BERTC_LIST:
    case BERTC_DICT:
        ok = ok && key_bytes(s, arena, &value->count, sizeof value->count);
        for (size_t i = 0; ok && i < value->count; i++) {
            enum bertc_status status = add_value(s, arena, &value->items[i], depth + 1, err);
            if (status) {
                return status;
            }
        }
        break;
    }
    return ok ? BERTC_OK : bt_error_memory(err);
}

enum bertc_status bt_signature_make(struct bt_signature *signature, struct bt_arena *arena,
                                    const struct bertc_value *args, size_t count, struct bertc_error *err)
{
    *signature = (struct bt_signature){0};
    for (size_t i = 0; i < count; i++) {
        enum bertc_status status = add_value(signature, arena, &args[i], 0, err);
        if (status) {
            return status;
        }
    }
    return BERTC_OK;
}

bool bt_signature_same_key(const struct bt_signature *a, const struct bt_signature *b)
{
    return a->key_size == b->key_size && (a->key_size == 0 || memcmp(a->key, b->key, a->key_size) == 0);
}

bool bt_signature_same_dims(const struct bt_signature *a, const struct bt_signature *b)
{
    return a->dim_count == b->dim_count &&
           (a->dim_count == 0 || memcmp(a->dims, b->dims, a->dim_count * sizeof *a->dims) == 0);
}

uint64_t bt_signature_hash(const struct bt_signature *signature)
{
    /* FNV-1a, 64 bits */
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < signature->key_size; i++) {
        hash = (hash ^ signature->key[i]) * 1099511628211u;
    }
    for (size_t i = 0; i < signature->dim_count; i++) {
        hash = (hash ^ (uint64_t)signature->dims[i]) * 1099511628211u;
    }
    return hash;
}
