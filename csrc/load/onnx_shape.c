/* onnx_shape.c: shapes as known lists, and the views that they ask for */
#include "load/onnx_lower.h"

/* The sizes as a known list, from `start` to `end`. */
void bt_onnx_op_shape(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    bt_expr dims[BT_MAX_RANK];
    const int rank = bt_onnx_shape(o, bt_onnx_input(o, 0), dims);
    int64_t start = bt_onnx_int(o, "start", 0), end = bt_onnx_int(o, "end", rank);
    start += start < 0 ? rank : 0;
    end += end < 0 ? rank : 0;
    o->outs[0] = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (int i = 0; i < rank; i++) {
        if (i >= start && i < end) {
            bt_lower_append(c, &o->outs[0], bt_onnx_integer(o, dims[i]));
        }
    }
}

void bt_onnx_op_size(struct bt_onnx_call *o)
{
    bt_expr dims[BT_MAX_RANK], size = bt_expr_int(o->call.x, 1);
    const int rank = bt_onnx_shape(o, bt_onnx_input(o, 0), dims);
    for (int i = 0; i < rank; i++) {
        size = bt_expr_binary(o->call.x, BT_EXPR_MUL, size, dims[i]);
    }
    o->outs[0] = bt_onnx_integer(o, size);
}

/* The items of a known list in rows of `width`. */
static struct bt_dyn rows_of(struct bt_onnx_call *o, struct bt_dyn list, size_t width)
{
    struct bt_dyn out = bt_lower_seq(&o->call, BT_DYN_LIST, NULL, 0);
    for (size_t i = 0; i < list.seq->count; i += width) {
        bt_lower_append(&o->call, &out, bt_lower_seq(&o->call, BT_DYN_LIST, list.seq->items + i, width));
    }
    return out;
}

/* A known value in a shape of rank 0, 1 or 2 stays known. */
static bool reshape_known(struct bt_onnx_call *o, struct bt_dyn x, const bt_expr *shape, int rank)
{
    struct bt_call *c = &o->call;
    int64_t sizes[2] = {1, 1};
    if ((!bt_lower_is_number(x) && x.kind != BT_DYN_LIST) || rank > 2 || c->status != BERTC_OK) {
        return false;
    }
    struct bt_dyn list = x.kind != BT_DYN_LIST  ? bt_lower_seq(c, BT_DYN_LIST, &x, 1)
                         : bt_onnx_is_matrix(x) ? bt_onnx_flattened(o, x)
                                                : x;
    const int64_t count = c->status == BERTC_OK ? (int64_t)list.seq->count : 0;
    for (int i = 0; i < rank; i++) {
        if (!bt_expr_is_int(c->x, shape[i], &sizes[i])) {
            return false;
        }
    }
    sizes[0] = sizes[0] == -1 && sizes[1] > 0 ? count / sizes[1] : sizes[0];
    sizes[1] = sizes[1] == -1 && sizes[0] > 0 ? count / sizes[0] : sizes[1];
    if (count == 0 || sizes[0] < 1 || sizes[1] < 1 || sizes[0] > count || sizes[0] * sizes[1] != count) {
        return false;
    }
    o->outs[0] = rank == 0 ? list.seq->items[0] : rank == 1 ? list : rows_of(o, list, (size_t)sizes[1]);
    return true;
}

/* data, shape: 0 keeps a dimension unless allowzero says that it means 0, -1 is what is left */
void bt_onnx_op_reshape(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_input(o, 0);
    bt_expr shape[BT_MAX_RANK], dims[BT_MAX_RANK];
    const int rank = bt_onnx_numbers(o, 1, shape, BT_MAX_RANK), own = bt_onnx_shape(o, x, dims);
    const bool keep = !bt_onnx_int(o, "allowzero", 0);
    for (int i = 0; i < rank; i++) {
        int64_t size;
        if (keep && bt_expr_is_int(c->x, shape[i], &size) && size == 0) {
            if (i >= own) {
                bt_lower_fail(c, BERTC_INPUT, "the shape keeps dimension %d of a tensor of rank %d", i, own);
                return;
            }
            shape[i] = dims[i];
        }
    }
    if (!reshape_known(o, x, shape, rank)) {
        o->outs[0] = bt_lower_reshape(c, bt_onnx_as_tensor(o, x), shape, rank);
    }
}

/* Two dimensions: those before `axis`, and the others. */
void bt_onnx_op_flatten(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_tensor(o, 0);
    bt_expr dims[BT_MAX_RANK], shape[2] = {bt_expr_int(c->x, 1), bt_expr_int(c->x, 1)};
    const int rank = bt_lower_shape(c, x, dims);
    const int64_t axis = bt_onnx_int(o, "axis", 1);
    for (int i = 0; i < rank; i++) {
        bt_expr *side = &shape[i >= (axis < 0 ? axis + rank : axis)];
        *side = bt_expr_binary(c->x, BT_EXPR_MUL, *side, dims[i]);
    }
    o->outs[0] = bt_lower_reshape(c, x, shape, 2);
}

