/* aten_scatter.c: writing to places that index tensors name */
#include "load/lower.h"

static struct bt_dyn put(struct bt_call *c, const struct bt_arg *indices, struct bt_dyn values, bool add)
{
    values = bt_lower_cast(c, values, bt_lower_type(c, c->args[0]));
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), *indices, bt_lower_value(c, values),
                                  bt_arg_expr(bt_expr_bool(c->x, add))};
    return bt_lower_node(c, BT_OP_INDEX_PUT, 4, args);
}

/* 0, 1, ... along dimension `dim` of a tensor of rank `rank`. */
static struct bt_dyn positions(struct bt_call *c, bt_expr size, int dim, int rank)
{
    const struct bt_arg args[] = {bt_arg_int(c->g, 0), bt_arg_expr(size), bt_arg_int(c->g, 1), bt_arg_dtype(BT_I64)};
    bt_expr shape[BT_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        shape[i] = bt_expr_int(c->x, i == dim ? -1 : 1);
    }
    return bt_lower_reshape(c, bt_lower_node(c, BT_OP_ARANGE, 4, args), shape, rank);
}

/* self, dim, index, src (what of it the index covers) or a number; the detail: add to what is there */
void bt_aten_scatter(struct bt_call *c)
{
    struct bt_dyn source = c->args[3];
    bt_expr shape[BT_MAX_RANK];
    bt_value list[BT_MAX_RANK];
    int rank = bt_lower_shape(c, c->args[2], shape), dim = bt_lower_dim(c, c->args[1], rank);
    if (rank == 0 || rank != bt_lower_rank(c, c->args[0])) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "the index is not of the rank of self, or of rank 0");
    }
    bool sliced = bt_lower_rank(c, source) == rank;
    for (int i = 0; i < rank; i++) {
        struct bt_dyn index = i == dim ? bt_lower_cast(c, c->args[2], BT_I64) : positions(c, shape[i], i, rank);
        list[i] = bt_lower_value(c, index).value;
        source = sliced ? bt_lower_slice(c, source, i, bt_expr_int(c->x, 0), shape[i]) : source;
    }
    const struct bt_arg indices = bt_arg_values(list, rank);
    c->out = put(c, &indices, source, c->detail);
}

/* self, dim, index, source or a number (and alpha): the slices that a vector names; the detail: add to what is there */
void bt_aten_index_write(struct bt_call *c)
{
    bt_value list[BT_MAX_RANK];
    int rank = bt_lower_rank(c, c->args[0]), dim = bt_lower_dim(c, c->args[1], rank);
    struct bt_dyn index = bt_lower_cast(c, c->args[2], BT_I64), source = c->args[3];
    index = bt_lower_rank(c, index) == 0 ? bt_lower_unsqueeze(c, index, 0) : index;
    for (int i = 0; i < dim; i++) {
        list[i] = BT_NO_VALUE;
    }
    list[dim] = bt_lower_value(c, index).value;
    if (c->detail) {
        source = bt_lower_binary(c, BT_OP_MUL, source, c->args[4]);
    }
    const struct bt_arg indices = bt_arg_values(list, dim + 1);
    c->out = put(c, &indices, source, c->detail);
}
