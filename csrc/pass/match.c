/* match.c: questions about nodes, and replacing one */
#include "pass/match.h"

#include <math.h>
#include <string.h>

const struct bt_node *bt_match_producer(const struct bt_graph *g, bt_value value)
{
    if (value < 0 || g->values[value].kind != BT_VALUE_NODE) {
        return NULL;
    }
    return &g->nodes[g->values[value].index];
}

const struct bt_node *bt_match_op(const struct bt_graph *g, bt_value value, enum bt_op op)
{
    const struct bt_node *node = bt_match_producer(g, value);
    return node && node->op == op ? node : NULL;
}

const struct bt_node *bt_match_reshape(const struct bt_graph *g, bt_value value)
{
    const struct bt_node *node = bt_match_producer(g, value);
    bool found = node && (node->op == BT_OP_RESHAPE || node->op == BT_OP_UNSQUEEZE || node->op == BT_OP_SQUEEZE);
    return found ? node : NULL;
}

static bool number_of_expr(const struct bt_graph *g, bt_expr e, double *out)
{
    struct bt_scalar value;
    if (!bt_expr_is_const(g->exprs, e, &value)) {
        return false;
    }
    *out = value.type == BT_SCALAR_FLOAT ? value.f : (double)value.i;
    return true;
}

static bool number_of_constant(const struct bt_tensor *t, double *out)
{
    if (t->rank != 0 || t->quantized || !t->data) {
        return false;
    }
    float f;
    double d;
    int64_t i;
    switch (t->dtype) {
    case BT_F32:
        memcpy(&f, t->data, sizeof(f));
        *out = (double)f;
        return true;
    case BT_F64:
        memcpy(&d, t->data, sizeof(d));
        *out = d;
        return true;
    case BT_I64:
        memcpy(&i, t->data, sizeof(i));
        *out = (double)i;
        return true;
    default: return false;
    }
}

bool bt_match_number(const struct bt_graph *g, const struct bt_arg *arg, double *out)
{
    if (arg->kind == BT_ARG_EXPR) {
        return number_of_expr(g, arg->expr, out);
    }
    if (arg->kind != BT_ARG_VALUE || g->values[arg->value].rank != 0) {
        return false;
    }
    bt_value root = bt_graph_root(g, arg->value);
    const struct bt_value_info *info = &g->values[root];
    if (info->kind == BT_VALUE_CONSTANT) {
        return number_of_constant(&g->constants[info->index].tensor, out);
    }
    const struct bt_node *full = bt_match_op(g, root, BT_OP_FULL);
    return full && number_of_expr(g, full->args[1].expr, out);
}

bool bt_match_near(double value, double expected)
{
    return fabs(value - expected) <= 1e-6 * fabs(expected);
}

bool bt_match_is_number(const struct bt_graph *g, const struct bt_arg *arg, double expected)
{
    double value;
    return bt_match_number(g, arg, &value) && bt_match_near(value, expected);
}

bool bt_match_tensor_and_number(const struct bt_graph *g, const struct bt_node *node, bt_value *tensor, double *number)
{
    for (int i = 0; i < 2; i++) {
        if (node->args[i].kind == BT_ARG_VALUE && bt_match_number(g, &node->args[1 - i], number)) {
            *tensor = node->args[i].value;
            return true;
        }
    }
    return false;
}

bool bt_match_constant(const struct bt_graph *g, bt_value value, struct bt_tensor *out)
{
    if (value < 0 || g->values[value].kind != BT_VALUE_CONSTANT) {
        return false;
    }
    *out = g->constants[g->values[value].index].tensor;
    return true;
}

bool bt_match_single(const struct bt_graph *g, const struct bt_arg *arg, int64_t expected)
{
    int64_t value;
    return arg->kind == BT_ARG_EXPRS && arg->count == 1 && bt_expr_is_int(g->exprs, arg->list[0], &value) &&
           value == expected;
}

bool bt_match_same_type(const struct bt_value_info *a, const struct bt_value_info *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof(a->dims[0])) == 0;
}

enum bertc_status bt_match_replace(struct bt_graph *g, size_t index, enum bt_op op, const struct bt_arg *args,
                                   int nargs, bool *done, struct bertc_error *err)
{
    struct bt_node node = g->nodes[index];
    struct bt_value_info infos[BT_MAX_OUTS] = {{0}};
    *done = false;
    node.op = op;
    node.nargs = bt_op_nargs(op);
    node.args = bt_arena_alloc(&g->arena, (size_t)node.nargs, sizeof(*node.args));
    if (!node.args) {
        return bt_error_memory(err);
    }
    memcpy(node.args, args, (size_t)nargs * sizeof(*args));
    enum bertc_status status = bt_infer(g, &node, infos, err);
    if (status == BERTC_MEMORY) {
        return status;
    }
    if (status || node.nouts != 1 || !bt_match_same_type(&infos[0], &g->values[node.outs[0]])) {
        return BERTC_OK;
    }
    g->nodes[index] = node;
    *done = true;
    return BERTC_OK;
}
