/* fuse_linear.c: matrix products with a constant weight, and the bias added to them, become linear */
#include "pass/match.h"
#include "pass/pass.h"

static bool is_matrix(const struct bt_graph *g, bt_value value, struct bt_tensor *out)
{
    return bt_match_constant(g, value, out) && out->rank == 2 && !out->quantized;
}

/* The weight in linear's (out, in) form: a transposed view. */
static enum bertc_status linear_weight(struct bt_graph *g, bt_value value, bt_value *out, struct bertc_error *err)
{
    struct bt_tensor tensor;
    *out = BT_NO_VALUE;
    if (!is_matrix(g, value, &tensor)) {
        return BERTC_OK;
    }
    struct bt_tensor turned = tensor;
    turned.dims[0] = tensor.dims[1];
    turned.dims[1] = tensor.dims[0];
    turned.strides[0] = tensor.strides[1];
    turned.strides[1] = tensor.strides[0];
    return bt_graph_constant(g, &turned, g->values[value].name, out, err);
}

static enum bertc_status fuse_matmul(struct bt_graph *g, size_t index, struct bertc_error *err)
{
    const struct bt_arg *args = g->nodes[index].args;
    bt_value weight;
    bool done;
    enum bertc_status status = linear_weight(g, args[1].value, &weight, err);
    if (status || weight < 0) {
        return status;
    }
    const struct bt_arg linear[] = {args[0], bt_arg_value(weight)};
    return bt_match_replace(g, index, BT_OP_LINEAR, linear, 2, &done, err);
}

/* linear without bias + vector -> linear with bias, unless the product is needed on its own as well. */
static enum bertc_status fuse_bias(struct bt_graph *g, size_t index, const int32_t *uses, struct bertc_error *err)
{
    const struct bt_arg *args = g->nodes[index].args;
    bool done = false;
    enum bertc_status status = BERTC_OK;
    for (int i = 0; i < 2 && !done && !status; i++) {
        const struct bt_arg *product = &args[i], *bias = &args[1 - i];
        if (product->kind != BT_ARG_VALUE || bias->kind != BT_ARG_VALUE || g->values[bias->value].rank != 1) {
            continue;
        }
        const struct bt_node *linear = bt_match_op(g, product->value, BT_OP_LINEAR);
        if (!linear || linear->args[2].kind != BT_ARG_NONE || uses[product->value] != 1) {
            continue;
        }
        const struct bt_arg with_bias[] = {linear->args[0], linear->args[1], *bias};
        status = bt_match_replace(g, index, BT_OP_LINEAR, with_bias, 3, &done, err);
    }
    return status;
}

enum bertc_status bt_pass_fuse_linear(struct bt_graph *g, struct bertc_error *err)
{
    int32_t *uses = bt_graph_uses(g);
    if (!uses) {
        return bt_error_memory(err);
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; i < g->node_count && !status; i++) {
        if (g->nodes[i].op == BT_OP_MATMUL) {
            status = fuse_matmul(g, i, err);
        } else if (g->nodes[i].op == BT_OP_ADD) {
            status = fuse_bias(g, i, uses, err);
        }
    }
    bt_free(uses);
    return status;
}
