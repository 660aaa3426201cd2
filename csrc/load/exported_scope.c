/* exported_scope.c: the names of an exported graph while it runs, and the arguments of its nodes as values */
#include "load/exported_scope.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static enum bertc_status define(struct bt_exported_scope *scope, const char *name, struct bt_exported_slot slot,
                                struct bertc_error *err)
{
    struct bt_arena *arena = scope->l->arena;
    if (!bt_arena_reserve(arena, &scope->slots, &scope->cap, scope->count + 1, sizeof *scope->slots) ||
        !bt_map_put(&scope->names, arena, name, strlen(name), scope->count)) {
        return bt_error_memory(err);
    }
    scope->slots[scope->count++] = slot;
    return BERTC_OK;
}

enum bertc_status bt_exported_define(struct bt_exported_scope *scope, const char *name, struct bt_dyn value,
                                     struct bertc_error *err)
{
    return define(scope, name, (struct bt_exported_slot){.value = value}, err);
}

enum bertc_status bt_exported_define_weight(struct bt_exported_scope *scope, const char *name, size_t weight,
                                            struct bertc_error *err)
{
    return define(scope, name, (struct bt_exported_slot){.pending = true, .weight = weight}, err);
}

/* Tied weights are one tensor: it goes by the name that the state dict has first. */
static const char *first_name(const struct bt_exported *e, size_t index)
{
    const struct bt_exported_tensor *own = &e->weights.items[index], *first = own;
    size_t at;
    if (bt_map_get(&e->weights.places, &own->tensor.data, sizeof own->tensor.data, &at)) {
        first = &e->weights.items[at];
    }
    const struct bt_tensor *a = &own->tensor, *b = &first->tensor;
    const size_t size = (size_t)a->rank * sizeof *a->dims;
    const bool same = a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->dims, b->dims, size) &&
                      !memcmp(a->strides, b->strides, size);
    return same ? first->name : own->name;
}

static enum bertc_status make_weight(struct bt_exported_scope *scope, struct bt_exported_slot *slot,
                                     struct bertc_error *err)
{
    const struct bt_exported *e = scope->e;
    const struct bt_pickle value = {.kind = BT_PICKLE_TENSOR, .tensor = e->weights.items[slot->weight].tensor};
    slot->pending = false;
    return bt_dyn_from_pickle(scope->l, &value, first_name(e, slot->weight), &slot->value, err);
}

/* Constants of torch 2.1 have no placeholder: their names are known in every graph. */
static enum bertc_status find_slot(struct bt_exported_scope *scope, const char *name, struct bt_exported_slot **out,
                                   struct bertc_error *err)
{
    size_t index;
    if (!name) {
        return bt_error_set(err, BERTC_FORMAT, "an argument has no name");
    }
    if (!bt_map_get(&scope->names, name, strlen(name), &index)) {
        if (!bt_exported_find_weight(scope->e, name, &index) ||
            scope->e->weights.items[index].role != BT_EXPORTED_CONSTANT) {
            return bt_error_set(err, BERTC_FORMAT, "it uses '%.200s', which no node before it makes", name);
        }
        enum bertc_status status = bt_exported_define_weight(scope, name, index, err);
        if (status) {
            return status;
        }
        index = scope->count - 1;
    }
    *out = &scope->slots[index];
    return BERTC_OK;
}

static enum bertc_status look_up(struct bt_exported_scope *scope, const char *name, struct bt_dyn *out,
                                 struct bertc_error *err)
{
    struct bt_exported_slot *slot;
    enum bertc_status status = find_slot(scope, name, &slot, err);
    if (!status && slot->pending) {
        status = make_weight(scope, slot, err);
    }
    if (!status) {
        *out = slot->value;
    }
    return status;
}

