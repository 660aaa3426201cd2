/* aten_transformer.c: the fused layers that nn.MultiheadAttention and nn.TransformerEncoderLayer call in inference
 * A nested tensor, whose items have lengths of their own, is kept as the padded tensor and the mask of what exists. */
#include <math.h>

#include "load/lower.h"

struct attention {
    struct bt_dyn in_weight, in_bias, out_weight, out_bias;
    struct bt_dyn mask; /* true (or not 0) where a key is left out; None: nowhere */
    struct bt_dyn type; /* 0: the mask is (query, key), 1: (batch, key), else of the scores' shape */
    bt_expr width, heads;
};

/* x times a third of in_weight, as (batch, head, position, channel). */
static struct bt_dyn project(struct bt_call *c, const struct attention *a, struct bt_dyn x, int third)
{
    bt_expr start = bt_expr_binary(c->x, BT_EXPR_MUL, a->width, bt_expr_int(c->x, third));
    bt_expr end = bt_expr_binary(c->x, BT_EXPR_ADD, start, a->width);
    bt_expr shape[BT_MAX_RANK];
    x = bt_lower_linear(c, x, bt_lower_slice(c, a->in_weight, 0, start, end),
                        bt_lower_slice(c, a->in_bias, 0, start, end));
    if (bt_lower_shape(c, x, shape) != 3) {
        bt_lower_fail(c, BERTC_INPUT, "the query, key or value is not of rank 3");
        return x;
    }
    shape[2] = a->heads;
    shape[3] = bt_lower_checked(c, bt_expr_binary(c->x, BT_EXPR_FLOOR_DIV, a->width, a->heads));
    return bt_lower_permute(c, bt_lower_reshape(c, x, shape, 4), (const int[]){0, 2, 1, 3}, 4);
}

/* Broadcastable to (batch, head, query, key). */
static struct bt_dyn score_mask(struct bt_call *c, const struct attention *a)
{
    struct bt_dyn mask = bt_lower_cast(c, a->mask, BT_BOOL);
    if (a->type.kind != BT_DYN_NONE && bt_lower_int(c, a->type) == 1) {
        mask = bt_lower_unsqueeze(c, bt_lower_unsqueeze(c, mask, 1), 1);
    }
    return mask;
}

/* A query with every key left out gives NaN, as there. */
static struct bt_dyn attend(struct bt_call *c, const struct attention *a, const struct bt_dyn *inputs,
                            struct bt_dyn *probabilities)
{
    struct bt_dyn query = project(c, a, inputs[0], 0), key = project(c, a, inputs[1], 1);
    struct bt_dyn value = project(c, a, inputs[2], 2);
    if (c->status != BERTC_OK) {
        return query;
    }
    bt_expr size = bt_expr_unary(c->x, BT_EXPR_SQRT, bt_lower_size(c, query, 3));
    struct bt_dyn scale = bt_dyn_scalar(bt_expr_binary(c->x, BT_EXPR_DIV, bt_expr_int(c->x, 1), size));
    struct bt_dyn scores = bt_lower_matmul(c, query, bt_lower_permute(c, key, (const int[]){0, 1, 3, 2}, 4));
    scores = bt_lower_binary(c, BT_OP_MUL, scores, scale);
    if (a->mask.kind != BT_DYN_NONE) {
        const struct bt_dyn choice[] = {score_mask(c, a), bt_lower_real(c, -INFINITY), scores};
        scores = bt_lower_apply(c, BT_OP_WHERE, 3, choice);
    }
    const struct bt_arg softmax[] = {bt_lower_value(c, scores), bt_arg_int(c->g, -1)};
    *probabilities = bt_lower_node(c, BT_OP_SOFTMAX, 2, softmax);
    struct bt_dyn x = bt_lower_permute(c, bt_lower_matmul(c, *probabilities, value), (const int[]){0, 2, 1, 3}, 4);
    bt_expr shape[BT_MAX_RANK];
    bt_lower_shape(c, x, shape);
    shape[2] = a->width;
    return bt_lower_linear(c, bt_lower_reshape(c, x, shape, 3), a->out_weight, a->out_bias);
}

/* A nested input brings its own mask. */
static void mask_by_nesting(struct bt_call *c, struct attention *a, struct bt_dyn x)
{
    if (c->status == BERTC_OK && x.tensor->kept) {
        a->mask = bt_lower_unary(c, BT_OP_LOGICAL_NOT, bt_dyn_tensor(x.tensor->kept));
        a->type = bt_lower_integer(c, 1);
    }
}

static struct bt_dyn nested_like(struct bt_call *c, struct bt_dyn x, struct bt_dyn like)
{
    if (c->status == BERTC_OK) {
        x.tensor->kept = like.tensor->kept;
    }
    return x;
}

/* query, key, value, embed_dim, num_head, qkv_weight, qkv_bias, proj_weight, proj_bias, mask, need_weights,
 * average_attn_weights, mask_type */
