/* exported.c: load a torch.export archive (.pt2): find its program and weights, build graphs from them */
#include "load/exported.h"

#include <string.h>

#include "format/zip_directory.h"

#define NEWEST_SCHEMA 8
#define OLD_PROGRAM "serialized_exported_program.json" /* before torch 2.8 */

struct program {
    struct bt_program base; /* first: the caller knows only this */
    struct bt_arena arena;
    struct bt_archive archive;
    struct bt_exported exported;
};

/* "model" of "models/model.json"; NULL when a member of that name is no program. */
static const char *model_of(const char *name, size_t length, size_t *size)
{
    static const char folder[] = "models/", suffix[] = ".json";
    const size_t start = sizeof folder - 1, end = sizeof suffix - 1;
    if (length <= start + end || memcmp(name, folder, start) != 0 || memcmp(name + length - end, suffix, end) != 0) {
        return NULL;
    }
    *size = length - start - end;
    return name + start;
}

/* Whether a member's full name is that of a program, at the top or in the one folder that torch puts all into. */
static bool is_program(struct bt_span name)
{
    const char *text = (const char *)name.data, *slash = name.size ? memchr(text, '/', name.size) : NULL;
    const size_t behind = slash ? (size_t)(slash + 1 - text) : 0;
    const size_t old = sizeof OLD_PROGRAM - 1;
    size_t size;
    return model_of(text, name.size, &size) || model_of(text + behind, name.size - behind, &size) ||
           (name.size - behind == old && memcmp(text + behind, OLD_PROGRAM, old) == 0);
}

bool bt_exported_probe(struct bt_span bytes)
{
    struct bt_zip_directory directory;
    struct bt_zip_record record;
    size_t at = 0;
    if (!bt_zip_probe(bytes) || bt_zip_directory_find(bytes, &directory, NULL) != BERTC_OK) {
        return false;
    }
    const struct bt_span records = {bytes.data + directory.offset, (size_t)directory.size};
    for (uint64_t i = 0; i < directory.count; i++) {
        if (bt_zip_directory_next(records, &at, &record, NULL) != BERTC_OK) {
            return false;
        }
        if (is_program(record.name)) {
            return true;
        }
    }
    return false;
}

static void free_program(struct bt_program *base)
{
    struct program *p = (struct program *)base;
    bt_exported_close(&p->exported);
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
    return bt_exported_build(&((const struct program *)base)->exported, args, graph, err);
}

/* The program to run: the one called "model", else the only one. Its name is "" in old archives. */
static enum bertc_status find_model(struct program *p, const char **out, struct bertc_error *err)
{
    const char *found = NULL;
    size_t found_size = 0, count = 0;
    if (bt_archive_has(&p->archive, OLD_PROGRAM)) {
        *out = "";
        p->exported.member = OLD_PROGRAM;
        return BERTC_OK;
    }
    for (size_t i = 0; i < p->archive.zip.count; i++) {
        size_t size;
        const char *name = bt_archive_name(&p->archive, i);
        const char *model = name ? model_of(name, strlen(name), &size) : NULL;
        if (!model) {
            continue;
        }
        count++;
        found = model;
        found_size = size;
        if (size == 5 && !memcmp(model, "model", size)) {
            count = 1;
            break;
        }
    }
    if (count != 1) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "the archive holds %zu programs, and none is called 'model'",
                            count);
    }
    char *name = bt_arena_string(&p->arena, found, found_size);
    p->exported.member = name ? bt_arena_printf(&p->arena, "models/%s.json", name) : NULL;
    *out = name;
    return p->exported.member ? BERTC_OK : bt_error_memory(err);
}

static enum bertc_status check_schema(const struct bt_exported *e, struct bertc_error *err)
{
    const struct bt_json *schema = bt_json_get(e->program, "schema_version");
    const struct bt_json *major = bt_json_get(schema, "major");
    int64_t version;
    if (!bt_json_int(major ? major : schema, &version) || version < 1) {
        return bt_error_set(err, BERTC_FORMAT, "%s: it has no schema_version", e->member);
    }
    if (version > NEWEST_SCHEMA) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "%s: it is of schema %lld, bertc knows those up to %d", e->member,
                            (long long)version, NEWEST_SCHEMA);
    }
    return BERTC_OK;
}

static enum bertc_status read_json(struct program *p, struct bertc_error *err)
{
    struct bt_exported *e = &p->exported;
    struct bt_span text;
    struct bt_json *root;
    enum bertc_status status = bt_archive_read(&p->archive, e->member, &text, err);
    if (status) {
        return status;
    }
    if ((status = bt_json_parse(text, &p->arena, &root, err))) {
        return status == BERTC_MEMORY ? status : bt_error_prefix(err, "%s", e->member);
    }
    e->program = root;
    e->graph = bt_json_get(bt_json_get(root, "graph_module"), "graph");
    return check_schema(e, err);
}

/* The tensors that a state dict has: parameters and buffers, not the constants of the code. */
static enum bertc_status list_weights(struct program *p, struct bertc_error *err)
{
    const struct bt_exported *e = &p->exported;
    struct bt_program *base = &p->base;
    base->weights = bt_arena_alloc(&p->arena, e->weights.count, sizeof *base->weights);
    if (!base->weights) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < e->weights.count; i++) {
        const struct bt_exported_tensor *w = &e->weights.items[i];
        if (w->role != BT_EXPORTED_CONSTANT) {
            base->weights[base->weight_count++] =
                (struct bertc_weight){w->name, w->tensor, w->role == BT_EXPORTED_PARAMETER};
        }
    }
    return BERTC_OK;
}

static enum bertc_status describe(struct program *p, struct bertc_error *err)
{
    const struct bt_exported *e = &p->exported;
    struct bt_program *base = &p->base;
    const char *version = bt_json_string(bt_json_get(e->program, "torch_version"));
    bool memory = false;
    base->format = "torch.export archive";
    base->producer = version ? bt_arena_printf(&p->arena, "torch %.60s", version) : "torch 2.1-2.4";
    base->params = e->params;
    base->defaults = e->defaults;
    base->param_count = e->param_count;
    base->example = bt_exported_example(e, &memory);
    return base->producer && !memory ? BERTC_OK : bt_error_memory(err);
}

static enum bertc_status read_program(struct program *p, struct bertc_error *err)
{
    const char *model;
    enum bertc_status status;
    if ((status = bt_archive_open(bt_file_bytes(p->base.file), &p->arena, &p->archive, err)) ||
        (status = find_model(p, &model, err)) || (status = read_json(p, err)) ||
        (status = bt_exported_read_weights(&p->exported, &p->archive, model, err)) ||
        (status = bt_exported_read_signature(&p->exported, err)) || (status = list_weights(p, err))) {
        return status;
    }
    return describe(p, err);
}

enum bertc_status bt_exported_load(struct bt_file *file, const char *name, struct bt_program **out,
                                   struct bertc_error *err)
{
    (void)name;
    struct program *p = bt_calloc(1, sizeof *p);
    if (!p) {
        return bt_error_memory(err);
    }
    p->base.build = build;
    p->base.free = free_program;
    p->base.file = bt_file_ref(file);
    p->base.size = size_of;
    p->exported.arena = &p->arena;
    enum bertc_status status = read_program(p, err);
    if (status) {
        free_program(&p->base);
        return status;
    }
    *out = &p->base;
    return BERTC_OK;
}
