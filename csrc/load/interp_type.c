/* interp_type.c: values against TorchScript's declared types */
#include <string.h>

#include "load/interp_state.h"

/* The class of a named tuple, NULL when the type is no such thing. */
static const struct bt_ts_class *named_tuple(const struct bt_interp *in, const struct bt_ts_type *type)
{
    const struct bt_symbol *symbol = bt_script_find(in->script, type->name);
    return symbol && symbol->type && !strcmp(symbol->type->base, "NamedTuple") ? symbol->type : NULL;
}

static bool is_scalar(const struct bt_interp *in, const struct bt_dyn *value, enum bt_scalar_type type)
{
    return value->kind == BT_DYN_SCALAR && value->scalar >= 0 &&
           bt_expr_type(in->lower.graph->exprs, value->scalar) == type;
}

bool bt_interp_is(const struct bt_interp *in, const struct bt_ts_type *type, const struct bt_dyn *value)
{
    static const struct {
        const char *name;
        enum bt_dyn_kind kind;
    } kinds[] = {
        {"Tensor", BT_DYN_TENSOR}, {"str", BT_DYN_STRING},  {"List", BT_DYN_LIST},     {"list", BT_DYN_LIST},
        {"Tuple", BT_DYN_TUPLE},   {"tuple", BT_DYN_TUPLE}, {"Dict", BT_DYN_DICT},     {"dict", BT_DYN_DICT},
        {"NoneType", BT_DYN_NONE}, {"None", BT_DYN_NONE},   {"Device", BT_DYN_DEVICE}, {"number", BT_DYN_SCALAR},
    };
    static const struct {
        const char *name;
        enum bt_scalar_type type;
    } scalars[] = {{"int", BT_SCALAR_INT}, {"float", BT_SCALAR_FLOAT}, {"bool", BT_SCALAR_BOOL}};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!strcmp(type->name, kinds[i].name)) {
            return value->kind == kinds[i].kind;
        }
    }
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++) {
        if (!strcmp(type->name, scalars[i].name)) {
            return is_scalar(in, value, scalars[i].type);
        }
    }
    bool optional = !strcmp(type->name, "Optional");
    if (optional || !strcmp(type->name, "Union") || !type->name[0]) {
        for (size_t i = 0; i < type->count; i++) {
            if (bt_interp_is(in, type->args[i], value)) {
                return true;
            }
        }
        return optional && value->kind == BT_DYN_NONE;
    }
    if (value->kind == BT_DYN_OBJECT) {
        return !strcmp(value->object->text, type->name);
    }
    return value->kind == BT_DYN_TUPLE && named_tuple(in, type);
}

/* Items of a list, a tuple, a dict, against one type for all or one for each. */
static enum bertc_status coerce_items(struct bt_interp *in, struct bt_ts_type *const *types, size_t count, bool each,
                                      struct bt_dyn *value, struct bertc_error *err)
{
    struct bt_dyn_items *seq = value->seq;
    if (each && seq->count != count) {
        return bt_error_set(err, BERTC_INPUT, "expected %zu items, got %zu", count, seq->count);
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && count && i < seq->count; i++) {
        if ((status = bt_interp_coerce(in, types[each ? i : count - 1], &seq->items[i], err))) {
            bt_error_prefix(err, "item %zu", i);
        }
    }
    return status;
}

static enum bertc_status coerce_named_tuple(struct bt_interp *in, const struct bt_ts_class *type, struct bt_dyn *value,
                                            struct bertc_error *err)
{
    struct bt_dyn_items *seq = value->seq;
    if (seq->count != type->field_count) {
        return bt_error_set(err, BERTC_INPUT, "expected the %zu items of %s, got %zu", type->field_count, type->name,
                            seq->count);
    }
    seq->keys = bt_arena_alloc(in->lower.arena, seq->count, sizeof *seq->keys);
    if (!seq->keys) {
        return bt_error_memory(err);
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i < seq->count; i++) {
        seq->keys[i] = bt_dyn_string(type->fields[i].name);
        if (type->fields[i].type) {
            status = bt_interp_coerce(in, type->fields[i].type, &seq->items[i], err);
        }
    }
    return status;
}

enum bertc_status bt_interp_coerce(struct bt_interp *in, const struct bt_ts_type *type, struct bt_dyn *value,
                                   struct bertc_error *err)
{
    bool optional = !strcmp(type->name, "Optional") && type->count == 1;
    if (optional) {
        return value->kind == BT_DYN_NONE ? BERTC_OK : bt_interp_coerce(in, type->args[0], value, err);
    }
    bool sequence = value->kind == BT_DYN_LIST || value->kind == BT_DYN_TUPLE;
    const struct bt_ts_class *named = named_tuple(in, type);
    bool list = !strcmp(type->name, "List"), tuple = !strcmp(type->name, "Tuple") || named;
    if (sequence && (list || tuple)) {
        value->kind = list ? BT_DYN_LIST : BT_DYN_TUPLE;
        return named ? coerce_named_tuple(in, named, value, err)
                     : coerce_items(in, type->args, type->count, tuple, value, err);
    }
    if (!strcmp(type->name, "Dict") && value->kind == BT_DYN_DICT) {
        return coerce_items(in, type->args, type->count, false, value, err);
    }
    if (!strcmp(type->name, "float") && value->kind == BT_DYN_SCALAR) {
        return bt_aten_to_float(&in->lower, value, &value->scalar, err);
    }
    if (!strcmp(type->name, "Any") || bt_interp_is(in, type, value)) {
        return BERTC_OK;
    }
    char *text = bt_tscode_type_text(type, in->lower.arena);
    return text ? bt_error_set(err, BERTC_INPUT, "expected %s, got %s", text, bt_dyn_type_name(&in->lower, value))
                : bt_error_memory(err);
}
