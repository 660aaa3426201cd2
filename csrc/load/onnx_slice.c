/* onnx_slice.c: cutting, joining and padding */
#include <stdlib.h>
#include <string.h>

#include "load/onnx_lower.h"

/* A bound of a slice: a number beyond any size stands for the end, or from below for the start. */
static bt_expr bound(struct bt_onnx_call *o, bt_expr e)
{
    int64_t value;
    if (bt_expr_is_int(o->call.x, e, &value) && value < -INT64_MAX / 2) {
        return bt_expr_int(o->call.x, 0);
    }
    return e;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* The items of a known list between known bounds. */
static bool slice_known(struct bt_onnx_call *o, struct bt_dyn x, bt_expr start, bt_expr end, int64_t step)
{
    struct bt_call *c = &o->call;
    int64_t from, to;
    if (x.kind != BT_DYN_LIST || step == 0 || llabs(step) > INT32_MAX || !bt_expr_is_int(c->x, start, &from) ||
        !bt_expr_is_int(c->x, end, &to)) {
        return false;
    }
    const int64_t count = (int64_t)x.seq->count, low = step > 0 ? 0 : -1, high = step > 0 ? count : count - 1;
    from = clamp(from < 0 ? from + count : from, low, high);
    to = clamp(to < 0 ? to + count : to, low, high);
    o->outs[0] = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (int64_t i = from; step > 0 ? i < to : i > to; i += step) {
        bt_lower_append(c, &o->outs[0], x.seq->items[i]);
    }
    return true;
}

/* A step of -1 over a whole dimension turns it round. */
static struct bt_dyn slice_back(struct bt_onnx_call *o, struct bt_dyn x, int dim, bt_expr start, bt_expr end)
{
    struct bt_call *c = &o->call;
    int64_t from, to;
    if (!bt_expr_is_int(c->x, start, &from) || !bt_expr_is_int(c->x, end, &to) || (from != -1 && from < INT32_MAX) ||
        to > -INT32_MAX) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "backwards over a part of a dimension is not implemented");
    }
    return bt_lower_node(c, BT_OP_FLIP, 2, (struct bt_arg[]){bt_lower_value(c, x), bt_lower_ints(c, &dim, 1)});
}

static struct bt_dyn slice_dim(struct bt_onnx_call *o, struct bt_dyn x, int dim, bt_expr start, bt_expr end,
                               int64_t step)
{
    struct bt_call *c = &o->call;
    if (step == -1) {
        return slice_back(o, x, dim, start, end);
    }
    if (step < 1) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "a step of %lld is not implemented", (long long)step);
    }
    const struct bt_arg args[] = {bt_arg_none(), bt_arg_int(c->g, dim), bt_arg_expr(bound(o, start)),
                                  bt_arg_expr(bound(o, end)), bt_arg_int(c->g, step)};
    return bt_lower_view(c, x, BT_OP_SLICE, 5, args);
}

/* data, starts, ends, axes, steps; before opset 10 attributes, without steps */
void bt_onnx_op_slice(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_input(o, 0);
    bt_expr starts[BT_MAX_RANK], ends[BT_MAX_RANK], steps[BT_MAX_RANK];
    int dims[BT_MAX_RANK], count, others, rank = bt_onnx_rank(o, x);
    bt_onnx_list(o, "starts", 1, starts, BT_MAX_RANK, &count);
    bt_onnx_list(o, "ends", 2, ends, BT_MAX_RANK, &others);
    bool fits = others == count && count <= rank;
    if (!bt_onnx_dims(o, "axes", 3, rank, dims, &others)) {
        for (others = 0; others < count && others < rank; others++) {
            dims[others] = others;
        }
    }
    fits = fits && others == count;
    if (!bt_onnx_list(o, "", 4, steps, BT_MAX_RANK, &others)) {
        for (others = 0; others < count; others++) {
            steps[others] = bt_expr_int(c->x, 1);
        }
    }
    if (c->status == BERTC_OK && (!fits || others != count)) {
        bt_lower_fail(c, BERTC_FORMAT, "starts, ends, axes and steps differ in length");
    }
    for (int i = 0; i < count && c->status == BERTC_OK; i++) {
        const int64_t step = bt_lower_int(c, bt_dyn_scalar(steps[i]));
        if (dims[i] == 0 && count == 1 && slice_known(o, x, starts[i], ends[i], step)) {
            return;
        }
        x = slice_dim(o, bt_onnx_as_tensor(o, x), dims[i], starts[i], ends[i], step);
    }
    o->outs[0] = x;
}

