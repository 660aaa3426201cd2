/* onnx_fused.c: what ONNX Runtime's optimizer makes of a BERT: fused embeddings and attention */
#include <float.h>
#include <string.h>

#include "load/onnx_quant.h"

static struct bt_dyn range(struct bt_onnx_call *o, bt_expr end, enum bt_dtype dtype)
{
    struct bt_call *c = &o->call;
    const struct bt_arg args[] = {bt_arg_int(c->g, 0), bt_arg_expr(end), bt_arg_int(c->g, 1), bt_arg_dtype(dtype)};
    return bt_lower_node(c, BT_OP_ARANGE, 4, args);
}

static struct bt_dyn embedding(struct bt_onnx_call *o, struct bt_dyn table, struct bt_dyn ids)
{
    struct bt_call *c = &o->call;
    const struct bt_arg args[] = {bt_lower_value(c, table), bt_lower_value(c, ids)};
    return bt_lower_node(c, BT_OP_EMBEDDING, 2, args);
}

/* How many entries of each row of the mask are 1: the lengths of right-padded sequences; all 0 without a mask. */
static struct bt_dyn lengths_of(struct bt_onnx_call *o, struct bt_dyn mask, struct bt_dyn ids)
{
    struct bt_call *c = &o->call;
    const int last = 1;
    if (mask.kind == BT_DYN_NONE) {
        const bt_expr size = bt_lower_size(c, ids, 0);
        const struct bt_arg args[] = {bt_arg_exprs(&size, 1), bt_arg_int(c->g, 0), bt_arg_dtype(BT_I32)};
        return bt_lower_node(c, BT_OP_FULL, 3, args);
    }
    struct bt_dyn ones = bt_lower_cast(c, bt_onnx_binary(o, BT_OP_EQ, mask, bt_lower_integer(c, 1)), BT_I32);
    return bt_lower_cast(c, bt_lower_reduce(c, BT_OP_SUM, ones, &last, 1, false), BT_I32);
}

/* The sum of the tables' rows, normalised; tables: words, positions, segments. -> normalised, lengths, sum */
static void embed(struct bt_onnx_call *o, const struct bt_dyn *tables, struct bt_dyn weight, struct bt_dyn bias,
                  struct bt_dyn mask, struct bt_dyn positions)
{
    struct bt_call *c = &o->call;
    struct bt_dyn ids = bt_onnx_tensor(o, 0), segments = bt_onnx_tensor(o, 1);
    if (bt_lower_rank(c, ids) != 2) {
        bt_lower_fail(c, BERTC_INPUT, "the ids have %d dimensions, expected 2", bt_lower_rank(c, ids));
        return;
    }
    if (positions.kind == BT_DYN_NONE) {
        positions = bt_lower_unsqueeze(c, range(o, bt_lower_size(c, ids, 1), BT_I64), 0);
    }
    struct bt_dyn sum = embedding(o, tables[0], ids);
    if (segments.kind != BT_DYN_NONE && tables[2].kind != BT_DYN_NONE) {
        sum = bt_onnx_binary(o, BT_OP_ADD, sum, embedding(o, tables[2], segments));
    }
    sum = bt_onnx_binary(o, BT_OP_ADD, sum, embedding(o, tables[1], positions));
    o->outs[0] = bt_onnx_layer_norm(o, sum, weight, bias, bt_onnx_float(o, "epsilon", 1e-12));
    if (o->out_count > 1) {
        o->outs[1] = lengths_of(o, mask, ids);
    }
    if (o->out_count > 2) {
        o->outs[2] = sum;
    }
}

/* input_ids, segment_ids, word, position and segment tables, gamma, beta, mask, position_ids */
void bt_onnx_op_embed_layer_norm(struct bt_onnx_call *o)
{
    const struct bt_dyn tables[] = {bt_onnx_tensor(o, 2), bt_onnx_tensor(o, 3), bt_onnx_tensor(o, 4)};
    embed(o, tables, bt_onnx_tensor(o, 5), bt_onnx_tensor(o, 6), bt_onnx_tensor(o, 7), bt_onnx_tensor(o, 8));
}

/* The same from bytes: behind the mask five scales, then five zero points, of the tables, gamma and beta. */
void bt_onnx_op_q_embed_layer_norm(struct bt_onnx_call *o)
{
    enum { TABLES = 2, MASK = 7, SCALES = 8, ZEROS = 13 };
    struct bt_dyn real[5];
    for (size_t i = 0; i < 5; i++) {
        struct bt_dyn table = bt_onnx_tensor(o, TABLES + i);
        real[i] = table.kind == BT_DYN_NONE
                      ? table
                      : bt_onnx_dequantized(o, table, bt_onnx_scalar(o, SCALES + i),
                                            bt_onnx_given(o, ZEROS + i) ? bt_onnx_scalar(o, ZEROS + i) : bt_dyn_none());
    }
    embed(o, real, real[3], real[4], bt_onnx_tensor(o, MASK), bt_dyn_none());
}

