/* exported_bind.c: a call's arguments against the shapes of an exported program, and as inputs of its graph */
#include <inttypes.h>
#include <string.h>

#include "load/exported.h"

#define ZERO_ONE 2 /* programs hold for the sizes 0 and 1 though torch says "at least 2" of a dimension it guessed */

/* A dimension whose size has a name, at the tensor where it was met first. */
struct symbol {
    const char *text;
    const char *argument;
    size_t tensor;
    int dim;
    int64_t size;
    int64_t least, most;
};

struct binder {
    const struct bt_exported *e;
    struct bt_lower *l;
    const char *argument;
    size_t *tensors;                    /* the leaf of each tensor, in the order of the call */
    uint8_t *fixed;                     /* see bt_bind_inputs */
    size_t tensor_count;
    const struct bertc_value **scalars; /* per leaf; NULL: a tensor */
    struct symbol *symbols;
    size_t symbol_count, symbol_cap;
    struct pair {
        size_t tensor, other;
        int dim, other_dim;
    } *pairs; /* dimensions that are to be equal */
    size_t pair_count, pair_cap;
};

/* The name in "s0" or "Symbol('s0', positive=True, integer=True)"; NULL for an expression of several. */
static const char *symbol_text(struct bt_arena *arena, const char *text)
{
    static const char head[] = "Symbol('";
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    const bool wrapped = !strncmp(text, head, sizeof head - 1);
    if (wrapped) {
        text += sizeof head - 1;
    }
    const size_t size = strspn(text, letters);
    const char *end = text + size;
    if (size == 0 || (wrapped ? *end != '\'' || strchr(end, '(') : *end != '\0')) {
        return NULL;
    }
    return bt_arena_string(arena, text, size);
}

static enum bertc_status add_symbol(struct binder *b, struct symbol symbol, struct bertc_error *err)
{
    const struct bt_json *range = bt_json_get(bt_json_get(b->e->program, "range_constraints"), symbol.text);
    symbol.least = 0;
    symbol.most = INT64_MAX;
    if (!bt_json_int(bt_json_get(range, "min_val"), &symbol.least) || symbol.least <= ZERO_ONE) {
        symbol.least = 0;
    }
    bt_json_int(bt_json_get(range, "max_val"), &symbol.most);
    if (symbol.size < symbol.least || symbol.size > symbol.most) {
        return bt_error_set(err, BERTC_INPUT,
                            "argument '%s': dimension %d is %" PRId64 ", but the program was exported for %" PRId64
                            " to %" PRId64 "; export it again with a wider range",
                            symbol.argument, symbol.dim, symbol.size, symbol.least, symbol.most);
    }
    if (!bt_arena_reserve(b->l->arena, &b->symbols, &b->symbol_cap, b->symbol_count + 1, sizeof *b->symbols)) {
        return bt_error_memory(err);
    }
    b->symbols[b->symbol_count++] = symbol;
    return BERTC_OK;
}

/* A dimension that the program calls by a name: in range, and the same wherever the name is met. */
static enum bertc_status check_symbol(struct binder *b, const struct symbol *symbol, struct bertc_error *err)
{
    for (size_t i = 0; i < b->symbol_count; i++) {
        const struct symbol *s = &b->symbols[i];
        if (strcmp(s->text, symbol->text) != 0) {
            continue;
        }
        if (s->size != symbol->size) {
            return bt_error_set(err, BERTC_INPUT,
                                "argument '%s': dimension %d is %" PRId64 ", but dimension %d of '%s' is %" PRId64
                                ", and the program takes them equal",
                                symbol->argument, symbol->dim, symbol->size, s->dim, s->argument, s->size);
        }
        if (!bt_arena_reserve(b->l->arena, &b->pairs, &b->pair_cap, b->pair_count + 1, sizeof *b->pairs)) {
            return bt_error_memory(err);
        }
        b->pairs[b->pair_count++] = (struct pair){symbol->tensor, s->tensor, symbol->dim, s->dim};
        return BERTC_OK;
    }
    return add_symbol(b, *symbol, err);
}

