/* infer_view.c: shapes of views */
#include <string.h>

#include "graph/infer.h"

enum bertc_status bt_infer_permute(struct bt_inference *in)
{
    const struct bt_value_info *self;
    bool chosen[BT_MAX_RANK];
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status && !bt_infer_given(in, 1)) {
        return bt_infer_refuse(in, "argument 'dims' is missing");
    }
    if (!status) {
        status = bt_infer_dims(in, 1, self->rank, chosen);
    }
    if (status) {
        return status;
    }
    const struct bt_arg *dims = &in->node->args[1];
    if (dims->count != self->rank) {
        return bt_infer_misfit(in, "%d dims for a tensor with %d dimensions", (int)dims->count, self->rank);
    }
    bt_infer_like(in, self);
    for (int d = 0; d < self->rank; d++) {
        in->out->dims[d] = self->dims[bt_expr_hint(in->g->exprs, dims->list[d]).i];
    }
    return BERTC_OK;
}

static bt_expr product(struct bt_inference *in, int count, const bt_expr *dims, int skip)
{
    bt_expr result = bt_expr_int(in->g->exprs, 1);
    for (int d = 0; d < count; d++) {
        if (d != skip) {
            result = bt_expr_binary(in->g->exprs, BT_EXPR_MUL, result, dims[d]);
        }
    }
    return result;
}

static bool is_minus_one(const struct bt_inference *in, bt_expr e)
{
    int64_t value;
    return bt_expr_is_int(in->g->exprs, e, &value) && value == -1;
}

static enum bertc_status reshape_misfit(struct bt_inference *in, const struct bt_value_info *self, bt_expr numel,
                                        const bt_expr *shape, int count)
{
    return bt_infer_misfit(in, "%s has %lld elements, which do not fill the shape %s", bt_infer_shape_of(in, self),
                           bt_infer_hint(in, numel), bt_infer_shape(in, count, shape));
}

/* The size that -1 stands for. */
static enum bertc_status open_dim(struct bt_inference *in, const struct bt_value_info *self, bt_expr numel,
                                  const bt_expr *shape, int count, int open, bt_expr *out)
{
    struct bt_exprs *x = in->g->exprs;
    bt_expr known = product(in, count, shape, open), zero = bt_expr_int(x, 0);
    if (known >= 0 && bt_expr_hint(x, known).i == 0) {
        return reshape_misfit(in, self, numel, shape, count);
    }
    bt_expr rest = bt_expr_binary(x, BT_EXPR_MOD, numel, known);
    if (!bt_graph_decide(in->g, bt_expr_binary(x, BT_EXPR_EQ, rest, zero))) {
        return reshape_misfit(in, self, numel, shape, count);
    }
    *out = bt_expr_binary(x, BT_EXPR_FLOOR_DIV, numel, known);
    return BERTC_OK;
}

enum bertc_status bt_infer_reshape(struct bt_inference *in)
{
    const struct bt_value_info *self;
    const bt_expr *items;
    int count, open = -1;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status) {
        status = bt_infer_list(in, 1, &items, &count);
    }
    if (status) {
        return status;
    }
    in->out->dtype = self->dtype;
    for (int d = 0; d < count; d++) {
        if (is_minus_one(in, items[d])) {
            if (open >= 0) {
                return bt_infer_misfit(in, "more than one -1 in the shape");
            }
            open = d;
        }
        status = bt_infer_add_dim(in, items[d]);
        if (status) {
            return status;
        }
    }
    bt_expr *dims = in->out->dims;
    bt_expr numel = product(in, self->rank, self->dims, -1);
    if (open >= 0) {
        status = open_dim(in, self, numel, items, count, open, &dims[open]);
    } else if (!bt_graph_same(in->g, numel, product(in, count, items, -1))) {
        status = reshape_misfit(in, self, numel, items, count);
    }
    return status ? status : bt_infer_set_list(in, 1, dims, count);
}

/* A dimension of the operand, grown to `size` when it is 1. */
static bool expands(struct bt_inference *in, bt_expr dim, bt_expr size)
{
    struct bt_exprs *x = in->g->exprs;
    int64_t value;
    if (dim == size || (bt_expr_is_int(x, dim, &value) && value == 1)) {
        return true;
    }
    if (bt_infer_hint(in, dim) == bt_infer_hint(in, size)) {
        return bt_graph_same(in->g, dim, size);
    }
    return bt_infer_hint(in, dim) == 1 && bt_graph_same(in->g, dim, bt_expr_int(x, 1));
}

