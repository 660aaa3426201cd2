/* table.h: an open-addressing hash index from a hash to ids, grown in an arena */
#ifndef BT_GRAPH_TABLE_H
#define BT_GRAPH_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

struct bt_table_slot {
    uint32_t hash;
    int32_t id; /* id + 1; 0 = empty */
};

struct bt_table { /* zero-initialise */
    struct bt_table_slot *slots;
    size_t size; /* power of two */
    size_t count;
};

typedef bool bt_table_equal_fn(const void *context, int32_t id);

/* The first id with this hash for which equal(context, id) holds, or -1. */
int32_t bt_table_find(const struct bt_table *table, uint32_t hash, bt_table_equal_fn *equal, const void *context);
/* Adds an id that is not there yet; false when out of memory. */
bool bt_table_add(struct bt_table *table, struct bt_arena *arena, uint32_t hash, int32_t id);
/* FNV-1a over bytes, continuing from `hash`; start from BT_HASH_START. */
#define BT_HASH_START 2166136261u
uint32_t bt_hash(uint32_t hash, const void *data, size_t size);

#endif