static enum bertc_status check_dim(struct binder *b, const struct bt_json *size, int dim, int64_t actual,
                                   struct bertc_error *err)
{
    const char *tag = "";
    const struct bt_json *value = bt_exported_union(size, &tag);
    int64_t exported;
    if (value && !strcmp(tag, "as_int") && bt_json_int(value, &exported)) {
        if (exported != actual) {
            return bt_error_set(err, BERTC_INPUT,
                                "argument '%s': dimension %d is %" PRId64 ", but the program was exported for %" PRId64
                                " only; export it again with dynamic_shapes",
                                b->argument, dim, actual, exported);
        }
        b->fixed[b->tensor_count] |= (uint8_t)(1u << dim);
        return BERTC_OK;
    }
    const char *text = bt_json_string(bt_json_get(value, "expr_str"));
    const char *name = text ? symbol_text(b->l->arena, text) : NULL;
    const struct symbol symbol = {
        .text = name, .argument = b->argument, .tensor = b->tensor_count, .dim = dim, .size = actual};
    return name ? check_symbol(b, &symbol, err) : BERTC_OK;
}

static enum bertc_status bind_tensor(struct binder *b, size_t leaf, const struct bt_tensor *tensor,
                                     struct bertc_error *err)
{
    const struct bt_json *sizes = b->e->leaves[leaf].sizes;
    if (tensor->rank != (int)sizes->size) {
        return bt_error_set(err, BERTC_INPUT, "argument '%s': expected %zu dimensions, got %d", b->argument,
                            sizes->size, tensor->rank);
    }
    enum bertc_status status = BERTC_OK;
    for (int i = 0; !status && i < tensor->rank; i++) {
        status = check_dim(b, &sizes->items[i], i, tensor->dims[i], err);
    }
    b->tensors[b->tensor_count++] = leaf;
    return status;
}

static bool same_constant(const struct bertc_value *a, const struct bertc_value *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case BERTC_BOOL:
    case BERTC_INT: return a->integer == b->integer;
    case BERTC_FLOAT: return a->number == b->number || (a->number != a->number && b->number != b->number);
    case BERTC_STRING: return strcmp(a->text, b->text) == 0;
    default: return true;
    }
}

static enum bertc_status bind_leaf(struct binder *b, size_t at, const struct bertc_value *value,
                                   struct bertc_error *err)
{
    const struct bt_exported_leaf *leaf = &b->e->leaves[at];
    if (leaf->sizes) {
        return value->kind == BERTC_TENSOR
                   ? bind_tensor(b, at, &value->tensor, err)
                   : bt_error_set(err, BERTC_INPUT, "argument '%s': expected a tensor", b->argument);
    }
    b->scalars[at] = value;
    if (leaf->constant ? !same_constant(value, &leaf->value)
                       : value->kind != BERTC_INT && value->kind != BERTC_FLOAT && value->kind != BERTC_BOOL) {
        return bt_error_set(err, BERTC_INPUT, "argument '%s': %s", b->argument,
                            leaf->constant ? "the program was exported with another value, which it cannot change"
                                           : "expected a number");
    }
    return BERTC_OK;
}

/* An argument along the tree that the program was exported with, in the order of the call. */
static enum bertc_status bind_value(struct binder *b, const struct bt_pytree *tree, const struct bertc_value *value,
                                    struct bertc_error *err)
{
    if (tree->kind == BT_PYTREE_LEAF) {
        return bind_leaf(b, tree->leaf, value, err);
    }
    const bool fits = tree->kind == BT_PYTREE_DICT ? value->kind == BERTC_DICT
                                                   : value->kind == BERTC_TUPLE || value->kind == BERTC_LIST;
    if (!fits || value->count != tree->count) {
        return bt_error_set(err, BERTC_INPUT, "argument '%s': expected a %s of %zu", b->argument,
                            tree->kind == BT_PYTREE_DICT ? "dict" : "tuple or list", tree->count);
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i < value->count; i++) {
        size_t at = i;
        if (tree->keys) {
            for (at = 0; at < tree->count && strcmp(tree->keys[at], value->items[i].key) != 0; at++) {
            }
        }
        if (at == tree->count) {
            return bt_error_set(err, BERTC_INPUT, "argument '%s': the program takes no '%.100s' in it", b->argument,
                                value->items[i].key);
        }
        status = bind_value(b, &tree->items[at], &value->items[i], err);
    }
    return status;
}

