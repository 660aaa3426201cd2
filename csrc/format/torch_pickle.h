/* torch_pickle.h: the names that a torch pickle may refer to, and the values that calling them makes */
#ifndef BT_FORMAT_TORCH_PICKLE_H
#define BT_FORMAT_TORCH_PICKLE_H

#include "format/pickle.h"

/* `name` is "module name", as in BT_PICKLE_GLOBAL. */

/* A class of serialised TorchScript code: its instances are plain attribute dictionaries. */
bool bt_torch_pickle_is_class(const char *name);

/* BERTC_OK when a pickle may refer to it, else BERTC_UNSUPPORTED with advice. */
enum bertc_status bt_torch_pickle_check(const char *name, struct bertc_error *err);

/* What calling `name` with this tuple gives: *value is a fresh value to fill, or is set to one of the arguments. */
enum bertc_status bt_torch_pickle_call(const char *name, const struct bt_pickle *args, struct bt_pickle **value,
                                       struct bertc_error *err);

/* Completes a tensor whose rank, dims and strides are set (none negative): its dtype, and its data at `offset` elements
 * into the storage. BERTC_FORMAT when an element would lie outside of that. */
enum bertc_status bt_torch_pickle_view(const struct bt_storage *storage, int64_t offset, struct bt_tensor *tensor,
                                       struct bertc_error *err);

/* Makes `value` the storage that a persistent id stands for. */
enum bertc_status bt_torch_pickle_storage(const struct bt_pickle *id, const struct bt_pickle_options *options,
                                          struct bt_pickle *value, struct bertc_error *err);

#endif