void bt_aten_native_attention(struct bt_call *c)
{
    struct attention a = {.in_weight = c->args[5],
                          .in_bias = c->args[6],
                          .out_weight = c->args[7],
                          .out_bias = c->args[8],
                          .mask = c->args[9],
                          .type = c->args[12],
                          .width = bt_lower_expr(c, c->args[3]),
                          .heads = bt_lower_expr(c, c->args[4])};
    mask_by_nesting(c, &a, c->args[0]);
    struct bt_dyn results[] = {bt_dyn_none(), bt_dyn_none()}, probabilities;
    results[0] = nested_like(c, attend(c, &a, c->args, &probabilities), c->args[0]);
    if (bt_lower_bool(c, c->args[10])) {
        bool average = bt_lower_bool(c, c->args[11]);
        results[1] =
            average ? bt_lower_reduce(c, BT_OP_MEAN, probabilities, (const int[]){1}, 1, false) : probabilities;
    }
    c->out = bt_lower_seq(c, BT_DYN_TUPLE, results, 2);
}

static struct bt_dyn normalize(struct bt_call *c, struct bt_dyn x, int weight, struct bt_dyn eps)
{
    const struct bt_arg args[] = {bt_lower_value(c, x), bt_arg_int(c->g, 1), bt_lower_value(c, c->args[weight]),
                                  bt_lower_value(c, c->args[weight + 1]), bt_lower_operand(c, eps)};
    return bt_lower_node(c, BT_OP_LAYER_NORM, 5, args);
}

/* src, embed_dim, num_heads, qkv_weight, qkv_bias, proj_weight, proj_bias, use_gelu, norm_first, eps, norm_weight_1,
 * norm_bias_1, norm_weight_2, norm_bias_2, ffn_weight_1, ffn_bias_1, ffn_weight_2, ffn_bias_2, mask, mask_type */
void bt_aten_encoder_layer(struct bt_call *c)
{
    struct attention a = {.in_weight = c->args[3],
                          .in_bias = c->args[4],
                          .out_weight = c->args[5],
                          .out_bias = c->args[6],
                          .mask = c->args[18],
                          .type = c->args[19],
                          .width = bt_lower_expr(c, c->args[1]),
                          .heads = bt_lower_expr(c, c->args[2])};
    struct bt_dyn x = c->args[0], eps = c->args[9], probabilities;
    bool gelu = bt_lower_bool(c, c->args[7]), norm_first = bt_lower_bool(c, c->args[8]);
    mask_by_nesting(c, &a, x);
    struct bt_dyn normed = norm_first ? normalize(c, x, 10, eps) : x;
    x = bt_lower_binary(c, BT_OP_ADD, x, attend(c, &a, (struct bt_dyn[]){normed, normed, normed}, &probabilities));
    normed = norm_first ? normalize(c, x, 12, eps) : normalize(c, x, 10, eps);
    struct bt_dyn inner = bt_lower_linear(c, normed, c->args[14], c->args[15]);
    inner = bt_lower_unary(c, gelu ? BT_OP_GELU : BT_OP_RELU, inner);
    inner = bt_lower_linear(c, inner, c->args[16], c->args[17]);
    x = bt_lower_binary(c, BT_OP_ADD, norm_first ? x : normed, inner);
    c->out = nested_like(c, norm_first ? x : normalize(c, x, 12, eps), c->args[0]);
}

/* t, mask, mask_check: each item keeps its first positions, as many as its mask has true values */
void bt_aten_nest(struct bt_call *c)
{
    struct bt_dyn mask = c->args[1];
    const int last = bt_lower_rank(c, mask) - 1;
    if (last != 1) {
        bt_lower_fail(c, BERTC_INPUT, "the mask is not of rank 2");
        return;
    }
    const struct bt_arg range[] = {bt_arg_int(c->g, 0), bt_arg_expr(bt_lower_size(c, mask, last)), bt_arg_int(c->g, 1),
                                   bt_arg_dtype(BT_I64)};
    struct bt_dyn length = bt_lower_reduce(c, BT_OP_SUM, bt_lower_cast(c, mask, BT_BOOL), &last, 1, true);
    struct bt_dyn kept = bt_lower_binary(c, BT_OP_LT, bt_lower_node(c, BT_OP_ARANGE, 4, range), length);
    c->out = bt_lower_tensor(c, bt_lower_value(c, c->args[0]).value);
    if (c->status == BERTC_OK) {
        c->out.tensor->kept = kept.tensor;
    }
}

/* self, padding, output_size */
void bt_aten_unnest(struct bt_call *c)
{
    struct bt_var *kept = c->args[0].tensor->kept;
    bt_expr asked[BT_MAX_RANK], sizes[BT_MAX_RANK];
    int rank = bt_lower_shape(c, c->args[0], sizes), count = bt_lower_list(c, c->args[2], asked, BT_MAX_RANK);
    bool same = kept && count == rank;
    for (int i = 0; i < count && same; i++) {
        same = bt_graph_same(c->g, sizes[i], asked[i]);
    }
    if (!same) {
        bt_lower_fail(c, BERTC_UNSUPPORTED,
                      "nested tensors are implemented only for nn.TransformerEncoder and its "
                      "padding mask; make it with enable_nested_tensor=False");
        return;
    }
    struct bt_dyn there = bt_lower_unsqueeze(c, bt_dyn_tensor(kept), 2);
    c->out = bt_lower_apply(c, BT_OP_WHERE, 3, (struct bt_dyn[]){there, c->args[0], c->args[1]});
}

void bt_aten_refuse_nested(struct bt_call *c)
{
    bt_lower_fail(c, BERTC_UNSUPPORTED,
                  "whether tensors are nested depends on tensor data: make nn.TransformerEncoder with "
                  "enable_nested_tensor=False, or trace it instead of scripting it");
}