/* data, axes; without axes the dimensions that are 1 in this call */
void bt_onnx_op_squeeze(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_input(o, 0);
    bt_expr sizes[BT_MAX_RANK];
    int dims[BT_MAX_RANK], count, rank = bt_onnx_shape(o, x, sizes);
    if (!bt_onnx_dims(o, "axes", 1, rank, dims, &count)) {
        for (int i = 0; i < rank; i++) {
            if (bt_graph_decide(c->g, bt_expr_binary(c->x, BT_EXPR_EQ, sizes[i], bt_expr_int(c->x, 1)))) {
                dims[count++] = i;
            }
        }
    }
    if (x.kind == BT_DYN_LIST && x.seq->count == 1 && count == 1 && rank == 1) {
        o->outs[0] = x.seq->items[0];
        return;
    }
    const struct bt_arg args[] = {bt_arg_none(), bt_lower_ints(c, dims, count)};
    o->outs[0] = bt_lower_view(c, bt_onnx_as_tensor(o, x), BT_OP_SQUEEZE, 2, args);
}

/* data, axes: of the result */
void bt_onnx_op_unsqueeze(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_input(o, 0);
    bt_expr axes[BT_MAX_RANK];
    int count, rank = bt_onnx_rank(o, x);
    bool added[BT_MAX_RANK + 1] = {false};
    if (!bt_onnx_list(o, "axes", 1, axes, BT_MAX_RANK, &count)) {
        bt_lower_fail(c, BERTC_FORMAT, "it has no axes");
    }
    if (rank + count > BT_MAX_RANK) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "to more than %d dimensions", BT_MAX_RANK);
    }
    for (int i = 0; i < count && c->status == BERTC_OK; i++) {
        added[bt_lower_dim(c, bt_dyn_scalar(axes[i]), rank + count)] = true;
    }
    if (bt_lower_is_number(x) && count == 1) {
        o->outs[0] = bt_lower_seq(c, BT_DYN_LIST, &x, 1);
        return;
    }
    x = bt_onnx_as_tensor(o, x);
    for (int i = 0; i < rank + count && c->status == BERTC_OK; i++) {
        x = added[i] ? bt_lower_unsqueeze(c, x, i) : x;
    }
    o->outs[0] = x;
}

struct bt_dyn bt_onnx_swap_last(struct bt_onnx_call *o, struct bt_dyn x)
{
    int dims[BT_MAX_RANK];
    const int rank = bt_lower_rank(&o->call, x);
    for (int i = 0; i < rank; i++) {
        dims[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    }
    return rank < 2 ? x : bt_lower_permute(&o->call, x, dims, rank);
}

static struct bt_dyn transposed_matrix(struct bt_onnx_call *o, struct bt_dyn x)
{
    struct bt_call *c = &o->call;
    struct bt_dyn flat = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    const size_t columns = x.seq->items[0].seq->count;
    for (size_t k = 0; k < columns; k++) {
        for (size_t i = 0; i < x.seq->count; i++) {
            bt_lower_append(c, &flat, x.seq->items[i].seq->items[k]);
        }
    }
    return c->status == BERTC_OK ? rows_of(o, flat, x.seq->count) : x;
}

/* perm, by default the reverse order */
void bt_onnx_op_transpose(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_input(o, 0);
    int dims[BT_MAX_RANK], count;
    const int rank = bt_onnx_rank(o, x);
    if (!bt_onnx_dims(o, "perm", SIZE_MAX, rank, dims, &count)) {
        for (count = 0; count < rank; count++) {
            dims[count] = rank - 1 - count;
        }
    }
    if (count != rank) {
        bt_lower_fail(c, BERTC_FORMAT, "perm has %d items for %d dimensions", count, rank);
        return;
    }
    if (rank < 2 || (bt_onnx_is_matrix(x) && dims[0] == 0)) {
        o->outs[0] = x;
    } else {
        o->outs[0] = bt_onnx_is_matrix(x) ? transposed_matrix(o, x) : bt_lower_permute(c, x, dims, count);
    }
}

/* The size that two dimensions broadcast to; decided where neither is known to be 1. */
static bt_expr broadcast(struct bt_onnx_call *o, bt_expr own, bt_expr asked)
{
    struct bt_call *c = &o->call;
    int64_t size;
    if (own == asked || (bt_expr_is_int(c->x, asked, &size) && size == 1)) {
        return own;
    }
    if (bt_expr_is_int(c->x, own, &size)) {
        return size == 1 ? asked : own;
    }
    return bt_graph_same(c->g, own, asked) || !bt_lower_equal(c, own, 1) ? own : asked;
}

/* data, shape: each broadcasts to the other */
void bt_onnx_op_expand(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_input(o, 0);
    bt_expr dims[BT_MAX_RANK], shape[BT_MAX_RANK];
    const int own = bt_onnx_shape(o, x, dims), count = bt_onnx_numbers(o, 1, shape, BT_MAX_RANK);
    const int rank = own > count ? own : count;
    bt_expr out[BT_MAX_RANK];
    for (int i = 1; i <= rank && c->status == BERTC_OK; i++) {
        out[rank - i] = i > count ? dims[own - i]
                        : i > own ? shape[count - i]
                                  : broadcast(o, dims[own - i], shape[count - i]);
    }
    o->outs[0] = bt_lower_expand(c, bt_onnx_as_tensor(o, x), out, rank);
}

/* input, repeats: one a dimension */
void bt_onnx_op_tile(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    bt_expr repeats[BT_MAX_RANK];
    const int count = bt_onnx_numbers(o, 1, repeats, BT_MAX_RANK);
    c->args[0] = bt_onnx_tensor(o, 0);
    c->args[1] = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (int i = 0; i < count; i++) {
        bt_lower_append(c, &c->args[1], bt_dyn_scalar(repeats[i]));
    }
    bt_aten_repeat(c);
    o->outs[0] = c->out;
}
