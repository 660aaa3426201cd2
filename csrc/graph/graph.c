/* graph.c: build a graph: values, constants, nodes with value numbering, guards */
#include "graph/graph.h"

#include <string.h>

const struct bt_op_info bt_ops[BT_OP_COUNT] = {
#define BT_OP(id, name, args, infer, step) [BT_OP_##id] = {name, args},
#include "graph/ops.inc"
#undef BT_OP
};

int bt_op_nargs(enum bt_op op)
{
    int count = 1;
    for (const char *p = bt_ops[op].args; *p; p++) {
        count += *p == ' ';
    }
    return count;
}

void bt_graph_init(struct bt_graph *graph, struct bertc_error *err)
{
    memset(graph, 0, sizeof(*graph));
    graph->exprs = bt_exprs_new(&graph->arena);
    if (!graph->exprs) {
        bt_error_memory(err);
    }
}

void bt_graph_free(struct bt_graph *graph)
{
    if (!graph) {
        return;
    }
    bt_arena_free(&graph->arena);
    memset(graph, 0, sizeof(*graph));
}

/* ---- values ---- */

static bool reserve_value(struct bt_graph *g, size_t extra)
{
    return g->value_count + extra < INT32_MAX &&
           bt_arena_reserve(&g->arena, &g->values, &g->value_cap, g->value_count + extra, sizeof(*g->values));
}

static bool copy_name(struct bt_graph *g, const char *name, const char **out)
{
    *out = name ? bt_arena_string(&g->arena, name, strlen(name)) : NULL;
    return *out || !name;
}

enum bertc_status bt_graph_input(struct bt_graph *g, const char *name, enum bt_dtype dtype, int rank,
                                 const bt_expr *dims, bt_value *out, struct bertc_error *err)
{
    if (rank < 0 || rank > BT_MAX_RANK) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "argument '%s' has %d dimensions; bertc handles up to %d",
                            name ? name : "?", rank, BT_MAX_RANK);
    }
    struct bt_value_info info = {.kind = BT_VALUE_INPUT, .dtype = dtype, .rank = (int8_t)rank};
    for (int d = 0; d < rank; d++) {
        if (dims[d] < 0) {
            return bt_error_memory(err);
        }
        info.dims[d] = dims[d];
    }
    info.index = (int32_t)g->input_count;
    if (!copy_name(g, name, &info.name) || !reserve_value(g, 1) ||
        !bt_arena_reserve(&g->arena, &g->inputs, &g->input_cap, g->input_count + 1, sizeof(*g->inputs))) {
        return bt_error_memory(err);
    }
    *out = (bt_value)g->value_count;
    g->values[g->value_count++] = info;
    g->inputs[g->input_count++] = *out;
    return BERTC_OK;
}

struct constant_key {
    const struct bt_graph *graph;
    const struct bt_tensor *tensor;
};

static bool same_constant(const void *context, int32_t id)
{
    const struct constant_key *key = context;
    const struct bt_tensor *a = key->tensor, *b = &key->graph->constants[id].tensor;
    size_t size = (size_t)a->rank * sizeof(a->dims[0]);
    return a->data == b->data && a->dtype == b->dtype && a->rank == b->rank && a->quantized == b->quantized &&
           memcmp(a->dims, b->dims, size) == 0 && memcmp(a->strides, b->strides, size) == 0 &&
           (!a->quantized || (memcmp(&a->scale, &b->scale, sizeof(a->scale)) == 0 && a->zero_point == b->zero_point));
}

enum bertc_status bt_graph_constant(struct bt_graph *g, const struct bt_tensor *tensor, const char *name, bt_value *out,
                                    struct bertc_error *err)
{
    struct constant_key key = {g, tensor};
    uint32_t hash = bt_hash(BT_HASH_START, &tensor->data, sizeof(tensor->data));
    hash = bt_hash(hash, tensor->dims, (size_t)tensor->rank * sizeof(tensor->dims[0]));
    int32_t found = bt_table_find(&g->constant_table, hash, same_constant, &key);
    if (found >= 0) {
        *out = g->constants[found].value;
        return BERTC_OK;
    }
    struct bt_value_info info = {.kind = BT_VALUE_CONSTANT, .dtype = tensor->dtype, .rank = (int8_t)tensor->rank};
    for (int d = 0; d < tensor->rank; d++) {
        info.dims[d] = bt_expr_int(g->exprs, tensor->dims[d]);
        if (info.dims[d] < 0) {
            return bt_error_memory(err);
        }
    }
    info.index = (int32_t)g->constant_count;
    if (!copy_name(g, name, &info.name) || !reserve_value(g, 1) ||
        !bt_arena_reserve(&g->arena, &g->constants, &g->constant_cap, g->constant_count + 1, sizeof(*g->constants)) ||
        !bt_table_add(&g->constant_table, &g->arena, hash, info.index)) {
        return bt_error_memory(err);
    }
    *out = (bt_value)g->value_count;
    g->values[g->value_count++] = info;
    g->constants[g->constant_count++] = (struct bt_constant){*tensor, info.name, *out};
    return BERTC_OK;
}

