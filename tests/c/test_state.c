/* test_state.c: weights from files and from memory through the C API, models of them, and lack of memory */
#include <stdint.h>
#include <stdlib.h>

#include "base/memory.h"
#include "bertc.h"
#include "check.h"
#include "format/npy.h"
#include "format/torch_legacy.h"

#define DATA "tests/data/state/"

static const char *const files[] = {
    DATA "zip.bin", DATA "legacy.bin",       DATA "wrapped.bin",
    DATA "bars.ot", DATA "legacy_views.bin", DATA "genuine/libtorch1.4.0_dots.ot",
};
#define FILES (sizeof files / sizeof files[0])

static const struct bertc_weight *find(const struct bt_state *state, const char *name)
{
    size_t count;
    const struct bertc_weight *weights = bertc_state_tensors(state, &count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(weights[i].name, name) == 0) {
            return &weights[i];
        }
    }
    return NULL;
}

static void test_files(void)
{
    struct bertc_error err = {0};
    for (size_t i = 0; i < FILES; i++) {
        struct bt_state *state = NULL;
        size_t count = 0;
        CHECK(bertc_state_load(files[i], &state, &err) == BERTC_OK);
        CHECK(bertc_state_tensors(state, &count) && count > 3);
        bertc_state_free(state);
    }
    struct bt_state *state;
    CHECK(bertc_state_load(DATA "legacy_views.bin", &state, &err) == BERTC_OK);
    const struct bertc_weight *whole = find(state, "whole"), *columns = find(state, "columns");
    CHECK(whole && columns && find(state, "tied")->tensor.data == whole->tensor.data && whole->is_parameter);
    CHECK((const float *)columns->tensor.data == (const float *)whole->tensor.data + 3);
    CHECK(columns->tensor.strides[0] == 10 && columns->tensor.dims[1] == 2);
    CHECK(find(state, "int64")->tensor.dtype == BT_I64 && !find(state, "int64")->is_parameter);
    bertc_state_free(state);
    bertc_state_free(NULL);
    CHECK_REFUSAL(bertc_state_load(DATA "nowhere", &state, &err), &err, BERTC_IO, "nowhere");
    CHECK_REFUSAL(bertc_state_load(DATA "make.py", &state, &err), &err, BERTC_FORMAT, "make.py: not a model file");
    CHECK_REFUSAL(bertc_state_load(DATA, &state, &err), &err, BERTC_FORMAT, "no weights: none of model.safetensors");
}

static void count_release(void *owner)
{
    ++*(int *)owner;
}

static void test_memory(void)
{
    static const char file[] = "\x36\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"U16\",\"shape\":[2],\"data_offsets\":[0,4]}}"
                               "\1\0\2\0";
    struct bertc_error err = {0};
    struct bt_state *state;
    int releases = 0;
    CHECK(bertc_state_load_memory(file, sizeof file - 1, "bytes", count_release, &releases, &state, &err) == BERTC_OK);
    const struct bertc_weight *w = find(state, "w");
    CHECK(w && w->tensor.dtype == BT_U16 && w->tensor.dims[0] == 2 && ((const uint16_t *)w->tensor.data)[1] == 2);
    CHECK(releases == 0);
    bertc_state_free(state);
    CHECK(releases == 1);
    CHECK_REFUSAL(bertc_state_load_memory(file, 30, "bytes", count_release, &releases, &state, &err), &err,
                  BERTC_FORMAT, "bytes: the safetensors header has 54 bytes");
    CHECK(releases == 2);
}

