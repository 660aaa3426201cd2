/* uses.c: how often values are used, and dropping the nodes that no output needs */
#include "graph/graph.h"

static void count_tree(const struct bt_tree *tree, int32_t *uses)
{
    if (tree->kind == BT_TREE_TENSOR) {
        uses[tree->value]++;
    }
    for (int32_t i = 0; i < tree->count; i++) {
        count_tree(&tree->items[i], uses);
    }
}

static void count_args(const struct bt_node *node, int32_t step, int32_t *uses)
{
    for (int i = 0; i < node->nargs; i++) {
        const struct bt_arg *arg = &node->args[i];
        if (arg->kind == BT_ARG_VALUE) {
            uses[arg->value] += step;
        }
        for (int32_t k = 0; arg->kind == BT_ARG_VALUES && k < arg->count; k++) {
            if (arg->list[k] >= 0) {
                uses[arg->list[k]] += step;
            }
        }
    }
}

int32_t *bt_graph_uses(const struct bt_graph *g)
{
    int32_t *uses = bt_calloc(g->value_count + 1, sizeof(*uses));
    if (!uses) {
        return NULL;
    }
    for (size_t i = 0; i < g->node_count; i++) {
        count_args(&g->nodes[i], 1, uses);
    }
    count_tree(&g->output, uses);
    return uses;
}

static bool is_used(const struct bt_node *node, const int32_t *uses)
{
    bool used = false;
    for (int i = 0; i < node->nouts; i++) {
        used = used || uses[node->outs[i]] > 0;
    }
    return used;
}

enum bertc_status bt_graph_drop_dead(struct bt_graph *g, struct bertc_error *err)
{
    if (g->failure == BERTC_MEMORY || bt_exprs_out_of_memory(g->exprs)) {
        return bt_error_memory(err);
    }
    int32_t *uses = bt_graph_uses(g);
    if (!uses) {
        return bt_error_memory(err);
    }
    for (size_t i = g->node_count; i-- > 0;) {
        if (!is_used(&g->nodes[i], uses)) {
            count_args(&g->nodes[i], -1, uses);
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < g->node_count; i++) {
        const struct bt_node node = g->nodes[i];
        bool keep = is_used(&node, uses);
        for (int k = 0; k < node.nouts; k++) {
            g->values[node.outs[k]].index = keep ? (int32_t)kept : -1;
        }
        if (keep) {
            g->nodes[kept++] = node;
        }
    }
    g->node_count = kept;
    g->node_table = (struct bt_table){0}; /* node numbers changed: later nodes are numbered among themselves */
    bt_free(uses);
    return BERTC_OK;
}
