/* torch_legacy.h: the stream that torch.save wrote before 1.6, and writes when told to: pickles, then raw storages
 * Format: _legacy_save of torch/serialization.py. */
#ifndef BT_FORMAT_TORCH_LEGACY_H
#define BT_FORMAT_TORCH_LEGACY_H

#include "format/pickle.h"

bool bt_torch_legacy_probe(struct bt_span bytes);

/* The object that was saved. Its tensors are views of `bytes`; a storage misaligned for its dtype is copied into
 * the arena, once. Bytes behind the last storage are ignored, as torch does. */
enum bertc_status bt_torch_legacy_read(struct bt_span bytes, struct bt_arena *arena, struct bt_pickle **out,
                                       struct bertc_error *err);

#endif
