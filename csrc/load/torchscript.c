/* torchscript.c: load a TorchScript archive: code, objects, constants; what forward takes; build graphs from it */
#include <string.h>

#include "load/argument.h"
#include "load/interp.h"
#include "load/legacy.h"
#include "load/load.h"

#define MAX_CODE ((size_t)64 << 20) /* bytes of all code members */

struct program {
    struct bt_program base; /* first: the caller knows only this */
    struct bt_arena arena;
    struct bt_archive archive;
    struct bt_script script;
    const struct bt_ts_file *code; /* the member that holds forward */
    const struct bt_ts_function *forward;
    bool legacy; /* of torch <= 1.2, with a model.json */
};

bool bt_torchscript_probe(struct bt_span bytes)
{
    return bt_zip_probe(bytes);
}

static void free_program(struct bt_program *base)
{
    struct program *p = (struct program *)base;
    bt_archive_close(&p->archive);
    bt_arena_free(&p->arena);
    bt_file_unref(p->base.file);
    bt_free(p);
}

static size_t size_of(const struct bt_program *base)
{
    const struct program *p = (const struct program *)base;
    return p->arena.total + p->archive.zip.arena.total;
}

static enum bertc_status build(const struct bt_program *base, const struct bertc_value *args, struct bt_graph *graph,
                               struct bertc_error *err)
{
    const struct program *p = (const struct program *)base;
    struct bt_tree *inputs;
    enum bertc_status status = bt_bind_inputs(graph, base->params, args, base->param_count, NULL, &inputs, err);
    return status ? status : bt_interp_build(&p->script, p->code, p->forward, inputs, base->param_count, graph, err);
}

/* "code/__torch__/a/b.py" -> "__torch__.a.b"; NULL when the member is no code, or out of memory (*failed). */
static char *module_name(struct bt_arena *arena, const char *member, bool *failed)
{
    static const char *const folders[] = {"code/", "libs/"}; /* torch 1.1 keeps what modules share in libs/ */
    size_t size = strlen(member);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        size_t start = strlen(folders[i]);
        if (size > start + 3 && !strncmp(member, folders[i], start) && !strcmp(member + size - 3, ".py")) {
            char *name = bt_arena_string(arena, member + start, size - start - 3);
            *failed = !name;
            for (char *c = name; c && *c; c++) {
                *c = *c == '/' ? '.' : *c;
            }
            return name;
        }
    }
    return NULL;
}

static enum bertc_status read_code(struct program *p, struct bertc_error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < p->archive.zip.count; i++) {
        const char *member = bt_archive_name(&p->archive, i);
        bool failed = false;
        const char *module = member ? module_name(&p->arena, member, &failed) : NULL;
        struct bt_span text;
        enum bertc_status status;
        if (failed) {
            return bt_error_memory(err);
        }
        if (!module) {
            continue;
        }
        if ((status = bt_archive_read(&p->archive, member, &text, err))) {
            return status;
        }
        total += text.size;
        if (total > MAX_CODE) {
            return bt_error_set(err, BERTC_UNSUPPORTED, "the archive has more than %zu MB of code", MAX_CODE >> 20);
        }
        if ((status = bt_script_add_code(&p->script, member, module, text, err))) {
            return status;
        }
    }
    return BERTC_OK;
}

/* The objects and constants of torch 1.3 and later. */
static enum bertc_status read_data(struct program *p, struct bertc_error *err)
{
    struct bt_pickle *root, *constants;
    enum bertc_status status = bt_archive_pickle(&p->archive, "data", &root, err);
    if (status) {
        return status;
    }
    if (root->kind != BT_PICKLE_OBJECT) {
        return bt_error_set(err, BERTC_FORMAT, "data.pkl holds no module");
    }
    p->script.root = root;
    if (!bt_archive_has(&p->archive, "constants.pkl")) {
        return BERTC_OK;
    }
    if ((status = bt_archive_pickle(&p->archive, "constants", &constants, err))) {
        return status;
    }
    if (constants->kind != BT_PICKLE_TUPLE) {
        return bt_error_set(err, BERTC_FORMAT, "constants.pkl holds no tuple");
    }
    p->script.constants = constants;
    return BERTC_OK;
}

