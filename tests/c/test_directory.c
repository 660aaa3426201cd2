/* test_directory.c: load a Hugging Face directory with a tiny BERT, run it, refuse broken ones */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "bertc.h"
#include "check.h"

static const struct bertc_options one_thread = {.threads = 1};

#define CONFIG                                                                                                         \
    "\"model_type\":\"bert\",\"vocab_size\":7,\"hidden_size\":4,\"num_hidden_layers\":1,\"num_attention_heads\":2,"    \
    "\"intermediate_size\":6,\"max_position_embeddings\":5,\"type_vocab_size\":2"

static const struct weight {
    const char *name;
    int rows, columns; /* columns 0: a vector */
} weights[] = {
    {"embeddings.word_embeddings.weight", 7, 4},
    {"embeddings.position_embeddings.weight", 5, 4},
    {"embeddings.token_type_embeddings.weight", 2, 4},
    {"embeddings.LayerNorm.weight", 4, 0},
    {"embeddings.LayerNorm.bias", 4, 0},
    {"encoder.layer.0.attention.self.query.weight", 4, 4},
    {"encoder.layer.0.attention.self.query.bias", 4, 0},
    {"encoder.layer.0.attention.self.key.weight", 4, 4},
    {"encoder.layer.0.attention.self.key.bias", 4, 0},
    {"encoder.layer.0.attention.self.value.weight", 4, 4},
    {"encoder.layer.0.attention.self.value.bias", 4, 0},
    {"encoder.layer.0.attention.output.dense.weight", 4, 4},
    {"encoder.layer.0.attention.output.dense.bias", 4, 0},
    {"encoder.layer.0.attention.output.LayerNorm.weight", 4, 0},
    {"encoder.layer.0.attention.output.LayerNorm.bias", 4, 0},
    {"encoder.layer.0.intermediate.dense.weight", 6, 4},
    {"encoder.layer.0.intermediate.dense.bias", 6, 0},
    {"encoder.layer.0.output.dense.weight", 4, 6},
    {"encoder.layer.0.output.dense.bias", 4, 0},
    {"encoder.layer.0.output.LayerNorm.weight", 4, 0},
    {"encoder.layer.0.output.LayerNorm.bias", 4, 0},
    {"pooler.dense.weight", 4, 4},
    {"pooler.dense.bias", 4, 0},
};
#define WEIGHTS (sizeof weights / sizeof weights[0])

static char directory[] = "/tmp/bertc_test_XXXXXX";

static void write_file(const char *name, const void *data, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(data, 1, size, file) == size);
    if (file) {
        fclose(file);
    }
}

static void remove_file(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    unlink(path);
}

static void write_config(const char *members)
{
    write_file("config.json", members, strlen(members));
}

/* The name as the file shall have it: with a prefix, and LayerNorm's in the old way. */
static void file_name(char *out, size_t size, const char *name, const char *prefix, bool old)
{
    const char *norm = old ? strstr(name, "LayerNorm.") : NULL;
    if (norm) {
        snprintf(out, size, "%s%.*sLayerNorm.%s", prefix, (int)(norm - name), name,
                 strcmp(norm, "LayerNorm.weight") == 0 ? "gamma" : "beta");
    } else {
        snprintf(out, size, "%s%s", prefix, name);
    }
}