static void test_tensors(void)
{
    static const float data[] = {1, 2, 3, 4};
    char name[] = "a";
    struct bertc_weight weights[] = {
        {name, {.dtype = BT_F32, .rank = 2, .dims = {2, 2}, .strides = {1, 2}, .data = data}, true},
        {"b", {.dtype = BT_F32, .rank = 0, .data = data + 3}, true},
    };
    struct bertc_error err = {0};
    struct bt_state *state;
    CHECK(bertc_state_new(weights, 2, &state, &err) == BERTC_OK);
    name[0] = 'x'; /* names are copied */
    CHECK(find(state, "a")->tensor.data == data && find(state, "a")->tensor.strides[1] == 2 && find(state, "b"));
    bertc_state_free(state);
    weights[0].name = "b";
    CHECK_REFUSAL(bertc_state_new(weights, 2, &state, &err), &err, BERTC_FORMAT, "two tensors are named \"b\"");
    CHECK(bertc_state_new(weights, 0, &state, &err) == BERTC_OK);
    bertc_state_free(state);
}

/* The whole file; the caller frees it. */
static char *read_all(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *data = malloc(1 << 20);
    *size = file && data ? fread(data, 1, 1 << 20, file) : 0;
    if (file) {
        fclose(file);
    }
    return data;
}

static void test_model(void)
{
    const struct bertc_options options = {.threads = 1};
    struct bertc_error err = {0};
    struct bt_state *state;
    struct bertc_model *model;
    size_t size, count;
    char *config = read_all(DATA "config.json", &size);
    CHECK(bertc_state_load(DATA "legacy.bin", &state, &err) == BERTC_OK);
    CHECK(bertc_model_from_state(config, size, state, "m", &options, &model, &err) == BERTC_OK);
    CHECK_REFUSAL(bertc_model_from_state("{}", 2, state, "m", &options, &model, &err), &err, BERTC_FORMAT,
                  "m: config.json: no model_type");
    bertc_state_free(state); /* the model has its own reference */
    CHECK(bertc_model_weights(model, &count) && count == 23);
    bertc_model_free(model);
    free(config);
}

/* Data at an odd address stays where it is: whoever reads it aligns it. */
static void test_npy(void)
{
    static const char head[] = "\x93NUMPY\1\0\x3b\0{'descr': '<i2', 'fortran_order': True, 'shape': (2, 1, 2), }";
    _Alignas(8) uint8_t bytes[80];
    const size_t size = sizeof head - 1;
    struct bertc_error err = {0};
    struct bt_tensor t;
    memcpy(bytes, head, size);
    bytes[8] = (uint8_t)(size - 10);
    memset(bytes + size, 0, 8);
    CHECK(bt_npy_read((struct bt_span){bytes, size + 8}, &t, &err) == BERTC_OK && t.dtype == BT_I16 && t.rank == 3);
    CHECK(t.strides[0] == 1 && t.strides[1] == 2 && t.strides[2] == 2 && t.data == bytes + size);
    CHECK_REFUSAL(bt_npy_read((struct bt_span){bytes, size + 7}, &t, &err), &err, BERTC_FORMAT, "its data has 7 bytes");
    CHECK_REFUSAL(bt_npy_read((struct bt_span){bytes, 5}, &t, &err), &err, BERTC_FORMAT, "no .npy data");
    CHECK(bt_npy_probe((struct bt_span){bytes, 6}) && !bt_npy_probe((struct bt_span){bytes, 5}));
}

/* clang-format off: in the pickles below, an escape ends where the next string begins */

#define MAGIC "\x80\2\x8a\xa\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
#define VERSION "\x80\2M\xe9\3."
#define SYSTEM "\x80\2}."
#define STORAGE(class, key, numel, view) "(\x8c\7storage" "c" "torch\n" class "Storage\n" "\x8c\1" key "\x8c\3" "cpu" \
    numel view "tQ"
#define TENSOR(storage) "ctorch._utils\n_rebuild_tensor_v2\n(" storage "K\0K\2\x85K\1\x85\x89" \
    "ccollections\nOrderedDict\n)RtR"
