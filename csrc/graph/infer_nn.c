/* infer_nn.c: matrix products, normalisation, embedding, attention, convolution */
#include <float.h>
#include <math.h>
#include <string.h>

#include "graph/infer.h"

static enum bertc_status check_same_dtype(struct bt_inference *in, const struct bt_value_info *a,
                                          const struct bt_value_info *b)
{
    if (a->dtype == b->dtype) {
        return BERTC_OK;
    }
    return bt_infer_misfit(in, "operands are %s and %s, expected one dtype", bt_dtype_name(a->dtype),
                           bt_dtype_name(b->dtype));
}

static enum bertc_status check_float(struct bt_inference *in, const struct bt_value_info *info)
{
    if (bt_dtype_is_float(info->dtype)) {
        return BERTC_OK;
    }
    return bt_infer_misfit(in, "the operand is %s, expected a floating-point tensor", bt_dtype_name(info->dtype));
}

/* A NONE or a vector with `size` entries at argument i. */
static enum bertc_status check_vector(struct bt_inference *in, int i, const char *name, bt_expr size)
{
    const struct bt_value_info *info;
    enum bertc_status status = bt_infer_optional(in, i, &info);
    if (status || !info) {
        return status;
    }
    if (info->rank != 1 || !bt_graph_same(in->g, info->dims[0], size)) {
        return bt_infer_misfit(in, "%s has shape %s, expected [%lld]", name, bt_infer_shape_of(in, info),
                               bt_infer_hint(in, size));
    }
    return BERTC_OK;
}

/* The residual is added as it is: it has the result's dtype and shape. */
static enum bertc_status check_residual(struct bt_inference *in)
{
    const struct bt_value_info *info;
    enum bertc_status status = bt_infer_optional(in, 3, &info);
    if (status || !info) {
        return status;
    }
    bool fits = info->dtype == in->out->dtype && info->rank == in->out->rank;
    for (int d = 0; fits && d < info->rank; d++) {
        fits = bt_graph_same(in->g, info->dims[d], in->out->dims[d]);
    }
    return fits ? BERTC_OK : bt_infer_misfit(in, "the residual %s is not like the result", bt_infer_shape_of(in, info));
}

enum bertc_status bt_infer_linear(struct bt_inference *in)
{
    const struct bt_value_info *input, *weight;
    bool dynamic = in->node->op == BT_OP_LINEAR_DYNAMIC;
    enum bertc_status status = bt_infer_tensor(in, 0, &input);
    if (!status) {
        status = bt_infer_tensor(in, 1, &weight);
    }
    if (!status) {
        status = dynamic ? check_float(in, input) : check_same_dtype(in, input, weight);
    }
    if (status) {
        return status;
    }
    if (weight->rank != 2) {
        return bt_infer_refuse(in, "the weight has %d dimensions; bertc handles matrices", weight->rank);
    }
    if (dynamic && weight->dtype != BT_I8) {
        return bt_infer_refuse(in, "the weight is %s; bertc handles int8", bt_dtype_name(weight->dtype));
    }
    if (input->rank == 0 || !bt_graph_same(in->g, input->dims[input->rank - 1], weight->dims[1])) {
        return bt_infer_misfit(in, "input %s does not fit the weight %s", bt_infer_shape_of(in, input),
                               bt_infer_shape_of(in, weight));
    }
    bt_infer_like(in, input);
    in->out->dims[input->rank - 1] = weight->dims[0];
    status = check_vector(in, 2, "bias", weight->dims[0]);
    return status || dynamic ? status : check_residual(in);
}

/* The dimensions of a matrix operand before its last two (of a vector: none). */
static struct bt_value_info batch_of(const struct bt_value_info *info)
{
    struct bt_value_info batch = *info;
    batch.rank = (int8_t)(info->rank > 2 ? info->rank - 2 : 0);
    return batch;
}

