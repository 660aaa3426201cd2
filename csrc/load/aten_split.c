/* aten_split.c: operators that cut a tensor into a list of views */
#include "load/lower.h"

/* More pieces than any model cuts: a bound for hostile files. */
#define MAX_PIECES 65536

/* How many pieces, decided for the present call; 0 after a failure. */
static int64_t piece_count(struct bt_call *c, bt_expr count)
{
    int64_t n = bt_lower_int(c, bt_dyn_scalar(count));
    if (n < 0 || n > MAX_PIECES) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "cuts a tensor into more than %d pieces", MAX_PIECES);
    }
    return c->status == BERTC_OK ? n : 0;
}

void bt_aten_unbind(struct bt_call *c)
{
    int dim = bt_lower_dim(c, c->args[1], bt_lower_rank(c, c->args[0]));
    int64_t count = piece_count(c, bt_lower_size(c, c->args[0], dim));
    c->out = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (int64_t i = 0; i < count; i++) {
        bt_lower_append(c, &c->out, bt_lower_select(c, c->args[0], dim, bt_expr_int(c->x, i)));
    }
}

static bt_expr ceil_div(struct bt_exprs *x, bt_expr a, bt_expr b)
{
    bt_expr above = bt_expr_binary(x, BT_EXPR_SUB, bt_expr_binary(x, BT_EXPR_ADD, a, b), bt_expr_int(x, 1));
    return bt_expr_binary(x, BT_EXPR_FLOOR_DIV, above, b);
}

/* Pieces of the same size, the last one possibly smaller. */
static void split(struct bt_call *c, int dim, bt_expr piece)
{
    bt_expr size = bt_lower_size(c, c->args[0], dim);
    int64_t count = piece_count(c, ceil_div(c->x, size, piece));
    c->out = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    bt_expr start = bt_expr_int(c->x, 0);
    for (int64_t i = 0; i < count; i++) {
        bt_expr end = i == count - 1 ? size : bt_expr_binary(c->x, BT_EXPR_ADD, start, piece);
        bt_lower_append(c, &c->out, bt_lower_slice(c, c->args[0], dim, start, end));
        start = end;
    }
}

/* self, split_size, dim */
void bt_aten_split(struct bt_call *c)
{
    split(c, bt_lower_dim(c, c->args[2], bt_lower_rank(c, c->args[0])), bt_lower_expr(c, c->args[1]));
}

/* self, chunks, dim */
void bt_aten_chunk(struct bt_call *c)
{
    int dim = bt_lower_dim(c, c->args[2], bt_lower_rank(c, c->args[0]));
    split(c, dim, ceil_div(c->x, bt_lower_size(c, c->args[0], dim), bt_lower_expr(c, c->args[1])));
}

/* self, sizes, dim */
void bt_aten_split_with_sizes(struct bt_call *c)
{
    int dim = bt_lower_dim(c, c->args[2], bt_lower_rank(c, c->args[0]));
    size_t count = bt_lower_count(c->args[1]);
    c->out = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    bt_expr start = bt_expr_int(c->x, 0);
    for (size_t i = 0; i < count && c->status == BERTC_OK; i++) {
        bt_expr end = bt_expr_binary(c->x, BT_EXPR_ADD, start, bt_lower_expr(c, c->args[1].seq->items[i]));
        bt_lower_append(c, &c->out, bt_lower_slice(c, c->args[0], dim, start, end));
        start = end;
    }
    if (c->status == BERTC_OK && !bt_graph_same(c->g, start, bt_lower_size(c, c->args[0], dim))) {
        bt_lower_fail(c, BERTC_INPUT, "the sizes add up to %s, the dimension is %s", bt_expr_text(c->x, start),
                      bt_expr_text(c->x, bt_lower_size(c, c->args[0], dim)));
    }
}

/* self, sections, dim: the first size % sections pieces are one larger */
void bt_aten_tensor_split(struct bt_call *c)
{
    struct bt_exprs *x = c->x;
    int dim = bt_lower_dim(c, c->args[2], bt_lower_rank(c, c->args[0]));
    bt_expr size = bt_lower_size(c, c->args[0], dim), sections = bt_lower_expr(c, c->args[1]);
    bt_expr each = bt_expr_binary(x, BT_EXPR_FLOOR_DIV, size, sections),
            rest = bt_expr_binary(x, BT_EXPR_MOD, size, sections);
    int64_t count = piece_count(c, sections);
    c->out = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    bt_expr start = bt_expr_int(x, 0);
    for (int64_t i = 1; i <= count; i++) {
        bt_expr end = bt_expr_binary(x, BT_EXPR_ADD, bt_expr_binary(x, BT_EXPR_MUL, each, bt_expr_int(x, i)),
                                     bt_expr_binary(x, BT_EXPR_MIN, rest, bt_expr_int(x, i)));
        bt_lower_append(c, &c->out, bt_lower_slice(c, c->args[0], dim, start, end));
        start = end;
    }
}
