/* test_pass_simplify.c: simplification, epilogues of linear and selected rows, with what must stay */
#include "check.h"
#include "pass/match.h"
#include "pass_check.h"

static bt_value x, ids, weight, wide, vector;

static void begin(void)
{
    graph_start(2, 9);
    x = input("x", BT_F32, 3, (bt_expr[]){b, s, lit(8)});
    ids = input("ids", BT_I64, 2, (bt_expr[]){b, s});
    weight = constant("weight", BT_F32, 2, (int64_t[]){8, 8});
    wide = constant("wide", BT_F32, 2, (int64_t[]){16, 8});
    vector = constant("vector", BT_F32, 1, (int64_t[]){8});
}

static bt_value count(bt_expr end)
{
    return OP(ARANGE, I(0), E(end), I(1), DT(BT_I64));
}

static bt_value truth(void)
{
    return OP(FULL, LIST(b, s), E(bt_expr_bool(g.exprs, true)), DT(BT_BOOL));
}

static void test_algebra(void)
{
    begin();
    bt_value same = OP(DIV, V(OP(MUL, F(1), V(OP(SUB, V(OP(ADD, V(x), I(0))), F(0))))), F(1));
    CHECK(leaves(OP(NEG, V(same)), "neg") && g.nodes[0].args[0].value == x);
    finish();

    begin(); /* 0 - x and 1 / x are something else */
    CHECK(leaves(OP(SUB, F(0), V(OP(DIV, F(1), V(x)))), "div sub"));
    finish();

    begin(); /* int64 ids / 1 are floats */
    CHECK(leaves(OP(DIV, V(ids), I(1)), "div"));
    finish();

    begin();
    bt_value flag = OP(NE, V(ids), I(2));
    CHECK(leaves(OP(BITWISE_AND, V(truth()), V(OP(LOGICAL_NOT, V(OP(BITWISE_NOT, V(flag)))))), "ne"));
    finish();

    begin(); /* what is not zero is true */
    CHECK(leaves(OP(NE, V(ids), I(0)), "to"));
    finish();

    begin(); /* & 1 keeps one bit of an integer */
    CHECK(leaves(OP(BITWISE_AND, V(ids), I(1)), "bitwise_and"));
    finish();

    begin();
    CHECK(leaves(OP(CAST, V(OP(CAST, V(OP(NE, V(ids), I(2))), DT(BT_F32))), DT(BT_I64)), "ne to"));
    finish();

    begin(); /* a cast that rounds */
    CHECK(leaves(OP(CAST, V(OP(CAST, V(x), DT(BT_I64))), DT(BT_F32)), "to to"));
    finish();

    begin(); /* the mask that nobody gave: (1 - ones) * -10000 is added */
    bt_value ones = OP(FULL, LIST(b, s), I(1), DT(BT_I64));
    bt_value bias = OP(MUL, V(OP(SUB, F(1), V(OP(CAST, V(OP(UNSQUEEZE, V(ones), I(2))), DT(BT_F32))))), F(-1e4));
    CHECK(leaves(OP(NEG, V(OP(ADD, V(x), V(bias)))), "neg"));
    finish();

    begin();
    CHECK(leaves(OP(NEG, V(OP(WHERE, V(OP(UNSQUEEZE, V(truth()), I(2))), V(x), F(0)))), "neg"));
    finish();
}

