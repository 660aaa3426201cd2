/* expr_text.c: expressions as Python would write them */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/expr_node.h"

#define MAX_TEXT 240
#define MAX_DEPTH 24

enum { LEVEL_ANY, LEVEL_OR, LEVEL_AND, LEVEL_NOT, LEVEL_COMPARE, LEVEL_SUM, LEVEL_PRODUCT, LEVEL_POWER, LEVEL_ATOM };

/* Expressions share subterms, so the text of a small one may be huge: it ends at the buffer's end. */
struct writer {
    const struct bt_exprs *x;
    char text[MAX_TEXT];
    size_t size;
    int depth;
};

static const struct {
    const char *text;
    int level;
} infix[] = {
    [BT_EXPR_ADD] = {"+", LEVEL_SUM},
    [BT_EXPR_SUB] = {"-", LEVEL_SUM},
    [BT_EXPR_MUL] = {"*", LEVEL_PRODUCT},
    [BT_EXPR_DIV] = {"/", LEVEL_PRODUCT},
    [BT_EXPR_FLOOR_DIV] = {"//", LEVEL_PRODUCT},
    [BT_EXPR_MOD] = {"%", LEVEL_PRODUCT},
    [BT_EXPR_POW] = {"**", LEVEL_POWER},
    [BT_EXPR_EQ] = {"==", LEVEL_COMPARE},
    [BT_EXPR_NE] = {"!=", LEVEL_COMPARE},
    [BT_EXPR_LT] = {"<", LEVEL_COMPARE},
    [BT_EXPR_LE] = {"<=", LEVEL_COMPARE},
    [BT_EXPR_GT] = {">", LEVEL_COMPARE},
    [BT_EXPR_GE] = {">=", LEVEL_COMPARE},
    [BT_EXPR_AND] = {"and", LEVEL_AND},
    [BT_EXPR_OR] = {"or", LEVEL_OR},
};

static const char *const function_names[] = {
    [BT_EXPR_MIN] = "min",        [BT_EXPR_MAX] = "max",      [BT_EXPR_ABS] = "abs",     [BT_EXPR_SIGN] = "sign",
    [BT_EXPR_SQRT] = "sqrt",      [BT_EXPR_EXP] = "exp",      [BT_EXPR_LOG] = "log",     [BT_EXPR_CEIL] = "ceil",
    [BT_EXPR_FLOOR] = "floor",    [BT_EXPR_ROUND] = "round",  [BT_EXPR_TRUNC] = "trunc", [BT_EXPR_TO_INT] = "int",
    [BT_EXPR_TO_FLOAT] = "float", [BT_EXPR_TO_BOOL] = "bool",
};

static void put(struct writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct writer *w, const char *fmt, ...)
{
    if (w->size >= MAX_TEXT - 1) {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(w->text + w->size, MAX_TEXT - w->size, fmt, ap);
    va_end(ap);
    if (n > 0) {
        w->size += (size_t)n;
    }
    if (w->size >= MAX_TEXT) {
        w->size = MAX_TEXT - 1;
        memcpy(w->text + MAX_TEXT - 4, "...", 4);
    }
}

/* The shortest decimal that reads back as the same double. */
static void put_float(struct writer *w, double value)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    bool whole = strspn(text, "-0123456789") == strlen(text);
    put(w, whole ? "%s.0" : "%s", text);
}

static void put_scalar(struct writer *w, const struct bt_scalar *s)
{
    if (s->type == BT_SCALAR_FLOAT) {
        put_float(w, s->f);
    } else if (s->type == BT_SCALAR_BOOL) {
        put(w, s->i ? "True" : "False");
    } else {
        put(w, "%lld", (long long)s->i);
    }
}

static void write_expr(struct writer *w, bt_expr e, int level);

static void write_term(struct writer *w, const struct bt_term *term, bool first)
{
    bool minus = term->coef < 0;
    uint64_t size = minus ? 0 - (uint64_t)term->coef : (uint64_t)term->coef;
    put(w, "%s", first ? (minus ? "-" : "") : (minus ? " - " : " + "));
    for (int32_t k = 0; k < term->degree; k++) {
        put(w, "%s", k ? "*" : "");
        write_expr(w, term->atoms[k], term->degree == 1 && term->coef == 1 ? LEVEL_PRODUCT : LEVEL_POWER);
    }
    if (size != 1 || term->degree == 0) {
        put(w, term->degree ? "*%llu" : "%llu", (unsigned long long)size);
    }
}

static int node_level(const struct bt_exprs *x, bt_expr e)
{
    const struct bt_expr_node *node = &x->nodes[e];
    if (node->op == BT_EXPR_POLY) {
        return node->term_count == 1 && node->terms[0].coef > 0 ? LEVEL_PRODUCT : LEVEL_SUM;
    }
    if (node->op == BT_EXPR_NEG) {
        return LEVEL_PRODUCT;
    }
    if (node->op == BT_EXPR_NOT) {
        return LEVEL_NOT;
    }
    if (node->op == BT_EXPR_CONST && bt_scalar_float(&x->hints[e]) < 0) {
        return LEVEL_PRODUCT;
    }
    bool is_infix = node->op < sizeof(infix) / sizeof(infix[0]) && infix[node->op].text;
    return is_infix ? infix[node->op].level : LEVEL_ATOM;
}

static void write_node(struct writer *w, bt_expr e, int level)
{
    const struct bt_expr_node *node = &w->x->nodes[e];
    if (node->op == BT_EXPR_CONST) {
        put_scalar(w, &w->x->hints[e]);
    } else if (node->op == BT_EXPR_SYMBOL) {
        put(w, "%s", w->x->symbols[node->a].name);
    } else if (node->op == BT_EXPR_POLY) {
        for (int32_t i = 0; i < node->term_count; i++) {
            write_term(w, &node->terms[i], i == 0);
        }
    } else if (node->op == BT_EXPR_NOT || node->op == BT_EXPR_NEG) {
        put(w, "%s", node->op == BT_EXPR_NOT ? "not " : "-");
        write_expr(w, node->a, level + 1);
    } else if (level < LEVEL_ATOM) {
        bool right = node->op == BT_EXPR_POW; /* the one operator that groups to the right */
        write_expr(w, node->a, level + (right || level == LEVEL_COMPARE));
        bool tight = node->op == BT_EXPR_MUL || node->op == BT_EXPR_POW;
        put(w, tight ? "%s" : " %s ", infix[node->op].text);
        write_expr(w, node->b, level + !right);
    } else {
        put(w, "%s(", function_names[node->op]);
        write_expr(w, node->a, LEVEL_ANY);
        if (node->b >= 0) {
            put(w, ", ");
            write_expr(w, node->b, LEVEL_ANY);
        }
        put(w, ")");
    }
}

/* Writes e, in parentheses when it binds less tightly than `level`. */
static void write_expr(struct writer *w, bt_expr e, int level)
{
    if (w->depth == MAX_DEPTH || w->size >= MAX_TEXT - 1) {
        put(w, "...");
        return;
    }
    int own = node_level(w->x, e);
    w->depth++;
    put(w, "%s", own < level ? "(" : "");
    write_node(w, e, own);
    put(w, "%s", own < level ? ")" : "");
    w->depth--;
}

const char *bt_expr_text(struct bt_exprs *x, bt_expr e)
{
    if (e < 0) {
        return "?";
    }
    struct writer w = {.x = x};
    write_expr(&w, e, LEVEL_ANY);
    const char *text = bt_arena_string(x->arena, w.text, w.size);
    return text ? text : "?";
}
