/* bertc.c: the public C API: what it means to load a model and to call it */
#include "bertc.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/thread.h"
#include "exec/profile.h"
#include "exec/ragged.h"
#include "exec/result.h"
#include "exec/tables.h"
#include "exec/workspace.h"
#include "graph/tree.h"
#include "kernel/kernels.h"
#include "kernel/peak.h"
#include "load/load.h"

struct bertc_model {
    char *name; /* for messages: the path, or what the caller named its bytes */
    struct bt_program *program;
    struct bt_weights *weights;
    struct bt_kernels kernels;
    struct bt_cache cache;
    struct bt_workspaces workspaces;
    struct bertc_options options;
};

struct bertc_call {
    struct bertc_model *model;
    struct bt_arena arena; /* of the signature and the result */
    struct bt_signature signature;
    struct bt_planned *planned;
    int threads;
    const int64_t *lengths; /* of a packed call; else NULL */
    struct bertc_value result;
};

/* The arguments to build a graph for before any call: the traced example, else ids of a batch of 3 sequences of 11
 * for each Tensor (sizes that no weight has by chance). False when a parameter is neither a tensor nor optional. */
static bool example_arguments(const struct bt_program *program, struct bt_arena *arena, struct bertc_value **out)
{
    if (program->example) {
        *out = program->example;
        return true;
    }
    struct bertc_value *args = bt_arena_alloc(arena, program->param_count, sizeof *args);
    if (!args) {
        return false;
    }
    for (size_t i = 0; i < program->param_count; i++) {
        if (!program->params[i].required) {
            args[i] = program->defaults[i];
        } else if (strcmp(program->params[i].type, "Tensor") == 0) {
            args[i].kind = BERTC_TENSOR;
            args[i].tensor = (struct bt_tensor){.dtype = BT_I64, .rank = 2, .dims = {3, 11}, .strides = {11, 1}};
        } else {
            return false;
        }
    }
    *out = args;
    return true;
}

/* Builds the graph of the example, so that what is not supported is said at load. An example that was only guessed may
 * not fit the model (a float input, a rank-3 one): then the first call decides. */
static enum bertc_status build_example(struct bertc_model *model, struct bertc_error *err)
{
    struct bt_arena arena = {0};
    struct bertc_value *args;
    enum bertc_status status = BERTC_OK;
    if (example_arguments(model->program, &arena, &args)) {
        status = bt_cache_build(&model->cache, model->program, args, err);
        if (status == BERTC_INPUT && (!model->program->example || model->program->example_guessed)) {
            status = BERTC_OK;
        }
    }
    bt_arena_free(&arena);
    return status;
}

static struct bertc_model *model_new(const char *name, const struct bertc_options *options)
{
    struct bertc_model *model = bt_calloc(1, sizeof *model);
    if (!model) {
        return NULL;
    }
    bt_cache_init(&model->cache);
    bt_workspaces_init(&model->workspaces);
    bt_kernels_init(&model->kernels, bt_cpu_isa());
    model->options = *options;
    const size_t size = strlen(name) + 1;
    model->name = bt_alloc(size, 1);
    if (!model->name) {
        bertc_model_free(model);
        return NULL;
    }
    memcpy(model->name, name, size);
    return model;
}

/* What follows when the program is loaded. */
static enum bertc_status prepare(struct bertc_model *model, struct bertc_error *err)
{
    model->weights = bt_weights_new(model->program->file, model->program->beside);
    enum bertc_status status = model->weights ? build_example(model, err) : bt_error_memory(err);
    struct bt_variant *variant = bt_cache_latest(&model->cache);
    if (variant) {
        bt_tables_release(&variant->graph, model->weights);
        bt_variant_unref(variant);
    }
    return status;
}

/* What a model uses when a call names none (0). */
static int threads_of(const struct bertc_model *model, int threads)
{
    threads = threads > 0 ? threads : model->options.threads;
    return threads > 0 ? threads : bt_threads();
}

static enum bertc_status load_file(struct bertc_model *model, struct bt_file *file, struct bertc_error *err)
{
    const int before = bt_parallel_begin(threads_of(model, 0));
    enum bertc_status status = bt_load(file, model->name, &model->program, err);
    bt_parallel_end(before);
    return status ? status : prepare(model, err);
}

static enum bertc_status load_directory(struct bertc_model *model, const char *path, struct bertc_error *err)
{
    const int before = bt_parallel_begin(threads_of(model, 0));
    enum bertc_status status = bt_load_directory(path, &model->program, err);
    bt_parallel_end(before);
    return status ? status : prepare(model, err);
}

