/* view.c: results that are their operand seen through other strides */
#include "exec/view.h"

#include "exec/iter.h"

static enum bt_view view_if(bool fits)
{
    return fits ? BT_VIEW_ALIAS : BT_VIEW_MISFIT;
}

static enum bt_view place_permute(const struct bt_step_arg *args, struct bt_ref *out)
{
    const struct bt_ref *from = &args[0].ref;
    unsigned seen = 0;
    for (int d = 0; d < out->rank && d < args[1].count; d++) {
        int64_t source = args[1].ints[d];
        if (source < 0 || source >= from->rank || out->dims[d] != from->dims[source]) {
            return BT_VIEW_MISFIT;
        }
        out->strides[d] = from->strides[source];
        seen |= 1u << source;
    }
    return view_if(out->rank == from->rank && seen == (1u << from->rank) - 1);
}

static enum bt_view place_expand(const struct bt_step_arg *args, struct bt_ref *out)
{
    const struct bt_ref *from = &args[0].ref;
    return view_if(bt_iter_broadcast(from->rank, from->dims, from->strides, out->rank, out->dims, out->strides));
}

/* Also unsqueeze and squeeze. The operand's dims are merged into runs that memory walks evenly; each run must then be
 * the product of some of the new dims, in order. */
static enum bt_view place_reshape(const struct bt_step_arg *args, struct bt_ref *out)
{
    const struct bt_ref *from = &args[0].ref;
    int64_t count = bt_numel(from->rank, from->dims);
    if (bt_numel(out->rank, out->dims) != count) {
        return BT_VIEW_MISFIT;
    }
    if (count == 0) {
        bt_contiguous_strides(out->rank, out->dims, out->strides);
        return BT_VIEW_ALIAS;
    }
    struct bt_iter runs;
    bt_iter_init(&runs, from->rank, from->dims);
    bt_iter_add(&runs, from->strides);
    bt_iter_merge(&runs);

    int run = runs.rank - 1;
    int64_t used = 1; /* of the run's items, by the new dims so far */
    for (int d = out->rank - 1; d >= 0; d--) {
        if (run > 0 && used == runs.dims[run] && out->dims[d] != 1) {
            run--;
            used = 1;
        }
        out->strides[d] = run < 0 ? 1 : runs.strides[0][run] * used;
        used *= out->dims[d];
        if (run >= 0 && runs.dims[run] % used != 0) {
            return BT_VIEW_COPY;
        }
    }
    return BT_VIEW_ALIAS;
}

static enum bt_view place_slice(const struct bt_step_arg *args, struct bt_ref *out)
{
    const struct bt_ref *from = &args[0].ref;
    int64_t dim = args[1].scalar.i, start = args[2].scalar.i, step = args[4].kind == BT_ARG_EXPR ? args[4].scalar.i : 1;
    if (out->rank != from->rank || dim < 0 || dim >= from->rank || start < 0 || start > from->dims[dim] || step < 1) {
        return BT_VIEW_MISFIT;
    }
    for (int d = 0; d < from->rank; d++) {
        if (d != dim && out->dims[d] != from->dims[d]) {
            return BT_VIEW_MISFIT;
        }
        out->strides[d] = from->strides[d];
    }
    int64_t count = out->dims[dim], left = from->dims[dim] - start;
    out->offset += start * from->strides[dim] * (int64_t)bt_dtype_size(from->dtype);
    if (count > 1) {
        out->strides[dim] *= step;
    }
    return view_if(count == 0 || (left > 0 && count - 1 <= (left - 1) / step));
}

static enum bt_view place_select(const struct bt_step_arg *args, struct bt_ref *out)
{
    const struct bt_ref *from = &args[0].ref;
    int64_t dim = args[1].scalar.i, index = args[2].scalar.i;
    if (out->rank != from->rank - 1 || dim < 0 || dim >= from->rank || index < 0 || index >= from->dims[dim]) {
        return BT_VIEW_MISFIT;
    }
    out->offset += index * from->strides[dim] * (int64_t)bt_dtype_size(from->dtype);
    for (int d = 0; d < out->rank; d++) {
        int source = d < dim ? d : d + 1;
        if (out->dims[d] != from->dims[source]) {
            return BT_VIEW_MISFIT;
        }
        out->strides[d] = from->strides[source];
    }
    return BT_VIEW_ALIAS;
}

enum bt_view bt_view_place(enum bt_op op, const struct bt_step_arg *args, struct bt_ref *out)
{
    const struct bt_ref *from = &args[0].ref;
    out->space = from->space;
    out->dtype = from->dtype;
    out->slot = from->slot;
    out->offset = from->offset;
    out->data = from->data;
    switch (op) {
    case BT_OP_PERMUTE: return place_permute(args, out);
    case BT_OP_EXPAND: return place_expand(args, out);
    case BT_OP_SLICE: return place_slice(args, out);
    case BT_OP_SELECT: return place_select(args, out);
    default: return place_reshape(args, out);
    }
}
