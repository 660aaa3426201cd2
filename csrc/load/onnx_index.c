/* onnx_index.c: selection by index tensors */
#include "load/onnx_lower.h"

#define PROOF_DEPTH 16 /* nodes that the proof of an index looks through */

void bt_onnx_op_refuse_data(struct bt_onnx_call *o)
{
    bt_lower_fail(&o->call, BERTC_UNSUPPORTED,
                  "the result's shape depends on tensor data, which bertc does not support");
}

static struct bt_dyn as_i64(struct bt_onnx_call *o, struct bt_dyn index)
{
    struct bt_call *c = &o->call;
    return c->status == BERTC_OK && bt_lower_type(c, index) != BT_I64 ? bt_lower_cast(c, index, BT_I64) : index;
}

static struct bt_dyn index_by(struct bt_onnx_call *o, struct bt_dyn x, const struct bt_dyn *indices, int count)
{
    struct bt_call *c = &o->call;
    bt_value values[BT_MAX_RANK];
    for (int i = 0; i < count; i++) {
        values[i] = indices[i].kind == BT_DYN_NONE ? BT_NO_VALUE : bt_lower_value(c, as_i64(o, indices[i])).value;
    }
    const struct bt_arg args[] = {bt_lower_value(c, x), bt_arg_values(values, count)};
    return bt_lower_node(c, BT_OP_INDEX, 2, args);
}

/* Items of a known list by known numbers. */
static bool gather_known(struct bt_onnx_call *o, struct bt_dyn x, struct bt_dyn index)
{
    struct bt_call *c = &o->call;
    struct bt_dyn list, at;
    const bool one = bt_lower_is_number(index);
    if (!bt_onnx_known(o, x, &list) || (!one && !bt_onnx_known(o, index, &at))) {
        return false;
    }
    const size_t count = one ? 1 : at.seq->count;
    struct bt_dyn out = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (size_t i = 0; i < count; i++) {
        int64_t k;
        if (!bt_expr_is_int(c->x, bt_lower_expr(c, one ? index : at.seq->items[i]), &k)) {
            return false;
        }
        k += k < 0 ? (int64_t)list.seq->count : 0;
        if (k < 0 || k >= (int64_t)list.seq->count) {
            bt_lower_fail(c, BERTC_INPUT, "index %lld of a list of %zu", (long long)k, list.seq->count);
            return true;
        }
        bt_lower_append(c, &out, list.seq->items[k]);
    }
    if (c->status == BERTC_OK) {
        o->outs[0] = one ? out.seq->items[0] : out;
    }
    return true;
}

/* Whether value counts 0, 1, ... size - 1 through any views. */
static bool counts_to(struct bt_onnx_call *o, bt_value value, bt_expr size)
{
    const struct bt_graph *g = o->call.g;
    const struct bt_node *arange = bt_onnx_maker(g, bt_graph_root(g, value), BT_OP_ARANGE);
    int64_t start, step;
    return arange && arange->args[1].expr == size && bt_expr_is_int(g->exprs, arange->args[0].expr, &start) &&
           start == 0 && bt_expr_is_int(g->exprs, arange->args[2].expr, &step) && step == 1;
}

/* x flattened at row * s + column, as the TorchScript exporter writes x[row, column] where s is x's second size and
 * column stays below it: the two indices again. The flattened x may have a last dimension of 1. */
static bool gather_unflattened(struct bt_onnx_call *o, struct bt_dyn x, struct bt_dyn index)
{
    struct bt_graph *g = o->call.g;
    const struct bt_node *sum = bt_onnx_made_by(o, index, BT_OP_ADD);
    const bool column_left = bt_lower_rank(&o->call, x) == 2;
    if (column_left && !bt_lower_equal(&o->call, bt_lower_size(&o->call, x, 1), 1)) {
        return false;
    }
    while (x.kind == BT_DYN_TENSOR && x.tensor->base && x.tensor->op == BT_OP_RESHAPE) {
        x = bt_dyn_tensor(x.tensor->base);
    }
    if (!sum || x.kind != BT_DYN_TENSOR || x.tensor->value < 0 || g->values[x.tensor->value].rank != 2) {
        return false;
    }
    const struct bt_value_info *info = &g->values[x.tensor->value];
    for (int i = 0; i < 2; i++) {
        const struct bt_arg *scaled = &sum->args[i], *column = &sum->args[1 - i];
        const bool values = scaled->kind == BT_ARG_VALUE && column->kind == BT_ARG_VALUE;
        const struct bt_node *mul = values ? bt_onnx_maker(g, scaled->value, BT_OP_MUL) : NULL;
        if (mul && mul->args[0].kind == BT_ARG_VALUE && mul->args[1].kind == BT_ARG_EXPR &&
            mul->args[1].expr == info->dims[1] && counts_to(o, column->value, info->dims[1]) &&
            counts_to(o, mul->args[0].value, info->dims[0])) {
            const struct bt_dyn indices[] = {bt_lower_tensor(&o->call, mul->args[0].value),
                                             bt_lower_tensor(&o->call, column->value)};
            struct bt_dyn out = index_by(o, x, indices, 2);
            o->outs[0] = column_left ? bt_lower_unsqueeze(&o->call, out, bt_lower_rank(&o->call, out)) : out;
            return true;
        }
    }
    return false;
}

