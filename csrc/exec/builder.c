/* builder.c: steps and storages of a plan in the making */
#include "exec/builder.h"

#include "exec/known.h"

enum bertc_status bt_builder_shape(const struct bt_builder *b, bt_value value, struct bt_ref *ref,
                                   struct bertc_error *err)
{
    const struct bt_value_info *info = &b->graph->values[value];
    ref->dtype = bt_dtype_storage(info->dtype);
    ref->rank = info->rank;
    int64_t bytes = (int64_t)bt_dtype_size(ref->dtype);
    for (int d = 0; d < info->rank; d++) {
        int64_t dim = b->values[info->dims[d]].i;
        if (dim < 0) {
            return bt_error_set(err, BERTC_INPUT, "dimension %d of %s comes out as %lld", d,
                                info->name ? info->name : "a tensor", (long long)dim);
        }
        if (!bt_mul_i64(bytes, dim > 0 ? dim : 1, &bytes) || bytes > BT_PLACE_LIMIT) {
            return bt_error_set(err, BERTC_INPUT, "%s needs more than %lld bytes", info->name ? info->name : "a tensor",
                                (long long)BT_PLACE_LIMIT);
        }
        ref->dims[d] = dim;
    }
    bt_contiguous_strides(ref->rank, ref->dims, ref->strides);
    return BERTC_OK;
}

enum bertc_status bt_builder_own(struct bt_builder *b, struct bt_ref *ref, struct bertc_error *err)
{
    if (!bt_arena_reserve(&b->arena, &b->storages, &b->storage_cap, b->storage_count + 1, sizeof *b->storages)) {
        return bt_error_memory(err);
    }
    b->storages[b->storage_count] = (struct bt_storage){
        .size = bt_numel(ref->rank, ref->dims) * (int64_t)bt_dtype_size(ref->dtype),
        .last = b->plan->step_count,
        .output = -1,
    };
    ref->space = BT_SPACE_WORK;
    ref->slot = (int32_t)b->storage_count++;
    ref->offset = 0;
    return BERTC_OK;
}

static void touch(struct bt_builder *b, const struct bt_ref *ref)
{
    if (ref->space == BT_SPACE_WORK && ref->rank >= 0) {
        b->storages[ref->slot].last = b->plan->step_count;
    }
}

enum bertc_status bt_builder_step(struct bt_builder *b, const struct bt_step *step, struct bertc_error *err)
{
    struct bt_plan *plan = b->plan;
    bool known;
    enum bertc_status status = bt_known_step(b, step, &known, err);
    if (status || known) {
        return status;
    }
    if (!bt_arena_reserve(&plan->arena, &plan->steps, &b->step_cap, plan->step_count + 1, sizeof *step)) {
        return bt_error_memory(err);
    }
    for (int i = 0; i < step->nargs; i++) {
        const struct bt_step_arg *arg = &step->args[i];
        if (arg->kind == BT_ARG_VALUE) {
            touch(b, &arg->ref);
        }
        for (int32_t k = 0; arg->kind == BT_ARG_VALUES && k < arg->count; k++) {
            touch(b, &arg->refs[k]);
        }
    }
    plan->steps[plan->step_count++] = *step;
    return BERTC_OK;
}

enum bertc_status bt_builder_copy(struct bt_builder *b, const struct bt_ref *from, const struct bt_ref *to,
                                  struct bertc_error *err)
{
    struct bt_step step = {.fn = bt_step_copy, .op = BT_OP_CAST, .nargs = 1, .nouts = 1, .outs = {*to}};
    step.args = bt_arena_alloc(&b->plan->arena, 1, sizeof *step.args);
    if (!step.args) {
        return bt_error_memory(err);
    }
    step.args[0].kind = BT_ARG_VALUE;
    step.args[0].ref = *from;
    return bt_builder_step(b, &step, err);
}

static void settle(const struct bt_builder *b, struct bt_ref *ref)
{
    if (ref->space != BT_SPACE_WORK || ref->rank < 0) {
        return;
    }
    const struct bt_storage *storage = &b->storages[ref->slot];
    if (storage->output >= 0) {
        ref->space = BT_SPACE_OUTPUT;
    } else {
        ref->offset += storage->offset;
    }
    ref->slot = storage->output >= 0 ? storage->output : 0;
}

enum bertc_status bt_builder_settle(struct bt_builder *b, struct bertc_error *err)
{
    struct bt_plan *plan = b->plan;
    int32_t *order = bt_arena_alloc(&b->arena, b->storage_count + 1, sizeof *order);
    if (!order) {
        return bt_error_memory(err);
    }
    enum bertc_status status = bt_place(plan->steps, plan->step_count, b->storages, order, &plan->work_size, err);
    for (size_t s = 0; s < plan->step_count && status == BERTC_OK; s++) {
        struct bt_step *step = &plan->steps[s];
        for (int i = 0; i < step->nargs; i++) {
            if (step->args[i].kind == BT_ARG_VALUE) {
                settle(b, &step->args[i].ref);
            }
            for (int32_t k = 0; step->args[i].kind == BT_ARG_VALUES && k < step->args[i].count; k++) {
                settle(b, &step->args[i].refs[k]);
            }
        }
        for (int i = 0; i < step->nouts; i++) {
            settle(b, &step->outs[i]);
        }
        if (step->scratch_size > 0) {
            settle(b, &step->scratch);
        }
    }
    for (size_t i = 0; plan->padded && i < b->tokens->padded_count; i++) {
        settle(b, &plan->padded[i]);
    }
    return status;
}
