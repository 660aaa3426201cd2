/* map.c: byte strings -> indices, by open addressing; grows inside an arena */
#include "base/map.h"

#include <string.h>

struct bt_map_entry {
    const void *key; /* NULL: free */
    size_t size, value;
    uint64_t hash;
};

/* FNV-1a */
static uint64_t hash_bytes(const void *key, size_t size)
{
    const uint8_t *bytes = key;
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * 1099511628211u;
    }
    return hash ^ hash >> 32;
}

/* The entry of the key, or the free one where it belongs; cap is a power of two with room left. */
static struct bt_map_entry *locate(struct bt_map_entry *entries, size_t cap, const void *key, size_t size,
                                   uint64_t hash)
{
    for (size_t i = (size_t)hash & (cap - 1);; i = (i + 1) & (cap - 1)) {
        struct bt_map_entry *e = &entries[i];
        if (!e->key || (e->hash == hash && e->size == size && !memcmp(e->key, key, size))) {
            return e;
        }
    }
}

static bool grow(struct bt_map *map, struct bt_arena *arena)
{
    size_t cap = map->cap ? map->cap * 2 : 16;
    struct bt_map_entry *entries = bt_arena_alloc(arena, cap, sizeof *entries);
    if (!entries) {
        return false;
    }
    for (size_t i = 0; i < map->cap; i++) {
        const struct bt_map_entry *e = &map->entries[i];
        if (e->key) {
            *locate(entries, cap, e->key, e->size, e->hash) = *e;
        }
    }
    map->entries = entries;
    map->cap = cap;
    return true;
}

bool bt_map_put(struct bt_map *map, struct bt_arena *arena, const void *key, size_t size, size_t value)
{
    if (map->count >= map->cap / 2 && !grow(map, arena)) {
        return false;
    }
    uint64_t hash = hash_bytes(key, size);
    struct bt_map_entry *e = locate(map->entries, map->cap, key, size, hash);
    map->count += !e->key;
    *e = (struct bt_map_entry){.key = key, .size = size, .value = value, .hash = hash};
    return true;
}

bool bt_map_get(const struct bt_map *map, const void *key, size_t size, size_t *value)
{
    if (!map->count) {
        return false;
    }
    const struct bt_map_entry *e = locate(map->entries, map->cap, key, size, hash_bytes(key, size));
    if (e->key) {
        *value = e->value;
    }
    return e->key != NULL;
}

void bt_map_clear(struct bt_map *map)
{
    if (map->cap) {
        memset(map->entries, 0, map->cap * sizeof *map->entries);
    }
    map->count = 0;
}
