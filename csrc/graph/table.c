/* table.c: open addressing with linear probing; ids are never removed */
#include "graph/table.h"

#include <string.h>

uint32_t bt_hash(uint32_t hash, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * 16777619u;
    }
    return hash;
}

int32_t bt_table_find(const struct bt_table *table, uint32_t hash, bt_table_equal_fn *equal, const void *context)
{
    if (table->size == 0) {
        return -1;
    }
    size_t mask = table->size - 1;
    for (size_t at = hash & mask; table->slots[at].id != 0; at = (at + 1) & mask) {
        if (table->slots[at].hash == hash && equal(context, table->slots[at].id - 1)) {
            return table->slots[at].id - 1;
        }
    }
    return -1;
}

static void insert(struct bt_table_slot *slots, size_t size, struct bt_table_slot slot)
{
    size_t at = slot.hash & (size - 1);
    while (slots[at].id != 0) {
        at = (at + 1) & (size - 1);
    }
    slots[at] = slot;
}

bool bt_table_add(struct bt_table *table, struct bt_arena *arena, uint32_t hash, int32_t id)
{
    if (table->count * 2 >= table->size) {
        size_t size = table->size ? table->size * 2 : 64;
        struct bt_table_slot *slots = bt_arena_alloc(arena, size, sizeof(*slots));
        if (!slots) {
            return false;
        }
        for (size_t i = 0; i < table->size; i++) {
            if (table->slots[i].id != 0) {
                insert(slots, size, table->slots[i]);
            }
        }
        table->slots = slots;
        table->size = size;
    }
    insert(table->slots, table->size, (struct bt_table_slot){hash, id + 1});
    table->count++;
    return true;
}
