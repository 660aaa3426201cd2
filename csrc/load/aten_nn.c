/* aten_nn.c: layers: products, embedding, attention, quantised linear */
#include <float.h>
#include <string.h>

#include "load/lower.h"

struct bt_dyn bt_lower_matmul(struct bt_call *c, struct bt_dyn a, struct bt_dyn b)
{
    return bt_lower_node(c, BT_OP_MATMUL, 2, (struct bt_arg[]){bt_lower_value(c, a), bt_lower_value(c, b)});
}

void bt_aten_matmul(struct bt_call *c)
{
    c->out = bt_lower_matmul(c, c->args[0], c->args[1]);
}

void bt_aten_outer(struct bt_call *c)
{
    c->out = bt_lower_binary(c, BT_OP_MUL, bt_lower_unsqueeze(c, c->args[0], 1), c->args[1]);
}

static bool is_number(struct bt_call *c, struct bt_dyn d, double value)
{
    struct bt_scalar s;
    return bt_expr_is_const(c->x, bt_lower_expr(c, d), &s) && (s.type == BT_SCALAR_FLOAT ? s.f : (double)s.i) == value;
}

/* beta * self + alpha * (mat1 @ mat2) */
void bt_aten_addmm(struct bt_call *c)
{
    struct bt_dyn sum = bt_lower_matmul(c, c->args[1], c->args[2]), self = c->args[0];
    if (!is_number(c, c->args[4], 1)) {
        sum = bt_lower_binary(c, BT_OP_MUL, sum, c->args[4]);
    }
    if (!is_number(c, c->args[3], 1)) {
        self = bt_lower_binary(c, BT_OP_MUL, self, c->args[3]);
    }
    /* with beta 0, NaN in self does not count */
    c->out = is_number(c, c->args[3], 0) ? sum : bt_lower_binary(c, BT_OP_ADD, sum, self);
}

struct bt_dyn bt_lower_linear(struct bt_call *c, struct bt_dyn x, struct bt_dyn weight, struct bt_dyn bias)
{
    const struct bt_arg args[] = {bt_lower_value(c, x), bt_lower_value(c, weight), bt_lower_value(c, bias)};
    return bt_lower_node(c, BT_OP_LINEAR, 3, args);
}

void bt_aten_linear(struct bt_call *c)
{
    c->out = bt_lower_linear(c, c->args[0], c->args[1], c->args[2]);
}

void bt_aten_embedding(struct bt_call *c)
{
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), bt_lower_value(c, c->args[1])};
    c->out = bt_lower_node(c, BT_OP_EMBEDDING, 2, args);
}

/* input, p, train: the archive's own argument decides, not the module's `training` flag */
void bt_aten_dropout(struct bt_call *c)
{
    if (bt_lower_bool(c, c->args[2]) && bt_lower_float(c, c->args[1]) > 0) {
        bt_lower_fail(c, BERTC_UNSUPPORTED,
                      "the archive was traced in training mode (train=True), so its results are "
                      "random: call model.eval() before torch.jit.trace");
    }
    c->out = c->args[0];
}

/* Gives key or value as many heads (dimension -3) as the query has, each repeated for its group of query heads. */
static struct bt_dyn repeat_heads(struct bt_call *c, struct bt_dyn x, bt_expr heads)
{
    bt_expr shape[BT_MAX_RANK + 1];
    int rank = bt_lower_rank(c, x), axis = rank - 2;
    if (rank < 3 || rank == BT_MAX_RANK) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "enable_gqa with a tensor of rank %d", rank);
        return x;
    }
    bt_expr group = bt_expr_binary(c->x, BT_EXPR_FLOOR_DIV, heads, bt_lower_size(c, x, rank - 3));
    x = bt_lower_unsqueeze(c, x, axis);
    rank = bt_lower_shape(c, x, shape);
    if (c->status != BERTC_OK) {
        return x;
    }
    shape[axis] = group;
    x = bt_lower_expand(c, x, shape, rank);
    shape[axis - 1] = heads;
    memmove(shape + axis, shape + axis + 1, (size_t)(rank - axis - 1) * sizeof *shape);
    return bt_lower_reshape(c, x, shape, rank - 1);
}

