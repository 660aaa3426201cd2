/* test_graph.c: promotion, inference, value numbering, guards, text */
#include "check.h"
#include "graphs.h"

static void test_views(void)
{
    graph_start(2, 9);
    bt_value x = input("x", BT_F32, 3, (bt_expr[]){b, s, lit(32)});
    bt_value heads = OP(RESHAPE, V(x), LIST(b, lit(-1), lit(4), lit(8)));
    CHECK(is(heads, "float32[b, s, 4, 8]") && g.guard_count == 0);
    bt_value turned = OP(PERMUTE, V(heads), LIST(lit(0), lit(2), lit(1), lit(-1)));
    CHECK(is(turned, "float32[b, 4, s, 8]"));
    CHECK(is(OP(RESHAPE, V(turned), LIST(lit(-1))), "float32[b*s*32]"));
    CHECK(OP(RESHAPE, V(x), LIST(b, s, lit(32))) == x && OP(PERMUTE, V(x), LIST(lit(0), lit(1), lit(2))) == x);
    CHECK(OP(PERMUTE, V(heads), LIST(lit(0), lit(-2), lit(1), lit(3))) == turned);
    CHECK(is(OP(UNSQUEEZE, V(x), I(-1)), "float32[b, s, 32, 1]"));
    bt_value wide = OP(UNSQUEEZE, V(x), I(1));
    CHECK(is(wide, "float32[b, 1, s, 32]") && OP(SQUEEZE, V(wide), LIST(lit(1))) == OP(SQUEEZE, V(wide), NONE));
    CHECK(OP(SQUEEZE, V(x), LIST(lit(2))) == x);
    CHECK(is(OP(EXPAND, V(wide), LIST(lit(-1), lit(4), lit(-1), lit(32))), "float32[b, 4, s, 32]"));
    CHECK(is(OP(EXPAND, V(x), LIST(lit(3), lit(-1), lit(-1), lit(-1))), "float32[3, b, s, 32]"));
    CHECK(OP(SLICE, V(x), I(1), I(0), I(INT64_MAX), I(1)) == x && OP(SLICE, V(x), I(1), NONE, NONE, NONE) == x);
    CHECK(g.guard_count == 2); /* squeeze without dims asked whether b and s are 1 */
    CHECK(is(OP(SLICE, V(x), I(-1), I(-8), NONE, NONE), "float32[b, s, 8]"));
    CHECK(is(OP(SLICE, V(x), I(2), I(1), I(-1), I(3)), "float32[b, s, 10]"));
    CHECK(is(OP(SLICE, V(x), I(1), I(1), NONE, NONE), "float32[b, s - 1, 32]"));
    CHECK(is(OP(SLICE, V(x), I(2), I(20), I(10), NONE), "float32[b, s, 0]"));
    CHECK(is(OP(SELECT, V(x), I(1), I(0)), "float32[b, 32]") && is(OP(SELECT, V(x), I(-1), I(-1)), "float32[b, s]"));
    REFUSED(OP(SELECT, V(x), I(2), I(32)), BERTC_INPUT,
            "index 32 is out of range for a dimension of size 32 (x [2, 9, 32])");
    REFUSED(OP(SELECT, V(x), I(3), I(0)), BERTC_INPUT, "dimension 3 is out of range");
    REFUSED(OP(RESHAPE, V(x), LIST(b, lit(7), lit(-1))), BERTC_INPUT, "[2, 9, 32] has 576 elements");
    REFUSED(OP(RESHAPE, V(x), LIST(lit(-1), lit(-1))), BERTC_INPUT, "more than one -1");
    REFUSED(OP(EXPAND, V(x), LIST(b, s, lit(64))), BERTC_INPUT, "[2, 9, 32] does not expand to [2, 9, 64]");
    REFUSED(OP(SLICE, V(x), I(1), I(0), I(5), I(0)), BERTC_INPUT, "step is 0");
    REFUSED(OP(PERMUTE, V(x), LIST(lit(0), lit(1), lit(1))), BERTC_INPUT, "appears twice");
    REFUSED(OP(RESHAPE, V(x), E(BT_NO_EXPR)), BERTC_INPUT, "overflows");
    REFUSED(OP(SELECT, V(x), F(1.0), I(0)), BERTC_UNSUPPORTED, "'dim' is not an integer");
    REFUSED(OP(NEG, V(77)), BERTC_FORMAT, "operand is missing");
    bt_value deep = x;
    for (int i = 0; i < BT_MAX_RANK - 3; i++) {
        deep = OP(UNSQUEEZE, V(deep), I(0));
    }
    REFUSED(OP(UNSQUEEZE, V(deep), I(0)), BERTC_UNSUPPORTED, "more than 8 dimensions");
    CHECK(bt_graph_verify(&g, &err) == BERTC_OK);
    bt_graph_free(&g);
}

