/* test_aten.c: lowering of ATen calls: numbers over dimensions, overloads, in-place writes through views, refusals */
#include "load/aten.h"

#include "graphs.h"

static struct bt_arena arena;
static struct bt_lower lower;
static struct bt_dyn ids, hidden, heads;

static struct bt_dyn number(bt_expr e)
{
    return bt_dyn_scalar(e);
}

static struct bt_dyn integer(int64_t value)
{
    return bt_dyn_scalar(lit(value));
}

static struct bt_dyn real(double value)
{
    return bt_dyn_scalar(bt_expr_float(g.exprs, value));
}

static struct bt_dyn list(size_t count, const struct bt_dyn *items)
{
    struct bt_dyn out;
    CHECK(bt_dyn_seq(&lower, BT_DYN_LIST, items, count, &out));
    return out;
}

#define DYNS(...) COUNT(struct bt_dyn, __VA_ARGS__), (struct bt_dyn[]){__VA_ARGS__}
#define CALL(name, ...) call(name, DYNS(__VA_ARGS__))
#define REFUSES(status, text, name, ...) CHECK_REFUSAL(try_call(name, DYNS(__VA_ARGS__), &ignored), &err, status, text)

static struct bt_dyn ignored;

static enum bertc_status try_call(const char *name, int count, const struct bt_dyn *args, struct bt_dyn *out)
{
    const struct bt_aten_args call_args = {.items = args, .count = (size_t)count};
    return bt_aten_call(&lower, name, &call_args, out, &err);
}

static struct bt_dyn call(const char *name, int count, const struct bt_dyn *args)
{
    struct bt_dyn out = bt_dyn_none();
    if (try_call(name, count, args, &out) != BERTC_OK) {
        check_at(__FILE__, __LINE__, false, err.text);
    }
    return out;
}

static bool shaped(struct bt_dyn d, const char *expected)
{
    bt_value v = BT_NO_VALUE;
    return d.kind == BT_DYN_TENSOR && bt_var_read(&lower, d.tensor, &v, &err) == BERTC_OK && is(v, expected);
}

/* A known number, as text. */
static bool counts(struct bt_dyn d, const char *expected)
{
    bt_expr e = d.kind == BT_DYN_TENSOR ? d.tensor->number : d.scalar;
    return e >= 0 && strcmp(bt_expr_text(g.exprs, e), expected) == 0;
}

static struct bt_dyn tensor(bt_value value)
{
    return bt_dyn_tensor(bt_var_new(&lower, value));
}

static void start(void)
{
    graph_start(2, 9);
    lower = (struct bt_lower){.graph = &g, .arena = &arena};
    ids = tensor(input("ids", BT_I64, 2, (bt_expr[]){b, s}));
    hidden = tensor(input("hidden", BT_F32, 3, (bt_expr[]){b, s, lit(32)}));
    heads = tensor(input("heads", BT_F32, 4, (bt_expr[]){b, lit(4), s, lit(8)}));
}

static void finish(void)
{
    CHECK(bt_graph_verify(&g, &err) == BERTC_OK);
    bt_graph_free(&g);
    bt_arena_free(&arena);
}

static void test_numbers(void)
{
    start();
    struct bt_dyn size = CALL("prim::NumToTensor", CALL("aten::size", hidden, integer(1)));
    CHECK(counts(size, "s") && size.kind == BT_DYN_TENSOR);
    CHECK(counts(CALL("aten::Int", CALL("aten::floor_divide", size, integer(2))), "s // 2"));
    CHECK(counts(CALL("aten::mul", size, integer(2)), "s*2"));
    CHECK(bt_var_dtype(&lower, CALL("aten::div", size, integer(2)).tensor) == BT_F32);
    CHECK(counts(CALL("aten::div", integer(1), integer(2)), "0.5"));
    CHECK(counts(CALL("aten::rsub", size, integer(8), integer(2)), "-s*2 + 8"));
    CHECK(counts(CALL("aten::floor", real(2.5)), "2"));
    CHECK(g.node_count == 0);
    CHECK(shaped(CALL("aten::mul", hidden, size), "float32[b, s, 32]"));
    CHECK(shaped(CALL("aten::mul", ids, real(0.5)), "float32[b, s]"));
    CALL("aten::add_", size, integer(1));
    CHECK(counts(size, "s + 1"));
    REFUSES(BERTC_UNSUPPORTED, "depends on tensor data", "aten::item", hidden);
    finish();
}

