/* schema.c: operator schemas: parse their notation, bind positional and keyword arguments */
#include "load/schema.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static enum bt_param_type type_from_name(const char *name, size_t size)
{
    static const struct {
        const char *name;
        enum bt_param_type type;
    } names[] = {
        {"Tensor", BT_PARAM_TENSOR},
        {"Scalar", BT_PARAM_SCALAR},
        {"int", BT_PARAM_INT},
        {"SymInt", BT_PARAM_INT},
        {"ScalarType", BT_PARAM_INT},
        {"float", BT_PARAM_FLOAT},
        {"bool", BT_PARAM_BOOL},
        {"str", BT_PARAM_STR},
        {"Device", BT_PARAM_DEVICE},
        {"Layout", BT_PARAM_IGNORED},
        {"Generator", BT_PARAM_IGNORED},
        {"List", BT_PARAM_LIST},
        {"MemoryFormat", BT_PARAM_IGNORED},
        {"Dict", BT_PARAM_DICT},
        {"Object", BT_PARAM_OBJECT},
        {"Any", BT_PARAM_ANY},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i].name) == size && memcmp(names[i].name, name, size) == 0) {
            return names[i].type;
        }
    }
    assert(!"a type that the schemas do not use");
    return BT_PARAM_ANY;
}

/* "int[1]? dim=None": type, then name, then default. */
static void parse_param(const char *text, const char *end, struct bt_param *out)
{
    size_t word = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    out->type = type_from_name(text, word);
    const char *blank = memchr(text, ' ', (size_t)(end - text));
    assert(blank);
    for (text += word; text < blank; text++) {
        if (*text == '[') {
            out->list = true;
            out->none_item = out->optional;
            out->optional = false;
        } else if (*text == '1') {
            out->sole = true;
        } else if (*text == '?') {
            out->optional = true;
        }
    }
    out->name = blank + 1;
    const char *equals = memchr(out->name, '=', (size_t)(end - out->name));
    out->name_size = (uint8_t)((equals ? equals : end) - out->name);
    if (equals) {
        out->fallback = equals + 1;
        out->fallback_size = (uint8_t)(end - out->fallback);
    }
}

int bt_schema_parse(const char *schema, struct bt_param *out)
{
    int count = 0;
    bool keyword = false;
    while (*schema) {
        int depth = 0;
        const char *end = schema;
        for (; *end && (*end != ',' || depth > 0); end++) {
            depth += (*end == '[') - (*end == ']');
        }
        if (*schema == '*') {
            keyword = true;
        } else {
            assert(count < BT_MAX_PARAMS);
            out[count] = (struct bt_param){.keyword = keyword};
            parse_param(schema, end, &out[count++]);
        }
        schema = end + strspn(end, ", ");
    }
    return count;
}

/* A float literal of the table. Both parts are exact in a double, so their quotient is correctly rounded; strtod would
 * depend on the locale. */
static double parse_float(const char *text, const char *end)
{
    double mantissa = 0, scale = 1;
    long exponent = 0;
    bool point = false;
    for (; text < end; text++) {
        if (*text == 'e') {
            exponent += strtol(text + 1, NULL, 10);
            break;
        }
        if (*text == '.') {
            point = true;
            continue;
        }
        mantissa = mantissa * 10 + (*text - '0');
        exponent -= point;
    }
    for (long i = 0; i < labs(exponent); i++) {
        scale *= 10;
    }
    return exponent < 0 ? mantissa / scale : mantissa * scale;
}

static bool parse_default(struct bt_lower *l, const struct bt_param *p, struct bt_dyn *out)
{
    struct bt_exprs *x = l->graph->exprs;
    const char *text = p->fallback, *end = text + p->fallback_size;
    *out = bt_dyn_none();
    if (*text == '[') {
        return bt_dyn_seq(l, BT_DYN_LIST, NULL, 0, out);
    }
    if (*text == '\'') {
        char *copy = bt_arena_string(l->arena, text + 1, p->fallback_size - 2u);
        *out = bt_dyn_string(copy);
        return copy != NULL;
    }
    if (*text == 'N') {
        return true;
    }
    if (*text == 'T' || *text == 'F') {
        *out = bt_dyn_scalar(bt_expr_bool(x, *text == 'T'));
    } else if (memchr(text, '.', p->fallback_size) || memchr(text, 'e', p->fallback_size)) {
        *out = bt_dyn_scalar(bt_expr_float(x, parse_float(text, end)));
    } else {
        *out = bt_dyn_scalar(bt_expr_int(x, strtol(text, NULL, 10)));
    }
    return out->scalar >= 0;
}

static bool is_number_tensor(const struct bt_dyn *d)
{
    return d->kind == BT_DYN_TENSOR && d->tensor->number >= 0;
}

