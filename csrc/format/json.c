/* json.c: parse a JSON text into a tree */
#include "format/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/chars.h"

#define MAX_DEPTH 64
#define MAX_VALUES ((size_t)1 << 22) /* far more than any model's file has; bounds the memory a hostile one can take */

struct entry {
    const char *key; /* NULL in arrays */
    struct bt_json value;
};

struct parser {
    const char *text;
    size_t size, at;
    int depth;
    size_t value_count;
    struct entry *stack; /* values whose container is still open */
    size_t stack_size, stack_cap;
    struct bt_arena *arena;
    struct bertc_error *err;
};

static enum bertc_status parse_value(struct parser *p, struct bt_json *out);

static enum bertc_status fail(struct parser *p, const char *what)
{
    return bt_error_set(p->err, BERTC_FORMAT, "JSON byte %zu: %s", p->at, what);
}

static void skip_space(struct parser *p)
{
    while (p->at < p->size && p->text[p->at] != '\0' && strchr(" \t\r\n", p->text[p->at])) {
        p->at++;
    }
}

/* The next character after white space, '\0' at the end (and for a NUL, which no rule accepts). */
static char peek(struct parser *p)
{
    skip_space(p);
    return p->at < p->size ? p->text[p->at] : '\0';
}

static bool accept_word(struct parser *p, const char *word)
{
    size_t size = strlen(word);
    if (p->size - p->at < size || memcmp(p->text + p->at, word, size) != 0) {
        return false;
    }
    p->at += size;
    return true;
}

static enum bertc_status push(struct parser *p, const char *key, const struct bt_json *value)
{
    if (p->stack_size == p->stack_cap) {
        size_t cap = p->stack_cap ? p->stack_cap * 2 : 64;
        struct entry *stack = bt_alloc(cap, sizeof *stack);
        if (!stack) {
            return bt_error_memory(p->err);
        }
        if (p->stack_size) {
            memcpy(stack, p->stack, p->stack_size * sizeof *stack);
        }
        bt_free(p->stack);
        p->stack = stack;
        p->stack_cap = cap;
    }
    p->stack[p->stack_size++] = (struct entry){key, *value};
    return BERTC_OK;
}

/* Moves the values above `base` into the container. */
static enum bertc_status close_container(struct parser *p, size_t base, struct bt_json *out)
{
    size_t count = p->stack_size - base;
    out->size = count;
    out->items = bt_arena_alloc(p->arena, count, sizeof *out->items);
    if (out->kind == BT_JSON_OBJECT) {
        out->keys = bt_arena_alloc(p->arena, count, sizeof *out->keys);
    }
    if (!out->items || (out->kind == BT_JSON_OBJECT && !out->keys)) {
        return bt_error_memory(p->err);
    }
    for (size_t i = 0; i < count; i++) {
        out->items[i] = p->stack[base + i].value;
        if (out->kind == BT_JSON_OBJECT) {
            out->keys[i] = p->stack[base + i].key;
        }
    }
    p->stack_size = base;
    return BERTC_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum bertc_status check_keys(struct parser *p, const struct bt_json *object)
{
    if (object->size < 2) {
        return BERTC_OK;
    }
    const char **sorted = bt_alloc(object->size, sizeof *sorted);
    if (!sorted) {
        return bt_error_memory(p->err);
    }
    memcpy(sorted, object->keys, object->size * sizeof *sorted);
    qsort(sorted, object->size, sizeof *sorted, by_text);
    enum bertc_status status = BERTC_OK;
    for (size_t i = 1; i < object->size && status == BERTC_OK; i++) {
        if (strcmp(sorted[i - 1], sorted[i]) == 0) {
            status =
                bt_error_set(p->err, BERTC_FORMAT,
                             "JSON byte %zu: the object that ends here has the key \"%.200s\" twice", p->at, sorted[i]);
        }
    }
    bt_free(sorted);
    return status;
}

static bool read_hex4(struct parser *p, uint32_t *out)
{
    if (p->size - p->at < 4) {
        return false;
    }
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p->text[p->at + (size_t)i];
        uint32_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (uint32_t)((c | 0x20) - 'a' + 10);
        } else {
            return false;
        }
        value = value << 4 | digit;
    }
    p->at += 4;
    *out = value;
    return true;
}

