/* fold.h: a tensor as [outer][length][inner], for steps that run along some of its dims */
#ifndef BT_EXEC_FOLD_H
#define BT_EXEC_FOLD_H

#include "exec/lanes.h"
#include "exec/step.h"

/* The dims a step runs along are one axis, `length`. The others keep their order: `inner` are those behind the last of
 * them, so that item (o, i) of a contiguous reduced result is number o * inner + i. */
struct bt_fold {
    struct bt_reader reader;
    int64_t outer, length, inner;
};

/* `along` has bit d set for each dim d to run along. */
void bt_fold_init(struct bt_fold *fold, const struct bt_ref *ref, const void *data, unsigned along, enum bt_lane lane);

/* n items that follow each other from (outer, position, inner) on. */
const void *bt_fold_read(const struct bt_fold *fold, int64_t outer, int64_t position, int64_t inner, int64_t n,
                         void *buffer);

/* Called for columns [inner, inner + n) of one outer index, n <= BT_LANES. */
typedef void bt_fold_fn(void *context, int64_t outer, int64_t inner, int64_t n);

void bt_fold_run(const struct bt_fold *fold, int threads, bt_fold_fn *fn, void *context);

#endif
