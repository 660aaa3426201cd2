/* onnx_build.c: run an ONNX graph on values that build a graph: names, nodes, functions, conditions, inputs, results */
#include "load/onnx_build.h"

#include <string.h>

#include "load/load.h"

#define MAX_DEPTH 16 /* functions and bodies inside each other */
#define MAX_MEMORY ((size_t)256 << 20) /* of the build's values and graph */
#define MAX_OUTPUTS 4096 /* of a node */

static enum bertc_status run_nodes(struct bt_onnx_scope *scope, const struct bt_onnx_graph *graph,
                                   struct bertc_error *err);

static enum bertc_status bind(struct bt_onnx_scope *scope, const char *name, struct bt_onnx_binding binding,
                              struct bertc_error *err)
{
    struct bt_arena *arena = scope->lower->arena;
    size_t at;
    if (bt_map_get(&scope->names, name, strlen(name), &at)) {
        return bt_error_set(err, BERTC_FORMAT, "the name '%.200s' is given to two values", name);
    }
    if (!bt_arena_reserve(arena, &scope->bindings, &scope->cap, scope->count + 1, sizeof *scope->bindings) ||
        !bt_map_put(&scope->names, arena, name, strlen(name), scope->count)) {
        return bt_error_memory(err);
    }
    scope->bindings[scope->count++] = binding;
    return BERTC_OK;
}

static enum bertc_status define(struct bt_onnx_scope *scope, const char *name, struct bt_dyn value,
                                struct bertc_error *err)
{
    return bind(scope, name, (struct bt_onnx_binding){.value = value}, err);
}

static enum bertc_status define_tensors(struct bt_onnx_scope *scope, const struct bt_onnx_graph *graph,
                                        struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i < graph->tensor_count; i++) {
        const struct bt_onnx_tensor *t = &graph->tensors[i];
        status = bind(scope, t->name, (struct bt_onnx_binding){.tensor = t, .value = bt_dyn_none()}, err);
    }
    return status;
}

/* The value of a name in this scope or those around it. */
static enum bertc_status look_up(struct bt_onnx_call *o, const char *name, struct bt_dyn *out)
{
    size_t at;
    struct bt_onnx_scope *scope = o->scope;
    while (scope && !bt_map_get(&scope->names, name, strlen(name), &at)) {
        scope = scope->outer;
    }
    if (!scope) {
        bt_lower_fail(&o->call, BERTC_FORMAT,
                      "it reads '%.200s', which no node before it makes: the graph is incomplete or cyclic", name);
        return o->call.status;
    }
    struct bt_onnx_binding *binding = &scope->bindings[at];
    if (binding->tensor) {
        binding->value = bt_onnx_constant(o, binding->tensor, binding->tensor->name);
        binding->tensor = NULL;
    }
    *out = binding->value;
    return o->call.status;
}

static const struct bt_onnx_attribute *find_attribute(const struct bt_onnx_attribute *list, size_t count,
                                                      const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, name) == 0) {
            return &list[i];
        }
    }
    return NULL;
}

/* In a function an attribute may be that of the call, or else the function's default. */
static const struct bt_onnx_attribute *resolve(const struct bt_onnx_scope *scope, const struct bt_onnx_attribute *a)
{
    for (; a && a->ref && scope; scope = scope->caller) {
        while (!scope->function && scope->outer) {
            scope = scope->outer; /* the function that a body of If stands in */
        }
        const struct bt_onnx_function *fn = scope->function;
        if (!fn) {
            break;
        }
        const char *name = a->ref;
        a = find_attribute(scope->call->attributes, scope->call->attribute_count, name);
        a = a ? a : find_attribute(fn->defaults, fn->default_count, name);
    }
    return a && !a->ref ? a : NULL;
}

const struct bt_onnx_attribute *bt_onnx_attribute(struct bt_onnx_call *o, const char *name)
{
    const struct bt_onnx_node *n = o->node;
    return resolve(o->scope, find_attribute(n->attributes, n->attribute_count, name));
}

