/* json.h: a JSON text (RFC 8259) as a tree; depth, size and number range are bounded */
#ifndef BT_FORMAT_JSON_H
#define BT_FORMAT_JSON_H

#include <stdbool.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

enum bt_json_kind {
    BT_JSON_NULL,
    BT_JSON_BOOL,
    BT_JSON_INT,
    BT_JSON_FLOAT,
    BT_JSON_STRING,
    BT_JSON_ARRAY,
    BT_JSON_OBJECT,
};

struct bt_json {
    enum bt_json_kind kind;
    bool boolean;
    int64_t integer;  /* BT_JSON_INT: written without fraction or exponent, and in range */
    double number;    /* BT_JSON_INT and BT_JSON_FLOAT */
    const char *text; /* BT_JSON_STRING: UTF-8, terminated */
    size_t size;      /* bytes of text, or items of array or object */
    struct bt_json *items; /* array or object values */
    const char **keys;     /* object keys, terminated */
};

/* Parses the whole span; trailing garbage, duplicate keys, bad escapes, depth > 64 are BERTC_FORMAT with byte offset.
 * Also accepts NaN, Infinity, -Infinity as Python's json writes them. */
enum bertc_status bt_json_parse(struct bt_span bytes, struct bt_arena *arena, struct bt_json **out,
                                struct bertc_error *err);

const struct bt_json *bt_json_get(const struct bt_json *object, const char *key); /* NULL when absent or no object */
bool bt_json_int(const struct bt_json *value, int64_t *out);   /* an integer, or a string of one (protobuf-JSON) */
const char *bt_json_string(const struct bt_json *value);       /* NULL unless a string */

#endif