static bool is_view(enum bt_op op)
{
    return op <= BT_OP_SELECT;
}

bt_value bt_graph_root(const struct bt_graph *g, bt_value value)
{
    while (value >= 0 && g->values[value].kind == BT_VALUE_NODE) {
        const struct bt_node *node = &g->nodes[g->values[value].index];
        if (!is_view(node->op) && node->op != BT_OP_CAST) {
            break;
        }
        value = node->args[0].value;
    }
    return value;
}

const char *bt_graph_origin(const struct bt_graph *g, bt_value value)
{
    value = bt_graph_root(g, value);
    return value >= 0 && g->values[value].kind == BT_VALUE_INPUT ? g->values[value].name : NULL;
}

/* ---- arguments ---- */

struct bt_arg bt_arg_none(void)
{
    return (struct bt_arg){.kind = BT_ARG_NONE};
}

struct bt_arg bt_arg_value(bt_value value)
{
    return (struct bt_arg){.kind = BT_ARG_VALUE, .value = value};
}

struct bt_arg bt_arg_expr(bt_expr expr)
{
    return (struct bt_arg){.kind = BT_ARG_EXPR, .expr = expr};
}

struct bt_arg bt_arg_int(struct bt_graph *g, int64_t value)
{
    return bt_arg_expr(bt_expr_int(g->exprs, value));
}

struct bt_arg bt_arg_float(struct bt_graph *g, double value)
{
    return bt_arg_expr(bt_expr_float(g->exprs, value));
}

struct bt_arg bt_arg_dtype(enum bt_dtype dtype)
{
    return (struct bt_arg){.kind = BT_ARG_DTYPE, .dtype = dtype};
}

struct bt_arg bt_arg_activation(enum bt_activation activation)
{
    return (struct bt_arg){.kind = BT_ARG_ACTIVATION, .activation = activation};
}

struct bt_arg bt_arg_values(const bt_value *values, int32_t count)
{
    return (struct bt_arg){.kind = BT_ARG_VALUES, .list = (int32_t *)(uintptr_t)values, .count = count};
}

struct bt_arg bt_arg_exprs(const bt_expr *exprs, int32_t count)
{
    return (struct bt_arg){.kind = BT_ARG_EXPRS, .list = (int32_t *)(uintptr_t)exprs, .count = count};
}

static bool same_arg(const struct bt_arg *a, const struct bt_arg *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case BT_ARG_NONE: return true;
    case BT_ARG_VALUE: return a->value == b->value;
    case BT_ARG_EXPR: return a->expr == b->expr;
    case BT_ARG_DTYPE: return a->dtype == b->dtype;
    case BT_ARG_ACTIVATION: return a->activation == b->activation;
    case BT_ARG_VALUES:
    case BT_ARG_EXPRS: break;
    }
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->list, b->list, (size_t)a->count * sizeof(*a->list)) == 0);
}

static uint32_t hash_arg(uint32_t hash, const struct bt_arg *arg)
{
    hash = bt_hash(hash, &arg->kind, sizeof(arg->kind));
    switch (arg->kind) {
    case BT_ARG_NONE: return hash;
    case BT_ARG_VALUE: return bt_hash(hash, &arg->value, sizeof(arg->value));
    case BT_ARG_EXPR: return bt_hash(hash, &arg->expr, sizeof(arg->expr));
    case BT_ARG_DTYPE: return bt_hash(hash, &arg->dtype, sizeof(arg->dtype));
    case BT_ARG_ACTIVATION: return bt_hash(hash, &arg->activation, sizeof(arg->activation));
    case BT_ARG_VALUES:
    case BT_ARG_EXPRS: break;
    }
    return bt_hash(hash, arg->list, (size_t)arg->count * sizeof(*arg->list));
}

