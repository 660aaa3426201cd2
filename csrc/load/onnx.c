/* onnx.c: load an ONNX model: what it takes, its weights; build graphs from it */
#include <string.h>

#include "load/load.h"
#include "load/onnx_build.h"

struct program {
    struct bt_program base; /* first: the caller knows only this */
    struct bt_arena arena;
    struct bt_onnx_data data;
    struct bt_onnx_model model;
    const struct bt_onnx_value **inputs; /* one per param */
};

/* A model message starts with its ir_version, a small number, and goes on with one of its next fields. */
bool bt_onnx_probe(struct bt_span bytes)
{
    static const uint8_t next[] = {0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42};
    return bytes.size > 2 && bytes.data[0] == 0x08 && bytes.data[1] > 0 && bytes.data[1] < 0x40 &&
           memchr(next, bytes.data[2], sizeof next);
}

static size_t size_of(const struct bt_program *base)
{
    return ((const struct program *)base)->arena.total;
}

static void free_program(struct bt_program *base)
{
    struct program *p = (struct program *)base;
    for (size_t i = 0; i < p->data.count; i++) {
        bt_file_unref(p->data.files[i]);
    }
    bt_arena_free(&p->arena);
    bt_file_unref(p->base.file);
    bt_free(p);
}

static enum bertc_status build(const struct bt_program *base, const struct bertc_value *args, struct bt_graph *graph,
                               struct bertc_error *err)
{
    const struct program *p = (const struct program *)base;
    return bt_onnx_build(&p->model, base->params, p->inputs, args, base->param_count, graph, err);
}

/* The versions of the sets of operators that the lowerings of onnx.inc follow. */
static const struct {
    const char *domain, *name;
    int64_t oldest, newest;
} known_opsets[] = {
    {"", "ai.onnx", 7, 28}, /* until 6, operators had attributes that say how they broadcast */
    {"com.microsoft", "com.microsoft", 1, 1},
};

static enum bertc_status check_opsets(const struct bt_onnx_opsets *opsets, struct bertc_error *err)
{
    for (size_t i = 0; i < opsets->count; i++) {
        const struct bt_onnx_opset *o = &opsets->items[i];
        for (size_t k = 0; k < sizeof known_opsets / sizeof *known_opsets; k++) {
            const int64_t oldest = known_opsets[k].oldest, newest = known_opsets[k].newest;
            if (strcmp(o->domain, known_opsets[k].domain) == 0 && (o->version < oldest || o->version > newest)) {
                return bt_error_set(err, BERTC_UNSUPPORTED,
                                    "it uses opset %lld of %s, but bertc reads %lld to %lld; "
                                    "onnx.version_converter can change it",
                                    (long long)o->version, known_opsets[k].name, (long long)oldest, (long long)newest);
            }
        }
    }
    return BERTC_OK;
}

static enum bertc_status check_model(const struct bt_onnx_model *model, struct bertc_error *err)
{
    const struct bt_onnx_graph *graph = &model->graph;
    enum bertc_status status = check_opsets(&model->opsets, err);
    for (size_t i = 0; !status && i < model->function_count; i++) {
        status = check_opsets(&model->functions[i].opsets, err);
    }
    if (status) {
        return status;
    }
    if (graph->node_count == 0 || graph->output_count == 0) {
        return bt_error_set(err, BERTC_FORMAT, "the ONNX model has no graph with nodes and outputs");
    }
    return BERTC_OK;
}

