/* aten_shape.c: views: permutations, shapes, slices */
#include "load/lower.h"

static void identity(int *dims, int rank)
{
    for (int i = 0; i < rank; i++) {
        dims[i] = i;
    }
}

static struct bt_dyn transposed(struct bt_call *c, struct bt_dyn x, int a, int b)
{
    int dims[BT_MAX_RANK], rank = bt_lower_rank(c, x);
    identity(dims, rank);
    if (rank > 0) {
        dims[a] = b;
        dims[b] = a;
    }
    return bt_lower_permute(c, x, dims, rank);
}

void bt_aten_transpose(struct bt_call *c)
{
    int rank = bt_lower_rank(c, c->args[0]);
    int a = bt_lower_dim(c, c->args[1], rank), b = bt_lower_dim(c, c->args[2], rank);
    c->out = transposed(c, c->args[0], a, b);
}

/* t, mT: the last two dimensions change places */
void bt_aten_reverse_last(struct bt_call *c)
{
    int rank = bt_lower_rank(c, c->args[0]);
    c->out = rank < 2 ? c->args[0] : transposed(c, c->args[0], rank - 2, rank - 1);
}

void bt_aten_numpy_t(struct bt_call *c)
{
    int dims[BT_MAX_RANK], rank = bt_lower_rank(c, c->args[0]);
    for (int i = 0; i < rank; i++) {
        dims[i] = rank - 1 - i;
    }
    c->out = bt_lower_permute(c, c->args[0], dims, rank);
}

void bt_aten_permute(struct bt_call *c)
{
    const struct bt_arg args[] = {bt_arg_none(), bt_lower_exprs(c, c->args[1])};
    c->out = bt_lower_view(c, c->args[0], BT_OP_PERMUTE, 2, args);
}

/* self, source, destination: the other dimensions keep their order */
void bt_aten_movedim(struct bt_call *c)
{
    int from[BT_MAX_RANK], to[BT_MAX_RANK], dims[BT_MAX_RANK], rank = bt_lower_rank(c, c->args[0]);
    if (bt_lower_count(c->args[1]) != bt_lower_count(c->args[2])) {
        bt_lower_fail(c, BERTC_INPUT, "source and destination differ in length");
        return;
    }
    int moved = bt_lower_dims(c, c->args[1], rank, from), next = 0;
    bt_lower_dims(c, c->args[2], rank, to);
    bool taken[BT_MAX_RANK] = {false};
    for (int i = 0; i < rank; i++) {
        dims[i] = -1;
    }
    for (int i = 0; i < moved; i++) {
        dims[to[i]] = from[i];
        taken[from[i]] = true;
    }
    for (int i = 0; i < rank; i++) {
        if (dims[i] >= 0) {
            continue;
        }
        while (next < rank - 1 && taken[next]) {
            next++;
        }
        dims[i] = next++;
    }
    c->out = bt_lower_permute(c, c->args[0], dims, rank);
}

void bt_aten_reshape(struct bt_call *c)
{
    const struct bt_arg args[] = {bt_arg_none(), bt_lower_exprs(c, c->args[1])};
    c->out = bt_lower_view(c, c->args[0], BT_OP_RESHAPE, 2, args);
}

void bt_aten_reshape_as(struct bt_call *c)
{
    bt_expr shape[BT_MAX_RANK];
    int rank = bt_lower_shape(c, c->args[1], shape);
    c->out = bt_lower_reshape(c, c->args[0], shape, rank);
}

void bt_aten_flatten(struct bt_call *c)
{
    bt_expr shape[BT_MAX_RANK], flat[BT_MAX_RANK], product = bt_expr_int(c->x, 1);
    int rank = bt_lower_shape(c, c->args[0], shape), count = 0;
    int start = bt_lower_dim(c, c->args[1], rank), end = bt_lower_dim(c, c->args[2], rank);
    if (start > end) {
        bt_lower_fail(c, BERTC_INPUT, "start_dim %d comes after end_dim %d", start, end);
        return;
    }
    for (int i = 0; i < start; i++) {
        flat[count++] = shape[i];
    }
    for (int i = start; i <= end && i < rank; i++) {
        product = bt_expr_binary(c->x, BT_EXPR_MUL, product, shape[i]);
    }
    flat[count++] = product;
    for (int i = end + 1; i < rank; i++) {
        flat[count++] = shape[i];
    }
    c->out = bt_lower_reshape(c, c->args[0], flat, count);
}

void bt_aten_ravel(struct bt_call *c)
{
    bt_expr all = bt_expr_int(c->x, -1);
    c->out = bt_lower_reshape(c, c->args[0], &all, 1);
}

