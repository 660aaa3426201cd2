/* expr.c: the table of expressions: constants, symbols, hash-consed nodes */
#include <string.h>

#include "graph/expr_node.h"

/* ---- the table ---- */

struct bt_exprs *bt_exprs_new(struct bt_arena *arena)
{
    struct bt_exprs *x = bt_arena_alloc(arena, 1, sizeof(*x));
    if (x) {
        x->arena = arena;
    }
    return x;
}

static bt_expr out_of_memory(struct bt_exprs *x)
{
    x->out_of_memory = true;
    return BT_NO_EXPR;
}

static bt_expr append(struct bt_exprs *x, const struct bt_expr_node *node, const struct bt_scalar *hint)
{
    if (x->count >= INT32_MAX - 1 ||
        !bt_arena_reserve(x->arena, &x->nodes, &x->node_cap, x->count + 1, sizeof(*node)) ||
        !bt_arena_reserve(x->arena, &x->hints, &x->hint_cap, x->count + 1, sizeof(*hint))) {
        return out_of_memory(x);
    }
    x->nodes[x->count] = *node;
    x->hints[x->count] = *hint;
    return (bt_expr)x->count++;
}

struct candidate {
    const struct bt_exprs *exprs;
    const struct bt_expr_node *node;
    const struct bt_scalar *value; /* of a CONST */
};

static bool same_bits(const struct bt_scalar *a, const struct bt_scalar *b)
{
    return a->type == b->type && a->i == b->i && memcmp(&a->f, &b->f, sizeof(a->f)) == 0;
}

static bool same_node(const void *context, int32_t id)
{
    const struct candidate *want = context;
    const struct bt_expr_node *a = want->node, *b = &want->exprs->nodes[id];
    if (a->op != b->op || a->a != b->a || a->b != b->b || a->term_count != b->term_count) {
        return false;
    }
    if (a->op == BT_EXPR_CONST) {
        return same_bits(want->value, &want->exprs->hints[id]);
    }
    return a->term_count == 0 || memcmp(a->terms, b->terms, (size_t)a->term_count * sizeof(*a->terms)) == 0;
}

static uint32_t hash_node(const struct bt_expr_node *node, const struct bt_scalar *value)
{
    uint32_t hash = bt_hash(BT_HASH_START, &node->op, sizeof(node->op));
    if (node->op == BT_EXPR_CONST) {
        hash = bt_hash(hash, &value->i, sizeof(value->i));
        return bt_hash(hash, &value->f, sizeof(value->f));
    }
    hash = bt_hash(hash, &node->a, sizeof(node->a));
    hash = bt_hash(hash, &node->b, sizeof(node->b));
    return bt_hash(hash, node->terms, (size_t)node->term_count * sizeof(*node->terms));
}

bt_expr bt_expr_intern(struct bt_exprs *x, struct bt_expr_node *node, const struct bt_scalar *value)
{
    struct candidate want = {x, node, value};
    uint32_t hash = hash_node(node, value);
    bt_expr found = bt_table_find(&x->table, hash, same_node, &want);
    if (found >= 0) {
        return found;
    }
    if (node->term_count > 0) {
        node->terms = bt_arena_copy(x->arena, node->terms, (size_t)node->term_count * sizeof(*node->terms));
        if (!node->terms) {
            return out_of_memory(x);
        }
    }
    bt_expr e = append(x, node, value);
    if (e >= 0 && !bt_table_add(&x->table, x->arena, hash, e)) {
        return out_of_memory(x);
    }
    return e;
}

static bt_expr intern_const(struct bt_exprs *x, const struct bt_scalar *value)
{
    struct bt_expr_node node = {.op = BT_EXPR_CONST, .type = (uint8_t)value->type, .a = BT_NO_EXPR, .b = BT_NO_EXPR};
    node.non_negative = value->type != BT_SCALAR_FLOAT && value->i >= 0;
    return bt_expr_intern(x, &node, value);
}

bt_expr bt_expr_int(struct bt_exprs *x, int64_t value)
{
    return intern_const(x, &(struct bt_scalar){.type = BT_SCALAR_INT, .i = value});
}

bt_expr bt_expr_float(struct bt_exprs *x, double value)
{
    return intern_const(x, &(struct bt_scalar){.type = BT_SCALAR_FLOAT, .f = value});
}

bt_expr bt_expr_bool(struct bt_exprs *x, bool value)
{
    return intern_const(x, &(struct bt_scalar){.type = BT_SCALAR_BOOL, .i = value});
}

bt_expr bt_expr_symbol(struct bt_exprs *x, const char *name, int64_t hint)
{
    if (!bt_arena_reserve(x->arena, &x->symbols, &x->symbol_cap, x->symbol_count + 1, sizeof(*x->symbols))) {
        return out_of_memory(x);
    }
    struct bt_symbol *symbol = &x->symbols[x->symbol_count];
    symbol->name = bt_arena_string(x->arena, name, strlen(name));
    struct bt_expr_node node = {.op = BT_EXPR_SYMBOL, .type = BT_SCALAR_INT, .non_negative = true};
    node.a = (bt_expr)x->symbol_count;
    node.b = BT_NO_EXPR;
    symbol->expr =
        symbol->name ? append(x, &node, &(struct bt_scalar){.type = BT_SCALAR_INT, .i = hint}) : out_of_memory(x);
    if (symbol->expr >= 0) {
        x->symbol_count++;
    }
    return symbol->expr;
}

