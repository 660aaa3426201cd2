/* hf_directory.c: load a Hugging Face directory: config.json and weights; or these two from elsewhere */
#include <string.h>

#include "base/text.h"
#include "load/load.h"
#include "load/model.h"
#include "load/state.h"

struct program {
    struct bt_program base; /* first: the caller knows only this */
    struct bt_arena arena;
    struct bt_state *state;
    struct bt_checkpoint checkpoint;
    struct bt_model *model;
};

static void free_program(struct bt_program *base)
{
    struct program *p = (struct program *)base;
    bt_arena_free(&p->arena);
    bt_state_unref(p->state);
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

static enum bertc_status read_config(struct program *p, struct bt_span config, struct bertc_error *err)
{
    struct bt_json *json;
    enum bertc_status status = bt_json_parse(config, &p->arena, &json, err);
    if (status) {
        return status == BERTC_FORMAT ? bt_error_prefix(err, "config.json") : status;
    }
    p->checkpoint.config = json;
    return BERTC_OK;
}

/* The state keeps its files. */
static enum bertc_status take_files(struct program *p, struct bertc_error *err)
{
    const struct bt_state_source *first = p->state->sources;
    struct bt_file **beside = NULL;
    size_t count = 0, cap = 0;
    p->base.file = first ? first->file : NULL;
    for (const struct bt_state_source *source = first ? first->next : NULL; source; source = source->next) {
        if (!bt_arena_reserve(&p->arena, &beside, &cap, count + 1, sizeof *beside)) {
            return bt_error_memory(err);
        }
        beside[count++] = source->file;
    }
    p->base.beside = (struct bt_files){beside, count};
    return BERTC_OK;
}

static void take_state(struct program *p, struct bt_state *state)
{
    p->state = bt_state_ref(state);
    p->checkpoint.tensors = state->tensors;
    p->checkpoint.tensor_count = state->count;
    p->checkpoint.index = state->index;
    p->base.weights = state->weights;
    p->base.weight_count = state->count;
}

static enum bertc_status describe(struct program *p, const char *format, struct bertc_error *err)
{
    struct bt_program *base = &p->base;
    const char *version = bt_json_string(bt_json_get(p->checkpoint.config, "transformers_version"));
    const struct bt_model *model = p->model;
    base->format = bt_arena_printf(&p->arena, "%s (%s)", format, model->arch->model_type);
    base->producer = version ? bt_arena_printf(&p->arena, "transformers %s", version) : "";
    base->architecture = model->architecture;
    base->warning = model->warning;
    base->params = model->params;
    base->defaults = model->defaults;
    base->example = model->example;
    base->param_count = model->param_count;
    return base->format && base->producer ? BERTC_OK : bt_error_memory(err);
}

static enum bertc_status read_program(struct program *p, struct bt_span config, struct bt_state *state,
                                      const char *format, struct bertc_error *err)
{
    enum bertc_status status = read_config(p, config, err);
    if (status) {
        return status;
    }
    take_state(p, state);
    if ((status = take_files(p, err)) || (status = bt_model_open(&p->checkpoint, &p->model, err))) {
        return status;
    }
    return describe(p, format, err);
}

enum bertc_status bt_load_configured(struct bt_span config, struct bt_state *state, const char *format,
                                     struct bt_program **out, struct bertc_error *err)
{
    struct program *p = bt_calloc(1, sizeof *p);
    if (!p) {
        return bt_error_memory(err);
    }
    p->base.build = build;
    p->base.size = size_of;
    p->base.free = free_program;
    p->checkpoint.arena = &p->arena;
    enum bertc_status status = read_program(p, config, state, format, err);
    if (status) {
        free_program(&p->base);
        return status;
    }
    *out = &p->base;
    return BERTC_OK;
}

static enum bertc_status map_config(const char *directory, struct bt_file **out, struct bertc_error *err)
{
    struct bt_text path = {0};
    bt_text_add(&path, "%s/config.json", directory);
    enum bertc_status status = path.failed ? bt_error_memory(err) : bt_file_map(path.data, out, err);
    bt_free(path.data);
    return status;
}

enum bertc_status bt_load_directory(const char *path, struct bt_program **out, struct bertc_error *err)
{
    struct bt_file *config;
    enum bertc_status status = map_config(path, &config, err);
    if (status) {
        return status;
    }
    struct bt_state *state = bt_state_new();
    status = state ? bt_state_read_path(state, path, err) : bt_error_memory(err);
    if (!status) {
        status = bt_load_configured(bt_file_bytes(config), state, "Hugging Face directory", out, err);
    }
    bt_state_unref(state);
    bt_file_unref(config);
    return status;
}
