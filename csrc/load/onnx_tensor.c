/* onnx_tensor.c: a tensor of an ONNX file, whichever way its numbers are stored */
#include <string.h>

#include "load/onnx_model.h"

static const struct {
    const char *name; /* of onnx.proto */
    bool known;
    enum bt_dtype dtype;
} types[] = {
    {"undefined", false, BT_F32},
    {"float", true, BT_F32},
    {"uint8", true, BT_U8},
    {"int8", true, BT_I8},
    {"uint16", false, BT_F32},
    {"int16", true, BT_I16},
    {"int32", true, BT_I32},
    {"int64", true, BT_I64},
    {"string", false, BT_F32},
    {"bool", true, BT_BOOL},
    {"float16", true, BT_F16},
    {"double", true, BT_F64},
    {"uint32", false, BT_F32},
    {"uint64", false, BT_F32},
    {"complex64", false, BT_F32},
    {"complex128", false, BT_F32},
    {"bfloat16", true, BT_BF16},
    {"float8e4m3fn", false, BT_F32},
    {"float8e4m3fnuz", false, BT_F32},
    {"float8e5m2", false, BT_F32},
    {"float8e5m2fnuz", false, BT_F32},
    {"uint4", false, BT_F32},
    {"int4", false, BT_F32},
    {"float4e2m1", false, BT_F32},
    {"float8e8m0", false, BT_F32},
    {"uint2", false, BT_F32},
    {"int2", false, BT_F32},
};

bool bt_onnx_dtype(int64_t code, enum bt_dtype *out, const char **name)
{
    const bool listed = code >= 0 && code < (int64_t)(sizeof types / sizeof *types);
    *name = listed ? types[code].name : "unknown";
    if (!listed || !types[code].known) {
        return false;
    }
    *out = types[code].dtype;
    return true;
}

/* The fields of one tensor, before they are put together. */
struct parts {
    const char *name;
    int64_t dtype;
    struct bt_onnx_integers dims, ints; /* ints: int32_data, int64_data, uint64_data */
    struct bt_onnx_bytes floats;        /* float_data, double_data */
    struct bt_span raw;
    bool has_raw, has_length;
    int64_t stored; /* 1: in a file beside the model */
    const char *location;
    uint64_t offset, length;
};

struct entry {
    const char *key, *value;
};

static enum bertc_status entry_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, void *out)
{
    struct entry *entry = out;
    return f->number == 1   ? bt_onnx_read_text(r, m, f, &entry->key)
           : f->number == 2 ? bt_onnx_read_text(r, m, f, &entry->value)
                            : BERTC_OK;
}

/* A decimal number of bytes. */
static bool parse_size(const char *text, uint64_t *out)
{
    *out = 0;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9' || *out > (UINT64_MAX - 9) / 10) {
            return false;
        }
        *out = *out * 10 + (uint64_t)(*c - '0');
    }
    return *text != '\0';
}

static enum bertc_status read_entry(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                    const struct bt_protobuf_field *f, struct parts *p)
{
    struct entry entry = {"", ""};
    enum bertc_status status = bt_onnx_read_message(r, m, f, entry_field, &entry);
    bool ok = true;
    if (status) {
        return status;
    }
    if (strcmp(entry.key, "location") == 0) {
        p->location = entry.value;
    } else if (strcmp(entry.key, "offset") == 0) {
        ok = parse_size(entry.value, &p->offset);
    } else if (strcmp(entry.key, "length") == 0) {
        ok = p->has_length = parse_size(entry.value, &p->length);
    }
    return ok ? BERTC_OK
              : bt_error_set(r->err, BERTC_FORMAT, "the %s of its external data is '%.40s'", entry.key, entry.value);
}

static enum bertc_status part_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                    const struct bt_protobuf_field *f, void *out)
{
    enum {
        DIMS = 1,
        DATA_TYPE,
        FLOAT_DATA = 4,
        INT32_DATA,
        INT64_DATA = 7,
        NAME,
        RAW_DATA,
        DOUBLE_DATA,
        UINT64_DATA,
        EXTERNAL_DATA = 13,
        DATA_LOCATION
    };
    struct parts *p = out;
    switch (f->number) {
    case DIMS: return bt_onnx_read_integers(r, m, f, &p->dims);
    case DATA_TYPE: return bt_onnx_read_integer(r, m, f, &p->dtype);
    case INT32_DATA:
    case INT64_DATA:
    case UINT64_DATA: return bt_onnx_read_integers(r, m, f, &p->ints);
    case FLOAT_DATA: return bt_onnx_read_packed(r, m, f, BT_WIRE_FIXED32, &p->floats);
    case DOUBLE_DATA: return bt_onnx_read_packed(r, m, f, BT_WIRE_FIXED64, &p->floats);
    case NAME: return bt_onnx_read_text(r, m, f, &p->name);
    case RAW_DATA:
        p->raw = f->bytes;
        p->has_raw = true;
        return bt_protobuf_expect(m, f, BT_WIRE_BYTES, r->err);
    case EXTERNAL_DATA: return read_entry(r, m, f, p);
    case DATA_LOCATION: return bt_onnx_read_integer(r, m, f, &p->stored);
    default: return BERTC_OK;
    }
}

