/* move.h: copy and fill items of any dtype between strided places */
#ifndef BT_EXEC_MOVE_H
#define BT_EXEC_MOVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/tensor.h"
#include "graph/expr.h"

/* One side of a copy; strides count items and may be 0 (source only) or negative. */
struct bt_side {
    void *data;
    const int64_t *strides;
};

/* Copies a block of items of `size` bytes (1, 2, 4 or 8); no alignment is assumed. The sides must not overlap. */
void bt_move_items(int threads, size_t size, int rank, const int64_t *dims, struct bt_side to, struct bt_side from);
/* The same for one dim. */
void bt_move_run(size_t size, int64_t n, void *to, int64_t to_stride, const void *from, int64_t from_stride);
/* Writes a number count times, every `stride` items, as bt_lanes_store converts it. */
void bt_move_fill(struct bt_scalar number, enum bt_dtype dtype, void *to, int64_t stride, int64_t count);

#endif