/* One value against a parameter's type, its list brackets aside. */
static bool bind_item(struct bt_lower *l, const struct bt_param *p, const struct bt_dyn *d, bool strict,
                      struct bt_dyn *out)
{
    *out = *d;
    switch (p->type) {
    case BT_PARAM_TENSOR: return d->kind == BT_DYN_TENSOR || (!strict && d->kind == BT_DYN_SCALAR);
    case BT_PARAM_STR: return d->kind == BT_DYN_STRING;
    case BT_PARAM_DEVICE: return d->kind == BT_DYN_DEVICE || (!strict && d->kind == BT_DYN_STRING);
    case BT_PARAM_LIST: return d->kind == BT_DYN_LIST || (!strict && d->kind == BT_DYN_TUPLE);
    case BT_PARAM_DICT: return d->kind == BT_DYN_DICT;
    case BT_PARAM_OBJECT: return d->kind == BT_DYN_OBJECT;
    case BT_PARAM_IGNORED:
    case BT_PARAM_ANY: return true;
    case BT_PARAM_SCALAR:
    case BT_PARAM_INT:
    case BT_PARAM_FLOAT:
    case BT_PARAM_BOOL: break;
    }
    if (!strict && is_number_tensor(d)) {
        *out = bt_dyn_scalar(d->tensor->number);
    }
    if (out->kind != BT_DYN_SCALAR || out->scalar < 0) {
        return false;
    }
    enum bt_scalar_type type = bt_expr_type(l->graph->exprs, out->scalar);
    switch (p->type) {
    case BT_PARAM_INT: return type == BT_SCALAR_INT || (!strict && type == BT_SCALAR_BOOL);
    case BT_PARAM_BOOL: return type == BT_SCALAR_BOOL || (!strict && type == BT_SCALAR_INT);
    case BT_PARAM_FLOAT: return type == BT_SCALAR_FLOAT || !strict;
    default: return true;
    }
}

static bool bind_list(struct bt_lower *l, const struct bt_param *p, const struct bt_dyn *d, bool strict,
                      struct bt_dyn *out, bool *memory)
{
    const struct bt_dyn_items *seq = d->seq;
    if (d->kind != BT_DYN_LIST && d->kind != BT_DYN_TUPLE) {
        struct bt_dyn item;
        if (!p->sole || !bind_item(l, p, d, strict, &item)) {
            return false;
        }
        *memory = bt_dyn_seq(l, BT_DYN_LIST, &item, 1, out);
        return true;
    }
    *memory = bt_dyn_seq(l, BT_DYN_LIST, seq->items, seq->count, out);
    for (size_t i = 0; *memory && i < seq->count; i++) {
        bool none = p->none_item && seq->items[i].kind == BT_DYN_NONE;
        if (!none && !bind_item(l, p, &seq->items[i], strict, &out->seq->items[i])) {
            return false;
        }
    }
    return true;
}

static bool bind_param(struct bt_lower *l, const struct bt_param *p, const struct bt_dyn *d, bool strict,
                       struct bt_dyn *out, bool *memory)
{
    *out = *d;
    if (d->kind == BT_DYN_NONE && (p->optional || p->type == BT_PARAM_IGNORED || p->type == BT_PARAM_ANY)) {
        return true;
    }
    return p->list ? bind_list(l, p, d, strict, out, memory) : bind_item(l, p, d, strict, out);
}

/* The position of each argument among the parameters; false when one has none. `out=None` is everywhere allowed. */
static bool place(const struct bt_param *params, int count, const struct bt_aten_args *args, bool strict,
                  const struct bt_dyn **placed)
{
    int position = 0;
    for (size_t i = 0; i < args->count; i++) {
        const char *name = args->names ? args->names[i] : NULL;
        int at = position++;
        if (name) {
            for (at = 0; at < count; at++) {
                if (strlen(name) == params[at].name_size && memcmp(name, params[at].name, params[at].name_size) == 0) {
                    break;
                }
            }
            if (at == count && strcmp(name, "out") == 0 && args->items[i].kind == BT_DYN_NONE) {
                continue;
            }
        }
        if (at >= count || placed[at] || (!name && strict && params[at].keyword)) {
            return false;
        }
        placed[at] = &args->items[i];
    }
    return true;
}

enum bertc_status bt_schema_bind(struct bt_lower *l, const struct bt_param *params, int count,
                                 const struct bt_aten_args *args, bool strict, struct bt_dyn *out, bool *fits,
                                 struct bertc_error *err)
{
    const struct bt_dyn *placed[BT_MAX_PARAMS] = {NULL};
    *fits = place(params, count, args, strict, placed);
    bool memory = true;
    for (int i = 0; i < count && *fits && memory; i++) {
        struct bt_dyn fallback;
        if (placed[i]) {
            *fits = bind_param(l, &params[i], placed[i], strict, &out[i], &memory);
        } else if (params[i].fallback) {
            memory = parse_default(l, &params[i], &fallback);
            *fits = memory &&
                    (fallback.kind == BT_DYN_NONE || bind_param(l, &params[i], &fallback, false, &out[i], &memory));
            if (fallback.kind == BT_DYN_NONE) {
                out[i] = fallback;
            }
        } else {
            *fits = false;
        }
    }
    return memory ? BERTC_OK : bt_error_memory(err);
}
