/* aten_join.c: operators that join, repeat, pad and reorder */
#include <string.h>

#include "load/lower.h"

/* Whether the list has tensors; fails the call when not. */
static bool has_items(struct bt_call *c, struct bt_dyn list)
{
    if (bt_lower_count(list) == 0) {
        bt_lower_fail(c, BERTC_INPUT, "the list of tensors is empty");
    }
    return c->status == BERTC_OK;
}

struct bt_dyn bt_lower_cat(struct bt_call *c, struct bt_dyn list, int dim)
{
    size_t count = 0;
    bt_value *values = bt_arena_alloc(c->l->arena, bt_lower_count(list), sizeof *values);
    if (!values) {
        bt_lower_ok(c, bt_error_memory(c->err));
        return bt_dyn_none();
    }
    for (size_t i = 0; i < bt_lower_count(list); i++) {
        values[count++] = bt_lower_value(c, list.seq->items[i]).value;
    }
    const struct bt_arg args[] = {bt_arg_values(values, (int32_t)count), bt_arg_int(c->g, dim)};
    return bt_lower_node(c, BT_OP_CAT, 2, args);
}

/* torch.cat skips tensors of shape [0], whatever the rank of the others. */
static bool is_legacy_empty(struct bt_call *c, struct bt_dyn d)
{
    int64_t size;
    return bt_lower_rank(c, d) == 1 && bt_expr_is_int(c->x, bt_lower_size(c, d, 0), &size) && size == 0;
}

void bt_aten_cat(struct bt_call *c)
{
    struct bt_dyn list = bt_lower_seq(c, BT_DYN_LIST, NULL, 0), all = c->args[0];
    for (size_t i = 0; i < bt_lower_count(all); i++) {
        if (!is_legacy_empty(c, all.seq->items[i])) {
            bt_lower_append(c, &list, all.seq->items[i]);
        }
    }
    if (bt_lower_count(list) == 0) {
        list = all;
    }
    if (has_items(c, list)) {
        c->out = bt_lower_cat(c, list, bt_lower_dim(c, c->args[1], bt_lower_rank(c, list.seq->items[0])));
    }
}

void bt_aten_stack(struct bt_call *c)
{
    struct bt_dyn list = bt_lower_seq(c, BT_DYN_LIST, NULL, 0), all = c->args[0];
    if (!has_items(c, all)) {
        return;
    }
    int dim = bt_lower_dim(c, c->args[1], bt_lower_rank(c, all.seq->items[0]) + 1);
    for (size_t i = 0; i < bt_lower_count(all); i++) {
        bt_lower_append(c, &list, bt_lower_unsqueeze(c, all.seq->items[i], dim));
    }
    c->out = bt_lower_cat(c, list, dim);
}

/* Joins along `dim` after adding leading dimensions up to `rank`. */
static void join_at_least(struct bt_call *c, int rank, int dim)
{
    struct bt_dyn list = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (size_t i = 0; i < bt_lower_count(c->args[0]); i++) {
        struct bt_dyn x = c->args[0].seq->items[i];
        while (c->status == BERTC_OK && bt_lower_rank(c, x) < rank) {
            x = bt_lower_unsqueeze(c, x, 0);
        }
        bt_lower_append(c, &list, x);
    }
    if (has_items(c, list)) {
        c->out = bt_lower_cat(c, list, dim);
    }
}

void bt_aten_hstack(struct bt_call *c)
{
    bool flat = bt_lower_count(c->args[0]) == 0 || bt_lower_rank(c, c->args[0].seq->items[0]) < 2;
    join_at_least(c, 1, flat ? 0 : 1);
}

void bt_aten_vstack(struct bt_call *c)
{
    join_at_least(c, 2, 0);
}

/* Repeats dimension `dim` as a whole (or each item of it): a new axis, expanded and merged. */
static struct bt_dyn repeat_dim(struct bt_call *c, struct bt_dyn x, int dim, bt_expr times, bool each)
{
    bt_expr shape[BT_MAX_RANK];
    int rank = bt_lower_shape(c, x, shape);
    int64_t size;
    if (c->status != BERTC_OK) {
        return x;
    }
    bt_expr merged = bt_expr_binary(c->x, BT_EXPR_MUL, shape[dim], times);
    if (bt_expr_is_int(c->x, shape[dim], &size) && size == 1) {
        shape[dim] = times;
        return bt_lower_expand(c, x, shape, rank);
    }
    int axis = each ? dim + 1 : dim;
    x = bt_lower_unsqueeze(c, x, axis);
    rank = bt_lower_shape(c, x, shape);
    if (c->status != BERTC_OK) {
        return x;
    }
    shape[axis] = times;
    x = bt_lower_expand(c, x, shape, rank);
    shape[dim] = merged;
    memmove(shape + dim + 1, shape + dim + 2, (size_t)(rank - dim - 2) * sizeof *shape);
    return bt_lower_reshape(c, x, shape, rank - 1);
}

/* self, repeats: one a dimension, leading ones for new dimensions; tile takes fewer too */
void bt_aten_repeat(struct bt_call *c)
{
    struct bt_dyn x = c->args[0];
    bt_expr repeats[BT_MAX_RANK];
    int count = bt_lower_list(c, c->args[1], repeats, BT_MAX_RANK);
    while (c->status == BERTC_OK && bt_lower_rank(c, x) < count) {
        x = bt_lower_unsqueeze(c, x, 0);
    }
    int skipped = bt_lower_rank(c, x) - count;
    for (int i = 0; i < count; i++) {
        int64_t times;
        if (!bt_expr_is_int(c->x, repeats[i], &times) || times != 1) {
            x = repeat_dim(c, x, skipped + i, repeats[i], false);
        }
    }
    c->out = x;
}