static void test_clamped_table(void)
{
    graph_start(1, 600);
    bt_value ids = input("input_ids", BT_I64, 2, (bt_expr[]){b, s});
    bt_value table = constant("embeddings.position_ids", BT_I64, 2, (int64_t[]){1, 512});
    bt_value cut = OP(SLICE, V(OP(SLICE, V(table), I(0), I(0), I(INT64_MAX), I(1))), I(1), I(0), E(s), I(1));
    CHECK(is(cut, "int64[1, 512]") && g.guard_count == 1 && !g.guards[0].expected);
    REFUSED(
        OP(ADD, V(ids), V(cut)), BERTC_INPUT,
        "add: shapes [1, 600] and [1, 512] do not broadcast in dimension 1 (input_ids [1, 600]); sequence length s = "
        "600 exceeds the 512 entries of 'embeddings.position_ids'");
    bt_graph_free(&g);
}

static void test_broadcast(void)
{
    graph_start(3, 17);
    bt_value ids = input("input_ids", BT_F32, 3, (bt_expr[]){b, lit(1), s});
    bt_expr b2 = bt_expr_symbol(g.exprs, "b2", 2), one = bt_expr_symbol(g.exprs, "n", 1);
    bt_value other = input("attention_mask", BT_F32, 3, (bt_expr[]){b2, lit(1), s});
    g.where = "code/model.py:3";
    REFUSED(OP(ADD, V(ids), V(other)), BERTC_INPUT,
            "add (code/model.py:3): shapes [3, 1, 17] and [2, 1, 17] do not broadcast in dimension 0 (input_ids "
            "[3, 1, 17], attention_mask [2, 1, 17])");
    bt_value single = input("single", BT_F32, 1, (bt_expr[]){one});
    size_t before = g.guard_count;
    CHECK(is(OP(ADD, V(ids), V(single)), "float32[b, 1, s]") && g.guard_count == before + 1);
    CHECK(is(OP(SUB, V(single), V(ids)), "float32[b, 1, s]") && g.guard_count == before + 1);
    CHECK(is(OP(WHERE, V(OP(GT, V(ids), I(0))), V(single), F(0)), "float32[b, 1, s]"));
    CHECK(is(OP(ADD, V(ids), V(constant("c", BT_F32, 2, (int64_t[]){5, 1}))), "float32[b, 5, s]"));
    bt_graph_free(&g);
}

