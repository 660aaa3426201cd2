/* exported_build.c: run an exported program's nodes on values that build a graph */
#include <stdio.h>
#include <string.h>

#include "load/aten.h"
#include "load/exported_scope.h"
#include "load/lower.h"

/* Hostile programs must not exhaust memory; their length and depth are those of the file. */
#define MAX_MEMORY ((size_t)256 << 20)
#define MAX_ARGUMENTS 64
#define MAX_NAME 160

/* The list's items; none when it is no list. */
static const struct bt_json *list_of(const struct bt_json *object, const char *key, size_t *count)
{
    const struct bt_json *list = bt_json_get(object, key);
    *count = list && list->kind == BT_JSON_ARRAY ? list->size : 0;
    return *count ? list->items : NULL;
}

/* Makes results of the names in a list of outputs. */
static enum bertc_status define_all(struct bt_exported_scope *scope, const struct bt_json *outputs, size_t count,
                                    const struct bt_dyn *values, size_t value_count, struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i < count && i < value_count; i++) {
        const char *name = bt_exported_name(&outputs[i]);
        status = name ? bt_exported_define(scope, name, values[i], err) : BERTC_OK;
    }
    return status;
}

/* Names what a node gives. A single output is the result as it is; several, or one that is a list, are its items. */
static enum bertc_status define_outputs(struct bt_exported_scope *scope, const struct bt_json *node, bool spread,
                                        const struct bt_dyn *result, struct bertc_error *err)
{
    size_t count, inner_count;
    const struct bt_json *outputs = list_of(node, "outputs", &count);
    const char *tag = "";
    const struct bt_json *list = count == 1 ? bt_exported_union(outputs, &tag) : NULL;
    if (list && list->kind == BT_JSON_ARRAY && strcmp(tag, "as_none") != 0) {
        inner_count = list->size;
        outputs = list->items;
        spread = true;
    } else {
        inner_count = count;
    }
    if (!spread && count <= 1) {
        return define_all(scope, outputs, count, result, 1, err);
    }
    if (result->kind != BT_DYN_TUPLE && result->kind != BT_DYN_LIST) {
        return bt_error_set(err, BERTC_FORMAT, "it names %zu results, and has one", inner_count);
    }
    if (list && result->seq->count != inner_count) {
        return bt_error_set(err, BERTC_INPUT, "it was exported with %zu results, and has %zu here", inner_count,
                            result->seq->count);
    }
    return define_all(scope, outputs, inner_count, result->seq->items, result->seq->count, err);
}

/* What Python computes with sizes. */
static enum bertc_status run_python(struct bt_exported_scope *scope, const char *target,
                                    const struct bt_aten_args *args, bool *known, struct bt_dyn *out,
                                    struct bertc_error *err)
{
    static const struct {
        const char *target, *name;
        bool whole; /* Python's function gives an integer */
    } operators[] = {
        {"_operator.add", "aten::add", false},
        {"_operator.sub", "aten::sub", false},
        {"_operator.mul", "aten::mul", false},
        {"_operator.truediv", "aten::div", false},
        {"_operator.floordiv", "aten::floordiv", false},
        {"_operator.mod", "aten::remainder", false},
        {"_operator.pow", "aten::pow", false},
        {"_operator.neg", "aten::neg", false},
        {"_operator.eq", "aten::eq", false},
        {"_operator.ne", "aten::ne", false},
        {"_operator.lt", "aten::lt", false},
        {"_operator.le", "aten::le", false},
        {"_operator.gt", "aten::gt", false},
        {"_operator.ge", "aten::ge", false},
        {"_operator.and_", "aten::__and__", false},
        {"_operator.or_", "aten::__or__", false},
        {"_operator.getitem", "aten::__getitem__", false},
        {"math.trunc", "aten::trunc", true},
        {"math.floor", "aten::floor", true},
        {"math.ceil", "aten::ceil", true},
        {"torch.sym_int", "aten::trunc", true},
        {"torch.sym_float", "aten::Float", false},
        {"torch.sym_max", "prim::max", false},
        {"torch.sym_min", "prim::min", false},
        {"torch.sym_not", "aten::__not__", false},
        {"torch.sym_sqrt", "aten::sqrt", false},
        {"torch.sym_ite", "aten::where", false},
    };
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (strcmp(operators[i].target, target) != 0) {
            continue;
        }
        *known = true;
        const struct bt_aten_args positional = {.items = args->items, .count = args->count};
        enum bertc_status status = bt_aten_call(scope->l, operators[i].name, &positional, out, err);
        if (!status && operators[i].whole) {
            bt_expr number;
            status = bt_aten_to_int(scope->l, out, &number, err);
            *out = bt_dyn_scalar(number);
        }
        return status;
    }
    *known = false;
    return BERTC_OK;
}

