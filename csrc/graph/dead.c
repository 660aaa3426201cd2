/* dead.c: drop the nodes that no output needs */
#include "graph/graph.h"

static void need_tree(const struct bt_tree *tree, bool *needed)
{
    if (tree->kind == BT_TREE_TENSOR) {
        needed[tree->value] = true;
    }
    for (int32_t i = 0; i < tree->count; i++) {
        need_tree(&tree->items[i], needed);
    }
}

static void need_args(const struct bt_node *node, bool *needed)
{
    for (int i = 0; i < node->nargs; i++) {
        const struct bt_arg *arg = &node->args[i];
        if (arg->kind == BT_ARG_VALUE) {
            needed[arg->value] = true;
        }
        for (int32_t k = 0; arg->kind == BT_ARG_VALUES && k < arg->count; k++) {
            if (arg->list[k] >= 0) {
                needed[arg->list[k]] = true;
            }
        }
    }
}

static bool is_needed(const struct bt_node *node, const bool *needed)
{
    for (int i = 0; i < node->nouts; i++) {
        if (needed[node->outs[i]]) {
            return true;
        }
    }
    return false;
}

enum bertc_status bt_graph_drop_dead(struct bt_graph *g, struct bertc_error *err)
{
    if (g->failure == BERTC_MEMORY || bt_exprs_out_of_memory(g->exprs)) {
        return bt_error_memory(err);
    }
    bool *needed = bt_calloc(g->value_count + 1, sizeof(*needed));
    if (!needed) {
        return bt_error_memory(err);
    }
    need_tree(&g->output, needed);
    for (size_t i = g->node_count; i-- > 0;) {
        if (is_needed(&g->nodes[i], needed)) {
            need_args(&g->nodes[i], needed);
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < g->node_count; i++) {
        const struct bt_node node = g->nodes[i];
        bool keep = is_needed(&node, needed);
        for (int k = 0; k < node.nouts; k++) {
            g->values[node.outs[k]].index = keep ? (int32_t)kept : -1;
        }
        if (keep) {
            g->nodes[kept++] = node;
        }
    }
    g->node_count = kept;
    g->node_table = (struct bt_table){0}; /* node numbers changed: later nodes are numbered among themselves */
    bt_free(needed);
    return BERTC_OK;
}
