/* exported_signature.c: what the placeholders of an exported program stand for, its arguments and its results */
#include <inttypes.h>
#include <string.h>

#include "load/exported.h"

#define MAX_LEAVES 1024 /* tensors and numbers among the arguments; their dimensions are compared with each other */

/* A JSON list, empty when there is none. */
struct specs {
    const struct bt_json *items;
    size_t count;
};

static enum bertc_status bad_program(const struct bt_exported *e, struct bertc_error *err, const char *what)
{
    return bt_error_set(err, BERTC_FORMAT, "%s: %s", e->member, what);
}

static struct specs list_of(const struct bt_json *list)
{
    bool is_list = list && list->kind == BT_JSON_ARRAY;
    return (struct specs){is_list ? list->items : NULL, is_list ? list->size : 0};
}

/* The type and value of an argument that is a constant. */
static bool read_constant(const char *tag, const struct bt_json *value, struct bt_exported_leaf *out)
{
    static const struct {
        const char *tag, *type;
        enum bertc_kind kind;
        enum bt_json_kind json;
    } kinds[] = {{"as_none", "NoneType", BERTC_NONE, BT_JSON_NULL},
                 {"as_bool", "bool", BERTC_BOOL, BT_JSON_BOOL},
                 {"as_int", "int", BERTC_INT, BT_JSON_INT},
                 {"as_float", "float", BERTC_FLOAT, BT_JSON_FLOAT},
                 {"as_string", "str", BERTC_STRING, BT_JSON_STRING}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].tag, tag) != 0) {
            continue;
        }
        bool whole = kinds[i].kind == BERTC_FLOAT && value->kind == BT_JSON_INT;
        out->type = kinds[i].type;
        out->constant = true;
        out->value.kind = kinds[i].kind;
        out->value.slot = -1;
        out->value.integer = kinds[i].kind == BERTC_BOOL ? value->boolean : value->integer;
        out->value.number = value->number;
        out->value.text = value->text;
        return kinds[i].kind == BERTC_NONE || whole || value->kind == kinds[i].json;
    }
    return false;
}

/* The shape that a tensor had when the program was exported; false when a dimension has no hint. */
static bool read_shape(const struct bt_json *sizes, struct bt_tensor *out)
{
    out->rank = (int)sizes->size;
    for (int i = 0; i < out->rank; i++) {
        const char *tag;
        const struct bt_json *size = bt_exported_union(&sizes->items[i], &tag);
        if (size && !strcmp(tag, "as_expr")) {
            const struct bt_json *hint = bt_json_get(size, "hint"), *inner = bt_exported_union(hint, &tag);
            size = inner ? inner : hint;
        }
        if (!bt_json_int(size, &out->dims[i]) || out->dims[i] < 0) {
            return false;
        }
    }
    bt_contiguous_strides(out->rank, out->dims, out->strides);
    return true;
}

/* A tensor among the arguments: its sizes, its example. */
static enum bertc_status read_tensor_leaf(const struct bt_exported *e, const char *name, struct bt_exported_leaf *out,
                                          struct bertc_error *err)
{
    const struct bt_json *value = bt_json_get(bt_json_get(e->graph, "tensor_values"), name);
    const struct bt_json *meta = bt_json_get(value, "meta"); /* of schema 1 */
    meta = meta ? meta : value;
    out->type = "Tensor";
    out->sizes = bt_json_get(meta, "sizes");
    int64_t code;
    if (!out->sizes || out->sizes->kind != BT_JSON_ARRAY || !bt_json_int(bt_json_get(meta, "dtype"), &code)) {
        return bad_program(e, err, "an input has no entry with dtype and sizes in tensor_values");
    }
    if (out->sizes->size > BT_MAX_RANK) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "%s: an input of %zu dimensions; at most %d are supported",
                            e->member, out->sizes->size, BT_MAX_RANK);
    }
    struct bt_tensor *tensor = &out->value.tensor;
    bool known = bt_dtype_from_aten(bt_exported_dtype(code), &tensor->dtype) && read_shape(out->sizes, tensor);
    out->value.kind = known ? BERTC_TENSOR : BERTC_NONE;
    out->value.slot = -1;
    return BERTC_OK;
}

