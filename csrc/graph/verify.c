/* verify.c: internal consistency of a graph */
#include <string.h>

#include "graph/graph.h"

struct check {
    struct bt_graph *g;
    size_t node; /* under check; node_count = the outputs */
    struct bertc_error *err;
};

static enum bertc_status broken(const struct check *c, const char *what)
{
    const char *name = c->node < c->g->node_count ? bt_ops[c->g->nodes[c->node].op].name : "return";
    return bt_error_set(c->err, BERTC_FORMAT, "the graph is inconsistent: node %zu (%s): %s", c->node, name, what);
}

/* A value must exist, and be made before it is used. */
static enum bertc_status check_value(const struct check *c, bt_value value)
{
    if (value < 0 || (size_t)value >= c->g->value_count) {
        return broken(c, "a value's number is out of range");
    }
    const struct bt_value_info *info = &c->g->values[value];
    if (info->kind == BT_VALUE_NODE && (info->index < 0 || (size_t)info->index >= c->node)) {
        return broken(c, "a value is used before it is made");
    }
    return BERTC_OK;
}

static enum bertc_status check_expr(const struct check *c, bt_expr e)
{
    return e >= 0 && e < bt_expr_count(c->g->exprs) ? BERTC_OK : broken(c, "an expression's number is out of range");
}

static enum bertc_status check_arg(const struct check *c, const struct bt_arg *arg)
{
    enum bertc_status status = BERTC_OK;
    switch (arg->kind) {
    case BT_ARG_NONE:
    case BT_ARG_DTYPE:
    case BT_ARG_ACTIVATION: break;
    case BT_ARG_VALUE: return check_value(c, arg->value);
    case BT_ARG_EXPR: return check_expr(c, arg->expr);
    case BT_ARG_VALUES:
    case BT_ARG_EXPRS:
        for (int32_t k = 0; k < arg->count && !status; k++) {
            if (arg->kind == BT_ARG_EXPRS) {
                status = check_expr(c, arg->list[k]);
            } else if (arg->list[k] != BT_NO_VALUE) {
                status = check_value(c, arg->list[k]);
            }
        }
    }
    return status;
}

/* Inference on a copy of the node must give what the values say. */
static enum bertc_status check_inference(const struct check *c)
{
    struct bt_graph *g = c->g;
    const struct bt_node *node = &g->nodes[c->node];
    struct bt_node copy = *node;
    struct bt_value_info infos[BT_MAX_OUTS] = {{0}};
    copy.args = bt_arena_copy(&g->arena, node->args, (size_t)node->nargs * sizeof(*node->args));
    if (!copy.args) {
        return bt_error_memory(c->err);
    }
    enum bertc_status status = bt_infer(g, &copy, infos, c->err);
    if (status) {
        return status;
    }
    if (copy.nouts != node->nouts) {
        return broken(c, "the number of results differs from inference");
    }
    for (int i = 0; i < node->nouts; i++) {
        const struct bt_value_info *info = &g->values[node->outs[i]];
        if (info->kind != BT_VALUE_NODE || info->index != (int32_t)c->node) {
            return broken(c, "a result does not name its node");
        }
        if (info->dtype != infos[i].dtype || info->rank != infos[i].rank) {
            return broken(c, "a result's dtype or rank differs from inference");
        }
        for (int d = 0; d < info->rank; d++) {
            if (!bt_graph_same(g, info->dims[d], infos[i].dims[d])) {
                return broken(c, "a result's shape differs from inference");
            }
        }
    }
    return BERTC_OK;
}

static enum bertc_status check_node(const struct check *c)
{
    const struct bt_node *node = &c->g->nodes[c->node];
    if ((unsigned)node->op >= BT_OP_COUNT || node->nargs != bt_op_nargs(node->op)) {
        return broken(c, "the op or its number of arguments is wrong");
    }
    enum bertc_status status = BERTC_OK;
    for (int i = 0; i < node->nargs && !status; i++) {
        status = check_arg(c, &node->args[i]);
    }
    return status ? status : check_inference(c);
}

static enum bertc_status check_tree(const struct check *c, const struct bt_tree *tree)
{
    enum bertc_status status = BERTC_OK;
    if (tree->kind == BT_TREE_TENSOR) {
        status = check_value(c, tree->value);
    } else if (tree->kind == BT_TREE_SCALAR) {
        status = check_expr(c, tree->scalar);
    }
    for (int32_t i = 0; i < tree->count && !status; i++) {
        status = check_tree(c, &tree->items[i]);
    }
    return status;
}

enum bertc_status bt_graph_verify(struct bt_graph *g, struct bertc_error *err)
{
    struct check c = {g, 0, err};
    enum bertc_status status = BERTC_OK;
    for (; c.node < g->node_count && !status; c.node++) {
        status = check_node(&c);
    }
    for (size_t i = 0; i < g->guard_count && !status; i++) {
        status = check_expr(&c, g->guards[i].condition);
    }
    return status ? status : check_tree(&c, &g->output);
}
