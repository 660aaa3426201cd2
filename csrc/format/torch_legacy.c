/* torch_legacy.c: five pickles (magic, version, system, object, storage keys), then the storages in the keys' order */
#include "format/torch_legacy.h"

#include <string.h>

#include "base/map.h"
#include "format/bytes.h"

static const char magic[10] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

#define PROTOCOL 1001

struct storage {
    enum bt_dtype dtype;
    int64_t numel;
    struct bt_span bytes; /* aligned; its data is NULL until it is found */
};

struct stream {
    struct bt_span bytes;
    size_t at;
    struct bt_arena *arena;
    struct bt_map keys; /* -> index of storages */
    struct storage *storages;
    size_t count, cap;
};

bool bt_torch_legacy_probe(struct bt_span bytes)
{
    const size_t reach = 32; /* protocol 4 puts a frame before the number */
    for (size_t i = 4; i + sizeof magic <= bytes.size && i < reach; i++) {
        if (memcmp(bytes.data + i, magic, sizeof magic) == 0) {
            return bytes.data[0] == 0x80;
        }
    }
    return false;
}

/* The first time the object is read: only its storages' sizes are known. */
static enum bertc_status note_storage(void *context, const char *key, enum bt_dtype dtype, int64_t numel,
                                      struct bt_span *out, struct bertc_error *err)
{
    struct stream *s = context;
    size_t i;
    if (bt_map_get(&s->keys, key, strlen(key), &i)) {
        if (s->storages[i].dtype != dtype || s->storages[i].numel != numel) {
            return bt_error_set(err, BERTC_FORMAT, "storage \"%.100s\" has two dtypes or sizes", key);
        }
    } else {
        if (!bt_arena_reserve(s->arena, &s->storages, &s->cap, s->count + 1, sizeof *s->storages) ||
            !bt_map_put(&s->keys, s->arena, key, strlen(key), s->count)) {
            return bt_error_memory(err);
        }
        s->storages[s->count++] = (struct storage){.dtype = dtype, .numel = numel};
    }
    *out = (struct bt_span){NULL, (size_t)numel * bt_dtype_size(dtype)};
    return BERTC_OK;
}

/* The second time. */
static enum bertc_status give_storage(void *context, const char *key, enum bt_dtype dtype, int64_t numel,
                                      struct bt_span *out, struct bertc_error *err)
{
    const struct stream *s = context;
    size_t i;
    (void)dtype;
    (void)numel;
    if (!bt_map_get(&s->keys, key, strlen(key), &i) || !s->storages[i].bytes.data) {
        return bt_error_set(err, BERTC_FORMAT, "storage \"%.100s\" is not in the file", key);
    }
    *out = s->storages[i].bytes;
    return BERTC_OK;
}

typedef enum bertc_status resolve_fn(void *context, const char *key, enum bt_dtype dtype, int64_t numel,
                                     struct bt_span *out, struct bertc_error *err);

static enum bertc_status next_pickle(struct stream *s, const char *name, resolve_fn *resolve, struct bt_pickle **out,
                                     struct bertc_error *err)
{
    const struct bt_pickle_options options = {.storage = resolve, .context = s, .name = name};
    const struct bt_span rest = {s->bytes.data + s->at, s->bytes.size - s->at};
    size_t used;
    enum bertc_status status = bt_pickle_read(rest, &options, s->arena, out, &used, err);
    s->at += status ? 0 : used;
    return status;
}

static enum bertc_status read_preamble(struct stream *s, struct bertc_error *err)
{
    struct bt_pickle *number, *version, *system;
    enum bertc_status status;
    if ((status = next_pickle(s, "magic number", NULL, &number, err)) ||
        (status = next_pickle(s, "protocol version", NULL, &version, err)) ||
        (status = next_pickle(s, "system information", NULL, &system, err))) {
        return status;
    }
    if (number->kind != BT_PICKLE_BIGINT || number->size != sizeof magic || memcmp(number->text, magic, sizeof magic)) {
        return bt_error_set(err, BERTC_FORMAT, "its magic number is not that of torch.save");
    }
    if (version->kind != BT_PICKLE_INT || version->integer != PROTOCOL) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "its version of torch.save's format is not %d", PROTOCOL);
    }
    const struct bt_pickle *little = bt_pickle_get(system, "little_endian");
    if (little && little->kind == BT_PICKLE_BOOL && !little->boolean) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "its numbers are big-endian");
    }
    return BERTC_OK;
}

/* A storage is its number of elements, then these. */
static enum bertc_status locate(struct stream *s, const struct bt_pickle *key, struct bertc_error *err)
{
    size_t i;
    if (key->kind != BT_PICKLE_STRING || !bt_map_get(&s->keys, key->text, strlen(key->text), &i) ||
        s->storages[i].bytes.data) {
        return bt_error_set(err, BERTC_FORMAT, "the list of storages has one that no tensor uses, or has it twice");
    }
    struct storage *storage = &s->storages[i];
    const size_t size = (size_t)storage->numel * bt_dtype_size(storage->dtype);
    if (s->bytes.size - s->at < 8 || s->bytes.size - s->at - 8 < size) {
        return bt_error_set(err, BERTC_FORMAT, "the file ends inside storage \"%.100s\": truncated?", key->text);
    }
    const uint8_t *data = s->bytes.data + s->at;
    if (bt_le64(data) != (uint64_t)storage->numel) {
        return bt_error_set(err, BERTC_FORMAT, "storage \"%.100s\" has %llu elements where its tensors say %lld",
                            key->text, (unsigned long long)bt_le64(data), (long long)storage->numel);
    }
    data += 8;
    s->at += 8 + size;
    if ((uintptr_t)data % bt_dtype_size(storage->dtype) != 0 && !(data = bt_arena_copy(s->arena, data, size))) {
        return bt_error_memory(err);
    }
    storage->bytes = (struct bt_span){data, size};
    return BERTC_OK;
}

static enum bertc_status read_stream(struct stream *s, struct bt_pickle **out, struct bertc_error *err)
{
    struct bt_pickle *sizes, *keys;
    enum bertc_status status = read_preamble(s, err);
    const size_t object = s->at;
    if (status || (status = next_pickle(s, "saved object", note_storage, &sizes, err)) ||
        (status = next_pickle(s, "list of storages", NULL, &keys, err))) {
        return status;
    }
    if (keys->kind != BT_PICKLE_LIST) {
        return bt_error_set(err, BERTC_FORMAT, "it has no list of storages");
    }
    for (size_t i = 0; i < keys->size && !status; i++) {
        status = locate(s, keys->items[i], err);
    }
    s->at = object;
    return status ? status : next_pickle(s, "saved object", give_storage, out, err);
}

enum bertc_status bt_torch_legacy_read(struct bt_span bytes, struct bt_arena *arena, struct bt_pickle **out,
                                       struct bertc_error *err)
{
    struct stream stream = {.bytes = bytes, .arena = arena};
    return read_stream(&stream, out, err);
}
