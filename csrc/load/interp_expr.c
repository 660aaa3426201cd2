/* interp_expr.c: run TorchScript code on values that build a graph: expressions */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/interp_state.h"

typedef enum bertc_status eval_fn(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                  struct bertc_error *err);

enum bertc_status bt_interp_decide(struct bt_interp *in, const struct bt_dyn *value, bool *out, struct bertc_error *err)
{
    bt_expr condition;
    enum bertc_status status = bt_aten_to_bool(&in->lower, value, &condition, err);
    if (status) {
        return bt_error_prefix(err, "%s:%d", in->frame->file->member, in->line);
    }
    if (condition < 0) {
        return bt_interp_error(in, err, BERTC_UNSUPPORTED, "a condition that cannot be decided");
    }
    *out = bt_graph_decide(in->lower.graph, condition);
    return BERTC_OK;
}

/* Evaluates operands [first, first + count) of e. */
static enum bertc_status eval_items(struct bt_interp *in, const struct bt_ts_expr *e, size_t first, size_t count,
                                    struct bt_dyn **out, struct bertc_error *err)
{
    struct bt_dyn *items = bt_arena_alloc(in->lower.arena, count, sizeof *items);
    if (!items) {
        return bt_error_memory(err);
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i < count; i++) {
        status = bt_interp_eval(in, e->args[first + i], &items[i], err);
    }
    *out = items;
    return status;
}

static enum bertc_status eval_operator(struct bt_interp *in, const char *name, const struct bt_ts_expr *e,
                                       struct bt_dyn *out, struct bertc_error *err)
{
    struct bt_dyn *items;
    enum bertc_status status = eval_items(in, e, 0, e->count, &items, err);
    const struct bt_aten_args args = {.items = items, .count = e->count};
    return status ? status : bt_interp_operator(in, name, &args, out, err);
}

static enum bertc_status eval_name(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                   struct bertc_error *err)
{
    const struct bt_local *locals = in->frame->locals;
    if (!locals || e->integer < 0 || !locals[e->integer].bound) {
        return bt_interp_error(in, err, BERTC_FORMAT, "the name '%s' has no value here", e->text);
    }
    *out = locals[e->integer].value;
    return BERTC_OK;
}

static enum bertc_status eval_literal(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                      struct bertc_error *err)
{
    struct bt_exprs *x = in->lower.graph->exprs;
    switch (e->kind) {
    case BT_TS_INT: *out = bt_dyn_scalar(bt_expr_int(x, e->integer)); break;
    case BT_TS_FLOAT: *out = bt_dyn_scalar(bt_expr_float(x, e->number)); break;
    case BT_TS_STRING: *out = bt_dyn_string(e->text); return BERTC_OK;
    case BT_TS_NONE: *out = bt_dyn_none(); return BERTC_OK;
    default: *out = bt_dyn_scalar(bt_expr_bool(x, e->kind == BT_TS_TRUE)); break;
    }
    return out->scalar < 0 ? bt_error_memory(err) : BERTC_OK;
}

static enum bertc_status eval_uninitialized(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                            struct bertc_error *err)
{
    (void)in;
    (void)e;
    (void)err;
    *out = (struct bt_dyn){.kind = BT_DYN_UNINITIALIZED, .scalar = BT_NO_EXPR};
    return BERTC_OK;
}

static enum bertc_status constant(struct bt_interp *in, const char *name, struct bt_dyn *out, struct bertc_error *err)
{
    char *end = NULL;
    unsigned long index = name[0] == 'c' ? strtoul(name + 1, &end, 10) : 0;
    if (!end || end == name + 1 || *end || index >= in->constant_count) {
        return bt_interp_error(in, err, BERTC_FORMAT, "CONSTANTS.%s is not one of the archive's %zu constants", name,
                               in->constant_count);
    }
    struct bt_local *slot = &in->constants[index];
    if (!slot->bound) {
        char *title = bt_arena_printf(&in->lower.graph->arena, "CONSTANTS.%s", name);
        if (!title) {
            return bt_error_memory(err);
        }
        enum bertc_status status =
            bt_dyn_from_pickle(&in->lower, in->script->constants->items[index], title, &slot->value, err);
        if (status) {
            return status;
        }
        slot->bound = true;
        if (slot->value.kind == BT_DYN_TENSOR) {
            slot->value.tensor->plain = slot->value.tensor->number >= 0;
        }
    }
    *out = slot->value;
    return BERTC_OK;
}

