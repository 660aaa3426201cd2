/* interp_call.c: run TorchScript code on values that build a graph: calls of operators, functions, methods, classes */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format/chars.h"
#include "load/interp_state.h"

#define MAX_OPERATOR_NAME 160

enum bertc_status bt_interp_operator(struct bt_interp *in, const char *name, const struct bt_aten_args *args,
                                     struct bt_dyn *out, struct bertc_error *err)
{
    struct bt_graph *g = in->lower.graph;
    if (in->at_file != in->frame->file || in->at_line != in->line) {
        g->where = bt_arena_printf(&g->arena, "%s:%d", in->frame->file->member, in->line);
        if (!g->where) {
            return bt_error_memory(err);
        }
        in->at_file = in->frame->file;
        in->at_line = in->line;
    }
    struct bt_dyn result;
    enum bertc_status status = bt_aten_call(&in->lower, name, args, &result, err);
    if (!status) {
        *out = result;
    } else if (status != BERTC_MEMORY && err && !strstr(err->text, g->where)) {
        bt_error_prefix(err, "%s", g->where);
    }
    return status;
}

static bool is_bound(const struct bt_interp *in, const struct bt_ts_expr *name)
{
    return in->frame->locals && name->integer >= 0 && in->frame->locals[name->integer].bound;
}

enum bertc_status bt_interp_global(struct bt_interp *in, const struct bt_ts_expr *e, const char **out,
                                   struct bertc_error *err)
{
    static const char *const roots[] = {"torch", "ops", "CONSTANTS", "__torch__"};
    const char *parts[64];
    size_t count = 0, size = 1;
    *out = NULL;
    for (; e->kind == BT_TS_ATTR && count + 1 < sizeof parts / sizeof parts[0]; e = e->args[0]) {
        size += strlen(e->text) + 1;
        parts[count++] = e->text;
    }
    if (e->kind != BT_TS_NAME || is_bound(in, e)) {
        return BERTC_OK;
    }
    size_t root = 0;
    while (root < sizeof roots / sizeof roots[0] && strcmp(e->text, roots[root]) != 0) {
        root++;
    }
    if (root == sizeof roots / sizeof roots[0]) {
        return BERTC_OK;
    }
    char *name = bt_arena_alloc(in->lower.arena, strlen(e->text) + size, 1);
    if (!name) {
        return bt_error_memory(err);
    }
    char *at = stpcpy(name, e->text);
    while (count > 0) {
        *at++ = '.';
        at = stpcpy(at, parts[--count]);
    }
    *out = name;
    return BERTC_OK;
}

/* int(x), float(x), bool(x) */
static enum bertc_status convert(struct bt_interp *in, const char *type, const struct bt_aten_args *args,
                                 struct bt_dyn *out, struct bertc_error *err)
{
    bt_expr e = BT_NO_EXPR;
    enum bertc_status status;
    if (args->count != 1) {
        return bt_interp_error(in, err, BERTC_FORMAT, "%s() takes one argument, not %zu", type, args->count);
    }
    const struct bt_dyn *x = &args->items[0];
    double number;
    if (x->kind == BT_DYN_STRING && type[0] == 'f') { /* float("inf") and the like */
        const char *text = x->text + (x->text[0] == '-');
        bool infinite = !strcmp(text, "inf"), nan = !strcmp(text, "nan");
        if (infinite || nan) {
            number = (infinite ? INFINITY : NAN) * (text == x->text ? 1 : -1);
        } else if (!bt_chars_float(x->text, strlen(x->text), &number)) {
            return bt_interp_error(in, err, BERTC_FORMAT, "float('%s') is no number", x->text);
        }
        e = bt_expr_float(in->lower.graph->exprs, number);
        status = BERTC_OK;
    } else if (type[0] == 'i') {
        status = bt_aten_to_int(&in->lower, x, &e, err);
    } else if (type[0] == 'f') {
        status = bt_aten_to_float(&in->lower, x, &e, err);
    } else {
        status = bt_aten_to_bool(&in->lower, x, &e, err);
    }
    if (status) {
        return bt_error_prefix(err, "%s:%d", in->frame->file->member, in->line);
    }
    *out = bt_dyn_scalar(e);
    return BERTC_OK;
}