static void test_ranges(void)
{
    begin(); /* positions are never negative */
    bt_value row = OP(UNSQUEEZE, V(OP(ADD, V(count(s)), I(3))), I(0));
    bt_value flag = OP(NE, V(ids), I(2));
    CHECK(leaves(OP(BITWISE_AND, V(flag), V(OP(GE, V(row), I(0)))), "ne"));
    finish();

    begin(); /* but may be below 4 */
    row = OP(UNSQUEEZE, V(OP(ADD, V(count(s)), I(3))), I(0));
    flag = OP(NE, V(ids), I(2));
    CHECK(leaves(OP(BITWISE_AND, V(flag), V(OP(GE, V(row), I(4)))), "ne arange add unsqueeze ge bitwise_and"));
    finish();

    begin(); /* every element, in order */
    bt_value down = OP(RESHAPE, V(count(b)), LIST(b, lit(1), lit(1), lit(1)));
    bt_value across = OP(RESHAPE, V(count(s)), LIST(lit(1), lit(1), lit(1), s));
    CHECK(leaves(OP(INDEX, V(ids), VALUES(down, across)), "reshape"));
    CHECK(is(g.output.value, "int64[b, 1, 1, s]"));
    finish();

    begin(); /* transposed */
    down = OP(RESHAPE, V(count(b)), LIST(lit(1), b));
    across = OP(RESHAPE, V(count(s)), LIST(s, lit(1)));
    CHECK(leaves(OP(INDEX, V(ids), VALUES(down, across)), "arange reshape arange reshape index"));
    finish();

    begin(); /* one type for all tokens: the row of a table is added */
    bt_value zeros = OP(FULL, LIST(b, s), I(0), DT(BT_I64));
    CHECK(leaves(OP(ADD, V(x), V(OP(EMBEDDING, V(weight), V(zeros)))), "add"));
    finish();

    begin(); /* a row that is not there stays an error of the run */
    zeros = OP(FULL, LIST(b, s), I(8), DT(BT_I64));
    CHECK(leaves(OP(ADD, V(x), V(OP(EMBEDDING, V(weight), V(zeros)))), "full embedding add"));
    finish();
}

static void test_views(void)
{
    begin();
    bt_value view = OP(UNSQUEEZE, V(OP(UNSQUEEZE, V(ids), I(1))), I(2));
    CHECK(leaves(OP(NEG, V(view)), "reshape neg"));
    finish();

    begin();
    bt_value turned = OP(PERMUTE, V(x), LIST(lit(2), lit(0), lit(1)));
    CHECK(leaves(OP(NEG, V(OP(PERMUTE, V(turned), LIST(lit(1), lit(2), lit(0))))), "neg"));
    finish();

    begin(); /* work before the expansion, and none when something else has the shape */
    bt_value row = input("row", BT_F32, 3, (bt_expr[]){b, lit(1), lit(8)});
    bt_value grown = OP(EXPAND, V(row), LIST(b, s, lit(8)));
    CHECK(leaves(OP(NEG, V(OP(EXP, V(grown)))), "exp neg expand"));
    finish();
    begin();
    row = input("row", BT_F32, 3, (bt_expr[]){b, lit(1), lit(8)});
    grown = OP(EXPAND, V(row), LIST(b, s, lit(8)));
    CHECK(leaves(OP(MUL, V(x), V(OP(EXP, V(grown)))), "exp mul"));
    finish();

    begin(); /* a product of flattened rows */
    bt_expr rows = bt_expr_binary(g.exprs, BT_EXPR_MUL, b, s);
    bt_value product = OP(MATMUL, V(OP(RESHAPE, V(x), LIST(rows, lit(8)))), V(weight));
    CHECK(leaves(OP(RESHAPE, V(product), LIST(b, s, lit(8))), "linear"));
    finish();
}

static void test_epilogue(void)
{
    begin();
    bt_value up = OP(GELU, V(OP(LINEAR, V(x), V(weight), V(vector))), E(bt_expr_bool(g.exprs, true)));
    CHECK(leaves(OP(ADD, V(x), V(OP(LINEAR, V(up), V(weight)))), "linear linear"));
    CHECK(g.nodes[0].args[4].activation == BT_ACT_GELU_TANH && g.nodes[0].args[3].kind == BT_ARG_NONE);
    CHECK(g.nodes[1].args[4].kind == BT_ARG_NONE && g.nodes[1].args[3].value == x);
    finish();

    begin(); /* first the activation, then the sum */
    CHECK(leaves(OP(ADD, V(OP(RELU, V(OP(LINEAR, V(x), V(weight))))), V(x)), "linear"));
    CHECK(g.nodes[0].args[4].activation == BT_ACT_RELU && g.nodes[0].args[3].value == x);
    finish();

    begin(); /* not the other way round */
    CHECK(leaves(OP(RELU, V(OP(ADD, V(OP(LINEAR, V(x), V(weight))), V(x)))), "linear relu"));
    finish();

    begin(); /* the result is needed without the activation as well */
    bt_value product = OP(LINEAR, V(x), V(weight));
    CHECK(leaves(OP(MUL, V(OP(TANH, V(product))), V(product)), "linear tanh mul"));
    finish();

    begin(); /* a sum that is broadcast */
    bt_value row = input("row", BT_F32, 3, (bt_expr[]){b, lit(1), lit(8)});
    CHECK(leaves(OP(ADD, V(OP(LINEAR, V(x), V(weight))), V(row)), "linear add"));
    finish();

    begin(); /* twice the product */
    product = OP(LINEAR, V(x), V(weight));
    CHECK(leaves(OP(ADD, V(product), V(product)), "linear add"));
    finish();
}