/* Which keys a mask keeps: [batch, keys], [batch, queries, keys], or the lengths [batch]; to go with the scores. */
static struct bt_dyn kept_keys(struct bt_onnx_call *o, struct bt_dyn mask, struct bt_dyn key)
{
    struct bt_call *c = &o->call;
    const int rank = bt_lower_rank(c, mask);
    const struct bt_dyn zero = bt_lower_integer(c, 0);
    if (rank == 1 && !bt_graph_same(c->g, bt_lower_size(c, mask, 0), bt_lower_size(c, key, 0))) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "a mask of starts and ends is not implemented, only of lengths");
    }
    if (rank == 1) {
        struct bt_dyn positions = range(o, bt_lower_size(c, key, 2), bt_lower_type(c, mask));
        return bt_onnx_binary(o, BT_OP_LT, positions,
                              bt_lower_unsqueeze(c, bt_lower_unsqueeze(c, bt_lower_unsqueeze(c, mask, 1), 2), 3));
    }
    if (rank != 2 && rank != 3) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "a mask of %d dimensions is not implemented", rank);
        return mask;
    }
    struct bt_dyn keep = bt_onnx_binary(o, BT_OP_GT, mask, zero);
    keep = bt_lower_unsqueeze(c, keep, 1);
    return rank == 2 ? bt_lower_unsqueeze(c, keep, 1) : keep;
}

static struct bt_dyn choose(struct bt_onnx_call *o, struct bt_dyn keep, double otherwise)
{
    struct bt_call *c = &o->call;
    const struct bt_dyn operands[] = {keep, bt_lower_real(c, 0), bt_lower_real(c, otherwise)};
    return bt_onnx_apply(o, BT_OP_WHERE, 3, operands);
}

/* What is added to the scores, or None: of the mask, of the bias, and of the order of tokens. */
static struct bt_dyn additive_mask(struct bt_onnx_call *o, struct bt_dyn mask, struct bt_dyn bias, struct bt_dyn query,
                                   struct bt_dyn key)
{
    struct bt_call *c = &o->call;
    struct bt_dyn out = bias;
    if (mask.kind != BT_DYN_NONE) {
        struct bt_dyn filled = choose(o, kept_keys(o, mask, key), bt_onnx_float(o, "mask_filter_value", -10000.0));
        out = bt_onnx_add_bias(o, filled, out);
    }
    if (bt_onnx_int(o, "unidirectional", 0)) {
        struct bt_dyn row = bt_lower_unsqueeze(c, range(o, bt_lower_size(c, query, 2), BT_I64), 1);
        struct bt_dyn column = range(o, bt_lower_size(c, key, 2), BT_I64);
        out = bt_onnx_add_bias(o, choose(o, bt_onnx_binary(o, BT_OP_LE, column, row), -FLT_MAX), out);
    }
    return out;
}

/* query, key and value [batch, length, hidden] */
static void attend(struct bt_onnx_call *o, const struct bt_dyn *qkv, struct bt_dyn mask, struct bt_dyn bias)
{
    struct bt_call *c = &o->call;
    const int64_t heads = bt_onnx_int(o, "num_heads", 0);
    struct bt_dyn parts[3];
    for (int i = 0; i < 3; i++) {
        parts[i] = bt_onnx_split_heads(o, qkv[i], heads);
    }
    bt_onnx_refuse_outputs(o, "of keys and values");
    const double scale = bt_onnx_float(o, "scale", 0.0);
    struct bt_dyn added = c->status == BERTC_OK ? additive_mask(o, mask, bias, parts[0], parts[1]) : bt_dyn_none();
    const struct bt_arg args[] = {bt_lower_value(c, parts[0]),
                                  bt_lower_value(c, parts[1]),
                                  bt_lower_value(c, parts[2]),
                                  bt_lower_value(c, added),
                                  bt_arg_none(),
                                  scale == 0.0 ? bt_arg_none() : bt_arg_float(c->g, scale),
                                  bt_arg_expr(bt_expr_bool(c->x, true))};
    o->outs[0] = bt_onnx_merge_heads(o, bt_lower_node(c, BT_OP_SDPA, 7, args));
}

