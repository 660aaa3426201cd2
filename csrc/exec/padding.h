/* padding.h: how many tokens of each sequence of a call are read by anything; the rest are padding */
#ifndef BT_EXEC_PADDING_H
#define BT_EXEC_PADDING_H

#include "base/error.h"
#include "exec/step.h"
#include "exec/tokens.h"

/* counts[i]: the tokens of sequence i without the last ones, as far as no reader reads them. `padded` and `run` are of
 * the padded part, which has run. */
enum bertc_status bt_padding_count(const struct bt_tokens *tokens, const struct bt_graph *graph,
                                   const struct bt_ref *padded, const struct bt_run *run, int64_t items, int64_t length,
                                   int64_t *counts, struct bertc_error *err);

#endif