/* query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa */
void bt_aten_attention(struct bt_call *c)
{
    struct bt_dyn query = c->args[0], key = c->args[1], value = c->args[2];
    if (bt_lower_float(c, c->args[4]) > 0) {
        bt_lower_fail(c, BERTC_UNSUPPORTED,
                      "the archive was traced in training mode (dropout_p > 0), so its results are "
                      "random: call model.eval() before torch.jit.trace");
    }
    if (bt_lower_bool(c, c->args[7]) && bt_lower_rank(c, query) >= 3) {
        bt_expr heads = bt_lower_size(c, query, bt_lower_rank(c, query) - 3);
        key = repeat_heads(c, key, heads);
        value = repeat_heads(c, value, heads);
    }
    const struct bt_arg args[] = {
        bt_lower_value(c, query),        bt_lower_value(c, key),
        bt_lower_value(c, value),        bt_lower_value(c, c->args[3]),
        bt_lower_operand(c, c->args[5]), bt_lower_given(c, 6) ? bt_lower_operand(c, c->args[6]) : bt_arg_none()};
    c->out = bt_lower_node(c, BT_OP_SDPA, 6, args);
}

/* What exporting makes of attention on CPUs, with the sums of its softmax, which nothing reads: query, key, value,
 * dropout_p, is_causal, attn_mask, scale */
void bt_aten_flash_attention(struct bt_call *c)
{
    const struct bt_dyn dropout = c->args[3], causal = c->args[4], mask = c->args[5];
    c->args[3] = mask;
    c->args[4] = dropout;
    c->args[5] = causal;
    c->args[7] = bt_dyn_scalar(bt_expr_bool(c->x, false));
    bt_aten_attention(c);
    c->out = bt_lower_seq(c, BT_DYN_TUPLE, (struct bt_dyn[]){c->out, bt_dyn_none()}, 2);
}

/* The weight and the bias (None or tensors) in the state of packed parameters: (weight, bias), possibly nested. */
static int find_tensors(const struct bt_pickle *p, int depth, const struct bt_pickle **found, int count)
{
    if (p->kind == BT_PICKLE_TENSOR && count < 2) {
        found[count++] = p;
    }
    if (p->kind != BT_PICKLE_TUPLE && p->kind != BT_PICKLE_LIST && p->kind != BT_PICKLE_OBJECT) {
        return count;
    }
    size_t items = p->kind == BT_PICKLE_OBJECT ? p->items != NULL && p->items[0] != NULL : p->size;
    for (size_t i = 0; i < items && depth < 8; i++) {
        count = find_tensors(p->items[i], depth + 1, found, count);
    }
    return count;
}

static struct bt_dyn packed_tensor(struct bt_call *c, const struct bt_pickle *p)
{
    struct bt_dyn out = bt_dyn_none();
    if (c->status == BERTC_OK && p) {
        bt_lower_ok(c, bt_dyn_from_pickle(c->l, p, NULL, &out, c->err));
    }
    return out;
}

/* X, packed parameters, reduce_range; an unquantised weight (the fp16 variant) is that of a plain linear */
void bt_aten_linear_dynamic(struct bt_call *c)
{
    const struct bt_pickle *found[2] = {NULL, NULL};
    if (find_tensors(c->args[1].object, 0, found, 0) == 0) {
        bt_lower_fail(c, BERTC_FORMAT, "the packed parameters hold no weight");
        return;
    }
    struct bt_dyn weight = packed_tensor(c, found[0]), bias = packed_tensor(c, found[1]);
    if (found[0]->tensor.quantized) {
        bool reduce = bt_lower_given(c, 2) && bt_lower_bool(c, c->args[2]);
        bool by_channel = found[0]->size > 0;
        const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), bt_lower_value(c, weight),
                                      by_channel ? bt_arg_none() : bt_lower_value(c, bias),
                                      bt_arg_expr(bt_expr_bool(c->x, reduce))};
        c->out = bt_lower_node(c, BT_OP_LINEAR_DYNAMIC, 4, args);
        if (by_channel) {
            struct bt_dyn scales = bt_lower_cast(c, packed_tensor(c, found[0]->items[0]), BT_F32);
            c->out = bt_lower_binary(c, BT_OP_MUL, c->out, scales);
            c->out = found[1] ? bt_lower_binary(c, BT_OP_ADD, c->out, bias) : c->out;
        }
    } else {
        struct bt_dyn x = c->args[0];
        c->out = bt_lower_linear(c, x, bt_lower_cast(c, weight, bt_lower_type(c, x)), bias);
    }
    if (c->detail == BT_OP_RELU) {
        c->out = bt_lower_unary(c, BT_OP_RELU, c->out);
    }
}
