/* test_expr.c: simplification, Python's arithmetic, evaluation and text of expressions */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "graph/expr.h"

struct fixture {
    struct bt_arena arena;
    struct bt_exprs *x;
    bt_expr b, s;
};

static void start(struct fixture *f)
{
    f->x = bt_exprs_new(&f->arena);
    f->b = bt_expr_symbol(f->x, "b", 2);
    f->s = bt_expr_symbol(f->x, "s", 9);
}

static bt_expr bin(struct fixture *f, enum bt_expr_op op, bt_expr a, bt_expr b)
{
    return bt_expr_binary(f->x, op, a, b);
}

static bt_expr num(struct fixture *f, int64_t value)
{
    return bt_expr_int(f->x, value);
}

static bool text_is(struct fixture *f, bt_expr e, const char *expected)
{
    const char *text = bt_expr_text(f->x, e);
    if (strcmp(text, expected) != 0) {
        printf("    text is %s, expected %s\n", text, expected);
    }
    return strcmp(text, expected) == 0;
}

static bool const_is(struct fixture *f, bt_expr e, enum bt_scalar_type type, double value)
{
    struct bt_scalar got;
    return bt_expr_is_const(f->x, e, &got) && got.type == type &&
           (type == BT_SCALAR_FLOAT ? got.f : (double)got.i) == value;
}

static void test_polynomials(void)
{
    struct fixture f = {.x = NULL};
    start(&f);
    bt_expr b = f.b, s = f.s, bs = bin(&f, BT_EXPR_MUL, b, s), bs32 = bin(&f, BT_EXPR_MUL, bs, num(&f, 32));
    CHECK(text_is(&f, bs32, "b*s*32"));
    CHECK(bs32 == bin(&f, BT_EXPR_MUL, bin(&f, BT_EXPR_MUL, num(&f, 4), s), bin(&f, BT_EXPR_MUL, b, num(&f, 8))));
    CHECK(bin(&f, BT_EXPR_FLOOR_DIV, bs32, bin(&f, BT_EXPR_MUL, s, num(&f, 32))) == b);
    CHECK(const_is(&f, bin(&f, BT_EXPR_MOD, bs32, s), BT_SCALAR_INT, 0));
    CHECK(const_is(&f, bin(&f, BT_EXPR_SUB, bs, bs), BT_SCALAR_INT, 0));
    bt_expr s2 = bin(&f, BT_EXPR_ADD, num(&f, 2), s);
    CHECK(text_is(&f, s2, "s + 2") && bin(&f, BT_EXPR_SUB, s2, num(&f, 2)) == s);
    bt_expr wide = bin(&f, BT_EXPR_MUL, bin(&f, BT_EXPR_MUL, b, s2), num(&f, 32));
    CHECK(text_is(&f, wide, "b*s*32 + b*64"));
    CHECK(bin(&f, BT_EXPR_FLOOR_DIV, wide, bin(&f, BT_EXPR_MUL, s2, num(&f, 32))) == b);
    CHECK(bin(&f, BT_EXPR_FLOOR_DIV, wide, b) == bin(&f, BT_EXPR_MUL, s2, num(&f, 32)));
    bt_expr half = bin(&f, BT_EXPR_FLOOR_DIV, bin(&f, BT_EXPR_ADD, s, num(&f, 1)), num(&f, 2));
    CHECK(text_is(&f, half, "(s + 1) // 2") && bt_expr_hint(f.x, half).i == 5);
    CHECK(text_is(&f, bin(&f, BT_EXPR_MUL, half, b), "b*((s + 1) // 2)"));
    CHECK(text_is(
        &f,
        bin(&f, BT_EXPR_FLOOR_DIV, bin(&f, BT_EXPR_ADD, bin(&f, BT_EXPR_MUL, s, num(&f, 4)), num(&f, 7)), num(&f, 4)),
        "s + 1"));
    CHECK(text_is(&f, bin(&f, BT_EXPR_SUB, num(&f, 5), s), "-s + 5"));
    CHECK(text_is(&f, bin(&f, BT_EXPR_POW, s, num(&f, 2)), "s*s"));
    bt_expr sum = num(&f, 0);
    for (int i = 0; i < 40; i++) {
        sum = bin(&f, BT_EXPR_ADD, sum, bt_expr_symbol(f.x, "z", i));
    }
    CHECK(bt_expr_hint(f.x, sum).i == 780);
    bt_arena_free(&f.arena);
}

