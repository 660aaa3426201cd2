/* test_base.c: errors, memory, tensors' arithmetic, files */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/tensor.h"
#include "check.h"

static void test_error(void)
{
    struct bertc_error err = {0};
    CHECK(bt_error_set(&err, BERTC_FORMAT, "byte %d", 7) == BERTC_FORMAT);
    CHECK(bt_error_prefix(&err, "member %s", "a") == BERTC_FORMAT);
    CHECK(bt_error_append(&err, " of %d", 9) == BERTC_FORMAT);
    CHECK(strcmp(err.text, "member a: byte 7 of 9") == 0);

    char longer[2 * sizeof err.text];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    bt_error_prefix(&err, "%s", longer);
    bt_error_append(&err, "%s", longer);
    CHECK(strlen(err.text) == sizeof err.text - 1);
    CHECK(bt_error_set(NULL, BERTC_INPUT, "no one listens") == BERTC_INPUT);
}

static void test_memory(void)
{
    size_t size;
    int64_t value;
    CHECK(!bt_mul_size(SIZE_MAX / 2, 3, &size) && bt_mul_size(3, 4, &size) && size == 12);
    CHECK(!bt_add_size(SIZE_MAX, 1, &size));
    CHECK(!bt_mul_i64(INT64_MIN, -1, &value) && !bt_add_i64(INT64_MAX, 1, &value));
    CHECK(bt_alloc(SIZE_MAX / 2, 3) == NULL && bt_alloc(1, SIZE_MAX) == NULL);

    void *p = bt_alloc(0, 8);
    CHECK(p != NULL && (uintptr_t)p % BT_ALIGN == 0);
    bt_free(p);

    bt_alloc_fail_at(2);
    p = bt_alloc(1, 1);
    CHECK(p != NULL && bt_alloc(1, 1) == NULL);
    bt_free(p);
    p = bt_calloc(3, 5);
    CHECK(p != NULL && memcmp(p, (char[15]){0}, 15) == 0);
    bt_free(p);
}

static void test_arena(void)
{
    struct bt_arena arena = {0};
    CHECK(bt_arena_alloc(&arena, SIZE_MAX / 2, 4) == NULL);
    bool zeroed = true, aligned = true;
    for (size_t i = 0; i < 3000; i++) {
        unsigned char *p = bt_arena_alloc(&arena, i % 97, 1);
        aligned = aligned && p && (uintptr_t)p % 16 == 0;
        for (size_t k = 0; p && k < i % 97; k++) {
            zeroed = zeroed && p[k] == 0;
            p[k] = 0xff;
        }
    }
    CHECK(zeroed && aligned);
    CHECK(bt_arena_alloc(&arena, 1, 3 << 20) != NULL);
    CHECK(strcmp(bt_arena_printf(&arena, "%d-%s", 5, "x"), "5-x") == 0);
    CHECK(strcmp(bt_arena_string(&arena, "abcdef", 3), "abc") == 0);

    int *items = NULL;
    size_t cap = 0;
    for (int i = 0; i < 1000; i++) {
        CHECK(bt_arena_reserve(&arena, &items, &cap, (size_t)i + 1, sizeof *items));
        CHECK(items[i] == 0);
        items[i] = i;
    }
    CHECK(items[0] == 0 && items[999] == 999 && cap >= 1000);
    CHECK(!bt_arena_reserve(&arena, &items, &cap, SIZE_MAX, sizeof *items));
    bt_arena_free(&arena);
    CHECK(arena.head == NULL && arena.total == 0);
}

static float nearest_f16(float value)
{
    return bt_f16_to_f32(bt_f32_to_f16(value));
}

static void test_half(void)
{
    bool exact = true;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        float value = bt_f16_to_f32((uint16_t)bits);
        exact = exact && (isnan(value) ? isnan(nearest_f16(value)) : bt_f32_to_f16(value) == bits);
    }
    CHECK(exact);
    CHECK(bt_f16_to_f32(0x3c00) == 1 && bt_f16_to_f32(0x0001) == 0x1p-24f && bt_f16_to_f32(0x7bff) == 65504);
    CHECK(nearest_f16(65519.0f) == 65504 && isinf(nearest_f16(65520.0f)) && isinf(nearest_f16(-1e30f)));
    CHECK(nearest_f16(1 + 0x1p-11f) == 1 && nearest_f16(1 + 0x3p-11f) == 1 + 0x1p-9f); /* ties go to even */
    CHECK(nearest_f16(0x1p-25f) == 0 && nearest_f16(0x1.8p-25f) == 0x1p-24f && signbit(nearest_f16(-0x1p-40f)));
    CHECK(bt_bf16_to_f32(0x3f80) == 1);
}