/* data, indices: along `axis` */
void bt_onnx_op_gather(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_input(o, 0), index = bt_onnx_input(o, 1), known;
    struct bt_dyn indices[BT_MAX_RANK];
    if (c->status != BERTC_OK || gather_known(o, x, index)) {
        return;
    }
    x = bt_onnx_as_tensor(o, x);
    const int rank = bt_lower_rank(c, x), axis = bt_onnx_axis(o, 0, rank);
    if (bt_lower_is_number(index)) {
        o->outs[0] = bt_lower_select(c, x, axis, bt_lower_expr(c, index));
        return;
    }
    int64_t at;
    if (bt_onnx_known(o, index, &known) && known.seq->count == 1 &&
        bt_expr_is_int(c->x, bt_lower_expr(c, known.seq->items[0]), &at)) {
        const bt_expr start = bt_expr_int(c->x, at);
        const bt_expr end = at == -1 ? bt_expr_int(c->x, INT64_MAX) : bt_expr_int(c->x, at + 1);
        o->outs[0] = bt_lower_slice(c, x, axis, start, end);
        return;
    }
    index = bt_onnx_as_tensor(o, index);
    if (c->status != BERTC_OK || (rank <= 2 && axis == 0 && gather_unflattened(o, x, index))) {
        return;
    }
    if (rank == 2 && axis == 0 && bt_lower_rank(c, index) > 0) {
        const struct bt_arg args[] = {bt_lower_value(c, x), bt_lower_value(c, index)};
        o->outs[0] = bt_lower_node(c, BT_OP_EMBEDDING, 2, args);
        return;
    }
    for (int i = 0; i < axis; i++) {
        indices[i] = bt_dyn_none();
    }
    indices[axis] = index;
    o->outs[0] = index_by(o, x, indices, axis + 1);
}

/* Indices of the operand's rank, where a negative one counts from the end. */
static struct bt_dyn wrapped(struct bt_onnx_call *o, struct bt_dyn index, bt_expr size)
{
    struct bt_call *c = &o->call;
    struct bt_dyn negative = bt_onnx_binary(o, BT_OP_LT, index, bt_lower_integer(c, 0));
    const struct bt_dyn operands[] = {negative, bt_onnx_binary(o, BT_OP_ADD, index, bt_dyn_scalar(size)), index};
    return bt_onnx_apply(o, BT_OP_WHERE, 3, operands);
}

static bool constant_non_negative(const struct bt_tensor *t)
{
    const int64_t *items = t->data, count = bt_numel(t->rank, t->dims);
    bool found = t->dtype != BT_I64 || !bt_is_contiguous(t->rank, t->dims, t->strides);
    for (int64_t i = 0; i < count && !found; i++) {
        found = items[i] < 0;
    }
    return !found;
}

static bool arg_non_negative(const struct bt_graph *g, const struct bt_arg *arg, int depth);

/* Whether a value of integers or bools cannot be below 0, as far as what computes it tells. */
static bool is_non_negative(const struct bt_graph *g, bt_value value, int depth)
{
    const struct bt_value_info *info = &g->values[value];
    if (info->dtype == BT_BOOL || info->dtype == BT_U8 || info->kind == BT_VALUE_CONSTANT) {
        return info->kind != BT_VALUE_CONSTANT || constant_non_negative(&g->constants[info->index].tensor);
    }
    if (info->kind != BT_VALUE_NODE || depth == 0) {
        return false;
    }
    const struct bt_node *node = &g->nodes[info->index];
    switch (node->op) {
    case BT_OP_ABS: return true;
    case BT_OP_CLAMP: return arg_non_negative(g, &node->args[1], depth - 1);
    case BT_OP_ADD:
    case BT_OP_MUL:
    case BT_OP_ARANGE:
        return arg_non_negative(g, &node->args[0], depth - 1) && arg_non_negative(g, &node->args[1], depth - 1);
    case BT_OP_WHERE:
        return arg_non_negative(g, &node->args[1], depth - 1) && arg_non_negative(g, &node->args[2], depth - 1);
    case BT_OP_FULL: return arg_non_negative(g, &node->args[1], depth - 1);
    case BT_OP_PERMUTE:
    case BT_OP_RESHAPE:
    case BT_OP_EXPAND:
    case BT_OP_UNSQUEEZE:
    case BT_OP_SQUEEZE:
    case BT_OP_SLICE:
    case BT_OP_SELECT:
    case BT_OP_CAST:
    case BT_OP_CUMSUM: return arg_non_negative(g, &node->args[0], depth - 1);
    default: return false;
    }
}

