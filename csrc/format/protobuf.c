/* protobuf.c: read the wire format of protocol buffers */
#include "format/protobuf.h"

#include "format/bytes.h"

struct bt_protobuf bt_protobuf_open(struct bt_span message)
{
    return (struct bt_protobuf){message.data, message.data + message.size, message.data};
}

struct bt_protobuf bt_protobuf_inner(const struct bt_protobuf *outer, struct bt_span message)
{
    return (struct bt_protobuf){message.data, message.data + message.size, outer->file};
}

bool bt_protobuf_varint(struct bt_span *packed, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < packed->size && i < 10; i++) {
        const uint64_t bits = packed->data[i] & 0x7f;
        if (i == 9 && bits > 1) {
            return false;
        }
        value |= bits << 7 * i;
        if (!(packed->data[i] & 0x80)) {
            packed->data += i + 1;
            packed->size -= i + 1;
            *out = value;
            return true;
        }
    }
    return false;
}

static enum bertc_status damaged(const struct bt_protobuf *m, const char *what, struct bertc_error *err)
{
    return bt_error_set(err, BERTC_FORMAT, "byte %zu: %s", (size_t)(m->at - m->file), what);
}

static enum bertc_status read_varint(struct bt_protobuf *m, uint64_t *out, struct bertc_error *err)
{
    struct bt_span rest = {m->at, (size_t)(m->end - m->at)};
    if (!bt_protobuf_varint(&rest, out)) {
        return damaged(m, "a number does not end within its message: truncated?", err);
    }
    m->at = rest.data;
    return BERTC_OK;
}

static enum bertc_status read_bytes(struct bt_protobuf *m, uint64_t size, struct bt_span *out, struct bertc_error *err)
{
    const size_t left = (size_t)(m->end - m->at);
    if (size > left) {
        return bt_error_set(err, BERTC_FORMAT,
                            "byte %zu: a field of %llu bytes, but its message has %zu left: truncated?",
                            (size_t)(m->at - m->file), (unsigned long long)size, left);
    }
    *out = (struct bt_span){m->at, (size_t)size};
    m->at += size;
    return BERTC_OK;
}

enum bertc_status bt_protobuf_next(struct bt_protobuf *m, struct bt_protobuf_field *out, bool *more,
                                   struct bertc_error *err)
{
    uint64_t tag;
    *out = (struct bt_protobuf_field){0};
    *more = m->at < m->end;
    enum bertc_status status = BERTC_OK;
    if (!*more || (status = read_varint(m, &tag, err))) {
        return status;
    }
    if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff) {
        return damaged(m, "a field has a number that none can have", err);
    }
    out->number = (uint32_t)(tag >> 3);
    out->wire = (enum bt_wire)(tag & 7);
    switch (out->wire) {
    case BT_WIRE_VARINT: return read_varint(m, &out->value, err);
    case BT_WIRE_BYTES:
        status = read_varint(m, &out->value, err);
        return status ? status : read_bytes(m, out->value, &out->bytes, err);
    case BT_WIRE_FIXED64:
        status = read_bytes(m, 8, &out->bytes, err);
        out->value = status ? 0 : bt_le64(out->bytes.data);
        return status;
    case BT_WIRE_FIXED32:
        status = read_bytes(m, 4, &out->bytes, err);
        out->value = status ? 0 : bt_le32(out->bytes.data);
        return status;
    }
    return damaged(m, "a field is of an unknown kind", err);
}

enum bertc_status bt_protobuf_expect(const struct bt_protobuf *m, const struct bt_protobuf_field *field,
                                     enum bt_wire wire, struct bertc_error *err)
{
    static const char *const kinds[] = {"an integer", "8 bytes", "text, a list or a message", "", "", "4 bytes"};
    if (field->wire == wire) {
        return BERTC_OK;
    }
    return bt_error_set(err, BERTC_FORMAT, "field %u, which ends at byte %zu, is %s, expected %s", field->number,
                        (size_t)(m->at - m->file), kinds[field->wire], kinds[wire]);
}
