/* map.h: byte strings -> indices, by open addressing; grows inside an arena */
#ifndef BT_BASE_MAP_H
#define BT_BASE_MAP_H

#include "base/memory.h"

struct bt_map_entry;
/* Zero-initialise, then use. Keys are borrowed. */
struct bt_map {
    struct bt_map_entry *entries;
    size_t cap, count;
};

/* Binds the key to value, also when it was bound before. false: out of memory. */
bool bt_map_put(struct bt_map *map, struct bt_arena *arena, const void *key, size_t size, size_t value);
bool bt_map_get(const struct bt_map *map, const void *key, size_t size, size_t *value);
void bt_map_clear(struct bt_map *map); /* forgets the keys, keeps the room */

#endif
