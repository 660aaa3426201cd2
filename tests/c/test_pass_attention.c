/* test_pass_attention.c: which forms of attention are recognised, and which must stay as they are */
#include <math.h>

#include "base/memory.h"
#include "check.h"
#include "pass_check.h"

static bt_value q, k, v, mask, scores;

#define HEADS_DIMS (bt_expr[]){b, lit(4), s, lit(8)}

static bt_value swap(bt_value value)
{
    return OP(PERMUTE, V(value), LIST(lit(0), lit(1), lit(3), lit(2)));
}

static void begin(void)
{
    graph_start(2, 9);
    q = input("q", BT_F32, 4, HEADS_DIMS);
    k = input("k", BT_F32, 4, HEADS_DIMS);
    v = input("v", BT_F32, 4, HEADS_DIMS);
    mask = input("mask", BT_F32, 4, (bt_expr[]){b, lit(1), lit(1), s});
    scores = OP(MATMUL, V(q), V(swap(k)));
}

static bt_value weighted(bt_value logits)
{
    return OP(MATMUL, V(OP(SOFTMAX, V(logits), I(-1))), V(v));
}

static double scale(void)
{
    struct bt_scalar value = {0};
    bt_expr_is_const(g.exprs, left(BT_OP_SDPA)->args[5].expr, &value);
    return value.f;
}

/* Whether what is left is the attention of q, k and v with this mask (BT_NO_VALUE: none) and scale. */
static bool attends(bt_value expected_mask, double expected_scale)
{
    const struct bt_node *node = left(BT_OP_SDPA);
    if (node->op != BT_OP_SDPA) {
        return false;
    }
    const struct bt_arg *args = node->args;
    bool masked = expected_mask >= 0 ? args[3].kind == BT_ARG_VALUE && args[3].value == expected_mask
                                     : args[3].kind == BT_ARG_NONE;
    int64_t nan_rows = 0;
    return masked && args[0].value == q && args[1].value == k && args[2].value == v &&
           fabs(scale() - expected_scale) < 1e-12 && bt_expr_is_int(g.exprs, args[6].expr, &nan_rows) && nan_rows;
}

static bt_value keep_mask(void)
{
    return input("keep", BT_BOOL, 4, (bt_expr[]){b, lit(1), lit(1), s});
}

static void test_scales(void)
{
    begin();
    CHECK(leaves(weighted(scores), "scaled_dot_product_attention") && attends(BT_NO_VALUE, 1.0));
    finish();

    begin();
    CHECK(leaves(weighted(OP(ADD, V(OP(DIV, V(scores), F(4))), V(mask))), "scaled_dot_product_attention"));
    CHECK(attends(mask, 0.25));
    finish();

    begin(); /* on q, and on both sides of the transposition of k */
    bt_value k2 = OP(MUL, V(swap(OP(MUL, V(k), F(0.5)))), F(0.5));
    scores = OP(MATMUL, V(OP(DIV, V(q), F(2))), V(k2));
    CHECK(leaves(weighted(OP(ADD, V(mask), V(scores))), "scaled_dot_product_attention") && attends(mask, 0.125));
    finish();

    begin(); /* a factor of scores and mask together */
    CHECK(leaves(weighted(OP(MUL, V(OP(ADD, V(scores), V(mask))), F(0.5))), "mul scaled_dot_product_attention"));
    CHECK(scale() == 0.5 && left(BT_OP_MUL)->args[0].value == mask);
    finish();

    begin(); /* a factor that is no number */
    CHECK(leaves(weighted(OP(MUL, V(scores), V(mask))), "permute matmul mul softmax matmul"));
    finish();

    begin(); /* a divisor */
    CHECK(leaves(weighted(OP(DIV, F(2), V(scores))), "permute matmul div softmax matmul"));
    finish();
}

static void test_masks(void)
{
    begin(); /* two terms, one of them subtracted */
    bt_value bias = input("bias", BT_F32, 3, (bt_expr[]){lit(4), s, s});
    CHECK(leaves(weighted(OP(SUB, V(OP(ADD, V(scores), V(bias))), V(mask))), "mul add scaled_dot_product_attention"));
    finish();

    begin();
    CHECK(leaves(weighted(OP(WHERE, V(keep_mask()), V(scores), F(-INFINITY))), "where scaled_dot_product_attention"));
    finish();

    begin(); /* expanded to the scores, as masked_fill wants it */
    bt_value wide = OP(EXPAND, V(keep_mask()), LIST(b, lit(4), s, s));
    CHECK(leaves(weighted(OP(WHERE, V(wide), F(-3.4e38), V(scores))), "where scaled_dot_product_attention"));
    CHECK(is(left(BT_OP_WHERE)->outs[0], "float32[b, 1, 1, s]"));
    finish();

    begin(); /* a condition over the sum with a mask */
    CHECK(leaves(weighted(OP(WHERE, V(keep_mask()), V(OP(ADD, V(scores), V(mask))), F(-1e30))),
                 "where scaled_dot_product_attention"));
    CHECK(left(BT_OP_WHERE)->args[1].value == mask);
    finish();

    begin(); /* filling with -10000 is not adding -10000 */
    CHECK(leaves(weighted(OP(WHERE, V(keep_mask()), V(scores), F(-1e4))), "permute matmul where softmax matmul"));
    finish();

    begin(); /* nor does a high number mask */
    CHECK(leaves(weighted(OP(WHERE, V(keep_mask()), V(scores), F(1e38))), "permute matmul where softmax matmul"));
    finish();

    begin(); /* a mask with more heads than the scores */
    bt_value one = input("one", BT_F32, 4, (bt_expr[]){b, lit(1), s, lit(8)});
    bias = input("bias", BT_F32, 4, (bt_expr[]){b, lit(4), s, s});
    scores = OP(MATMUL, V(one), V(swap(one)));
    CHECK(leaves(weighted(OP(ADD, V(scores), V(bias))), "permute matmul add softmax matmul"));
    finish();

    begin(); /* several layers share one mask */
    bt_value first = weighted(OP(MUL, V(OP(ADD, V(scores), V(mask))), F(0.5)));
    scores = OP(MATMUL, V(first), V(swap(k)));
    CHECK(leaves(weighted(OP(MUL, V(OP(ADD, V(scores), V(mask))), F(0.5))),
                 "mul scaled_dot_product_attention scaled_dot_product_attention"));
    finish();
}

