/* simplify.c: smaller ways to say the same, until nothing changes any more */
#include "pass/simplify.h"

#include "pass/pass.h"
#include "pass/range.h"

bt_value bt_simplify_full(struct bt_rewriter *r, bt_value like, bt_expr number)
{
    const struct bt_value_info info = r->g->values[like];
    const struct bt_arg args[] = {bt_arg_exprs(info.dims, info.rank), bt_arg_expr(number), bt_arg_dtype(info.dtype)};
    return bt_rewrite_op(r, BT_OP_FULL, 3, args);
}

/* Integers and bools that are the same known number everywhere. */
static bt_value known_integer(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    struct bt_range range = bt_range_of(r->g, value);
    if (node->op == BT_OP_FULL || !bt_range_is_one(&range)) {
        return BT_NO_VALUE;
    }
    bool logical = r->g->values[value].dtype == BT_BOOL;
    struct bt_exprs *x = r->g->exprs;
    return bt_simplify_full(r, value, logical ? bt_expr_bool(x, range.low != 0) : bt_expr_int(x, range.low));
}

static bt_value simplify(struct bt_rewriter *r, bt_value value, const struct bt_node *node)
{
    static bt_rewrite_rule *const rules[] = {known_integer,     bt_simplify_algebra, bt_simplify_constant,
                                             bt_simplify_view,  bt_simplify_index,   bt_simplify_merge,
                                             bt_simplify_expand};
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        bt_value better = rules[i](r, value, node);
        if (better >= 0) {
            return better;
        }
    }
    return BT_NO_VALUE;
}

enum bertc_status bt_pass_simplify(struct bt_graph *g, struct bertc_error *err)
{
    return bt_rewrite_graph(g, simplify, err);
}