enum bertc_status bt_infer_matmul(struct bt_inference *in)
{
    const struct bt_value_info *a, *b;
    enum bertc_status status = bt_infer_tensor(in, 0, &a);
    if (!status) {
        status = bt_infer_tensor(in, 1, &b);
    }
    if (!status) {
        status = check_same_dtype(in, a, b);
    }
    if (status) {
        return status;
    }
    if (a->rank == 0 || b->rank == 0 ||
        !bt_graph_same(in->g, a->dims[a->rank - 1], b->dims[b->rank == 1 ? 0 : b->rank - 2])) {
        return bt_infer_misfit(in, "shapes %s and %s do not multiply", bt_infer_shape_of(in, a),
                               bt_infer_shape_of(in, b));
    }
    in->out->dtype = a->dtype;
    const struct bt_value_info batch_a = batch_of(a), batch_b = batch_of(b);
    status = bt_infer_broadcast(in, &batch_a);
    if (!status) {
        status = bt_infer_broadcast(in, &batch_b);
    }
    if (!status && a->rank > 1) {
        status = bt_infer_add_dim(in, a->dims[a->rank - 2]);
    }
    if (!status && b->rank > 1) {
        status = bt_infer_add_dim(in, b->dims[b->rank - 1]);
    }
    return status;
}

static bool is_byte(enum bt_dtype dtype)
{
    return dtype == BT_U8 || dtype == BT_I8;
}

/* NONE, or a zero point: one, or where there may be more a vector of `size`. */
static enum bertc_status check_zero_point(struct bt_inference *in, int i, const struct bt_value_info *of, bt_expr size)
{
    const struct bt_value_info *info;
    enum bertc_status status = bt_infer_optional(in, i, &info);
    int64_t one;
    if (status || !info) {
        return status;
    }
    const bool single =
        info->rank == 0 || (info->rank == 1 && bt_expr_is_int(in->g->exprs, info->dims[0], &one) && one == 1);
    const bool column = size >= 0 && info->rank == 1 && bt_graph_same(in->g, info->dims[0], size);
    if (info->dtype != of->dtype || (!single && !column)) {
        return bt_infer_refuse(in, "the zero point is %s%s; bertc handles one a tensor, and one a column of weights",
                               bt_dtype_name(info->dtype), bt_infer_shape_of(in, info));
    }
    return BERTC_OK;
}

enum bertc_status bt_infer_matmul_integer(struct bt_inference *in)
{
    const struct bt_value_info *self, *other;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status) {
        status = bt_infer_tensor(in, 1, &other);
    }
    if (status) {
        return status;
    }
    if (!is_byte(self->dtype) || !is_byte(other->dtype) || self->rank < 1 || other->rank != 2) {
        return bt_infer_refuse(in, "operands %s%s and %s%s; bertc handles bytes, and of the second operand matrices",
                               bt_dtype_name(self->dtype), bt_infer_shape_of(in, self), bt_dtype_name(other->dtype),
                               bt_infer_shape_of(in, other));
    }
    if (!bt_graph_same(in->g, self->dims[self->rank - 1], other->dims[0])) {
        return bt_infer_misfit(in, "shapes %s and %s do not multiply", bt_infer_shape_of(in, self),
                               bt_infer_shape_of(in, other));
    }
    bt_infer_like(in, self);
    in->out->dtype = BT_I32;
    in->out->dims[self->rank - 1] = other->dims[1];
    status = check_zero_point(in, 2, self, BT_NO_EXPR);
    return status ? status : check_zero_point(in, 3, other, other->dims[1]);
}

/* NONE, or a tensor with the trailing dims of `input`. */
static enum bertc_status check_trailing(struct bt_inference *in, int i, const char *name,
                                        const struct bt_value_info *input, int64_t count)
{
    const struct bt_value_info *info;
    enum bertc_status status = bt_infer_optional(in, i, &info);
    if (status || !info) {
        return status;
    }
    bool same = info->rank == count;
    for (int d = 0; same && d < info->rank; d++) {
        same = bt_graph_same(in->g, info->dims[d], input->dims[input->rank - count + d]);
    }
    if (!same) {
        return bt_infer_misfit(in, "%s has shape %s, expected the last %lld dimensions of %s", name,
                               bt_infer_shape_of(in, info), (long long)count, bt_infer_shape_of(in, input));
    }
    return BERTC_OK;
}

enum bertc_status bt_infer_layer_norm(struct bt_inference *in)
{
    const struct bt_value_info *input;
    int64_t count;
    bool has_bias = in->node->op == BT_OP_LAYER_NORM;
    enum bertc_status status = bt_infer_tensor(in, 0, &input);
    if (!status) {
        status = check_float(in, input);
    }
    if (!status) {
        status = bt_infer_int(in, 1, 1, &count);
    }
    if (status) {
        return status;
    }
    if (count < 1 || count > input->rank) {
        return bt_infer_misfit(in, "%lld normalized dimensions of %s", (long long)count, bt_infer_shape_of(in, input));
    }
    bt_infer_like(in, input);
    status = check_trailing(in, 2, "weight", input, count);
    if (!status && has_bias) {
        status = check_trailing(in, 3, "bias", input, count);
    }
    return status ? status : bt_infer_number(in, has_bias ? 4 : 3);
}

