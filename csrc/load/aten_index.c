/* aten_index.c: selection by index tensors */
#include "load/lower.h"

/* self, dim, index */
void bt_aten_gather(struct bt_call *c)
{
    int dim = bt_lower_dim(c, c->args[1], bt_lower_rank(c, c->args[0]));
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), bt_arg_int(c->g, dim), bt_lower_value(c, c->args[2])};
    c->out = bt_lower_node(c, BT_OP_GATHER, 3, args);
}

/* self, indices, dim: the other dimensions broadcast against each other; without dim both are flat */
void bt_aten_take_along_dim(struct bt_call *c)
{
    struct bt_dyn x = c->args[0], indices = c->args[1];
    bt_expr a[BT_MAX_RANK], b[BT_MAX_RANK], all = bt_expr_int(c->x, -1);
    if (!bt_lower_given(c, 2)) {
        x = bt_lower_reshape(c, x, &all, 1);
        indices = bt_lower_reshape(c, indices, &all, 1);
    }
    int rank = bt_lower_shape(c, x, a), dim = bt_lower_given(c, 2) ? bt_lower_dim(c, c->args[2], rank) : 0;
    if (bt_lower_shape(c, indices, b) != rank) {
        bt_lower_fail(c, BERTC_INPUT, "self and indices differ in rank");
        return;
    }
    for (int i = 0; i < rank; i++) {
        if (i != dim && bt_lower_equal(c, a[i], 1)) {
            a[i] = b[i];
        } else if (i != dim) {
            b[i] = a[i];
        }
    }
    const struct bt_arg args[] = {bt_lower_value(c, bt_lower_expand(c, x, a, rank)), bt_arg_int(c->g, dim),
                                  bt_lower_value(c, bt_lower_expand(c, indices, b, rank))};
    c->out = bt_lower_node(c, BT_OP_GATHER, 3, args);
}

/* A list of index tensors and Nones as one argument; masks are refused, their count of true items being data. */
static struct bt_arg index_list(struct bt_call *c, struct bt_dyn list)
{
    size_t count = bt_lower_count(list);
    bt_value *values = bt_arena_alloc(c->l->arena, count, sizeof *values);
    if (!values) {
        bt_lower_ok(c, bt_error_memory(c->err));
        return bt_arg_none();
    }
    for (size_t i = 0; i < count; i++) {
        struct bt_dyn index = list.seq->items[i];
        values[i] = BT_NO_VALUE;
        if (index.kind == BT_DYN_NONE) {
            continue;
        }
        enum bt_dtype type = bt_lower_type(c, index);
        if (type == BT_BOOL || type == BT_U8) {
            bt_lower_fail(c, BERTC_UNSUPPORTED, "indexing with a mask gives a shape that depends on tensor data");
        }
        values[i] = bt_lower_value(c, type == BT_I64 ? index : bt_lower_cast(c, index, BT_I64)).value;
    }
    return bt_arg_values(values, (int32_t)count);
}

void bt_aten_index(struct bt_call *c)
{
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), index_list(c, c->args[1])};
    c->out = bt_lower_node(c, BT_OP_INDEX, 2, args);
}

/* self, dim, index: a vector */
void bt_aten_index_select(struct bt_call *c)
{
    struct bt_dyn list[BT_MAX_RANK];
    int dim = bt_lower_dim(c, c->args[1], bt_lower_rank(c, c->args[0]));
    for (int i = 0; i < dim; i++) {
        list[i] = bt_dyn_none();
    }
    list[dim] = bt_lower_rank(c, c->args[2]) == 0 ? bt_lower_unsqueeze(c, c->args[2], 0) : c->args[2];
    struct bt_dyn indices = bt_lower_seq(c, BT_DYN_LIST, list, (size_t)dim + 1);
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), index_list(c, indices)};
    c->out = bt_lower_node(c, BT_OP_INDEX, 2, args);
}

/* x[mask] = number: the mask covers the leading dimensions. False when the call is not of that form. */
static bool put_number(struct bt_call *c)
{
    struct bt_dyn x = c->args[0], value = c->args[2];
    if (bt_lower_count(c->args[1]) != 1 || bt_lower_rank(c, value) > 0 || bt_lower_bool(c, c->args[3])) {
        return false;
    }
    struct bt_dyn mask = c->args[1].seq->items[0];
    if (mask.kind != BT_DYN_TENSOR || bt_lower_type(c, mask) != BT_BOOL) {
        return false;
    }
    while (c->status == BERTC_OK && bt_lower_rank(c, mask) < bt_lower_rank(c, x)) {
        mask = bt_lower_unsqueeze(c, mask, bt_lower_rank(c, mask));
    }
    struct bt_dyn chosen = bt_lower_apply(c, BT_OP_WHERE, 3, (struct bt_dyn[]){mask, value, x});
    c->out = bt_lower_cast(c, chosen, bt_lower_type(c, x));
    return true;
}

/* self, indices, values, accumulate */
void bt_aten_index_put(struct bt_call *c)
{
    if (put_number(c)) {
        return;
    }
    struct bt_dyn values = bt_lower_cast(c, c->args[2], bt_lower_type(c, c->args[0]));
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), index_list(c, c->args[1]), bt_lower_value(c, values),
                                  bt_lower_operand(c, c->args[3])};
    c->out = bt_lower_node(c, BT_OP_INDEX_PUT, 4, args);
}

/* self, num_classes */
void bt_aten_one_hot(struct bt_call *c)
{
    bt_expr classes = bt_lower_expr(c, c->args[1]);
    if (bt_lower_equal(c, classes, -1)) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "without num_classes the result's shape depends on tensor data");
        return;
    }
    const struct bt_arg args[] = {bt_arg_int(c->g, 0), bt_arg_expr(classes), bt_arg_int(c->g, 1), bt_arg_dtype(BT_I64)};
    struct bt_dyn range = bt_lower_node(c, BT_OP_ARANGE, 4, args);
    struct bt_dyn column = bt_lower_unsqueeze(c, c->args[0], bt_lower_rank(c, c->args[0]));
    c->out = bt_lower_cast(c, bt_lower_binary(c, BT_OP_EQ, column, range), BT_I64);
}

void bt_aten_refuse_data(struct bt_call *c)
{
    bt_lower_fail(c, BERTC_UNSUPPORTED, "the result's shape depends on tensor data, which bertc does not support");
}
