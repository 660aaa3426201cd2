/* rewrite.c: builds a graph anew, node by node, with a rule that may put something better in a node's place */
#include "pass/rewrite.h"

#include <string.h>

#define MAX_DEPTH 16

static bt_value improve(struct bt_rewriter *r, bt_value value)
{
    const struct bt_node *made = bt_match_producer(r->g, value);
    if (!made || made->nouts != 1 || r->depth >= MAX_DEPTH) {
        return value;
    }
    const struct bt_node node = *made; /* the rule adds nodes, which may move them all */
    r->depth++;
    bt_value better = r->rule(r, value, &node);
    r->depth--;
    return better >= 0 && bt_match_same_type(&r->g->values[better], &r->g->values[value]) ? better : value;
}

bt_value bt_rewrite_op(struct bt_rewriter *r, enum bt_op op, int nargs, const struct bt_arg *args)
{
    bt_value value = bt_graph_op(r->g, &r->trial, op, nargs, args);
    return value < 0 || !r->rule ? value : improve(r, value);
}

bt_value bt_rewrite_shaped(struct bt_rewriter *r, enum bt_op op, bt_value value, bt_value like)
{
    if (value < 0) {
        return BT_NO_VALUE;
    }
    const struct bt_value_info shape = r->g->values[like];
    const struct bt_arg args[] = {bt_arg_value(value), bt_arg_exprs(shape.dims, shape.rank)};
    return bt_rewrite_op(r, op, 2, args);
}

int32_t bt_rewrite_uses(const struct bt_rewriter *r, bt_value value)
{
    return (size_t)value < r->use_count ? r->uses[value] : 0;
}

static enum bertc_status emit_improved(struct bt_rewriter *r, const struct bt_node *old, const struct bt_node *node,
                                       bt_value *outs)
{
    r->g->where = old->where;
    enum bertc_status status = bt_graph_node(r->g, node->op, node->args, node->nargs, outs, r->err);
    if (!status && old->nouts == 1) {
        outs[0] = improve(r, outs[0]);
    }
    return status;
}

static void map_ids(const struct bt_rewriter *r, int32_t *ids, int32_t count)
{
    for (int32_t k = 0; k < count; k++) {
        ids[k] = ids[k] >= 0 ? r->map[ids[k]] : ids[k];
    }
}

static enum bertc_status map_args(struct bt_rewriter *r, struct bt_node *node)
{
    struct bt_arena *arena = &r->g->arena;
    node->args = bt_arena_copy(arena, node->args, (size_t)node->nargs * sizeof(*node->args));
    for (int i = 0; node->args && i < node->nargs; i++) {
        struct bt_arg *arg = &node->args[i];
        if (arg->kind == BT_ARG_VALUE) {
            map_ids(r, &arg->value, 1);
        } else if (arg->kind == BT_ARG_VALUES) {
            arg->list = bt_arena_copy(arena, arg->list, (size_t)arg->count * sizeof(*arg->list));
            if (!arg->list) {
                return bt_error_memory(r->err);
            }
            map_ids(r, arg->list, arg->count);
        }
    }
    return node->args ? BERTC_OK : bt_error_memory(r->err);
}

static void map_tree(const struct bt_rewriter *r, struct bt_tree *tree)
{
    if (tree->kind == BT_TREE_TENSOR) {
        map_ids(r, &tree->value, 1);
    }
    for (int32_t i = 0; i < tree->count; i++) {
        map_tree(r, &tree->items[i]);
    }
}

static enum bertc_status replace(struct bt_rewriter *r, bt_value old, bt_value value)
{
    struct bt_graph *g = r->g;
    r->map[old] = value;
    if (!bt_arena_reserve(&g->arena, &r->uses, &r->use_cap, g->value_count, sizeof(*r->uses))) {
        return bt_error_memory(r->err);
    }
    r->use_count = g->value_count;
    r->uses[value] += r->old_uses[old];
    return BERTC_OK;
}

static enum bertc_status rebuild(struct bt_rewriter *r, const struct bt_node *nodes, size_t count)
{
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; i < count && !status; i++) {
        struct bt_node node = nodes[i];
        bt_value outs[BT_MAX_OUTS];
        status = map_args(r, &node);
        if (!status) {
            status = r->emit(r, &nodes[i], &node, outs);
        }
        if (!status && r->trial.status == BERTC_MEMORY) {
            status = bt_error_memory(r->err);
        }
        for (int k = 0; k < nodes[i].nouts && !status; k++) {
            status = replace(r, nodes[i].outs[k], outs[k]);
        }
    }
    return status;
}

static enum bertc_status run(struct bt_rewriter *r)
{
    struct bt_graph *g = r->g;
    const struct bt_node *nodes = g->nodes;
    size_t count = g->node_count, values = g->value_count;
    const char *where = g->where;
    int32_t *uses = bt_graph_uses(g);
    bt_value *map = bt_alloc(values, sizeof(*map));
    enum bertc_status status = uses && map ? BERTC_OK : bt_error_memory(r->err);
    if (!status) {
        for (size_t v = 0; v < values; v++) {
            map[v] = (bt_value)v;
            if (g->values[v].kind == BT_VALUE_NODE) {
                g->values[v].index = -1;
            }
        }
        r->map = map;
        r->old_uses = uses;
        g->nodes = NULL;
        g->node_count = g->node_cap = 0;
        g->node_table = (struct bt_table){0};
        status = rebuild(r, nodes, count);
        map_tree(r, &g->output);
        g->where = where;
    }
    bt_free(map);
    bt_free(uses);
    return status ? status : bt_graph_drop_dead(g, r->err);
}

enum bertc_status bt_rewrite_graph(struct bt_graph *g, bt_rewrite_rule *rule, struct bertc_error *err)
{
    struct bt_rewriter r = {.g = g, .err = err, .emit = emit_improved, .rule = rule};
    return run(&r);
}

enum bertc_status bt_rewrite_emit_graph(struct bt_graph *g, bt_rewrite_emit *emit, const void *context,
                                        struct bertc_error *err)
{
    struct bt_rewriter r = {.g = g, .err = err, .emit = emit, .context = context};
    return run(&r);
}