/* The value of an attribute that the class gives, not the object: x : Final[int] = 3. */
static enum bertc_status class_attribute(struct bt_interp *in, const struct bt_pickle *object, const char *name,
                                         struct bt_dyn *out, struct bertc_error *err)
{
    const struct bt_symbol *symbol = bt_script_find(in->script, object->text);
    const struct bt_ts_class *type = symbol ? symbol->type : NULL;
    for (size_t i = 0; type && i < type->field_count; i++) {
        if (type->fields[i].value && !strcmp(type->fields[i].name, name)) {
            const struct bt_frame frame = {.file = symbol->file}, *caller = in->frame;
            in->frame = &frame;
            enum bertc_status status = bt_interp_eval(in, type->fields[i].value, out, err);
            in->frame = caller;
            return status;
        }
    }
    return bt_interp_error(in, err, BERTC_FORMAT, "an object of class %s has no attribute '%s'", object->text, name);
}

enum bertc_status bt_interp_attribute(struct bt_interp *in, const struct bt_pickle *object, const char *name,
                                      struct bt_dyn *out, struct bertc_error *err)
{
    const struct bt_pickle *value = bt_pickle_attr(object, name);
    if (!value) {
        return class_attribute(in, object, name, out, err);
    }
    size_t index;
    if (!bt_script_attribute(in->script, value, &index)) {
        return bt_dyn_from_pickle(&in->lower, value, name, out, err);
    }
    struct bt_local *slot = &in->attributes[index];
    if (!slot->bound) {
        const char *path = in->script->attributes[index].path;
        enum bertc_status status = bt_dyn_from_pickle(&in->lower, value, path, &slot->value, err);
        if (status) {
            return status;
        }
        slot->bound = true;
    }
    *out = slot->value;
    return BERTC_OK;
}

static enum bertc_status field(struct bt_interp *in, const struct bt_dyn *tuple, const char *name, struct bt_dyn *out,
                               struct bertc_error *err)
{
    const struct bt_dyn_items *seq = tuple->seq;
    for (size_t i = 0; seq->keys && i < seq->count; i++) {
        if (!strcmp(seq->keys[i].text, name)) {
            *out = seq->items[i];
            return BERTC_OK;
        }
    }
    return bt_interp_error(in, err, BERTC_FORMAT, "a tuple has no field '%s'", name);
}

static enum bertc_status eval_attr(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                   struct bertc_error *err)
{
    const char *name;
    enum bertc_status status = bt_interp_global(in, e, &name, err);
    if (status) {
        return status;
    }
    if (name && !strncmp(name, "CONSTANTS.", 10)) {
        return constant(in, name + 10, out, err);
    }
    if (name && bt_script_find(in->script, name)) {
        *out = (struct bt_dyn){.kind = BT_DYN_FUNCTION, .scalar = BT_NO_EXPR, .text = name};
        return BERTC_OK;
    }
    if (name) {
        return bt_interp_error(in, err, BERTC_UNSUPPORTED, "'%s' is nothing that bertc knows", name);
    }

    struct bt_dyn object;
    if ((status = bt_interp_eval(in, e->args[0], &object, err))) {
        return status;
    }
    switch (object.kind) {
    case BT_DYN_OBJECT: return bt_interp_attribute(in, object.object, e->text, out, err);
    case BT_DYN_TUPLE: return field(in, &object, e->text, out, err);
    case BT_DYN_TENSOR: {
        char operator[80];
        snprintf(operator, sizeof operator, "prim::%s", e->text);
        const struct bt_aten_args args = {.items = &object, .count = 1};
        return bt_interp_operator(in, operator, &args, out, err);
    }
    default:
        return bt_interp_error(in, err, BERTC_UNSUPPORTED, "the attribute '%s' of a value of type %s", e->text,
                               bt_dyn_type_name(&in->lower, &object));
    }
}

/* A constant index into a tuple, Python's way; *out may be count (for slices). */
static enum bertc_status tuple_index(struct bt_interp *in, const struct bt_dyn *index, size_t count, int64_t *out,
                                     struct bertc_error *err)
{
    if (index->kind != BT_DYN_SCALAR || !bt_expr_is_int(in->lower.graph->exprs, index->scalar, out)) {
        return bt_interp_error(in, err, BERTC_FORMAT, "a tuple is indexed by something other than a constant");
    }
    *out += *out < 0 ? (int64_t)count : 0;
    if (*out < 0 || *out > (int64_t)count) {
        return bt_interp_error(in, err, BERTC_INPUT, "a tuple of %zu has no item at this index", count);
    }
    return BERTC_OK;
}

