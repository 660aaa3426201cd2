/* aten_sort.c: sorting, and what is selected by it */
#include "load/lower.h"

/* (values, indices) */
static struct bt_dyn sorted(struct bt_call *c, int dim_arg, bool descending)
{
    int dim = bt_lower_dim(c, c->args[dim_arg], bt_lower_rank(c, c->args[0]));
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), bt_arg_int(c->g, dim),
                                  bt_arg_expr(bt_expr_bool(c->x, descending))};
    return bt_lower_pair(c, BT_OP_SORT, 3, args);
}

/* self, ..., dim, descending: the detail is the position of dim */
void bt_aten_sort(struct bt_call *c)
{
    c->out = sorted(c, c->detail, bt_lower_bool(c, c->args[c->detail + 1]));
}

void bt_aten_argsort(struct bt_call *c)
{
    bt_aten_sort(c);
    c->out = c->status == BERTC_OK ? c->out.seq->items[1] : c->out;
}

/* self, k, dim, largest, sorted: always sorted */
void bt_aten_topk(struct bt_call *c)
{
    struct bt_dyn pair = sorted(c, 2, bt_lower_bool(c, c->args[3]));
    if (c->status != BERTC_OK) {
        return;
    }
    bt_expr k = bt_lower_expr(c, c->args[1]), zero = bt_expr_int(c->x, 0);
    int rank = bt_lower_rank(c, c->args[0]), dim = bt_lower_dim(c, c->args[2], rank);
    bt_expr size = rank > 0 ? bt_lower_size(c, c->args[0], dim) : bt_expr_int(c->x, 1);
    if (!bt_graph_decide(c->g, bt_expr_binary(c->x, BT_EXPR_LE, k, size))) {
        bt_lower_fail(c, BERTC_INPUT, "k is %s, more than the %s items there are", bt_expr_text(c->x, k),
                      bt_expr_text(c->x, size));
    }
    for (int i = 0; i < 2 && rank > 0; i++) {
        pair.seq->items[i] = bt_lower_slice(c, pair.seq->items[i], dim, zero, k);
    }
    c->out = pair;
}

/* self, k, dim, keepdim: the item that k - 1 others come before */
void bt_aten_kthvalue(struct bt_call *c)
{
    struct bt_dyn pair = sorted(c, 2, false);
    int dim = bt_lower_dim(c, c->args[2], bt_lower_rank(c, c->args[0]));
    bt_expr index = bt_expr_binary(c->x, BT_EXPR_SUB, bt_lower_expr(c, c->args[1]), bt_expr_int(c->x, 1));
    bool keep = bt_lower_bool(c, c->args[3]);
    for (int i = 0; i < 2 && c->status == BERTC_OK && bt_lower_rank(c, c->args[0]) > 0; i++) {
        pair.seq->items[i] = bt_lower_select(c, pair.seq->items[i], dim, index);
        pair.seq->items[i] = keep ? bt_lower_unsqueeze(c, pair.seq->items[i], dim) : pair.seq->items[i];
    }
    c->out = pair;
}
