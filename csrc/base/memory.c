/* memory.c: checked, aligned allocation, and arenas that are freed as one */
#include "base/memory.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_ALIGN 16
#define ARENA_FIRST_BLOCK ((size_t)4096)
#define ARENA_LARGEST_BLOCK ((size_t)1 << 20) /* blocks stop growing here; a larger object gets a block of its size */

struct bt_block {
    struct bt_block *next;
    size_t cap; /* bytes after this header */
    _Alignas(ARENA_ALIGN) unsigned char data[];
};

static atomic_long allocations_until_failure; /* 0 = never fail */

void bt_alloc_fail_at(long n)
{
    atomic_store(&allocations_until_failure, n);
}

static bool told_to_fail(void)
{
    long left = atomic_load_explicit(&allocations_until_failure, memory_order_relaxed);
    while (left > 0) {
        if (atomic_compare_exchange_weak(&allocations_until_failure, &left, left - 1)) {
            return left == 1;
        }
    }
    return false;
}

bool bt_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool bt_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

bool bt_mul_i64(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool bt_add_i64(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

void *bt_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (!bt_mul_size(count, size, &bytes) || bytes > SIZE_MAX - BT_ALIGN || told_to_fail()) {
        return NULL;
    }
    size_t rounded = (bytes + BT_ALIGN - 1) / BT_ALIGN * BT_ALIGN;
    return aligned_alloc(BT_ALIGN, rounded ? rounded : BT_ALIGN);
}

void *bt_alloc_huge(size_t size)
{
    if (size > SIZE_MAX - BT_HUGE_PAGE || told_to_fail()) {
        return NULL;
    }
    size_t rounded = (size + BT_HUGE_PAGE - 1) / BT_HUGE_PAGE * BT_HUGE_PAGE;
    void *p = aligned_alloc(BT_HUGE_PAGE, rounded ? rounded : BT_HUGE_PAGE);
#if defined(MADV_HUGEPAGE)
    if (p) {
        madvise(p, rounded, MADV_HUGEPAGE); /* where the system has none, ordinary pages do */
    }
#endif
    return p;
}

void *bt_calloc(size_t count, size_t size)
{
    void *p = bt_alloc(count, size);
    if (p) {
        memset(p, 0, count * size);
    }
    return p;
}

void bt_free(void *p)
{
    free(p);
}

static size_t block_size(const struct bt_arena *arena, size_t bytes)
{
    size_t size = arena->total < ARENA_FIRST_BLOCK ? ARENA_FIRST_BLOCK : arena->total;
    if (size > ARENA_LARGEST_BLOCK) {
        size = ARENA_LARGEST_BLOCK;
    }
    return size < bytes ? bytes : size;
}

void *bt_arena_alloc(struct bt_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (!bt_mul_size(count, size, &bytes) || bytes > SIZE_MAX / 2) {
        return NULL;
    }
    bytes = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (!arena->head || bytes > arena->head->cap - arena->used) {
        size_t cap = block_size(arena, bytes);
        struct bt_block *block = bt_alloc(1, sizeof *block + cap);
        if (!block) {
            return NULL;
        }
        block->next = arena->head;
        block->cap = cap;
        arena->head = block;
        arena->used = 0;
        arena->total += cap;
    }
    void *p = arena->head->data + arena->used;
    arena->used += bytes;
    return memset(p, 0, bytes);
}

void *bt_arena_copy(struct bt_arena *arena, const void *data, size_t size)
{
    void *p = bt_arena_alloc(arena, 1, size);
    if (p && size) {
        memcpy(p, data, size);
    }
    return p;
}

char *bt_arena_string(struct bt_arena *arena, const char *text, size_t size)
{
    size_t bytes;
    char *p = bt_add_size(size, 1, &bytes) ? bt_arena_alloc(arena, 1, bytes) : NULL;
    if (p && size) {
        memcpy(p, text, size);
    }
    return p;
}

char *bt_arena_printf(struct bt_arena *arena, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int size = vsnprintf(NULL, 0, fmt, args);
    va_end(args);

    char *text = size < 0 ? NULL : bt_arena_alloc(arena, 1, (size_t)size + 1);
    if (text) {
        va_start(args, fmt);
        vsnprintf(text, (size_t)size + 1, fmt, args);
        va_end(args);
    }
    return text;
}

void bt_arena_free(struct bt_arena *arena)
{
    for (struct bt_block *block = arena->head; block;) {
        struct bt_block *next = block->next;
        bt_free(block);
        block = next;
    }
    *arena = (struct bt_arena){0};
}

bool bt_arena_reserve(struct bt_arena *arena, void *items, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap) {
        return true;
    }
    size_t grown = *cap < 8 ? 8 : *cap;
    while (grown < need) {
        if (!bt_mul_size(grown, 2, &grown)) {
            return false;
        }
    }
    void *fresh = bt_arena_alloc(arena, grown, size);
    if (!fresh) {
        return false;
    }
    void *old; /* `items` is a T **: read and written as bytes, whatever T is */
    memcpy(&old, items, sizeof old);
    if (*cap) {
        memcpy(fresh, old, *cap * size);
    }
    memcpy(items, &fresh, sizeof fresh);
    *cap = grown;
    return true;
}
