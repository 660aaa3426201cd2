/* hf_directory.c: load a Hugging Face directory: config.json and model.safetensors */
#include <string.h>
#include <unistd.h>

#include "load/load.h"
#include "load/model.h"

struct program {
    struct bt_program base; /* first: the caller knows only this */
    struct bt_arena arena;
    struct bt_checkpoint checkpoint;
    struct bt_model *model;
};

static void free_program(struct bt_program *base)
{
    struct program *p = (struct program *)base;
    bt_arena_free(&p->arena);
    bt_file_unref(p->base.file);
    bt_free(p);
}

static size_t size_of(const struct bt_program *base)
{
    return ((const struct program *)base)->arena.total;
}

static enum bertc_status build(const struct bt_program *base, const struct bertc_value *args, struct bt_graph *graph,
                               struct bertc_error *err)
{
    const struct program *p = (const struct program *)base;
    struct bt_tree *inputs;
    enum bertc_status status = bt_bind_inputs(graph, base->params, args, base->param_count, NULL, &inputs, err);
    return status ? status : bt_model_build(p->model, inputs, graph, err);
}

static enum bertc_status map_member(struct program *p, const char *directory, const char *name, struct bt_file **out,
                                    struct bertc_error *err)
{
    const char *path = bt_arena_printf(&p->arena, "%s/%s", directory, name);
    return path ? bt_file_map(path, out, err) : bt_error_memory(err);
}

static bool has_member(struct program *p, const char *directory, const char *name)
{
    const char *path = bt_arena_printf(&p->arena, "%s/%s", directory, name);
    return path && access(path, F_OK) == 0;
}

static enum bertc_status read_config(struct program *p, const char *directory, struct bertc_error *err)
{
    struct bt_file *file;
    struct bt_json *config;
    enum bertc_status status = map_member(p, directory, "config.json", &file, err);
    if (status) {
        return status;
    }
    status = bt_json_parse(bt_file_bytes(file), &p->arena, &config, err);
    bt_file_unref(file);
    if (status == BERTC_FORMAT) {
        return bt_error_prefix(err, "config.json");
    }
    if (status) {
        return status;
    }
    p->checkpoint.config = config;
    return BERTC_OK;
}

/* What to say when there is no model.safetensors. */
static enum bertc_status refuse_weights(struct program *p, const char *directory, struct bertc_error *err)
{
    static const struct {
        const char *name, *text;
    } others[] = {
        {"model.safetensors.index.json", "the weights are split over several files, which is not supported yet"},
        {"pytorch_model.bin",
         "the weights are in pytorch_model.bin; save the model again with safe_serialization=True"},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (has_member(p, directory, others[i].name)) {
            return bt_error_set(err, BERTC_UNSUPPORTED, "%s", others[i].text);
        }
    }
    return bt_error_set(err, BERTC_FORMAT, "the directory has a config.json but no model.safetensors");
}

static enum bertc_status read_weights(struct program *p, const char *directory, struct bertc_error *err)
{
    struct bt_checkpoint *c = &p->checkpoint;
    struct bt_named_tensor *tensors;
    if (!has_member(p, directory, "model.safetensors")) {
        return refuse_weights(p, directory, err);
    }
    enum bertc_status status = map_member(p, directory, "model.safetensors", &p->base.file, err);
    if (status) {
        return status;
    }
    status = bt_safetensors_read(bt_file_bytes(p->base.file), &p->arena, &tensors, &c->tensor_count, err);
    if (status) {
        return status == BERTC_MEMORY ? status : bt_error_prefix(err, "model.safetensors");
    }
    c->tensors = tensors;
    p->base.weights = bt_arena_alloc(&p->arena, c->tensor_count, sizeof *p->base.weights);
    if (!p->base.weights) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < c->tensor_count; i++) {
        const struct bt_tensor *tensor = &tensors[i].tensor;
        p->base.weights[i] = (struct bertc_weight){tensors[i].name, *tensor, bt_dtype_is_float(tensor->dtype)};
    }
    p->base.weight_count = c->tensor_count;
    return bt_checkpoint_index(c, err);
}

static enum bertc_status describe(struct program *p, struct bertc_error *err)
{
    struct bt_program *base = &p->base;
    const char *version = bt_json_string(bt_json_get(p->checkpoint.config, "transformers_version"));
    const struct bt_model *model = p->model;
    base->format = bt_arena_printf(&p->arena, "Hugging Face directory (%s)", model->arch->model_type);
    base->producer = version ? bt_arena_printf(&p->arena, "transformers %s", version) : "";
    base->architecture = model->architecture;
    base->warning = model->warning;
    base->params = model->params;
    base->defaults = model->defaults;
    base->example = model->example;
    base->param_count = model->param_count;
    return base->format && base->producer ? BERTC_OK : bt_error_memory(err);
}

static enum bertc_status read_program(struct program *p, const char *directory, struct bertc_error *err)
{
    enum bertc_status status;
    if ((status = read_config(p, directory, err)) || (status = read_weights(p, directory, err)) ||
        (status = bt_model_open(&p->checkpoint, &p->model, err))) {
        return status;
    }
    return describe(p, err);
}

enum bertc_status bt_load_directory(const char *path, struct bt_program **out, struct bertc_error *err)
{
    struct program *p = bt_calloc(1, sizeof *p);
    if (!p) {
        return bt_error_memory(err);
    }
    p->base.build = build;
    p->base.size = size_of;
    p->base.free = free_program;
    p->checkpoint.arena = &p->arena;
    enum bertc_status status = read_program(p, path, err);
    if (status) {
        free_program(&p->base);
        return status;
    }
    *out = &p->base;
    return BERTC_OK;
}
