/* test_onnx.c: loading ONNX files when memory runs out, or from truncated files: an error each time, and no leak */
#include "base/file.h"
#include "base/memory.h"
#include "bertc.h"
#include "check.h"

static const struct bertc_options one_thread = {.threads = 1};
static const char *const paths[] = {"tests/data/onnx/bert-int8.onnx", "tests/data/onnx/bert-multihead.onnx",
                                    "tests/data/onnx/bert-typed.onnx", "tests/data/onnx/bert-external.onnx"};

static void test_out_of_memory(void)
{
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct bertc_error err = {0};
        struct bertc_model *model = NULL;
        enum bertc_status status = BERTC_MEMORY;
        long n = 0;
        while (status == BERTC_MEMORY && n < 10000) {
            bt_alloc_fail_at(++n);
            status = bertc_model_load(paths[i], &one_thread, &model, &err);
        }
        bt_alloc_fail_at(0);
        CHECK(status == BERTC_OK && n > 10);
        bertc_model_free(model);
    }
}

static void test_truncated(void)
{
    struct bertc_error err;
    struct bt_file *file;
    CHECK(!bt_file_map(paths[1], &file, &err));
    const struct bt_span bytes = bt_file_bytes(file);
    for (size_t size = 0; size < bytes.size; size += 1 + size / 40) {
        struct bertc_model *model = NULL;
        enum bertc_status status =
            bertc_model_load_memory(bytes.data, size, "cut", NULL, NULL, &one_thread, &model, &err);
        CHECK_REFUSAL(status, &err, BERTC_FORMAT, "");
        bertc_model_free(model);
    }
    bt_file_unref(file);
}

int main(void)
{
    check_group("onnx out of memory", test_out_of_memory);
    check_group("onnx truncated", test_truncated);
    return check_result();
}
