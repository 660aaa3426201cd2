/* test_tscode.c: the grammar of serialised TorchScript code, and what it refuses */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/memory.h"
#include "check.h"
#include "format/tscode.h"

static struct bt_arena arena;
static struct bertc_error error;

static struct bt_span span_of(const char *text)
{
    return (struct bt_span){(const uint8_t *)text, strlen(text)};
}

static struct bt_ts_file *parse(const char *text)
{
    struct bt_ts_file *file = NULL;
    enum bertc_status status = bt_tscode_parse("code/m.py", span_of(text), &arena, &file, &error);
    if (status) {
        printf("    %s\n", error.text);
    }
    return status ? NULL : file;
}

/* The value that a function returns whose only statement is `return <text>`. */
static struct bt_ts_expr *parse_expr(const char *text)
{
    const char *code = bt_arena_printf(&arena, "def f(x, y):\n  return %s\n", text);
    struct bt_ts_file *file = code ? parse(code) : NULL;
    return file ? file->functions[0]->body.items[0]->value : NULL;
}

/* An expression as one line of prefix notation. */
static void show(const struct bt_ts_expr *e, char *out, size_t size)
{
    static const char *const names[] = {
        [BT_TS_INDEX] = "index",
        [BT_TS_SLICE] = "slice",
        [BT_TS_CALL] = "call",
        [BT_TS_LIST] = "list",
        [BT_TS_TUPLE] = "tuple",
        [BT_TS_DICT] = "dict",
        [BT_TS_NOT] = "not",
        [BT_TS_NEG] = "neg",
        [BT_TS_IF] = "if",
        [BT_TS_NONE] = "None",
        [BT_TS_TRUE] = "True",
        [BT_TS_FALSE] = "False",
        [BT_TS_ATTR] = ".",
        [BT_TS_BINARY] = "",
        [BT_TS_ANNOTATE] = "annotate",
        [BT_TS_UNINITIALIZED] = "uninit",
        [BT_TS_ISINSTANCE] = "is a",
    };
    size_t at = strlen(out);
    switch (e->kind) {
    case BT_TS_INT: snprintf(out + at, size - at, "%lld", (long long)e->integer); return;
    case BT_TS_FLOAT: snprintf(out + at, size - at, "%.17gf", e->number); return;
    case BT_TS_STRING: snprintf(out + at, size - at, "'%s'", e->text); return;
    case BT_TS_NAME: snprintf(out + at, size - at, "%s", e->text); return;
    default: break;
    }
    char *type = e->type ? bt_tscode_type_text(e->type, &arena) : NULL;
    snprintf(out + at, size - at, "(%s%s%s", names[e->kind], e->text ? e->text : "", type ? type : "");
    for (size_t i = 0; i < e->count; i++) {
        at = strlen(out);
        snprintf(out + at, size - at, " %s%s", e->names && e->names[i] ? e->names[i] : "",
                 e->names && e->names[i] ? "=" : "");
        show(e->args[i], out, size);
    }
    at = strlen(out);
    snprintf(out + at, size - at, ")");
}

