/* aten_conv.c: convolutions along one dimension */
#include <string.h>

#include "load/lower.h"

/* Item i of a list such as int[1] stride. */
static bt_expr item(struct bt_call *c, struct bt_dyn list, int i)
{
    if ((size_t)i >= bt_lower_count(list)) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "only convolutions along one dimension are implemented");
        return BT_NO_EXPR;
    }
    return bt_lower_expr(c, list.seq->items[i]);
}

/* x (batch, channel, length) with the weight (filter, channel, tap) */
static struct bt_dyn convolve_rows(struct bt_call *c, struct bt_dyn x, struct bt_dyn weight, int along, bt_expr padding)
{
    const struct bt_arg args[] = {bt_lower_value(c, x),
                                  bt_lower_value(c, weight),
                                  bt_lower_value(c, c->args[2]),
                                  bt_arg_expr(item(c, c->args[3], along)),
                                  bt_arg_expr(padding),
                                  bt_arg_expr(item(c, c->args[5], along)),
                                  bt_lower_operand(c, c->args[c->detail])};
    return bt_lower_node(c, BT_OP_CONV1D, 7, args);
}

/* Makes the last two dimensions of four one dimension of channels and, behind it, the dimension `along` of the two. */
static struct bt_dyn merge_channels(struct bt_call *c, struct bt_dyn x, int along)
{
    bt_expr shape[BT_MAX_RANK];
    if (along == 0) {
        x = bt_lower_permute(c, x, (const int[]){0, 1, 3, 2}, 4);
    }
    if (bt_lower_shape(c, x, shape) == 4) {
        shape[1] = bt_expr_binary(c->x, BT_EXPR_MUL, shape[1], shape[2]);
        shape[2] = shape[3];
    }
    return bt_lower_reshape(c, x, shape, 3);
}

/* A kernel that spans one of the two dimensions moves along the other: what it spans is channels. */
static void convolve_planes(struct bt_call *c)
{
    bt_expr x[BT_MAX_RANK], weight[BT_MAX_RANK];
    bool planes = bt_lower_shape(c, c->args[0], x) == 4 && bt_lower_shape(c, c->args[1], weight) == 4 &&
                  bt_lower_count(c->args[4]) == 2 && bt_lower_count(c->args[3]) == 2;
    for (int across = 1; across >= 0 && planes; across--) {
        bt_expr padding = item(c, c->args[4], across);
        if (bt_lower_equal(c, padding, 0) && bt_graph_same(c->g, x[2 + across], weight[2 + across])) {
            struct bt_dyn rows = merge_channels(c, c->args[0], !across), taps = merge_channels(c, c->args[1], !across);
            rows = convolve_rows(c, rows, taps, !across, item(c, c->args[4], !across));
            c->out = bt_lower_unsqueeze(c, rows, 2 + across);
            return;
        }
    }
    bt_lower_fail(c, BERTC_UNSUPPORTED, "only convolutions along one dimension are implemented");
}

static void convolve(struct bt_call *c, bt_expr padding)
{
    if (bt_lower_rank(c, c->args[1]) != 3) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "only convolutions along one dimension are implemented");
    }
    struct bt_dyn x = c->args[0];
    bool single = bt_lower_rank(c, x) == 2; /* one item without a batch dimension */
    if (single) {
        x = bt_lower_unsqueeze(c, x, 0);
    }
    c->out = convolve_rows(c, x, c->args[1], 0, padding);
    if (single) {
        c->out = bt_lower_select(c, c->out, 0, bt_expr_int(c->x, 0));
    }
}

/* input, weight, bias, stride, padding (numbers, or "same" or "valid"), dilation, groups at the detail */
void bt_aten_conv1d(struct bt_call *c)
{
    if (c->args[4].kind != BT_DYN_STRING) {
        convolve(c, item(c, c->args[4], 0));
        return;
    }
    bool same = strcmp(c->args[4].text, "same") == 0;
    if (!same && strcmp(c->args[4].text, "valid") != 0) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "padding \"%s\" is not one of same, valid", c->args[4].text);
    }
    bt_expr reach = bt_expr_binary(c->x, BT_EXPR_SUB, bt_lower_size(c, c->args[1], 2), bt_expr_int(c->x, 1));
    int64_t total = bt_lower_int(c, bt_dyn_scalar(bt_expr_binary(c->x, BT_EXPR_MUL, reach, item(c, c->args[5], 0))));
    if (same && total % 2 != 0) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "padding \"same\" with a kernel of even size is not implemented");
    }
    convolve(c, bt_expr_int(c->x, same ? total / 2 : 0));
}

/* input, weight, bias, stride, padding, dilation, groups at the detail */
void bt_aten_conv2d(struct bt_call *c)
{
    convolve_planes(c);
}

/* input, weight, bias, stride, padding, dilation, transposed, output_padding, groups at the detail */
void bt_aten_convolution(struct bt_call *c)
{
    if (bt_lower_bool(c, c->args[6])) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "transposed convolutions are not implemented");
    }
    if (bt_lower_rank(c, c->args[1]) == 4) {
        convolve_planes(c);
    } else {
        convolve(c, item(c, c->args[4], 0));
    }
}
