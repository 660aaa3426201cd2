/* protobuf.h: the fields of a protocol-buffers message, one after another, within a bounded span
 * Format: the "Encoding" page of protobuf.dev. Groups, which proto3 does not have, are refused. */
#ifndef BT_FORMAT_PROTOBUF_H
#define BT_FORMAT_PROTOBUF_H

#include <stdbool.h>

#include "base/file.h"

enum bt_wire { BT_WIRE_VARINT = 0, BT_WIRE_FIXED64 = 1, BT_WIRE_BYTES = 2, BT_WIRE_FIXED32 = 5 };

struct bt_protobuf {
    const uint8_t *at, *end;
    const uint8_t *file; /* where the outermost message starts: messages name offsets from it */
};

struct bt_protobuf_field {
    uint32_t number;
    enum bt_wire wire;
    uint64_t value;       /* VARINT, FIXED32, FIXED64 */
    struct bt_span bytes; /* BYTES: a string, a message, packed numbers; of FIXED64 and FIXED32 the number itself */
};

struct bt_protobuf bt_protobuf_open(struct bt_span message);
/* The message that a field of `outer` holds. */
struct bt_protobuf bt_protobuf_inner(const struct bt_protobuf *outer, struct bt_span message);

/* Reads the next field, borrowed from the span; *more is false when there was none left. */
enum bertc_status bt_protobuf_next(struct bt_protobuf *message, struct bt_protobuf_field *out, bool *more,
                                   struct bertc_error *err);
/* Refuses a field that is of another kind than its message gives its number. */
enum bertc_status bt_protobuf_expect(const struct bt_protobuf *message, const struct bt_protobuf_field *field,
                                     enum bt_wire wire, struct bertc_error *err);
/* Takes a varint from the front of packed numbers; false: it does not end there, or exceeds 64 bits. */
bool bt_protobuf_varint(struct bt_span *packed, uint64_t *out);

#endif
