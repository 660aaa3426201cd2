/* hf_directory.c: load a Hugging Face directory: config.json and weights; or these two from elsewhere */
#include <string.h>

#include "base/text.h"
#include "load/arch.h"
#include "load/load.h"
#include "load/state.h"

struct program {
    struct bt_program base; /* first: the caller knows only this */
    struct bt_arena arena;
    struct bt_state *state;
    struct bt_checkpoint checkpoint;
    const struct bt_arch *arch;
    const void *plan;
};

static void free_program(struct bt_program *base)
{
    struct program *p = (struct program *)base;
    bt_arena_free(&p->arena);
    bt_state_unref(p->state);
    bt_free(p);
}

static enum bertc_status build(const struct bt_program *base, const struct bertc_value *args, struct bt_graph *graph,
                               struct bertc_error *err)
{
    const struct program *p = (const struct program *)base;
    struct bt_tree *inputs;
    enum bertc_status status = bt_bind_inputs(graph, base->params, args, base->param_count, &inputs, err);
    return status ? status : p->arch->build(p->plan, inputs, graph, err);
}

static enum bertc_status read_config(struct program *p, struct bt_span config, struct bertc_error *err)
{
    struct bt_json *json;
    enum bertc_status status = bt_json_parse(config, &p->arena, &json, err);
    if (status) {
        return status == BERTC_FORMAT ? bt_error_prefix(err, "config.json") : status;
    }
    p->checkpoint.config = json;
    const char *model_type = bt_json_string(bt_json_get(json, "model_type"));
    if (!model_type) {
        return bt_error_set(err, BERTC_FORMAT, "config.json: no model_type");
    }
    return bt_arch_find(model_type, &p->arch, err);
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
    base->format = bt_arena_printf(&p->arena, "%s (%s)", format, p->arch->model_type);
    base->producer = version ? bt_arena_printf(&p->arena, "transformers %s", version) : "";
    base->param_count = p->arch->param_count;
    base->params = bt_arena_copy(&p->arena, p->arch->params, base->param_count * sizeof *base->params);
    base->defaults = bt_arena_alloc(&p->arena, base->param_count, sizeof *base->defaults);
    return base->format && base->producer && base->params && base->defaults ? BERTC_OK : bt_error_memory(err);
}

static enum bertc_status read_program(struct program *p, struct bt_span config, struct bt_state *state,
                                      const char *format, struct bertc_error *err)
{
    enum bertc_status status = read_config(p, config, err);
    if (status) {
        return status;
    }
    take_state(p, state);
    if ((status = p->arch->prepare(&p->checkpoint, &p->plan, err))) {
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
