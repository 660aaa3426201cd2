/* print.c: a graph as text, one node a line */
#include <string.h>

#include "base/text.h"
#include "graph/tree.h"

#define SHAPE_COLUMN 96 /* shapes start here unless every line is shorter */

struct printer {
    struct bt_graph *g;
    struct bt_text text;
    int32_t *numbers; /* of values made by nodes: 1, 2, ... in order of appearance */
};

static void put_value(struct printer *p, bt_value value)
{
    if (value < 0) {
        bt_text_add(&p->text, "None");
        return;
    }
    const struct bt_value_info *info = &p->g->values[value];
    if (info->kind == BT_VALUE_NODE) {
        bt_text_add(&p->text, "%%%d", (int)p->numbers[value]);
    } else if (info->name) {
        bt_text_add(&p->text, "%s", info->name);
    } else {
        bt_text_add(&p->text, "%s%d", info->kind == BT_VALUE_INPUT ? "input" : "constant", (int)info->index);
    }
}

static void put_item(struct printer *p, enum bt_arg_kind kind, int32_t id)
{
    if (kind == BT_ARG_VALUES) {
        put_value(p, id);
    } else {
        bt_text_add(&p->text, "%s", bt_expr_text(p->g->exprs, id));
    }
}

static void put_arg(struct printer *p, const struct bt_arg *arg)
{
    switch (arg->kind) {
    case BT_ARG_NONE: bt_text_add(&p->text, "None"); return;
    case BT_ARG_VALUE: put_value(p, arg->value); return;
    case BT_ARG_EXPR: put_item(p, arg->kind, arg->expr); return;
    case BT_ARG_DTYPE: bt_text_add(&p->text, "%s", bt_dtype_name(arg->dtype)); return;
    case BT_ARG_ACTIVATION: bt_text_add(&p->text, "%s", bt_activation_name(arg->activation)); return;
    case BT_ARG_VALUES:
    case BT_ARG_EXPRS: break;
    }
    bt_text_add(&p->text, "[");
    for (int32_t k = 0; k < arg->count; k++) {
        bt_text_add(&p->text, "%s", k ? ", " : "");
        put_item(p, arg->kind, arg->list[k]);
    }
    bt_text_add(&p->text, "]");
}

/* A number in an operand's place reads best without its name: add(%3, 1e-12). */
static bool is_operand(const char *name, size_t size)
{
    static const char *const operands[] = {"self", "other", "exponent"};
    for (size_t i = 0; i < sizeof(operands) / sizeof(operands[0]); i++) {
        if (strlen(operands[i]) == size && memcmp(operands[i], name, size) == 0) {
            return true;
        }
    }
    return false;
}

static void put_args(struct printer *p, const struct bt_node *node)
{
    const char *name = bt_ops[node->op].args;
    bool first = true, skipped = false;
    for (int i = 0; i < node->nargs; i++) {
        size_t size = strcspn(name, " ");
        const struct bt_arg *arg = &node->args[i];
        if (arg->kind != BT_ARG_NONE) {
            bool tensors = arg->kind == BT_ARG_VALUE || arg->kind == BT_ARG_VALUES;
            bt_text_add(&p->text, "%s", first ? "" : ", ");
            if (skipped || (!tensors && !is_operand(name, size))) {
                bt_text_add(&p->text, "%.*s=", (int)size, name);
            }
            put_arg(p, arg);
            first = false;
        }
        skipped = skipped || arg->kind == BT_ARG_NONE;
        name += size + (name[size] == ' ');
    }
}

static void put_node(struct printer *p, const struct bt_node *node)
{
    for (int i = 0; i < node->nouts; i++) {
        bt_text_add(&p->text, "%s", i ? ", " : "");
        put_value(p, node->outs[i]);
    }
    bt_text_add(&p->text, " = %s(", bt_ops[node->op].name);
    put_args(p, node);
    bt_text_add(&p->text, ")");
}

static void put_node_line(struct printer *p, const struct bt_node *node)
{
    bt_text_add(&p->text, "  ");
    put_node(p, node);
}

/* "int64[b, s]"; float32 goes without saying. */
static void put_type(struct printer *p, bt_value value)
{
    const struct bt_value_info *info = &p->g->values[value];
    bt_text_add(&p->text, "%s", info->dtype == BT_F32 ? "" : bt_dtype_name(info->dtype));
    bt_dims_text(p->g, info, &p->text);
}

static void put_result(void *context, bt_value value, struct bt_text *text)
{
    struct printer *p = context; /* which writes to the same text */
    (void)text;
    put_value(p, value);
}

static void put_inputs(struct printer *p)
{
    bt_text_add(&p->text, "  inputs");
    for (size_t i = 0; i < p->g->input_count; i++) {
        bt_text_add(&p->text, "%s", i ? ", " : " ");
        put_value(p, p->g->inputs[i]);
        bt_text_add(&p->text, " ");
        put_type(p, p->g->inputs[i]);
    }
    bt_text_add(&p->text, "\n");
}

/* The longest node line, up to SHAPE_COLUMN: found by printing once without shapes. */
static size_t shape_column(struct printer *p)
{
    size_t column = 0;
    for (size_t i = 0; i < p->g->node_count && !p->text.failed; i++) {
        size_t start = p->text.size;
        put_node_line(p, &p->g->nodes[i]);
        size_t width = p->text.size - start;
        if (width > column && width <= SHAPE_COLUMN) {
            column = width;
        }
        p->text.size = start;
    }
    return column;
}

static void put_lines(struct printer *p)
{
    size_t column = shape_column(p);
    for (size_t i = 0; i < p->g->node_count; i++) {
        const struct bt_node *node = &p->g->nodes[i];
        size_t start = p->text.size;
        put_node_line(p, node);
        size_t width = p->text.size - start;
        bt_text_add(&p->text, "%*s", (int)(width < column ? column - width : 0) + 2, "");
        for (int k = 0; k < node->nouts; k++) {
            bt_text_add(&p->text, "%s", k ? ", " : "");
            put_type(p, node->outs[k]);
        }
        bt_text_add(&p->text, "\n");
    }
}

/* False: out of memory. */
static bool printer_init(struct printer *p, struct bt_graph *g)
{
    *p = (struct printer){.g = g, .numbers = bt_calloc(g->value_count + 1, sizeof(*p->numbers))};
    int32_t next = 1;
    for (size_t i = 0; i < g->node_count && p->numbers; i++) {
        for (int k = 0; k < g->nodes[i].nouts; k++) {
            p->numbers[g->nodes[i].outs[k]] = next++;
        }
    }
    return p->numbers;
}

char *bt_graph_node_text(struct bt_graph *g, size_t node)
{
    struct printer p;
    if (!printer_init(&p, g)) {
        return NULL;
    }
    put_node(&p, &g->nodes[node]);
    bt_free(p.numbers);
    return bt_text_take(&p.text);
}

char *bt_graph_text(struct bt_graph *g, const char *title)
{
    struct printer p;
    if (!printer_init(&p, g)) {
        return NULL;
    }
    bt_text_add(&p.text, "%s\n", title);
    put_inputs(&p);
    put_lines(&p);
    bt_text_add(&p.text, "  return ");
    bt_tree_write(g, &g->output, put_result, &p, &p.text);
    bt_text_add(&p.text, "\n");
    bt_free(p.numbers);
    return bt_text_take(&p.text);
}