/* Adds the leaf for a user's input, `argument` being the union that says what it is. */
static enum bertc_status add_leaf(struct bt_exported *e, const struct bt_json *argument, struct bertc_error *err)
{
    if (e->leaf_count == MAX_LEAVES) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "%s: the program takes more than %d values", e->member, MAX_LEAVES);
    }
    struct bt_exported_leaf *leaf = &e->leaves[e->leaf_count];
    struct bt_exported_input *input = &e->inputs[e->input_count++];
    const char *tag = "";
    const struct bt_json *value = bt_exported_union(argument, &tag);
    *input = (struct bt_exported_input){BT_EXPORTED_USER, "", e->leaf_count++};
    if (value && !strcmp(tag, "as_tensor")) {
        input->name = bt_json_string(bt_json_get(value, "name"));
        return input->name ? read_tensor_leaf(e, input->name, leaf, err) : bad_program(e, err, "an input has no name");
    }
    static const struct {
        const char *tag, *type;
    } numbers[] = {{"as_sym_int", "int"}, {"as_sym_float", "float"}, {"as_sym_bool", "bool"}};
    for (size_t i = 0; value && i < sizeof numbers / sizeof numbers[0]; i++) {
        if (!strcmp(tag, numbers[i].tag)) {
            input->name = bt_json_string(bt_json_get(value, "as_name"));
            leaf->type = numbers[i].type;
            return input->name ? BERTC_OK : bad_program(e, err, "an input has no name");
        }
    }
    if (!value || !read_constant(tag, value, leaf)) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "%s: an input of kind '%.60s' is not supported", e->member, tag);
    }
    return BERTC_OK;
}

/* Adds the placeholder of a weight. */
static enum bertc_status add_weight(struct bt_exported *e, const char *name, const char *path,
                                    enum bt_exported_role role, struct bertc_error *err)
{
    struct bt_exported_input *input = &e->inputs[e->input_count++];
    if (!name || !path) {
        return bad_program(e, err, "a parameter, buffer or constant has no name");
    }
    *input = (struct bt_exported_input){.kind = BT_EXPORTED_WEIGHT, .name = name};
    if (!bt_exported_find_weight(e, path, &input->index)) {
        return bt_error_set(err, BERTC_FORMAT, "the archive has no tensor for '%.200s', which the program needs", path);
    }
    e->weights.items[input->index].role = role;
    return BERTC_OK;
}

/* {"parameter": {"arg": {"name": placeholder}, "parameter_name": dotted}} and its like */
static enum bertc_status read_input_spec(struct bt_exported *e, const struct bt_json *spec, struct bertc_error *err)
{
    static const struct {
        const char *tag, *path;
        enum bt_exported_role role;
    } weights[] = {{"parameter", "parameter_name", BT_EXPORTED_PARAMETER},
                   {"buffer", "buffer_name", BT_EXPORTED_BUFFER},
                   {"tensor_constant", "tensor_constant_name", BT_EXPORTED_CONSTANT}};
    const char *tag = "";
    const struct bt_json *inner = bt_exported_union(spec, &tag), *arg = bt_json_get(inner, "arg");
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        if (!strcmp(tag, weights[i].tag)) {
            return add_weight(e, bt_json_string(bt_json_get(arg, "name")),
                              bt_json_string(bt_json_get(inner, weights[i].path)), weights[i].role, err);
        }
    }
    if (!strcmp(tag, "user_input")) {
        return add_leaf(e, arg, err);
    }
    if (!strcmp(tag, "constant_input")) {
        return add_leaf(e, bt_json_get(inner, "value"), err);
    }
    if (!strcmp(tag, "token")) {
        e->inputs[e->input_count++] = (struct bt_exported_input){.kind = BT_EXPORTED_TOKEN, .name = ""};
        return BERTC_OK;
    }
    return bt_error_set(err, BERTC_UNSUPPORTED, "%s: an input of kind '%.60s' is not supported", e->member, tag);
}

/* Schema 1 has tables of placeholders instead: a placeholder in none of them is the user's. */
static enum bertc_status read_placeholder(struct bt_exported *e, const struct bt_json *signature,
                                          const struct bt_json *placeholder, struct bertc_error *err)
{
    const char *tag, *name = bt_json_string(bt_json_get(bt_exported_union(placeholder, &tag), "name"));
    if (!name) {
        return bad_program(e, err, "a placeholder has no name");
    }
    const struct bt_json *path = bt_json_get(bt_json_get(signature, "inputs_to_parameters"), name);
    if (path) {
        return add_weight(e, name, bt_json_string(path), BT_EXPORTED_PARAMETER, err);
    }
    path = bt_json_get(bt_json_get(signature, "inputs_to_buffers"), name);
    return path ? add_weight(e, name, bt_json_string(path), BT_EXPORTED_BUFFER, err) : add_leaf(e, placeholder, err);
}

