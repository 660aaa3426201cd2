/* result.c: the structure of a call's result, with concrete shapes */
#include "exec/result.h"

#include <string.h>

static void tensor_result(const struct bt_schedule *schedule, int32_t slot, struct bertc_value *out)
{
    const struct bt_plan_output *output = &schedule->plans[0]->outputs[slot];
    out->kind = BERTC_TENSOR;
    out->slot = slot;
    out->tensor.dtype = output->dtype;
    out->tensor.rank = output->rank;
    memcpy(out->tensor.dims, output->dims, sizeof output->dims);
    if (schedule->parts > 1) {
        out->tensor.dims[0] = schedule->items;
    }
    bt_contiguous_strides(output->rank, out->tensor.dims, out->tensor.strides);
}

static void scalar_result(struct bt_scalar scalar, struct bertc_value *out)
{
    static const enum bertc_kind kinds[] = {
        [BT_SCALAR_BOOL] = BERTC_BOOL, [BT_SCALAR_INT] = BERTC_INT, [BT_SCALAR_FLOAT] = BERTC_FLOAT};
    out->kind = kinds[scalar.type];
    out->integer = scalar.i;
    out->number = scalar.f;
}

static enum bertc_status make(const struct bt_tree *tree, const struct bt_schedule *schedule, struct bt_arena *arena,
                              int32_t *slot, struct bertc_value *out, struct bertc_error *err)
{
    static const enum bertc_kind containers[] = {
        [BT_TREE_TUPLE] = BERTC_TUPLE, [BT_TREE_LIST] = BERTC_LIST, [BT_TREE_DICT] = BERTC_DICT};
    *out = (struct bertc_value){.key = tree->key};
    switch (tree->kind) {
    case BT_TREE_NONE: out->kind = BERTC_NONE; return BERTC_OK;
    case BT_TREE_TENSOR:
        tensor_result(schedule, *slot, out);
        ++*slot;
        return BERTC_OK;
    case BT_TREE_SCALAR: scalar_result(schedule->plans[0]->values[tree->scalar], out); return BERTC_OK;
    case BT_TREE_STRING:
        out->kind = BERTC_STRING;
        out->text = tree->text;
        return BERTC_OK;
    case BT_TREE_TUPLE:
    case BT_TREE_LIST:
    case BT_TREE_DICT: break;
    }
    out->kind = containers[tree->kind];
    out->count = (size_t)tree->count;
    out->items = bt_arena_alloc(arena, out->count, sizeof *out->items);
    if (!out->items) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < out->count; i++) {
        enum bertc_status status = make(&tree->items[i], schedule, arena, slot, &out->items[i], err);
        if (status) {
            return status;
        }
    }
    return BERTC_OK;
}

enum bertc_status bt_result_make(const struct bt_schedule *schedule, struct bt_arena *arena, struct bertc_value *out,
                                 struct bertc_error *err)
{
    int32_t slot = 0;
    return make(&schedule->graph->output, schedule, arena, &slot, out, err);
}
