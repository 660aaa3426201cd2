/* aten_query.c: what code asks about tensors, and the numbers it takes out of them */
#include "load/lower.h"

void bt_aten_size(struct bt_call *c)
{
    struct bt_dyn sizes[BT_MAX_RANK];
    int rank = bt_lower_rank(c, c->args[0]);
    for (int i = 0; i < rank; i++) {
        sizes[i] = bt_dyn_scalar(bt_lower_size(c, c->args[0], i));
    }
    c->out = bt_lower_seq(c, BT_DYN_LIST, sizes, (size_t)rank);
}

void bt_aten_size_int(struct bt_call *c)
{
    int dim = bt_lower_dim(c, c->args[1], bt_lower_rank(c, c->args[0]));
    c->out = bt_dyn_scalar(bt_lower_size(c, c->args[0], dim));
}

void bt_aten_rank(struct bt_call *c)
{
    c->out = bt_lower_integer(c, bt_lower_rank(c, c->args[0]));
}

void bt_aten_numel(struct bt_call *c)
{
    bt_expr shape[BT_MAX_RANK], product = bt_expr_int(c->x, 1);
    int rank = bt_lower_shape(c, c->args[0], shape);
    for (int i = 0; i < rank; i++) {
        product = bt_expr_binary(c->x, BT_EXPR_MUL, product, shape[i]);
    }
    c->out = bt_dyn_scalar(product);
}

void bt_aten_dtype(struct bt_call *c)
{
    static const int8_t codes[BT_DTYPE_COUNT] = {
        [BT_U8] = 0,  [BT_I8] = 1,  [BT_I16] = 2, [BT_I32] = 3,   [BT_I64] = 4,
        [BT_F16] = 5, [BT_F32] = 6, [BT_F64] = 7, [BT_BOOL] = 11, [BT_BF16] = 15,
    };
    c->out = bt_lower_integer(c, codes[bt_lower_type(c, c->args[0])]);
}

void bt_aten_device(struct bt_call *c)
{
    c->out = (struct bt_dyn){.kind = BT_DYN_DEVICE, .scalar = BT_NO_EXPR};
}

void bt_aten_device_type(struct bt_call *c)
{
    c->out = bt_dyn_string("cpu");
}

/* Answers that are the same for every tensor here: the detail. */
void bt_aten_truth(struct bt_call *c)
{
    c->out = bt_dyn_scalar(bt_expr_bool(c->x, c->detail));
}

void bt_aten_is_floating_point(struct bt_call *c)
{
    c->out = bt_dyn_scalar(bt_expr_bool(c->x, bt_dtype_is_float(bt_lower_type(c, c->args[0]))));
}

/* The number in a 0-dim tensor, where it is known. */
void bt_aten_item(struct bt_call *c)
{
    c->out = bt_dyn_scalar(bt_lower_expr(c, c->args[0]));
}

/* int(x), float(x), bool(x): the detail is a dtype of the kind */
void bt_aten_number(struct bt_call *c)
{
    c->out = bt_dyn_scalar(bt_number_convert(c->x, bt_lower_expr(c, c->args[0]), (enum bt_dtype)c->detail));
}

void bt_aten_nothing(struct bt_call *c)
{
    c->out = bt_dyn_none();
}

/* The model's own refusal of its input. */
void bt_aten_raise(struct bt_call *c)
{
    bt_lower_fail(c, BERTC_INPUT, "the model refuses its input: %s", c->args[0].text);
}
