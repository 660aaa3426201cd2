/* ragged.h: run a call on its real tokens: the padded part once, then parts of whole sequences */
#ifndef BT_EXEC_RAGGED_H
#define BT_EXEC_RAGGED_H

#include "exec/cache.h"

/* lengths: of the sequences, when outputs by token hold their rows one sequence behind the other; NULL when they are
 * padded, with zeros. A sequence of which more tokens are read than its length is BERTC_INPUT. */
enum bertc_status bt_ragged_run(struct bt_cache *cache, struct bt_planned *call, struct bt_weights *weights,
                                const struct bt_schedule_run *run, const int64_t *lengths, struct bertc_error *err);

#endif
