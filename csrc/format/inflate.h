/* inflate.h: raw deflate (RFC 1951) through zlib, into a buffer of the exact size */
#ifndef BT_FORMAT_INFLATE_H
#define BT_FORMAT_INFLATE_H

#include "base/error.h"
#include "base/file.h"

/* Fails with BERTC_FORMAT unless `in` holds one complete stream that fills `out` exactly. */
enum bertc_status bt_inflate(struct bt_span in, uint8_t *out, size_t size, struct bertc_error *err);

#endif