static void test_expressions(void)
{
    static const struct {
        const char *text, *tree;
    } cases[] = {
        {"x", "x"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"9223372036854775807", "9223372036854775807"},
        {"9.9999999999999998e-13", "9.9999999999999998e-13f"},
        {"-3.4028234663852886e+38", "-3.4028234663852886e+38f"},
        {"1.", "1f"},
        {"-inf", "-inff"},
        {"\"a\\\"b\\\\\\n\\303\\251\"", "'a\"b\\\n\303\251'"},
        {"'it\\'s'", "'it's'"},
        {"None", "(None)"},
        {"getattr(x, \"0\").self.weight", "(.weight (.self (.0 x)))"},
        {"(x).forward1(y, )", "(call (.forward1 x) y)"},
        {"torch.add(x, y, alpha=1)", "(call (.add torch) x y alpha=1)"},
        {"[x, -1, ]", "(list x -1)"},
        {"()", "(tuple)"},
        {"(x,)", "(tuple x)"},
        {"(x)", "x"},
        {"(x, y)", "(tuple x y)"},
        {"x, y", "(tuple x y)"},
        {"{\"a\": x, \"b\": y, }", "(dict 'a' x 'b' y)"},
        {"{}", "(dict)"},
        {"(x)[0]", "(index x 0)"},
        {"x[1:2]", "(slice x 1 2)"},
        {"x[:-1]", "(slice x (None) -1)"},
        {"x[1:]", "(slice x 1 (None))"},
        {"annotate(List[int], [])", "(annotateList[int] (list))"},
        {"annotate(Dict[str, Tuple[Tensor, Optional[int]]], x)", "(annotateDict[str, Tuple[Tensor, Optional[int]]] x)"},
        {"annotate(Tuple[()], x)", "(annotateTuple x)"},
        {"unchecked_cast(Tensor, x)", "(annotateTensor x)"},
        {"uninitialized(__torch__.a.B)", "(uninit__torch__.a.B)"},
        {"isinstance(x, Tensor)", "(is aTensor x)"},
        {"isinstance(x, (int, List[int]))", "(is a[int, List[int]] x)"},
        {"x + y * 2 ** -1", "(+ x (* y (** 2 -1)))"},
        {"x - y - 1", "(- (- x y) 1)"},
        {"-x ** 2", "(neg (** x 2))"},
        {"not x == y", "(not (== x y))"},
        {"x is not None", "(is not x (None))"},
        {"x not in y", "(not in x y)"},
        {"x is None or x and not y", "(or (is x (None)) (and x (not y)))"},
        {"x < 1 if y else True", "(if y (< x 1) (True))"},
        {"x // 2 % 3 << 1 & 7", "(& (<< (% (// x 2) 3) 1) 7)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512] = "";
        const struct bt_ts_expr *e = parse_expr(cases[i].text);
        if (e) {
            show(e, text, sizeof text);
        }
        check_at(__FILE__, __LINE__, e && !strcmp(text, cases[i].tree), cases[i].text);
    }
    CHECK(isnan(parse_expr("nan")->number));
}

static void test_statements(void)
{
    struct bt_ts_file *file = parse("op_version_set = 1\n"
                                    "import __torch__.a\n"
                                    "\n"
                                    "def f(self,\n"
                                    "    x: Tensor, # a comment\n"
                                    "    k: Optional[int]=None) -> Tuple[Tensor, int]:\n"
                                    "  a, b, = g(x)\n"
                                    "  c, = [a]\n"
                                    "  n : int = 3\n"
                                    "  if torch.eq(n, 3):\n"
                                    "    pass\n"
                                    "  else:\n"
                                    "    for i in range(n):\n"
                                    "      while True:\n"
                                    "        break\n"
                                    "      continue\n"
                                    "\n"
                                    "  # nothing here\n"
                                    "  assert n < 4, \"more\"\n"
                                    "  with a as b:\n"
                                    "    self.x = c\n"
                                    "  print(n)\n"
                                    "  return (a, n)");
    CHECK(file && file->function_count == 1 && file->class_count == 0);
    if (!file) {
        return;
    }
    const struct bt_ts_function *f = file->functions[0];
    CHECK(f->param_count == 3 && !strcmp(f->params[1].name, "x") && !strcmp(f->params[1].type->name, "Tensor"));
    CHECK(f->params[2].fallback->kind == BT_TS_NONE && f->params[2].type->count == 1);
    CHECK(!f->params[0].type && !f->params[1].fallback && f->result->count == 2);
    static const enum bt_ts_stmt_kind kinds[] = {BT_TS_ASSIGN, BT_TS_ASSIGN, BT_TS_ASSIGN, BT_TS_IF_STMT,
                                                 BT_TS_ASSERT, BT_TS_WITH,   BT_TS_EXPR,   BT_TS_RETURN};
    CHECK(f->body.count == sizeof kinds / sizeof kinds[0]);
    for (size_t i = 0; i < f->body.count; i++) {
        CHECK(f->body.items[i]->kind == kinds[i]);
    }
    struct bt_ts_stmt *const *body = f->body.items;
    CHECK(body[0]->unpack && body[0]->target_count == 2 && body[1]->unpack && body[1]->target_count == 1);
    CHECK(!body[2]->unpack && body[2]->line == 9);
    CHECK(body[3]->body.items[0]->kind == BT_TS_PASS && body[3]->orelse.items[0]->kind == BT_TS_FOR);
    CHECK(body[3]->orelse.items[0]->body.count == 2);
    CHECK(body[5]->target_count == 1 && body[5]->body.items[0]->targets[0]->kind == BT_TS_ATTR);

    /* one name, one slot; the parameters have the first ones */
    CHECK(body[7]->value->args[0]->integer == body[0]->targets[0]->integer);
    CHECK(body[0]->value->args[1]->integer == 1 && (size_t)body[0]->targets[1]->integer < f->local_count);
}

static void test_classes(void)
{
    struct bt_ts_file *file = parse("class Out(NamedTuple):\n"
                                    "  a : Tensor\n"
                                    "  b : List[Tensor]\n"
                                    "class M(Module):\n"
                                    "  __parameters__ = [\"weight\", ]\n"
                                    "  __buffers__ = []\n"
                                    "  weight : Tensor\n"
                                    "  self : __torch__.a.___torch_mangle_3.B\n"
                                    "  k : Final[int] = 4\n"
                                    "  __annotations__[\"0\"] = __torch__.C\n"
                                    "  def forward(s: __torch__.M, argument_1: Tensor) -> Tensor:\n"
                                    "    return argument_1\n"
                                    "  def forward1(s: __torch__.M) -> NoneType:\n"
                                    "    return None\n"
                                    "class E:\n"
                                    "  pass\n");
    CHECK(file && file->class_count == 3);
    if (!file) {
        return;
    }
    const struct bt_ts_class *c = file->classes[1];
    CHECK(!strcmp(file->classes[0]->base, "NamedTuple") && file->classes[0]->field_count == 2);
    CHECK(!strcmp(c->base, "Module") && c->method_count == 2 && c->field_count == 4);
    CHECK(c->parameters && c->parameters->count == 1 && !strcmp(c->parameters->args[0]->text, "weight"));
    CHECK(!strcmp(c->fields[3].name, "0") && c->fields[2].value->integer == 4 && !c->has_hooks);
    CHECK(!strcmp(c->fields[1].type->name, "__torch__.a.___torch_mangle_3.B"));
    CHECK(!strcmp(file->classes[2]->base, ""));
}

static void test_refusals(void)
{
    static const struct {
        const char *code, *text;
    } cases[] = {
        {"x\n", "m.py:1: expected a class or a function, found 'x'"},
        {"def f(x)\n  return x\n", "expected ':', found the end of the line"},
        {"def f(x):\nreturn x\n", "m.py:2: expected an indented block, found 'return'"},
        {"def f(x):\n    return x\n  return x\n", "m.py:3: the indentation matches no open block"},
        {"def f(x):\n\treturn x\n", "a tab in the indentation"},
        {"def f(x):\n  return (x\n", "expected ')', found the end of the"},
        {"def f(x):\n  return \"x\n", "m.py:2: a string without its closing quote"},
        {"def f(x):\n  return \"\\q\"\n", "an unknown escape sequence"},
        {"def f(x):\n  return 9223372036854775808\n", "an integer beyond 64 bits"},
        {"def f(x):\n  return 99999999999999999999\n", "an integer beyond 64 bits"},
        {"def f(x):\n  return 1j\n", "complex numbers"},
        {"def f(x):\n  return x ? 1\n", "a character that TorchScript code does not use"},
        {"def f(x):\n  return x y\n", "expected the end of the statement, found 'y'"},
        {"def f(x):\n  return 1 < x < 3\n", "no chain of comparisons"},
        {"def f(x):\n  return x[]\n", "expected an index"},
        {"def f(x):\n  return x if x\n", "expected 'else'"},
        {"def f(x):\n  return getattr(x, x)\n", "an attribute name in quotes"},
        {"def f(x):\n  g(x) = 3\n", "a name or an attribute as the target"},
        {"def f(x, x):\n  return x\n", "parameters with different names"},
        {"def f(x):\n  for x x:\n    pass\n", "expected 'in', found 'x'"},
        {"class A(Module):\n  x\n", "expected ':' or '='"},
        {"class A(Module):\n", "expected an indented block"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bt_ts_file *file;
        CHECK_REFUSAL(bt_tscode_parse("m.py", span_of(cases[i].code), &arena, &file, &error), &error, BERTC_FORMAT,
                      cases[i].text);
    }
}

/* Deep nesting ends with a message, not with the stack; long chains are no nesting. */
static void test_depth(void)
{
    static const struct {
        const char *head, *open, *close;
        bool deep;
    } cases[] = {
        {"def f(x):\n  return ", "(", ")", true},   {"def f(x):\n  return ", "[", "]", true},
        {"def f(x):\n  return ", "not ", "", true}, {"def f(x):\n  return ", "- ", "", true},
        {"def f(x):\n  return ", "x**", "", true},  {"def f(x):\n  return ", "x if x else ", "", true},
        {"def f(x: ", "List[", "]", true},          {"def f(x):\n  return ", "x+", "", false},
        {"def f(x):\n  return x", ".x", "", false},
    };
    enum { LEVELS = 100000 };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t open = strlen(cases[i].open), close = strlen(cases[i].close);
        char *text = calloc(LEVELS, open + close + 1);
        char *code = text ? calloc(1, strlen(cases[i].head) + LEVELS * (open + close) + 64) : NULL;
        CHECK(code != NULL);
        if (!code) {
            free(text);
            return;
        }
        char *at = stpcpy(code, cases[i].head);
        for (int k = 0; k < LEVELS; k++) {
            at = stpcpy(at, cases[i].open);
        }
        at = stpcpy(at, cases[i].open[0] == '.' ? "" : "x");
        for (int k = 0; k < LEVELS; k++) {
            at = stpcpy(at, cases[i].close);
        }
        stpcpy(at, "\n");
        struct bt_ts_file *file;
        enum bertc_status status = bt_tscode_parse("m.py", span_of(code), &arena, &file, &error);
        CHECK(cases[i].deep ? status == BERTC_FORMAT && strstr(error.text, "levels deep") : status == BERTC_OK);
        free(code);
        free(text);
    }
}

static void test_out_of_memory(void)
{
    static const char code[] = "class M(Module):\n  x : Tensor\n  def f(self, a: Tensor=None) -> Tensor:\n"
                               "    b, = torch.add(a, [\"c\", 2.5], alpha=1)\n    return b\n";
    enum bertc_status status = BERTC_MEMORY;
    long n = 0;
    while (status == BERTC_MEMORY && n < 100) {
        struct bt_arena small = {0};
        struct bt_ts_file *file;
        bt_alloc_fail_at(++n);
        status = bt_tscode_parse("m.py", span_of(code), &small, &file, &error);
        bt_arena_free(&small);
    }
    bt_alloc_fail_at(0);
    CHECK(status == BERTC_OK && n > 1);
}

int main(void)
{
    check_group("tscode expressions", test_expressions);
    check_group("tscode statements", test_statements);
    check_group("tscode classes", test_classes);
    check_group("tscode refusals", test_refusals);
    check_group("tscode depth", test_depth);
    check_group("tscode out of memory", test_out_of_memory);
    bt_arena_free(&arena);
    return check_result();
}