/* The first `count` weights, filled with the same numbers at every call. */
static void write_weights(size_t count, const char *prefix, bool old)
{
    struct bt_text header = {0};
    float data[400];
    size_t used = 0;
    uint32_t random = 1;
    for (size_t i = 0; i < count; i++) {
        const struct weight *w = &weights[i];
        char name[100], shape[32];
        size_t size = (size_t)w->rows * (size_t)(w->columns ? w->columns : 1);
        file_name(name, sizeof name, w->name, prefix, old);
        snprintf(shape, sizeof shape, w->columns ? "%d,%d" : "%d", w->rows, w->columns);
        bt_text_add(&header, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", i ? "," : "{",
                    name, shape, used * 4, (used + size) * 4);
        for (size_t k = 0; k < size; k++) {
            random = random * 1664525u + 1013904223u;
            data[used++] = (float)(random >> 8) * 0x1p-23f - 1;
        }
    }
    bt_text_add(&header, "}");
    while (header.size % 8 != 0) {
        bt_text_add(&header, " ");
    }
    struct bt_text file = {0};
    bt_text_add(&file, "%8s%s", "", header.data);
    memset(file.data, 0, 8);
    file.data[0] = (char)(header.size & 0xff);
    file.data[1] = (char)(header.size >> 8);
    char *whole = bt_alloc(file.size + used * 4, 1);
    memcpy(whole, file.data, file.size);
    memcpy(whole + file.size, data, used * 4);
    write_file("model.safetensors", whole, file.size + used * 4);
    bt_free(whole);
    bt_free(bt_text_take(&file));
    bt_free(bt_text_take(&header));
}

struct inputs {
    int64_t batch, sequence;
    const int64_t *ids, *mask, *types; /* NULL: not passed */
};

/* last_hidden_state and, when the model has it, pooler_output, one after the other. */
static enum bertc_status run(struct bertc_model *model, const struct inputs *in, float *out, struct bertc_error *err)
{
    const int64_t *data[] = {in->ids, in->mask, in->types};
    struct bertc_value args[3] = {{.kind = BERTC_NONE}};
    bool given[3];
    for (int i = 0; i < 3; i++) {
        given[i] = data[i] != NULL;
        if (given[i]) {
            args[i].kind = BERTC_TENSOR;
            args[i].tensor = (struct bt_tensor){.dtype = BT_I64,
                                                .rank = 2,
                                                .dims = {in->batch, in->sequence},
                                                .strides = {in->sequence, 1},
                                                .data = data[i]};
        }
    }
    struct bertc_call *call;
    enum bertc_status status = bertc_call_new(model, args, given, 3, 0, &call, err);
    if (status == BERTC_OK) {
        void *outputs[] = {out, out + in->batch * in->sequence * 4};
        status = bertc_call_run(call, outputs, err);
        bertc_call_free(call);
    }
    return status;
}

static bool near(const float *a, const float *b, size_t count)
{
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        good = good && fabsf(a[i] - b[i]) < 1e-5f;
    }
    return good;
}

static const int64_t ids[] = {1, 2, 3, 4, 5, 6}, ones[] = {1, 1, 1, 1, 1, 1}, zeros[6], padded[] = {1, 1, 0, 1, 1, 1};

static void test_run(void)
{
    struct bertc_error err = {0};
    struct bertc_model *model;
    float plain[32], other[32];
    write_config("{" CONFIG "}");
    write_weights(WEIGHTS, "", false);
    CHECK(bertc_model_load(directory, &one_thread, &model, &err) == BERTC_OK);
    CHECK(run(model, &(struct inputs){2, 3, ids, NULL, NULL}, plain, &err) == BERTC_OK);
    CHECK(run(model, &(struct inputs){2, 3, ids, ones, zeros}, other, &err) == BERTC_OK && near(plain, other, 32));
    CHECK(run(model, &(struct inputs){2, 3, ids, NULL, ones}, other, &err) == BERTC_OK && !near(plain, other, 12));
    CHECK(run(model, &(struct inputs){2, 3, ids, padded, NULL}, other, &err) == BERTC_OK && !near(plain, other, 12));
    CHECK(near(plain + 12, other + 12, 12)); /* the second sequence has no padding */
    CHECK(run(model, &(struct inputs){1, 2, ids, NULL, NULL}, plain, &err) == BERTC_OK && near(plain, other, 8));
    CHECK_REFUSAL(run(model, &(struct inputs){1, 6, ids, NULL, NULL}, other, &err), &err, BERTC_INPUT,
                  "sequence length 6 is longer than the model's 5 positions");
    bertc_model_free(model);

    write_weights(WEIGHTS, "bert.", true);
    CHECK(bertc_model_load(directory, &one_thread, &model, &err) == BERTC_OK);
    CHECK(run(model, &(struct inputs){1, 2, ids, NULL, NULL}, other, &err) == BERTC_OK && near(plain, other, 12));
    bertc_model_free(model);

    write_weights(WEIGHTS - 2, "", false); /* no pooler */
    CHECK(bertc_model_load(directory, &one_thread, &model, &err) == BERTC_OK);
    CHECK(run(model, &(struct inputs){1, 2, ids, NULL, NULL}, other, &err) == BERTC_OK && near(plain, other, 8));
    bertc_model_free(model);
}