static void test_promotion(void)
{
    graph_start(2, 9);
    bt_expr dims[2] = {b, s};
    bt_value f = input("f", BT_F32, 2, dims), i = input("i", BT_I64, 2, dims), t = input("t", BT_BOOL, 2, dims);
    bt_value h = input("h", BT_F16, 2, dims), w = input("w", BT_BF16, 2, dims), n = input("n", BT_I32, 2, dims);
    bt_value d0 = constant("d0", BT_F64, 0, NULL), i0 = constant("i0", BT_I64, 0, NULL);
    CHECK(is(OP(ADD, V(f), V(d0)), "float32[b, s]") && is(OP(ADD, V(i), V(d0)), "float64[b, s]"));
    CHECK(is(OP(ADD, V(i), F(1)), "float32[b, s]") && is(OP(ADD, V(n), I(1)), "int32[b, s]"));
    CHECK(is(OP(ADD, V(n), V(i0)), "int32[b, s]") && is(OP(ADD, V(n), V(i)), "int64[b, s]"));
    CHECK(is(OP(MUL, V(h), F(2)), "float16[b, s]") && is(OP(MUL, V(h), V(w)), "float32[b, s]"));
    CHECK(is(OP(MUL, V(h), V(i)), "float16[b, s]") && is(OP(MUL, V(t), V(i)), "int64[b, s]"));
    CHECK(is(OP(ADD, V(t), I(1)), "int64[b, s]") && is(OP(SUB, I(1), V(t)), "int64[b, s]"));
    CHECK(is(OP(DIV, V(i), V(i)), "float32[b, s]") && is(OP(DIV, V(h), I(2)), "float16[b, s]"));
    CHECK(is(OP(POW, V(i), F(0.5)), "float32[b, s]") && is(OP(POW, V(i), I(2)), "int64[b, s]"));
    CHECK(is(OP(EXP, V(i)), "float32[b, s]") && is(OP(NEG, V(i)), "int64[b, s]") &&
          is(OP(SQRT, V(h)), "float16[b, s]"));
    CHECK(is(OP(EQ, V(i), I(0)), "bool[b, s]") && is(OP(LOGICAL_NOT, V(f)), "bool[b, s]"));
    CHECK(is(OP(WHERE, V(t), V(i), F(0)), "float32[b, s]") && is(OP(CLAMP, V(i), NONE, F(1)), "float32[b, s]"));
    CHECK(is(OP(CLAMP, V(f), F(1e-9)), "float32[b, s]") && OP(CAST, V(f), DT(BT_F32)) == f);
    CHECK(is(OP(CAST, V(i), DT(BT_F32)), "float32[b, s]"));
    REFUSED(OP(WHERE, V(f), V(f), V(f)), BERTC_INPUT, "the condition is float32, expected bool");
    REFUSED(OP(BITWISE_AND, V(f), V(t)), BERTC_INPUT, "expected integers or bools");
    REFUSED(OP(ADD, I(1), I(2)), BERTC_UNSUPPORTED, "none of the operands is a tensor");
    CHECK(bt_graph_verify(&g, &err) == BERTC_OK);
    bt_graph_free(&g);
}

static void test_reductions(void)
{
    graph_start(2, 9);
    bt_value f = input("f", BT_F32, 3, (bt_expr[]){b, s, lit(8)}), i = input("i", BT_I64, 2, (bt_expr[]){b, s});
    CHECK(is(OP(SUM, V(f), LIST(lit(-1))), "float32[b, s]") && is(OP(SUM, V(i)), "int64[]"));
    CHECK(is(OP(SUM, V(i), LIST(lit(1)), E(bt_expr_bool(g.exprs, true))), "int64[b, 1]"));
    CHECK(is(OP(SUM, V(i), LIST(lit(1)), NONE, DT(BT_F32)), "float32[b]") &&
          is(OP(MEAN, V(f), LIST(lit(0), lit(1))), "float32[8]"));
    CHECK(is(OP(MEAN, V(i), NONE, NONE, DT(BT_F32)), "float32[]") && is(OP(ANY, V(i), LIST(lit(0))), "bool[s]"));
    CHECK(is(OP(VAR, V(f), LIST(lit(2)), NONE, I(1)), "float32[b, s]") &&
          is(OP(NORM, V(f), F(2), LIST(lit(1))), "float32[b, 8]"));
    CHECK(is(OP(ARGMAX, V(f), I(-1)), "int64[b, s]") && is(OP(CUMSUM, V(i), I(1)), "int64[b, s]"));
    CHECK(is(OP(SOFTMAX, V(f), I(-1)), "float32[b, s, 8]") && is(OP(SOFTMAX, V(i), I(1), DT(BT_F32)), "float32[b, s]"));
    bt_value outs[2];
    CHECK(bt_graph_node(&g, BT_OP_MAX_DIM, (struct bt_arg[]){V(f), I(1)}, 2, outs, &err) == BERTC_OK);
    CHECK(is(outs[0], "float32[b, 8]") && is(outs[1], "int64[b, 8]"));
    REFUSED(OP(MEAN, V(i)), BERTC_INPUT, "the operand is int64, expected a floating-point tensor");
    REFUSED(OP(SUM, V(f), LIST(lit(1), lit(-2))), BERTC_INPUT, "appears twice");
    CHECK(bt_graph_verify(&g, &err) == BERTC_OK);
    bt_graph_free(&g);
}

