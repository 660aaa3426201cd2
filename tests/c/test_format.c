/* test_format.c: characters and numbers, JSON, safetensors */
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <zlib.h>

#include "base/memory.h"
#include "check.h"
#include "format/chars.h"
#include "format/crc32.h"
#include "format/json.h"
#include "format/safetensors.h"

static bool utf8(const char *text)
{
    return bt_chars_utf8(text, strlen(text));
}

static void test_chars(void)
{
    CHECK(utf8("") && utf8("plain") && utf8("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf"));
    CHECK(!utf8("\x80") && !utf8("\xc3") && !utf8("\xc3(") && !utf8("\xe2\x82") && !utf8("\xff"));
    CHECK(!utf8("\xc0\x80") && !utf8("\xe0\x80\x80") && !utf8("\xed\xa0\x80") && !utf8("\xf4\x90\x80\x80"));
    char out[4];
    CHECK(bt_chars_put(out, 0x20ac) == 3 && memcmp(out, "\xe2\x82\xac", 3) == 0);
    CHECK(bt_chars_put(out, 0x1f600) == 4 && memcmp(out, "\xf0\x9f\x98\x80", 4) == 0);

    int64_t i;
    CHECK(bt_chars_int("9223372036854775807", 19, &i) && i == INT64_MAX);
    CHECK(bt_chars_int("-9223372036854775808", 20, &i) && i == INT64_MIN);
    CHECK(!bt_chars_int("9223372036854775808", 19, &i) && !bt_chars_int("-", 1, &i) && !bt_chars_int("1x", 2, &i));
    double d;
    CHECK(bt_chars_float("9.9999999999999998e-13", 22, &d) && d == 1e-12);
    CHECK(!bt_chars_float("1,5", 3, &d) && !bt_chars_float("nan", 3, &d) && !bt_chars_float("", 0, &d));
    if (setlocale(LC_ALL, "de_DE.UTF-8")) {
        CHECK(bt_chars_float("1.5", 3, &d) && d == 1.5);
        setlocale(LC_ALL, "C");
    }
}

/* Against zlib, for sizes around the blocks that are folded. */
static void test_crc32(void)
{
    CHECK(bt_crc32((struct bt_span){(const uint8_t *)"123456789", 9}) == 0xcbf43926);
    uint8_t bytes[1400];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * i * 31 + i / 7);
    }
    for (size_t start = 0; start < 3; start++) {
        for (size_t size = 0; start + size <= sizeof bytes; size++) {
            const uint32_t expected = (uint32_t)crc32_z(0, bytes + start, size);
            CHECK(bt_crc32((struct bt_span){bytes + start, size}) == expected);
        }
    }
}

/* Parses exactly the bytes of the text, so that the sanitizers see a read beyond. */
static enum bertc_status parse(const char *text, struct bt_arena *arena, struct bt_json **out, struct bertc_error *err)
{
    size_t size = strlen(text);
    uint8_t *copy = bt_alloc(size, 1);
    memcpy(copy, text, size);
    enum bertc_status status = bt_json_parse((struct bt_span){copy, size}, arena, out, err);
    bt_free(copy);
    return status;
}

static void test_json(void)
{
    struct bt_arena arena = {0};
    struct bertc_error err = {0};
    struct bt_json *j;
    int64_t i;
    CHECK(parse(" {\"a\" : [1, -2.5e1, true, false, null], \"b\": {}, \"\": \"x\"}\n", &arena, &j, &err) == BERTC_OK);
    const struct bt_json *a = bt_json_get(j, "a");
    CHECK(j->kind == BT_JSON_OBJECT && j->size == 3 && strcmp(j->keys[1], "b") == 0 && a->size == 5);
    CHECK(a->items[0].kind == BT_JSON_INT && a->items[0].integer == 1 && a->items[0].number == 1);
    CHECK(a->items[1].kind == BT_JSON_FLOAT && a->items[1].number == -25);
    CHECK(a->items[2].kind == BT_JSON_BOOL && a->items[2].boolean && !a->items[3].boolean);
    CHECK(a->items[4].kind == BT_JSON_NULL && bt_json_get(j, "b")->size == 0 && !bt_json_get(j, "c"));
    CHECK(strcmp(bt_json_string(bt_json_get(j, "")), "x") == 0 && !bt_json_string(a) && !bt_json_string(NULL));
    CHECK(!bt_json_get(a, "a") && !bt_json_get(NULL, "a") && !bt_json_int(NULL, &i));

    CHECK(parse("\"\\u00e9\\n\\\"\\ud83d\\ude00\\u0000\"", &arena, &j, &err) == BERTC_OK && j->size == 9);
    CHECK(memcmp(j->text, "\xc3\xa9\n\"\xf0\x9f\x98\x80\0", 10) == 0);
    CHECK(parse("\"-12\"", &arena, &j, &err) == BERTC_OK && bt_json_int(j, &i) && i == -12);
    CHECK(parse("[NaN, Infinity, -Infinity, -0]", &arena, &j, &err) == BERTC_OK && isnan(j->items[0].number));
    CHECK(isinf(j->items[1].number) && j->items[2].number < 0 && j->items[3].kind == BT_JSON_INT);
    CHECK(parse("18446744073709551616", &arena, &j, &err) == BERTC_OK && j->kind == BT_JSON_FLOAT);
    CHECK(j->number == 0x1p64 && !bt_json_int(j, &i));
    bt_arena_free(&arena);
}