static int64_t opset_of(const struct bt_onnx_opsets *opsets, const char *domain)
{
    for (size_t i = 0; i < opsets->count; i++) {
        if (strcmp(opsets->items[i].domain, domain) == 0) {
            return opsets->items[i].version;
        }
    }
    return *domain ? 1 : 0;
}

static const struct bt_onnx_function *find_function(const struct bt_onnx_model *model, const struct bt_onnx_node *node)
{
    for (size_t i = 0; i < model->function_count; i++) {
        const struct bt_onnx_function *fn = &model->functions[i];
        if (strcmp(fn->name, node->op) == 0 && strcmp(fn->domain, node->domain) == 0) {
            return fn;
        }
    }
    return NULL;
}

static enum bertc_status too_deep(const struct bt_onnx_scope *scope, struct bertc_error *err)
{
    return scope->depth < MAX_DEPTH
               ? BERTC_OK
               : bt_error_set(err, BERTC_UNSUPPORTED, "functions and bodies nest more than %d levels", MAX_DEPTH);
}

/* Runs the nodes, then reads `names` into outs. */
static enum bertc_status run_inner(struct bt_onnx_call *o, struct bt_onnx_scope *scope,
                                   const struct bt_onnx_graph *graph, const char *const *names, size_t count)
{
    struct bertc_error *err = o->call.err;
    struct bt_onnx_call reader = {.call = o->call, .scope = scope, .node = o->node};
    enum bertc_status status = run_nodes(scope, graph, err);
    for (size_t i = 0; !status && i < count && i < o->out_count; i++) {
        status = look_up(&reader, names[i], &o->outs[i]);
    }
    return status;
}

static enum bertc_status run_function(struct bt_onnx_call *o, const struct bt_onnx_function *fn)
{
    struct bertc_error *err = o->call.err;
    struct bt_onnx_scope scope = {.model = o->scope->model,
                                  .opsets = fn->opsets.count ? &fn->opsets : o->scope->opsets,
                                  .lower = o->scope->lower,
                                  .caller = o->scope,
                                  .call = o->node,
                                  .function = fn,
                                  .depth = o->scope->depth + 1};
    enum bertc_status status = too_deep(o->scope, err);
    for (size_t i = 0; !status && i < fn->inputs.count; i++) {
        struct bt_dyn value = i < o->input_count ? o->inputs[i] : bt_dyn_none();
        status = define(&scope, fn->inputs.items[i], value, err);
    }
    return status ? status : run_inner(o, &scope, &fn->body, fn->outputs.items, fn->outputs.count);
}

void bt_onnx_run_body(struct bt_onnx_call *o, const char *attribute)
{
    struct bt_call *c = &o->call;
    const struct bt_onnx_attribute *a = bt_onnx_attribute_of(o, attribute, BT_ONNX_GRAPH);
    if (!a || !a->graph) {
        bt_lower_fail(c, BERTC_FORMAT, "it has no graph '%s'", attribute);
        return;
    }
    struct bt_onnx_scope scope = {.model = o->scope->model,
                                  .opsets = o->scope->opsets,
                                  .lower = o->scope->lower,
                                  .outer = o->scope,
                                  .caller = o->scope->caller,
                                  .depth = o->scope->depth + 1};
    const char **names = bt_arena_alloc(c->l->arena, a->graph->output_count, sizeof *names);
    if (!names) {
        bt_lower_ok(c, bt_error_memory(c->err));
        return;
    }
    for (size_t i = 0; i < a->graph->output_count; i++) {
        names[i] = a->graph->outputs[i].name;
    }
    if (bt_lower_ok(c, too_deep(o->scope, c->err)) && bt_lower_ok(c, define_tensors(&scope, a->graph, c->err))) {
        bt_lower_ok(c, run_inner(o, &scope, a->graph, names, a->graph->output_count));
    }
}

static enum bertc_status run_operator(struct bt_onnx_call *o)
{
    const struct bt_onnx_node *node = o->node;
    bt_onnx_lowering *lower = bt_onnx_find(node->domain, node->op, &o->detail);
    if (lower) {
        if (o->opset == 0) {
            bt_lower_fail(&o->call, BERTC_FORMAT, "the model does not say which opset of ai.onnx it uses");
        } else {
            lower(o);
        }
        return o->call.status;
    }
    const struct bt_onnx_function *fn = find_function(o->scope->model, node);
    if (fn) {
        return run_function(o, fn);
    }
    return bt_error_set(o->call.err, BERTC_UNSUPPORTED, "operator %s%s%.100s (opset %lld) is not implemented",
                        node->domain, *node->domain ? "::" : "", node->op, (long long)o->opset);
}

