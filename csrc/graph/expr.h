/* expr.h: integers, floats and bools that depend on the input's dimensions, hash-consed and simplified
 * Integers are kept as polynomials over symbols and opaque terms (floor division, min, ...), so that b*s*32 / (s*32)
 * is b, and equal expressions get equal ids. */
#ifndef BT_GRAPH_EXPR_H
#define BT_GRAPH_EXPR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/memory.h"

typedef int32_t bt_expr; /* index into struct bt_exprs; negative = none */
#define BT_NO_EXPR (-1)

enum bt_scalar_type { BT_SCALAR_BOOL, BT_SCALAR_INT, BT_SCALAR_FLOAT };

struct bt_scalar {
    enum bt_scalar_type type;
    int64_t i; /* bool and int */
    double f;  /* float */
};

enum bt_expr_op {
    BT_EXPR_CONST,
    BT_EXPR_SYMBOL,
    BT_EXPR_POLY, /* int: sum of coefficient * product of atoms */
    BT_EXPR_ADD,
    BT_EXPR_SUB,
    BT_EXPR_MUL,
    BT_EXPR_DIV,       /* true division, float */
    BT_EXPR_FLOOR_DIV, /* towards negative infinity, ints or floats */
    BT_EXPR_MOD,       /* Python's % */
    BT_EXPR_POW,
    BT_EXPR_MIN,
    BT_EXPR_MAX,
    BT_EXPR_EQ,
    BT_EXPR_NE,
    BT_EXPR_LT,
    BT_EXPR_LE,
    BT_EXPR_GT,
    BT_EXPR_GE,
    BT_EXPR_AND,
    BT_EXPR_OR, /* of bools */
    BT_EXPR_NOT,
    BT_EXPR_NEG,
    BT_EXPR_ABS,
    BT_EXPR_SIGN,
    BT_EXPR_SQRT,
    BT_EXPR_EXP,
    BT_EXPR_LOG,
    BT_EXPR_CEIL,
    BT_EXPR_FLOOR,
    BT_EXPR_ROUND, /* float -> float */
    BT_EXPR_TRUNC, /* float -> float; Python's int(x) is TO_INT */
    BT_EXPR_TO_INT,
    BT_EXPR_TO_FLOAT,
    BT_EXPR_TO_BOOL,
};

struct bt_exprs; /* the table; created with the graph's arena */

struct bt_exprs *bt_exprs_new(struct bt_arena *arena); /* NULL: out of memory */

/* Constructors never fail visibly: on lack of memory they return BT_NO_EXPR and every operation on BT_NO_EXPR yields
 * BT_NO_EXPR. Division by a constant zero, or int overflow while folding, yields BT_NO_EXPR too. */
bt_expr bt_expr_int(struct bt_exprs *x, int64_t value);
bt_expr bt_expr_float(struct bt_exprs *x, double value);
bt_expr bt_expr_bool(struct bt_exprs *x, bool value);
/* A new symbol: an input dimension. `hint` is the value of the call for which the graph is being built. */
bt_expr bt_expr_symbol(struct bt_exprs *x, const char *name, int64_t hint);
bt_expr bt_expr_unary(struct bt_exprs *x, enum bt_expr_op op, bt_expr a);
/* Mixed int/float operands promote as Python's do; bools count as ints in arithmetic. */
bt_expr bt_expr_binary(struct bt_exprs *x, enum bt_expr_op op, bt_expr a, bt_expr b);

bool bt_expr_is_const(const struct bt_exprs *x, bt_expr e, struct bt_scalar *out); /* out may be NULL */
bool bt_expr_is_int(const struct bt_exprs *x, bt_expr e, int64_t *out); /* a constant int or bool */
enum bt_scalar_type bt_expr_type(const struct bt_exprs *x, bt_expr e);
struct bt_scalar bt_expr_hint(const struct bt_exprs *x, bt_expr e); /* its value under the symbols' hints */
bool bt_expr_is_non_negative(const struct bt_exprs *x, bt_expr e); /* an int that is proven >= 0 for every call */
bool bt_exprs_out_of_memory(const struct bt_exprs *x); /* whether a BT_NO_EXPR was due to that */
int32_t bt_expr_symbol_count(const struct bt_exprs *x);
void bt_expr_symbol_rename(struct bt_exprs *x, int32_t symbol, const char *name);
int32_t bt_expr_count(const struct bt_exprs *x);
int32_t bt_expr_symbol_index(const struct bt_exprs *x, bt_expr e); /* the symbol's index, or -1 */

/* Values of all expressions, in order of creation, for given symbols. values has bt_expr_count() items. An expression
 * that overflows or divides by zero gets the value 0 and sets its bit in *failed (first failing id, else -1). */
void bt_exprs_evaluate(const struct bt_exprs *x, const int64_t *symbols, struct bt_scalar *values, bt_expr *failed);

/* Which expressions depend on a symbol: depends has bt_expr_count() items. */
void bt_exprs_depend(const struct bt_exprs *x, int32_t symbol, bool *depends);

/* "b", "s + 2", "b*s*4", "0.125", "max(s, 4)": valid until the arena goes. */
const char *bt_expr_text(struct bt_exprs *x, bt_expr e);

#endif
