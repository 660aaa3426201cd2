/* onnx_heads.c: attention and rotary embeddings as ONNX has them since opset 23, over [batch, heads, length, size] */
#include "load/onnx_lower.h"

struct bt_dyn bt_onnx_split_heads(struct bt_onnx_call *o, struct bt_dyn x, int64_t heads)
{
    struct bt_call *c = &o->call;
    bt_expr shape[BT_MAX_RANK];
    if (heads < 1) {
        bt_lower_fail(c, BERTC_FORMAT, "its number of heads is %lld", (long long)heads);
        return x;
    }
    if (bt_lower_shape(c, x, shape) != 3) {
        bt_lower_fail(c, BERTC_UNSUPPORTED,
                      "packed or transposed inputs are not implemented, only [batch, length, hidden]");
        return x;
    }
    shape[3] = bt_expr_binary(c->x, BT_EXPR_FLOOR_DIV, shape[2], bt_expr_int(c->x, heads));
    shape[2] = bt_expr_int(c->x, heads);
    return bt_lower_permute(c, bt_lower_reshape(c, x, shape, 4), (const int[]){0, 2, 1, 3}, 4);
}

struct bt_dyn bt_onnx_merge_heads(struct bt_onnx_call *o, struct bt_dyn x)
{
    struct bt_call *c = &o->call;
    bt_expr shape[BT_MAX_RANK];
    x = bt_lower_permute(c, x, (const int[]){0, 2, 1, 3}, 4);
    if (bt_lower_shape(c, x, shape) == 4) {
        shape[2] = bt_expr_binary(c->x, BT_EXPR_MUL, shape[2], shape[3]);
    }
    return bt_lower_reshape(c, x, shape, 3);
}

/* Inputs of rank 3 have their heads in the last dimension, and say how many. */
static struct bt_dyn with_heads(struct bt_onnx_call *o, size_t i, const char *heads)
{
    struct bt_dyn x = bt_onnx_tensor(o, i);
    return bt_lower_rank(&o->call, x) == 4 ? x : bt_onnx_split_heads(o, x, bt_onnx_int(o, heads, 0));
}

/* Q, K, V, what is added to the scores or which of them are kept, past keys and values, lengths */
void bt_onnx_op_attention_23(struct bt_onnx_call *o)
{
    enum { DROPOUT = 4, CAUSAL, SCALE, GROUPS };
    struct bt_call *c = &o->call;
    bt_onnx_refuse_input(o, 4, "of past keys");
    bt_onnx_refuse_input(o, 6, "of lengths");
    bt_onnx_refuse_outputs(o, "of keys or scores");
    if (bt_onnx_float(o, "softcap", 0) != 0.0 || bt_onnx_int(o, "left_window_size", -1) != -1 ||
        bt_onnx_int(o, "right_window_size", -1) != -1) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "softcap and windows are not implemented");
    }
    const bool merged = bt_lower_rank(c, bt_onnx_tensor(o, 0)) == 3;
    const double scale = bt_onnx_float(o, "scale", 0);
    c->args[0] = with_heads(o, 0, "q_num_heads");
    c->args[1] = with_heads(o, 1, "kv_num_heads");
    c->args[2] = with_heads(o, 2, "kv_num_heads");
    c->args[3] = bt_onnx_tensor(o, 3);
    c->args[DROPOUT] = bt_lower_real(c, 0);
    c->args[CAUSAL] = bt_dyn_scalar(bt_expr_bool(c->x, bt_onnx_int(o, "is_causal", 0) != 0));
    c->args[SCALE] = scale == 0.0 ? bt_dyn_none() : bt_lower_real(c, scale);
    c->args[GROUPS] = bt_dyn_scalar(bt_expr_bool(c->x, true));
    if (c->status == BERTC_OK) {
        bt_aten_attention(c);
        o->outs[0] = merged ? bt_onnx_merge_heads(o, c->out) : c->out;
    }
}

