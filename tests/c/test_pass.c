/* test_pass.c: which written-out layers become one op, and which must stay */
#include <math.h>

#include "check.h"
#include "pass_check.h"

static bt_value x, weight, vector;

static void begin(void)
{
    graph_start(2, 9);
    x = input("x", BT_F32, 3, (bt_expr[]){b, s, lit(8)});
    weight = constant("weight", BT_F32, 2, (int64_t[]){8, 8});
    vector = constant("vector", BT_F32, 1, (int64_t[]){8});
}

static void test_linear(void)
{
    begin();
    bt_value turned = OP(PERMUTE, V(weight), LIST(lit(1), lit(0)));
    CHECK(leaves(OP(ADD, V(OP(MATMUL, V(x), V(turned))), V(vector)), "linear"));
    const struct bt_node *node = &g.nodes[0];
    CHECK(node->args[0].value == x && node->args[1].value == weight && node->args[2].value == vector);
    finish();

    begin();
    CHECK(leaves(OP(ADD, V(vector), V(OP(MATMUL, V(x), V(weight)))), "linear"));
    const struct bt_tensor *view = &g.constants[g.values[g.nodes[0].args[1].value].index].tensor;
    CHECK(view->strides[0] == 1 && view->strides[1] == 8 && g.nodes[0].args[2].value == vector);
    finish();

    begin(); /* the product is needed on its own as well */
    bt_value product = OP(MATMUL, V(x), V(weight));
    CHECK(leaves(OP(MUL, V(OP(ADD, V(product), V(vector))), V(product)), "linear add mul"));
    finish();

    begin(); /* the vector makes the result larger */
    bt_value column = constant("column", BT_F32, 2, (int64_t[]){8, 1}),
             wide = constant("wide", BT_F32, 1, (int64_t[]){5});
    CHECK(leaves(OP(ADD, V(OP(MATMUL, V(x), V(column))), V(wide)), "linear add"));
    finish();

    begin(); /* heads put together again, then transposed: still a view of the file */
    bt_value heads = constant("heads", BT_F32, 3, (int64_t[]){8, 2, 4});
    bt_value merged = OP(RESHAPE, V(OP(PERMUTE, V(heads), LIST(lit(1), lit(2), lit(0)))), LIST(lit(8), lit(8)));
    CHECK(leaves(OP(MATMUL, V(x), V(merged)), "linear"));
    view = &g.constants[g.values[g.nodes[0].args[1].value].index].tensor;
    CHECK(view->strides[0] == 8 && view->strides[1] == 1);
    finish();

    begin(); /* no constant */
    bt_value xt = OP(PERMUTE, V(x), LIST(lit(0), lit(2), lit(1)));
    CHECK(leaves(OP(MATMUL, V(x), V(xt)), "permute matmul"));
    finish();
}

/* k (1 + erf(x / sqrt 2)) */
static bt_value erf_part(double k, double scale)
{
    bt_value erf = OP(ERF, V(OP(MUL, V(x), F(scale))));
    return OP(ADD, V(OP(MUL, F(k), V(erf))), F(k));
}

static bt_value tanh_part(double c, bool power)
{
    bt_value cube = power ? OP(POW, V(x), I(3)) : OP(MUL, V(x), V(OP(MUL, V(x), V(x))));
    bt_value inner = OP(ADD, V(x), V(OP(MUL, V(cube), F(c))));
    return OP(ADD, I(1), V(OP(TANH, V(OP(MUL, F(sqrt(2 / M_PI)), V(inner))))));
}