enum bertc_status bt_infer_expand(struct bt_inference *in)
{
    const struct bt_value_info *self;
    const bt_expr *items;
    int count;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status) {
        status = bt_infer_list(in, 1, &items, &count);
    }
    if (status) {
        return status;
    }
    in->out->dtype = self->dtype;
    if (count < self->rank) {
        return bt_infer_misfit(in, "%d sizes for a tensor with %d dimensions", count, self->rank);
    }
    int lead = count - self->rank;
    for (int d = 0; d < count; d++) {
        bool keep = is_minus_one(in, items[d]);
        if (keep && d < lead) {
            return bt_infer_misfit(in, "-1 is not allowed for the new dimension %d", d);
        }
        bt_expr size = keep ? self->dims[d - lead] : items[d];
        if (d >= lead && !expands(in, self->dims[d - lead], size)) {
            return bt_infer_misfit(in, "%s does not expand to %s in dimension %d", bt_infer_shape_of(in, self),
                                   bt_infer_shape(in, count, items), d);
        }
        status = bt_infer_add_dim(in, size);
        if (status) {
            return status;
        }
    }
    return bt_infer_set_list(in, 1, in->out->dims, count);
}

enum bertc_status bt_infer_unsqueeze(struct bt_inference *in)
{
    const struct bt_value_info *self;
    int dim;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status) {
        status = bt_infer_dim(in, 1, self->rank + 1, &dim);
    }
    if (status) {
        return status;
    }
    in->out->dtype = self->dtype;
    for (int d = 0; d <= self->rank && !status; d++) {
        status = bt_infer_add_dim(in, d == dim ? bt_expr_int(in->g->exprs, 1) : self->dims[d - (d > dim)]);
    }
    return status;
}

enum bertc_status bt_infer_squeeze(struct bt_inference *in)
{
    const struct bt_value_info *self;
    bool chosen[BT_MAX_RANK] = {false};
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (status) {
        return status;
    }
    const struct bt_arg *arg = &in->node->args[1];
    if (arg->kind != BT_ARG_EXPRS || arg->count > 0) {
        status = bt_infer_dims(in, 1, self->rank, chosen);
    }
    if (status) {
        return status;
    }
    struct bt_exprs *x = in->g->exprs;
    bt_expr squeezed[BT_MAX_RANK], one = bt_expr_int(x, 1);
    int count = 0;
    in->out->dtype = self->dtype;
    for (int d = 0; d < self->rank && !status; d++) {
        if (chosen[d] && bt_graph_same(in->g, self->dims[d], one)) {
            squeezed[count++] = bt_expr_int(x, d);
        } else {
            status = bt_infer_add_dim(in, self->dims[d]);
        }
    }
    return status ? status : bt_infer_set_list(in, 1, squeezed, count);
}

/* Remembers that the input is longer than a table of the model, for the message of the misfit that follows. */
static void note_clamp(struct bt_inference *in, const struct bt_value_info *self, bt_expr size, bt_expr wanted)
{
    struct bt_graph *g = in->g;
    bt_value root = bt_graph_root(g, in->node->args[0].value);
    if (g->clamp_note || bt_expr_is_const(g->exprs, wanted, NULL) || !bt_expr_is_const(g->exprs, size, NULL) ||
        g->values[root].kind != BT_VALUE_CONSTANT || self->rank == 0) {
        return;
    }
    const char *name = g->values[root].name;
    g->clamp_note = bt_arena_printf(&g->arena, "sequence length %s = %lld exceeds the %lld entries of '%s'",
                                    bt_expr_text(g->exprs, wanted), bt_infer_hint(in, wanted), bt_infer_hint(in, size),
                                    name ? name : "a constant");
}

/* A slice bound as Python clamps it: negative counts from the end, then [0, size]. */
static bt_expr clamp_bound(struct bt_inference *in, const struct bt_value_info *self, bt_expr size, bt_expr bound)
{
    struct bt_exprs *x = in->g->exprs;
    bt_expr zero = bt_expr_int(x, 0);
    int64_t value;
    if (bt_expr_is_int(x, bound, &value) && value == INT64_MAX) {
        return size;
    }
    if (bt_expr_is_int(x, bound, &value) && value == INT64_MIN) {
        return zero;
    }
    if (!bt_graph_decide(in->g, bt_expr_binary(x, BT_EXPR_GE, bound, zero))) {
        bt_expr wrapped = bt_expr_binary(x, BT_EXPR_ADD, size, bound);
        return bt_graph_decide(in->g, bt_expr_binary(x, BT_EXPR_GE, wrapped, zero)) ? wrapped : zero;
    }
    if (bt_graph_decide(in->g, bt_expr_binary(x, BT_EXPR_LE, bound, size))) {
        return bound;
    }
    note_clamp(in, self, size, bound);
    return size;
}