static bool arg_non_negative(const struct bt_graph *g, const struct bt_arg *arg, int depth)
{
    if (arg->kind == BT_ARG_VALUE) {
        return is_non_negative(g, arg->value, depth);
    }
    return arg->kind == BT_ARG_EXPR && bt_expr_type(g->exprs, arg->expr) != BT_SCALAR_FLOAT &&
           bt_expr_is_non_negative(g->exprs, arg->expr);
}

/* data, indices: along `axis` */
void bt_onnx_op_gather_elements(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_tensor(o, 0), index = as_i64(o, bt_onnx_tensor(o, 1));
    const int axis = bt_onnx_axis(o, 0, bt_lower_rank(c, x));
    if (c->status != BERTC_OK || bt_lower_is_number(index)) {
        bt_lower_fail(c, BERTC_INPUT, "the indices are not of the rank of the data");
        return;
    }
    if (!is_non_negative(c->g, bt_lower_value(c, index).value, PROOF_DEPTH)) {
        index = wrapped(o, index, bt_lower_size(c, x, axis));
    }
    const struct bt_arg args[] = {bt_lower_value(c, x), bt_arg_int(c->g, axis), bt_lower_value(c, index)};
    o->outs[0] = bt_lower_node(c, BT_OP_GATHER, 3, args);
}

/* The columns of indices [..., k] as k tensors. Where they were put together by Concat they are its parts. */
static void columns(struct bt_onnx_call *o, struct bt_dyn index, int count, struct bt_dyn *out)
{
    struct bt_call *c = &o->call;
    const int last = bt_lower_rank(c, index) - 1;
    const struct bt_node *cat = bt_onnx_made_by(o, index, BT_OP_CAT);
    int64_t dim;
    const bool parts =
        cat && cat->args[0].count == count && bt_expr_is_int(c->x, cat->args[1].expr, &dim) && dim == last;
    for (int i = 0; i < count && c->status == BERTC_OK; i++) {
        struct bt_dyn x = parts ? bt_lower_tensor(c, cat->args[0].list[i]) : index;
        out[i] = bt_lower_select(c, x, last, bt_expr_int(c->x, parts ? 0 : i));
        cat = bt_onnx_made_by(o, index, BT_OP_CAT); /* the nodes may have moved */
    }
}

/* The value under an expansion of which a column was made and taken again: it broadcasts to the same. */
static bt_value under_expand(struct bt_onnx_call *o, bt_value value)
{
    const struct bt_graph *g = o->call.g;
    const struct bt_node *select = bt_onnx_maker(g, value, BT_OP_SELECT);
    const struct bt_node *unsqueeze = select ? bt_onnx_maker(g, select->args[0].value, BT_OP_UNSQUEEZE) : NULL;
    const struct bt_node *expand = unsqueeze ? bt_onnx_maker(g, unsqueeze->args[0].value, BT_OP_EXPAND) : NULL;
    return expand ? expand->args[0].value : BT_NO_VALUE;
}

/* Indices that were only expanded to each other's shape do that by themselves. */
static void drop_expansions(struct bt_onnx_call *o, struct bt_dyn *indices, int count)
{
    struct bt_call *c = &o->call;
    bt_value inner[BT_MAX_RANK];
    bt_expr dims[BT_MAX_RANK], full[BT_MAX_RANK];
    const int rank = bt_lower_shape(c, indices[0], full);
    int64_t one;
    for (int d = 0; d < rank; d++) {
        dims[d] = bt_expr_int(c->x, 1);
    }
    for (int i = 0; i < count && c->status == BERTC_OK; i++) {
        inner[i] = under_expand(o, indices[i].tensor->value);
        if (inner[i] < 0 || c->g->values[inner[i]].rank != rank) {
            return;
        }
        for (int d = 0; d < rank; d++) {
            const bt_expr size = c->g->values[inner[i]].dims[d];
            dims[d] = bt_expr_is_int(c->x, size, &one) && one == 1 ? dims[d] : size;
        }
    }
    for (int d = 0; d < rank; d++) {
        if (dims[d] != full[d]) {
            return;
        }
    }
    for (int i = 0; i < count; i++) {
        indices[i] = bt_lower_tensor(c, inner[i]);
    }
}