static void test_json_refusals(void)
{
    static const struct {
        const char *data, *text;
    } refusals[] = {
        {"", "byte 0: the text ends"},
        {"[1, 2", "byte 5: a comma or ]"},
        {"[1,]", "no JSON value starts like this"},
        {"[1 2]", "a comma or ]"},
        {"{\"a\":1", "a comma or }"},
        {"{\"a\" 1}", "a colon"},
        {"{a:1}", "a key in double quotes"},
        {"{\"a\":1,}", "a key in double quotes"},
        {"{\"a\":1,\"b\":2,\"a\":3}", "the key \"a\" twice"},
        {"{\"a\\u0000\":1}", "NUL"},
        {"1 2", "more text after the value"},
        {"nul", "no JSON value"},
        {"'a'", "no JSON value"},
        {"\"abc", "does not end"},
        {"\"abc\\\"", "does not end"},
        {"\"\n\"", "control character"},
        {"\"\\x\"", "bad escape"},
        {"\"\\u12\"", "bad escape"},
        {"\"\\ud800\"", "bad escape"},
        {"\"\\ud800\\u0041\"", "bad escape"},
        {"\"\\udc00\"", "bad escape"},
        {"\"\xc0\x80\"", "not UTF-8"},
        {"01", "bad number"},
        {"-", "bad number"},
        {"1.", "bad number"},
        {".5", "no JSON value"},
        {"1e", "bad number"},
        {"+1", "no JSON value"},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct bt_arena arena = {0};
        struct bertc_error err = {0};
        struct bt_json *j;
        CHECK_REFUSAL(parse(refusals[i].data, &arena, &j, &err), &err, BERTC_FORMAT, refusals[i].text);
        bt_arena_free(&arena);
    }
    struct bt_arena arena = {0};
    struct bertc_error err = {0};
    struct bt_json *j;
    char deep[131] = "";
    memset(deep, '[', 65);
    memset(deep + 65, ']', 65);
    CHECK_REFUSAL(parse(deep, &arena, &j, &err), &err, BERTC_FORMAT, "nested too deeply");
    deep[129] = '\0';
    CHECK(parse(deep + 1, &arena, &j, &err) == BERTC_OK);
    bt_arena_free(&arena);
}

/* A file with this header and `data_size` bytes of data: 0, 1, 2, ... */
static enum bertc_status read_tensors(const char *header, size_t data_size, size_t shift, struct bt_arena *arena,
                                      struct bt_named_tensor **out, size_t *count, struct bertc_error *err)
{
    _Alignas(64) static uint8_t file[1024];
    uint8_t *p = file + shift;
    size_t size = strlen(header);
    memset(p, 0, 8);
    p[0] = (uint8_t)size;
    p[1] = (uint8_t)(size >> 8);
    memcpy(p + 8, header, size);
    for (size_t i = 0; i < data_size; i++) {
        p[8 + size + i] = (uint8_t)i;
    }
    return bt_safetensors_read((struct bt_span){p, 8 + size + data_size}, arena, out, count, err);
}

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]}"
#define B "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[8,11]}"
#define C "\"c\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[8,8]}"

static void test_safetensors(void)
{
    struct bt_named_tensor *t;
    size_t count;
    for (size_t shift = 0; shift < 4; shift++) { /* the data is a view only where it is aligned */
        struct bt_arena arena = {0};
        struct bertc_error err = {0};
        CHECK(read_tensors("{\"__metadata__\":{\"k\":\"v\"}," B "," A "," C "}", 11, shift, &arena, &t, &count, &err) ==
              BERTC_OK);
        CHECK(count == 3 && strcmp(t[0].name, "a") == 0 && strcmp(t[1].name, "c") == 0);
        CHECK(t[0].tensor.rank == 2 && t[0].tensor.dims[0] == 2 && t[0].tensor.strides[0] == 1);
        CHECK((uintptr_t)t[0].tensor.data % 4 == 0 && memcmp(t[0].tensor.data, "\0\1\2\3\4\5\6\7", 8) == 0);
        CHECK(t[1].tensor.dtype == BT_I64 && t[1].tensor.dims[0] == 0 && t[2].tensor.dtype == BT_U8);
        CHECK(memcmp(t[2].tensor.data, "\x8\x9\xa", 3) == 0);
        bt_arena_free(&arena);
    }
    CHECK(bt_safetensors_probe((struct bt_span){(const uint8_t *)"\2\0\0\0\0\0\0\0{}", 10}));
    CHECK(!bt_safetensors_probe((struct bt_span){(const uint8_t *)"\2\0\0\0\0\0\0\1{}", 10}));
    CHECK(!bt_safetensors_probe((struct bt_span){(const uint8_t *)"PK\3\4", 4}));
}

