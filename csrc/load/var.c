/* var.c: tensor variables: what a name means after in-place operations on it, its views and its bases */
#include "load/dyn.h"

/* Reading a view reads its base first: the bound keeps a hostile chain of views off the stack. */
#define MAX_VIEW_DEPTH 256

struct bt_var *bt_var_new(struct bt_lower *l, bt_value value)
{
    struct bt_var *var = bt_arena_alloc(l->arena, 1, sizeof *var);
    if (var) {
        var->value = value;
        var->number = BT_NO_EXPR;
    }
    return var;
}

struct bt_var *bt_var_number(struct bt_lower *l, bt_expr number, enum bt_dtype dtype)
{
    struct bt_var *var = bt_var_new(l, BT_NO_VALUE);
    if (var) {
        var->number = number;
        var->dtype = dtype;
    }
    return var;
}

int bt_var_rank(const struct bt_lower *l, const struct bt_var *var)
{
    return var->value < 0 ? 0 : l->graph->values[var->value].rank;
}

enum bt_dtype bt_var_dtype(const struct bt_lower *l, const struct bt_var *var)
{
    return var->value < 0 ? var->dtype : l->graph->values[var->value].dtype;
}

static enum bertc_status materialize(struct bt_lower *l, struct bt_var *var, struct bertc_error *err)
{
    const struct bt_arg args[] = {bt_arg_exprs(NULL, 0), bt_arg_expr(var->number), bt_arg_dtype(var->dtype)};
    return bt_graph_node(l->graph, BT_OP_FULL, args, 3, &var->value, err);
}

enum bertc_status bt_var_read(struct bt_lower *l, struct bt_var *var, bt_value *out, struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    if (var->base) {
        status = bt_var_read(l, var->base, &var->args[0].value, err);
        if (status == BERTC_OK && var->base_version != var->base->version) {
            status = bt_graph_node(l->graph, var->op, var->args, var->nargs, &var->value, err);
            var->base_version = var->base->version;
            var->version++;
        }
    } else if (var->value < 0) {
        status = materialize(l, var, err);
    }
    *out = var->value;
    return status;
}

enum bertc_status bt_var_view(struct bt_lower *l, struct bt_var *base, enum bt_op op, const struct bt_arg *args,
                              int nargs, struct bt_var **out, struct bertc_error *err)
{
    int depth = 0;
    for (const struct bt_var *b = base; b; b = b->base) {
        if (++depth > MAX_VIEW_DEPTH) {
            return bt_error_set(err, BERTC_UNSUPPORTED, "%s: more than %d views of views", bt_ops[op].name,
                                MAX_VIEW_DEPTH);
        }
    }
    bt_value source;
    enum bertc_status status = bt_var_read(l, base, &source, err);
    if (status != BERTC_OK) {
        return status;
    }
    struct bt_var *var = bt_var_new(l, BT_NO_VALUE);
    struct bt_arg *copy = bt_arena_copy(l->arena, args, (size_t)nargs * sizeof *args);
    if (!var || !copy) {
        return bt_error_memory(err);
    }
    copy[0] = bt_arg_value(source);
    for (int i = 1; i < nargs; i++) {
        if (copy[i].count == 0) {
            continue;
        }
        copy[i].list = bt_arena_copy(l->arena, args[i].list, (size_t)args[i].count * sizeof *args[i].list);
        if (!copy[i].list) {
            return bt_error_memory(err);
        }
    }
    status = bt_graph_node(l->graph, op, copy, nargs, &var->value, err);
    var->base = base;
    var->op = op;
    var->args = copy;
    var->nargs = nargs;
    var->base_version = base->version;
    *out = var;
    return status;
}

/* Gives *value the dtype and shape of `like`. */
static enum bertc_status fit(struct bt_graph *g, bt_value like, bt_value *value, struct bertc_error *err)
{
    const struct bt_value_info info = g->values[like];
    const struct bt_arg cast[] = {bt_arg_value(*value), bt_arg_dtype(info.dtype)};
    enum bertc_status status = bt_graph_node(g, BT_OP_CAST, cast, 2, value, err);
    if (status != BERTC_OK) {
        return status;
    }
    const struct bt_arg expand[] = {bt_arg_value(*value), bt_arg_exprs(info.dims, info.rank)};
    return bt_graph_node(g, BT_OP_EXPAND, expand, 2, value, err);
}

static enum bertc_status unpermute(struct bt_graph *g, const struct bt_var *view, struct bt_arg src, bt_value *out,
                                   struct bertc_error *err)
{
    bt_expr inverse[BT_MAX_RANK];
    const struct bt_arg *dims = &view->args[1];
    for (int32_t i = 0; i < dims->count; i++) {
        int64_t dim = 0;
        bt_expr_is_int(g->exprs, dims->list[i], &dim);
        inverse[dim < 0 ? dim + dims->count : dim] = bt_expr_int(g->exprs, i);
    }
    const struct bt_arg args[] = {src, bt_arg_exprs(inverse, dims->count)};
    return bt_graph_node(g, BT_OP_PERMUTE, args, 2, out, err);
}

/* What `base` becomes when its view takes the value `src`. */
static enum bertc_status write_through(struct bt_graph *g, const struct bt_var *view, bt_value base, struct bt_arg src,
                                       bt_value *out, struct bertc_error *err)
{
    const struct bt_arg self = bt_arg_value(base), *a = view->args;
    const struct bt_value_info info = g->values[base];
    switch (view->op) {
    case BT_OP_SLICE:
        return bt_graph_node(g, BT_OP_SLICE_SCATTER, (struct bt_arg[]){self, src, a[1], a[2], a[3], a[4]}, 6, out, err);
    case BT_OP_SELECT:
        return bt_graph_node(g, BT_OP_SELECT_SCATTER, (struct bt_arg[]){self, src, a[1], a[2]}, 4, out, err);
    case BT_OP_PERMUTE: return unpermute(g, view, src, out, err);
    case BT_OP_RESHAPE:
    case BT_OP_UNSQUEEZE:
    case BT_OP_SQUEEZE:
        return bt_graph_node(g, BT_OP_RESHAPE, (struct bt_arg[]){src, bt_arg_exprs(info.dims, info.rank)}, 2, out, err);
    default:
        return bt_error_set(err, BERTC_UNSUPPORTED, "an in-place operation writes to an expanded tensor (%s)",
                            bt_ops[view->op].name);
    }
}

enum bertc_status bt_var_write(struct bt_lower *l, struct bt_var *var, bt_value value, struct bertc_error *err)
{
    bt_value before;
    enum bertc_status status = bt_var_read(l, var, &before, err);
    if (status == BERTC_OK) {
        status = fit(l->graph, before, &value, err);
    }
    if (status == BERTC_OK && var->base) {
        bt_value base = var->args[0].value, through = value;
        if (base != before) {
            status = write_through(l->graph, var, base, bt_arg_value(value), &through, err);
        }
        if (status == BERTC_OK) {
            status = bt_var_write(l, var->base, through, err);
        }
        var->args[0].value = var->base->value;
        var->base_version = var->base->version;
    }
    if (status != BERTC_OK) {
        return status;
    }
    var->value = value;
    var->number = BT_NO_EXPR;
    var->version++;
    return BERTC_OK;
}
