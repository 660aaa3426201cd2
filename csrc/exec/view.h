/* view.h: results that are their operand seen through other strides */
#ifndef BT_EXEC_VIEW_H
#define BT_EXEC_VIEW_H

#include <stdbool.h>

#include "exec/step.h"

enum bt_view { BT_VIEW_ALIAS, BT_VIEW_COPY, BT_VIEW_MISFIT };

/* For an op of kind view: places `out`, whose rank and dims are known, in the storage of args[0]. COPY: strides cannot
 * express it (a reshape of a permuted tensor). MISFIT: the arguments would leave the operand. */
enum bt_view bt_view_place(enum bt_op op, const struct bt_step_arg *args, struct bt_ref *out);

#endif
