/* aten_string.c: Python's strings, which scripted code uses to choose a branch and to word its errors */
#include <inttypes.h>
#include <string.h>

#include "load/lower.h"

static void answer(struct bt_call *c, bool value)
{
    c->out = bt_dyn_scalar(bt_expr_bool(c->x, value));
}

static void text_out(struct bt_call *c, const char *text)
{
    if (text) {
        c->out = bt_dyn_string(text);
    } else {
        bt_lower_ok(c, bt_error_memory(c->err));
    }
}

/* str(x); containers and tensors only by their type. NULL when out of memory. */
static const char *text_of(struct bt_call *c, const struct bt_dyn *d)
{
    struct bt_scalar value;
    if (d->kind == BT_DYN_STRING) {
        return d->text;
    }
    if (d->kind != BT_DYN_SCALAR) {
        return bt_dyn_type_name(c->l, d);
    }
    if (!bt_expr_is_const(c->x, d->scalar, &value)) {
        return bt_expr_text(c->x, d->scalar);
    }
    if (value.type == BT_SCALAR_BOOL) {
        return value.i ? "True" : "False";
    }
    if (value.type == BT_SCALAR_INT) {
        return bt_arena_printf(c->l->arena, "%" PRId64, value.i);
    }
    return bt_arena_printf(c->l->arena, "%.17g", value.f);
}

void bt_aten_str_of(struct bt_call *c)
{
    text_out(c, text_of(c, &c->args[0]));
}

void bt_aten_str_concat(struct bt_call *c)
{
    text_out(c, bt_arena_printf(c->l->arena, "%s%s", c->args[0].text, c->args[1].text));
}

/* self, then one value for each {} */
void bt_aten_str_format(struct bt_call *c)
{
    const char *rest = c->args[0].text, *mark, *out = "";
    for (int i = 1; i < BT_MAX_PARAMS && out && (mark = strstr(rest, "{}")) != NULL; i++) {
        const char *value = text_of(c, &c->args[i]);
        out = value ? bt_arena_printf(c->l->arena, "%s%.*s%s", out, (int)(mark - rest), rest, value) : NULL;
        rest = mark + 2;
    }
    text_out(c, out ? bt_arena_printf(c->l->arena, "%s%s", out, rest) : NULL);
}

/* lower, upper: the detail is the first letter of the wanted case */
void bt_aten_str_case(struct bt_call *c)
{
    char *text = bt_arena_string(c->l->arena, c->args[0].text, strlen(c->args[0].text));
    char from = (char)(c->detail ^ ('a' ^ 'A'));
    for (char *p = text; p && *p; p++) {
        if (*p >= from && *p <= from + 25) {
            *p ^= 'a' ^ 'A';
        }
    }
    text_out(c, text);
}

void bt_aten_str_starts(struct bt_call *c)
{
    answer(c, strncmp(c->args[0].text, c->args[1].text, strlen(c->args[1].text)) == 0);
}

void bt_aten_str_ends(struct bt_call *c)
{
    size_t size = strlen(c->args[0].text), end = strlen(c->args[1].text);
    answer(c, size >= end && strcmp(c->args[0].text + size - end, c->args[1].text) == 0);
}

void bt_aten_str_contains(struct bt_call *c)
{
    answer(c, strstr(c->args[0].text, c->args[1].text) != NULL);
}