static void test_forms(void)
{
    bt_value weights;

    begin(); /* batch and heads merged for bmm, apart for the mask */
    bt_expr merged = bt_expr_binary(g.exprs, BT_EXPR_MUL, b, lit(4));
    bt_value q3 = OP(RESHAPE, V(q), LIST(merged, s, lit(8))), k3 = OP(RESHAPE, V(k), LIST(merged, s, lit(8)));
    bt_value v3 = OP(RESHAPE, V(v), LIST(merged, s, lit(8)));
    scores = OP(MATMUL, V(q3), V(OP(PERMUTE, V(k3), LIST(lit(0), lit(2), lit(1)))));
    bt_value apart = OP(ADD, V(OP(RESHAPE, V(scores), LIST(b, lit(4), s, s))), V(mask));
    weights = OP(RESHAPE, V(OP(SOFTMAX, V(apart), I(3))), LIST(merged, s, s));
    bt_value out = OP(RESHAPE, V(OP(MATMUL, V(weights), V(v3))), LIST(b, lit(4), s, lit(8)));
    CHECK(leaves(out, "scaled_dot_product_attention") && attends(mask, 1.0));
    finish();

    begin(); /* a reshape that regroups the heads is no such thing */
    scores = OP(RESHAPE, V(scores), LIST(lit(4), b, s, s));
    bt_value v2 = OP(RESHAPE, V(v), LIST(lit(4), b, s, lit(8)));
    weights = OP(SOFTMAX, V(scores), I(3));
    CHECK(leaves(OP(MATMUL, V(weights), V(v2)), "permute matmul reshape softmax reshape matmul"));
    finish();

    begin(); /* half precision with a softmax in float32 */
    scores = OP(MATMUL, V(OP(CAST, V(q), DT(BT_F16))), V(swap(OP(CAST, V(k), DT(BT_F16)))));
    weights = OP(CAST, V(OP(SOFTMAX, V(scores), I(3), DT(BT_F32))), DT(BT_F16));
    CHECK(leaves(OP(MATMUL, V(weights), V(OP(CAST, V(v), DT(BT_F16)))), "to to to scaled_dot_product_attention"));
    finish();

    begin(); /* but not in float64 */
    weights = OP(CAST, V(OP(SOFTMAX, V(scores), I(3), DT(BT_F64))), DT(BT_F32));
    CHECK(leaves(OP(MATMUL, V(weights), V(v)), "permute matmul softmax to matmul"));
    finish();

    begin(); /* one key and value for all heads */
    k = input("k1", BT_F32, 4, (bt_expr[]){b, lit(1), s, lit(8)});
    v = input("v1", BT_F32, 4, (bt_expr[]){b, lit(1), s, lit(8)});
    scores = OP(MATMUL, V(q), V(swap(k)));
    CHECK(leaves(weighted(OP(ADD, V(scores), V(mask))), "scaled_dot_product_attention") && attends(mask, 1.0));
    finish();

    begin(); /* the weights are an output too */
    weights = OP(SOFTMAX, V(scores), I(3));
    CHECK(both_leave(OP(MATMUL, V(weights), V(v)), weights, "permute matmul softmax matmul"));
    finish();

    begin(); /* so are the scores */
    CHECK(both_leave(weighted(OP(ADD, V(scores), V(mask))), scores, "permute matmul add softmax matmul"));
    finish();

    begin(); /* over the queries */
    weights = OP(SOFTMAX, V(scores), I(2));
    CHECK(leaves(OP(MATMUL, V(weights), V(v)), "permute matmul softmax matmul"));
    finish();

    begin(); /* the weights on the right */
    weights = OP(SOFTMAX, V(scores), I(3));
    CHECK(leaves(OP(MATMUL, V(swap(v)), V(weights)), "permute permute matmul softmax matmul"));
    finish();
}

/* Running out of memory at any point is reported, or leaves a graph that is right. */
static void test_memory(void)
{
    bool done = false;
    for (long n = 1; n < 5000 && !done; n++) {
        begin();
        bt_value wide = OP(EXPAND, V(keep_mask()), LIST(b, lit(4), s, s));
        bt_value result = weighted(OP(WHERE, V(wide), F(-3.4e38), V(OP(DIV, V(scores), F(2)))));
        g.output = (struct bt_tree){.kind = BT_TREE_TENSOR, .value = OP(SELECT, V(result), I(2), I(0))};
        bt_alloc_fail_at(n);
        enum bertc_status status = bt_passes_run(&g, &err);
        bt_alloc_fail_at(0);
        CHECK(status == BERTC_OK || status == BERTC_MEMORY);
        done = status == BERTC_OK && left(BT_OP_SDPA)->op == BT_OP_SDPA;
        finish();
    }
    CHECK(done);
}

static void test_all(void)
{
    test_scales();
    test_masks();
    test_forms();
    test_memory();
}

int main(void)
{
    check_group("pass_attention", test_all);
    return check_result();
}