/* data, indices [..., k]: the first k dimensions by the k columns */
void bt_onnx_op_gather_nd(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_tensor(o, 0), index = as_i64(o, bt_onnx_tensor(o, 1)), indices[BT_MAX_RANK];
    const int rank = bt_lower_rank(c, x), last = bt_lower_rank(c, index) - 1;
    int64_t count = 0;
    if (bt_onnx_int(o, "batch_dims", 0) != 0) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "batch_dims is not implemented");
    } else if (last < 0 || !bt_expr_is_int(c->x, bt_lower_size(c, index, last), &count) || count < 1 || count > rank) {
        bt_lower_fail(c, BERTC_UNSUPPORTED,
                      "the last dimension of its indices is not fixed, or exceeds the data's rank");
    }
    if (c->status == BERTC_OK) {
        columns(o, index, (int)count, indices);
        drop_expansions(o, indices, (int)count);
        o->outs[0] = index_by(o, x, indices, (int)count);
    }
}

/* Whether what is there is replaced (false) or added to (true). */
static bool adds(struct bt_onnx_call *o)
{
    const char *reduction = bt_onnx_string(o, "reduction", "none");
    if (reduction[0] != 'n' && reduction[0] != 'a') {
        bt_lower_fail(&o->call, BERTC_UNSUPPORTED, "reduction \"%.40s\" is not implemented", reduction);
    }
    return reduction[0] == 'a';
}

/* data, indices, updates: along `axis` */
void bt_onnx_op_scatter_elements(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    c->args[0] = bt_onnx_tensor(o, 0);
    c->args[1] = bt_lower_integer(c, bt_onnx_axis(o, 0, bt_lower_rank(c, c->args[0])));
    c->args[2] = bt_onnx_tensor(o, 1);
    c->args[3] = bt_onnx_tensor(o, 2);
    c->detail = adds(o);
    bt_aten_scatter(c);
    o->outs[0] = c->out;
}

/* data, indices [..., k], updates */
void bt_onnx_op_scatter_nd(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn x = bt_onnx_tensor(o, 0), index = as_i64(o, bt_onnx_tensor(o, 1)), indices[BT_MAX_RANK];
    bt_value values[BT_MAX_RANK];
    const int last = bt_lower_rank(c, index) - 1;
    int64_t count = 0;
    if (last < 0 || !bt_expr_is_int(c->x, bt_lower_size(c, index, last), &count) || count < 1 ||
        count > bt_lower_rank(c, x)) {
        bt_lower_fail(c, BERTC_UNSUPPORTED,
                      "the last dimension of its indices is not fixed, or exceeds the data's rank");
        return;
    }
    columns(o, index, (int)count, indices);
    for (int i = 0; i < count; i++) {
        values[i] = bt_lower_value(c, indices[i]).value;
    }
    const struct bt_arg args[] = {bt_lower_value(c, x), bt_arg_values(values, (int32_t)count),
                                  bt_lower_value(c, bt_onnx_tensor(o, 2)), bt_arg_expr(bt_expr_bool(c->x, adds(o)))};
    o->outs[0] = bt_lower_node(c, BT_OP_INDEX_PUT, 4, args);
}

/* indices, depth, values [off, on]: along a new dimension `axis` */
void bt_onnx_op_one_hot(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn index = bt_onnx_tensor(o, 0), values = bt_onnx_tensor(o, 2);
    const int rank = bt_lower_rank(c, index) + 1, axis = bt_onnx_axis(o, -1, rank);
    const bt_expr depth = bt_lower_expr(c, bt_onnx_scalar(o, 1));
    const struct bt_arg range[] = {bt_arg_int(c->g, 0), bt_arg_expr(depth), bt_arg_int(c->g, 1),
                                   bt_arg_dtype(bt_lower_type(c, index))};
    bt_expr shape[BT_MAX_RANK];
    for (int i = 0; i < rank && i < BT_MAX_RANK; i++) {
        shape[i] = bt_expr_int(c->x, i == axis ? -1 : 1);
    }
    struct bt_dyn classes = bt_lower_reshape(c, bt_lower_node(c, BT_OP_ARANGE, 4, range), shape, rank);
    struct bt_dyn is = bt_onnx_binary(o, BT_OP_EQ, bt_lower_unsqueeze(c, wrapped(o, index, depth), axis), classes);
    const struct bt_dyn operands[] = {is, bt_lower_select(c, values, 0, bt_expr_int(c->x, 1)),
                                      bt_lower_select(c, values, 0, bt_expr_int(c->x, 0))};
    o->outs[0] = bt_onnx_apply(o, BT_OP_WHERE, 3, operands);
}