static enum bertc_status run_node(struct bt_onnx_scope *scope, const struct bt_onnx_node *node, struct bertc_error *err)
{
    struct bt_lower *l = scope->lower;
    struct bt_onnx_call o = {.call = {.l = l, .g = l->graph, .x = l->graph->exprs, .name = node->op, .err = err},
                             .scope = scope,
                             .node = node,
                             .opset = opset_of(scope->opsets, node->domain),
                             .input_count = node->inputs.count,
                             .out_count = node->outputs.count};
    if (node->outputs.count > MAX_OUTPUTS) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "it has more than %d outputs", MAX_OUTPUTS);
    }
    o.inputs = bt_arena_alloc(l->arena, o.input_count, sizeof *o.inputs);
    o.outs = bt_arena_alloc(l->arena, o.out_count + 1, sizeof *o.outs); /* lowerings set the first in any case */
    if (!o.inputs || !o.outs) {
        return bt_error_memory(err);
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i < o.input_count; i++) {
        o.inputs[i] = bt_dyn_none();
        if (*node->inputs.items[i]) {
            status = look_up(&o, node->inputs.items[i], &o.inputs[i]);
        }
    }
    for (size_t i = 0; i < o.out_count; i++) {
        o.outs[i] = bt_dyn_none();
    }
    if (status || (status = run_operator(&o))) {
        return status;
    }
    for (size_t i = 0; !status && i < o.out_count; i++) {
        if (*node->outputs.items[i]) {
            status = define(scope, node->outputs.items[i], o.outs[i], err);
        }
    }
    return status;
}

static enum bertc_status run_nodes(struct bt_onnx_scope *scope, const struct bt_onnx_graph *graph,
                                   struct bertc_error *err)
{
    struct bt_graph *g = scope->lower->graph;
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct bt_onnx_node *node = &graph->nodes[i];
        const char *name = *node->name ? node->name : node->outputs.count ? node->outputs.items[0] : node->op;
        if (scope->lower->arena->total + g->arena.total > MAX_MEMORY) {
            return bt_error_set(err, BERTC_UNSUPPORTED, "its values take more than %zu MB", MAX_MEMORY >> 20);
        }
        g->where = bt_arena_printf(&g->arena, "node '%.200s'", name);
        if (!g->where) {
            return bt_error_memory(err);
        }
        enum bertc_status status = run_node(scope, node, err);
        if (status) {
            const bool told = status == BERTC_MEMORY || (err && strstr(err->text, "node '"));
            return told ? status : bt_error_prefix(err, "node '%.200s'", name);
        }
    }
    return BERTC_OK;
}

/* Of the declared type and shape, or near enough: integers of any size and bools stand for each other. */
static enum bertc_status check_argument(const struct bt_onnx_value *input, const struct bertc_value *arg,
                                        uint8_t *fixed, struct bertc_error *err)
{
    const struct bt_tensor *t = &arg->tensor;
    *fixed = 0;
    if (arg->kind != BERTC_TENSOR) {
        return bt_error_set(err, BERTC_INPUT, "argument '%.100s': expected a tensor", input->name);
    }
    if (input->typed && bt_dtype_is_float(t->dtype) && !bt_dtype_is_float(input->dtype)) {
        return bt_error_set(err, BERTC_INPUT, "argument '%.100s' is %s, expected %s", input->name,
                            bt_dtype_name(t->dtype), bt_dtype_name(input->dtype));
    }
    if (input->rank >= 0 && input->rank != t->rank) {
        return bt_error_set(err, BERTC_INPUT, "argument '%.100s' has %d dimensions, expected %d", input->name, t->rank,
                            input->rank);
    }
    for (int i = 0; i < input->rank; i++) {
        if (input->dims[i].size < 0) {
            continue;
        }
        if (t->dims[i] != input->dims[i].size) {
            return bt_error_set(err, BERTC_INPUT,
                                "argument '%.100s': dimension %d is %lld, but the model was exported with the fixed "
                                "size %lld; export it again with dynamic axes to run other sizes",
                                input->name, i, (long long)t->dims[i], (long long)input->dims[i].size);
        }
        *fixed |= (uint8_t)(1u << i);
    }
    return BERTC_OK;
}