/* After "\u": a code point, in two escapes when it is above U+FFFF. */
static bool read_unicode_escape(struct parser *p, uint32_t *out)
{
    uint32_t low;
    if (!read_hex4(p, out)) {
        return false;
    }
    if (*out < 0xd800 || *out > 0xdfff) {
        return true;
    }
    if (*out > 0xdbff || !accept_word(p, "\\u") || !read_hex4(p, &low) || low < 0xdc00 || low > 0xdfff) {
        return false;
    }
    *out = 0x10000 + ((*out - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* After the backslash. Writes at most as many bytes as the escape takes in the text. */
static bool read_escape(struct parser *p, char *out, size_t *used)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char c = p->at < p->size ? p->text[p->at++] : '\0';
    if (c == 'u') {
        uint32_t point;
        if (!read_unicode_escape(p, &point)) {
            return false;
        }
        *used += bt_chars_put(out + *used, point);
        return true;
    }
    const char *letter = c ? strchr(letters, c) : NULL;
    if (!letter) {
        return false;
    }
    out[(*used)++] = meanings[letter - letters];
    return true;
}

static enum bertc_status parse_string(struct parser *p, const char **out, size_t *size)
{
    size_t start = ++p->at, end = start;
    while (end < p->size && p->text[end] != '"') {
        end += p->text[end] == '\\' ? 2 : 1;
    }
    if (end >= p->size) {
        return fail(p, "this string does not end");
    }
    char *text = bt_arena_alloc(p->arena, end - start + 1, 1);
    if (!text) {
        return bt_error_memory(p->err);
    }
    size_t used = 0;
    while (p->at < end) {
        char c = p->text[p->at];
        if ((unsigned char)c < 0x20) {
            return fail(p, "control character in a string");
        }
        p->at++;
        if (c != '\\') {
            text[used++] = c;
        } else if (!read_escape(p, text, &used)) {
            return fail(p, "bad escape in a string");
        }
    }
    if (!bt_chars_utf8(text, used)) {
        return fail(p, "the string that ends here is not UTF-8");
    }
    p->at = end + 1;
    *out = text;
    *size = used;
    return BERTC_OK;
}

static size_t skip_digits(struct parser *p)
{
    size_t start = p->at;
    while (p->at < p->size && p->text[p->at] >= '0' && p->text[p->at] <= '9') {
        p->at++;
    }
    return p->at - start;
}

static enum bertc_status parse_number(struct parser *p, struct bt_json *out)
{
    size_t start = p->at;
    bool whole = true;
    accept_word(p, "-");
    size_t first = p->at;
    size_t digits = skip_digits(p);
    bool good = digits > 0 && (digits == 1 || p->text[first] != '0');
    if (accept_word(p, ".")) {
        whole = false;
        good = good && skip_digits(p) > 0;
    }
    if (accept_word(p, "e") || accept_word(p, "E")) {
        whole = false;
        if (!accept_word(p, "-")) {
            accept_word(p, "+");
        }
        good = good && skip_digits(p) > 0;
    }
    if (!good || !bt_chars_float(p->text + start, p->at - start, &out->number)) {
        return fail(p, "bad number");
    }
    whole = whole && bt_chars_int(p->text + start, p->at - start, &out->integer);
    out->kind = whole ? BT_JSON_INT : BT_JSON_FLOAT;
    return BERTC_OK;
}

static enum bertc_status parse_member(struct parser *p, enum bt_json_kind kind)
{
    const char *key = NULL;
    if (kind == BT_JSON_OBJECT) {
        size_t size;
        if (peek(p) != '"') {
            return fail(p, "a key in double quotes should come here");
        }
        enum bertc_status status = parse_string(p, &key, &size);
        if (status != BERTC_OK) {
            return status;
        }
        if (strlen(key) != size) {
            return fail(p, "the key that ends here has a NUL in it");
        }
        if (peek(p) != ':') {
            return fail(p, "a colon should come here");
        }
        p->at++;
    }
    struct bt_json value;
    enum bertc_status status = parse_value(p, &value);
    return status == BERTC_OK ? push(p, key, &value) : status;
}

static enum bertc_status parse_container(struct parser *p, struct bt_json *out, char closing)
{
    size_t base = p->stack_size;
    if (++p->depth > MAX_DEPTH) {
        return fail(p, "nested too deeply");
    }
    p->at++;
    bool more = peek(p) != closing;
    while (more) {
        enum bertc_status status = parse_member(p, out->kind);
        if (status != BERTC_OK) {
            return status;
        }
        more = peek(p) == ',';
        p->at += more ? 1 : 0;
    }
    if (peek(p) != closing) {
        return fail(p, closing == '}' ? "a comma or } should come here" : "a comma or ] should come here");
    }
    p->at++;
    p->depth--;
    enum bertc_status status = close_container(p, base, out);
    if (status == BERTC_OK && out->kind == BT_JSON_OBJECT) {
        status = check_keys(p, out);
    }
    return status;
}

static bool parse_word(struct parser *p, struct bt_json *out)
{
    static const struct {
        const char *word;
        struct bt_json value;
    } words[] = {
        {"null", {.kind = BT_JSON_NULL}},
        {"true", {.kind = BT_JSON_BOOL, .boolean = true}},
        {"false", {.kind = BT_JSON_BOOL}},
        {"NaN", {.kind = BT_JSON_FLOAT, .number = NAN}},
        {"Infinity", {.kind = BT_JSON_FLOAT, .number = INFINITY}},
        {"-Infinity", {.kind = BT_JSON_FLOAT, .number = -INFINITY}},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (accept_word(p, words[i].word)) {
            *out = words[i].value;
            return true;
        }
    }
    return false;
}

static enum bertc_status parse_value(struct parser *p, struct bt_json *out)
{
    *out = (struct bt_json){0};
    char c = peek(p);
    if (++p->value_count > MAX_VALUES) {
        return fail(p, "too many values");
    }
    if (c == '{') {
        out->kind = BT_JSON_OBJECT;
        return parse_container(p, out, '}');
    }
    if (c == '[') {
        out->kind = BT_JSON_ARRAY;
        return parse_container(p, out, ']');
    }
    if (c == '"') {
        out->kind = BT_JSON_STRING;
        return parse_string(p, &out->text, &out->size);
    }
    if (parse_word(p, out)) {
        return BERTC_OK;
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        return parse_number(p, out);
    }
    return fail(p, p->at < p->size ? "no JSON value starts like this" : "the text ends where a value should come");
}

enum bertc_status bt_json_parse(struct bt_span bytes, struct bt_arena *arena, struct bt_json **out,
                                struct bertc_error *err)
{
    struct parser p = {.text = (const char *)bytes.data, .size = bytes.size, .arena = arena, .err = err};
    struct bt_json *root = bt_arena_alloc(arena, 1, sizeof *root);
    enum bertc_status status = root ? parse_value(&p, root) : bt_error_memory(err);
    if (status == BERTC_OK) {
        skip_space(&p);
        if (p.at < p.size) {
            status = fail(&p, "more text after the value");
        }
    }
    bt_free(p.stack);
    if (status == BERTC_OK) {
        *out = root;
    }
    return status;
}

const struct bt_json *bt_json_get(const struct bt_json *object, const char *key)
{
    if (object && object->kind == BT_JSON_OBJECT) {
        for (size_t i = 0; i < object->size; i++) {
            if (strcmp(object->keys[i], key) == 0) {
                return &object->items[i];
            }
        }
    }
    return NULL;
}

bool bt_json_int(const struct bt_json *value, int64_t *out)
{
    if (value && value->kind == BT_JSON_INT) {
        *out = value->integer;
        return true;
    }
    return value && value->kind == BT_JSON_STRING && bt_chars_int(value->text, value->size, out);
}

const char *bt_json_string(const struct bt_json *value)
{
    return value && value->kind == BT_JSON_STRING ? value->text : NULL;
}