/* The two halves of the last dimension, or its even and its odd items. */
static void halves(struct bt_onnx_call *o, struct bt_dyn x, bt_expr half, bool interleaved, struct bt_dyn *out)
{
    struct bt_call *c = &o->call;
    bt_expr shape[BT_MAX_RANK];
    const int rank = bt_lower_shape(c, x, shape);
    if (interleaved && c->status == BERTC_OK) {
        shape[rank - 1] = half;
        shape[rank] = bt_expr_int(c->x, 2);
        x = bt_lower_reshape(c, x, shape, rank + 1);
    }
    for (int i = 0; i < 2; i++) {
        const bt_expr start = i ? half : bt_expr_int(c->x, 0);
        const bt_expr end = i ? bt_expr_int(c->x, INT64_MAX) : half;
        out[i] = interleaved ? bt_lower_select(c, x, rank, bt_expr_int(c->x, i))
                             : bt_lower_slice(c, x, rank - 1, start, end);
    }
}

static struct bt_dyn join(struct bt_onnx_call *o, struct bt_dyn a, struct bt_dyn b, int dim)
{
    struct bt_call *c = &o->call;
    return bt_lower_cat(c, bt_lower_seq(c, BT_DYN_LIST, (struct bt_dyn[]){a, b}, 2), dim);
}

/* The pairs of x turned by their angles: (a, b) to (a cos - b sin, a sin + b cos). */
static struct bt_dyn turned(struct bt_onnx_call *o, struct bt_dyn x, struct bt_dyn cos, struct bt_dyn sin, bt_expr half)
{
    enum { LAST = 3 };
    struct bt_call *c = &o->call;
    const bool interleaved = bt_onnx_int(o, "interleaved", 0) != 0;
    struct bt_dyn part[2], out[2];
    bt_expr shape[BT_MAX_RANK];
    bt_lower_shape(c, x, shape);
    halves(o, x, half, interleaved, part);
    out[0] = bt_onnx_binary(o, BT_OP_SUB, bt_onnx_binary(o, BT_OP_MUL, part[0], cos),
                            bt_onnx_binary(o, BT_OP_MUL, part[1], sin));
    out[1] = bt_onnx_binary(o, BT_OP_ADD, bt_onnx_binary(o, BT_OP_MUL, part[0], sin),
                            bt_onnx_binary(o, BT_OP_MUL, part[1], cos));
    if (!interleaved) {
        return join(o, out[0], out[1], LAST);
    }
    struct bt_dyn pairs =
        join(o, bt_lower_unsqueeze(c, out[0], LAST + 1), bt_lower_unsqueeze(c, out[1], LAST + 1), LAST + 1);
    return bt_lower_reshape(c, pairs, shape, LAST + 1);
}

/* The cosines or sines of each token, for all heads: from a table by positions, where these are given. */
static struct bt_dyn angles(struct bt_onnx_call *o, size_t i)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_tensor(o, i);
    if (bt_onnx_given(o, 3)) {
        const struct bt_arg args[] = {bt_lower_value(c, x), bt_lower_value(c, bt_onnx_tensor(o, 3))};
        x = bt_lower_node(c, BT_OP_EMBEDDING, 2, args);
    }
    return bt_lower_unsqueeze(c, x, 1);
}

/* X, cosines, sines, positions; dimensions behind the first `rotary_embedding_dim` stay as they are */
void bt_onnx_op_rotary_embedding(struct bt_onnx_call *o)
{
    enum { LAST = 3 };
    struct bt_call *c = &o->call;
    const bool merged = bt_lower_rank(c, bt_onnx_tensor(o, 0)) == 3;
    const int64_t part = bt_onnx_int(o, "rotary_embedding_dim", 0);
    struct bt_dyn x = with_heads(o, 0, "num_heads"), cos = angles(o, 1), sin = angles(o, 2), rest = bt_dyn_none();
    if (c->status != BERTC_OK) {
        return;
    }
    if (part != 0) {
        rest = bt_lower_slice(c, x, LAST, bt_expr_int(c->x, part), bt_expr_int(c->x, INT64_MAX));
        x = bt_lower_slice(c, x, LAST, bt_expr_int(c->x, 0), bt_expr_int(c->x, part));
    }
    const bt_expr half = bt_lower_size(c, cos, bt_lower_rank(c, cos) - 1);
    x = turned(o, x, cos, sin, half);
    x = part != 0 ? join(o, x, rest, LAST) : x;
    o->outs[0] = merged ? bt_onnx_merge_heads(o, x) : x;
}