static void test_tensor(void)
{
    int64_t strides[3];
    bt_contiguous_strides(3, (int64_t[]){2, 0, 4}, strides);
    CHECK(strides[0] == 4 && strides[1] == 4 && strides[2] == 1);
    CHECK(bt_numel(0, NULL) == 1 && bt_numel(3, (int64_t[]){2, 3, 4}) == 24);
    CHECK(bt_is_contiguous(2, (int64_t[]){3, 4}, (int64_t[]){4, 1}));
    CHECK(!bt_is_contiguous(2, (int64_t[]){3, 4}, (int64_t[]){1, 3}));
    CHECK(bt_is_contiguous(3, (int64_t[]){3, 1, 4}, (int64_t[]){4, 99, 1}));
    CHECK(bt_is_contiguous(2, (int64_t[]){0, 4}, (int64_t[]){7, 9}));
    enum bt_dtype dtype;
    CHECK(bt_dtype_from_aten(15, &dtype) && dtype == BT_BF16 && bt_dtype_from_aten(12, &dtype) && dtype == BT_I8);
    CHECK(!bt_dtype_from_aten(8, &dtype) && !bt_dtype_from_aten(-1, &dtype));
    CHECK(strcmp(bt_dtype_name(BT_BOOL), "bool") == 0 && bt_dtype_size(BT_F64) == 8);
    CHECK(bt_dtype_is_float(BT_BF16) && bt_dtype_is_int(BT_U8) && !bt_dtype_is_int(BT_BOOL));
    CHECK(bt_dtype_storage(BT_F16) == BT_F32 && bt_dtype_storage(BT_I8) == BT_I8);
}

static void count_release(void *owner)
{
    ++*(int *)owner;
}

static void test_file(void)
{
    struct bertc_error err = {0};
    struct bt_file *file;
    CHECK_REFUSAL(bt_file_map("/nonexistent/model.pt", &file, &err), &err, BERTC_IO, "/nonexistent/model.pt");
    CHECK(err.code == ENOENT);
    CHECK_REFUSAL(bt_file_map("/", &file, &err), &err, BERTC_IO, "directory");
    CHECK(err.code == EISDIR);
    CHECK_REFUSAL(bt_file_map("/dev/null", &file, &err), &err, BERTC_IO, "not a regular file");

    char path[] = "/tmp/bertc_test_XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && bt_file_map(path, &file, &err) == BERTC_OK && bt_file_bytes(file).size == 0);
    bt_file_unref(file);
    CHECK(write(fd, "bytes", 5) == 5 && close(fd) == 0 && bt_file_map(path, &file, &err) == BERTC_OK);
    CHECK(bt_file_bytes(file).size == 5 && memcmp(bt_file_bytes(file).data, "bytes", 5) == 0);
    bt_file_unref(file);
    unlink(path);

    int released = 0;
    CHECK(bt_file_wrap("abc", 3, count_release, &released, &file, &err) == BERTC_OK);
    bt_file_unref(bt_file_ref(file));
    CHECK(released == 0);
    bt_file_unref(file);
    CHECK(released == 1);
    bt_file_unref(NULL);
}

/* Pages that are given back are read from the file again. */
static void test_file_drop(void)
{
    enum { SIZE = 1 << 20 };
    struct bertc_error err = {0};
    struct bt_file *file;
    char path[] = "/tmp/bertc_test_XXXXXX";
    uint8_t *bytes = bt_alloc(SIZE, 1);
    for (size_t i = 0; i < SIZE; i++) {
        bytes[i] = (uint8_t)(i * 7 + (i >> 12));
    }
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, bytes, SIZE) == SIZE && close(fd) == 0 && bt_file_map(path, &file, &err) == BERTC_OK);
    const uint8_t *data = bt_file_bytes(file).data;
    CHECK(memcmp(data, bytes, SIZE) == 0 && bt_file_resident(file) == SIZE);
    bt_file_drop(file, data + 1, SIZE / 2); /* the first page is not whole */
    const size_t left = bt_file_resident(file);
    CHECK(left > SIZE / 2 && left < SIZE / 2 + SIZE / 8);
    CHECK(memcmp(data, bytes, SIZE) == 0 && bt_file_resident(file) == SIZE);
    bt_file_drop(file, data + 1, SIZE); /* not all of it is the file's */
    bt_file_drop(file, bytes, SIZE);
    bt_file_drop(file, data + 1, 10);
    CHECK(bt_file_resident(file) == SIZE);
    bt_file_unref(file);
    unlink(path);

    CHECK(bt_file_wrap(bytes, SIZE, NULL, NULL, &file, &err) == BERTC_OK && bt_file_resident(file) == 0);
    bt_file_drop(file, bytes, SIZE);
    CHECK(bytes[4097] == (uint8_t)(4097 * 7 + 1));
    bt_file_unref(file);
    bt_free(bytes);
}

int main(void)
{
    check_group("error", test_error);
    check_group("memory", test_memory);
    check_group("arena", test_arena);
    check_group("half", test_half);
    check_group("tensor", test_tensor);
    check_group("file", test_file);
    check_group("file drop", test_file_drop);
    return check_result();
}
