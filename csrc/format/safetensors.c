/* safetensors.c: read the header of a safetensors file and check every tensor against the data */
#include "format/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "format/bytes.h"
#include "format/json.h"

#define MAX_HEADER 100000000 /* the specification's limit */

struct entry {
    struct bt_named_tensor named;
    size_t begin, end; /* in the data */
};

bool bt_safetensors_probe(struct bt_span bytes)
{
    if (bytes.size < 10 || bytes.data[8] != '{') {
        return false;
    }
    return bt_le64(bytes.data) <= MAX_HEADER;
}

static bool find_dtype(const char *name, enum bt_dtype *out)
{
    static const struct {
        const char *name;
        enum bt_dtype dtype;
    } names[] = {
        {"F32", BT_F32}, {"F64", BT_F64}, {"F16", BT_F16}, {"BF16", BT_BF16}, {"I64", BT_I64},
        {"I32", BT_I32}, {"I16", BT_I16}, {"I8", BT_I8},   {"U8", BT_U8},     {"BOOL", BT_BOOL},
        {"U16", BT_U16}, {"U32", BT_U32}, {"U64", BT_U64},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i].name, name) == 0) {
            *out = names[i].dtype;
            return true;
        }
    }
    return false;
}

static enum bertc_status read_shape(const struct bt_json *shape, struct bt_tensor *tensor, size_t *bytes,
                                    struct bertc_error *err)
{
    if (!shape || shape->kind != BT_JSON_ARRAY) {
        return bt_error_set(err, BERTC_FORMAT, "its shape is not an array");
    }
    if (shape->size > BT_MAX_RANK) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "it has %zu dimensions; at most %d are supported", shape->size,
                            BT_MAX_RANK);
    }
    tensor->rank = (int)shape->size;
    int64_t total = (int64_t)bt_dtype_size(tensor->dtype), bound = total; /* bound: as if no dimension were 0 */
    for (int i = 0; i < tensor->rank; i++) {
        int64_t dim = shape->items[i].integer;
        if (shape->items[i].kind != BT_JSON_INT || dim < 0) {
            return bt_error_set(err, BERTC_FORMAT, "dimension %d of its shape is not a non-negative integer", i);
        }
        if (!bt_mul_i64(bound, dim > 0 ? dim : 1, &bound)) {
            return bt_error_set(err, BERTC_FORMAT, "its shape has more elements than any file can hold");
        }
        total *= dim;
        tensor->dims[i] = dim;
    }
    bt_contiguous_strides(tensor->rank, tensor->dims, tensor->strides);
    *bytes = (size_t)total;
    return BERTC_OK;
}

static enum bertc_status read_entry(const struct bt_json *value, struct bt_span data, struct entry *entry,
                                    struct bertc_error *err)
{
    if (value->kind != BT_JSON_OBJECT) {
        return bt_error_set(err, BERTC_FORMAT, "its header entry is not an object");
    }
    const char *dtype = bt_json_string(bt_json_get(value, "dtype"));
    if (!dtype) {
        return bt_error_set(err, BERTC_FORMAT, "it has no dtype");
    }
    struct bt_tensor *tensor = &entry->named.tensor;
    if (!find_dtype(dtype, &tensor->dtype)) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "dtype %.32s is not supported", dtype);
    }
    size_t bytes = 0;
    enum bertc_status status = read_shape(bt_json_get(value, "shape"), tensor, &bytes, err);
    if (status != BERTC_OK) {
        return status;
    }
    const struct bt_json *offsets = bt_json_get(value, "data_offsets");
    int64_t begin, end;
    if (!offsets || offsets->kind != BT_JSON_ARRAY || offsets->size != 2 || !bt_json_int(&offsets->items[0], &begin) ||
        !bt_json_int(&offsets->items[1], &end) || begin < 0 || end < begin) {
        return bt_error_set(err, BERTC_FORMAT, "its data_offsets are not two ascending integers");
    }
    if ((uint64_t)end > data.size) {
        return bt_error_set(err, BERTC_FORMAT, "its data ends at byte %lld, but the file has only %zu bytes of data",
                            (long long)end, data.size);
    }
    if ((uint64_t)(end - begin) != bytes) {
        return bt_error_set(err, BERTC_FORMAT, "its data has %lld bytes, but its shape and dtype take %zu",
                            (long long)(end - begin), bytes);
    }
    entry->begin = (size_t)begin;
    entry->end = (size_t)end;
    return BERTC_OK;
}