static void test_gelu(void)
{
    begin();
    bt_value erf = OP(ERF, V(OP(DIV, V(x), F(1.4142135623730951))));
    CHECK(leaves(OP(MUL, V(OP(MUL, V(x), F(0.5))), V(OP(ADD, V(erf), F(1.0)))), "gelu"));
    int64_t tanh;
    CHECK(g.nodes[0].args[0].value == x && bt_expr_is_int(g.exprs, g.nodes[0].args[1].expr, &tanh) && !tanh);
    finish();

    begin();
    CHECK(leaves(OP(MUL, V(erf_part(0.5, sqrt(0.5))), V(x)), "gelu"));
    finish();

    begin();
    CHECK(leaves(OP(DIV, V(OP(MUL, V(x), V(erf_part(1, sqrt(0.5))))), F(2)), "gelu"));
    finish();

    begin();
    bt_value half = OP(MUL, V(x), F(0.5));
    CHECK(leaves(OP(ADD, V(half), V(OP(MUL, V(half), V(OP(ERF, V(OP(MUL, V(x), F(sqrt(0.5))))))))), "gelu"));
    finish();

    for (int power = 0; power < 2; power++) {
        begin();
        CHECK(leaves(OP(MUL, V(tanh_part(0.044715, power)), V(OP(MUL, F(0.5), V(x)))), "gelu"));
        CHECK(bt_expr_is_int(g.exprs, g.nodes[0].args[1].expr, &tanh) && tanh);
        finish();
    }

    begin(); /* x (0.79788 (1 + 0.044715 x x)) */
    bt_value inner = OP(ADD, F(1), V(OP(MUL, V(OP(MUL, F(0.044715), V(x))), V(x))));
    bt_value fast = OP(TANH, V(OP(MUL, V(OP(MUL, V(x), F(0.7978845608028654))), V(inner))));
    CHECK(leaves(OP(MUL, V(OP(MUL, F(0.5), V(x))), V(OP(ADD, F(1), V(fast)))), "gelu"));
    finish();

    begin(); /* x is itself a product */
    x = OP(MUL, V(x), F(3));
    CHECK(leaves(OP(MUL, V(erf_part(0.5, sqrt(0.5))), V(x)), "mul gelu"));
    finish();

    begin(); /* the part stays when something else needs it */
    bt_value part = erf_part(0.5, sqrt(0.5));
    CHECK(leaves(OP(SUB, V(OP(MUL, V(part), V(x))), V(part)), "gelu mul erf mul add sub"));
    finish();

    begin();
    CHECK(leaves(OP(MUL, V(erf_part(0.5, 0.7)), V(x)), "mul erf mul add mul"));
    finish();
    begin();
    CHECK(leaves(OP(MUL, V(erf_part(0.4, sqrt(0.5))), V(x)), "mul erf mul add mul"));
    finish();
    begin();
    CHECK(leaves(OP(MUL, V(erf_part(0.5, sqrt(0.5))), V(OP(NEG, V(x)))), "mul erf mul add neg mul"));
    finish();
    begin();
    CHECK(leaves(OP(MUL, V(tanh_part(0.05, true)), V(OP(MUL, F(0.5), V(x)))), "pow mul add mul tanh add mul mul"));
    finish();
}

#define KEEP E(bt_expr_bool(g.exprs, true))

static bt_value centre(void)
{
    return OP(SUB, V(x), V(OP(MEAN, V(x), LIST(lit(-1)), KEEP)));
}

static bt_value shifted_variance(bt_value d, bool power)
{
    bt_value square = power ? OP(POW, V(d), I(2)) : OP(MUL, V(d), V(d));
    return OP(ADD, V(OP(MEAN, V(square), LIST(lit(-1)), KEEP)), F(1e-12));
}

