/* nn.c: the layers of an encoder as graph nodes */
#include "load/nn.h"

#include <string.h>

bt_value bt_nn_op(struct bt_nn *nn, enum bt_op op, int nargs, const struct bt_arg *args)
{
    bt_value outs[BT_MAX_OUTS];
    if (!nn->status) {
        nn->status = bt_graph_node(nn->graph, op, args, nargs, outs, nn->err);
    }
    return nn->status ? BT_NO_VALUE : outs[0];
}

bt_value bt_nn_weight(struct bt_nn *nn, const struct bt_named_tensor *weight)
{
    bt_value value;
    if (!nn->status) {
        nn->status = bt_graph_constant(nn->graph, &weight->tensor, weight->name, &value, nn->err);
    }
    return nn->status ? BT_NO_VALUE : value;
}

bt_value bt_nn_add(struct bt_nn *nn, bt_value a, bt_value b)
{
    return bt_nn_op(nn, BT_OP_ADD, 2, (struct bt_arg[]){bt_arg_value(a), bt_arg_value(b)});
}

bt_value bt_nn_embedding(struct bt_nn *nn, const struct bt_named_tensor *table, bt_value ids)
{
    struct bt_arg args[] = {bt_arg_value(bt_nn_weight(nn, table)), bt_arg_value(ids)};
    return bt_nn_op(nn, BT_OP_EMBEDDING, 2, args);
}

bt_value bt_nn_linear(struct bt_nn *nn, bt_value x, const struct bt_named_tensor *weight,
                      const struct bt_named_tensor *bias)
{
    struct bt_arg args[] = {bt_arg_value(x), bt_arg_value(bt_nn_weight(nn, weight)),
                            bt_arg_value(bt_nn_weight(nn, bias))};
    return bt_nn_op(nn, BT_OP_LINEAR, 3, args);
}

bt_value bt_nn_layer_norm(struct bt_nn *nn, bt_value x, const struct bt_named_tensor *weight,
                          const struct bt_named_tensor *bias, double eps)
{
    struct bt_arg args[] = {bt_arg_value(x), bt_arg_int(nn->graph, 1), bt_arg_value(bt_nn_weight(nn, weight)),
                            bt_arg_value(bt_nn_weight(nn, bias)), bt_arg_float(nn->graph, eps)};
    return bt_nn_op(nn, BT_OP_LAYER_NORM, 5, args);
}

struct bt_act_fn {
    const char *name;
    enum bt_op op;
    bool tanh; /* of GELU: the approximation */
};

const struct bt_act_fn *bt_act_fn_find(const char *name)
{
    static const struct bt_act_fn activations[] = {
        {"gelu", BT_OP_GELU, false}, {"gelu_new", BT_OP_GELU, true}, {"gelu_pytorch_tanh", BT_OP_GELU, true},
        {"relu", BT_OP_RELU, false}, {"silu", BT_OP_SILU, false},    {"swish", BT_OP_SILU, false},
        {"tanh", BT_OP_TANH, false},
    };
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++) {
        if (strcmp(activations[i].name, name) == 0) {
            return &activations[i];
        }
    }
    return NULL;
}

bt_value bt_nn_activation(struct bt_nn *nn, const struct bt_act_fn *activation, bt_value x)
{
    struct bt_arg args[] = {bt_arg_value(x), bt_arg_expr(bt_expr_bool(nn->graph->exprs, activation->tanh))};
    return bt_nn_op(nn, activation->op, activation->op == BT_OP_GELU ? 2 : 1, args);
}

bt_value bt_nn_keep_mask(struct bt_nn *nn, bt_value mask)
{
    struct bt_graph *g = nn->graph;
    bt_value keep = bt_nn_op(nn, BT_OP_NE, 2, (struct bt_arg[]){bt_arg_value(mask), bt_arg_int(g, 0)});
    for (int i = 0; i < 2; i++) {
        keep = bt_nn_op(nn, BT_OP_UNSQUEEZE, 2, (struct bt_arg[]){bt_arg_value(keep), bt_arg_int(g, 1)});
    }
    return keep;
}

static bt_value swap_middle(struct bt_nn *nn, bt_value x)
{
    struct bt_exprs *exprs = nn->graph->exprs;
    bt_expr order[] = {bt_expr_int(exprs, 0), bt_expr_int(exprs, 2), bt_expr_int(exprs, 1), bt_expr_int(exprs, 3)};
    return bt_nn_op(nn, BT_OP_PERMUTE, 2, (struct bt_arg[]){bt_arg_value(x), bt_arg_exprs(order, 4)});
}

static bt_value split_heads(struct bt_nn *nn, bt_value x, int64_t heads)
{
    if (nn->status) {
        return BT_NO_VALUE;
    }
    struct bt_exprs *exprs = nn->graph->exprs;
    const struct bt_value_info *info = &nn->graph->values[x];
    bt_expr count = bt_expr_int(exprs, heads);
    bt_expr shape[] = {info->dims[0], info->dims[1], count,
                       bt_expr_binary(exprs, BT_EXPR_FLOOR_DIV, info->dims[2], count)};
    x = bt_nn_op(nn, BT_OP_RESHAPE, 2, (struct bt_arg[]){bt_arg_value(x), bt_arg_exprs(shape, 4)});
    return swap_middle(nn, x);
}

bt_value bt_nn_attention(struct bt_nn *nn, bt_value query, bt_value key, bt_value value, int64_t heads, bt_value mask)
{
    if (nn->status) {
        return BT_NO_VALUE;
    }
    struct bt_arg args[] = {
        bt_arg_value(split_heads(nn, query, heads)),        bt_arg_value(split_heads(nn, key, heads)),
        bt_arg_value(split_heads(nn, value, heads)),        mask == BT_NO_VALUE ? bt_arg_none() : bt_arg_value(mask),
        bt_arg_expr(bt_expr_bool(nn->graph->exprs, false)), bt_arg_none(),
    };
    bt_value context = swap_middle(nn, bt_nn_op(nn, BT_OP_SDPA, 6, args));
    if (nn->status) {
        return BT_NO_VALUE;
    }
    bt_expr shape[3];
    memcpy(shape, nn->graph->values[query].dims, sizeof shape);
    return bt_nn_op(nn, BT_OP_RESHAPE, 2, (struct bt_arg[]){bt_arg_value(context), bt_arg_exprs(shape, 3)});
}
