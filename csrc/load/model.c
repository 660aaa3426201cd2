/* model.c: a directory's model: which head, its parameters, its graph, and the weights that are missing or left over */
#include "load/model.h"

#include <stdio.h>
#include <string.h>

#include "load/encoder.h"
#include "load/load.h"

/* ---- parameters ---- */

/* The next name of a list separated by blanks. */
static const char *next_name(const char *list, size_t *size)
{
    list += strspn(list, " ");
    *size = strcspn(list, " ");
    return *size ? list : NULL;
}

static const char *input_list(const struct bt_model *model)
{
    return model->head && model->head->inputs ? model->head->inputs : model->arch->inputs;
}

/* forward's inputs in order, then what may be asked for; *count of them. */
static void list_inputs(const struct bt_model *model, enum bt_encoder_input *out, size_t *count)
{
    size_t size;
    *count = 0;
    for (const char *name = input_list(model); (name = next_name(name, &size)); name += size) {
        *count += bt_encoder_input_find(name, size, &out[*count]);
    }
    out[(*count)++] = BT_IN_ATTENTIONS;
    out[(*count)++] = BT_IN_HIDDEN_STATES;
}

/* Ids and a mask: sizes that no weight has by chance, where the table of positions allows. */
static struct bertc_value example_of(const struct bt_model *model, enum bt_encoder_input input,
                                     const struct bertc_value *fallback)
{
    const bool choices = model->head && bt_head_takes_choices(model->head);
    if (input != BT_IN_IDS && input != BT_IN_MASK) {
        return *fallback;
    }
    const int64_t positions = model->config.positions, length = positions < 11 ? positions : 11;
    struct bt_tensor tensor = {.dtype = BT_I64, .rank = 2, .dims = {3, length}};
    if (choices) {
        tensor = (struct bt_tensor){.dtype = BT_I64, .rank = 3, .dims = {3, 5, length}};
    }
    bt_contiguous_strides(tensor.rank, tensor.dims, tensor.strides);
    return (struct bertc_value){.kind = BERTC_TENSOR, .tensor = tensor};
}

static enum bertc_status make_params(struct bt_model *model, struct bertc_error *err)
{
    enum bt_encoder_input inputs[BT_IN_COUNT];
    struct bt_arena *arena = model->checkpoint->arena;
    list_inputs(model, inputs, &model->param_count);
    model->params = bt_arena_alloc(arena, model->param_count, sizeof *model->params);
    model->defaults = bt_arena_alloc(arena, model->param_count, sizeof *model->defaults);
    model->example = bt_arena_alloc(arena, model->param_count, sizeof *model->example);
    if (!model->params || !model->defaults || !model->example) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < model->param_count; i++) {
        const bool flag = inputs[i] == BT_IN_ATTENTIONS || inputs[i] == BT_IN_HIDDEN_STATES;
        model->params[i] =
            (struct bertc_param){bt_encoder_input_name(inputs[i]), flag ? "bool" : "Optional[Tensor]", false};
        model->defaults[i].kind = flag ? BERTC_BOOL : BERTC_NONE;
        model->example[i] = example_of(model, inputs[i], &model->defaults[i]);
    }
    return BERTC_OK;
}

/* ---- build ---- */

static bt_value pool(struct bt_encoder *e, bt_value hidden)
{
    const bt_value first = bt_nn_select(&e->nn, hidden, 1, 0);
    if (e->config->plain_pooler) {
        return first;
    }
    bt_nn_enter(&e->nn, "", 0);
    e->nn.graph->where = "pooler";
    const bt_value x = bt_nn_linear(&e->nn, first, e->model->arch->pooler, e->config->hidden, BT_BIAS);
    return bt_nn_unary(&e->nn, BT_OP_TANH, x);
}

static enum bertc_status build(const struct bt_model *model, const struct bt_tree *inputs, struct bt_graph *graph,
                               struct bt_weight_log *log, struct bertc_error *err)
{
    enum bt_encoder_input which[BT_IN_COUNT];
    size_t count;
    struct bt_encoder e = {.model = model,
                           .config = &model->config,
                           .words = model->arch->words,
                           .nn = {.graph = graph,
                                  .checkpoint = model->checkpoint,
                                  .log = log,
                                  .prefix = model->prefix,
                                  .dtype = model->dtype,
                                  .scope = "",
                                  .err = err}};
    list_inputs(model, which, &count);
    graph->where = "embeddings";
    bt_encoder_begin(&e, inputs, which, count);
    const bt_value hidden = e.nn.status ? BT_NO_VALUE : model->arch->encode(&e);
    const bool pools = model->head ? bt_head_pools(model->head) : model->pooled;
    const bt_value pooled = pools && !e.nn.status ? pool(&e, hidden) : BT_NO_VALUE;
    if (model->head) {
        bt_head_build(&e, hidden, pooled);
    } else {
        bt_encoder_output(&e, "last_hidden_state", hidden);
        if (pools) {
            bt_encoder_output(&e, "pooler_output", pooled);
        }
    }
    bt_encoder_end(&e);
    return e.nn.status;
}

enum bertc_status bt_model_build(const struct bt_model *model, const struct bt_tree *inputs, struct bt_graph *graph,
                                 struct bertc_error *err)
{
    return build(model, inputs, graph, NULL, err);
}

/* ---- weights ---- */

static bool ends_with(const char *name, const char *end)
{
    const size_t size = strlen(name), tail = strlen(end);
    return size >= tail && strcmp(name + size - tail, end) == 0;
}

