/* infer_reduce.c: reductions, scans and softmax */
#include "graph/infer.h"

/* The operand's shape without (or with 1 for) the dims chosen by argument dims_arg. */
static enum bertc_status reduce(struct bt_inference *in, int dims_arg, int keep_arg)
{
    const struct bt_value_info *self;
    bool chosen[BT_MAX_RANK], keep;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status) {
        status = bt_infer_dims(in, dims_arg, self->rank, chosen);
    }
    if (!status) {
        status = bt_infer_bool(in, keep_arg, &keep);
    }
    if (status) {
        return status;
    }
    in->out->dtype = self->dtype;
    for (int d = 0; d < self->rank && !status; d++) {
        if (!chosen[d]) {
            status = bt_infer_add_dim(in, self->dims[d]);
        } else if (keep) {
            status = bt_infer_add_dim(in, bt_expr_int(in->g->exprs, 1));
        }
    }
    return status;
}

static enum bertc_status expect_float(struct bt_inference *in, enum bt_dtype dtype)
{
    if (bt_dtype_is_float(dtype)) {
        return BERTC_OK;
    }
    return bt_infer_misfit(in, "the operand is %s, expected a floating-point tensor", bt_dtype_name(dtype));
}

enum bertc_status bt_infer_reduce_same(struct bt_inference *in)
{
    return reduce(in, 1, 2);
}

enum bertc_status bt_infer_reduce_sum(struct bt_inference *in)
{
    enum bertc_status status = reduce(in, 1, 2);
    if (status) {
        return status;
    }
    if (!bt_dtype_is_float(in->out->dtype)) {
        in->out->dtype = BT_I64;
    }
    return bt_infer_dtype(in, 3, &in->out->dtype);
}

enum bertc_status bt_infer_reduce_mean(struct bt_inference *in)
{
    enum bertc_status status = reduce(in, 1, 2);
    if (!status) {
        status = in->node->op == BT_OP_VAR ? bt_infer_number(in, 3) : bt_infer_dtype(in, 3, &in->out->dtype);
    }
    return status ? status : expect_float(in, in->out->dtype);
}

enum bertc_status bt_infer_reduce_bool(struct bt_inference *in)
{
    enum bertc_status status = reduce(in, 1, 2);
    in->out->dtype = BT_BOOL;
    return status;
}

enum bertc_status bt_infer_reduce_norm(struct bt_inference *in)
{
    enum bertc_status status = bt_infer_number(in, 1);
    if (!status) {
        status = reduce(in, 2, 3);
    }
    return status ? status : expect_float(in, in->out->dtype);
}

/* One dimension, given as a number. */
static enum bertc_status reduce_one(struct bt_inference *in)
{
    const struct bt_value_info *self;
    int dim;
    bool keep;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status) {
        status = bt_infer_dim(in, 1, self->rank, &dim);
    }
    if (!status) {
        status = bt_infer_bool(in, 2, &keep);
    }
    if (status) {
        return status;
    }
    struct bt_exprs *x = in->g->exprs;
    in->out->dtype = self->dtype;
    if (self->rank > 0 && !bt_graph_decide(in->g, bt_expr_binary(x, BT_EXPR_GE, self->dims[dim], bt_expr_int(x, 1)))) {
        return bt_infer_misfit(in, "dimension %d of %s is empty", dim, bt_infer_shape_of(in, self));
    }
    for (int d = 0; d < self->rank && !status; d++) {
        if (d != dim) {
            status = bt_infer_add_dim(in, self->dims[d]);
        } else if (keep) {
            status = bt_infer_add_dim(in, bt_expr_int(x, 1));
        }
    }
    return status;
}

enum bertc_status bt_infer_reduce_arg(struct bt_inference *in)
{
    enum bertc_status status = reduce_one(in);
    in->out->dtype = BT_I64;
    return status;
}

enum bertc_status bt_infer_reduce_pair(struct bt_inference *in)
{
    enum bertc_status status = reduce_one(in);
    in->node->nouts = 2;
    in->out[1] = in->out[0];
    in->out[1].dtype = BT_I64;
    return status;
}

enum bertc_status bt_infer_sort(struct bt_inference *in)
{
    const struct bt_value_info *self;
    int dim;
    bool descending;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status) {
        status = bt_infer_dim(in, 1, self->rank, &dim);
    }
    if (!status) {
        status = bt_infer_bool(in, 2, &descending);
    }
    if (status) {
        return status;
    }
    bt_infer_like(in, self);
    in->node->nouts = 2;
    in->out[1] = in->out[0];
    in->out[1].dtype = BT_I64;
    return BERTC_OK;
}

/* Shape kept, one dimension to work along, an optional dtype. */
static enum bertc_status along_dim(struct bt_inference *in, bool ints_to_int64)
{
    const struct bt_value_info *self;
    int dim;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status) {
        status = bt_infer_dim(in, 1, self->rank, &dim);
    }
    if (status) {
        return status;
    }
    bt_infer_like(in, self);
    if (ints_to_int64 && !bt_dtype_is_float(self->dtype)) {
        in->out->dtype = BT_I64;
    }
    return bt_infer_dtype(in, 2, &in->out->dtype);
}

enum bertc_status bt_infer_cumsum(struct bt_inference *in)
{
    return along_dim(in, true);
}

enum bertc_status bt_infer_softmax(struct bt_inference *in)
{
    enum bertc_status status = along_dim(in, false);
    return status ? status : expect_float(in, in->out->dtype);
}
