/* result.h: the structure of a call's result, with concrete shapes */
#ifndef BT_EXEC_RESULT_H
#define BT_EXEC_RESULT_H

#include "bertc.h"
#include "exec/schedule.h"

/* The graph's output tree as a value tree in `arena`; tensors are numbered depth first, as a plan's outputs are.
 * rows >= 0: outputs by token have so many rows in all, one sequence behind the other, instead of a batch. */
enum bertc_status bt_result_make(const struct bt_schedule *schedule, int64_t rows, struct bt_arena *arena,
                                 struct bertc_value *out, struct bertc_error *err);

#endif