#define TENSOR(dtype, shape, offsets) "{\"x\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_safetensors_refusals(void)
{
    static const struct {
        const char *header;
        size_t data_size;
        enum bertc_status status;
        const char *text;
    } refusals[] = {
        {"[]", 0, BERTC_FORMAT, "not a JSON object"},
        {"{", 0, BERTC_FORMAT, "safetensors header: JSON byte 1"},
        {"{\"x\":1}", 0, BERTC_FORMAT, "tensor \"x\": its header entry is not an object"},
        {"{\"x\":{}}", 0, BERTC_FORMAT, "no dtype"},
        {TENSOR("\"F8_E4M3\"", "[]", "[0,1]"), 1, BERTC_UNSUPPORTED, "F8_E4M3"},
        {TENSOR("\"F32\"", "3", "[0,4]"), 4, BERTC_FORMAT, "shape is not an array"},
        {TENSOR("\"F32\"", "[1,\"2\"]", "[0,4]"), 4, BERTC_FORMAT, "dimension 1 of its shape"},
        {TENSOR("\"F32\"", "[-1]", "[0,4]"), 4, BERTC_FORMAT, "dimension 0 of its shape"},
        {TENSOR("\"F32\"", "[1.5]", "[0,4]"), 4, BERTC_FORMAT, "dimension 0 of its shape"},
        {TENSOR("\"U8\"", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, BERTC_UNSUPPORTED, "9 dimensions"},
        {TENSOR("\"F32\"", "[4294967296,4294967296]", "[0,0]"), 0, BERTC_FORMAT, "more elements than"},
        {TENSOR("\"F32\"", "[0,4294967296,4294967296]", "[0,0]"), 0, BERTC_FORMAT, "more elements than"},
        {TENSOR("\"F32\"", "[1]", "[0]"), 4, BERTC_FORMAT, "two ascending integers"},
        {TENSOR("\"F32\"", "[1]", "[4,0]"), 4, BERTC_FORMAT, "two ascending integers"},
        {TENSOR("\"F32\"", "[1]", "[-4,0]"), 4, BERTC_FORMAT, "two ascending integers"},
        {TENSOR("\"F32\"", "[1]", "[0,9]"), 8, BERTC_FORMAT, "only 8 bytes of data"},
        {TENSOR("\"F32\"", "[1]", "[0,8]"), 8, BERTC_FORMAT, "has 8 bytes, but its shape and dtype take 4"},
        {TENSOR("\"F32\"", "[1]", "[4,8]"), 8, BERTC_FORMAT, "gap that starts at byte 0"},
        {TENSOR("\"F32\"", "[1]", "[0,4]"), 5, BERTC_FORMAT, "ends at data byte 4, but the file has 5"},
        {"{" A ",\"b\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[6,11]}}", 11, BERTC_FORMAT,
         "inside the tensor"},
        {"{" A "," A "}", 8, BERTC_FORMAT, "the key \"a\" twice"},
    };
    struct bt_named_tensor *t;
    size_t count;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct bt_arena arena = {0};
        struct bertc_error err = {0};
        CHECK_REFUSAL(read_tensors(refusals[i].header, refusals[i].data_size, 0, &arena, &t, &count, &err), &err,
                      refusals[i].status, refusals[i].text);
        bt_arena_free(&arena);
    }
    static const struct {
        const char *data;
        size_t size;
        const char *text;
    } heads[] = {
        {"\2\0\0\0\0\0\0", 7, "this one has 7"},
        {"\3\0\0\0\0\0\0\0{}", 10, "truncated?"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "at most 100000000"},
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct bt_arena arena = {0};
        struct bertc_error err = {0};
        struct bt_span bytes = {(const uint8_t *)heads[i].data, heads[i].size};
        CHECK_REFUSAL(bt_safetensors_read(bytes, &arena, &t, &count, &err), &err, BERTC_FORMAT, heads[i].text);
        bt_arena_free(&arena);
    }
}

static void test_out_of_memory(void)
{
    enum bertc_status status = BERTC_MEMORY;
    long n = 0;
    while (status == BERTC_MEMORY && n < 1000) {
        struct bt_arena arena = {0};
        struct bertc_error err = {0};
        struct bt_named_tensor *t;
        size_t count;
        bt_alloc_fail_at(++n);
        status = read_tensors("{" A "," B "," C "}", 11, 1, &arena, &t, &count, &err);
        CHECK(status == BERTC_OK || (status == BERTC_MEMORY && strstr(err.text, "out of memory")));
        bt_alloc_fail_at(0);
        bt_arena_free(&arena);
    }
    CHECK(status == BERTC_OK && n > 3);
}

int main(void)
{
    check_group("chars", test_chars);
    check_group("crc32", test_crc32);
    check_group("json", test_json);
    check_group("json refusals", test_json_refusals);
    check_group("safetensors", test_safetensors);
    check_group("safetensors refusals", test_safetensors_refusals);
    check_group("safetensors out of memory", test_out_of_memory);
    return check_result();
}
