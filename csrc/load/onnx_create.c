/* onnx_create.c: constants, ranges, and control flow that is resolved while the graph is built */
#include "load/onnx_lower.h"

static const struct {
    const char *name;
    enum bt_onnx_kind kind;
} forms[] = {
    {"value", BT_ONNX_TENSOR},    {"value_int", BT_ONNX_INT},       {"value_float", BT_ONNX_FLOAT},
    {"value_ints", BT_ONNX_INTS}, {"value_floats", BT_ONNX_FLOATS},
};

static struct bt_dyn real(struct bt_onnx_call *o, double value)
{
    return bt_lower_number(&o->call, bt_expr_float(o->call.x, bt_onnx_decimal((float)value)), BT_F32);
}

static struct bt_dyn integer(struct bt_onnx_call *o, int64_t value)
{
    return bt_onnx_integer(o, bt_expr_int(o->call.x, value));
}

void bt_onnx_op_constant(struct bt_onnx_call *o)
{
    enum { FORMS = sizeof forms / sizeof *forms };
    struct bt_call *c = &o->call;
    const struct bt_onnx_attribute *a = NULL;
    int form = 0;
    while (form < FORMS && !(a = bt_onnx_attribute_of(o, forms[form].name, forms[form].kind))) {
        form++;
    }
    if (!a || (forms[form].kind == BT_ONNX_TENSOR && !a->tensor)) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "its value is of a kind that is not supported");
        return;
    }
    switch (forms[form].kind) {
    case BT_ONNX_TENSOR:
        o->outs[0] = bt_onnx_constant(o, a->tensor, o->out_count ? o->node->outputs.items[0] : "");
        break;
    case BT_ONNX_INT: o->outs[0] = integer(o, a->i); break;
    case BT_ONNX_FLOAT: o->outs[0] = real(o, a->f); break;
    default:
        o->outs[0] = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
        for (size_t i = 0; i < a->ints.count; i++) {
            bt_lower_append(c, &o->outs[0], integer(o, a->ints.items[i]));
        }
        for (size_t i = 0; i < a->floats.size / sizeof(float); i++) {
            bt_lower_append(c, &o->outs[0], real(o, bt_onnx_float_at(&a->floats, i)));
        }
    }
}

/* shape; the value is a tensor of one item, by default the float 0. Short vectors of integers stay known. */
void bt_onnx_op_constant_of_shape(struct bt_onnx_call *o)
{
    enum { SHORT = 16 };
    struct bt_call *c = &o->call;
    bt_expr shape[BT_MAX_RANK];
    const int rank = bt_onnx_numbers(o, 0, shape, BT_MAX_RANK);
    const struct bt_onnx_attribute *a = bt_onnx_attribute_of(o, "value", BT_ONNX_TENSOR);
    bt_expr number = bt_expr_float(c->x, 0);
    enum bt_dtype dtype = BT_F32;
    if (a && a->tensor) {
        if (bt_numel(a->tensor->tensor.rank, a->tensor->tensor.dims) != 1) {
            bt_lower_fail(c, BERTC_FORMAT, "its value does not have one item");
            return;
        }
        dtype = a->tensor->tensor.dtype;
        number = bt_dyn_read_number(c->x, &a->tensor->tensor);
    }
    if (rank == 0) {
        o->outs[0] = bt_lower_number(c, number, dtype);
        return;
    }
    int64_t size;
    if (rank == 1 && dtype == BT_I64 && bt_expr_is_int(c->x, shape[0], &size) && size <= SHORT) {
        o->outs[0] = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
        for (int64_t i = 0; i < size; i++) {
            bt_lower_append(c, &o->outs[0], bt_onnx_integer(o, number));
        }
        return;
    }
    const struct bt_arg args[] = {bt_arg_exprs(shape, rank), bt_arg_expr(number), bt_arg_dtype(dtype)};
    o->outs[0] = bt_lower_node(c, BT_OP_FULL, 3, args);
}

/* start, limit, delta */
void bt_onnx_op_range(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn start = bt_onnx_scalar(o, 0), limit = bt_onnx_scalar(o, 1), delta = bt_onnx_scalar(o, 2);
    const struct bt_arg args[] = {bt_arg_expr(bt_lower_expr(c, start)), bt_arg_expr(bt_lower_expr(c, limit)),
                                  bt_arg_expr(bt_lower_expr(c, delta)), bt_arg_dtype(bt_lower_type(c, start))};
    o->outs[0] = bt_lower_node(c, BT_OP_ARANGE, 4, args);
}

void bt_onnx_op_eye_like(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    bt_expr shape[BT_MAX_RANK];
    struct bt_dyn like = bt_onnx_tensor(o, 0);
    enum bt_dtype dtype = bt_lower_type(c, like);
    const char *name;
    if (bt_lower_shape(c, like, shape) != 2 || bt_onnx_int(o, "k", 0) != 0 ||
        (bt_onnx_attribute(o, "dtype") && !bt_onnx_dtype(bt_onnx_int(o, "dtype", 0), &dtype, &name))) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "only the main diagonal of a matrix is implemented");
        return;
    }
    const struct bt_arg args[] = {bt_arg_expr(shape[0]), bt_arg_expr(shape[1]), bt_arg_dtype(dtype)};
    o->outs[0] = bt_lower_node(c, BT_OP_EYE, 3, args);
}

/* The condition depends on shapes and constants: one branch is taken, for the present call. */
void bt_onnx_op_if(struct bt_onnx_call *o)
{
    struct bt_call *c = &o->call;
    struct bt_dyn condition = bt_onnx_scalar(o, 0);
    if (c->status == BERTC_OK && !bt_lower_is_number(condition)) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "its condition depends on tensor data");
        return;
    }
    bt_onnx_run_body(o, bt_lower_bool(c, condition) ? "then_branch" : "else_branch");
}

void bt_onnx_op_refuse_loop(struct bt_onnx_call *o)
{
    bt_lower_fail(&o->call, BERTC_UNSUPPORTED, "loops are not supported");
}

void bt_onnx_op_refuse_random(struct bt_onnx_call *o)
{
    bt_lower_fail(&o->call, BERTC_UNSUPPORTED, "the model draws random numbers, which bertc does not support");
}