/* torch.ops.aten.view.default, or one of Python's functions */
static enum bertc_status run_operator(struct bt_exported_scope *scope, const char *target, const struct bt_json *node,
                                      struct bt_dyn *out, struct bertc_error *err)
{
    static const char head[] = "torch.ops.";
    struct bt_dyn items[MAX_ARGUMENTS];
    const char *names[MAX_ARGUMENTS];
    size_t count;
    const struct bt_json *inputs = list_of(node, "inputs", &count);
    if (count > MAX_ARGUMENTS) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "it has more than %d arguments", MAX_ARGUMENTS);
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i < count; i++) {
        names[i] = bt_json_string(bt_json_get(&inputs[i], "name"));
        status = bt_exported_argument(scope, bt_json_get(&inputs[i], "arg"), &items[i], err);
    }
    const struct bt_aten_args args = {.items = items, .names = names, .count = count};
    bool known = false;
    if (status || (status = run_python(scope, target, &args, &known, out, err)) || known) {
        return status;
    }
    const char *space = strncmp(target, head, sizeof head - 1) == 0 ? target + sizeof head - 1 : NULL;
    const char *dot = space ? strchr(space, '.') : NULL;
    char name[MAX_NAME];
    if (!dot || (size_t)snprintf(name, sizeof name, "%.*s::%s", (int)(dot - space), space, dot + 1) >= sizeof name) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "the function '%.200s' is not implemented", target);
    }
    return bt_aten_call(scope->l, name, &args, out, err);
}

static enum bertc_status run_nodes(struct bt_exported_scope *scope, const struct bt_json *graph,
                                   struct bertc_error *err);

/* The results of a sub-graph for these operands, as a tuple. */
static enum bertc_status run_body(struct bt_exported_scope *outer, const struct bt_json *graph,
                                  const struct bt_dyn *operands, size_t count, struct bt_dyn *out,
                                  struct bertc_error *err)
{
    struct bt_exported_scope scope = {.e = outer->e, .l = outer->l};
    size_t input_count, output_count;
    const struct bt_json *inputs = list_of(graph, "inputs", &input_count);
    const struct bt_json *outputs = list_of(graph, "outputs", &output_count);
    enum bertc_status status;
    if (input_count != count) {
        return bt_error_set(err, BERTC_FORMAT, "its sub-graph takes %zu values, not %zu", input_count, count);
    }
    if ((status = define_all(&scope, inputs, input_count, operands, count, err)) ||
        (status = run_nodes(&scope, graph, err))) {
        return status;
    }
    bool ok = bt_dyn_seq(scope.l, BT_DYN_TUPLE, NULL, 0, out);
    for (size_t i = 0; ok && !status && i < output_count; i++) {
        struct bt_dyn value;
        status = bt_exported_argument(&scope, &outputs[i], &value, err);
        ok = status || bt_dyn_append(scope.l, out, value);
    }
    return ok ? status : bt_error_memory(err);
}

/* A region of the code that Python ran under a setting: its sub-graph, when the setting changes no result. */
static enum bertc_status run_region(struct bt_exported_scope *scope, const char *name, const struct bt_json *node,
                                    struct bt_dyn *out, struct bertc_error *err)
{
    size_t count, at = 0;
    const struct bt_json *inputs = list_of(node, "inputs", &count), *body = NULL;
    const bool autocast = strcmp(name, "wrap_with_autocast") == 0; /* device, dtype, enabled, cache, graph, operands */
    if (!autocast && strcmp(name, "wrap_with_set_grad_enabled") != 0) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "the higher-order operator '%.100s' is not implemented", name);
    }
    const struct bt_json *enabled = autocast && count > 2 ? bt_json_get(&inputs[2], "arg") : NULL;
    const struct bt_json *truth = bt_json_get(enabled, "as_bool");
    if (truth && truth->boolean) {
        return bt_error_set(err, BERTC_UNSUPPORTED,
                            "a region under torch.autocast is not supported; export the model in its final dtype");
    }
    while (at < count && !body) {
        body = bt_json_get(bt_json_get(bt_json_get(&inputs[at++], "arg"), "as_graph"), "graph");
    }
    if (!body || count - at > MAX_ARGUMENTS) {
        return bt_error_set(err, BERTC_FORMAT, "it has no sub-graph, or too many operands");
    }
    struct bt_dyn operands[MAX_ARGUMENTS];
    enum bertc_status status = BERTC_OK;
    for (size_t i = at; !status && i < count; i++) {
        status = bt_exported_argument(scope, bt_json_get(&inputs[i], "arg"), &operands[i - at], err);
    }
    return status ? status : run_body(scope, body, operands, count - at, out, err);
}