static void check_load_refusal(const char *config, enum bertc_status status, const char *text)
{
    struct bertc_error err = {0};
    struct bertc_model *model;
    write_config(config);
    CHECK_REFUSAL(bertc_model_load(directory, &one_thread, &model, &err), &err, status, text);
}

static void test_refusals(void)
{
    static const struct {
        const char *config;
        enum bertc_status status;
        const char *text;
    } refusals[] = {
        {"{", BERTC_FORMAT, "config.json: JSON byte 1"},
        {"{}", BERTC_FORMAT, "no model_type"},
        {"{\"model_type\":\"gpt_x\"}", BERTC_UNSUPPORTED,
         "model_type 'gpt_x' is not supported as a directory (known: bert"},
        {"{" CONFIG ",\"is_decoder\":true}", BERTC_UNSUPPORTED, "is_decoder"},
        {"{" CONFIG ",\"add_cross_attention\":true}", BERTC_UNSUPPORTED, "add_cross_attention"},
        {"{" CONFIG ",\"position_embedding_type\":\"relative_key\"}", BERTC_UNSUPPORTED, "relative_key"},
        {"{" CONFIG ",\"hidden_act\":\"mish\"}", BERTC_UNSUPPORTED, "hidden_act 'mish'"},
        {"{" CONFIG ",\"hidden_act\":3}", BERTC_FORMAT, "hidden_act is not a string"},
        {"{" CONFIG ",\"layer_norm_eps\":\"x\"}", BERTC_FORMAT, "layer_norm_eps is not a number"},
        {"{\"model_type\":\"bert\",\"vocab_size\":0}", BERTC_FORMAT, "vocab_size is not an integer from 1 to"},
        {"{\"model_type\":\"bert\",\"num_attention_heads\":7}", BERTC_FORMAT, "no multiple of num_attention_heads 7"},
        {"{\"model_type\":\"bert\",\"num_hidden_layers\":9999999}", BERTC_FORMAT, "there are only 23 weights"},
        {"{\"model_type\":\"bert\"}", BERTC_FORMAT,
         "position_embeddings.weight has shape [5, 4], config.json says [512, 768]"},
    };
    write_weights(WEIGHTS, "", false);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        check_load_refusal(refusals[i].config, refusals[i].status, refusals[i].text);
    }
    write_weights(WEIGHTS - 3, "", false);
    check_load_refusal("{" CONFIG "}", BERTC_FORMAT, "are missing: encoder.layer.0.output.LayerNorm.bias (1 in all)");
    write_file("model.safetensors", "\3\0\0\0\0\0\0\0{}", 10);
    check_load_refusal("{" CONFIG "}", BERTC_FORMAT, "model.safetensors: ");
    remove_file("model.safetensors");
    check_load_refusal("{" CONFIG "}", BERTC_FORMAT, "no model.safetensors");
    write_file("pytorch_model.bin", "", 0);
    check_load_refusal("{" CONFIG "}", BERTC_UNSUPPORTED, "pytorch_model.bin");
    write_file("model.safetensors.index.json", "{}", 2);
    check_load_refusal("{" CONFIG "}", BERTC_UNSUPPORTED, "several files");
    remove_file("pytorch_model.bin");
    remove_file("model.safetensors.index.json");
    remove_file("config.json");
    struct bertc_error err = {0};
    struct bertc_model *model;
    CHECK_REFUSAL(bertc_model_load(directory, &one_thread, &model, &err), &err, BERTC_IO,
                  "config.json: cannot open it");
}

static void test_out_of_memory(void)
{
    struct bertc_error err = {0};
    struct bertc_model *model = NULL;
    write_config("{" CONFIG "}");
    write_weights(WEIGHTS, "", false);
    enum bertc_status status = BERTC_MEMORY;
    long n = 0;
    while (status == BERTC_MEMORY && n < 10000) {
        bt_alloc_fail_at(++n);
        status = bertc_model_load(directory, &one_thread, &model, &err);
    }
    bt_alloc_fail_at(0);
    CHECK(status == BERTC_OK && n > 10);
    bertc_model_free(model);
}

int main(void)
{
    if (!mkdtemp(directory)) {
        return 1;
    }
    check_group("directory run", test_run);
    check_group("directory refusals", test_refusals);
    check_group("directory out of memory", test_out_of_memory);
    remove_file("config.json");
    remove_file("model.safetensors");
    rmdir(directory);
    return check_result();
}
