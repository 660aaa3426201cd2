/* aten_pool.c: pooling windows, as slices that are combined: max_pool, avg_pool, im2col */
#include <math.h>

#include "load/lower.h"

#define MAX_WINDOW 64

/* A window that slides along one dimension. */
struct window {
    int dim;
    int64_t size, stride, padding, dilation;
    bool ceil; /* the last window may reach beyond the padding */
};

static bt_expr plus(struct bt_call *c, bt_expr e, int64_t n)
{
    return bt_expr_binary(c->x, BT_EXPR_ADD, e, bt_expr_int(c->x, n));
}

static bt_expr quotient(struct bt_call *c, bt_expr e, int64_t n)
{
    return bt_expr_binary(c->x, BT_EXPR_FLOOR_DIV, e, bt_expr_int(c->x, n));
}

/* How many windows there are. */
static bt_expr window_count(struct bt_call *c, const struct window *w, bt_expr length)
{
    bt_expr room = plus(c, length, 2 * w->padding - w->dilation * (w->size - 1) - 1);
    if (!w->ceil) {
        return plus(c, quotient(c, room, w->stride), 1);
    }
    /* rounded up, but each starts within the input or the padding before it */
    bt_expr up = plus(c, quotient(c, plus(c, room, w->stride - 1), w->stride), 1);
    bt_expr inside = plus(c, quotient(c, plus(c, length, w->padding - 1), w->stride), 1);
    return bt_expr_binary(c->x, BT_EXPR_MIN, up, inside);
}

/* The items that each window has at its positions 0, 1, ...: slices of the padded input, in slices[MAX_WINDOW]. */
static void cut(struct bt_call *c, struct bt_dyn x, const struct window *w, double filler, struct bt_dyn *slices)
{
    bt_expr length = bt_lower_size(c, x, w->dim);
    if (w->size < 1 || w->size > MAX_WINDOW || w->stride < 1 || w->dilation < 1 || w->padding < 0) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "a window of size %lld, stride %lld, dilation %lld is not implemented",
                      (long long)w->size, (long long)w->stride, (long long)w->dilation);
        return;
    }
    bt_expr count = window_count(c, w, length);
    bt_expr reach = bt_expr_binary(c->x, BT_EXPR_MUL, plus(c, count, -1), bt_expr_int(c->x, w->stride));
    bt_expr behind =
        plus(c, bt_expr_binary(c->x, BT_EXPR_SUB, reach, length), w->dilation * (w->size - 1) + 1 - w->padding);
    bt_expr pads[2 * BT_MAX_RANK];
    int place = bt_lower_rank(c, x) - 1 - w->dim;
    for (int i = 0; i < 2 * place; i++) {
        pads[i] = bt_expr_int(c->x, 0);
    }
    pads[2 * place] = bt_expr_int(c->x, w->padding);
    pads[2 * place + 1] = behind;
    const struct bt_arg padded[] = {bt_lower_value(c, x), bt_arg_exprs(pads, 2 * place + 2),
                                    bt_arg_float(c->g, filler)};
    x = bt_lower_node(c, BT_OP_PAD, 3, padded);
    for (int64_t i = 0; i < w->size; i++) {
        const struct bt_arg slice[] = {bt_arg_none(), bt_arg_int(c->g, w->dim), bt_arg_int(c->g, i * w->dilation),
                                       bt_arg_expr(plus(c, reach, i * w->dilation + 1)), bt_arg_int(c->g, w->stride)};
        slices[i] = bt_lower_view(c, x, BT_OP_SLICE, 5, slice);
    }
}

static struct bt_dyn combine(struct bt_call *c, struct bt_dyn x, const struct window *w, enum bt_op op, double filler)
{
    struct bt_dyn slices[MAX_WINDOW];
    cut(c, x, w, filler, slices);
    for (int64_t i = 1; i < w->size && c->status == BERTC_OK; i++) {
        slices[0] = bt_lower_binary(c, op, slices[0], slices[i]);
    }
    return slices[0];
}

/* Item i of a list of one or of as many items as there are dimensions; `fallback` when it has none. */
static struct bt_dyn item_of(struct bt_dyn list, int i, struct bt_dyn fallback)
{
    size_t count = bt_lower_count(list);
    return count == 0 ? fallback : list.seq->items[count == 1 ? 0 : i];
}

/* kernel_size, stride, padding (and dilation) at `first`. False: one window is all there is, of any length. */
static bool read_window(struct bt_call *c, int dim, int i, int first, struct window *w)
{
    struct bt_dyn size = item_of(c->args[first], i, bt_dyn_none()), padding = item_of(c->args[first + 2], i, size);
    w->dim = dim;
    w->padding = bt_lower_int(c, padding);
    if (w->padding == 0 && bt_lower_expr(c, size) == bt_lower_size(c, c->args[0], dim)) {
        return false;
    }
    w->size = bt_lower_int(c, size);
    w->stride = bt_lower_int(c, item_of(c->args[first + 1], i, size));
    return c->status == BERTC_OK;
}