static void test_layer_norm(void)
{
    begin(); /* as in 2019: w * ((x - u) / sqrt(s + eps)) + b */
    bt_value d = centre(), n = OP(DIV, V(d), V(OP(SQRT, V(shifted_variance(d, true)))));
    CHECK(leaves(OP(ADD, V(OP(MUL, V(vector), V(n))), V(vector)), "layer_norm"));
    const struct bt_arg *args = g.nodes[0].args;
    struct bt_scalar eps;
    CHECK(args[0].value == x && args[2].value == vector && args[3].value == vector);
    CHECK(bt_expr_is_const(g.exprs, args[4].expr, &eps) && eps.f == 1e-12);
    finish();

    begin();
    d = centre();
    CHECK(leaves(OP(MUL, V(OP(RSQRT, V(shifted_variance(d, false)))), V(d)), "layer_norm"));
    finish();

    begin();
    d = centre();
    CHECK(leaves(OP(MUL, V(d), V(OP(RECIPROCAL, V(OP(POW, V(shifted_variance(d, false)), F(0.5)))))), "layer_norm"));
    finish();

    begin();
    bt_value var = OP(VAR, V(x), LIST(lit(2)), KEEP, I(0));
    CHECK(leaves(OP(DIV, V(centre()), V(OP(SQRT, V(OP(ADD, F(1e-5), V(var)))))), "layer_norm"));
    finish();

    begin(); /* an unbiased variance is something else */
    var = OP(VAR, V(x), LIST(lit(2)), KEEP, I(1));
    d = centre();
    CHECK(leaves(OP(DIV, V(d), V(OP(SQRT, V(OP(ADD, F(1e-5), V(var)))))), "mean sub var add sqrt div"));
    finish();

    begin(); /* centred along another dimension: only the root mean square is of the last one */
    d = OP(SUB, V(x), V(OP(MEAN, V(x), LIST(lit(1)), KEEP)));
    CHECK(leaves(OP(DIV, V(d), V(OP(SQRT, V(shifted_variance(d, true))))), "mean sub rms_norm"));
    finish();

    begin(); /* a bias before the weight: only the bias belongs to the op */
    d = centre();
    n = OP(DIV, V(d), V(OP(SQRT, V(shifted_variance(d, true)))));
    CHECK(leaves(OP(MUL, V(OP(ADD, V(n), V(vector))), V(vector)), "layer_norm mul"));
    finish();
}

static void test_rms_norm(void)
{
    begin(); /* as in T5 and LLaMA */
    bt_value n = OP(MUL, V(x), V(OP(RSQRT, V(shifted_variance(x, true)))));
    CHECK(leaves(OP(MUL, V(vector), V(n)), "rms_norm"));
    const struct bt_arg *args = g.nodes[0].args;
    struct bt_scalar eps;
    CHECK(args[0].value == x && args[2].value == vector && bt_expr_is_const(g.exprs, args[3].expr, &eps));
    CHECK(eps.f == 1e-12);
    finish();

    begin();
    CHECK(leaves(OP(DIV, V(x), V(OP(SQRT, V(shifted_variance(x, false))))), "rms_norm"));
    finish();

    begin(); /* it has no bias */
    n = OP(MUL, V(x), V(OP(RSQRT, V(shifted_variance(x, true)))));
    CHECK(leaves(OP(ADD, V(OP(MUL, V(n), V(vector))), V(vector)), "rms_norm add"));
    finish();

    begin(); /* and one weight */
    n = OP(MUL, V(x), V(OP(RSQRT, V(shifted_variance(x, true)))));
    CHECK(leaves(OP(MUL, V(OP(MUL, V(n), V(vector))), V(vector)), "rms_norm mul"));
    finish();

    begin(); /* the scale of one tensor for another */
    bt_value other = input("other", BT_F32, 3, (bt_expr[]){b, s, lit(8)});
    CHECK(leaves(OP(MUL, V(other), V(OP(RSQRT, V(shifted_variance(x, true))))), "pow mean add rsqrt mul"));
    finish();

    begin(); /* another dimension */
    bt_value mean = OP(MEAN, V(OP(POW, V(x), I(2))), LIST(lit(1)), KEEP);
    CHECK(leaves(OP(MUL, V(x), V(OP(RSQRT, V(OP(ADD, V(mean), F(1e-6)))))), "pow mean add rsqrt mul"));
    finish();
}

static void test_all(void)
{
    test_linear();
    test_gelu();
    test_layer_norm();
    test_rms_norm();
}

int main(void)
{
    check_group("pass", test_all);
    return check_result();
}