static int by_data(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->begin != y->begin) {
        return x->begin < y->begin ? -1 : 1;
    }
    if (x->end != y->end) { /* an empty tensor comes before the one that starts at the same byte */
        return x->end < y->end ? -1 : 1;
    }
    return strcmp(x->named.name, y->named.name);
}

/* The specification wants every byte of the data to belong to exactly one tensor. */
static enum bertc_status check_coverage(const struct entry *entries, size_t count, size_t size, struct bertc_error *err)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].begin != at) {
            const char *fault = entries[i].begin < at ? "inside the tensor that ends" : "after a gap that starts";
            return bt_error_set(err, BERTC_FORMAT, "tensor \"%.200s\" starts at data byte %zu, %s at byte %zu",
                                entries[i].named.name, entries[i].begin, fault, at);
        }
        at = entries[i].end;
    }
    if (at != size) {
        return bt_error_set(err, BERTC_FORMAT, "the last tensor ends at data byte %zu, but the file has %zu", at, size);
    }
    return BERTC_OK;
}

static enum bertc_status read_entries(const struct bt_json *header, struct bt_span data, struct entry *entries,
                                      size_t *count, struct bertc_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < header->size; i++) {
        if (strcmp(header->keys[i], "__metadata__") == 0) {
            continue;
        }
        entries[n].named.name = header->keys[i];
        if (read_entry(&header->items[i], data, &entries[n], err) != BERTC_OK) {
            return bt_error_prefix(err, "tensor \"%.200s\"", header->keys[i]);
        }
        n++;
    }
    if (n > 0) {
        qsort(entries, n, sizeof *entries, by_data);
    }
    *count = n;
    return check_coverage(entries, n, data.size, err);
}

static enum bertc_status make_views(const struct entry *entries, size_t count, struct bt_span data,
                                    struct bt_arena *arena, struct bt_named_tensor **out, struct bertc_error *err)
{
    struct bt_named_tensor *list = bt_arena_alloc(arena, count, sizeof *list);
    if (!list) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = data.data + entries[i].begin;
        list[i] = entries[i].named;
        list[i].tensor.data = at;
        if ((uintptr_t)at % bt_dtype_size(list[i].tensor.dtype) != 0) {
            list[i].tensor.data = bt_arena_copy(arena, at, entries[i].end - entries[i].begin);
            if (!list[i].tensor.data) {
                return bt_error_memory(err);
            }
        }
    }
    *out = list;
    return BERTC_OK;
}

enum bertc_status bt_safetensors_read(struct bt_span bytes, struct bt_arena *arena, struct bt_named_tensor **out,
                                      size_t *count, struct bertc_error *err)
{
    if (bytes.size < 8) {
        return bt_error_set(err, BERTC_FORMAT, "a safetensors file starts with 8 bytes of length, this one has %zu",
                            bytes.size);
    }
    uint64_t header_size = bt_le64(bytes.data);
    if (header_size > MAX_HEADER) {
        return bt_error_set(err, BERTC_FORMAT, "the safetensors header has %llu bytes; at most %d are allowed",
                            (unsigned long long)header_size, MAX_HEADER);
    }
    if (header_size > bytes.size - 8) {
        return bt_error_set(err, BERTC_FORMAT,
                            "the safetensors header has %llu bytes, but the file ends after %zu: truncated?",
                            (unsigned long long)header_size, bytes.size);
    }
    struct bt_span text = {bytes.data + 8, (size_t)header_size};
    struct bt_span data = {text.data + text.size, bytes.size - 8 - text.size};
    struct bt_json *header;
    if (bt_json_parse(text, arena, &header, err) != BERTC_OK) {
        return bt_error_prefix(err, "safetensors header");
    }
    if (header->kind != BT_JSON_OBJECT) {
        return bt_error_set(err, BERTC_FORMAT, "the safetensors header is not a JSON object");
    }
    struct entry *entries = bt_calloc(header->size, sizeof *entries);
    if (!entries) {
        return bt_error_memory(err);
    }
    enum bertc_status status = read_entries(header, data, entries, count, err);
    if (status == BERTC_OK) {
        status = make_views(entries, *count, data, arena, out, err);
    }
    bt_free(entries);
    return status;
}