enum bertc_status bt_infer_embedding(struct bt_inference *in)
{
    const struct bt_value_info *weight, *indices;
    enum bertc_status status = bt_infer_tensor(in, 0, &weight);
    if (!status) {
        status = bt_infer_tensor(in, 1, &indices);
    }
    if (status) {
        return status;
    }
    if (weight->rank != 2) {
        return bt_infer_misfit(in, "the table has shape %s, expected two dimensions", bt_infer_shape_of(in, weight));
    }
    if (indices->dtype != BT_I64 && indices->dtype != BT_I32) {
        const char *origin = bt_graph_origin(in->g, in->node->args[1].value);
        return bt_infer_misfit(in, "indices are %s, expected integers%s%s%s", bt_dtype_name(indices->dtype),
                               origin ? ": argument '" : "", origin ? origin : "", origin ? "'" : "");
    }
    bt_infer_like(in, indices);
    in->out->dtype = weight->dtype;
    return bt_infer_add_dim(in, weight->dims[1]);
}

static enum bertc_status check_mask(struct bt_inference *in, const struct bt_value_info *mask)
{
    if (mask->dtype != BT_BOOL && !bt_dtype_is_float(mask->dtype)) {
        return bt_infer_misfit(in, "the mask is %s, expected bool or floating point", bt_dtype_name(mask->dtype));
    }
    struct bt_value_info scores = *in->out;
    struct bt_inference sub = {in->g, in->node, &scores, in->err};
    enum bertc_status status = bt_infer_broadcast(&sub, mask);
    if (!status && !bt_infer_same_shape(in, &scores, in->out)) {
        return bt_infer_misfit(in, "the mask %s does not expand to the scores %s", bt_infer_shape_of(in, mask),
                               bt_infer_shape_of(in, in->out));
    }
    return status;
}

/* A scale of 1/sqrt(d), possibly rounded to float32, is stored as what it is without one. */
static void default_scale(struct bt_inference *in, bt_expr size)
{
    const struct bt_arg *scale = &in->node->args[5];
    struct bt_scalar number;
    int64_t d;
    if (scale->kind == BT_ARG_EXPR && bt_expr_is_const(in->g->exprs, scale->expr, &number) &&
        number.type == BT_SCALAR_FLOAT && bt_expr_is_int(in->g->exprs, size, &d) &&
        fabs(number.f * sqrt((double)d) - 1.0) <= FLT_EPSILON) {
        in->node->args[5] = bt_arg_none();
    }
}

enum bertc_status bt_infer_sdpa(struct bt_inference *in)
{
    const struct bt_value_info *part[3], *mask;
    enum bertc_status status = BERTC_OK;
    for (int i = 0; i < 3 && !status; i++) {
        status = bt_infer_tensor(in, i, &part[i]);
        if (!status) {
            status = check_float(in, part[i]);
        }
        if (!status) {
            status = check_same_dtype(in, part[0], part[i]);
        }
        if (!status && part[i]->rank < 2) {
            return bt_infer_misfit(in, "%s has fewer than two dimensions", bt_infer_shape_of(in, part[i]));
        }
    }
    if (!status) {
        status = bt_infer_optional(in, 3, &mask);
    }
    if (status) {
        return status;
    }
    const struct bt_value_info *query = part[0], *key = part[1], *value = part[2];
    if (!bt_graph_same(in->g, query->dims[query->rank - 1], key->dims[key->rank - 1]) ||
        !bt_graph_same(in->g, key->dims[key->rank - 2], value->dims[value->rank - 2])) {
        return bt_infer_misfit(in, "query %s, key %s and value %s do not fit together", bt_infer_shape_of(in, query),
                               bt_infer_shape_of(in, key), bt_infer_shape_of(in, value));
    }
    in->out->dtype = query->dtype;
    for (int i = 0; i < 3 && !status; i++) {
        const struct bt_value_info batch = batch_of(part[i]);
        status = bt_infer_broadcast(in, &batch);
    }
    if (!status) {
        status = bt_infer_add_dim(in, query->dims[query->rank - 2]);
    }
    if (!status) {
        status = bt_infer_add_dim(in, key->dims[key->rank - 2]);
    }
    if (!status && mask) {
        status = check_mask(in, mask);
    }
    if (status) {
        return status;
    }
    in->out->dims[in->out->rank - 1] = value->dims[value->rank - 1];
    bool causal, nan_rows;
    status = bt_infer_bool(in, 4, &causal);
    if (!status) {
        status = bt_infer_number(in, 5);
    }
    if (!status) {
        default_scale(in, query->dims[query->rank - 1]);
    }
    return status ? status : bt_infer_bool(in, 6, &nan_rows);
}