static enum bertc_status eval_index(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                    struct bertc_error *err)
{
    struct bt_dyn *items;
    enum bertc_status status = eval_items(in, e, 0, 2, &items, err);
    if (status) {
        return status;
    }
    if (items[0].kind != BT_DYN_TUPLE) {
        const struct bt_aten_args args = {.items = items, .count = 2};
        return bt_interp_operator(in, "aten::__getitem__", &args, out, err);
    }
    const struct bt_dyn_items *seq = items[0].seq;
    int64_t index;
    if ((status = tuple_index(in, &items[1], seq->count, &index, err))) {
        return status;
    }
    if (index == (int64_t)seq->count) {
        return bt_interp_error(in, err, BERTC_INPUT, "a tuple of %zu has no item %zu", seq->count, seq->count);
    }
    *out = seq->items[index];
    return BERTC_OK;
}

static enum bertc_status eval_slice(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                    struct bertc_error *err)
{
    struct bt_dyn *items;
    enum bertc_status status = eval_items(in, e, 0, 3, &items, err);
    if (status) {
        return status;
    }
    if (items[0].kind != BT_DYN_TUPLE) {
        struct bt_dyn one = bt_dyn_scalar(bt_expr_int(in->lower.graph->exprs, 1));
        const struct bt_dyn all[] = {items[0], items[1], items[2], one};
        const struct bt_aten_args args = {.items = all, .count = 4};
        return bt_interp_operator(in, "aten::slice", &args, out, err);
    }
    const struct bt_dyn_items *seq = items[0].seq;
    int64_t bounds[2] = {0, (int64_t)seq->count};
    for (int i = 0; i < 2; i++) {
        if (items[i + 1].kind != BT_DYN_NONE &&
            (status = tuple_index(in, &items[i + 1], seq->count, &bounds[i], err))) {
            return status;
        }
    }
    size_t count = bounds[1] > bounds[0] ? (size_t)(bounds[1] - bounds[0]) : 0;
    return bt_dyn_seq(&in->lower, BT_DYN_TUPLE, seq->items + (count ? bounds[0] : 0), count, out)
               ? BERTC_OK
               : bt_error_memory(err);
}

static enum bertc_status eval_sequence(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                       struct bertc_error *err)
{
    struct bt_dyn *items;
    enum bertc_status status = eval_items(in, e, 0, e->count, &items, err);
    enum bt_dyn_kind kind = e->kind == BT_TS_LIST ? BT_DYN_LIST : BT_DYN_TUPLE;
    if (!status && !bt_dyn_seq(&in->lower, kind, items, e->count, out)) {
        return bt_error_memory(err);
    }
    return status;
}

static enum bertc_status eval_dict(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                   struct bertc_error *err)
{
    struct bt_dyn *items;
    enum bertc_status status = eval_items(in, e, 0, e->count, &items, err);
    if (!status && !bt_dyn_seq(&in->lower, BT_DYN_DICT, NULL, 0, out)) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; !status && i + 1 < e->count; i += 2) {
        if (!bt_dyn_dict_set(&in->lower, out, items[i], items[i + 1])) {
            return bt_error_memory(err);
        }
    }
    return status;
}

/* annotate(T, x) changes nothing, but makes a number of a 0-dim tensor (ScalarImplicit and its like). */
static enum bertc_status eval_annotate(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                       struct bertc_error *err)
{
    const char *type = e->type->name;
    enum bertc_status status = bt_interp_eval(in, e->args[0], out, err);
    if (status || out->kind != BT_DYN_TENSOR) {
        return status;
    }
    bool number = !strcmp(type, "number");
    enum bt_dtype dtype = bt_var_dtype(&in->lower, out->tensor);
    bt_expr e_out;
    if (!strcmp(type, "float") || (number && bt_dtype_is_float(dtype))) {
        status = bt_aten_to_float(&in->lower, out, &e_out, err);
    } else if (!strcmp(type, "bool") || (number && dtype == BT_BOOL)) {
        status = bt_aten_to_bool(&in->lower, out, &e_out, err);
    } else if (number || !strcmp(type, "int")) {
        status = bt_aten_to_int(&in->lower, out, &e_out, err);
    } else {
        return BERTC_OK;
    }
    if (status) {
        return bt_error_prefix(err, "%s:%d", in->frame->file->member, in->line);
    }
    *out = bt_dyn_scalar(e_out);
    return BERTC_OK;
}

static enum bertc_status eval_isinstance(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                         struct bertc_error *err)
{
    struct bt_dyn value;
    enum bertc_status status = bt_interp_eval(in, e->args[0], &value, err);
    if (!status) {
        *out = bt_dyn_scalar(bt_expr_bool(in->lower.graph->exprs, bt_interp_is(in, e->type, &value)));
    }
    return status;
}

