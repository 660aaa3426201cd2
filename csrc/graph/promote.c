/* promote.c: ATen's type promotion */
#include "graph/graph.h"

enum category { CATEGORY_NONE = -1, CATEGORY_BOOL, CATEGORY_INT, CATEGORY_FLOAT };

/* One of the three groups that promote in turn: tensors with dimensions, rank-0 tensors, numbers. */
struct group {
    bool any;
    enum bt_dtype dtype;
};

static enum category category_of(const struct group *group)
{
    if (!group->any) {
        return CATEGORY_NONE;
    }
    if (bt_dtype_is_float(group->dtype)) {
        return CATEGORY_FLOAT;
    }
    return group->dtype == BT_BOOL ? CATEGORY_BOOL : CATEGORY_INT;
}

static enum bt_dtype promote_floats(enum bt_dtype a, enum bt_dtype b)
{
    if (a == BT_F64 || b == BT_F64) {
        return BT_F64;
    }
    return BT_F32; /* float32 with a half, or the two halves with each other */
}

static enum bt_dtype promote_ints(enum bt_dtype a, enum bt_dtype b)
{
    if (a == BT_U8 || b == BT_U8) {
        enum bt_dtype other = a == BT_U8 ? b : a;
        return other == BT_I8 ? BT_I16 : other;
    }
    return bt_dtype_size(a) > bt_dtype_size(b) ? a : b;
}

static enum bt_dtype promote_pair(enum bt_dtype a, enum bt_dtype b)
{
    if (a == b) {
        return a;
    }
    if (bt_dtype_is_float(a) && bt_dtype_is_float(b)) {
        return promote_floats(a, b);
    }
    if (bt_dtype_is_float(a) || b == BT_BOOL) {
        return a;
    }
    if (bt_dtype_is_float(b) || a == BT_BOOL) {
        return b;
    }
    return promote_ints(a, b);
}

static void join(struct group *group, enum bt_dtype dtype)
{
    group->dtype = group->any ? promote_pair(group->dtype, dtype) : dtype;
    group->any = true;
}

static void combine(struct group *higher, const struct group *lower)
{
    if (category_of(lower) > category_of(higher)) {
        *higher = *lower;
    }
}

static enum bt_dtype number_dtype(const struct bt_graph *g, bt_expr number)
{
    switch (bt_expr_type(g->exprs, number)) {
    case BT_SCALAR_BOOL: return BT_BOOL;
    case BT_SCALAR_INT: return BT_I64;
    case BT_SCALAR_FLOAT: break;
    }
    return BT_F32;
}

enum bertc_status bt_graph_promote(const struct bt_graph *g, const struct bt_arg *args, int nargs, enum bt_dtype *out,
                                   struct bertc_error *err)
{
    struct group tensors = {0}, scalars = {0}, numbers = {0};
    for (int i = 0; i < nargs; i++) {
        const struct bt_arg *arg = &args[i];
        if (arg->kind == BT_ARG_EXPR) {
            join(&numbers, number_dtype(g, arg->expr));
        }
        int32_t count = arg->kind == BT_ARG_VALUES ? arg->count : arg->kind == BT_ARG_VALUE;
        for (int32_t k = 0; k < count; k++) {
            bt_value value = arg->kind == BT_ARG_VALUES ? arg->list[k] : arg->value;
            if (value < 0) {
                continue;
            }
            const struct bt_value_info *info = &g->values[value];
            join(info->rank > 0 ? &tensors : &scalars, info->dtype);
        }
    }
    combine(&scalars, &numbers);
    combine(&tensors, &scalars);
    if (!tensors.any) {
        return bt_error_set(err, BERTC_FORMAT, "no operand to take a dtype from");
    }
    *out = tensors.dtype;
    return BERTC_OK;
}
