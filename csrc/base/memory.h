/* memory.h: checked, aligned allocation, and arenas that are freed as one */
#ifndef BT_BASE_MEMORY_H
#define BT_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BT_ALIGN 64 /* a cache line, and the widest SIMD register */

/* count * size bytes, aligned to BT_ALIGN, not initialised. NULL when the product overflows or memory is out.
 * A zero product yields a valid pointer. Freed by bt_free. */
void *bt_alloc(size_t count, size_t size);
void *bt_calloc(size_t count, size_t size); /* the same, zeroed */
void bt_free(void *p);                      /* NULL is fine */

#define BT_HUGE_PAGE ((size_t)2 << 20)
/* The same for large blocks that are read all over again: aligned to huge pages, which the system is asked for. Freed
 * by bt_free. */
void *bt_alloc_huge(size_t size);

/* Makes the n-th allocation from now on fail (0 = never): the out-of-memory tests step n until all succeeds. */
void bt_alloc_fail_at(long n);

/* a * b into *out; false when it would overflow. */
bool bt_mul_size(size_t a, size_t b, size_t *out);
bool bt_add_size(size_t a, size_t b, size_t *out);
bool bt_mul_i64(int64_t a, int64_t b, int64_t *out);
bool bt_add_i64(int64_t a, int64_t b, int64_t *out);

struct bt_block;
/* Many small objects with one lifetime. Zero-initialise, then use; bt_arena_free releases everything. */
struct bt_arena {
    struct bt_block *head;
    size_t used; /* bytes used in head */
    size_t total; /* bytes held */
};

/* Zeroed memory aligned for any type (16 bytes), NULL when out of memory. */
void *bt_arena_alloc(struct bt_arena *arena, size_t count, size_t size);
void *bt_arena_copy(struct bt_arena *arena, const void *data, size_t size);
char *bt_arena_string(struct bt_arena *arena, const char *text, size_t size); /* copies and terminates */
char *bt_arena_printf(struct bt_arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void bt_arena_free(struct bt_arena *arena);

/* Grows *items (of `size` bytes each, capacity *cap) inside the arena so that index `need - 1` fits; new items are
 * zeroed. Old storage stays in the arena until it is freed. false when out of memory. */
bool bt_arena_reserve(struct bt_arena *arena, void *items, size_t *cap, size_t need, size_t size);

#endif