static enum bertc_status load_path(struct bertc_model *model, const char *path, struct bertc_error *err)
{
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return load_directory(model, path, err);
    }
    struct bt_file *file;
    enum bertc_status status = bt_file_map(path, &file, err);
    if (!status) {
        status = load_file(model, file, err);
        bt_file_unref(file);
    }
    return status;
}

/* Ends a load: hands the model over, or frees it and puts its name before the message. */
static enum bertc_status finish_load(enum bertc_status status, struct bertc_model *model, struct bertc_model **out,
                                     struct bertc_error *err)
{
    if (!status) {
        *out = model;
        return BERTC_OK;
    }
    if (status != BERTC_MEMORY && status != BERTC_IO) {
        bt_error_prefix(err, "%s", model->name);
    }
    bertc_model_free(model);
    return status;
}

enum bertc_status bertc_model_load(const char *path, const struct bertc_options *options, struct bertc_model **out,
                                   struct bertc_error *err)
{
    struct bertc_model *model = model_new(path, options);
    if (!model) {
        return bt_error_memory(err);
    }
    return finish_load(load_path(model, path, err), model, out, err);
}

enum bertc_status bertc_model_load_memory(const void *data, size_t size, const char *name, void (*release)(void *owner),
                                          void *owner, const struct bertc_options *options, struct bertc_model **out,
                                          struct bertc_error *err)
{
    struct bt_file *file;
    enum bertc_status status = bt_file_wrap(data, size, release, owner, &file, err);
    if (status) {
        return status;
    }
    struct bertc_model *model = model_new(name, options);
    status = model ? finish_load(load_file(model, file, err), model, out, err) : bt_error_memory(err);
    bt_file_unref(file);
    return status;
}

enum bertc_status bertc_model_from_state(const void *config, size_t config_size, struct bt_state *state,
                                         const char *name, const struct bertc_options *options,
                                         struct bertc_model **out, struct bertc_error *err)
{
    struct bertc_model *model = model_new(name, options);
    if (!model) {
        return bt_error_memory(err);
    }
    const struct bt_span text = {config, config_size};
    enum bertc_status status = bt_load_configured(text, state, "configuration and weights", &model->program, err);
    return finish_load(status ? status : prepare(model, err), model, out, err);
}

void bertc_model_free(struct bertc_model *model)
{
    if (!model) {
        return;
    }
    bt_cache_free(&model->cache);
    bt_workspaces_free(&model->workspaces);
    bt_weights_free(model->weights);
    if (model->program) {
        model->program->free(model->program);
    }
    bt_free(model->name);
    bt_free(model);
}

const char *bertc_model_format(const struct bertc_model *model)
{
    return model->program->format;
}

const char *bertc_model_producer(const struct bertc_model *model)
{
    return model->program->producer;
}

const char *bertc_model_architecture(const struct bertc_model *model)
{
    return model->program->architecture ? model->program->architecture : "";
}

const char *bertc_model_warning(const struct bertc_model *model)
{
    return model->program->warning ? model->program->warning : "";
}

const struct bertc_param *bertc_model_params(const struct bertc_model *model, size_t *count)
{
    *count = model->program->param_count;
    return model->program->params;
}

const struct bertc_weight *bertc_model_weights(const struct bertc_model *model, size_t *count)
{
    *count = model->program->weight_count;
    return model->program->weights;
}

/* Writes a variant's description with `write`, under the lock that guards the graph's scratch text. */
static enum bertc_status describe(struct bertc_model *model, void (*write)(struct bt_variant *v, void *context),
                                  void *context, struct bertc_error *err)
{
    struct bt_variant *variant = bt_cache_latest(&model->cache);
    if (!variant) {
        return bt_error_set(err, BERTC_INPUT,
                            "%s: the graph is built at the first call, as its inputs could not be guessed",
                            model->name);
    }
    pthread_mutex_lock(&model->cache.build);
    write(variant, context);
    pthread_mutex_unlock(&model->cache.build);
    bt_variant_unref(variant);
    return BERTC_OK;
}

struct graph_text {
    struct bt_text title;
    char *text;
};

static void write_graph(struct bt_variant *variant, void *context)
{
    struct graph_text *t = context;
    if (variant->tokens.batch >= 0) {
        bt_text_add(&t->title, ", per token (padding can be skipped)");
    }
    t->text = t->title.failed ? NULL : bt_graph_text(&variant->graph, t->title.data);
}

enum bertc_status bertc_model_graph(struct bertc_model *model, char **out, struct bertc_error *err)
{
    const char *slash = strrchr(model->name, '/');
    const char *producer = model->program->producer;
    struct graph_text t = {0};
    bt_text_add(&t.title, "%s: %s", slash ? slash + 1 : model->name, *producer ? producer : model->program->format);
    enum bertc_status status = describe(model, write_graph, &t, err);
    bt_free(t.title.data);
    if (status) {
        return status;
    }
    *out = t.text;
    return t.text ? BERTC_OK : bt_error_memory(err);
}