/* self, repeats, dim */
void bt_aten_repeat_interleave(struct bt_call *c)
{
    struct bt_dyn x = c->args[0];
    int dim = 0;
    if (bt_lower_given(c, 2)) {
        dim = bt_lower_dim(c, c->args[2], bt_lower_rank(c, x));
    } else {
        bt_expr all = bt_expr_int(c->x, -1);
        x = bt_lower_reshape(c, x, &all, 1);
    }
    c->out = repeat_dim(c, x, dim, bt_lower_expr(c, c->args[1]), true);
}

void bt_aten_flip(struct bt_call *c)
{
    int dims[BT_MAX_RANK], count = 0;
    if (bt_lower_count(c->args[1]) > 0) {
        count = bt_lower_dims(c, c->args[1], bt_lower_rank(c, c->args[0]), dims);
    }
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), bt_lower_ints(c, dims, count)};
    c->out = bt_lower_node(c, BT_OP_FLIP, 2, args);
}

/* self, shifts, dims: without dims the flattened tensor is rolled */
void bt_aten_roll(struct bt_call *c)
{
    struct bt_dyn x = c->args[0];
    bt_expr shape[BT_MAX_RANK], all = bt_expr_int(c->x, -1);
    int dims[BT_MAX_RANK] = {0}, count = 1, rank = bt_lower_shape(c, x, shape);
    bool flat = bt_lower_count(c->args[2]) == 0;
    if (flat) {
        x = bt_lower_reshape(c, x, &all, 1);
    } else {
        count = bt_lower_dims(c, c->args[2], rank, dims);
    }
    const struct bt_arg args[] = {bt_lower_value(c, x), bt_lower_exprs(c, c->args[1]), bt_lower_ints(c, dims, count)};
    x = bt_lower_node(c, BT_OP_ROLL, 3, args);
    c->out = flat ? bt_lower_reshape(c, x, shape, rank) : x;
}

static void pad_constant(struct bt_call *c, struct bt_arg value)
{
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), bt_lower_exprs(c, c->args[1]), value};
    c->out = bt_lower_node(c, BT_OP_PAD, 3, args);
}

/* self, pad, value */
void bt_aten_constant_pad(struct bt_call *c)
{
    pad_constant(c, bt_lower_operand(c, c->args[2]));
}

/* self, pad, mode, value */
void bt_aten_pad(struct bt_call *c)
{
    if (strcmp(c->args[2].text, "constant") != 0) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "mode \"%s\" is not implemented, only constant", c->args[2].text);
    }
    pad_constant(c, bt_lower_given(c, 3) ? bt_lower_operand(c, c->args[3]) : bt_arg_int(c->g, 0));
}

/* tril, triu: self, diagonal */
void bt_aten_triangle(struct bt_call *c)
{
    const struct bt_arg args[] = {bt_lower_value(c, c->args[0]), bt_lower_operand(c, c->args[1])};
    c->out = bt_lower_node(c, (enum bt_op)c->detail, 2, args);
}

/* self, n, dim, prepend, append: differences of neighbours; of bools, whether they differ */
void bt_aten_diff(struct bt_call *c)
{
    struct bt_dyn list = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    const int order[] = {3, 0, 4}, dim = bt_lower_dim(c, c->args[2], bt_lower_rank(c, c->args[0]));
    for (int i = 0; i < 3; i++) {
        if (bt_lower_given(c, order[i])) {
            bt_lower_append(c, &list, c->args[order[i]]);
        }
    }
    struct bt_dyn x = bt_lower_count(list) > 1 ? bt_lower_cat(c, list, dim) : c->args[0];
    enum bt_op op = bt_lower_type(c, x) == BT_BOOL ? BT_OP_LOGICAL_XOR : BT_OP_SUB;
    bt_expr one = bt_expr_int(c->x, 1);
    for (int64_t n = bt_lower_int(c, c->args[1]); n > 0 && c->status == BERTC_OK; n--) {
        bt_expr size = bt_lower_size(c, x, dim);
        struct bt_dyn before =
            bt_lower_slice(c, x, dim, bt_expr_int(c->x, 0), bt_expr_binary(c->x, BT_EXPR_SUB, size, one));
        x = bt_lower_binary(c, op, bt_lower_slice(c, x, dim, one, size), before);
    }
    c->out = x;
}

/* tensors, indexing: "xy" swaps the first two dimensions */
void bt_aten_meshgrid(struct bt_call *c)
{
    struct bt_dyn all = c->args[0], list = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    bt_expr sizes[BT_MAX_RANK], shape[BT_MAX_RANK];
    const int count = (int)bt_lower_count(all);
    bool swap = strcmp(c->args[1].text, "xy") == 0 && count > 1;
    if (count > BT_MAX_RANK) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "of more than %d tensors is not implemented", BT_MAX_RANK);
        return;
    }
    for (int i = 0; i < count; i++) {
        int axis = swap && i < 2 ? 1 - i : i;
        struct bt_dyn x = all.seq->items[i];
        sizes[axis] = bt_lower_rank(c, x) > 0 ? bt_lower_size(c, x, 0) : bt_expr_int(c->x, 1);
    }
    for (int i = 0; i < count; i++) {
        int axis = swap && i < 2 ? 1 - i : i;
        for (int k = 0; k < count; k++) {
            shape[k] = bt_expr_int(c->x, k == axis ? -1 : 1);
        }
        struct bt_dyn x = bt_lower_reshape(c, all.seq->items[i], shape, count);
        bt_lower_append(c, &list, bt_lower_expand(c, x, sizes, count));
    }
    c->out = list;
}