static enum bertc_status eval_not(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                  struct bertc_error *err)
{
    return eval_operator(in, e->kind == BT_TS_NOT ? "aten::__not__" : "aten::neg", e, out, err);
}

static enum bertc_status eval_condition(struct bt_interp *in, const struct bt_ts_expr *e, bool *out,
                                        struct bertc_error *err)
{
    struct bt_dyn value;
    enum bertc_status status = bt_interp_eval(in, e, &value, err);
    return status ? status : bt_interp_decide(in, &value, out, err);
}

static enum bertc_status eval_if(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                 struct bertc_error *err)
{
    bool taken;
    enum bertc_status status = eval_condition(in, e->args[0], &taken, err);
    return status ? status : bt_interp_eval(in, e->args[taken ? 1 : 2], out, err);
}

static enum bertc_status eval_binary(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                     struct bertc_error *err)
{
    static const struct {
        const char *text, *name;
    } operators[] = {
        {"+", "aten::add"},         {"-", "aten::sub"},       {"*", "aten::mul"},
        {"/", "aten::div"},         {"//", "aten::floordiv"}, {"%", "aten::remainder"},
        {"**", "aten::pow"},        {"@", "aten::matmul"},    {"==", "aten::eq"},
        {"!=", "aten::ne"},         {"<", "aten::lt"},        {"<=", "aten::le"},
        {">", "aten::gt"},          {">=", "aten::ge"},       {"&", "aten::__and__"},
        {"|", "aten::__or__"},      {"^", "aten::__xor__"},   {"<<", "aten::__lshift__"},
        {">>", "aten::__rshift__"}, {"is", "aten::__is__"},   {"is not", "aten::__isnot__"},
    };
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (!strcmp(e->text, operators[i].text)) {
            return eval_operator(in, operators[i].name, e, out, err);
        }
    }
    enum bertc_status status;
    if (!strcmp(e->text, "and") || !strcmp(e->text, "or")) {
        bool left;
        status = eval_condition(in, e->args[0], &left, err);
        if (status || left == (e->text[0] == 'a')) {
            return status ? status : bt_interp_eval(in, e->args[1], out, err);
        }
        *out = bt_dyn_scalar(bt_expr_bool(in->lower.graph->exprs, left));
        return BERTC_OK;
    }
    const struct bt_ts_expr *swapped[] = {e->args[1], e->args[0]}; /* in, not in */
    struct bt_dyn items[2];
    const struct bt_aten_args args = {.items = items, .count = 2};
    if ((status = bt_interp_eval(in, swapped[0], &items[0], err)) ||
        (status = bt_interp_eval(in, swapped[1], &items[1], err)) ||
        (status = bt_interp_operator(in, "aten::__contains__", &args, out, err)) || !strcmp(e->text, "in")) {
        return status;
    }
    const struct bt_aten_args negated = {.items = out, .count = 1};
    return bt_interp_operator(in, "aten::__not__", &negated, out, err);
}

enum bertc_status bt_interp_eval(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                 struct bertc_error *err)
{
    static eval_fn *const eval[BT_TS_EXPR_KINDS] = {
        [BT_TS_NAME] = eval_name,      [BT_TS_INT] = eval_literal,
        [BT_TS_FLOAT] = eval_literal,  [BT_TS_STRING] = eval_literal,
        [BT_TS_NONE] = eval_literal,   [BT_TS_TRUE] = eval_literal,
        [BT_TS_FALSE] = eval_literal,  [BT_TS_ATTR] = eval_attr,
        [BT_TS_INDEX] = eval_index,    [BT_TS_SLICE] = eval_slice,
        [BT_TS_CALL] = bt_interp_call, [BT_TS_ANNOTATE] = eval_annotate,
        [BT_TS_LIST] = eval_sequence,  [BT_TS_TUPLE] = eval_sequence,
        [BT_TS_DICT] = eval_dict,      [BT_TS_UNINITIALIZED] = eval_uninitialized,
        [BT_TS_NOT] = eval_not,        [BT_TS_ISINSTANCE] = eval_isinstance,
        [BT_TS_NEG] = eval_not,        [BT_TS_IF] = eval_if,
        [BT_TS_BINARY] = eval_binary,
    };
    enum bertc_status status = bt_interp_enter(in, err);
    if (status) {
        return status;
    }
    status = eval[e->kind](in, e, out, err);
    bt_interp_leave(in);
    return status;
}