/* ---- questions ---- */

bool bt_expr_is_const(const struct bt_exprs *x, bt_expr e, struct bt_scalar *out)
{
    if (e < 0 || bt_expr_node_of(x, e)->op != BT_EXPR_CONST) {
        return false;
    }
    if (out) {
        *out = x->hints[e];
    }
    return true;
}

bool bt_expr_is_int(const struct bt_exprs *x, bt_expr e, int64_t *out)
{
    if (e < 0 || bt_expr_node_of(x, e)->op != BT_EXPR_CONST || bt_expr_node_of(x, e)->type == BT_SCALAR_FLOAT) {
        return false;
    }
    *out = x->hints[e].i;
    return true;
}

enum bt_scalar_type bt_expr_type(const struct bt_exprs *x, bt_expr e)
{
    return e < 0 ? BT_SCALAR_INT : (enum bt_scalar_type)bt_expr_node_of(x, e)->type;
}

struct bt_scalar bt_expr_hint(const struct bt_exprs *x, bt_expr e)
{
    return e < 0 ? (struct bt_scalar){.type = BT_SCALAR_INT} : x->hints[e];
}

bool bt_expr_is_non_negative(const struct bt_exprs *x, bt_expr e)
{
    return e >= 0 && bt_expr_node_of(x, e)->non_negative;
}

bool bt_exprs_out_of_memory(const struct bt_exprs *x)
{
    return x->out_of_memory;
}

int32_t bt_expr_symbol_count(const struct bt_exprs *x)
{
    return (int32_t)x->symbol_count;
}

void bt_expr_symbol_rename(struct bt_exprs *x, int32_t symbol, const char *name)
{
    const char *copy = bt_arena_string(x->arena, name, strlen(name));
    if (copy) {
        x->symbols[symbol].name = copy;
    } else {
        x->out_of_memory = true;
    }
}

int32_t bt_expr_count(const struct bt_exprs *x)
{
    return (int32_t)x->count;
}

int32_t bt_expr_symbol_index(const struct bt_exprs *x, bt_expr e)
{
    return e >= 0 && bt_expr_node_of(x, e)->op == BT_EXPR_SYMBOL ? bt_expr_node_of(x, e)->a : -1;
}

/* ---- opaque nodes ---- */

static enum bt_scalar_type result_type(const struct bt_exprs *x, enum bt_expr_op op, bt_expr a, bt_expr b)
{
    switch (op) {
    case BT_EXPR_EQ:
    case BT_EXPR_NE:
    case BT_EXPR_LT:
    case BT_EXPR_LE:
    case BT_EXPR_GT:
    case BT_EXPR_GE:
    case BT_EXPR_AND:
    case BT_EXPR_OR:
    case BT_EXPR_NOT:
    case BT_EXPR_TO_BOOL: return BT_SCALAR_BOOL;
    case BT_EXPR_TO_INT: return BT_SCALAR_INT;
    case BT_EXPR_ADD:
    case BT_EXPR_SUB:
    case BT_EXPR_MUL:
    case BT_EXPR_FLOOR_DIV:
    case BT_EXPR_MOD:
    case BT_EXPR_POW:
    case BT_EXPR_MIN:
    case BT_EXPR_MAX:
    case BT_EXPR_NEG:
    case BT_EXPR_ABS:
    case BT_EXPR_SIGN:
        return bt_expr_type(x, a) == BT_SCALAR_FLOAT || bt_expr_type(x, b) == BT_SCALAR_FLOAT ? BT_SCALAR_FLOAT
                                                                                              : BT_SCALAR_INT;
    default: return BT_SCALAR_FLOAT;
    }
}

static bool proves_non_negative(const struct bt_exprs *x, enum bt_expr_op op, bt_expr a, bt_expr b)
{
    bool na = bt_expr_is_non_negative(x, a), nb = bt_expr_is_non_negative(x, b);
    switch (op) {
    case BT_EXPR_ADD:
    case BT_EXPR_MUL:
    case BT_EXPR_FLOOR_DIV:
    case BT_EXPR_MIN: return na && nb;
    case BT_EXPR_MAX: return na || nb;
    case BT_EXPR_MOD: return nb;
    case BT_EXPR_POW: return na;
    case BT_EXPR_ABS: return true;
    case BT_EXPR_TO_INT: return bt_expr_type(x, a) == BT_SCALAR_BOOL;
    default: return false;
    }
}

bt_expr bt_expr_opaque(struct bt_exprs *x, enum bt_expr_op op, bt_expr a, bt_expr b)
{
    struct bt_expr_node node = {.op = (uint8_t)op, .a = a, .b = b};
    struct bt_scalar hint;
    if (!bt_expr_apply(&node, x->hints, &hint)) {
        return BT_NO_EXPR;
    }
    if (bt_expr_is_const(x, a, NULL) && (b < 0 || bt_expr_is_const(x, b, NULL))) {
        return intern_const(x, &hint);
    }
    node.type = (uint8_t)result_type(x, op, a, b);
    node.non_negative = node.type == BT_SCALAR_INT && proves_non_negative(x, op, a, b);
    return bt_expr_intern(x, &node, &hint);
}
