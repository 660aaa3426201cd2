/* order.c: nodes in the order in which the outputs ask for them
 * Front ends meet the same nodes in different orders; like this the same model is the same graph by every road, and
 * nothing is computed long before it is used. */
#include "pass/pass.h"

/* A node whose operands are being placed, and the next of them. */
struct frame {
    int32_t node, arg, item;
};

struct order {
    const struct bt_graph *g;
    int32_t *position; /* of each node: where it goes, or UNSEEN, or ENTERED */
    struct frame *stack;
    size_t depth;
    int32_t placed;
};

enum { UNSEEN = -1, ENTERED = -2 };

static void enter(struct order *o, bt_value value)
{
    const struct bt_value_info *info = value < 0 ? NULL : &o->g->values[value];
    if (info && info->kind == BT_VALUE_NODE && o->position[info->index] == UNSEEN) {
        o->position[info->index] = ENTERED;
        o->stack[o->depth++] = (struct frame){.node = info->index};
    }
}

/* The next operand of the frame's node; false when there is none left. */
static bool next_operand(const struct bt_graph *g, struct frame *f, bt_value *out)
{
    const struct bt_node *node = &g->nodes[f->node];
    for (; f->arg < node->nargs; f->arg++, f->item = 0) {
        const struct bt_arg *arg = &node->args[f->arg];
        if (arg->kind == BT_ARG_VALUE && f->item == 0) {
            f->item = 1;
            *out = arg->value;
            return true;
        }
        if (arg->kind == BT_ARG_VALUES && f->item < arg->count) {
            *out = arg->list[f->item++];
            return true;
        }
    }
    return false;
}

static void place(struct order *o, bt_value value)
{
    enter(o, value);
    while (o->depth > 0) {
        struct frame *f = &o->stack[o->depth - 1];
        bt_value operand;
        if (next_operand(o->g, f, &operand)) {
            enter(o, operand);
        } else {
            o->position[f->node] = o->placed++;
            o->depth--;
        }
    }
}

static void place_tree(struct order *o, const struct bt_tree *tree)
{
    if (tree->kind == BT_TREE_TENSOR) {
        place(o, tree->value);
    }
    for (int32_t i = 0; i < tree->count; i++) {
        place_tree(o, &tree->items[i]);
    }
}

static void move(struct bt_graph *g, const int32_t *position, const struct bt_node *nodes)
{
    for (size_t i = 0; i < g->node_count; i++) {
        const struct bt_node node = nodes[i];
        g->nodes[position[i]] = node;
        for (int k = 0; k < node.nouts; k++) {
            g->values[node.outs[k]].index = position[i];
        }
    }
    g->node_table = (struct bt_table){0}; /* node numbers changed */
}

enum bertc_status bt_pass_order(struct bt_graph *g, struct bertc_error *err)
{
    enum bertc_status status = bt_graph_drop_dead(g, err);
    if (status) {
        return status;
    }
    const size_t count = g->node_count;
    struct order o = {
        .g = g, .position = bt_alloc(count, sizeof *o.position), .stack = bt_alloc(count, sizeof *o.stack)};
    struct bt_node *nodes = bt_alloc(count, sizeof *nodes);
    if (o.position && o.stack && nodes) {
        for (size_t i = 0; i < count; i++) {
            o.position[i] = UNSEEN;
            nodes[i] = g->nodes[i];
        }
        place_tree(&o, &g->output);
        move(g, o.position, nodes);
    } else {
        status = bt_error_memory(err);
    }
    bt_free(o.position);
    bt_free(o.stack);
    bt_free(nodes);
    return status;
}