static enum bertc_status find_forward(struct program *p, struct bertc_error *err)
{
    const char *class_name = p->script.root->text;
    const struct bt_symbol *symbol = bt_script_find(&p->script, class_name);
    if (!symbol || !symbol->type) {
        return bt_error_set(err, BERTC_FORMAT, "the archive has no code for the class '%.200s' of its module",
                            class_name);
    }
    p->code = symbol->file;
    p->forward = bt_script_method(symbol->type, "forward");
    if (!p->forward) {
        return bt_error_set(err, BERTC_UNSUPPORTED,
                            "the module has no forward method: the file holds weights and no code to run");
    }
    if (p->forward->param_count == 0) {
        return bt_error_set(err, BERTC_FORMAT, "%s: forward does not take the module", p->code->member);
    }
    if (symbol->type->has_hooks) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "%s: the module has forward hooks", p->code->member);
    }
    return BERTC_OK;
}

static enum bertc_status read_params(struct program *p, struct bertc_error *err)
{
    struct bt_program *base = &p->base;
    base->param_count = p->forward->param_count - 1;
    base->params = bt_arena_alloc(&p->arena, base->param_count, sizeof *base->params);
    base->defaults = bt_arena_alloc(&p->arena, base->param_count, sizeof *base->defaults);
    if (!base->params || !base->defaults) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < base->param_count; i++) {
        const struct bt_ts_param *from = &p->forward->params[i + 1];
        struct bertc_param *param = &base->params[i];
        param->name = from->name;
        param->type = from->type ? bt_tscode_type_text(from->type, &p->arena) : "Tensor";
        if (!param->type) {
            return bt_error_memory(err);
        }
        param->required = !from->fallback || !bt_argument_from_literal(from->fallback, &p->arena, &base->defaults[i]);
    }
    return BERTC_OK;
}

/* traced_inputs.pkl, {"forward": [...]}: helpful where it fits the signature, ignored where it does not. */
static enum bertc_status read_example(struct program *p, struct bertc_error *err)
{
    struct bt_pickle *traced;
    struct bertc_value *example = bt_arena_alloc(&p->arena, p->base.param_count, sizeof *example);
    if (!example) {
        return bt_error_memory(err);
    }
    if (!bt_archive_has(&p->archive, "traced_inputs.pkl")) {
        return BERTC_OK;
    }
    enum bertc_status status = bt_archive_shapes(&p->archive, "traced_inputs", &traced, NULL);
    if (status) {
        return status == BERTC_MEMORY ? bt_error_memory(err) : BERTC_OK;
    }
    const struct bt_pickle *list = bt_pickle_get(traced, "forward");
    if (!list || (list->kind != BT_PICKLE_LIST && list->kind != BT_PICKLE_TUPLE) || list->size > p->base.param_count) {
        return BERTC_OK;
    }
    for (size_t i = 0; i < p->base.param_count; i++) {
        if (i >= list->size && !p->base.params[i].required) {
            example[i] = p->base.defaults[i];
        } else if (i >= list->size || !bt_argument_from_pickle(list->items[i], &p->arena, &example[i])) {
            return BERTC_OK;
        }
    }
    p->base.example = example;
    return BERTC_OK;
}

/* What the records tell of the writer's version. */
static const char *producer(const struct program *p)
{
    if (p->legacy) {
        return "torch 1.0-1.2";
    }
    if (p->archive.has_byte_order) {
        return "torch 2.1 or newer";
    }
    return p->archive.version < 3 ? "torch 1.3-1.5" : "torch 1.6 or newer";
}

static enum bertc_status read_program(struct program *p, struct bertc_error *err)
{
    enum bertc_status status;
    if ((status = bt_archive_open_script(bt_file_bytes(p->base.file), &p->arena, &p->archive, err)) ||
        (status = read_code(p, err))) {
        return status;
    }
    p->script.version = p->archive.version;
    p->legacy = bt_archive_has(&p->archive, "model.json");
    if ((status = p->legacy ? bt_legacy_read(&p->archive, &p->script, err) : read_data(p, err)) ||
        (status = find_forward(p, err)) || (status = read_params(p, err)) ||
        (status = bt_script_weights(&p->script, &p->base.weights, &p->base.weight_count, err)) ||
        (status = read_example(p, err))) {
        return status;
    }
    p->base.format = "TorchScript archive";
    p->base.producer = producer(p);
    return BERTC_OK;
}

enum bertc_status bt_torchscript_load(struct bt_file *file, const char *name, struct bt_program **out,
                                      struct bertc_error *err)
{
    (void)name;
    struct program *p = bt_calloc(1, sizeof *p);
    if (!p) {
        return bt_error_memory(err);
    }
    p->base.build = build;
    p->base.size = size_of;
    p->base.free = free_program;
    p->base.file = bt_file_ref(file);
    p->script.arena = &p->arena;
    enum bertc_status status = read_program(p, err);
    if (status) {
        free_program(&p->base);
        return status;
    }
    *out = &p->base;
    return BERTC_OK;
}