static enum bertc_status read_inputs(struct bt_exported *e, const struct bt_json *signature, struct bertc_error *err)
{
    const struct bt_json *list = bt_json_get(signature, "input_specs");
    const struct specs placeholders = list_of(bt_json_get(e->graph, "inputs"));
    const struct specs specs = list ? list_of(list) : placeholders;
    if (specs.count != placeholders.count) {
        return bad_program(e, err, "the signature has another number of inputs than the graph");
    }
    e->inputs = bt_arena_alloc(e->arena, specs.count, sizeof *e->inputs);
    e->leaves = bt_arena_alloc(e->arena, specs.count, sizeof *e->leaves);
    if (!e->inputs || !e->leaves) {
        return bt_error_memory(err);
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i < specs.count; i++) {
        status = list ? read_input_spec(e, &specs.items[i], err) : read_placeholder(e, signature, &specs.items[i], err);
    }
    return status;
}

/* Which of the graph's outputs the caller gets. A program that writes to its buffers would give other results from
 * call to call; what it writes to its inputs stays unseen. */
static enum bertc_status read_outputs(struct bt_exported *e, const struct bt_json *signature, struct bertc_error *err)
{
    const struct bt_json *list = bt_json_get(signature, "output_specs");
    const struct specs outputs = list_of(list ? list : bt_json_get(e->graph, "outputs"));
    const struct bt_json *mutated = bt_json_get(signature, "buffers_to_mutate");
    e->outputs = bt_arena_alloc(e->arena, outputs.count, sizeof *e->outputs);
    if (!e->outputs) {
        return bt_error_memory(err);
    }
    if (mutated && mutated->size) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "the program changes its buffers, which is not supported");
    }
    for (size_t i = 0; i < outputs.count; i++) {
        const char *tag = "user_output";
        const struct bt_json *inner = list ? bt_exported_union(&outputs.items[i], &tag) : NULL;
        if (!strcmp(tag, "user_output")) {
            e->outputs[e->output_count++] = list ? bt_json_get(inner, "arg") : &outputs.items[i];
        } else if (strcmp(tag, "user_input_mutation") != 0 && strcmp(tag, "token") != 0) {
            return bt_error_set(err, BERTC_UNSUPPORTED,
                                "the program has an output of kind '%.60s': it trains, or changes its weights", tag);
        }
    }
    return BERTC_OK;
}

/* The call's signature: {"in_spec": ..., "out_spec": ..., "forward_arg_names": [...]} */
static const struct bt_json *find_call(const struct bt_exported *e)
{
    const struct bt_json *module = bt_json_get(e->program, "graph_module"), *call = bt_json_get(module, "call_spec");
    const struct specs entries = list_of(bt_json_get(module, "module_call_graph"));
    for (size_t i = 0; i < entries.count; i++) {
        const char *name = bt_json_string(bt_json_get(&entries.items[i], "fqn"));
        const struct bt_json *signature = bt_json_get(&entries.items[i], "signature");
        if (name && !*name && signature && signature->kind == BT_JSON_OBJECT) {
            return signature;
        }
    }
    return call;
}

/* A parameter: its name, its type, its default when it was exported as a constant. */
static enum bertc_status add_param(struct bt_exported *e, const struct bt_pytree *tree, const char *name,
                                   const char *const *types, struct bertc_error *err)
{
    const size_t i = e->param_count++;
    const struct bt_exported_leaf *leaf = tree->kind == BT_PYTREE_LEAF ? &e->leaves[tree->leaf] : NULL;
    for (size_t k = 0; !name && leaf && k < e->input_count; k++) { /* old programs: as the placeholder */
        const struct bt_exported_input *input = &e->inputs[k];
        name = input->kind == BT_EXPORTED_USER && input->index == tree->leaf && *input->name ? input->name : NULL;
    }
    e->args[i] = *tree;
    e->params[i].name = name ? name : bt_arena_printf(e->arena, "arg%zu", i);
    e->params[i].type = bt_pytree_type(tree, types, e->arena);
    e->params[i].required = !leaf || !leaf->constant;
    e->defaults[i] = leaf ? leaf->value : (struct bertc_value){.slot = -1};
    return e->params[i].name && e->params[i].type ? BERTC_OK : bt_error_memory(err);
}