const char *bt_exported_name(const struct bt_json *argument)
{
    const char *tag;
    const struct bt_json *name = bt_json_get(argument, "name"), *inner = bt_exported_union(argument, &tag);
    if (name || !inner) {
        return bt_json_string(name);
    }
    name = bt_json_get(inner, "name");
    return bt_json_string(name ? name : bt_json_get(inner, "as_name"));
}

static enum bertc_status bad_value(struct bertc_error *err, const char *what)
{
    return bt_error_set(err, BERTC_FORMAT, "an argument is no %s", what);
}

static enum bertc_status made(struct bt_dyn *out, bt_expr e, struct bertc_error *err)
{
    *out = bt_dyn_scalar(e);
    return e < 0 ? bt_error_memory(err) : BERTC_OK;
}

/* One function a kind of value. */
typedef enum bertc_status convert(struct bt_exported_scope *scope, const struct bt_json *value, struct bt_dyn *out,
                                  struct bertc_error *err);

static enum bertc_status from_none(struct bt_exported_scope *scope, const struct bt_json *value, struct bt_dyn *out,
                                   struct bertc_error *err)
{
    (void)scope;
    (void)value;
    (void)err;
    *out = bt_dyn_none();
    return BERTC_OK;
}

static enum bertc_status from_int(struct bt_exported_scope *scope, const struct bt_json *value, struct bt_dyn *out,
                                  struct bertc_error *err)
{
    int64_t number;
    return bt_json_int(value, &number) ? made(out, bt_expr_int(scope->l->graph->exprs, number), err)
                                       : bad_value(err, "integer");
}

/* Numbers that JSON lacks are written as texts. */
static enum bertc_status from_float(struct bt_exported_scope *scope, const struct bt_json *value, struct bt_dyn *out,
                                    struct bertc_error *err)
{
    static const struct {
        const char *text;
        double number;
    } texts[] = {{"Infinity", INFINITY}, {"-Infinity", -INFINITY}, {"NaN", NAN}};
    double number = value->number;
    size_t known = sizeof texts / sizeof texts[0];
    for (size_t i = 0; value->kind == BT_JSON_STRING && i < sizeof texts / sizeof texts[0]; i++) {
        if (!strcmp(texts[i].text, value->text)) {
            number = texts[i].number;
            known = i;
        }
    }
    if (value->kind != BT_JSON_INT && value->kind != BT_JSON_FLOAT && known == sizeof texts / sizeof texts[0]) {
        return bad_value(err, "number");
    }
    return made(out, bt_expr_float(scope->l->graph->exprs, number), err);
}

static enum bertc_status from_bool(struct bt_exported_scope *scope, const struct bt_json *value, struct bt_dyn *out,
                                   struct bertc_error *err)
{
    return value->kind == BT_JSON_BOOL ? made(out, bt_expr_bool(scope->l->graph->exprs, value->boolean), err)
                                       : bad_value(err, "bool");
}

static enum bertc_status from_string(struct bt_exported_scope *scope, const struct bt_json *value, struct bt_dyn *out,
                                     struct bertc_error *err)
{
    (void)scope;
    if (value->kind != BT_JSON_STRING) {
        return bad_value(err, "text");
    }
    *out = bt_dyn_string(value->text);
    return BERTC_OK;
}

static enum bertc_status from_dtype(struct bt_exported_scope *scope, const struct bt_json *value, struct bt_dyn *out,
                                    struct bertc_error *err)
{
    int64_t code;
    if (!bt_json_int(value, &code)) {
        return bad_value(err, "dtype");
    }
    if (bt_exported_dtype(code) < 0) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "dtype code %" PRId64 " of torch.export is not supported", code);
    }
    return made(out, bt_expr_int(scope->l->graph->exprs, bt_exported_dtype(code)), err);
}

static enum bertc_status from_device(struct bt_exported_scope *scope, const struct bt_json *value, struct bt_dyn *out,
                                     struct bertc_error *err)
{
    (void)scope;
    (void)value;
    (void)err;
    *out = (struct bt_dyn){.kind = BT_DYN_DEVICE, .scalar = BT_NO_EXPR};
    return BERTC_OK;
}