/* self, kernel_size, stride, padding, dilation, ceil_mode: the detail is the number of dimensions */
void bt_aten_max_pool(struct bt_call *c)
{
    struct bt_dyn x = c->args[0];
    int first = bt_lower_rank(c, x) - c->detail;
    bool ceil_mode = bt_lower_bool(c, c->args[5]);
    for (int i = 0; i < c->detail && c->status == BERTC_OK; i++) {
        struct window w = {.ceil = ceil_mode};
        if (read_window(c, first + i, i, 1, &w)) {
            w.dilation = bt_lower_int(c, item_of(c->args[4], i, bt_dyn_none()));
            x = combine(c, x, &w, BT_OP_MAXIMUM, -INFINITY);
        } else {
            x = bt_lower_reduce(c, BT_OP_AMAX, x, (const int[]){first + i}, 1, true);
        }
    }
    c->out = x;
}

/* How many items each window averages: those of the input, and with `pads` those of the padding. */
static struct bt_dyn window_sizes(struct bt_call *c, const struct window *w, bt_expr length, bool pads)
{
    bool full = (w->padding == 0 || pads) && !w->ceil;
    if (full) {
        return bt_lower_integer(c, w->size);
    }
    struct window row = *w;
    row.dim = 0;
    if (pads) {
        length = plus(c, length, 2 * w->padding);
        row.padding = 0;
    }
    const struct bt_arg ones[] = {bt_arg_exprs(&length, 1), bt_arg_int(c->g, 1), bt_arg_dtype(BT_F32)};
    return combine(c, bt_lower_node(c, BT_OP_FULL, 3, ones), &row, BT_OP_ADD, 0);
}

/* self, kernel_size, stride, padding, ceil_mode, count_include_pad: the detail is the number of dimensions */
void bt_aten_avg_pool(struct bt_call *c)
{
    struct bt_dyn x = c->args[0];
    int rank = bt_lower_rank(c, x), first = rank - c->detail;
    bool ceil_mode = bt_lower_bool(c, c->args[4]), pads = bt_lower_bool(c, c->args[5]);
    for (int i = 0; i < c->detail && c->status == BERTC_OK; i++) {
        struct window w = {.ceil = ceil_mode, .dilation = 1};
        if (!read_window(c, first + i, i, 1, &w)) {
            x = bt_lower_reduce(c, BT_OP_MEAN, x, (const int[]){first + i}, 1, true);
            continue;
        }
        struct bt_dyn sizes = window_sizes(c, &w, bt_lower_size(c, x, w.dim), pads);
        for (int dim = w.dim + 1; dim < rank && sizes.kind == BT_DYN_TENSOR; dim++) {
            sizes = bt_lower_unsqueeze(c, sizes, bt_lower_rank(c, sizes));
        }
        x = bt_lower_binary(c, BT_OP_DIV, combine(c, x, &w, BT_OP_ADD, 0), sizes);
    }
    c->out = x;
}

/* self (batch, channel, length, 1), kernel_size, dilation, padding, stride: windows of one column */
void bt_aten_im2col(struct bt_call *c)
{
    struct bt_dyn x = c->args[0], slices[MAX_WINDOW];
    bt_expr shape[BT_MAX_RANK];
    struct bt_dyn width = item_of(c->args[1], 1, bt_dyn_none()), pad = item_of(c->args[3], 1, bt_dyn_none());
    bool column = bt_lower_shape(c, x, shape) == 4 && bt_lower_equal(c, shape[3], 1) && bt_lower_int(c, width) == 1 &&
                  bt_lower_int(c, pad) == 0;
    if (!column) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "only windows along one dimension are implemented");
        return;
    }
    const struct window w = {.dim = 2,
                             .size = bt_lower_int(c, item_of(c->args[1], 0, width)),
                             .dilation = bt_lower_int(c, item_of(c->args[2], 0, width)),
                             .padding = bt_lower_int(c, item_of(c->args[3], 0, width)),
                             .stride = bt_lower_int(c, item_of(c->args[4], 0, width))};
    cut(c, x, &w, 0, slices);
    struct bt_dyn list = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (int64_t i = 0; i < w.size && c->status == BERTC_OK; i++) {
        bt_lower_append(c, &list, bt_lower_permute(c, slices[i], (const int[]){0, 1, 3, 2}, 4));
    }
    x = bt_lower_cat(c, list, 2); /* batch, channel, window, place */
    bt_lower_shape(c, x, shape);
    shape[1] = bt_expr_int(c->x, -1);
    shape[2] = c->status == BERTC_OK ? shape[3] : BT_NO_EXPR;
    c->out = bt_lower_reshape(c, x, shape, 3);
}

/* self, output_size: only the mean, or the largest item and where it is, of everything */
void bt_aten_adaptive_pool(struct bt_call *c)
{
    int last = bt_lower_rank(c, c->args[0]) - 1;
    if (bt_lower_count(c->args[1]) != 1 || bt_lower_int(c, c->args[1].seq->items[0]) != 1 || last < 0) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "an output size other than 1 is not implemented");
    }
    if (c->detail == BT_OP_MEAN) {
        c->out = bt_lower_reduce(c, BT_OP_MEAN, c->args[0], &last, 1, true);
        return;
    }
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), bt_arg_int(c->g, last),
                                  bt_arg_expr(bt_expr_bool(c->x, true))};
    c->out = bt_lower_pair(c, BT_OP_MAX_DIM, 3, args);
}