/* ((positional...), {keyword: ...}) as parameters; in torch 2.1 only (positional...). */
static enum bertc_status read_params(struct bt_exported *e, const struct bt_pytree *root, const struct bt_json *call,
                                     struct bertc_error *err)
{
    const struct bt_pytree *args = root, *kwargs = NULL;
    const struct specs names = list_of(bt_json_get(call, "forward_arg_names"));
    if (root->count == 2 && root->items[0].kind == BT_PYTREE_TUPLE && root->items[1].kind == BT_PYTREE_DICT) {
        args = &root->items[0];
        kwargs = &root->items[1];
    }
    const size_t count = args->count + (kwargs ? kwargs->count : 0);
    e->args = bt_arena_alloc(e->arena, count, sizeof *e->args);
    e->params = bt_arena_alloc(e->arena, count, sizeof *e->params);
    e->defaults = bt_arena_alloc(e->arena, count, sizeof *e->defaults);
    const char **types = bt_arena_alloc(e->arena, e->leaf_count, sizeof *types);
    if (!e->args || !e->params || !e->defaults || !types) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < e->leaf_count; i++) {
        types[i] = e->leaves[i].type;
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i < args->count; i++) {
        const char *name = i < names.count ? bt_json_string(&names.items[i]) : NULL;
        status = add_param(e, &args->items[i], name, types, err);
    }
    for (size_t i = 0; !status && kwargs && i < kwargs->count; i++) {
        status = add_param(e, &kwargs->items[i], kwargs->keys[i], types, err);
    }
    return status;
}

enum bertc_status bt_exported_read_signature(struct bt_exported *e, struct bertc_error *err)
{
    const struct bt_json *signature = bt_json_get(bt_json_get(e->program, "graph_module"), "signature");
    const struct bt_json *call = find_call(e);
    const char *in_spec = bt_json_string(bt_json_get(call, "in_spec"));
    const char *out_spec = bt_json_string(bt_json_get(call, "out_spec"));
    struct bt_pytree args;
    size_t arg_leaves, result_leaves;
    enum bertc_status status;
    if (!signature || !in_spec || !out_spec) {
        return bad_program(e, err, "it has no signature, or no in_spec and out_spec");
    }
    if ((status = read_inputs(e, signature, err)) || (status = read_outputs(e, signature, err)) ||
        (status = bt_pytree_parse(in_spec, e->arena, &args, &arg_leaves, err)) ||
        (status = bt_pytree_parse(out_spec, e->arena, &e->result, &result_leaves, err))) {
        return status;
    }
    if (arg_leaves != e->leaf_count || result_leaves != e->output_count) {
        return bad_program(e, err, "in_spec or out_spec has another number of values than the signature");
    }
    return read_params(e, &args, call, err);
}

/* The example of a leaf or container; false when one of its tensors' shapes is unknown. */
static bool example_value(const struct bt_exported *e, const struct bt_pytree *tree, struct bertc_value *out,
                          bool *memory)
{
    static const enum bertc_kind kinds[] = {
        [BT_PYTREE_TUPLE] = BERTC_TUPLE, [BT_PYTREE_LIST] = BERTC_LIST, [BT_PYTREE_DICT] = BERTC_DICT};
    if (tree->kind == BT_PYTREE_LEAF) {
        *out = e->leaves[tree->leaf].value;
        return e->leaves[tree->leaf].constant || out->kind == BERTC_TENSOR;
    }
    *out = (struct bertc_value){.kind = kinds[tree->kind], .slot = -1, .count = tree->count};
    out->items = bt_arena_alloc(e->arena, tree->count, sizeof *out->items);
    *memory = *memory || !out->items;
    for (size_t i = 0; out->items && i < tree->count; i++) {
        if (!example_value(e, &tree->items[i], &out->items[i], memory)) {
            return false;
        }
        out->items[i].key = tree->keys ? tree->keys[i] : NULL;
    }
    return out->items != NULL;
}

struct bertc_value *bt_exported_example(const struct bt_exported *e, bool *memory)
{
    struct bertc_value *example = bt_arena_alloc(e->arena, e->param_count, sizeof *example);
    *memory = !example;
    for (size_t i = 0; example && i < e->param_count; i++) {
        if (!example_value(e, &e->args[i], &example[i], memory)) {
            return NULL;
        }
    }
    return example;
}