/* Makes the graph hold only for the sizes that the checks let pass. */
static void guard(const struct binder *b)
{
    struct bt_graph *g = b->l->graph;
    struct bt_exprs *x = g->exprs;
    for (size_t i = 0; i < b->symbol_count; i++) {
        const struct symbol *s = &b->symbols[i];
        const bt_expr dim = g->values[g->inputs[s->tensor]].dims[s->dim];
        if (s->least > 0) {
            bt_graph_decide(g, bt_expr_binary(x, BT_EXPR_GE, dim, bt_expr_int(x, s->least)));
        }
        if (s->most < INT32_MAX) {
            bt_graph_decide(g, bt_expr_binary(x, BT_EXPR_LE, dim, bt_expr_int(x, s->most)));
        }
    }
    for (size_t i = 0; i < b->pair_count; i++) {
        const struct pair *p = &b->pairs[i];
        bt_graph_same(g, g->values[g->inputs[p->tensor]].dims[p->dim],
                      g->values[g->inputs[p->other]].dims[p->other_dim]);
    }
}

static bt_expr number(struct bt_exprs *x, const struct bertc_value *value)
{
    return value->kind == BERTC_BOOL  ? bt_expr_bool(x, value->integer != 0)
           : value->kind == BERTC_INT ? bt_expr_int(x, value->integer)
                                      : bt_expr_float(x, value->number);
}

static enum bertc_status make_values(struct binder *b, struct bt_dyn *values, struct bertc_error *err)
{
    struct bt_graph *g = b->l->graph;
    for (size_t i = 0; i < b->e->leaf_count; i++) {
        const struct bertc_value *value = b->scalars[i];
        if (!value || value->kind == BERTC_NONE) {
            values[i] = bt_dyn_none();
        } else if (value->kind == BERTC_STRING) {
            values[i] = bt_dyn_string(b->e->leaves[i].value.text);
        } else {
            values[i] = bt_dyn_scalar(number(g->exprs, value));
        }
    }
    for (size_t i = 0; i < b->tensor_count; i++) {
        struct bt_var *var = bt_var_new(b->l, g->inputs[i]);
        if (!var) {
            return bt_error_memory(err);
        }
        values[b->tensors[i]] = bt_dyn_tensor(var);
    }
    return BERTC_OK;
}

enum bertc_status bt_exported_bind(const struct bt_exported *e, struct bt_lower *l, const struct bertc_value *args,
                                   struct bt_dyn *values, struct bertc_error *err)
{
    struct binder b = {.e = e, .l = l};
    struct bt_tree *trees;
    b.tensors = bt_arena_alloc(l->arena, e->leaf_count, sizeof *b.tensors);
    b.fixed = bt_arena_alloc(l->arena, e->leaf_count, sizeof *b.fixed);
    b.scalars = bt_arena_alloc(l->arena, e->leaf_count, sizeof *b.scalars);
    if (!b.tensors || !b.fixed || !b.scalars) {
        return bt_error_memory(err);
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i < e->param_count; i++) {
        b.argument = e->params[i].name;
        status = bind_value(&b, &e->args[i], &args[i], err);
    }
    if (status || (status = bt_bind_inputs(l->graph, e->params, args, e->param_count, b.fixed, &trees, err))) {
        return status;
    }
    guard(&b);
    return make_values(&b, values, err);
}
