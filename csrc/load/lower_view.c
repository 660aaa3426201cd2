/* lower_view.c: shorthands of the lowering functions for single views and reductions */
#include "load/lower.h"

struct bt_dyn bt_lower_reshape(struct bt_call *c, struct bt_dyn d, const bt_expr *shape, int rank)
{
    return bt_lower_view(c, d, BT_OP_RESHAPE, 2, (struct bt_arg[]){bt_arg_none(), bt_arg_exprs(shape, rank)});
}

struct bt_dyn bt_lower_expand(struct bt_call *c, struct bt_dyn d, const bt_expr *size, int rank)
{
    return bt_lower_view(c, d, BT_OP_EXPAND, 2, (struct bt_arg[]){bt_arg_none(), bt_arg_exprs(size, rank)});
}

struct bt_dyn bt_lower_permute(struct bt_call *c, struct bt_dyn d, const int *dims, int rank)
{
    return bt_lower_view(c, d, BT_OP_PERMUTE, 2, (struct bt_arg[]){bt_arg_none(), bt_lower_ints(c, dims, rank)});
}

struct bt_dyn bt_lower_unsqueeze(struct bt_call *c, struct bt_dyn d, int dim)
{
    return bt_lower_view(c, d, BT_OP_UNSQUEEZE, 2, (struct bt_arg[]){bt_arg_none(), bt_arg_int(c->g, dim)});
}

struct bt_dyn bt_lower_slice(struct bt_call *c, struct bt_dyn d, int dim, bt_expr start, bt_expr end)
{
    const struct bt_arg args[] = {bt_arg_none(), bt_arg_int(c->g, dim), bt_arg_expr(start), bt_arg_expr(end),
                                  bt_arg_int(c->g, 1)};
    return bt_lower_view(c, d, BT_OP_SLICE, 5, args);
}

struct bt_dyn bt_lower_select(struct bt_call *c, struct bt_dyn d, int dim, bt_expr index)
{
    const struct bt_arg args[] = {bt_arg_none(), bt_arg_int(c->g, dim), bt_arg_expr(index)};
    return bt_lower_view(c, d, BT_OP_SELECT, 3, args);
}

struct bt_dyn bt_lower_reduce(struct bt_call *c, enum bt_op op, struct bt_dyn d, const int *dims, int count, bool keep)
{
    const struct bt_arg args[] = {bt_lower_value(c, d), bt_lower_ints(c, dims, count),
                                  bt_arg_expr(bt_expr_bool(c->x, keep))};
    return bt_lower_node(c, op, 3, args);
}
