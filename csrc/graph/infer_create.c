/* infer_create.c: tensors made from numbers */
#include <math.h>

#include "graph/infer.h"

static enum bertc_status set_dtype(struct bt_inference *in, int i, enum bt_dtype missing)
{
    in->out->dtype = missing;
    enum bertc_status status = bt_infer_dtype(in, i, &in->out->dtype);
    if (!status) {
        in->node->args[i] = bt_arg_dtype(in->out->dtype);
    }
    return status;
}

/* A known whole number as an integer: lengths that are counted in integers stay polynomials. */
static bt_expr whole(struct bt_exprs *x, bt_expr e)
{
    struct bt_scalar number;
    bool is_whole = bt_expr_is_const(x, e, &number) && number.type == BT_SCALAR_FLOAT && fabs(number.f) < 1e9 &&
                    number.f == floor(number.f);
    return is_whole ? bt_expr_int(x, (int64_t)number.f) : e;
}

/* ceil((end - start) / step), for ints in exact arithmetic. */
static bt_expr arange_length(struct bt_inference *in, bt_expr start, bt_expr end, bt_expr step)
{
    struct bt_exprs *x = in->g->exprs;
    bt_expr span = bt_expr_binary(x, BT_EXPR_SUB, end, start);
    step = whole(x, step);
    if (bt_expr_type(x, span) == BT_SCALAR_FLOAT || bt_expr_type(x, step) == BT_SCALAR_FLOAT) {
        return bt_expr_unary(x, BT_EXPR_TO_INT,
                             bt_expr_unary(x, BT_EXPR_CEIL, bt_expr_binary(x, BT_EXPR_DIV, span, step)));
    }
    bt_expr down = bt_expr_binary(x, BT_EXPR_FLOOR_DIV, bt_expr_unary(x, BT_EXPR_NEG, span), step);
    return bt_expr_unary(x, BT_EXPR_NEG, down);
}

enum bertc_status bt_infer_arange(struct bt_inference *in)
{
    struct bt_exprs *x = in->g->exprs;
    struct bt_arg *args = in->node->args;
    static const int missing[3] = {0, 0, 1};
    bool floats = false;
    enum bertc_status status = BERTC_OK;
    for (int i = 0; i < 3 && !status; i++) {
        if (!bt_infer_given(in, i)) {
            status = i == 1 ? bt_infer_refuse(in, "argument 'end' is missing") : bt_infer_set_int(in, i, missing[i]);
        }
        if (!status) {
            status = bt_infer_number(in, i);
        }
        if (!status) {
            floats = floats || bt_expr_type(x, args[i].expr) == BT_SCALAR_FLOAT;
        }
    }
    if (!status) {
        status = set_dtype(in, 3, floats ? BT_F32 : BT_I64);
    }
    if (status) {
        return status;
    }
    bt_expr length = arange_length(in, args[0].expr, args[1].expr, args[2].expr), zero = bt_expr_int(x, 0);
    if (length >= 0 && !bt_expr_is_non_negative(x, length) &&
        !bt_graph_decide(in->g, bt_expr_binary(x, BT_EXPR_GE, length, zero))) {
        return bt_infer_misfit(in, "the end lies before the start");
    }
    return bt_infer_add_dim(in, length);
}

enum bertc_status bt_infer_full(struct bt_inference *in)
{
    const bt_expr *size;
    int count;
    enum bertc_status status = bt_infer_list(in, 0, &size, &count);
    if (!status) {
        status = bt_infer_number(in, 1);
    }
    if (status) {
        return status;
    }
    if (!bt_infer_given(in, 1)) {
        return bt_infer_refuse(in, "argument 'value' is missing");
    }
    for (int d = 0; d < count && !status; d++) {
        status = bt_infer_add_dim(in, size[d]);
    }
    enum bt_scalar_type type = bt_expr_type(in->g->exprs, in->node->args[1].expr);
    enum bt_dtype missing = type == BT_SCALAR_FLOAT ? BT_F32 : type == BT_SCALAR_INT ? BT_I64 : BT_BOOL;
    return status ? status : set_dtype(in, 2, missing);
}

enum bertc_status bt_infer_eye(struct bt_inference *in)
{
    bt_expr n, m;
    if (!bt_infer_given(in, 1)) {
        in->node->args[1] = in->node->args[0];
    }
    enum bertc_status status = bt_infer_expr(in, 0, &n);
    if (!status) {
        status = bt_infer_expr(in, 1, &m);
    }
    if (!status) {
        status = bt_infer_add_dim(in, n);
    }
    if (!status) {
        status = bt_infer_add_dim(in, m);
    }
    return status ? status : set_dtype(in, 2, BT_F32);
}
