/* pickle_reader.c: the pickle machine's input, stack and new values */
#include "format/pickle_reader.h"

#include <string.h>

#define MAX_VALUES ((size_t)1 << 22) /* bounds what a hostile pickle can allocate; real ones have thousands */

enum bertc_status bt_pickle_fail(struct bt_pickle_reader *r, const char *what)
{
    return bt_error_set(r->err, BERTC_FORMAT, "%s", what);
}

enum bertc_status bt_pickle_new(struct bt_pickle_reader *r, enum bt_pickle_kind kind, struct bt_pickle **out)
{
    if (++r->value_count > MAX_VALUES) {
        return bt_pickle_fail(r, "too many values");
    }
    struct bt_pickle_node *node = bt_arena_alloc(r->arena, 1, sizeof *node);
    if (!node) {
        return bt_error_memory(r->err);
    }
    node->value.kind = kind;
    *out = &node->value;
    return BERTC_OK;
}

enum bertc_status bt_pickle_push(struct bt_pickle_reader *r, struct bt_pickle *value)
{
    if (!bt_arena_reserve(&r->scratch, &r->stack, &r->stack_cap, r->stack_size + 1, sizeof *r->stack)) {
        return bt_error_memory(r->err);
    }
    r->stack[r->stack_size++] = value;
    return BERTC_OK;
}

enum bertc_status bt_pickle_push_new(struct bt_pickle_reader *r, enum bt_pickle_kind kind, struct bt_pickle **out)
{
    enum bertc_status status = bt_pickle_new(r, kind, out);
    return status == BERTC_OK ? bt_pickle_push(r, *out) : status;
}

enum bertc_status bt_pickle_take(struct bt_pickle_reader *r, size_t size, const uint8_t **out)
{
    if (r->size - r->at < size) {
        return bt_pickle_fail(r, "the data ends inside the pickle: truncated?");
    }
    *out = r->data + r->at;
    r->at += size;
    return BERTC_OK;
}

enum bertc_status bt_pickle_take_number(struct bt_pickle_reader *r, size_t width, uint64_t *out)
{
    const uint8_t *p = NULL;
    enum bertc_status status = bt_pickle_take(r, width, &p);
    if (status != BERTC_OK) {
        return status;
    }
    *out = 0;
    for (size_t i = width; i > 0; i--) {
        *out = *out << 8 | p[i - 1];
    }
    return BERTC_OK;
}

enum bertc_status bt_pickle_take_counted(struct bt_pickle_reader *r, size_t width, struct bt_span *out)
{
    uint64_t size;
    enum bertc_status status = bt_pickle_take_number(r, width, &size);
    if (status != BERTC_OK) {
        return status;
    }
    out->size = size > SIZE_MAX ? SIZE_MAX : (size_t)size;
    return bt_pickle_take(r, out->size, &out->data);
}

enum bertc_status bt_pickle_pop_items(struct bt_pickle_reader *r, size_t count, struct bt_pickle ***items,
                                      size_t *out_count)
{
    size_t base = r->stack_size;
    while (base > 0 && r->stack[base - 1] && (count == 0 || r->stack_size - base < count)) {
        base--;
    }
    size_t found = r->stack_size - base;
    if (count == 0 ? base == 0 : found < count) {
        return bt_pickle_fail(r, count == 0 ? "an opcode finds no mark on the stack"
                                            : "an opcode finds too few values on the stack");
    }
    *items = r->stack + base;
    *out_count = found;
    r->stack_size = count == 0 ? base - 1 : base;
    return BERTC_OK;
}

enum bertc_status bt_pickle_pop(struct bt_pickle_reader *r, struct bt_pickle **out)
{
    struct bt_pickle **items;
    size_t count;
    enum bertc_status status = bt_pickle_pop_items(r, 1, &items, &count);
    if (status == BERTC_OK) {
        *out = items[0];
    }
    return status;
}

enum bertc_status bt_pickle_peek(struct bt_pickle_reader *r, struct bt_pickle **out)
{
    enum bertc_status status = bt_pickle_pop(r, out);
    r->stack_size += status == BERTC_OK ? 1 : 0;
    return status;
}

enum bertc_status bt_pickle_append(struct bt_pickle_reader *r, struct bt_pickle *container,
                                   struct bt_pickle *const *items, size_t count)
{
    struct bt_pickle_node *node = (struct bt_pickle_node *)container;
    if (container->kind == BT_PICKLE_DICT && count % 2 != 0) {
        return bt_pickle_fail(r, "a dict has a key without a value");
    }
    if (!bt_arena_reserve(r->arena, &container->items, &node->cap, container->size + count, sizeof *container->items)) {
        return bt_error_memory(r->err);
    }
    if (count > 0) {
        memcpy(container->items + container->size, items, count * sizeof *items);
    }
    container->size += count;
    return BERTC_OK;
}