static bt_value layer(bt_value h)
{
    return OP(LAYER_NORM, V(OP(ADD, V(OP(LINEAR, V(h), V(weight))), V(h))), I(1), V(vector));
}

static void test_rows(void)
{
    begin();
    CHECK(leaves(OP(SELECT, V(layer(layer(x))), I(1), I(0)), "slice linear layer_norm linear layer_norm select"));
    CHECK(is(left(BT_OP_LINEAR)->outs[0], "float32[b, 1, 8]"));
    finish();

    begin(); /* the same row twice, once as a slice */
    bt_value h = layer(x);
    bt_value row = OP(SLICE, V(h), I(1), I(0), I(1), I(1));
    CHECK(both_leave(OP(SELECT, V(h), I(1), I(0)), row, "slice linear layer_norm select"));
    finish();

    begin(); /* different rows */
    h = layer(x);
    CHECK(both_leave(OP(SELECT, V(h), I(1), I(0)), OP(SELECT, V(h), I(1), I(1)), "linear layer_norm select select"));
    finish();

    begin(); /* all of it is an output */
    h = layer(x);
    CHECK(both_leave(h, OP(SELECT, V(h), I(1), I(0)), "linear layer_norm select"));
    finish();

    begin(); /* a column */
    CHECK(leaves(OP(SELECT, V(layer(x)), I(2), I(0)), "linear layer_norm select"));
    finish();

    begin(); /* the last token; a sum over tokens needs all of them */
    bt_expr last = bt_expr_binary(g.exprs, BT_EXPR_SUB, s, lit(1));
    CHECK(leaves(OP(SELECT, V(layer(OP(CUMSUM, V(x), I(1)))), I(1), E(last)), "cumsum slice linear layer_norm select"));
    finish();

    begin(); /* the query of an attention, not its keys */
    bt_value heads = OP(PERMUTE, V(OP(RESHAPE, V(OP(LINEAR, V(x), V(wide))), LIST(b, s, lit(2), lit(8)))),
                        LIST(lit(0), lit(2), lit(1), lit(3)));
    bt_value q = OP(NEG, V(heads));
    bt_value out = OP(PERMUTE, V(OP(SDPA, V(q), V(heads), V(heads))), LIST(lit(0), lit(2), lit(1), lit(3)));
    out = OP(RESHAPE, V(out), LIST(b, s, lit(16)));
    CHECK(leaves(OP(SELECT, V(out), I(1), I(0)),
                 "linear reshape permute slice neg scaled_dot_product_attention permute reshape select"));
    CHECK(is(left(BT_OP_SDPA)->outs[0], "float32[b, 2, 1, 8]"));
    finish();

    begin(); /* a causal one depends on the query's place */
    heads = OP(RESHAPE, V(x), LIST(b, lit(1), s, lit(8)));
    out = OP(SDPA, V(OP(NEG, V(heads))), V(heads), V(heads), NONE, E(bt_expr_bool(g.exprs, true)));
    CHECK(leaves(OP(SELECT, V(out), I(2), I(0)), "reshape neg scaled_dot_product_attention select"));
    CHECK(is(left(BT_OP_SDPA)->outs[0], "float32[b, 1, s, 8]"));
    finish();
}