#define OBJECT(items) "\x80\2}(" items "u."
#define ITEM(name, tensor) "\x8c\1" name tensor
#define KEYS(items) "\x80\2](" items "e."
#define KEY(name) "\x8c\1" name
#define TWO "\2\0\0\0\0\0\0\0"
#define FLOATS STORAGE("Float", "0", "K\2", "N")
#define ONE_FLOAT_TENSOR OBJECT(ITEM("w", TENSOR(FLOATS)))

static const struct {
    const char *data;
    size_t size;
    enum bertc_status status;
    const char *text;
} streams[] = {
#define STREAM(text) text, sizeof(text) - 1
    {STREAM(MAGIC VERSION SYSTEM ONE_FLOAT_TENSOR KEYS(KEY("0")) TWO "12345678"), BERTC_OK, ""},
    {STREAM(MAGIC VERSION SYSTEM ONE_FLOAT_TENSOR KEYS(KEY("0")) TWO "1234567"), BERTC_FORMAT,
     "ends inside storage \"0\""},
    {STREAM(MAGIC VERSION SYSTEM ONE_FLOAT_TENSOR KEYS(KEY("0")) "\2\0\0"), BERTC_FORMAT, "ends inside storage \"0\""},
    {STREAM(MAGIC VERSION SYSTEM ONE_FLOAT_TENSOR KEYS(KEY("0")) "\3\0\0\0\0\0\0\0"
                                                                 "12345678"),
     BERTC_FORMAT, "storage \"0\" has 3 elements where its tensors say 2"},
    {STREAM(MAGIC VERSION SYSTEM ONE_FLOAT_TENSOR KEYS("") TWO "12345678"), BERTC_FORMAT,
     "storage \"0\" is not in the file"},
    {STREAM(MAGIC VERSION SYSTEM ONE_FLOAT_TENSOR KEYS(KEY("1")) TWO "12345678"), BERTC_FORMAT,
     "one that no tensor uses"},
    {STREAM(MAGIC VERSION SYSTEM ONE_FLOAT_TENSOR KEYS(KEY("0") KEY("0")) TWO "12345678" TWO "12345678"), BERTC_FORMAT,
     "or has it twice"},
    {STREAM(MAGIC VERSION SYSTEM ONE_FLOAT_TENSOR KEYS("K\0") TWO "12345678"), BERTC_FORMAT, "list of storages"},
    {STREAM(MAGIC VERSION SYSTEM ONE_FLOAT_TENSOR "\x80\2N." TWO "12345678"), BERTC_FORMAT, "no list of storages"},
    {STREAM(MAGIC VERSION SYSTEM OBJECT(ITEM("w", TENSOR(FLOATS)) ITEM("v", TENSOR(STORAGE("Int", "0", "K\2", "N"))))
                KEYS(KEY("0")) TWO "12345678"),
     BERTC_FORMAT, "storage \"0\" has two dtypes or sizes"},
    {STREAM(MAGIC VERSION SYSTEM OBJECT(ITEM("w", TENSOR(STORAGE("Float", "0", "K\1", "N")))) KEYS(KEY("0"))),
     BERTC_FORMAT, "reaches beyond its storage"},
    {STREAM(MAGIC VERSION SYSTEM OBJECT(ITEM("w", TENSOR(STORAGE("Float", "0", "J\xff\xff\xff\xff", "N")))) KEYS("")),
     BERTC_FORMAT, "claims -1 elements"},
    {STREAM(MAGIC VERSION SYSTEM OBJECT(
         ITEM("w", TENSOR(STORAGE("Float", "0", "\x8a\x8\xff\xff\xff\xff\xff\xff\xff\x7f", "N")))) KEYS("")),
     BERTC_FORMAT, "claims 9223372036854775807 elements"},
    {STREAM(MAGIC VERSION SYSTEM OBJECT(
         ITEM("w", TENSOR(STORAGE("Float", "0", "\x8a\x8\xff\xff\xff\xff\xff\xff\xff\x0f", "N"))))
                KEYS(KEY("0")) "\xff\xff\xff\xff\xff\xff\xff\x0f"
                               "12345678"),
     BERTC_FORMAT, "ends inside storage \"0\""},
    {STREAM(MAGIC VERSION SYSTEM OBJECT(ITEM("w", TENSOR(STORAGE("Float", "0", "K\2",
                                                                 "\x8c\1"
                                                                 "1K\0K\2\x87")))) KEYS(KEY("0")) TWO "12345678"),
     BERTC_UNSUPPORTED, "view of another"},
    {STREAM(MAGIC VERSION SYSTEM "\x80\2]q\0h\0a."), BERTC_FORMAT, "contains itself"},
    {STREAM(MAGIC VERSION SYSTEM "\x80\2]."), BERTC_FORMAT, "list of storages: pickle byte"},
    {STREAM(MAGIC VERSION "\x80\2}\x8c\xdlittle_endian\x89s." ONE_FLOAT_TENSOR), BERTC_UNSUPPORTED, "big-endian"},
    {STREAM(MAGIC "\x80\2M\xe8\3." SYSTEM ONE_FLOAT_TENSOR), BERTC_UNSUPPORTED, "is not 1001"},
    {STREAM(MAGIC VERSION "\x80\2cos\nsystem\n."), BERTC_UNSUPPORTED, "refers to \"os system\""},
    {STREAM("\x80\2\x88." MAGIC VERSION SYSTEM), BERTC_FORMAT, "magic number"},
};

