/* safetensors.h: the safetensors container: an 8-byte length, a JSON header, raw little-endian data */
#ifndef BT_FORMAT_SAFETENSORS_H
#define BT_FORMAT_SAFETENSORS_H

#include <stdbool.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/tensor.h"

struct bt_named_tensor {
    const char *name;
    struct bt_tensor tensor;
};

bool bt_safetensors_probe(struct bt_span bytes);

/* Entries in the order of their data. Refuses (BERTC_FORMAT): header beyond the file, over 100 MB, not an object;
 * offsets that leave the file, overlap, leave gaps, or do not match shape and dtype. Data is a view of `bytes`, copied
 * into the arena only when misaligned for its dtype. */
enum bertc_status bt_safetensors_read(struct bt_span bytes, struct bt_arena *arena, struct bt_named_tensor **out,
                                      size_t *count, struct bertc_error *err);

#endif
