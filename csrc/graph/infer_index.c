/* infer_index.c: gathering, scattering, concatenation and other movement of elements */
#include <string.h>

#include "graph/infer.h"

static bool is_index_dtype(enum bt_dtype dtype)
{
    return dtype == BT_I64 || dtype == BT_I32;
}

enum bertc_status bt_infer_gather(struct bt_inference *in)
{
    const struct bt_value_info *self, *index;
    int dim;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status) {
        status = bt_infer_tensor(in, 2, &index);
    }
    if (!status) {
        status = bt_infer_dim(in, 1, self->rank, &dim);
    }
    if (status) {
        return status;
    }
    if (!is_index_dtype(index->dtype)) {
        return bt_infer_misfit(in, "the index is %s, expected int64", bt_dtype_name(index->dtype));
    }
    bool fits = self->rank == index->rank;
    for (int d = 0; fits && d < self->rank; d++) {
        fits =
            d == dim || bt_graph_decide(in->g, bt_expr_binary(in->g->exprs, BT_EXPR_LE, index->dims[d], self->dims[d]));
    }
    if (!fits) {
        return bt_infer_misfit(in, "the index %s does not lie within %s", bt_infer_shape_of(in, index),
                               bt_infer_shape_of(in, self));
    }
    bt_infer_like(in, index);
    in->out->dtype = self->dtype;
    return BERTC_OK;
}

/* The shape of self[indices], into out[0]: the index tensors broadcast together; their dims stand where the indices
 * stood when those are adjacent, else in front. */
static enum bertc_status indexed_shape(struct bt_inference *in, const struct bt_value_info *self)
{
    const struct bt_arg *indices = &in->node->args[1];
    if (indices->kind != BT_ARG_VALUES) {
        return bt_infer_refuse(in, "argument 'indices' is not a list of tensors");
    }
    if (indices->count > self->rank) {
        return bt_infer_misfit(in, "%d indices for a tensor with %d dimensions", (int)indices->count, self->rank);
    }
    struct bt_value_info common = {.rank = 0};
    struct bt_inference sub = {in->g, in->node, &common, in->err};
    int first = -1, last = -1, used = 0;
    for (int32_t i = 0; i < indices->count; i++) {
        if (indices->list[i] < 0) {
            continue;
        }
        const struct bt_value_info *index = &in->g->values[indices->list[i]];
        if (index->dtype == BT_BOOL || index->dtype == BT_U8) {
            return bt_infer_refuse(in, "indexing with a boolean mask gives a shape that depends on the data");
        }
        if (!is_index_dtype(index->dtype)) {
            return bt_infer_misfit(in, "an index is %s, expected int64", bt_dtype_name(index->dtype));
        }
        enum bertc_status status = bt_infer_broadcast(&sub, index);
        if (status) {
            return status;
        }
        first = first < 0 ? i : first;
        last = i;
        used++;
    }
    if (used == 0) {
        return bt_infer_refuse(in, "there is no index");
    }
    int at = last - first + 1 == used ? first : 0;
    enum bertc_status status = BERTC_OK;
    in->out->rank = 0;
    for (int d = 0; d <= self->rank && !status; d++) {
        for (int k = 0; d == at && k < common.rank && !status; k++) {
            status = bt_infer_add_dim(in, common.dims[k]);
        }
        bool indexed = d < indices->count && indices->list[d] >= 0;
        if (d < self->rank && !indexed && !status) {
            status = bt_infer_add_dim(in, self->dims[d]);
        }
    }
    return status;
}

enum bertc_status bt_infer_index(struct bt_inference *in)
{
    const struct bt_value_info *self;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (status) {
        return status;
    }
    in->out->dtype = self->dtype;
    return indexed_shape(in, self);
}