static void test_layers(void)
{
    graph_start(2, 9);
    bt_value x = input("x", BT_F32, 3, (bt_expr[]){b, s, lit(8)}), ids = input("ids", BT_I64, 2, (bt_expr[]){b, s});
    bt_value w = constant("w", BT_F32, 2, (int64_t[]){12, 8}), bias = constant("bias", BT_F32, 1, (int64_t[]){12});
    bt_value v = constant("v", BT_F32, 1, (int64_t[]){8}), mask = OP(GT, V(OP(UNSQUEEZE, V(ids), I(1))), I(0));
    CHECK(is(OP(LINEAR, V(x), V(w), V(bias)), "float32[b, s, 12]") && is(OP(LINEAR, V(x), V(w)), "float32[b, s, 12]"));
    bt_value xt = OP(PERMUTE, V(x), LIST(lit(0), lit(2), lit(1)));
    CHECK(is(OP(MATMUL, V(x), V(xt)), "float32[b, s, s]") && is(OP(MATMUL, V(x), V(v)), "float32[b, s]"));
    CHECK(is(OP(MATMUL, V(v), V(xt)), "float32[b, s]") && is(OP(MATMUL, V(v), V(v)), "float32[]"));
    CHECK(is(OP(MATMUL, V(w), V(xt)), "float32[b, 12, s]"));
    CHECK(is(OP(LAYER_NORM, V(x), I(1), V(v), V(v), F(1e-12)), "float32[b, s, 8]"));
    CHECK(is(OP(RMS_NORM, V(x), I(1), V(v), F(1e-6)), "float32[b, s, 8]"));
    CHECK(is(OP(EMBEDDING, V(w), V(ids)), "float32[b, s, 8]"));
    CHECK(is(OP(SDPA, V(x), V(x), V(x), V(mask)), "float32[b, s, 8]"));
    CHECK(is(OP(CONV1D, V(xt), V(constant("k", BT_F32, 3, (int64_t[]){6, 4, 3})), NONE, LIST(lit(2)), LIST(lit(1)),
                I(1), I(2)),
             "float32[b, 6, (s - 1) // 2 + 1]"));
    REFUSED(OP(EMBEDDING, V(w), V(x)), BERTC_INPUT, "indices are float32, expected integers: argument 'x'");
    REFUSED(OP(LINEAR, V(xt), V(w)), BERTC_INPUT, "input [2, 8, 9] does not fit the weight [12, 8]");
    REFUSED(OP(LINEAR, V(x), V(w), V(v)), BERTC_INPUT, "bias has shape [8], expected [12]");
    REFUSED(OP(MATMUL, V(x), V(x)), BERTC_INPUT, "shapes [2, 9, 8] and [2, 9, 8] do not multiply");
    REFUSED(OP(MATMUL, V(x), V(ids)), BERTC_INPUT, "float32 and int64");
    REFUSED(OP(LAYER_NORM, V(x), I(1), V(bias)), BERTC_INPUT, "weight has shape [12]");
    REFUSED(OP(SDPA, V(x), V(x), V(x), V(ids)), BERTC_INPUT, "the mask is int64");
    CHECK(bt_graph_verify(&g, &err) == BERTC_OK);
    bt_graph_free(&g);
}

