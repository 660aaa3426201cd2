/* plan_tokens.c: what a plan of tokens does once a sequence: attention, pooling, and moves from and to the call */
#include "exec/builder.h"

static enum bt_domain domain_of(const struct bt_builder *b, bt_value value)
{
    return (enum bt_domain)b->tokens->domain[value];
}

/* How a value is narrowed to a sequence. */
static struct bt_window window_of(const struct bt_builder *b, bt_value value)
{
    const struct bt_value_info *info = &b->graph->values[value];
    const int axis = b->tokens->axis[value];
    struct bt_window window = {BT_BY_NOTHING, 0, 0, 0};
    switch (domain_of(b, value)) {
    case BT_SHARED: break;
    case BT_TOKENS: window = (struct bt_window){BT_BY_START, (uint8_t)axis, 0, (uint8_t)(1u << axis)}; break;
    case BT_ITEMS: window = (struct bt_window){BT_BY_NUMBER, 0, 1, 0}; break;
    case BT_PADDED:
        for (int d = 0; d < info->rank; d++) {
            const int32_t symbol = bt_expr_symbol_index(b->graph->exprs, info->dims[d]);
            window.by = symbol == b->tokens->batch ? BT_BY_ITEM : window.by;
            window.single |= (uint8_t)((symbol == b->tokens->batch) << d);
            window.counted |= (uint8_t)((symbol == b->tokens->length) << d);
        }
    }
    return window;
}

static struct bt_window *windows_new(struct bt_builder *b, const struct bt_step *step)
{
    return bt_arena_alloc(&b->plan->arena, (size_t)(step->nargs + step->nouts), sizeof(struct bt_window));
}

/* A copy of one operand, sequence by sequence. */
static enum bertc_status move(struct bt_builder *b, const struct bt_ref *from, struct bt_window from_window,
                              const struct bt_ref *to, struct bt_window to_window, struct bertc_error *err)
{
    struct bt_step step = {
        .fn = bt_step_each, .each = bt_step_copy, .op = BT_OP_CAST, .nargs = 1, .nouts = 1, .outs = {*to}};
    struct bt_window *windows = windows_new(b, &step);
    step.args = bt_arena_alloc(&b->plan->arena, 1, sizeof *step.args);
    if (!windows || !step.args) {
        return bt_error_memory(err);
    }
    windows[0] = from_window;
    windows[1] = to_window;
    step.windows = windows;
    step.args[0].kind = BT_ARG_VALUE;
    step.args[0].ref = *from;
    return bt_builder_step(b, &step, err);
}

/* The rows of a padded value that the part's tokens, or its sequences, have. A mask is read where it is. */
static enum bertc_status take_rows(struct bt_builder *b, bt_value value, struct bertc_error *err)
{
    const struct bt_value_info *info = &b->graph->values[value];
    const int axis = b->tokens->axis[value];
    struct bt_ref from = {.space = BT_SPACE_PADDED,
                          .slot = b->tokens->slot[value],
                          .rank = info->rank,
                          .dtype = bt_dtype_storage(info->dtype)};
    struct bt_window window = window_of(b, value), to_window = {BT_BY_NUMBER, 0, 1, 0};
    struct bt_ref *ref = &b->refs[value];
    *ref = from;
    if (axis < 0 && window.counted != 0) {
        return BERTC_OK;
    }
    if (axis >= 0) {
        to_window = (struct bt_window){BT_BY_START, (uint8_t)axis, 0, (uint8_t)(1u << axis)};
    }
    b->values = axis >= 0 ? b->token_values : b->item_values;
    enum bertc_status status = bt_builder_shape(b, value, ref, err);
    if (status == BERTC_OK) {
        status = bt_builder_own(b, ref, err);
    }
    return status == BERTC_OK ? move(b, &from, window, ref, to_window, err) : status;
}

enum bertc_status bt_tokens_leaves(struct bt_builder *b, struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; i < b->tokens->padded_count && status == BERTC_OK; i++) {
        if (b->needed[b->tokens->padded[i]]) {
            status = take_rows(b, b->tokens->padded[i], err);
        }
    }
    return status;
}

bool bt_tokens_is_each(const struct bt_builder *b, const struct bt_node *node)
{
    return b->tokens && !b->padded && node->args[0].kind == BT_ARG_VALUE &&
           (node->op == BT_OP_SDPA ||
            (domain_of(b, node->outs[0]) == BT_ITEMS && domain_of(b, node->args[0].value) == BT_TOKENS));
}

/* A selection is a copy of its one token: seen with the operand's dims, of which that of tokens is 1. */
static void make_pick(const struct bt_builder *b, const struct bt_node *node, struct bt_step *step,
                      struct bt_window *windows)
{
    const int axis = b->tokens->axis[node->args[0].value];
    struct bt_ref *from = &step->args[0].ref, *to = &step->outs[0];
    from->offset += step->args[2].scalar.i * from->strides[axis] * (int64_t)bt_dtype_size(from->dtype);
    for (int d = to->rank; node->op == BT_OP_SELECT && d > axis; d--) {
        to->dims[d] = to->dims[d - 1];
        to->strides[d] = to->strides[d - 1];
    }
    if (node->op == BT_OP_SELECT) {
        to->dims[axis] = 1;
        to->rank++;
    }
    windows[0] = (struct bt_window){BT_BY_START, (uint8_t)axis, (uint8_t)(1u << axis), 0};
    step->nargs = 1;
    windows[1] = (struct bt_window){BT_BY_NUMBER, 0, 1, 0};
    step->each = bt_step_copy;
}

enum bertc_status bt_tokens_make_each(struct bt_builder *b, const struct bt_node *node, struct bt_step *step,
                                      struct bertc_error *err)
{
    struct bt_window *windows = windows_new(b, step);
    if (!windows) {
        return bt_error_memory(err);
    }
    step->each = step->fn;
    step->fn = bt_step_each;
    step->windows = windows;
    if (node->op == BT_OP_SELECT || node->op == BT_OP_SLICE) {
        make_pick(b, node, step, windows);
        return BERTC_OK;
    }
    for (int i = 0; i < step->nargs; i++) {
        if (node->args[i].kind == BT_ARG_VALUE) {
            windows[i] = window_of(b, node->args[i].value);
        }
    }
    windows[step->nargs] = window_of(b, node->outs[0]);
    return BERTC_OK;
}

enum bertc_status bt_tokens_output(struct bt_builder *b, bt_value value, const struct bt_ref *output,
                                   struct bertc_error *err)
{
    struct bt_ref to = *output;
    const int axis = b->tokens->axis[value];
    struct bt_window window = {BT_BY_ITEM, 0, 1, 0};
    b->values = axis >= 0 ? b->token_values : b->item_values;
    enum bertc_status status = bt_builder_shape(b, value, &to, err);
    to.dtype = output->dtype;
    if (axis >= 0) {
        window = (struct bt_window){BT_BY_ROW, (uint8_t)axis, 0, (uint8_t)(1u << axis)};
    }
    return status == BERTC_OK ? move(b, &b->refs[value], window_of(b, value), &to, window, err) : status;
}