enum bertc_status bt_infer_index_put(struct bt_inference *in)
{
    const struct bt_value_info *self, *values;
    bool accumulate;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status) {
        status = bt_infer_tensor(in, 2, &values);
    }
    if (!status) {
        status = bt_infer_bool(in, 3, &accumulate);
    }
    if (!status) {
        status = indexed_shape(in, self);
    }
    if (status) {
        return status;
    }
    if (values->dtype != self->dtype) {
        return bt_infer_misfit(in, "values are %s, expected %s", bt_dtype_name(values->dtype),
                               bt_dtype_name(self->dtype));
    }
    const struct bt_value_info target = *in->out;
    status = bt_infer_broadcast(in, values);
    if (!status && !bt_infer_same_shape(in, &target, in->out)) {
        return bt_infer_misfit(in, "values %s do not expand to the indexed shape %s", bt_infer_shape_of(in, values),
                               bt_infer_shape_of(in, &target));
    }
    bt_infer_like(in, self);
    return status;
}

/* ATen ignores one-dimensional empty tensors among tensors of any rank. */
static bool is_legacy_empty(struct bt_inference *in, const struct bt_value_info *info)
{
    return info->rank == 1 && bt_infer_hint(in, info->dims[0]) == 0 &&
           bt_graph_same(in->g, info->dims[0], bt_expr_int(in->g->exprs, 0));
}

/* Drops what does not take part and finds the rank of the rest. */
static enum bertc_status cat_operands(struct bt_inference *in, const struct bt_value_info **first)
{
    struct bt_arg *tensors = &in->node->args[0];
    if (tensors->kind != BT_ARG_VALUES || tensors->count == 0) {
        return bt_infer_refuse(in, "argument 'tensors' is not a list of tensors");
    }
    int32_t kept = 0;
    int rank = 0;
    for (int32_t i = 0; i < tensors->count; i++) {
        if (tensors->list[i] < 0) {
            return bt_infer_refuse(in, "argument 'tensors' has a None");
        }
        const struct bt_value_info *info = &in->g->values[tensors->list[i]];
        rank = info->rank > rank ? info->rank : rank;
    }
    for (int32_t i = 0; i < tensors->count; i++) {
        const struct bt_value_info *info = &in->g->values[tensors->list[i]];
        if (rank > 1 && is_legacy_empty(in, info)) {
            continue;
        }
        if (info->rank != rank || rank == 0) {
            return bt_infer_misfit(in, "tensor %d has %d dimensions, another has %d", (int)i, info->rank, rank);
        }
        tensors->list[kept++] = tensors->list[i];
    }
    tensors->count = kept;
    *first = &in->g->values[tensors->list[0]];
    return BERTC_OK;
}

enum bertc_status bt_infer_cat(struct bt_inference *in)
{
    const struct bt_value_info *first = NULL;
    int dim;
    enum bertc_status status = bt_infer_promote(in, 0, 0); /* the empty ones take part in promotion */
    if (!status) {
        status = cat_operands(in, &first);
    }
    if (!status) {
        status = bt_infer_dim(in, 1, first->rank, &dim);
    }
    if (status) {
        return status;
    }
    const struct bt_arg *tensors = &in->node->args[0];
    in->out->rank = first->rank;
    memcpy(in->out->dims, first->dims, sizeof(first->dims));
    for (int32_t i = 1; i < tensors->count; i++) {
        const struct bt_value_info *info = &in->g->values[tensors->list[i]];
        for (int d = 0; d < info->rank; d++) {
            if (d == dim) {
                in->out->dims[d] = bt_expr_binary(in->g->exprs, BT_EXPR_ADD, in->out->dims[d], info->dims[d]);
            } else if (!bt_graph_same(in->g, in->out->dims[d], info->dims[d])) {
                return bt_infer_misfit(in, "shapes %s and %s differ in dimension %d", bt_infer_shape_of(in, first),
                                       bt_infer_shape_of(in, info), d);
            }
        }
    }
    return BERTC_OK;
}

