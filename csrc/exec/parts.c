/* parts.c: sequences of different lengths shared out to parts of about as many tokens each */
#include "exec/parts.h"

#include <stdlib.h>

#include "base/memory.h"

struct entry {
    int64_t item, length, part, part_tokens;
};

/* The longest first; equal ones in the order of the batch. */
static int by_length(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->length != y->length) {
        return x->length > y->length ? -1 : 1;
    }
    return x->item < y->item ? -1 : 1;
}

/* Large parts first: small ones even out when threads end. */
static int by_part(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->part_tokens != y->part_tokens) {
        return x->part_tokens > y->part_tokens ? -1 : 1;
    }
    if (x->part != y->part) {
        return x->part < y->part ? -1 : 1;
    }
    return x->item < y->item ? -1 : 1;
}

/* heap[0] is the part with the fewest tokens; after it got more, it sinks. */
static void sink(int64_t *heap, const int64_t *tokens, int64_t count)
{
    int64_t at = 0;
    for (;;) {
        int64_t least = at;
        for (int64_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++) {
            if (tokens[heap[child]] < tokens[heap[least]]) {
                least = child;
            }
        }
        if (least == at) {
            return;
        }
        const int64_t part = heap[at];
        heap[at] = heap[least];
        heap[least] = part;
        at = least;
    }
}

static void share_out(struct entry *entries, int64_t items, int64_t *heap, struct bt_parts *parts)
{
    for (int64_t k = 0; k < parts->count; k++) {
        heap[k] = k;
    }
    qsort(entries, (size_t)items, sizeof *entries, by_length);
    for (int64_t i = 0; i < items; i++) {
        entries[i].part = heap[0];
        parts->tokens[heap[0]] += entries[i].length;
        sink(heap, parts->tokens, parts->count);
    }
    for (int64_t i = 0; i < items; i++) {
        entries[i].part_tokens = parts->tokens[entries[i].part];
    }
    qsort(entries, (size_t)items, sizeof *entries, by_part);
}

static void line_up(const struct entry *entries, int64_t items, struct bt_parts *parts)
{
    int64_t at = 0;
    for (int64_t k = 0; k < parts->count; k++) {
        const int64_t part = at < items ? entries[at].part : -1;
        int64_t start = 0;
        parts->begin[k] = at;
        for (; at < items && entries[at].part == part; at++) {
            parts->sequences[at] =
                (struct bt_sequence){.item = entries[at].item, .start = start, .count = entries[at].length};
            start += entries[at].length;
        }
        parts->tokens[k] = start;
    }
    parts->begin[parts->count] = items;
}

enum bertc_status bt_parts_new(const int64_t *lengths, int64_t items, int64_t count, struct bt_parts *parts,
                               struct bertc_error *err)
{
    struct entry *entries = bt_alloc((size_t)items, sizeof *entries);
    int64_t *heap = bt_alloc((size_t)count, sizeof *heap);
    *parts = (struct bt_parts){.sequences = bt_alloc((size_t)items, sizeof *parts->sequences),
                               .begin = bt_calloc((size_t)count + 1, sizeof *parts->begin),
                               .tokens = bt_calloc((size_t)count, sizeof *parts->tokens),
                               .count = count};
    const bool made = entries && heap && parts->sequences && parts->begin && parts->tokens;
    if (made) {
        for (int64_t i = 0; i < items; i++) {
            entries[i] = (struct entry){.item = i, .length = lengths[i]};
        }
        share_out(entries, items, heap, parts);
        line_up(entries, items, parts);
    } else {
        bt_parts_free(parts);
    }
    bt_free(entries);
    bt_free(heap);
    return made ? BERTC_OK : bt_error_memory(err);
}

void bt_parts_free(struct bt_parts *parts)
{
    bt_free(parts->sequences);
    bt_free(parts->begin);
    bt_free(parts->tokens);
    *parts = (struct bt_parts){0};
}
