/* infer_pointwise.c: shapes and dtypes of pointwise ops */
#include "graph/infer.h"

enum bertc_status bt_infer_cast(struct bt_inference *in)
{
    const struct bt_value_info *self;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (status) {
        return status;
    }
    if (!bt_infer_given(in, 1)) {
        return bt_infer_refuse(in, "argument 'dtype' is missing");
    }
    bt_infer_like(in, self);
    return bt_infer_dtype(in, 1, &in->out->dtype);
}

/* The operand's shape and dtype; arguments after the first are numbers. */
enum bertc_status bt_infer_unary(struct bt_inference *in)
{
    const struct bt_value_info *self;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    for (int i = 1; i < in->node->nargs && !status; i++) {
        status = bt_infer_number(in, i);
    }
    if (status) {
        return status;
    }
    bt_infer_like(in, self);
    if (in->node->op == BT_OP_BITWISE_NOT && bt_dtype_is_float(self->dtype)) {
        return bt_infer_misfit(in, "the operand is %s, expected integers or bools", bt_dtype_name(self->dtype));
    }
    return BERTC_OK;
}

enum bertc_status bt_infer_unary_float(struct bt_inference *in)
{
    enum bertc_status status = bt_infer_unary(in);
    if (!status && !bt_dtype_is_float(in->out->dtype)) {
        in->out->dtype = BT_F32;
    }
    return status;
}

enum bertc_status bt_infer_unary_bool(struct bt_inference *in)
{
    enum bertc_status status = bt_infer_unary(in);
    in->out->dtype = BT_BOOL;
    return status;
}

/* Broadcasts the tensors among arguments first..last; numbers have no shape, and NONE is skipped. */
static enum bertc_status broadcast_args(struct bt_inference *in, int first, int last)
{
    bool any = false;
    for (int i = first; i <= last; i++) {
        const struct bt_value_info *info;
        if (in->node->args[i].kind == BT_ARG_EXPR || !bt_infer_given(in, i)) {
            continue;
        }
        enum bertc_status status = bt_infer_tensor(in, i, &info);
        if (!status) {
            status = bt_infer_broadcast(in, info);
        }
        if (status) {
            return status;
        }
        any = true;
    }
    return any ? BERTC_OK : bt_infer_refuse(in, "none of the operands is a tensor");
}

static bool takes_only_ints(enum bt_op op)
{
    return op == BT_OP_BITWISE_AND || op == BT_OP_BITWISE_OR || op == BT_OP_BITWISE_XOR;
}

enum bertc_status bt_infer_binary(struct bt_inference *in)
{
    if (!bt_infer_given(in, 0) || !bt_infer_given(in, 1)) {
        return bt_infer_refuse(in, "an operand is missing");
    }
    enum bertc_status status = broadcast_args(in, 0, 1);
    if (!status) {
        status = bt_infer_promote(in, 0, 1);
    }
    if (!status && takes_only_ints(in->node->op) && bt_dtype_is_float(in->out->dtype)) {
        return bt_infer_misfit(in, "the operands are %s, expected integers or bools", bt_dtype_name(in->out->dtype));
    }
    return status;
}

enum bertc_status bt_infer_binary_float(struct bt_inference *in)
{
    enum bertc_status status = bt_infer_binary(in);
    if (!status && !bt_dtype_is_float(in->out->dtype)) {
        in->out->dtype = BT_F32;
    }
    return status;
}

enum bertc_status bt_infer_compare(struct bt_inference *in)
{
    enum bertc_status status = bt_infer_binary(in);
    in->out->dtype = BT_BOOL;
    return status;
}

enum bertc_status bt_infer_where(struct bt_inference *in)
{
    const struct bt_value_info *condition;
    enum bertc_status status = bt_infer_tensor(in, 0, &condition);
    if (status) {
        return status;
    }
    if (condition->dtype != BT_BOOL && condition->dtype != BT_U8) {
        return bt_infer_misfit(in, "the condition is %s, expected bool", bt_dtype_name(condition->dtype));
    }
    if (!bt_infer_given(in, 1) || !bt_infer_given(in, 2)) {
        return bt_infer_refuse(in, "an operand is missing");
    }
    status = broadcast_args(in, 0, 2);
    return status ? status : bt_infer_promote(in, 1, 2);
}

enum bertc_status bt_infer_clamp(struct bt_inference *in)
{
    const struct bt_value_info *self;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status) {
        status = broadcast_args(in, 0, 2);
    }
    return status ? status : bt_infer_promote(in, 0, 2);
}
