/* pickle_reader.h: the state of reading one pickle: input, stack, memo */
#ifndef BT_FORMAT_PICKLE_READER_H
#define BT_FORMAT_PICKLE_READER_H

#include "format/pickle.h"

struct bt_pickle_node {
    struct bt_pickle value; /* first: users of the tree see only this */
    size_t cap;             /* of value.items, while it grows */
    bool open;              /* on the path of the walk that checks the finished tree */
    size_t height;
    uint64_t unfolded; /* values below, counting shared ones each time; 0: not visited yet */
};

struct bt_pickle_reader {
    const uint8_t *data;
    size_t size, at;
    const struct bt_pickle_options *options;
    struct bt_arena *arena;   /* of the tree */
    struct bt_arena scratch;  /* of stack and memo */
    struct bt_pickle **stack; /* NULL = a mark */
    size_t stack_size, stack_cap;
    struct bt_pickle **memo; /* NULL = never put */
    size_t memo_size, memo_cap, memo_puts;
    size_t value_count;
    struct bt_pickle *none, *booleans[2];
    struct bt_pickle *result; /* set by STOP */
    struct bertc_error *err;
};

/* All of these report through r->err. */
enum bertc_status bt_pickle_fail(struct bt_pickle_reader *r, const char *what); /* BERTC_FORMAT */
enum bertc_status bt_pickle_new(struct bt_pickle_reader *r, enum bt_pickle_kind kind, struct bt_pickle **out);
enum bertc_status bt_pickle_push(struct bt_pickle_reader *r, struct bt_pickle *value);
enum bertc_status bt_pickle_push_new(struct bt_pickle_reader *r, enum bt_pickle_kind kind, struct bt_pickle **out);
enum bertc_status bt_pickle_pop(struct bt_pickle_reader *r, struct bt_pickle **out);
enum bertc_status bt_pickle_peek(struct bt_pickle_reader *r, struct bt_pickle **out);
/* Takes `count` values from the stack, or those above the topmost mark (and the mark) when it is 0. *items stay valid
 * until the next push. */
enum bertc_status bt_pickle_pop_items(struct bt_pickle_reader *r, size_t count, struct bt_pickle ***items,
                                      size_t *out_count);
/* Adds items to a list, tuple, dict or object. */
enum bertc_status bt_pickle_append(struct bt_pickle_reader *r, struct bt_pickle *container,
                                   struct bt_pickle *const *items, size_t count);

enum bertc_status bt_pickle_take(struct bt_pickle_reader *r, size_t size, const uint8_t **out);
/* A little-endian unsigned number of 1 to 8 bytes. */
enum bertc_status bt_pickle_take_number(struct bt_pickle_reader *r, size_t width, uint64_t *out);
/* Bytes preceded by their number, which has `width` bytes. */
enum bertc_status bt_pickle_take_counted(struct bt_pickle_reader *r, size_t width, struct bt_span *out);

/* Runs the next opcode. */
enum bertc_status bt_pickle_step(struct bt_pickle_reader *r);

#endif