/* A one-entry list, or a number, which is stored as such a list; NONE becomes `missing`. */
static enum bertc_status one_entry(struct bt_inference *in, int i, int64_t missing, int64_t lowest, int64_t *out)
{
    const bt_expr *items;
    int count = 1;
    enum bertc_status status = BERTC_OK;
    if (in->node->args[i].kind == BT_ARG_EXPRS) {
        status = bt_infer_list(in, i, &items, &count);
        if (!status && count == 1) {
            in->node->args[i] = bt_arg_expr(items[0]);
        }
    }
    if (!status && count == 1) {
        status = bt_infer_int(in, i, missing, out);
    }
    if (status) {
        return status;
    }
    if (count != 1 || *out < lowest || *out > INT32_MAX) {
        return bt_infer_misfit(in, "stride, padding or dilation is out of range");
    }
    bt_expr value = bt_expr_int(in->g->exprs, *out);
    return bt_infer_set_list(in, i, &value, 1);
}

enum bertc_status bt_infer_conv1d(struct bt_inference *in)
{
    const struct bt_value_info *input, *weight;
    int64_t stride, padding, dilation, groups;
    enum bertc_status status = bt_infer_tensor(in, 0, &input);
    if (!status) {
        status = bt_infer_tensor(in, 1, &weight);
    }
    if (!status) {
        status = check_same_dtype(in, input, weight);
    }
    if (!status) {
        status = one_entry(in, 3, 1, 1, &stride);
    }
    if (!status) {
        status = one_entry(in, 4, 0, 0, &padding);
    }
    if (!status) {
        status = one_entry(in, 5, 1, 1, &dilation);
    }
    if (!status) {
        status = bt_infer_int(in, 6, 1, &groups);
    }
    if (!status) {
        status = bt_infer_set_int(in, 6, groups);
    }
    if (status) {
        return status;
    }
    if (input->rank != 3 || weight->rank != 3) {
        return bt_infer_refuse(in, "input %s and weight %s; bertc handles three dimensions each",
                               bt_infer_shape_of(in, input), bt_infer_shape_of(in, weight));
    }
    struct bt_exprs *x = in->g->exprs;
    bt_expr channels = bt_expr_binary(x, BT_EXPR_MUL, weight->dims[1], bt_expr_int(x, groups));
    int64_t filters, taps;
    if (!bt_expr_is_int(x, weight->dims[0], &filters) || !bt_expr_is_int(x, weight->dims[2], &taps)) {
        return bt_infer_refuse(in, "the weight's shape depends on the input's");
    }
    if (groups < 1 || taps < 1 || filters % groups != 0 || !bt_graph_same(in->g, input->dims[1], channels)) {
        return bt_infer_misfit(in, "input %s does not fit the weight %s in %lld groups", bt_infer_shape_of(in, input),
                               bt_infer_shape_of(in, weight), (long long)groups);
    }
    /* length = floor((L + 2 * padding - dilation * (taps - 1) - 1) / stride) + 1 */
    int64_t reach;
    if (!bt_mul_i64(dilation, taps - 1, &reach)) {
        return bt_infer_misfit(in, "the kernel's reach overflows");
    }
    bt_expr room = bt_expr_binary(x, BT_EXPR_ADD, input->dims[2], bt_expr_int(x, 2 * padding - 1));
    room = bt_expr_binary(x, BT_EXPR_SUB, room, bt_expr_int(x, reach));
    bt_expr length = bt_expr_binary(x, BT_EXPR_FLOOR_DIV, room, bt_expr_int(x, stride));
    bt_infer_like(in, input);
    in->out->dims[1] = weight->dims[0];
    in->out->dims[2] = bt_expr_binary(x, BT_EXPR_ADD, length, bt_expr_int(x, 1));
    return check_vector(in, 2, "bias", weight->dims[0]);
}
