/* npy.h: NumPy's .npy format: a magic, a version, a header that is a Python dict, then the array's bytes
 * Format: numpy/lib/format.py, versions 1.0 to 3.0. */
#ifndef BT_FORMAT_NPY_H
#define BT_FORMAT_NPY_H

#include <stdbool.h>

#include "base/error.h"
#include "base/file.h"
#include "base/tensor.h"

bool bt_npy_probe(struct bt_span bytes);

/* The array as a view of `bytes`, which it must fill to the end; its data may be misaligned. BERTC_FORMAT:
 * damaged; BERTC_UNSUPPORTED: an array of what no weight is (Python objects, text, complex numbers, records), or of
 * big-endian numbers. */
enum bertc_status bt_npy_read(struct bt_span bytes, struct bt_tensor *out, struct bertc_error *err);

#endif