/* The integers, each written as one item of the dtype; halves are stored as their bits. */
static enum bertc_status pack_ints(struct bt_onnx_reader *r, const struct parts *p, enum bt_dtype dtype,
                                   struct bt_span *out)
{
    const size_t size = bt_dtype_size(dtype), count = p->ints.count;
    uint8_t *bytes = bt_arena_alloc(r->arena, count, size);
    if (!bytes) {
        return bt_error_memory(r->err);
    }
    for (size_t i = 0; i < count; i++) {
        const int64_t item = p->ints.items[i];
        const uint64_t value = dtype == BT_BOOL ? item != 0 : (uint64_t)item;
        for (size_t k = 0; k < size; k++) {
            bytes[i * size + k] = (uint8_t)(value >> 8 * k);
        }
    }
    *out = (struct bt_span){bytes, count * size};
    return BERTC_OK;
}

static enum bertc_status external_bytes(struct bt_onnx_reader *r, const struct parts *p, size_t size,
                                        struct bt_span *out)
{
    if (!p->location) {
        return bt_error_set(r->err, BERTC_FORMAT, "its external data has no location");
    }
    enum bertc_status status = bt_onnx_external(r, p->location, p->offset, out);
    if (status) {
        return status;
    }
    const uint64_t length = p->has_length ? p->length : size;
    if (length > out->size) {
        return bt_error_set(r->err, BERTC_FORMAT, "'%.200s' has %zu bytes from %llu on, fewer than the tensor's %llu",
                            p->location, out->size, (unsigned long long)p->offset, (unsigned long long)length);
    }
    out->size = (size_t)length;
    return BERTC_OK;
}

static enum bertc_status find_bytes(struct bt_onnx_reader *r, const struct parts *p, enum bt_dtype dtype, size_t size,
                                    struct bt_span *out)
{
    if (p->stored == 1) {
        return external_bytes(r, p, size, out);
    }
    if (p->has_raw || (!p->ints.count && !p->floats.size)) {
        *out = p->raw;
        return BERTC_OK;
    }
    if (dtype == BT_F32 || dtype == BT_F64) {
        *out = (struct bt_span){p->floats.data, p->floats.size};
        return BERTC_OK;
    }
    return pack_ints(r, p, dtype, out);
}

static enum bertc_status put_together(struct bt_onnx_reader *r, const struct parts *p, struct bt_tensor *t)
{
    const char *type;
    size_t size;
    if (!bt_onnx_dtype(p->dtype, &t->dtype, &type)) {
        return bt_error_set(r->err, BERTC_UNSUPPORTED, "its elements are of type %s (%lld), which is not supported",
                            type, (long long)p->dtype);
    }
    if (p->dims.count > BT_MAX_RANK) {
        return bt_error_set(r->err, BERTC_UNSUPPORTED, "it has %zu dimensions, more than %d", p->dims.count,
                            BT_MAX_RANK);
    }
    size = bt_dtype_size(t->dtype);
    t->rank = (int)p->dims.count;
    for (int i = 0; i < t->rank; i++) {
        t->dims[i] = p->dims.items[i];
        if (t->dims[i] < 0 || !bt_mul_size(size, (size_t)t->dims[i], &size) || size > INT64_MAX) {
            return bt_error_set(r->err, BERTC_FORMAT, "dimension %d is %lld, which is negative or too large", i,
                                (long long)t->dims[i]);
        }
    }
    bt_contiguous_strides(t->rank, t->dims, t->strides);
    static const uint8_t nothing[1];
    struct bt_span bytes;
    enum bertc_status status = find_bytes(r, p, t->dtype, size, &bytes);
    if (status) {
        return status;
    }
    if (bytes.size != size) {
        return bt_error_set(r->err, BERTC_FORMAT, "its data has %zu bytes, but its shape and type take %zu", bytes.size,
                            size);
    }
    t->data = size > 0 ? bytes.data : nothing;
    if (size > 0 && !bt_dtype_is_float(t->dtype) && (uintptr_t)t->data % bt_dtype_size(t->dtype) != 0) {
        t->data = bt_arena_copy(r->arena, bytes.data, size);
    }
    return t->data ? BERTC_OK : bt_error_memory(r->err);
}

enum bertc_status bt_onnx_read_tensor(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                      const struct bt_protobuf_field *f, struct bt_onnx_tensor *out)
{
    struct parts p = {.name = ""};
    enum bertc_status status = bt_onnx_read_message(r, m, f, part_field, &p);
    out->name = p.name;
    out->tensor = (struct bt_tensor){0};
    if (!status) {
        status = put_together(r, &p, &out->tensor);
    }
    return status && status != BERTC_MEMORY ? bt_error_prefix(r->err, "tensor '%.200s'", p.name) : status;
}