static void test_python_semantics(void)
{
    struct fixture f = {.x = NULL};
    start(&f);
    CHECK(const_is(&f, bin(&f, BT_EXPR_FLOOR_DIV, num(&f, -7), num(&f, 2)), BT_SCALAR_INT, -4));
    CHECK(const_is(&f, bin(&f, BT_EXPR_MOD, num(&f, -7), num(&f, 2)), BT_SCALAR_INT, 1));
    CHECK(const_is(&f, bin(&f, BT_EXPR_MOD, num(&f, 7), num(&f, -2)), BT_SCALAR_INT, -1));
    CHECK(const_is(&f, bin(&f, BT_EXPR_FLOOR_DIV, bt_expr_float(f.x, -7.5), num(&f, 2)), BT_SCALAR_FLOAT, -4));
    CHECK(const_is(&f, bin(&f, BT_EXPR_DIV, num(&f, 1), num(&f, 8)), BT_SCALAR_FLOAT, 0.125));
    CHECK(const_is(&f, bin(&f, BT_EXPR_POW, num(&f, 2), num(&f, -1)), BT_SCALAR_FLOAT, 0.5));
    CHECK(const_is(&f, bin(&f, BT_EXPR_POW, num(&f, 3), num(&f, 4)), BT_SCALAR_INT, 81));
    CHECK(const_is(&f, bin(&f, BT_EXPR_ADD, bt_expr_bool(f.x, true), num(&f, 1)), BT_SCALAR_INT, 2));
    CHECK(const_is(&f, bt_expr_unary(f.x, BT_EXPR_ROUND, bt_expr_float(f.x, 2.5)), BT_SCALAR_FLOAT, 2));
    CHECK(const_is(&f, bt_expr_unary(f.x, BT_EXPR_TO_INT, bt_expr_float(f.x, -2.5)), BT_SCALAR_INT, -2));
    CHECK(bin(&f, BT_EXPR_DIV, f.s, num(&f, 0)) == BT_NO_EXPR && bin(&f, BT_EXPR_MOD, f.s, num(&f, 0)) == BT_NO_EXPR);
    CHECK(bin(&f, BT_EXPR_MUL, num(&f, INT64_MAX), num(&f, 2)) == BT_NO_EXPR);
    CHECK(bin(&f, BT_EXPR_FLOOR_DIV, num(&f, INT64_MIN), num(&f, -1)) == BT_NO_EXPR);
    CHECK(bt_expr_unary(f.x, BT_EXPR_TO_INT, bt_expr_float(f.x, 1e300)) == BT_NO_EXPR);
    CHECK(bt_expr_unary(f.x, BT_EXPR_TO_INT, bt_expr_float(f.x, NAN)) == BT_NO_EXPR);
    bt_expr quotient = bin(&f, BT_EXPR_DIV, f.s, num(&f, 2));
    CHECK(text_is(&f, quotient, "s / 2") && bt_expr_hint(f.x, quotient).f == 4.5);
    CHECK(text_is(&f, bt_expr_unary(f.x, BT_EXPR_TO_INT, quotient), "s // 2"));
    CHECK(text_is(&f, bt_expr_float(f.x, 0.1), "0.1") && text_is(&f, bt_expr_float(f.x, 3), "3.0"));
    CHECK(text_is(&f, bt_expr_float(f.x, 1e-12), "1e-12") && text_is(&f, bt_expr_float(f.x, -INFINITY), "-inf"));
    bt_arena_free(&f.arena);
}

static void test_comparisons(void)
{
    struct fixture f = {.x = NULL};
    start(&f);
    bt_expr s = f.s, s2 = bin(&f, BT_EXPR_ADD, s, num(&f, 2));
    CHECK(const_is(&f, bin(&f, BT_EXPR_GT, s2, s), BT_SCALAR_BOOL, 1));
    CHECK(const_is(&f, bin(&f, BT_EXPR_EQ, s2, s), BT_SCALAR_BOOL, 0));
    CHECK(const_is(&f, bin(&f, BT_EXPR_GE, s, num(&f, 0)), BT_SCALAR_BOOL, 1));
    CHECK(const_is(&f, bin(&f, BT_EXPR_LT, s2, num(&f, 1)), BT_SCALAR_BOOL, 0));
    CHECK(!bt_expr_is_const(f.x, bin(&f, BT_EXPR_GE, s, num(&f, 1)), NULL));
    CHECK(bin(&f, BT_EXPR_GE, s, f.b) == bin(&f, BT_EXPR_LE, f.b, s));
    CHECK(bin(&f, BT_EXPR_EQ, num(&f, 5), s) == bin(&f, BT_EXPR_EQ, s, num(&f, 5)));
    CHECK(bt_expr_unary(f.x, BT_EXPR_NOT, bin(&f, BT_EXPR_LT, s, f.b)) == bin(&f, BT_EXPR_GE, s, f.b));
    CHECK(bin(&f, BT_EXPR_MIN, s, s2) == s && bin(&f, BT_EXPR_MAX, s, s2) == s2);
    CHECK(bin(&f, BT_EXPR_MIN, s, f.b) == bin(&f, BT_EXPR_MIN, f.b, s));
    CHECK(bt_expr_hint(f.x, bin(&f, BT_EXPR_LT, s, num(&f, INT64_MAX))).i == 1);
    CHECK(bt_expr_hint(f.x, bin(&f, BT_EXPR_LT, bin(&f, BT_EXPR_SUB, num(&f, -5), s), num(&f, INT64_MAX))).i == 1);
    bt_expr nan = bt_expr_float(f.x, NAN), less = bin(&f, BT_EXPR_LT, nan, bin(&f, BT_EXPR_DIV, s, num(&f, 2)));
    CHECK(bt_expr_hint(f.x, bt_expr_unary(f.x, BT_EXPR_NOT, less)).i == 1);
    CHECK(bin(&f, BT_EXPR_AND, bt_expr_bool(f.x, true), less) == less);
    CHECK(const_is(&f, bin(&f, BT_EXPR_OR, bt_expr_bool(f.x, true), less), BT_SCALAR_BOOL, 1));
    bt_arena_free(&f.arena);
}