/* Initialisers may be listed among the inputs, as files of ONNX before 1.4 do: they are no arguments. */
static enum bertc_status read_params(struct program *p, struct bertc_error *err)
{
    const struct bt_onnx_graph *graph = &p->model.graph;
    struct bt_program *base = &p->base;
    struct bt_map tensors = {0};
    size_t at;
    for (size_t i = 0; i < graph->tensor_count; i++) {
        const char *name = graph->tensors[i].name;
        if (!bt_map_put(&tensors, &p->arena, name, strlen(name), i)) {
            return bt_error_memory(err);
        }
    }
    base->params = bt_arena_alloc(&p->arena, graph->input_count, sizeof *base->params);
    base->defaults = bt_arena_alloc(&p->arena, graph->input_count, sizeof *base->defaults);
    p->inputs = bt_arena_alloc(&p->arena, graph->input_count, sizeof *p->inputs);
    if (!base->params || !base->defaults || !p->inputs) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < graph->input_count; i++) {
        const char *name = graph->inputs[i].name;
        if (bt_map_get(&tensors, name, strlen(name), &at)) {
            continue;
        }
        if (graph->inputs[i].foreign) {
            return bt_error_set(err, BERTC_UNSUPPORTED, "argument '%.100s' is of type %s, which is not supported", name,
                                graph->inputs[i].foreign);
        }
        p->inputs[base->param_count] = &graph->inputs[i];
        base->params[base->param_count++] = (struct bertc_param){.name = name, .type = "Tensor", .required = true};
    }
    return BERTC_OK;
}

static enum bertc_status read_weights(struct program *p, struct bertc_error *err)
{
    const struct bt_onnx_graph *graph = &p->model.graph;
    p->base.weights = bt_arena_alloc(&p->arena, graph->tensor_count, sizeof *p->base.weights);
    if (!p->base.weights) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < graph->tensor_count; i++) {
        const struct bt_onnx_tensor *t = &graph->tensors[i];
        p->base.weights[i] = (struct bertc_weight){t->name, t->tensor, bt_dtype_is_float(t->tensor.dtype)};
    }
    p->base.weight_count = graph->tensor_count;
    return BERTC_OK;
}

/* Arguments of the declared types and fixed sizes, all others made up; none when a rank is not declared. */
static enum bertc_status make_example(struct program *p, struct bertc_error *err)
{
    static const int64_t sizes[BT_MAX_RANK] = {3, 11, 5, 7, 1, 1, 1, 1};
    struct bertc_value *example = bt_arena_alloc(&p->arena, p->base.param_count, sizeof *example);
    if (!example) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < p->base.param_count; i++) {
        const struct bt_onnx_value *input = p->inputs[i];
        struct bt_tensor *t = &example[i].tensor;
        if (input->rank < 0 || !input->typed) {
            return BERTC_OK;
        }
        example[i].kind = BERTC_TENSOR;
        t->dtype = input->dtype;
        t->rank = input->rank;
        for (int d = 0; d < t->rank; d++) {
            t->dims[d] = input->dims[d].size >= 0 ? input->dims[d].size : sizes[d];
        }
        bt_contiguous_strides(t->rank, t->dims, t->strides);
    }
    p->base.example = example;
    p->base.example_guessed = true;
    return BERTC_OK;
}

static enum bertc_status read_program(struct program *p, struct bertc_error *err)
{
    struct bt_program *base = &p->base;
    enum bertc_status status;
    if ((status = bt_onnx_read(bt_file_bytes(p->base.file), &p->arena, &p->data, &p->model, err)) ||
        (status = check_model(&p->model, err)) || (status = read_params(p, err)) || (status = read_weights(p, err)) ||
        (status = make_example(p, err))) {
        return status;
    }
    const char *version = p->model.producer_version;
    base->beside = (struct bt_files){p->data.files, p->data.count};
    base->format = "ONNX model";
    base->producer = *p->model.producer
                         ? bt_arena_printf(&p->arena, "%.60s%s%.40s", p->model.producer, *version ? " " : "", version)
                         : "";
    return base->producer ? BERTC_OK : bt_error_memory(err);
}

enum bertc_status bt_onnx_load(struct bt_file *file, const char *name, struct bt_program **out, struct bertc_error *err)
{
    (void)name;
    struct program *p = bt_calloc(1, sizeof *p);
    if (!p) {
        return bt_error_memory(err);
    }
    p->base.build = build;
    p->base.free = free_program;
    p->base.size = size_of;
    p->base.file = bt_file_ref(file);
    p->data.path = bt_file_path(file);
    enum bertc_status status = read_program(p, err);
    if (status) {
        free_program(&p->base);
        return status;
    }
    *out = &p->base;
    return BERTC_OK;
}