/* clang-format on */

static void test_legacy(void)
{
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        struct bertc_error err = {0};
        struct bt_arena arena = {0};
        struct bt_pickle *saved;
        uint8_t *copy = bt_alloc(streams[i].size, 1);
        memcpy(copy, streams[i].data, streams[i].size);
        enum bertc_status status = bt_torch_legacy_read((struct bt_span){copy, streams[i].size}, &arena, &saved, &err);
        if (streams[i].status) {
            CHECK_REFUSAL(status, &err, streams[i].status, streams[i].text);
        } else {
            CHECK(status == BERTC_OK && memcmp(bt_pickle_get(saved, "w")->tensor.data, "12345678", 8) == 0);
            CHECK((uintptr_t)bt_pickle_get(saved, "w")->tensor.data % 4 == 0);
            CHECK(bt_torch_legacy_probe((struct bt_span){copy, streams[i].size}));
        }
        bt_arena_free(&arena);
        bt_free(copy);
    }
}

static void test_out_of_memory(void)
{
    const struct bertc_options options = {.threads = 1};
    struct bertc_error err = {0};
    size_t size;
    char *config = read_all(DATA "config.json", &size);
    for (size_t i = 0; i < FILES; i++) {
        enum bertc_status status = BERTC_MEMORY;
        struct bt_state *state = NULL;
        long n = 0;
        while (status == BERTC_MEMORY && n < 10000) {
            bt_alloc_fail_at(++n);
            status = bertc_state_load(files[i], &state, &err);
        }
        bt_alloc_fail_at(0);
        CHECK(status == BERTC_OK && n > 3);
        struct bertc_model *model = NULL;
        for (status = BERTC_MEMORY, n = 0; i == 0 && status == BERTC_MEMORY && n < 10000;) {
            bt_alloc_fail_at(++n);
            status = bertc_model_from_state(config, size, state, "m", &options, &model, &err);
        }
        bt_alloc_fail_at(0);
        CHECK(i > 0 || status == BERTC_OK);
        bertc_model_free(model);
        bertc_state_free(state);
    }
    free(config);
}

int main(void)
{
    check_group("state files", test_files);
    check_group("state memory", test_memory);
    check_group("state tensors", test_tensors);
    check_group("state model", test_model);
    check_group("npy", test_npy);
    check_group("legacy streams", test_legacy);
    check_group("state out of memory", test_out_of_memory);
    return check_result();
}