struct signature_text {
    struct bt_text inputs, outputs;
};

static void write_signature(struct bt_variant *variant, void *context)
{
    struct signature_text *t = context;
    struct bt_graph *g = &variant->graph;
    for (size_t i = 0; i < g->input_count; i++) {
        const char *name = g->values[g->inputs[i]].name;
        bt_text_add(&t->inputs, "%s%s: ", i ? ", " : "", name ? name : "?");
        bt_value_text(g, g->inputs[i], &t->inputs);
    }
    bt_tree_text(g, &g->output, &t->outputs);
}

enum bertc_status bertc_model_signature(struct bertc_model *model, char **inputs, char **outputs,
                                        struct bertc_error *err)
{
    struct signature_text t = {0};
    enum bertc_status status = describe(model, write_signature, &t, err);
    if (status) {
        return status;
    }
    char *in = bt_text_take(&t.inputs), *result = bt_text_take(&t.outputs);
    if (!in || !result) {
        bt_free(in);
        bt_free(result);
        return bt_error_memory(err);
    }
    *inputs = in;
    *outputs = result;
    return BERTC_OK;
}

static void add_file(const struct bt_file *file, struct bertc_memory *out)
{
    out->file += bt_file_bytes(file).size;
    out->file_resident += bt_file_resident(file);
}

/* The bytes of weights that the caller gave as arrays. */
static size_t arrays_size(const struct bt_program *program)
{
    size_t size = 0;
    for (size_t i = 0; i < program->weight_count; i++) {
        const struct bt_tensor *t = &program->weights[i].tensor;
        size += (size_t)bt_numel(t->rank, t->dims) * bt_dtype_size(t->dtype);
    }
    return size;
}

void bertc_model_memory(struct bertc_model *model, struct bertc_memory *out)
{
    const struct bt_program *program = model->program;
    const struct bt_weights_size weights = bt_weights_size(model->weights);
    *out = (struct bertc_memory){
        .packed = weights.packed,
        .converted = weights.converted,
        .graphs = program->size(program) + bt_cache_size(&model->cache),
        .workspaces = bt_workspaces_size(&model->workspaces),
    };
    if (program->file) {
        add_file(program->file, out);
    } else {
        out->file = arrays_size(program);
    }
    for (size_t i = 0; i < program->beside.count; i++) {
        add_file(program->beside.items[i], out);
    }
}

/* forward(input_ids: Tensor, attention_mask: Tensor) */
static void append_params(struct bertc_error *err, const struct bt_program *program)
{
    bt_error_append(err, "forward(");
    for (size_t i = 0; i < program->param_count; i++) {
        bt_error_append(err, "%s%s: %s%s", i ? ", " : "", program->params[i].name, program->params[i].type,
                        program->params[i].required ? "" : " = default");
    }
    bt_error_append(err, ")");
}

static enum bertc_status bind(struct bertc_call *call, const struct bertc_value *given_args, const bool *given,
                              size_t count, struct bertc_value **out, struct bertc_error *err)
{
    const struct bt_program *program = call->model->program;
    struct bertc_value *args = bt_arena_alloc(&call->arena, program->param_count, sizeof *args);
    if (!args) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < program->param_count; i++) {
        if (i < count && given[i]) {
            args[i] = given_args[i];
        } else if (!program->params[i].required) {
            args[i] = program->defaults[i];
        } else {
            bt_error_set(err, BERTC_INPUT, "missing argument '%s': ", program->params[i].name);
            append_params(err, program);
            return BERTC_INPUT;
        }
    }
    *out = args;
    return BERTC_OK;
}

/* The lengths must be those of the batch, each at most that of the padded arguments; *rows is their sum. */
static enum bertc_status check_lengths(const struct bt_planned *planned, const int64_t *lengths, size_t count,
                                       int64_t *rows, struct bertc_error *err)
{
    if ((int64_t)count != planned->items) {
        return bt_error_set(err, BERTC_INPUT, "%zu lengths for a batch of %lld", count, (long long)planned->items);
    }
    *rows = 0;
    for (size_t i = 0; i < count; i++) {
        if (lengths[i] < 0 || lengths[i] > planned->length) {
            return bt_error_set(err, BERTC_INPUT, "length %lld of sequence %zu, in arguments padded to %lld",
                                (long long)lengths[i], i, (long long)planned->length);
        }
        *rows += lengths[i];
    }
    return BERTC_OK;
}