/* Buffers that versions of transformers wrote, and parts of another head. */
static bool is_left_over(const struct bt_model *model, const char *name)
{
    static const char *const buffers[] = {"position_ids", "token_type_ids",          "inv_freq",
                                          "mask_emb",     "seq_relationship.weight", "seq_relationship.bias"};
    bool known = bt_head_owns(model, name);
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers && !known; i++) {
        known = ends_with(name, buffers[i]);
    }
    return !known;
}

static enum bertc_status warn(struct bt_model *model, const bool *used, bool headless, struct bertc_error *err)
{
    const struct bt_checkpoint *c = model->checkpoint;
    char names[400] = "", text[700] = "";
    size_t count = 0;
    for (size_t i = 0; i < c->tensor_count; i++) {
        const char *name = c->tensors[i].name;
        const size_t size = strlen(names);
        if (!used[i] && is_left_over(model, name)) {
            if (size + strlen(name) + 3 < sizeof names) {
                snprintf(names + size, sizeof names - size, "%s%s", size ? ", " : "", name);
            }
            count++;
        }
    }
    if (headless) {
        snprintf(text, sizeof text, "the files hold no head, so this is the bare %s", model->architecture);
    }
    if (count) {
        const size_t size = strlen(text);
        snprintf(text + size, sizeof text - size, "%sweights that %s does not have: %s (%zu in all)", size ? "; " : "",
                 model->architecture, names, count);
    }
    model->warning = bt_arena_string(c->arena, text, strlen(text));
    return model->warning ? BERTC_OK : bt_error_memory(err);
}

/* Builds the example's graph, which finds the weights. */
static enum bertc_status try_build(const struct bt_model *model, struct bt_weight_log *log, struct bertc_error *err)
{
    struct bt_graph graph;
    struct bt_tree *inputs;
    bt_graph_init(&graph, err);
    enum bertc_status status =
        graph.exprs ? bt_bind_inputs(&graph, model->params, model->example, model->param_count, NULL, &inputs, err)
                    : bt_error_memory(err);
    if (!status) {
        status = build(model, inputs, &graph, log, err);
    }
    bt_graph_free(&graph);
    if (!status && log->missing_count > 0) {
        return bt_error_set(err, BERTC_FORMAT, "weights that config.json asks for are missing: %s (%zu in all)",
                            log->missing, log->missing_count);
    }
    return status;
}

static enum bertc_status find_weights(struct bt_model *model, bool headless, struct bertc_error *err)
{
    struct bt_weight_log log = {.used = bt_calloc(model->checkpoint->tensor_count, sizeof *log.used)};
    enum bertc_status status = log.used ? try_build(model, &log, err) : bt_error_memory(err);
    if (!status) {
        status = warn(model, log.used, headless, err);
    }
    bt_free(log.used);
    return status;
}

/* Of the first matrix; the others are taken as such. */
static enum bt_dtype find_dtype(const struct bt_checkpoint *c)
{
    for (size_t i = 0; i < c->tensor_count; i++) {
        const struct bt_tensor *tensor = &c->tensors[i].tensor;
        if (tensor->rank == 2 && bt_dtype_is_float(tensor->dtype)) {
            return tensor->dtype;
        }
    }
    return BT_F32;
}

static enum bertc_status choose_head(struct bt_model *model, bool *headless, struct bertc_error *err)
{
    const struct bt_arch *arch = model->arch;
    enum bertc_status status = bt_head_choose(model, &model->head, err);
    if (status) {
        return status;
    }
    *headless = model->head && bt_head_is_absent(model, model->head);
    if (*headless) {
        model->head = NULL;
    }
    if (arch->pooler) {
        char name[BT_WEIGHT_NAME];
        snprintf(name, sizeof name, "%s%s.weight", model->prefix, arch->pooler);
        model->pooled = model->config.plain_pooler || bt_checkpoint_find(model->checkpoint, name);
    }
    model->architecture =
        bt_arena_printf(model->checkpoint->arena, "%s%s", arch->class_name, model->head ? model->head->name : "Model");
    return model->architecture ? BERTC_OK : bt_error_memory(err);
}

enum bertc_status bt_model_open(struct bt_checkpoint *checkpoint, struct bt_model **out, struct bertc_error *err)
{
    const char *model_type = bt_json_string(bt_json_get(checkpoint->config, "model_type"));
    struct bt_model *model = bt_arena_alloc(checkpoint->arena, 1, sizeof *model);
    bool headless = false;
    if (!model) {
        return bt_error_memory(err);
    }
    if (!model_type) {
        return bt_error_set(err, BERTC_FORMAT, "config.json: no model_type");
    }
    model->checkpoint = checkpoint;
    enum bertc_status status = bt_arch_find(model_type, &model->arch, err);
    if (status) {
        return status;
    }
    checkpoint->aliases = model->arch->aliases;
    model->dtype = find_dtype(checkpoint);
    model->prefix = bt_checkpoint_has_prefix(checkpoint, model->arch->prefix)     ? model->arch->prefix
                    : bt_checkpoint_has_prefix(checkpoint, "encoder.embeddings.") ? "encoder."
                                                                                  : "";
    if ((status = bt_arch_configure(model->arch, checkpoint, &model->config, err)) ||
        (status = choose_head(model, &headless, err)) || (status = make_params(model, err)) ||
        (status = find_weights(model, headless, err))) {
        return status;
    }
    *out = model;
    return BERTC_OK;
}