static enum bertc_status check_arg(const struct bt_graph *g, enum bt_op op, const struct bt_arg *arg,
                                   struct bertc_error *err)
{
    int32_t lowest = arg->kind == BT_ARG_VALUES ? BT_NO_VALUE : 0, count = 1;
    const int32_t *ids = &arg->value;
    bool exprs = arg->kind == BT_ARG_EXPR || arg->kind == BT_ARG_EXPRS;
    if (arg->kind == BT_ARG_EXPR) {
        ids = &arg->expr;
    } else if (arg->kind == BT_ARG_VALUES || arg->kind == BT_ARG_EXPRS) {
        ids = arg->list;
        count = arg->count;
    } else if (arg->kind != BT_ARG_VALUE) {
        return BERTC_OK;
    }
    int64_t end = exprs ? bt_expr_count(g->exprs) : (int64_t)g->value_count;
    for (int32_t i = 0; i < count; i++) {
        if (ids[i] >= lowest && ids[i] < end) {
            continue;
        }
        if (!exprs) {
            return bt_error_set(err, BERTC_FORMAT, "%s: an operand is missing", bt_ops[op].name);
        }
        if (bt_exprs_out_of_memory(g->exprs)) {
            return bt_error_memory(err);
        }
        return bt_error_set(err, BERTC_INPUT, "%s: an integer argument overflows or divides by zero", bt_ops[op].name);
    }
    return BERTC_OK;
}

/* A full argument array for the op, lists copied. */
static enum bertc_status copy_args(struct bt_graph *g, struct bt_node *node, const struct bt_arg *args, int nargs,
                                   struct bertc_error *err)
{
    node->nargs = bt_op_nargs(node->op);
    if (nargs > node->nargs) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "%s: %d arguments where the op has %d", bt_ops[node->op].name,
                            nargs, node->nargs);
    }
    node->args = bt_arena_alloc(&g->arena, (size_t)node->nargs, sizeof(*node->args));
    if (!node->args) {
        return bt_error_memory(err);
    }
    for (int i = 0; i < nargs; i++) {
        struct bt_arg *arg = &node->args[i];
        enum bertc_status status = check_arg(g, node->op, &args[i], err);
        if (status) {
            return status;
        }
        *arg = args[i];
        if (arg->kind != BT_ARG_VALUES && arg->kind != BT_ARG_EXPRS) {
            continue;
        }
        arg->list = bt_arena_copy(&g->arena, args[i].list, (size_t)args[i].count * sizeof(*arg->list));
        if (!arg->list) {
            return bt_error_memory(err);
        }
    }
    return BERTC_OK;
}

/* ---- nodes ---- */

static bool same_shape(const struct bt_value_info *a, const struct bt_value_info *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof(a->dims[0])) == 0;
}

static bool changes_nothing(const struct bt_graph *g, const struct bt_node *node, const struct bt_value_info *out)
{
    if (!is_view(node->op) && node->op != BT_OP_CAST) {
        return false;
    }
    const struct bt_value_info *in = &g->values[node->args[0].value];
    if (in->dtype != out->dtype || !same_shape(in, out)) {
        return false;
    }
    for (int32_t i = 0; node->op == BT_OP_PERMUTE && i < node->args[1].count; i++) {
        int64_t from;
        if (!bt_expr_is_int(g->exprs, node->args[1].list[i], &from) || from != i) {
            return false;
        }
    }
    return true;
}

struct node_key {
    const struct bt_graph *graph;
    const struct bt_node *node;
};

static bool same_node(const void *context, int32_t id)
{
    const struct node_key *key = context;
    const struct bt_node *a = key->node, *b = &key->graph->nodes[id];
    bool same = a->op == b->op && a->nargs == b->nargs;
    for (int i = 0; same && i < a->nargs; i++) {
        same = same_arg(&a->args[i], &b->args[i]);
    }
    return same;
}

static uint32_t hash_node(const struct bt_node *node)
{
    uint32_t hash = bt_hash(BT_HASH_START, &node->op, sizeof(node->op));
    for (int i = 0; i < node->nargs; i++) {
        hash = hash_arg(hash, &node->args[i]);
    }
    return hash;
}