enum bertc_status bt_infer_pad(struct bt_inference *in)
{
    const struct bt_value_info *self;
    const bt_expr *pads;
    int count;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status) {
        status = bt_infer_list(in, 1, &pads, &count);
    }
    if (!status) {
        status = bt_infer_number(in, 2);
    }
    if (status) {
        return status;
    }
    if (count % 2 != 0 || count > 2 * self->rank) {
        return bt_infer_misfit(in, "%d amounts for a tensor with %d dimensions", count, self->rank);
    }
    bt_infer_like(in, self);
    for (int k = 0; k < count; k++) {
        bt_expr *dim = &in->out->dims[self->rank - 1 - k / 2];
        *dim = bt_expr_binary(in->g->exprs, BT_EXPR_ADD, *dim, pads[k]);
    }
    return BERTC_OK;
}

enum bertc_status bt_infer_flip(struct bt_inference *in)
{
    const struct bt_value_info *self;
    bool chosen[BT_MAX_RANK];
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status && (in->node->args[1].kind != BT_ARG_EXPRS || in->node->args[1].count > 0)) {
        status = bt_infer_dims(in, 1, self->rank, chosen);
    }
    if (!status) {
        bt_infer_like(in, self);
    }
    return status;
}

enum bertc_status bt_infer_roll(struct bt_inference *in)
{
    const struct bt_value_info *self;
    const bt_expr *shifts;
    int count;
    bool chosen[BT_MAX_RANK];
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status) {
        status = bt_infer_list(in, 1, &shifts, &count);
    }
    if (!status) {
        status = bt_infer_dims(in, 2, self->rank, chosen);
    }
    if (status) {
        return status;
    }
    if (in->node->args[2].count != count) {
        return bt_infer_refuse(in, "%d shifts for %d dimensions", count, (int)in->node->args[2].count);
    }
    bt_infer_like(in, self);
    return BERTC_OK;
}

enum bertc_status bt_infer_triangle(struct bt_inference *in)
{
    const struct bt_value_info *self;
    bt_expr diagonal;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status && self->rank < 2) {
        return bt_infer_misfit(in, "%s has fewer than two dimensions", bt_infer_shape_of(in, self));
    }
    if (!status && !bt_infer_given(in, 1)) {
        status = bt_infer_set_int(in, 1, 0);
    }
    if (!status) {
        status = bt_infer_expr(in, 1, &diagonal);
    }
    if (!status) {
        bt_infer_like(in, self);
    }
    return status;
}

/* Both scatters: self with a part replaced by src, which has the part's shape. */
static enum bertc_status scatter(struct bt_inference *in, bool slice)
{
    const struct bt_value_info *self, *src;
    int dim;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status) {
        status = bt_infer_tensor(in, 1, &src);
    }
    if (!status && self->rank == 0) {
        return bt_infer_misfit(in, "a tensor without dimensions has no parts");
    }
    if (!status) {
        status = bt_infer_dim(in, 2, self->rank, &dim);
    }
    if (status) {
        return status;
    }
    struct bt_value_info part = *self;
    if (slice) {
        status = bt_infer_bounds(in, self, dim, 3, &part.dims[dim]);
    } else {
        status = bt_infer_wrap_index(in, 3, self->dims[dim]);
        part.rank--;
        memmove(&part.dims[dim], &part.dims[dim + 1], (size_t)(part.rank - dim) * sizeof(bt_expr));
    }
    if (!status && !bt_infer_same_shape(in, &part, src)) {
        return bt_infer_misfit(in, "the new part has shape %s, expected %s", bt_infer_shape_of(in, src),
                               bt_infer_shape_of(in, &part));
    }
    bt_infer_like(in, self);
    return status;
}

enum bertc_status bt_infer_slice_scatter(struct bt_inference *in)
{
    return scatter(in, true);
}

enum bertc_status bt_infer_select_scatter(struct bt_inference *in)
{
    return scatter(in, false);
}