static enum bertc_status make_range(struct bt_interp *in, const char *name, const struct bt_aten_args *args,
                                    struct bt_dyn *out, struct bertc_error *err)
{
    struct bt_exprs *x = in->lower.graph->exprs;
    struct bt_dyn items[3] = {bt_dyn_scalar(bt_expr_int(x, 0)), bt_dyn_none(), bt_dyn_scalar(bt_expr_int(x, 1))};
    if (args->count < 1 || args->count > 3) {
        return bt_interp_error(in, err, BERTC_FORMAT, "%s() takes 1 to 3 arguments, not %zu", name, args->count);
    }
    for (size_t i = 0; i < args->count; i++) {
        items[args->count == 1 ? 1 : i] = args->items[i];
    }
    return bt_dyn_seq(&in->lower, BT_DYN_RANGE, items, 3, out) ? BERTC_OK : bt_error_memory(err);
}

static enum bertc_status pass_through(struct bt_interp *in, const char *name, const struct bt_aten_args *args,
                                      struct bt_dyn *out, struct bertc_error *err)
{
    if (args->count != 1) {
        return bt_interp_error(in, err, BERTC_FORMAT, "%s() takes one argument, not %zu", name, args->count);
    }
    *out = args->items[0];
    return BERTC_OK;
}

static enum bertc_status print_nothing(struct bt_interp *in, const char *name, const struct bt_aten_args *args,
                                       struct bt_dyn *out, struct bertc_error *err)
{
    (void)in;
    (void)name;
    (void)args;
    (void)err;
    *out = bt_dyn_none();
    return BERTC_OK;
}

/* A function that the code calls by a plain name. */
static enum bertc_status call_builtin(struct bt_interp *in, const char *name, const struct bt_aten_args *args,
                                      struct bt_dyn *out, struct bertc_error *err)
{
    static const struct {
        const char *name;
        enum bertc_status (*call)(struct bt_interp *in, const char *name, const struct bt_aten_args *args,
                                  struct bt_dyn *out, struct bertc_error *err);
    } builtins[] = {
        {"int", convert},      {"float", convert},       {"bool", convert},
        {"range", make_range}, {"print", print_nothing}, {"unchecked_unwrap_optional", pass_through},
    };
    for (size_t i = 0; i < sizeof builtins / sizeof builtins[0]; i++) {
        if (!strcmp(name, builtins[i].name)) {
            return builtins[i].call(in, name, args, out, err);
        }
    }
    char operator[MAX_OPERATOR_NAME];
    snprintf(operator, sizeof operator, "aten::%s", name); /* str, len, ord, min, ... */
    return bt_interp_operator(in, operator, args, out, err);
}

/* Python's constructor of a named tuple; nothing else is constructed in inference code. */
static enum bertc_status call_class(struct bt_interp *in, const struct bt_ts_class *type,
                                    const struct bt_aten_args *args, struct bt_dyn *out, struct bertc_error *err)
{
    if (strcmp(type->base, "NamedTuple") != 0) {
        return bt_interp_error(in, err, BERTC_UNSUPPORTED, "it creates an object of class %s", type->name);
    }
    if (args->count != type->field_count) {
        return bt_interp_error(in, err, BERTC_FORMAT, "%s() takes %zu arguments, not %zu", type->name,
                               type->field_count, args->count);
    }
    struct bt_dyn *keys = bt_arena_alloc(in->lower.arena, args->count, sizeof *keys);
    if (!keys || !bt_dyn_seq(&in->lower, BT_DYN_TUPLE, args->items, args->count, out)) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < args->count; i++) {
        keys[i] = bt_dyn_string(type->fields[i].name);
        if (args->names && args->names[i] && strcmp(args->names[i], keys[i].text) != 0) {
            return bt_interp_error(in, err, BERTC_FORMAT, "%s() takes '%s' before '%s'", type->name, keys[i].text,
                                   args->names[i]);
        }
    }
    out->seq->keys = keys;
    return BERTC_OK;
}

/* Code of the archive by its qualified name: a function, a class, or a method by its class's name. */
static enum bertc_status call_code(struct bt_interp *in, const char *name, const struct bt_aten_args *args,
                                   struct bt_dyn *out, struct bertc_error *err)
{
    const struct bt_symbol *symbol = bt_script_find(in->script, name);
    if (symbol) {
        return symbol->type ? call_class(in, symbol->type, args, out, err)
                            : bt_interp_function(in, symbol->file, symbol->function, args, out, err);
    }
    const char *dot = strrchr(name, '.');
    const char *owner = dot ? bt_arena_string(in->lower.arena, name, (size_t)(dot - name)) : NULL;
    symbol = owner ? bt_script_find(in->script, owner) : NULL;
    const struct bt_ts_function *method = symbol && symbol->type ? bt_script_method(symbol->type, dot + 1) : NULL;
    if (!method) {
        return bt_interp_error(in, err, BERTC_FORMAT, "it calls '%s', which the archive has no code for", name);
    }
    return bt_interp_function(in, symbol->file, method, args, out, err);
}