static void test_movement(void)
{
    graph_start(2, 9);
    bt_value x = input("x", BT_F32, 3, (bt_expr[]){b, s, lit(8)}), ids = input("ids", BT_I64, 2, (bt_expr[]){b, s});
    bt_value row = constant("row", BT_I64, 1, (int64_t[]){5}), empty = constant("empty", BT_F32, 1, (int64_t[]){0});
    CHECK(is(OP(GATHER, V(ids), I(1), V(ids)), "int64[b, s]"));
    CHECK(is(OP(INDEX, V(x), VALUES(BT_NO_VALUE, row)), "float32[b, 5, 8]") &&
          is(OP(INDEX, V(x), VALUES(row)), "float32[5, s, 8]"));
    CHECK(is(OP(INDEX, V(x), VALUES(row, BT_NO_VALUE, row)), "float32[5, s]"));
    CHECK(is(OP(INDEX, V(x), VALUES(BT_NO_VALUE, row, row)), "float32[b, 5]"));
    CHECK(is(OP(INDEX, V(x), VALUES(ids)), "float32[b, s, s, 8]"));
    CHECK(is(OP(CAT, VALUES(x, empty, x), I(1)), "float32[b, s*2, 8]") &&
          is(OP(CAT, VALUES(ids, ids), I(-1)), "int64[b, s*2]"));
    CHECK(is(OP(PAD, V(x), LIST(lit(1), lit(2), lit(0), lit(-1))), "float32[b, s - 1, 11]"));
    CHECK(is(OP(INDEX_PUT, V(x), VALUES(BT_NO_VALUE, row), V(constant("z", BT_F32, 0, NULL))), "float32[b, s, 8]"));
    CHECK(is(OP(FLIP, V(x), LIST(lit(-1))), "float32[b, s, 8]") &&
          is(OP(ROLL, V(x), LIST(lit(1)), LIST(lit(1))), "float32[b, s, 8]"));
    CHECK(is(OP(TRIL, V(x)), "float32[b, s, 8]"));
    bt_value first = OP(SELECT, V(x), I(1), I(0));
    CHECK(is(OP(SELECT_SCATTER, V(x), V(first), I(1), I(-1)), "float32[b, s, 8]"));
    CHECK(is(OP(SLICE_SCATTER, V(x), V(OP(UNSQUEEZE, V(first), I(1))), I(1), I(0), I(1)), "float32[b, s, 8]"));
    CHECK(is(OP(ARANGE, NONE, E(s)), "int64[s]") &&
          is(OP(ARANGE, I(2), E(bt_expr_binary(g.exprs, BT_EXPR_ADD, s, lit(2)))), "int64[s]"));
    CHECK(is(OP(ARANGE, I(0), E(s), I(2), DT(BT_F32)), "float32[-((-s) // 2)]") &&
          is(OP(ARANGE, F(0), F(1), F(0.25)), "float32[4]"));
    CHECK(is(OP(FULL, LIST(b, s), F(0)), "float32[b, s]") && is(OP(FULL, LIST(b), I(1)), "int64[b]"));
    CHECK(is(OP(FULL, bt_arg_exprs(NULL, 0), E(bt_expr_bool(g.exprs, true))), "bool[]") &&
          is(OP(EYE, E(s)), "float32[s, s]"));
    REFUSED(OP(CAT, VALUES(x, ids), I(1)), BERTC_INPUT, "2 dimensions, another has 3");
    REFUSED(OP(CAT, VALUES(x, first), I(1)), BERTC_INPUT, "dimensions");
    REFUSED(OP(GATHER, V(ids), I(1), V(row)), BERTC_INPUT, "does not lie within");
    REFUSED(OP(INDEX, V(x), VALUES(OP(GT, V(ids), I(0)))), BERTC_UNSUPPORTED, "depends on the data");
    REFUSED(OP(FULL, LIST(lit(-3)), F(0)), BERTC_INPUT, "dimension 0 of the result would be -3");
    REFUSED(OP(ARANGE, I(5), I(2)), BERTC_INPUT, "the end lies before the start");
    CHECK(bt_graph_verify(&g, &err) == BERTC_OK);
    bt_graph_free(&g);
}

