/* iter.h: walk one index space over several strided operands */
#ifndef BT_EXEC_ITER_H
#define BT_EXEC_ITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/tensor.h"

#define BT_ITER_OPERANDS (BT_MAX_RANK + 2) /* one index a dim, what they select from, and the result */

struct bt_iter {
    int rank;
    int operands;
    int64_t dims[BT_MAX_RANK];
    int64_t strides[BT_ITER_OPERANDS][BT_MAX_RANK];
    int64_t index[BT_MAX_RANK];
    int64_t offset[BT_ITER_OPERANDS]; /* elements from the operand's first, at the present index */
};

/* The space, without operands, at its first index. */
void bt_iter_init(struct bt_iter *it, int rank, const int64_t *dims);
/* Adds an operand (strides of `rank` items, any sign) and returns its number: 0, 1, ... */
int bt_iter_add(struct bt_iter *it, const int64_t *strides);
/* Drops dims of size 1 and merges neighbours that every operand walks evenly. Order of visits and offsets stay. */
void bt_iter_merge(struct bt_iter *it);
/* Merges, then takes the last dim out of the space: returns its size and writes its stride for each operand. */
int64_t bt_iter_take_run(struct bt_iter *it, int64_t *strides);
int64_t bt_iter_count(const struct bt_iter *it);
/* Goes to the position-th index in row-major order; position < count. */
void bt_iter_seek(struct bt_iter *it, int64_t position);
void bt_iter_next(struct bt_iter *it);

/* Strides that spread a tensor over `dims` by broadcasting, aligned at the last dim. False when it does not fit. */
bool bt_iter_broadcast(int rank, const int64_t *dims, const int64_t *strides, int out_rank, const int64_t *out_dims,
                       int64_t *out_strides);

#endif
