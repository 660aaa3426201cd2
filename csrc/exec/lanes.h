/* lanes.h: tensors of any dtype and strides as runs of float, double or int64 items */
#ifndef BT_EXEC_LANES_H
#define BT_EXEC_LANES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/tensor.h"

/* What a step computes in. RAW keeps items as they are, whatever their dtype. */
enum bt_lane { BT_LANE_F32, BT_LANE_F64, BT_LANE_I64, BT_LANE_RAW };

/* Steps work on blocks of up to this many items, in buffers on the stack. */
enum { BT_LANES = 1024 };

union bt_lane_block {
    float f32[BT_LANES];
    double f64[BT_LANES];
    int64_t i64[BT_LANES];
};

/* The lane that holds every item of the dtype exactly: float for the half precisions, int64 for integers and bool. */
enum bt_lane bt_lane_of(enum bt_dtype dtype);
/* The dtype of the lane's items; not for RAW. */
enum bt_dtype bt_lane_dtype(enum bt_lane lane);

/* Writes n lanes as contiguous items. A float becomes an integer by truncation, and INT64_MIN when it is NaN or out of
 * int64's range; narrower integers keep the low bits; bool is "not zero". bfloat16 cannot be written. */
void bt_lanes_store(enum bt_lane lane, const void *lanes, enum bt_dtype dtype, void *items, int64_t n);

/* Loads n items that lie `stride` bytes apart; no alignment is assumed. */
typedef void bt_load_fn(const char *items, int64_t stride, void *lanes, int64_t n);

/* A tensor read in row-major order. Immutable: threads may share it. */
struct bt_reader {
    const char *data;
    int rank;                     /* of the dims left after merging, at least 1 */
    int64_t dims[BT_MAX_RANK];    /* innermost first */
    int64_t strides[BT_MAX_RANK]; /* bytes */
    int64_t item_size, lane_size;
    bt_load_fn *load;
    bool direct; /* items are lanes already */
};

void bt_reader_init(struct bt_reader *reader, enum bt_lane lane, enum bt_dtype dtype, int rank, const int64_t *dims,
                    const int64_t *strides, const void *data);
/* Items [begin, begin + n), which must exist: an address within the tensor if they lie there as lanes, else `buffer`,
 * into which they are loaded. */
const void *bt_reader_read(const struct bt_reader *reader, int64_t begin, int64_t n, void *buffer);
/* Whether all items of each block [i * block, (i + 1) * block) are one and the same. */
bool bt_reader_uniform(const struct bt_reader *reader, int64_t block);

#endif
