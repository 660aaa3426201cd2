/* npy.c: read the header of an .npy file and check it against the data */
#include "format/npy.h"

#include <string.h>

#include "base/memory.h"
#include "format/bytes.h"
#include "format/chars.h"

#define MAGIC "\x93NUMPY"
#define MAGIC_SIZE 6
#define MAX_HEADER 65536 /* that of a plain array has about 100 bytes */

/* The dict's text, and how far it has been read. */
struct header {
    const char *at, *end;
};

bool bt_npy_probe(struct bt_span bytes)
{
    return bytes.size >= MAGIC_SIZE && memcmp(bytes.data, MAGIC, MAGIC_SIZE) == 0;
}

static void skip_blanks(struct header *h)
{
    while (h->at < h->end && (*h->at == ' ' || *h->at == '\n' || *h->at == '\t' || *h->at == '\r')) {
        h->at++;
    }
}

static bool accept(struct header *h, const char *text)
{
    const size_t size = strlen(text);
    skip_blanks(h);
    if ((size_t)(h->end - h->at) < size || memcmp(h->at, text, size) != 0) {
        return false;
    }
    h->at += size;
    return true;
}

/* A string without escapes; *out is what stands between its quotes. */
static bool take_string(struct header *h, struct bt_span *out)
{
    skip_blanks(h);
    if (h->at == h->end || (*h->at != '\'' && *h->at != '"')) {
        return false;
    }
    const char quote = *h->at, *start = h->at + 1;
    const char *close = memchr(start, quote, (size_t)(h->end - start));
    if (!close || memchr(start, '\\', (size_t)(close - start))) {
        return false;
    }
    *out = (struct bt_span){(const uint8_t *)start, (size_t)(close - start)};
    h->at = close + 1;
    return true;
}

static enum bertc_status bad_header(const char *what, struct bertc_error *err)
{
    return bt_error_set(err, BERTC_FORMAT, "the .npy header %s", what);
}

/* A byte order and a kind with its size: "<f4", "|b1", "=i8". */
static enum bertc_status read_dtype(struct header *h, struct bt_tensor *out, struct bertc_error *err)
{
    static const struct {
        char kind[3];
        enum bt_dtype dtype;
    } dtypes[] = {
        {"f4", BT_F32}, {"f8", BT_F64}, {"f2", BT_F16}, {"i8", BT_I64}, {"i4", BT_I32}, {"i2", BT_I16},
        {"i1", BT_I8},  {"u1", BT_U8},  {"u2", BT_U16}, {"u4", BT_U32}, {"u8", BT_U64}, {"b1", BT_BOOL},
    };
    struct bt_span text;
    skip_blanks(h);
    if (h->at < h->end && *h->at == '[') {
        return bt_error_set(err, BERTC_UNSUPPORTED, "an array of records, which is no weight");
    }
    if (!take_string(h, &text)) {
        return bad_header("has no dtype in its descr", err);
    }
    const char *name = (const char *)text.data;
    for (size_t i = 0; text.size == 3 && i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (memcmp(name + 1, dtypes[i].kind, 2) == 0 && memchr("<|=>", name[0], 4)) {
            out->dtype = dtypes[i].dtype;
            if (name[0] == '>' && name[2] != '1') {
                return bt_error_set(err, BERTC_UNSUPPORTED, "its numbers are big-endian (dtype '%.3s')", name);
            }
            return BERTC_OK;
        }
    }
    return bt_error_set(err, BERTC_UNSUPPORTED, "dtype '%.*s' is not supported", text.size < 32 ? (int)text.size : 32,
                        name);
}

/* Digits, perhaps with the L of Python 2; negative when there are none or too many. */
static int64_t take_dim(struct header *h)
{
    int64_t dim;
    skip_blanks(h);
    const char *start = h->at;
    while (h->at < h->end && *h->at >= '0' && *h->at <= '9') {
        h->at++;
    }
    if (!bt_chars_int(start, (size_t)(h->at - start), &dim)) {
        return -1;
    }
    h->at += h->at < h->end && *h->at == 'L';
    return dim;
}

static enum bertc_status read_shape(struct header *h, struct bt_tensor *out, struct bertc_error *err)
{
    bool open = accept(h, "(");
    while (open && !accept(h, ")")) {
        if (out->rank == BT_MAX_RANK) {
            return bt_error_set(err, BERTC_UNSUPPORTED, "it has more than the %d dimensions that are supported",
                                BT_MAX_RANK);
        }
        const int64_t dim = take_dim(h);
        if (dim < 0) {
            return bad_header("has a shape that is not a tuple of sizes", err);
        }
        out->dims[out->rank++] = dim;
        if (!accept(h, ",")) {
            open = accept(h, ")");
            break;
        }
    }
    return open ? BERTC_OK : bad_header("has a shape that is not a tuple of sizes", err);
}

