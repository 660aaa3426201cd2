/* onnx_wire.c: read the fields of an ONNX file's messages: each of the kind that onnx.proto gives it */
#include <string.h>

#include "load/onnx_model.h"

#define MAX_ITEMS (1 << 20) /* of any list: more than any model has, and a bound for hostile files */

enum bertc_status bt_onnx_read_fields(struct bt_onnx_reader *r, struct bt_protobuf message, bt_onnx_field *field,
                                      void *out)
{
    for (;;) {
        struct bt_protobuf_field f;
        bool more;
        enum bertc_status status = bt_protobuf_next(&message, &f, &more, r->err);
        if (status || !more || (status = field(r, &message, &f, out))) {
            return status;
        }
    }
}

enum bertc_status bt_onnx_read_message(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                       const struct bt_protobuf_field *f, bt_onnx_field *field, void *out)
{
    enum bertc_status status = bt_protobuf_expect(m, f, BT_WIRE_BYTES, r->err);
    return status ? status : bt_onnx_read_fields(r, bt_protobuf_inner(m, f->bytes), field, out);
}

enum bertc_status bt_onnx_read_text(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                    const struct bt_protobuf_field *f, const char **out)
{
    enum bertc_status status = bt_protobuf_expect(m, f, BT_WIRE_BYTES, r->err);
    const char *text = status ? NULL : bt_arena_string(r->arena, (const char *)f->bytes.data, f->bytes.size);
    *out = text ? text : *out;
    return status || text ? status : bt_error_memory(r->err);
}

enum bertc_status bt_onnx_read_integer(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                       const struct bt_protobuf_field *f, int64_t *out)
{
    *out = (int64_t)f->value;
    return bt_protobuf_expect(m, f, BT_WIRE_VARINT, r->err);
}

static float float_of(const uint8_t *bytes)
{
    float f;
    memcpy(&f, bytes, sizeof f);
    return f;
}

enum bertc_status bt_onnx_read_float(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, double *out)
{
    enum bertc_status status = bt_protobuf_expect(m, f, BT_WIRE_FIXED32, r->err);
    if (!status) {
        *out = (double)float_of(f->bytes.data);
    }
    return status;
}

enum bertc_status bt_onnx_grow(struct bt_onnx_reader *r, void *items, size_t *count, size_t *cap, size_t size)
{
    if (*count >= MAX_ITEMS) {
        return bt_error_set(r->err, BERTC_UNSUPPORTED, "a list of more than %d items", MAX_ITEMS);
    }
    if (!bt_arena_reserve(r->arena, items, cap, *count + 1, size)) {
        return bt_error_memory(r->err);
    }
    ++*count;
    return BERTC_OK;
}

static enum bertc_status append_integer(struct bt_onnx_reader *r, uint64_t value, struct bt_onnx_integers *list)
{
    if (!bt_arena_reserve(r->arena, &list->items, &list->cap, list->count + 1, sizeof *list->items)) {
        return bt_error_memory(r->err);
    }
    list->items[list->count++] = (int64_t)value;
    return BERTC_OK;
}

enum bertc_status bt_onnx_read_integers(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                        const struct bt_protobuf_field *f, struct bt_onnx_integers *list)
{
    struct bt_span packed = f->bytes;
    uint64_t value;
    if (f->wire == BT_WIRE_VARINT) {
        return append_integer(r, f->value, list);
    }
    enum bertc_status status = bt_protobuf_expect(m, f, BT_WIRE_BYTES, r->err);
    while (!status && packed.size > 0) {
        if (!bt_protobuf_varint(&packed, &value)) {
            return bt_error_set(r->err, BERTC_FORMAT, "a list of integers ends within one");
        }
        status = append_integer(r, value, list);
    }
    return status;
}

enum bertc_status bt_onnx_read_packed(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                      const struct bt_protobuf_field *f, enum bt_wire wire, struct bt_onnx_bytes *list)
{
    const size_t size = wire == BT_WIRE_FIXED64 ? 8 : 4;
    enum bertc_status status = f->wire == wire ? BERTC_OK : bt_protobuf_expect(m, f, BT_WIRE_BYTES, r->err);
    if (status) {
        return status;
    }
    if (f->bytes.size % size != 0) {
        return bt_error_set(r->err, BERTC_FORMAT, "a list of floats ends within one");
    }
    if (!bt_arena_reserve(r->arena, &list->data, &list->cap, list->size + f->bytes.size, 1)) {
        return bt_error_memory(r->err);
    }
    if (f->bytes.size > 0) {
        memcpy(list->data + list->size, f->bytes.data, f->bytes.size);
    }
    list->size += f->bytes.size;
    return BERTC_OK;
}

double bt_onnx_float_at(const struct bt_onnx_bytes *list, size_t i)
{
    return (double)float_of(list->data + i * sizeof(float));
}