/* {"name": "view_1"}, in schema 1 inside of optional ones the text alone */
static enum bertc_status from_name(struct bt_exported_scope *scope, const struct bt_json *value, struct bt_dyn *out,
                                   struct bertc_error *err)
{
    const char *text = bt_json_string(value);
    return look_up(scope, text ? text : bt_json_string(bt_json_get(value, "name")), out, err);
}

/* {"as_name": "sym_size_int_1"}, {"as_int": 8} and the like; {"as_tensor": ...}, {"as_none": true} */
static enum bertc_status from_union(struct bt_exported_scope *scope, const struct bt_json *value, struct bt_dyn *out,
                                    struct bertc_error *err)
{
    const char *tag = "";
    const struct bt_json *inner = bt_exported_union(value, &tag);
    static const struct {
        const char *tag;
        convert *make;
    } members[] = {{"as_name", from_name}, {"as_int", from_int},     {"as_float", from_float},
                   {"as_bool", from_bool}, {"as_tensor", from_name}, {"as_none", from_none}};
    for (size_t i = 0; inner && i < sizeof members / sizeof members[0]; i++) {
        if (!strcmp(tag, members[i].tag)) {
            return members[i].make(scope, inner, out, err);
        }
    }
    return bad_value(err, "symbolic number or optional tensor");
}

static enum bertc_status from_list(struct bt_exported_scope *scope, const struct bt_json *list, convert *make,
                                   struct bt_dyn *out, struct bertc_error *err)
{
    if (list->kind != BT_JSON_ARRAY) {
        return bad_value(err, "list");
    }
    if (!bt_dyn_seq(scope->l, BT_DYN_LIST, NULL, 0, out)) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < list->size; i++) {
        struct bt_dyn item;
        enum bertc_status status = make(scope, &list->items[i], &item, err);
        if (status) {
            return status;
        }
        if (!bt_dyn_append(scope->l, out, item)) {
            return bt_error_memory(err);
        }
    }
    return BERTC_OK;
}

enum bertc_status bt_exported_argument(struct bt_exported_scope *scope, const struct bt_json *argument,
                                       struct bt_dyn *out, struct bertc_error *err)
{
    static const struct {
        const char *tag;
        convert *make;
        bool list;
    } kinds[] = {
        {"as_tensor", from_name, false},       {"as_none", from_none, false},
        {"as_int", from_int, false},           {"as_float", from_float, false},
        {"as_bool", from_bool, false},         {"as_string", from_string, false},
        {"as_sym_int", from_union, false},     {"as_sym_float", from_union, false},
        {"as_sym_bool", from_union, false},    {"as_optional_tensor", from_union, false},
        {"as_scalar_type", from_dtype, false}, {"as_device", from_device, false},
        {"as_layout", from_int, false},        {"as_memory_format", from_int, false},
        {"as_tensors", from_name, true},       {"as_optional_tensors", from_union, true},
        {"as_ints", from_int, true},           {"as_floats", from_float, true},
        {"as_bools", from_bool, true},         {"as_strings", from_string, true},
        {"as_sym_ints", from_union, true},     {"as_sym_floats", from_union, true},
        {"as_sym_bools", from_union, true},
    };
    const char *tag = "";
    const struct bt_json *value = bt_exported_union(argument, &tag);
    for (size_t i = 0; value && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!strcmp(tag, kinds[i].tag)) {
            return kinds[i].list ? from_list(scope, value, kinds[i].make, out, err)
                                 : kinds[i].make(scope, value, out, err);
        }
    }
    if (!value) { /* a union of nulls alone is None in schema 1 */
        *out = bt_dyn_none();
        return argument ? BERTC_OK : bad_value(err, "value");
    }
    return bt_error_set(err, BERTC_UNSUPPORTED, "arguments of kind '%.60s' are not supported", tag);
}