/* self, dim, sizes, of which one may be -1 */
void bt_aten_unflatten(struct bt_call *c)
{
    bt_expr shape[BT_MAX_RANK], sizes[BT_MAX_RANK], out[2 * BT_MAX_RANK];
    int rank = bt_lower_shape(c, c->args[0], shape), dim = bt_lower_dim(c, c->args[1], rank), count = 0;
    int parts = bt_lower_list(c, c->args[2], sizes, BT_MAX_RANK);
    for (int i = 0; i < dim; i++) {
        out[count++] = shape[i];
    }
    for (int i = 0; i < parts; i++) {
        out[count++] = sizes[i];
    }
    for (int i = dim + 1; i < rank; i++) {
        out[count++] = shape[i];
    }
    c->out = bt_lower_reshape(c, c->args[0], out, count);
}

/* self, dim: dimensions of another size than 1 stay */
void bt_aten_squeeze(struct bt_call *c)
{
    int dims[BT_MAX_RANK], ones[BT_MAX_RANK], count = 0, rank = bt_lower_rank(c, c->args[0]);
    int asked = bt_lower_dims(c, c->args[1], rank, dims);
    for (int i = 0; i < asked && rank > 0; i++) {
        bt_expr size = bt_lower_size(c, c->args[0], dims[i]);
        if (bt_graph_decide(c->g, bt_expr_binary(c->x, BT_EXPR_EQ, size, bt_expr_int(c->x, 1)))) {
            ones[count++] = dims[i];
        }
    }
    const struct bt_arg args[] = {bt_arg_none(), bt_lower_ints(c, ones, count)};
    c->out = bt_lower_view(c, c->args[0], BT_OP_SQUEEZE, 2, args);
}

void bt_aten_unsqueeze(struct bt_call *c)
{
    c->out = bt_lower_unsqueeze(c, c->args[0], bt_lower_dim(c, c->args[1], bt_lower_rank(c, c->args[0]) + 1));
}

/* self, size: -1 keeps a dimension */
void bt_aten_expand(struct bt_call *c)
{
    const struct bt_arg args[] = {bt_arg_none(), bt_lower_exprs(c, c->args[1])};
    c->out = bt_lower_view(c, c->args[0], BT_OP_EXPAND, 2, args);
}

void bt_aten_expand_as(struct bt_call *c)
{
    bt_expr shape[BT_MAX_RANK];
    int rank = bt_lower_shape(c, c->args[1], shape);
    c->out = bt_lower_expand(c, c->args[0], shape, rank);
}

void bt_aten_select(struct bt_call *c)
{
    int dim = bt_lower_dim(c, c->args[1], bt_lower_rank(c, c->args[0]));
    c->out = bt_lower_select(c, c->args[0], dim, bt_lower_expr(c, c->args[2]));
}

/* self, dim, start, end, step */
void bt_aten_slice(struct bt_call *c)
{
    int dim = bt_lower_dim(c, c->args[1], bt_lower_rank(c, c->args[0]));
    struct bt_arg start = bt_lower_given(c, 2) ? bt_lower_operand(c, c->args[2]) : bt_arg_int(c->g, 0);
    struct bt_arg end = bt_lower_given(c, 3) ? bt_lower_operand(c, c->args[3]) : bt_arg_int(c->g, INT64_MAX);
    const struct bt_arg args[] = {bt_arg_none(), bt_arg_int(c->g, dim), start, end, bt_lower_operand(c, c->args[4])};
    c->out = bt_lower_view(c, c->args[0], BT_OP_SLICE, 5, args);
}

/* self, dim, start, length */
void bt_aten_narrow(struct bt_call *c)
{
    int dim = bt_lower_dim(c, c->args[1], bt_lower_rank(c, c->args[0]));
    bt_expr start = bt_lower_expr(c, c->args[2]);
    int64_t from;
    if (bt_expr_is_int(c->x, start, &from) && from < 0) {
        start = bt_expr_binary(c->x, BT_EXPR_ADD, start, bt_lower_size(c, c->args[0], dim));
    }
    bt_expr end = bt_expr_binary(c->x, BT_EXPR_ADD, start, bt_lower_expr(c, c->args[3]));
    c->out = bt_lower_slice(c, c->args[0], dim, start, end);
}

void bt_aten_refuse_strides(struct bt_call *c)
{
    bt_lower_fail(c, BERTC_UNSUPPORTED,
                  "the strides are those of the traced shape, so other shapes would give wrong "
                  "results (Longformer and other models with sliding windows)");
}