/* The leaves of the arguments under the names of the graph's inputs, in the dtypes that these declare. */
static enum bertc_status define_inputs(struct bt_onnx_scope *scope, const struct bt_onnx_value *const *inputs,
                                       const struct bt_tree *trees, size_t count, struct bertc_error *err)
{
    struct bt_lower *l = scope->lower;
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i < count; i++) {
        bt_value value = trees[i].value;
        if (inputs[i]->typed && l->graph->values[value].dtype != inputs[i]->dtype) {
            const struct bt_arg args[] = {bt_arg_value(value), bt_arg_dtype(inputs[i]->dtype)};
            status = bt_graph_node(l->graph, BT_OP_CAST, args, 2, &value, err);
        }
        struct bt_var *var = bt_var_new(l, value);
        if (!status) {
            status = var ? define(scope, inputs[i]->name, bt_dyn_tensor(var), err) : bt_error_memory(err);
        }
    }
    return status;
}

/* One output is the result itself, several are a tuple in the graph's order. */
static enum bertc_status read_outputs(struct bt_onnx_scope *scope, const struct bt_onnx_graph *graph,
                                      struct bertc_error *err)
{
    struct bt_lower *l = scope->lower;
    const struct bt_onnx_node none = {.name = "", .op = "", .domain = ""};
    struct bt_onnx_call o = {.call = {.l = l, .g = l->graph, .x = l->graph->exprs, .name = "result", .err = err},
                             .scope = scope,
                             .node = &none};
    struct bt_dyn list = bt_lower_seq(&o.call, BT_DYN_TUPLE, NULL, 0), value;
    for (size_t i = 0; i < graph->output_count; i++) {
        if (!bt_lower_ok(&o.call, look_up(&o, graph->outputs[i].name, &value))) {
            return o.call.status;
        }
        bt_lower_append(&o.call, &list, bt_onnx_as_tensor(&o, value));
    }
    if (o.call.status) {
        return o.call.status;
    }
    const struct bt_dyn *result = graph->output_count == 1 ? list.seq->items : &list;
    return bt_dyn_to_tree(l, result, &l->graph->output, err);
}

static enum bertc_status run_model(struct bt_onnx_scope *scope, const struct bertc_param *params,
                                   const struct bt_onnx_value *const *inputs, const struct bertc_value *args,
                                   size_t count, struct bertc_error *err)
{
    const struct bt_onnx_graph *graph = &scope->model->graph;
    uint8_t *fixed = bt_arena_alloc(scope->lower->arena, count, 1);
    struct bt_tree *trees;
    enum bertc_status status = fixed ? BERTC_OK : bt_error_memory(err);
    for (size_t i = 0; !status && i < count; i++) {
        status = check_argument(inputs[i], &args[i], &fixed[i], err);
    }
    if (status || (status = bt_bind_inputs(scope->lower->graph, params, args, count, fixed, &trees, err)) ||
        (status = define_inputs(scope, inputs, trees, count, err)) || (status = define_tensors(scope, graph, err)) ||
        (status = run_nodes(scope, graph, err))) {
        return status;
    }
    return read_outputs(scope, graph, err);
}

enum bertc_status bt_onnx_build(const struct bt_onnx_model *model, const struct bertc_param *params,
                                const struct bt_onnx_value *const *inputs, const struct bertc_value *args, size_t count,
                                struct bt_graph *graph, struct bertc_error *err)
{
    struct bt_arena arena = {0};
    struct bt_lower lower = {.graph = graph, .arena = &arena};
    struct bt_onnx_scope scope = {.model = model, .opsets = &model->opsets, .lower = &lower};
    enum bertc_status status = run_model(&scope, params, inputs, args, count, err);
    bt_arena_free(&arena);
    return status;
}
