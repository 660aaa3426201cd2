/* legacy.h: archives of torch 1.0 to 1.2: model.json describes the modules, tensors/N hold the numbers */
#ifndef BT_LOAD_LEGACY_H
#define BT_LOAD_LEGACY_H

#include "load/archive.h"
#include "load/script.h"

/* Makes of model.json what newer archives have: the tree of objects as script->root, the tensors as script->constants,
 * a class for each module. The script has its code already. */
enum bertc_status bt_legacy_read(struct bt_archive *archive, struct bt_script *script, struct bertc_error *err);

/* Frees position ids from the traced sequence length (legacy_arange.c). Tracing with torch <= 1.2 made a constant of
 * the length in arange(n).unsqueeze(0).expand_as(y). As expand_as lets only n = size(y, -1) pass (or n = 1, of no use
 * there), n is replaced by torch.size(y, -1), where y is known at that place. */
enum bertc_status bt_legacy_free_length(struct bt_ts_function *f, struct bt_arena *arena, struct bertc_error *err);

#endif