static void test_evaluate(void)
{
    struct fixture f = {.x = NULL};
    start(&f);
    bt_expr quotient = bin(&f, BT_EXPR_FLOOR_DIV, f.s, f.b), root = bt_expr_unary(f.x, BT_EXPR_SQRT, f.s);
    bt_expr area = bin(&f, BT_EXPR_MUL, bin(&f, BT_EXPR_ADD, f.s, num(&f, 1)), f.b);
    struct bt_scalar values[64];
    bt_expr failed;
    CHECK(bt_expr_count(f.x) < 64 && bt_expr_symbol_count(f.x) == 2);
    bt_exprs_evaluate(f.x, (int64_t[]){3, 16}, values, &failed);
    CHECK(failed == BT_NO_EXPR && values[quotient].i == 5 && values[root].f == 4.0 && values[area].i == 51);
    bt_exprs_evaluate(f.x, (int64_t[]){0, 16}, values, &failed);
    CHECK(failed == quotient && values[quotient].i == 0 && values[area].i == 0);
    bt_exprs_evaluate(f.x, (int64_t[]){3, INT64_MAX}, values, &failed);
    CHECK(failed >= 0 && values[failed].i == 0 && values[area].i == 0);
    bt_expr_symbol_rename(f.x, 0, "batch");
    CHECK(text_is(&f, area, "batch*s + batch"));
    bt_arena_free(&f.arena);
}

static void test_random_identities(void)
{
    static const enum bt_expr_op ops[] = {BT_EXPR_ADD, BT_EXPR_SUB, BT_EXPR_MUL, BT_EXPR_FLOOR_DIV,
                                          BT_EXPR_MOD, BT_EXPR_MIN, BT_EXPR_MAX, BT_EXPR_LE};
    uint32_t state = 1;
    bool good = true;
    for (int round = 0; round < 300; round++) {
        struct fixture f = {.x = NULL};
        start(&f);
        bt_expr made[40] = {f.b, f.s, num(&f, 3), num(&f, -2)};
        struct {
            enum bt_expr_op op;
            int a, b;
        } recipe[40];
        int count = 4;
        while (count < 24) {
            state = state * 1664525u + 1013904223u;
            recipe[count].op = ops[(state >> 8) % 8];
            recipe[count].a = (int)((state >> 12) % (unsigned)count);
            recipe[count].b = (int)((state >> 20) % (unsigned)count);
            made[count] = bin(&f, recipe[count].op, made[recipe[count].a], made[recipe[count].b]);
            count += made[count] >= 0;
        }
        int64_t symbols[2] = {(int64_t)(state >> 5) % 7 + 1, (int64_t)(state >> 9) % 50 + 1};
        struct bt_scalar *values = calloc((size_t)bt_expr_count(f.x), sizeof(*values));
        bt_expr failed;
        bt_exprs_evaluate(f.x, symbols, values, &failed);
        /* the same recipe over numbers must give what the simplified expressions evaluate to */
        bt_expr plain[40] = {num(&f, symbols[0]), num(&f, symbols[1]), made[2], made[3]};
        for (int i = 4; i < count && failed < 0; i++) {
            plain[i] = bin(&f, recipe[i].op, plain[recipe[i].a], plain[recipe[i].b]);
            if (plain[i] < 0) {
                break;
            }
            good = good && bt_expr_hint(f.x, plain[i]).i == values[made[i]].i;
        }
        free(values);
        bt_arena_free(&f.arena);
    }
    CHECK(good);
}

static void test_all(void)
{
    test_polynomials();
    test_python_semantics();
    test_comparisons();
    test_evaluate();
    test_random_identities();
}

int main(void)
{
    check_group("expr", test_all);
    return check_result();
}