static enum bertc_status append_node(struct bt_graph *g, struct bt_node *node, struct bt_value_info *infos,
                                     uint32_t hash, struct bertc_error *err)
{
    if (!reserve_value(g, BT_MAX_OUTS) || g->node_count >= INT32_MAX - 1 ||
        !bt_arena_reserve(&g->arena, &g->nodes, &g->node_cap, g->node_count + 1, sizeof(*g->nodes)) ||
        !bt_table_add(&g->node_table, &g->arena, hash, (int32_t)g->node_count)) {
        return bt_error_memory(err);
    }
    for (int i = 0; i < node->nouts; i++) {
        infos[i].kind = BT_VALUE_NODE;
        infos[i].index = (int32_t)g->node_count;
        node->outs[i] = (bt_value)g->value_count;
        g->values[g->value_count++] = infos[i];
    }
    g->nodes[g->node_count++] = *node;
    return BERTC_OK;
}

enum bertc_status bt_graph_node(struct bt_graph *g, enum bt_op op, const struct bt_arg *args, int nargs, bt_value *outs,
                                struct bertc_error *err)
{
    struct bt_node node = {.op = op, .where = g->where, .outs = {BT_NO_VALUE, BT_NO_VALUE}};
    struct bt_value_info infos[BT_MAX_OUTS] = {{0}};
    enum bertc_status status = copy_args(g, &node, args, nargs, err);
    if (!status) {
        status = bt_infer(g, &node, infos, err);
    }
    if (status) {
        return status;
    }
    if (changes_nothing(g, &node, &infos[0])) {
        outs[0] = node.args[0].value;
        return BERTC_OK;
    }
    uint32_t hash = hash_node(&node);
    struct node_key key = {g, &node};
    int32_t found = bt_table_find(&g->node_table, hash, same_node, &key);
    if (found >= 0) {
        node = g->nodes[found];
    } else {
        status = append_node(g, &node, infos, hash, err);
        if (status) {
            return status;
        }
    }
    for (int i = 0; i < node.nouts; i++) {
        outs[i] = node.outs[i];
    }
    return BERTC_OK;
}

bt_value bt_graph_op(struct bt_graph *g, struct bertc_error *err, enum bt_op op, int nargs, const struct bt_arg *args)
{
    bt_value outs[BT_MAX_OUTS];
    return bt_graph_node(g, op, args, nargs, outs, err) ? BT_NO_VALUE : outs[0];
}

/* ---- guards ---- */

struct guard_key {
    const struct bt_graph *graph;
    bt_expr condition;
};

static bool same_guard(const void *context, int32_t id)
{
    const struct guard_key *key = context;
    return key->graph->guards[id].condition == key->condition;
}

static uint32_t hash_guard(bt_expr condition)
{
    return bt_hash(BT_HASH_START, &condition, sizeof(condition));
}

static const struct bt_guard *find_guard(const struct bt_graph *g, bt_expr condition)
{
    struct guard_key key = {g, condition};
    int32_t at = bt_table_find(&g->guard_table, hash_guard(condition), same_guard, &key);
    return at >= 0 ? &g->guards[at] : NULL;
}

static void fail(struct bt_graph *g, enum bertc_status status)
{
    if (!g->failure) {
        g->failure = status;
    }
}

bool bt_graph_decide(struct bt_graph *g, bt_expr condition)
{
    bt_expr truth = bt_expr_unary(g->exprs, BT_EXPR_TO_BOOL, condition);
    bt_expr opposite = bt_expr_unary(g->exprs, BT_EXPR_NOT, truth);
    if (truth < 0 || opposite < 0) {
        fail(g, bt_exprs_out_of_memory(g->exprs) ? BERTC_MEMORY : BERTC_INPUT);
        return false;
    }
    struct bt_scalar value = bt_expr_hint(g->exprs, truth);
    if (bt_expr_is_const(g->exprs, truth, NULL)) {
        return value.i != 0;
    }
    const struct bt_guard *known = find_guard(g, truth);
    if (known) {
        return known->expected;
    }
    known = find_guard(g, opposite);
    if (known) {
        return !known->expected;
    }
    if (!bt_arena_reserve(&g->arena, &g->guards, &g->guard_cap, g->guard_count + 1, sizeof(*g->guards)) ||
        !bt_table_add(&g->guard_table, &g->arena, hash_guard(truth), (int32_t)g->guard_count)) {
        fail(g, BERTC_MEMORY);
        return false;
    }
    g->guards[g->guard_count++] = (struct bt_guard){truth, value.i != 0, g->where};
    return value.i != 0;
}

bool bt_graph_same(struct bt_graph *g, bt_expr a, bt_expr b)
{
    return a == b || bt_graph_decide(g, bt_expr_binary(g->exprs, BT_EXPR_EQ, a, b));
}