enum key { DESCR = 1, ORDER = 2, SHAPE = 4, ALL_KEYS = 7 };

static enum key find_key(struct bt_span name)
{
    static const struct {
        const char *name;
        enum key key;
    } keys[] = {{"descr", DESCR}, {"fortran_order", ORDER}, {"shape", SHAPE}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (name.size == strlen(keys[i].name) && memcmp(name.data, keys[i].name, name.size) == 0) {
            return keys[i].key;
        }
    }
    return 0;
}

static enum bertc_status read_dict(struct header *h, struct bt_tensor *out, bool *columns, struct bertc_error *err)
{
    unsigned seen = 0;
    if (!accept(h, "{")) {
        return bad_header("is not a dict", err);
    }
    while (!accept(h, "}")) {
        struct bt_span name;
        const enum key key = take_string(h, &name) ? find_key(name) : 0;
        if (!key || seen & key || !accept(h, ":")) {
            return bad_header("is not a dict of descr, fortran_order and shape", err);
        }
        seen |= key;
        enum bertc_status status = key == DESCR   ? read_dtype(h, out, err)
                                   : key == SHAPE ? read_shape(h, out, err)
                                                  : BERTC_OK;
        if (status) {
            return status;
        }
        if (key == ORDER && !(*columns = accept(h, "True")) && !accept(h, "False")) {
            return bad_header("has a fortran_order that is neither True nor False", err);
        }
        if (!accept(h, ",")) {
            if (!accept(h, "}")) {
                return bad_header("is not a dict of descr, fortran_order and shape", err);
            }
            break;
        }
    }
    skip_blanks(h);
    return seen == ALL_KEYS && h->at == h->end ? BERTC_OK
                                               : bad_header("is not a dict of descr, fortran_order and shape", err);
}

/* Strides of rows or, as Fortran has it, of columns; the data must have as many bytes as the shape takes. */
static enum bertc_status lay_out(struct bt_tensor *out, bool columns, size_t size, struct bertc_error *err)
{
    const int64_t item = (int64_t)bt_dtype_size(out->dtype);
    int64_t total = item, bound = item; /* bound: as if no dimension were 0 */
    for (int i = 0; i < out->rank; i++) {
        const int d = columns ? i : out->rank - 1 - i;
        out->strides[d] = bound / item;
        if (!bt_mul_i64(bound, out->dims[d] > 0 ? out->dims[d] : 1, &bound)) {
            return bt_error_set(err, BERTC_FORMAT, "its shape has more elements than any file can hold");
        }
        total *= out->dims[d];
    }
    if ((uint64_t)total != size) {
        return bt_error_set(err, BERTC_FORMAT, "its data has %zu bytes, but its shape and dtype take %lld", size,
                            (long long)total);
    }
    return BERTC_OK;
}

enum bertc_status bt_npy_read(struct bt_span bytes, struct bt_tensor *out, struct bertc_error *err)
{
    if (!bt_npy_probe(bytes) || bytes.size < MAGIC_SIZE + 4) {
        return bt_error_set(err, BERTC_FORMAT, "this is no .npy data");
    }
    const int major = bytes.data[MAGIC_SIZE];
    const size_t width = major == 1 ? 2 : 4, start = MAGIC_SIZE + 2 + width;
    if (major < 1 || major > 3) {
        return bt_error_set(err, BERTC_UNSUPPORTED, ".npy format %d (1 to 3 are known)", major);
    }
    if (bytes.size < start) {
        return bad_header("is cut off", err);
    }
    const uint8_t *at = bytes.data + MAGIC_SIZE + 2;
    const size_t size = width == 2 ? bt_le16(at) : bt_le32(at);
    if (size > MAX_HEADER) {
        return bt_error_set(err, BERTC_FORMAT, "the .npy header has %zu bytes; at most %d are allowed", size,
                            MAX_HEADER);
    }
    if (size > bytes.size - start) {
        return bad_header("is cut off", err);
    }
    const char *text = (const char *)bytes.data + start;
    struct header h = {text, text + size};
    bool columns = false;
    *out = (struct bt_tensor){.data = bytes.data + start + size};
    enum bertc_status status = read_dict(&h, out, &columns, err);
    return status ? status : lay_out(out, columns, bytes.size - start - size, err);
}