static void test_constants(void)
{
    begin(); /* views of a constant are constants */
    bt_value row = OP(SELECT, V(OP(SLICE, V(wide), I(0), I(2), I(12), I(3))), I(0), I(1));
    CHECK(leaves(OP(ADD, V(x), V(row)), "add"));
    const struct bt_tensor *view = &g.constants[g.values[g.nodes[0].args[1].value].index].tensor;
    struct bt_tensor file = {0};
    CHECK(bt_match_constant(&g, wide, &file) && (const float *)view->data == (const float *)file.data + 5 * 8);
    CHECK(view->rank == 1 && view->dims[0] == 8 && view->strides[0] == 1);
    finish();

    begin(); /* dims that are not one in memory cannot be merged */
    bt_value turned = OP(RESHAPE, V(OP(PERMUTE, V(wide), LIST(lit(1), lit(0)))), LIST(lit(16), lit(8)));
    CHECK(leaves(OP(MATMUL, V(turned), V(weight)), "reshape linear"));
    finish();

    begin(); /* but split */
    bt_value split = OP(RESHAPE, V(OP(PERMUTE, V(wide), LIST(lit(1), lit(0)))), LIST(lit(2), lit(4), lit(16)));
    CHECK(leaves(OP(NEG, V(split)), "neg"));
    view = &g.constants[g.values[g.nodes[0].args[0].value].index].tensor;
    CHECK(view->strides[0] == 4 && view->strides[1] == 1 && view->strides[2] == 8);
    finish();

    begin(); /* what depends on the input stays a view */
    CHECK(leaves(OP(ADD, V(x), V(OP(SLICE, V(wide), I(0), I(0), E(s), I(1)))), "slice add"));
    finish();
}

static void test_index(void)
{
    begin(); /* rows in order are a slice */
    bt_value ahead = OP(SLICE, V(x), I(1), I(0), E(s), I(1));
    CHECK(leaves(OP(NEG, V(OP(INDEX, V(ahead), VALUES(BT_NO_VALUE, count(s))))), "neg"));
    finish();

    begin(); /* as far as the call has them: that is a guard */
    CHECK(leaves(OP(INDEX, V(x), VALUES(BT_NO_VALUE, OP(ARANGE, I(1), I(6), I(2), DT(BT_I64)))), "slice"));
    CHECK(is(g.output.value, "float32[b, 3, 8]") && g.guard_count > 0);
    finish();

    begin(); /* beyond them it stays an error of the run */
    CHECK(leaves(OP(INDEX, V(x), VALUES(BT_NO_VALUE, OP(ARANGE, I(1), I(60), I(2), DT(BT_I64)))), "arange index"));
    finish();

    begin(); /* one row, counted from the end */
    bt_value last = OP(FULL, LIST(lit(1)), I(-2), DT(BT_I64));
    CHECK(leaves(OP(INDEX, V(x), VALUES(BT_NO_VALUE, BT_NO_VALUE, last)), "slice"));
    int64_t start = 0;
    CHECK(bt_expr_is_int(g.exprs, g.nodes[0].args[2].expr, &start) && start == 6);
    finish();

    begin(); /* two indices belong together */
    CHECK(leaves(OP(INDEX, V(x), VALUES(count(b), OP(FULL, LIST(b), I(0), DT(BT_I64)))), "arange full index"));
    finish();

    begin(); /* padding by nothing */
    bt_value pads = OP(PAD, V(x), LIST(lit(0), lit(0), lit(0), lit(1), lit(0), lit(0)), F(0));
    CHECK(leaves(pads, "constant_pad_nd") && g.nodes[0].args[1].count == 4);
    finish();

    begin();
    CHECK(leaves(OP(NEG, V(OP(PAD, V(x), LIST(lit(0), lit(0)), F(0)))), "neg"));
    finish();

    begin(); /* repeated rows are multiplied once */
    bt_value one = input("one", BT_F32, 3, (bt_expr[]){lit(1), s, lit(8)});
    bt_value many = OP(EXPAND, V(one), LIST(b, s, lit(8)));
    CHECK(leaves(OP(NEG, V(OP(ADD, V(OP(LINEAR, V(many), V(wide))), F(1)))), "linear add neg expand"));
    CHECK(is(g.nodes[0].outs[0], "float32[1, s, 16]"));
    finish();
}

