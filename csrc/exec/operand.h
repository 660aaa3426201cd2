/* operand.h: checks of operands that several steps share, and their single items */
#ifndef BT_EXEC_OPERAND_H
#define BT_EXEC_OPERAND_H

#include <stdbool.h>
#include <stdint.h>

#include "exec/step.h"

/* Whether the first nargs arguments, where they are tensors, and the first result are all float32 or all float64. Else
 * BERTC_UNSUPPORTED, with the op and the dtype. */
enum bertc_status bt_operand_float(const struct bt_step *step, int nargs, struct bertc_error *err);

/* Whether every value lies in [0, size), or in [-size, size) when negative values count from the end. Else BERTC_INPUT:
 * "input_ids[0, 3] = 30523 is outside the embedding table of 30522 rows", where `table` is "embedding table". Another
 * dtype than int64 or int32 is BERTC_UNSUPPORTED. */
enum bertc_status bt_operand_indices(const struct bt_step *step, const struct bt_run *run, const struct bt_ref *ref,
                                     int64_t size, bool wrap, const char *table, struct bertc_error *err);

/* The index `offset` items from data; dtype is int64 or int32. */
static inline int64_t bt_operand_index(enum bt_dtype dtype, const void *data, int64_t offset)
{
    return dtype == BT_I64 ? ((const int64_t *)data)[offset] : ((const int32_t *)data)[offset];
}

/* One item of a float32 or float64 operand. */
static inline double bt_operand_real(enum bt_dtype dtype, const void *data, int64_t offset)
{
    return dtype == BT_F32 ? (double)((const float *)data)[offset] : ((const double *)data)[offset];
}

static inline void bt_operand_set_real(enum bt_dtype dtype, void *data, int64_t offset, double value)
{
    if (dtype == BT_F32) {
        ((float *)data)[offset] = (float)value;
    } else {
        ((double *)data)[offset] = value;
    }
}

#endif
