/* fuzz_format.c: feed any bytes to the file readers; they must return, whatever they are given
 * With libFuzzer: clang -fsanitize=fuzzer,address,undefined. With gcc: -fsanitize=address,undefined -DBT_FUZZ_MAIN,
 * then `fuzz_format FILE...` runs the files, and `fuzz_format -mutate N SEED FILE...` also N mutations of each. */
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "bertc.h"
#include "format/json.h"
#include "format/npy.h"
#include "format/pickle.h"
#include "format/safetensors.h"
#include "format/tscode.h"
#include "format/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink; /* keeps the reads below from being optimised away */

static void touch(struct bt_span bytes)
{
    for (size_t i = 0; i < bytes.size; i += 61) {
        sink ^= bytes.data[i];
    }
    sink ^= bytes.size ? bytes.data[bytes.size - 1] : 0;
}

static void touch_tensor(const struct bt_tensor *tensor)
{
    int64_t last = 0;
    for (int i = 0; i < tensor->rank; i++) {
        if (tensor->dims[i] == 0) {
            return;
        }
        last += (tensor->dims[i] - 1) * tensor->strides[i];
    }
    size_t item = bt_dtype_size(tensor->dtype);
    touch((struct bt_span){(const uint8_t *)tensor->data + (size_t)last * item, item});
}

static void touch_pickle(const struct bt_pickle *value)
{
    if (value->kind == BT_PICKLE_TENSOR) {
        touch_tensor(&value->tensor);
    } else if (value->items) {
        for (size_t i = 0; i < value->size; i++) {
            touch_pickle(value->items[i]);
        }
    } else if (value->text) {
        touch((struct bt_span){(const uint8_t *)value->text, value->size + 1});
    }
}

/* As a loader would: the key is a member of the archive. Without an archive there are some bytes of anything. */
static enum bertc_status find_storage(void *context, const char *key, enum bt_dtype dtype, int64_t numel,
                                      struct bt_span *out, struct bertc_error *err)
{
    static const _Alignas(64) uint8_t bytes[1 << 20];
    (void)dtype;
    (void)numel;
    struct bt_zip *zip = context;
    struct bt_zip_member *member = zip ? bt_zip_find(zip, key) : NULL;
    if (member) {
        return bt_zip_read(zip, member, out, err);
    }
    *out = (struct bt_span){bytes, sizeof bytes};
    return BERTC_OK;
}

static void read_text(struct bt_span bytes, struct bt_zip *zip)
{
    struct bertc_error err;
    struct bt_arena arena = {0};
    struct bt_pickle_options options = {.storage = find_storage, .context = zip, .name = "fuzz"};
    struct bt_pickle *value;
    if (bt_pickle_read(bytes, &options, &arena, &value, NULL, &err) == BERTC_OK) {
        touch_pickle(value);
    }
    struct bt_json *json;
    (void)bt_json_parse(bytes, &arena, &json, &err);
    struct bt_ts_file *code;
    (void)bt_tscode_parse("fuzz", bytes, &arena, &code, &err);
    bt_arena_free(&arena);
}

/* As a file of weights, in whatever format. */
static void read_state(struct bt_span bytes)
{
    struct bertc_error err;
    struct bt_state *state;
    size_t count;
    if (bertc_state_load_memory(bytes.data, bytes.size, "fuzz", NULL, NULL, &state, &err) == BERTC_OK) {
        const struct bertc_weight *weights = bertc_state_tensors(state, &count);
        for (size_t i = 0; i < count; i++) {
            touch_tensor(&weights[i].tensor);
        }
        bertc_state_free(state);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bertc_error err;
    struct bt_span bytes = {data, size};
    read_text(bytes, NULL);
    read_state(bytes);

    struct bt_arena arena = {0};
    struct bt_named_tensor *tensors;
    size_t count;
    if (bt_safetensors_read(bytes, &arena, &tensors, &count, &err) == BERTC_OK) {
        for (size_t i = 0; i < count; i++) {
            touch_tensor(&tensors[i].tensor);
        }
    }
    bt_arena_free(&arena);

    struct bt_zip zip;
    if (bt_zip_open(bytes, &zip, &err) == BERTC_OK) {
        for (size_t i = 0; i < zip.count; i++) {
            struct bt_span member;
            zip.members[i].crc = 0; /* else no mutation of a member would get past its checksum */
            if (bt_zip_read(&zip, &zip.members[i], &member, &err) == BERTC_OK) {
                struct bt_tensor array;
                touch(member);
                read_text(member, &zip);
                if (bt_npy_read(member, &array, &err) == BERTC_OK) {
                    touch((struct bt_span){array.data, (size_t)(member.data + member.size - (uint8_t *)array.data)});
                }
            }
        }
    }
    bt_zip_close(&zip);
    return 0;
}

#ifdef BT_FUZZ_MAIN
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Changes a few places: half of the time near the end, where a zip has its directory. */
static size_t mutate(uint8_t *data, size_t size, uint64_t *random)
{
    static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, '.', '(', '/'};
    size_t edits = 1 + next_random(random) % 8;
    for (size_t i = 0; i < edits && size > 0; i++) {
        size_t reach = next_random(random) % 2 && size > 8192 ? 8192 : size;
        size_t at = size - 1 - next_random(random) % reach;
        switch (next_random(random) % 4) {
        case 0: data[at] ^= (uint8_t)(1 << next_random(random) % 8); break;
        case 1: data[at] = (uint8_t)next_random(random); break;
        case 2: data[at] = telling[next_random(random) % sizeof telling]; break;
        default: { /* copy a piece to somewhere else */
            size_t from = next_random(random) % size, room = size - (from > at ? from : at);
            memmove(data + at, data + from, 1 + next_random(random) % (room < 64 ? room : 64));
        }
        }
    }
    if (next_random(random) % 16 == 0 && size > 0) { /* rarely, since no offset is right any more: take a byte away */
        size_t at = next_random(random) % size;
        memmove(data + at, data + at + 1, size - at - 1);
        size--;
    }
    if (next_random(random) % 16 == 0) {
        size = next_random(random) % (size + 1);
    }
    return size;
}

static int run_file(const char *path, long mutations, uint64_t seed)
{
    struct bertc_error err;
    struct bt_file *file;
    if (bt_file_map(path, &file, &err) != BERTC_OK) {
        printf("%s\n", err.text);
        return 1;
    }
    struct bt_span bytes = bt_file_bytes(file);
    LLVMFuzzerTestOneInput(bytes.data, bytes.size);
    uint64_t random = seed * 2 + 1;
    for (long i = 0; i < mutations; i++) {
        uint8_t *copy = malloc(bytes.size ? bytes.size : 1);
        if (!copy) {
            break;
        }
        memcpy(copy, bytes.data, bytes.size);
        size_t size = mutate(copy, bytes.size, &random);
        uint8_t *exact = realloc(copy, size ? size : 1);
        LLVMFuzzerTestOneInput(exact ? exact : copy, size);
        free(exact ? exact : copy);
    }
    bt_file_unref(file);
    return 0;
}

int main(int argc, char **argv)
{
    long mutations = 0;
    uint64_t seed = 1;
    int first = 1, failures = 0;
    if (argc > 3 && strcmp(argv[1], "-mutate") == 0) {
        mutations = strtol(argv[2], NULL, 10);
        seed = strtoull(argv[3], NULL, 10);
        first = 4;
    }
    for (int i = first; i < argc; i++) {
        failures += run_file(argv[i], mutations, seed);
    }
    printf("%d files, %ld mutations each\n", argc - first, mutations);
    return failures > 0;
}
#endif
