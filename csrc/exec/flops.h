/* flops.h: the arithmetic that a step cannot do without */
#ifndef BT_EXEC_FLOPS_H
#define BT_EXEC_FLOPS_H

#include "exec/step.h"

/* A multiply-add is 2. Only matrix products, attention and convolutions count: all else is bound by memory. Attention
 * counts as if every key were seen by every query. */
int64_t bt_step_flops(const struct bt_step *step);
/* Of the step in this run: of each sequence its own, where it runs once a sequence. */
int64_t bt_run_flops(const struct bt_step *step, const struct bt_run *run);

#endif
