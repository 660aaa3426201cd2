/* tree.c: the structure of inputs and outputs as text */
#include "graph/tree.h"

void bt_dims_text(struct bt_graph *g, const struct bt_value_info *info, struct bt_text *text)
{
    bt_text_add(text, "[");
    for (int d = 0; d < info->rank; d++) {
        bt_text_add(text, "%s%s", d ? ", " : "", bt_expr_text(g->exprs, info->dims[d]));
    }
    bt_text_add(text, "]");
}

void bt_value_text(struct bt_graph *g, bt_value value, struct bt_text *text)
{
    bt_text_add(text, "%s", bt_dtype_name(g->values[value].dtype));
    bt_dims_text(g, &g->values[value], text);
}

void bt_tree_write(struct bt_graph *g, const struct bt_tree *tree, bt_tree_put_fn *put, void *context,
                   struct bt_text *text)
{
    switch (tree->kind) {
    case BT_TREE_NONE: bt_text_add(text, "None"); return;
    case BT_TREE_TENSOR: put(context, tree->value, text); return;
    case BT_TREE_SCALAR: bt_text_add(text, "%s", bt_expr_text(g->exprs, tree->scalar)); return;
    case BT_TREE_STRING: bt_text_add(text, "'%s'", tree->text); return;
    case BT_TREE_TUPLE:
    case BT_TREE_LIST:
    case BT_TREE_DICT: break;
    }
    const char *brackets = tree->kind == BT_TREE_TUPLE ? "()" : tree->kind == BT_TREE_LIST ? "[]" : "{}";
    bt_text_add(text, "%c", brackets[0]);
    for (int32_t i = 0; i < tree->count; i++) {
        bt_text_add(text, "%s", i ? ", " : "");
        if (tree->items[i].key) {
            bt_text_add(text, "%s: ", tree->items[i].key);
        }
        bt_tree_write(g, &tree->items[i], put, context, text);
    }
    const bool single = tree->kind == BT_TREE_TUPLE && tree->count == 1;
    bt_text_add(text, "%s%c", single ? "," : "", brackets[1]);
}

static void put_type(void *context, bt_value value, struct bt_text *text)
{
    bt_value_text(context, value, text);
}

void bt_tree_text(struct bt_graph *g, const struct bt_tree *tree, struct bt_text *text)
{
    bt_tree_write(g, tree, put_type, g, text);
}

size_t bt_tree_tensors(const struct bt_tree *tree)
{
    size_t count = tree->kind == BT_TREE_TENSOR;
    for (int32_t i = 0; i < tree->count; i++) {
        count += bt_tree_tensors(&tree->items[i]);
    }
    return count;
}