static enum bertc_status run_node(struct bt_exported_scope *scope, const struct bt_json *node, const char *target,
                                  struct bertc_error *err)
{
    static const char region[] = "torch.ops.higher_order.";
    struct bt_dyn result = bt_dyn_none();
    const bool is_region = strncmp(target, region, sizeof region - 1) == 0;
    if (scope->l->arena->total + scope->l->graph->arena.total > MAX_MEMORY) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "the program's values take more than %zu MB", MAX_MEMORY >> 20);
    }
    enum bertc_status status = is_region ? run_region(scope, target + sizeof region - 1, node, &result, err)
                                         : run_operator(scope, target, node, &result, err);
    return status ? status : define_outputs(scope, node, is_region, &result, err);
}

/* The name of a node: its own, or that of its first output. */
static const char *node_name(const struct bt_json *node, const char *target)
{
    size_t count;
    const struct bt_json *outputs = list_of(node, "outputs", &count);
    const char *name = bt_json_string(bt_json_get(node, "name"));
    name = !name && count ? bt_exported_name(outputs) : name;
    return name ? name : target;
}

static enum bertc_status run_nodes(struct bt_exported_scope *scope, const struct bt_json *graph,
                                   struct bertc_error *err)
{
    struct bt_graph *g = scope->l->graph;
    size_t count;
    const struct bt_json *nodes = list_of(graph, "nodes", &count);
    for (size_t i = 0; i < count; i++) {
        const char *target = bt_json_string(bt_json_get(&nodes[i], "target"));
        if (!target) {
            return bt_error_set(err, BERTC_FORMAT, "%s: a node has no target", scope->e->member);
        }
        const char *name = node_name(&nodes[i], target);
        const char *where = bt_arena_printf(&g->arena, "%s: %.100s", scope->e->member, name);
        if (!where) {
            return bt_error_memory(err);
        }
        g->where = where;
        enum bertc_status status = run_node(scope, &nodes[i], target, err);
        if (status) {
            bool told = status == BERTC_MEMORY || !err || strstr(err->text, scope->e->member);
            return told ? status : bt_error_prefix(err, "%s", where);
        }
    }
    return BERTC_OK;
}

static enum bertc_status define_inputs(struct bt_exported_scope *scope, const struct bt_dyn *values,
                                       struct bertc_error *err)
{
    const struct bt_exported *e = scope->e;
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i < e->input_count; i++) {
        const struct bt_exported_input *input = &e->inputs[i];
        if (input->kind == BT_EXPORTED_WEIGHT) {
            status = bt_exported_define_weight(scope, input->name, input->index, err);
        } else if (input->kind == BT_EXPORTED_USER) {
            status = bt_exported_define(scope, input->name, values[input->index], err);
        }
    }
    return status;
}

static enum bertc_status run_program(struct bt_exported_scope *scope, const struct bertc_value *args,
                                     struct bertc_error *err)
{
    const struct bt_exported *e = scope->e;
    struct bt_arena *arena = scope->l->arena;
    struct bt_dyn *values = bt_arena_alloc(arena, e->leaf_count, sizeof *values);
    struct bt_dyn *results = bt_arena_alloc(arena, e->output_count, sizeof *results), result;
    enum bertc_status status;
    if (!values || !results) {
        return bt_error_memory(err);
    }
    if ((status = bt_exported_bind(e, scope->l, args, values, err)) || (status = define_inputs(scope, values, err)) ||
        (status = run_nodes(scope, e->graph, err))) {
        return status;
    }
    for (size_t i = 0; i < e->output_count; i++) {
        if ((status = bt_exported_argument(scope, e->outputs[i], &results[i], err))) {
            return status == BERTC_MEMORY ? status : bt_error_prefix(err, "%s: result %zu", e->member, i);
        }
    }
    status = bt_pytree_value(scope->l, &e->result, results, &result, err);
    return status ? status : bt_dyn_to_tree(scope->l, &result, &scope->l->graph->output, err);
}

enum bertc_status bt_exported_build(const struct bt_exported *e, const struct bertc_value *args, struct bt_graph *graph,
                                    struct bertc_error *err)
{
    struct bt_arena arena = {0};
    struct bt_lower lower = {.graph = graph, .arena = &arena};
    struct bt_exported_scope scope = {.e = e, .l = &lower};
    enum bertc_status status = run_program(&scope, args, err);
    bt_arena_free(&arena);
    return status;
}