static void test_merged(void)
{
    begin(); /* batch and heads merged for a product, parted again behind it */
    bt_expr both = bt_expr_binary(g.exprs, BT_EXPR_MUL, b, lit(4));
    bt_value four = input("four", BT_F32, 4, (bt_expr[]){b, lit(4), s, lit(8)});
    bt_value three = OP(RESHAPE, V(four), LIST(both, s, lit(8)));
    bt_value turned = OP(PERMUTE, V(three), LIST(lit(0), lit(2), lit(1)));
    bt_value rows = OP(EXPAND, V(OP(CAST, V(OP(UNSQUEEZE, V(count(s)), I(0))), DT(BT_I64))), LIST(s, s));
    bt_value index = OP(EXPAND, V(OP(UNSQUEEZE, V(rows), I(0))), LIST(both, s, s));
    bt_value scores = OP(DIV, V(OP(GATHER, V(OP(MATMUL, V(three), V(turned))), I(2), V(index))), F(3));
    CHECK(leaves(OP(RESHAPE, V(scores), LIST(b, lit(4), s, s)),
                 "permute matmul arange unsqueeze expand reshape expand gather div"));
    CHECK(is(g.output.value, "float32[b, 4, s, s]"));
    finish();

    begin(); /* halves of heads that share keys: turned once for each key, before it is repeated */
    bt_value key = input("key", BT_F32, 5, (bt_expr[]){b, lit(2), lit(1), s, lit(8)});
    bt_value many = OP(RESHAPE, V(OP(EXPAND, V(key), LIST(b, lit(2), lit(2), s, lit(8)))), LIST(b, lit(4), s, lit(8)));
    bt_value low = OP(SLICE, V(many), I(3), I(0), I(4), I(1)), high = OP(SLICE, V(many), I(3), I(4), I(8), I(1));
    bt_value half = OP(CAT, VALUES(OP(NEG, V(high)), low), I(3));
    CHECK(leaves(OP(ADD, V(half), F(1)), "slice neg slice cat add expand reshape"));
    CHECK(is(left(BT_OP_CAT)->outs[0], "float32[b, 2, 1, s, 8]"));
    finish();

    begin(); /* and attention reads them through strides */
    bt_value query = input("query", BT_F32, 4, (bt_expr[]){b, lit(4), s, lit(8)});
    bt_value mask = input("mask", BT_F32, 4, (bt_expr[]){b, lit(1), lit(1), s});
    key = input("key", BT_F32, 5, (bt_expr[]){b, lit(2), lit(1), s, lit(8)});
    many = OP(RESHAPE, V(OP(EXPAND, V(key), LIST(b, lit(2), lit(2), s, lit(8)))), LIST(b, lit(4), s, lit(8)));
    CHECK(
        leaves(OP(SDPA, V(query), V(many), V(many), V(mask)), "reshape reshape scaled_dot_product_attention reshape"));
    CHECK(left(BT_OP_SDPA)->args[1].value == key && left(BT_OP_SDPA)->args[2].value == key);
    finish();

    begin(); /* work along the merged dimension itself must wait for it */
    four = input("four", BT_F32, 4, (bt_expr[]){b, lit(4), s, lit(8)});
    three = OP(RESHAPE, V(four), LIST(bt_expr_binary(g.exprs, BT_EXPR_MUL, b, lit(4)), s, lit(8)));
    CHECK(leaves(OP(SOFTMAX, V(three), I(0)), "reshape softmax"));
    finish();

    begin(); /* and so must operands that cannot be taken apart */
    both = bt_expr_binary(g.exprs, BT_EXPR_MUL, b, lit(4));
    four = input("four", BT_F32, 4, (bt_expr[]){b, lit(4), s, lit(8)});
    bt_value plain = input("plain", BT_F32, 3, (bt_expr[]){both, s, lit(8)});
    CHECK(leaves(OP(ADD, V(OP(RESHAPE, V(four), LIST(both, s, lit(8)))), V(plain)), "reshape add"));
    finish();

    begin(); /* a single key that is repeated is not many keys */
    query = input("query", BT_F32, 4, (bt_expr[]){b, lit(4), s, lit(8)});
    key = input("key", BT_F32, 4, (bt_expr[]){b, lit(4), lit(1), lit(8)});
    many = OP(EXPAND, V(key), LIST(b, lit(4), s, lit(8)));
    CHECK(leaves(OP(SDPA, V(query), V(many), V(many)), "expand scaled_dot_product_attention"));
    finish();
}

static void test_all(void)
{
    test_algebra();
    test_constants();
    test_index();
    test_merged();
    test_ranges();
    test_views();
    test_epilogue();
    test_rows();
}

int main(void)
{
    check_group("pass_simplify", test_all);
    return check_result();
}