static void test_overloads(void)
{
    start();
    struct bt_dyn pair = CALL("aten::max", hidden, integer(1));
    CHECK(pair.kind == BT_DYN_TUPLE && shaped(pair.seq->items[1], "int64[b, 32]"));
    CHECK(shaped(CALL("aten::max", hidden, hidden), "float32[b, s, 32]"));
    CHECK(shaped(CALL("aten::max", hidden), "float32[]"));
    CHECK(shaped(CALL("aten::sum", hidden, integer(1)), "float32[b, 32]"));
    CHECK(shaped(CALL("aten::to", ids, integer(6)), "float32[b, s]"));
    CHECK(shaped(CALL("aten::to", ids, hidden), "float32[b, s]"));
    CHECK(CALL("aten::to", ids, bt_dyn_none(), number(bt_expr_bool(g.exprs, false))).tensor == ids.tensor);
    CHECK(counts(CALL("aten::eq", bt_dyn_string("a"), bt_dyn_string("a")), "True"));
    CHECK(shaped(CALL("aten::eq.Scalar", ids, integer(0)), "bool[b, s]"));
    REFUSES(BERTC_UNSUPPORTED, "(Tensor, str)", "aten::softmax", hidden, bt_dyn_string("x"));
    REFUSES(BERTC_UNSUPPORTED, "aten::nothing_like_it is not implemented", "aten::nothing_like_it", hidden);
    finish();
}

static void test_views(void)
{
    start();
    struct bt_dyn base = CALL("aten::clone", hidden);
    struct bt_dyn shape = list(DYNS(number(b), integer(-1), integer(4), integer(8)));
    struct bt_dyn view = CALL("aten::transpose", CALL("aten::view", base, shape), integer(1), integer(2));
    struct bt_dyn row = CALL("aten::select", view, integer(2), integer(0));
    bt_value before = base.tensor->value, now;
    CALL("aten::mul_", CALL("aten::slice", view, integer(3), integer(0), integer(4)), integer(2));
    CHECK(bt_var_read(&lower, base.tensor, &now, &err) == BERTC_OK && now != before);
    CHECK(g.nodes[g.values[now].index].op == BT_OP_RESHAPE);
    CHECK(bt_var_read(&lower, row.tensor, &now, &err) == BERTC_OK);
    CHECK(g.nodes[g.values[now].index].op == BT_OP_SELECT && shaped(row, "float32[b, 4, 8]"));
    CHECK(hidden.tensor->value != base.tensor->value);
    struct bt_dyn wide = CALL("aten::expand", CALL("aten::unsqueeze", ids, integer(0)),
                              list(DYNS(integer(3), integer(-1), integer(-1))));
    REFUSES(BERTC_UNSUPPORTED, "expanded", "aten::add_", wide, integer(1));
    REFUSES(BERTC_UNSUPPORTED, "in place", "aten::unsqueeze_", ids, integer(0));
    finish();
}

static void test_einsum(void)
{
    start();
    struct bt_dyn table = tensor(input("table", BT_F32, 3, (bt_expr[]){s, s, lit(8)}));
    CHECK(
        shaped(CALL("aten::einsum", bt_dyn_string("bhld,lrd->bhlr"), list(DYNS(heads, table))), "float32[b, 4, s, s]"));
    CHECK(shaped(CALL("aten::einsum", bt_dyn_string("...id,...jd"), list(DYNS(heads, heads))), "float32[b, 4, s, s]"));
    CHECK(shaped(CALL("aten::einsum", bt_dyn_string("bhid->db"), list(DYNS(heads))), "float32[8, b]"));
    REFUSES(BERTC_UNSUPPORTED, "\"bb->b\"", "aten::einsum", bt_dyn_string("bb->b"), list(DYNS(ids)));
    finish();
}

static void test_refusals(void)
{
    start();
    struct bt_dyn yes = number(bt_expr_bool(g.exprs, true));
    REFUSES(BERTC_UNSUPPORTED, "model.eval()", "aten::dropout", hidden, real(0.1), yes);
    REFUSES(BERTC_UNSUPPORTED, "random", "aten::rand_like", hidden);
    REFUSES(BERTC_UNSUPPORTED, "strides", "aten::as_strided", hidden, list(0, NULL), list(0, NULL));
    REFUSES(BERTC_UNSUPPORTED, "tensor data", "aten::nonzero", ids);
    REFUSES(BERTC_INPUT, "too long", "prim::RaiseException", bt_dyn_string("too long"));
    REFUSES(BERTC_INPUT, "dimension 3", "aten::transpose", hidden, integer(3), integer(0));
    REFUSES(BERTC_INPUT, "divide by zero", "aten::floordiv", integer(1), integer(0));
    REFUSES(BERTC_INPUT, "empty", "aten::cat", list(0, NULL), integer(0));
    bt_graph_free(&g);
    bt_arena_free(&arena);
}

int main(void)
{
    check_group("numbers", test_numbers);
    check_group("overloads", test_overloads);
    check_group("views", test_views);
    check_group("einsum", test_einsum);
    check_group("refusals", test_refusals);
    return check_result();
}
