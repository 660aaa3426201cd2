/* argument.h: arguments of a model as its file gives them: traced inputs from pickles, defaults from code */
#ifndef BT_LOAD_ARGUMENT_H
#define BT_LOAD_ARGUMENT_H

#include "base/memory.h"
#include "bertc.h"
#include "format/pickle.h"
#include "format/tscode.h"

/* Both write into the arena; strings and tensor data are borrowed. False: the value is of no kind that a caller could
 * pass (an object, an expression), or memory ran out. */
bool bt_argument_from_pickle(const struct bt_pickle *p, struct bt_arena *arena, struct bertc_value *out);
bool bt_argument_from_literal(const struct bt_ts_expr *e, struct bt_arena *arena, struct bertc_value *out);

#endif
