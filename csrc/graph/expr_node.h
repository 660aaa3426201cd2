/* expr_node.h: the inside of struct bt_exprs, shared by expr*.c and simplify.c */
#ifndef BT_GRAPH_EXPR_NODE_H
#define BT_GRAPH_EXPR_NODE_H

#include <assert.h>

#include "graph/expr.h"
#include "graph/poly.h"
#include "graph/table.h"

struct bt_expr_node {
    uint8_t op;
    uint8_t type;      /* enum bt_scalar_type */
    bool non_negative; /* proven for every call */
    bt_expr a, b;      /* operands, or BT_NO_EXPR; of a SYMBOL: its index in a */
    int32_t term_count;
    const struct bt_term *terms; /* of a POLY */
};

struct bt_symbol {
    const char *name;
    bt_expr expr;
};

struct bt_exprs {
    struct bt_arena *arena;
    struct bt_expr_node *nodes;
    struct bt_scalar *hints; /* value of each node under the symbols' hints; of a CONST: its value */
    size_t count, node_cap, hint_cap;
    struct bt_symbol *symbols;
    size_t symbol_count, symbol_cap;
    struct bt_table table;
    bool out_of_memory;
};

static inline const struct bt_expr_node *bt_expr_node_of(const struct bt_exprs *x, bt_expr e)
{
    assert(e >= 0 && (size_t)e < x->count);
    return &x->nodes[e];
}

/* The node's id, new or known; `value` is its hint (of a CONST: its value). Copies a POLY's terms. (expr.c) */
bt_expr bt_expr_intern(struct bt_exprs *x, struct bt_expr_node *node, const struct bt_scalar *value);
/* An operation as it stands, without simplification; a constant when its operands are. (expr.c) */
bt_expr bt_expr_opaque(struct bt_exprs *x, enum bt_expr_op op, bt_expr a, bt_expr b);
/* The value of a node (not a symbol or constant), given the values of its operands; false on overflow or division by
 * zero. (expr_eval.c) */
bool bt_expr_apply(const struct bt_expr_node *node, const struct bt_scalar *values, struct bt_scalar *out);
double bt_scalar_float(const struct bt_scalar *s);

#endif