enum bertc_status bt_infer_bounds(struct bt_inference *in, const struct bt_value_info *self, int dim, int first,
                                  bt_expr *length)
{
    struct bt_exprs *x = in->g->exprs;
    bt_expr bounds[2] = {bt_expr_int(x, 0), self->dims[dim]};
    for (int k = 0; k < 2; k++) {
        if (bt_infer_given(in, first + k)) {
            enum bertc_status status = bt_infer_expr(in, first + k, &bounds[k]);
            if (status) {
                return status;
            }
        }
        bounds[k] = clamp_bound(in, self, self->dims[dim], bounds[k]);
        in->node->args[first + k] = bt_arg_expr(bounds[k]);
    }
    int64_t step;
    enum bertc_status status = bt_infer_int(in, first + 2, 1, &step);
    if (status) {
        return status;
    }
    if (step < 1) {
        return bt_infer_misfit(in, "step is %lld, expected a positive number", (long long)step);
    }
    status = bt_infer_set_int(in, first + 2, step);
    bt_expr span = bt_expr_binary(x, BT_EXPR_SUB, bounds[1], bounds[0]);
    if (!bt_graph_decide(in->g, bt_expr_binary(x, BT_EXPR_LE, bounds[0], bounds[1]))) {
        in->node->args[first + 1] = bt_arg_expr(bounds[0]);
        span = bt_expr_int(x, 0);
    }
    bt_expr rounded = bt_expr_binary(x, BT_EXPR_ADD, span, bt_expr_int(x, step - 1));
    *length = bt_expr_binary(x, BT_EXPR_FLOOR_DIV, rounded, bt_expr_int(x, step));
    return status;
}

enum bertc_status bt_infer_slice(struct bt_inference *in)
{
    const struct bt_value_info *self;
    int dim;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status && self->rank == 0) {
        return bt_infer_misfit(in, "a tensor without dimensions cannot be sliced");
    }
    if (!status) {
        status = bt_infer_dim(in, 1, self->rank, &dim);
    }
    if (status) {
        return status;
    }
    bt_infer_like(in, self);
    return bt_infer_bounds(in, self, dim, 2, &in->out->dims[dim]);
}

enum bertc_status bt_infer_wrap_index(struct bt_inference *in, int i, bt_expr size)
{
    struct bt_exprs *x = in->g->exprs;
    bt_expr index, zero = bt_expr_int(x, 0);
    enum bertc_status status = bt_infer_expr(in, i, &index);
    if (status) {
        return status;
    }
    bt_expr wrapped = index;
    if (!bt_graph_decide(in->g, bt_expr_binary(x, BT_EXPR_GE, index, zero))) {
        wrapped = bt_expr_binary(x, BT_EXPR_ADD, index, size);
    }
    if (!bt_graph_decide(in->g, bt_expr_binary(x, BT_EXPR_GE, wrapped, zero)) ||
        !bt_graph_decide(in->g, bt_expr_binary(x, BT_EXPR_LT, wrapped, size))) {
        return bt_infer_misfit(in, "index %lld is out of range for a dimension of size %lld", bt_infer_hint(in, index),
                               bt_infer_hint(in, size));
    }
    in->node->args[i] = bt_arg_expr(wrapped);
    return BERTC_OK;
}

enum bertc_status bt_infer_select(struct bt_inference *in)
{
    const struct bt_value_info *self;
    int dim;
    enum bertc_status status = bt_infer_tensor(in, 0, &self);
    if (!status && self->rank == 0) {
        return bt_infer_misfit(in, "a tensor without dimensions has nothing to select");
    }
    if (!status) {
        status = bt_infer_dim(in, 1, self->rank, &dim);
    }
    if (!status) {
        status = bt_infer_wrap_index(in, 2, self->dims[dim]);
    }
    if (status) {
        return status;
    }
    bt_infer_like(in, self);
    in->out->rank--;
    memmove(&in->out->dims[dim], &in->out->dims[dim + 1], (size_t)(in->out->rank - dim) * sizeof(bt_expr));
    return BERTC_OK;
}