/* input, split: the sizes; without them as many equal pieces as outputs, the last one possibly smaller */
void bt_onnx_op_split(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    bt_expr sizes[BT_MAX_PARAMS];
    int count;
    struct bt_dyn x = bt_onnx_tensor(o, 0);
    const int rank = bt_lower_rank(c, x), dim = bt_onnx_axis(o, 0, rank);
    c->args[0] = x;
    if (bt_onnx_list(o, "split", 1, sizes, BT_MAX_PARAMS, &count)) {
        c->args[1] = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
        for (int i = 0; i < count; i++) {
            bt_lower_append(c, &c->args[1], bt_dyn_scalar(sizes[i]));
        }
        c->args[2] = bt_lower_integer(c, dim);
        bt_aten_split_with_sizes(c);
    } else {
        c->args[1] = bt_lower_integer(c, bt_onnx_int(o, "num_outputs", (int64_t)o->out_count));
        c->args[2] = bt_lower_integer(c, dim);
        bt_aten_chunk(c);
    }
    if (c->status == BERTC_OK && c->out.seq->count != o->out_count) {
        bt_lower_fail(c, BERTC_FORMAT, "%zu pieces for %zu outputs", c->out.seq->count, o->out_count);
    }
    for (size_t i = 0; i < o->out_count && c->status == BERTC_OK; i++) {
        o->outs[i] = c->out.seq->items[i];
    }
}

void bt_onnx_op_concat(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn known = bt_lower_seq(c, BT_DYN_LIST, NULL, 0), list = bt_lower_seq(c, BT_DYN_LIST, NULL, 0), part;
    bool all_known = o->input_count > 0;
    for (size_t i = 0; i < o->input_count && c->status == BERTC_OK; i++) {
        all_known = all_known && bt_onnx_known(o, bt_onnx_input(o, i), &part);
        for (size_t k = 0; all_known && k < part.seq->count; k++) {
            bt_lower_append(c, &known, part.seq->items[k]);
        }
    }
    if (all_known) {
        o->outs[0] = known;
        return;
    }
    for (size_t i = 0; i < o->input_count; i++) {
        bt_lower_append(c, &list, bt_onnx_tensor(o, i));
    }
    if (list.kind == BT_DYN_LIST && list.seq->count == 0) {
        bt_lower_fail(c, BERTC_FORMAT, "it has no inputs");
    }
    if (c->status == BERTC_OK) {
        o->outs[0] = bt_lower_cat(c, list, bt_onnx_axis(o, 1, bt_lower_rank(c, list.seq->items[0])));
    }
}

/* data, pads (all starts, then all ends), value, axes; before opset 11 pads and value are attributes */
void bt_onnx_op_pad(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_tensor(o, 0);
    bt_expr pads[2 * BT_MAX_RANK], order[2 * BT_MAX_RANK];
    int dims[BT_MAX_RANK], count, axes, rank = bt_lower_rank(c, x);
    const char *mode = bt_onnx_string(o, "mode", "constant");
    if (strcmp(mode, "constant") != 0) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "mode \"%.40s\" is not implemented, only constant", mode);
    }
    bt_onnx_list(o, "pads", 1, pads, 2 * BT_MAX_RANK, &count);
    if (!bt_onnx_dims(o, "", 3, rank, dims, &axes)) {
        for (axes = 0; axes < rank; axes++) {
            dims[axes] = axes;
        }
    }
    if (c->status == BERTC_OK && count != 2 * axes) {
        bt_lower_fail(c, BERTC_FORMAT, "%d pads for %d dimensions", count, axes);
    }
    for (int i = 0; i < 2 * rank; i++) {
        order[i] = bt_expr_int(c->x, 0);
    }
    for (int i = 0; i < axes && c->status == BERTC_OK; i++) {
        order[2 * (rank - 1 - dims[i])] = pads[i];
        order[2 * (rank - 1 - dims[i]) + 1] = pads[axes + i];
    }
    struct bt_dyn value = bt_onnx_given(o, 2) ? bt_onnx_scalar(o, 2) : bt_lower_real(c, bt_onnx_float(o, "value", 0));
    const struct bt_arg args[] = {bt_lower_value(c, x), bt_arg_exprs(order, 2 * rank),
                                  bt_arg_expr(bt_lower_expr(c, value))};
    o->outs[0] = bt_lower_node(c, BT_OP_PAD, 3, args);
}

/* input, k */
void bt_onnx_op_trilu(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    c->args[0] = bt_onnx_tensor(o, 0);
    c->args[1] = bt_onnx_given(o, 1) ? bt_onnx_scalar(o, 1) : bt_lower_integer(c, 0);
    c->detail = bt_onnx_int(o, "upper", 1) ? BT_OP_TRIU : BT_OP_TRIL;
    bt_aten_triangle(c);
    o->outs[0] = c->out;
}
