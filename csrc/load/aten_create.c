/* aten_create.c: operators that make tensors from numbers */
#include "load/lower.h"

static struct bt_arg number_or(struct bt_call *c, int i, int64_t fallback)
{
    return i >= 0 ? bt_lower_operand(c, c->args[i]) : bt_arg_int(c->g, fallback);
}

/* [start,] end [, step], then dtype: the detail counts the numbers */
void bt_aten_arange(struct bt_call *c)
{
    enum bt_dtype dtype = BT_I64;
    for (int i = 0; i < c->detail; i++) {
        if (bt_lower_type(c, c->args[i]) == BT_F32) {
            dtype = BT_F32;
        }
    }
    const struct bt_arg args[] = {number_or(c, c->detail > 1 ? 0 : -1, 0), number_or(c, c->detail > 1 ? 1 : 0, 0),
                                  number_or(c, c->detail > 2 ? 2 : -1, 1),
                                  bt_arg_dtype(bt_lower_dtype(c, c->args[c->detail], dtype))};
    c->out = bt_lower_node(c, BT_OP_ARANGE, 4, args);
}

/* A tensor of one number; of rank 0 it stays a number. */
static struct bt_dyn filled(struct bt_call *c, struct bt_arg size, struct bt_dyn value, enum bt_dtype dtype)
{
    bt_expr number = bt_number_convert(c->x, bt_lower_expr(c, value), dtype);
    if (c->status == BERTC_OK && size.count == 0) {
        return bt_lower_number(c, number, dtype);
    }
    return bt_lower_node(c, BT_OP_FULL, 3, (struct bt_arg[]){size, bt_arg_expr(number), bt_arg_dtype(dtype)});
}

/* zeros, ones, empty: size, dtype; the number is the detail */
void bt_aten_filled(struct bt_call *c)
{
    c->out =
        filled(c, bt_lower_exprs(c, c->args[0]), bt_lower_integer(c, c->detail), bt_lower_dtype(c, c->args[1], BT_F32));
}

/* size, fill_value, dtype */
void bt_aten_full(struct bt_call *c)
{
    enum bt_dtype dtype = c->l->float_full ? BT_F32 : bt_lower_type(c, c->args[1]);
    c->out = filled(c, bt_lower_exprs(c, c->args[0]), c->args[1], bt_lower_dtype(c, c->args[2], dtype));
}

/* self, size, dtype */
void bt_aten_new_filled(struct bt_call *c)
{
    enum bt_dtype dtype = bt_lower_dtype(c, c->args[2], bt_lower_type(c, c->args[0]));
    c->out = filled(c, bt_lower_exprs(c, c->args[1]), bt_lower_integer(c, c->detail), dtype);
}

/* self, size, fill_value, dtype */
void bt_aten_new_full(struct bt_call *c)
{
    enum bt_dtype dtype = bt_lower_dtype(c, c->args[3], bt_lower_type(c, c->args[0]));
    c->out = filled(c, bt_lower_exprs(c, c->args[1]), c->args[2], dtype);
}

static void fill_like(struct bt_call *c, struct bt_dyn value, struct bt_dyn dtype)
{
    bt_expr shape[BT_MAX_RANK];
    int rank = bt_lower_shape(c, c->args[0], shape);
    c->out = filled(c, bt_arg_exprs(shape, rank), value, bt_lower_dtype(c, dtype, bt_lower_type(c, c->args[0])));
}

/* self, dtype */
void bt_aten_filled_like(struct bt_call *c)
{
    fill_like(c, bt_lower_integer(c, c->detail), c->args[1]);
}

/* self, fill_value, dtype */
void bt_aten_full_like(struct bt_call *c)
{
    fill_like(c, c->args[1], c->args[2]);
}

/* n [, m], dtype: the detail counts the sizes */
void bt_aten_eye(struct bt_call *c)
{
    const struct bt_arg args[] = {bt_lower_operand(c, c->args[0]), bt_lower_operand(c, c->args[c->detail - 1]),
                                  bt_arg_dtype(bt_lower_dtype(c, c->args[c->detail], BT_F32))};
    c->out = bt_lower_node(c, BT_OP_EYE, 3, args);
}

void bt_aten_scalar_tensor(struct bt_call *c)
{
    c->out = filled(c, bt_arg_exprs(NULL, 0), c->args[0], bt_lower_dtype(c, c->args[1], BT_F32));
}

/* A number becomes a tensor that is known to be it: sizes stay expressions when traced code wraps and unwraps them. */
void bt_aten_num_to_tensor(struct bt_call *c)
{
    bt_expr e = bt_lower_expr(c, c->args[0]);
    enum bt_dtype dtype = bt_lower_type(c, c->args[0]);
    c->out = bt_lower_number(c, e, dtype == BT_F32 ? BT_F64 : dtype);
}

/* Nested lists of numbers: each level stacks the tensors below it. */
static struct bt_dyn from_data(struct bt_call *c, struct bt_dyn data, enum bt_dtype dtype, int depth)
{
    bool list = data.kind == BT_DYN_LIST || data.kind == BT_DYN_TUPLE;
    size_t count = bt_lower_count(data);
    bt_expr size = bt_expr_int(c->x, 0);
    if (!list) {
        return bt_lower_cast(c, data, dtype);
    }
    if (depth >= BT_MAX_RANK) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "data nests more than %d lists", BT_MAX_RANK);
    }
    if (count == 0) {
        return filled(c, bt_arg_exprs(&size, 1), bt_lower_integer(c, 0), dtype);
    }
    bt_value *values = bt_arena_alloc(c->l->arena, count, sizeof *values);
    if (!values) {
        bt_lower_ok(c, bt_error_memory(c->err));
    }
    for (size_t i = 0; i < count && c->status == BERTC_OK; i++) {
        struct bt_dyn item = from_data(c, data.seq->items[i], dtype, depth + 1);
        values[i] = bt_lower_value(c, bt_lower_unsqueeze(c, item, 0)).value;
    }
    return bt_lower_node(c, BT_OP_CAT, 2,
                         (struct bt_arg[]){bt_arg_values(values, (int32_t)count), bt_arg_int(c->g, 0)});
}

/* The widest type among the numbers of nested lists: bool, then int, then float. */
static enum bt_dtype data_type(struct bt_call *c, struct bt_dyn data, int depth)
{
    if (data.kind != BT_DYN_LIST && data.kind != BT_DYN_TUPLE) {
        return bt_lower_type(c, data);
    }
    enum bt_dtype widest = bt_lower_count(data) > 0 ? BT_BOOL : BT_F32;
    for (size_t i = 0; i < bt_lower_count(data) && depth < BT_MAX_RANK; i++) {
        enum bt_dtype type = data_type(c, data.seq->items[i], depth + 1);
        if (widest == BT_BOOL || bt_dtype_is_float(type)) {
            widest = type;
        }
    }
    return widest;
}

/* data, dtype: a copy */
void bt_aten_tensor(struct bt_call *c)
{
    c->out = from_data(c, c->args[0], bt_lower_dtype(c, c->args[1], data_type(c, c->args[0], 0)), 0);
}

void bt_aten_refuse_random(struct bt_call *c)
{
    bt_lower_fail(c, BERTC_UNSUPPORTED, "the model draws random numbers, which bertc does not support");
}