/* The sizes of query, key and value in the columns of the weight: equal, unless an attribute has them. */
static void split_sizes(struct bt_onnx_call *o, bt_expr columns, bt_expr *sizes)
{
    struct bt_call *c = &o->call;
    const struct bt_onnx_attribute *a = bt_onnx_attribute_of(o, "qkv_hidden_sizes", BT_ONNX_INTS);
    for (int i = 0; i < 3; i++) {
        sizes[i] = a && a->ints.count == 3 ? bt_expr_int(c->x, a->ints.items[i])
                                           : bt_expr_binary(c->x, BT_EXPR_FLOOR_DIV, columns, bt_expr_int(c->x, 3));
    }
}

/* A vector, or the last dimension of a tensor, cut in three. */
static void cut(struct bt_onnx_call *o, struct bt_dyn x, const bt_expr *sizes, struct bt_dyn *out)
{
    struct bt_call *c = &o->call;
    bt_expr start = bt_expr_int(c->x, 0);
    for (int i = 0; i < 3; i++) {
        const bt_expr end = bt_expr_binary(c->x, BT_EXPR_ADD, start, sizes[i]);
        out[i] = x.kind == BT_DYN_NONE ? x : bt_lower_slice(c, x, bt_lower_rank(c, x) - 1, start, end);
        start = end;
    }
}

/* input, weight (in, out) of all three projections, bias, mask, past, bias of the scores, past length */
void bt_onnx_op_attention(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_tensor(o, 0), weight = bt_onnx_tensor(o, 1), weights[3], biases[3], qkv[3];
    bt_expr sizes[3];
    bt_onnx_refuse_input(o, 4, "of past keys");
    if (bt_onnx_int(o, "do_rotary", 0)) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "do_rotary is not implemented");
    }
    if (c->status != BERTC_OK || bt_lower_rank(c, weight) != 2) {
        bt_lower_fail(c, BERTC_FORMAT, "its weight is not a matrix");
        return;
    }
    split_sizes(o, bt_lower_size(c, weight, 1), sizes);
    cut(o, weight, sizes, weights);
    cut(o, bt_onnx_tensor(o, 2), sizes, biases);
    for (int i = 0; i < 3; i++) {
        qkv[i] = bt_onnx_add_bias(o, bt_lower_matmul(c, x, weights[i]), biases[i]);
    }
    attend(o, qkv, bt_onnx_tensor(o, 3), bt_onnx_tensor(o, 5));
}

/* query, key, value, bias of all three, mask of keys, bias of the scores, past key and value */
void bt_onnx_op_multi_head_attention(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn qkv[3] = {bt_onnx_tensor(o, 0), bt_onnx_tensor(o, 1), bt_onnx_tensor(o, 2)}, biases[3];
    bt_expr sizes[3];
    bt_onnx_refuse_input(o, 6, "of past keys");
    if (qkv[1].kind == BT_DYN_NONE || qkv[2].kind == BT_DYN_NONE) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "packed projections are not implemented");
        return;
    }
    for (int i = 0; i < 3; i++) {
        const int rank = bt_lower_rank(c, qkv[i]);
        if (rank != 3) {
            bt_lower_fail(c, BERTC_UNSUPPORTED, "inputs of rank %d are not implemented, only of 3", rank);
            return;
        }
        sizes[i] = bt_lower_size(c, qkv[i], rank - 1);
    }
    cut(o, bt_onnx_tensor(o, 3), sizes, biases);
    for (int i = 0; i < 3; i++) {
        qkv[i] = bt_onnx_add_bias(o, qkv[i], biases[i]);
    }
    attend(o, qkv, bt_onnx_tensor(o, 4), bt_onnx_tensor(o, 5));
}

/* input, weight, bias, scales of input and weight, mask, zero points of input and weight, past */
void bt_onnx_op_q_attention(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn weight = bt_onnx_tensor(o, 1), qkv[3];
    const struct bt_onnx_levels x = {bt_onnx_tensor(o, 0), bt_onnx_scalar(o, 3), bt_onnx_tensor(o, 6)};
    bt_expr sizes[3];
    bt_onnx_refuse_input(o, 8, "of past keys");
    if (c->status != BERTC_OK || bt_lower_rank(c, weight) != 2) {
        bt_lower_fail(c, BERTC_FORMAT, "its weight is not a matrix");
        return;
    }
    split_sizes(o, bt_lower_size(c, weight, 1), sizes);
    cut(o, bt_onnx_integer_product(o, x, weight, bt_onnx_scalar(o, 4), bt_onnx_tensor(o, 7), bt_onnx_tensor(o, 2)),
        sizes, qkv);
    attend(o, qkv, bt_onnx_tensor(o, 5), bt_dyn_none());
}