/* A dotted name that starts at one of the global roots. */
static enum bertc_status call_global(struct bt_interp *in, const char *name, const struct bt_aten_args *args,
                                     struct bt_dyn *out, struct bertc_error *err)
{
    char operator[MAX_OPERATOR_NAME];
    const char *rest = strchr(name, '.');
    if (!strncmp(name, "__torch__.", 10)) {
        return call_code(in, name, args, out, err);
    }
    if (!strcmp(name, "torch.device")) {
        *out = (struct bt_dyn){.kind = BT_DYN_DEVICE, .scalar = BT_NO_EXPR};
        return BERTC_OK;
    }
    const char *dot = rest ? strchr(rest + 1, '.') : NULL;
    int size = -1;
    if (!strncmp(name, "torch.", 6)) {
        size = snprintf(operator, sizeof operator, "aten::%s", rest + 1);
    } else if (!strncmp(name, "ops.", 4) && dot) {
        size = snprintf(operator, sizeof operator, "%.*s::%s", (int)(dot - rest - 1), rest + 1, dot + 1);
    }
    if (size < 0 || size >= (int)sizeof operator) {
        return bt_interp_error(in, err, BERTC_UNSUPPORTED, "it calls '%.200s', which is no operator", name);
    }
    return bt_interp_operator(in, operator, args, out, err);
}

/* object.name(...): the object goes before the arguments. */
static enum bertc_status call_method(struct bt_interp *in, const struct bt_dyn *object, const char *name,
                                     const struct bt_aten_args *args, struct bt_dyn *out, struct bertc_error *err)
{
    if (object->kind != BT_DYN_OBJECT) {
        return bt_interp_error(in, err, BERTC_UNSUPPORTED, "the method %s() of a value of type %s", name,
                               bt_dyn_type_name(&in->lower, object));
    }
    const char *class_name = object->object->text;
    const struct bt_symbol *symbol = bt_script_find(in->script, class_name);
    const struct bt_ts_function *method = symbol && symbol->type ? bt_script_method(symbol->type, name) : NULL;
    if (!method) {
        return bt_interp_error(in, err, BERTC_FORMAT, "the class %s has no method %s()", class_name, name);
    }
    return bt_interp_function(in, symbol->file, method, args, out, err);
}

/* The arguments of a call; room for the object of a method is left before them. */
static enum bertc_status call_arguments(struct bt_interp *in, const struct bt_ts_expr *call, struct bt_dyn **out,
                                        struct bertc_error *err)
{
    struct bt_dyn *items = bt_arena_alloc(in->lower.arena, call->count, sizeof *items);
    if (!items) {
        return bt_error_memory(err);
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 1; !status && i < call->count; i++) {
        status = bt_interp_eval(in, call->args[i], &items[i], err);
    }
    *out = items;
    return status;
}

enum bertc_status bt_interp_call(struct bt_interp *in, const struct bt_ts_expr *call, struct bt_dyn *out,
                                 struct bertc_error *err)
{
    const struct bt_ts_expr *callee = call->args[0];
    const char *global;
    struct bt_dyn *items = NULL, target = bt_dyn_none();
    enum bertc_status status = bt_interp_global(in, callee, &global, err);
    bool is_method = !global && callee->kind == BT_TS_ATTR;
    bool builtin = !global && callee->kind == BT_TS_NAME && !is_bound(in, callee);
    if (!status && !global && !builtin) {
        status = bt_interp_eval(in, is_method ? callee->args[0] : callee, &target, err);
    }
    if (status || (status = call_arguments(in, call, &items, err))) {
        return status;
    }
    const struct bt_aten_args args = {.items = items + 1, .names = call->names + 1, .count = call->count - 1};
    if (global) {
        return call_global(in, global, &args, out, err);
    }
    if (builtin) {
        return call_builtin(in, callee->text, &args, out, err);
    }
    if (is_method && target.kind != BT_DYN_FUNCTION) {
        const struct bt_aten_args all = {.items = items, .names = call->names, .count = call->count};
        items[0] = target;
        return call_method(in, &target, callee->text, &all, out, err);
    }
    if (target.kind != BT_DYN_FUNCTION) {
        return bt_interp_error(in, err, BERTC_FORMAT, "a value of type %s is called",
                               bt_dyn_type_name(&in->lower, &target));
    }
    const char *name = target.text;
    if (is_method && !(name = bt_arena_printf(in->lower.arena, "%s.%s", target.text, callee->text))) {
        return bt_error_memory(err);
    }
    return call_code(in, name, &args, out, err);
}