/* lengths NULL: not packed. */
static enum bertc_status call_new(struct bertc_model *model, const struct bertc_value *args, const bool *given,
                                  size_t count, int threads, const int64_t *lengths, size_t length_count,
                                  struct bertc_call **out, struct bertc_error *err)
{
    struct bertc_call *call = bt_calloc(1, sizeof *call);
    if (!call) {
        return bt_error_memory(err);
    }
    call->model = model;
    call->lengths = lengths;
    call->threads = threads_of(model, threads);
    const struct bt_program *program = model->program;
    struct bertc_value *bound = NULL;
    int64_t rows = -1;
    enum bertc_status status = bind(call, args, given, count, &bound, err);
    if (!status) {
        status = bt_signature_make(&call->signature, &call->arena, bound, program->param_count, err);
    }
    if (!status) {
        const struct bt_request request = {.program = program,
                                           .args = bound,
                                           .call = &call->signature,
                                           .weights = model->weights,
                                           .kernels = &model->kernels,
                                           .threads = call->threads,
                                           .skip = model->options.skip_padding || lengths};
        status = bt_cache_plan(&model->cache, &request, &call->planned, err);
    }
    *out = NULL;
    if (!status && lengths && (!call->planned->ragged || call->planned->variant->tokens.padded_outputs)) {
        bertc_call_free(call);
        return BERTC_OK;
    }
    if (!status && lengths) {
        status = check_lengths(call->planned, lengths, length_count, &rows, err);
    }
    if (!status) {
        status = bt_result_make(&call->planned->schedule, rows, &call->arena, &call->result, err);
    }
    if (status) {
        bertc_call_free(call);
        return status;
    }
    *out = call;
    return BERTC_OK;
}

enum bertc_status bertc_call_new(struct bertc_model *model, const struct bertc_value *args, const bool *given,
                                 size_t count, int threads, struct bertc_call **out, struct bertc_error *err)
{
    return call_new(model, args, given, count, threads, NULL, 0, out, err);
}

enum bertc_status bertc_call_new_packed(struct bertc_model *model, const struct bertc_value *args, const bool *given,
                                        size_t count, const int64_t *lengths, size_t length_count,
                                        struct bertc_call **out, struct bertc_error *err)
{
    return call_new(model, args, given, count, 0, lengths, length_count, out, err);
}

const struct bertc_value *bertc_call_result(const struct bertc_call *call, size_t *slots)
{
    *slots = call->planned->schedule.plans[0]->output_count;
    return &call->result;
}

static enum bertc_status run_call(struct bertc_call *call, void *const *outputs, struct bt_profile *profile,
                                  struct bertc_error *err)
{
    struct bertc_model *model = call->model;
    const struct bt_schedule_run run = {.inputs = call->signature.data,
                                        .outputs = outputs,
                                        .kernels = &model->kernels,
                                        .workspaces = &model->workspaces,
                                        .profile = profile,
                                        .threads = call->threads};
    if (call->planned->ragged) {
        return bt_ragged_run(&model->cache, call->planned, model->weights, &run, call->lengths, err);
    }
    return bt_schedule_run(&call->planned->schedule, &run, err);
}

enum bertc_status bertc_call_run(struct bertc_call *call, void *const *outputs, struct bertc_error *err)
{
    return run_call(call, outputs, NULL, err);
}

enum bertc_status bertc_call_profile(struct bertc_call *call, void *const *outputs, struct bertc_profile **out,
                                     struct bertc_error *err)
{
    struct bt_profile profile;
    struct bt_graph *graph = &call->planned->variant->graph;
    enum bertc_status status = bt_profile_init(&profile, graph, err);
    const int64_t start = bt_clock_ns();
    if (!status) {
        status = run_call(call, outputs, &profile, err);
    }
    profile.ns = bt_clock_ns() - start;
    if (!status) {
        pthread_mutex_lock(&call->model->cache.build); /* for the graph's scratch text */
        status = bt_profile_report(&profile, graph, out, err);
        pthread_mutex_unlock(&call->model->cache.build);
    }
    bt_profile_free(&profile);
    return status;
}

void bertc_profile_free(struct bertc_profile *profile)
{
    bt_profile_report_free(profile);
}

double bertc_peak(double seconds)
{
    return bt_peak_measure(bt_cpu_isa(), seconds);
}

void bertc_call_free(struct bertc_call *call)
{
    if (call) {
        bt_planned_unref(call->planned);
        bt_arena_free(&call->arena);
        bt_free(call);
    }
}

void bertc_free(void *p)
{
    bt_free(p);
}

void bertc_set_threads(int threads)
{
    bt_set_threads(threads);
}

int bertc_threads(void)
{
    return bt_threads();
}

void bertc_set_gemm_library(const char *path)
{
    bt_gemm_library(path);
}