static void test_numbering_and_text(void)
{
    graph_start(2, 9);
    bt_value ids = input("ids", BT_I64, 2, (bt_expr[]){b, s});
    bt_value table = constant("table.weight", BT_F32, 2, (int64_t[]){40, 8});
    bt_value h = OP(EMBEDDING, V(table), V(ids)), same = OP(EMBEDDING, V(table), V(ids));
    CHECK(h == same && g.node_count == 1);
    bt_value dead = OP(NEG, V(h)), sum = OP(ADD, V(OP(MUL, V(h), F(0.125))), V(h));
    CHECK(dead >= 0 && strcmp(bt_graph_origin(&g, OP(CAST, V(OP(UNSQUEEZE, V(ids), I(0))), DT(BT_F32))), "ids") == 0);
    CHECK(bt_graph_origin(&g, h) == NULL && bt_graph_root(&g, OP(SELECT, V(table), I(0), I(3))) == table);
    bt_expr longer = bt_expr_binary(g.exprs, BT_EXPR_GT, s, lit(4));
    CHECK(bt_graph_decide(&g, longer) && g.guard_count == 1);
    CHECK(!bt_graph_decide(&g, bt_expr_binary(g.exprs, BT_EXPR_LE, s, lit(4))) && g.guard_count == 1);
    struct bt_tree items[2] = {{.kind = BT_TREE_TENSOR, .value = sum}, {.kind = BT_TREE_SCALAR, .scalar = s}};
    g.output = (struct bt_tree){.kind = BT_TREE_TUPLE, .items = items, .count = 2};
    CHECK(bt_graph_drop_dead(&g, &err) == BERTC_OK && g.node_count == 3);
    CHECK(bt_graph_verify(&g, &err) == BERTC_OK);
    char *text = bt_graph_text(&g, "a model");
    const char *expected = "a model\n"
                           "  inputs ids int64[b, s]\n"
                           "  %1 = embedding(table.weight, ids)  [b, s, 8]\n"
                           "  %2 = mul(%1, 0.125)                [b, s, 8]\n"
                           "  %3 = add(%2, %1)                   [b, s, 8]\n"
                           "  return (%3, s)\n";
    CHECK(text && strcmp(text, expected) == 0);
    if (text && strcmp(text, expected) != 0) {
        printf("%s", text);
    }
    bt_free(text);
    g.nodes[0].args[1] = V(sum);
    CHECK_REFUSAL(bt_graph_verify(&g, &err), &err, BERTC_FORMAT, "used before it is made");
    bt_graph_free(&g);
}

static enum bertc_status build_small(void)
{
    bt_graph_init(&g, &err);
    if (!g.exprs) {
        return err.status;
    }
    b = bt_expr_symbol(g.exprs, "b", 2);
    s = bt_expr_symbol(g.exprs, "s", 9);
    bt_value x;
    enum bertc_status status = bt_graph_input(&g, "x", BT_F32, 3, (bt_expr[]){b, s, lit(8)}, &x, &err);
    bt_value y = status ? BT_NO_VALUE : OP(RESHAPE, V(x), LIST(b, s, lit(2), lit(-1)));
    for (int i = 0; i < 40 && y >= 0; i++) {
        bt_value sum = OP(ADD, V(y), I(i));
        y = sum < 0 ? sum : OP(SLICE, V(sum), I(1), I(0), I(5 + i), I(1));
    }
    if (!status && y < 0) {
        status = err.status;
    }
    g.output = (struct bt_tree){.kind = BT_TREE_TENSOR, .value = y};
    return status ? status : bt_graph_drop_dead(&g, &err);
}

/* Whatever allocation fails, the build says so and leaks nothing. */
static void test_out_of_memory(void)
{
    enum bertc_status status = BERTC_MEMORY;
    long n = 1;
    bool good = true;
    for (; status == BERTC_MEMORY && n < 1000; n++) {
        bt_alloc_fail_at(n);
        status = build_small();
        good = good && (status == BERTC_MEMORY || status == BERTC_OK);
        bt_graph_free(&g);
    }
    bt_alloc_fail_at(0);
    CHECK(good && status == BERTC_OK && n > 3);
}

static void test_all(void)
{
    test_views();
    test_clamped_table();
    test_broadcast();
    test_promotion();
    test_reductions();
    test_layers();
    test_movement();
    test_numbering_and_text();
    test_out_of_memory();
}

int main(void)
{
    check_group("graph", test_all);
    return check_result();
}
