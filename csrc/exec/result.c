/* result.c: the structure of a call's result, with concrete shapes */
#include "exec/result.h"

#include <string.h>

struct maker {
    const struct bt_schedule *schedule;
    int64_t rows;
    struct bt_arena *arena;
    int32_t slot; /* the next tensor's */
};

static void tensor_result(struct maker *maker, struct bertc_value *out)
{
    const struct bt_schedule *schedule = maker->schedule;
    const struct bt_plan_output *output = &schedule->plans[0]->outputs[maker->slot];
    struct bt_tensor *tensor = &out->tensor;
    out->kind = BERTC_TENSOR;
    out->slot = maker->slot++;
    out->by_token = maker->rows >= 0 && output->token_axis >= 0;
    const int drop = out->by_token ? output->token_axis : 0;
    tensor->dtype = output->dtype;
    tensor->rank = output->rank - drop;
    memcpy(tensor->dims, output->dims + drop, (size_t)tensor->rank * sizeof *tensor->dims);
    if (out->by_token) {
        tensor->dims[0] = maker->rows;
    } else if (schedule->parts > 1) {
        tensor->dims[0] = schedule->items;
    }
    bt_contiguous_strides(tensor->rank, tensor->dims, tensor->strides);
}

static void scalar_result(struct bt_scalar scalar, struct bertc_value *out)
{
    static const enum bertc_kind kinds[] = {
        [BT_SCALAR_BOOL] = BERTC_BOOL, [BT_SCALAR_INT] = BERTC_INT, [BT_SCALAR_FLOAT] = BERTC_FLOAT};
    out->kind = kinds[scalar.type];
    out->integer = scalar.i;
    out->number = scalar.f;
}

static enum bertc_status make(struct maker *maker, const struct bt_tree *tree, struct bertc_value *out,
                              struct bertc_error *err)
{
    static const enum bertc_kind containers[] = {
        [BT_TREE_TUPLE] = BERTC_TUPLE, [BT_TREE_LIST] = BERTC_LIST, [BT_TREE_DICT] = BERTC_DICT};
    *out = (struct bertc_value){.key = tree->key};
    switch (tree->kind) {
    case BT_TREE_NONE: out->kind = BERTC_NONE; return BERTC_OK;
    case BT_TREE_TENSOR: tensor_result(maker, out); return BERTC_OK;
    case BT_TREE_SCALAR: scalar_result(maker->schedule->plans[0]->values[tree->scalar], out); return BERTC_OK;
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
    out->items = bt_arena_alloc(maker->arena, out->count, sizeof *out->items);
    if (!out->items) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < out->count; i++) {
        enum bertc_status status = make(maker, &tree->items[i], &out->items[i], err);
        if (status) {
            return status;
        }
    }
    return BERTC_OK;
}

enum bertc_status bt_result_make(const struct bt_schedule *schedule, int64_t rows, struct bt_arena *arena,
                                 struct bertc_value *out, struct bertc_error *err)
{
    struct maker maker = {schedule, rows, arena, 0};
    return make(&maker, &schedule->graph->output, out, err);
}
