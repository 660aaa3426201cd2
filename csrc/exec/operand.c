/* operand.c: checks of operands that several steps share */
#include "exec/operand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "exec/iter.h"

enum bertc_status bt_operand_float(const struct bt_step *step, int nargs, struct bertc_error *err)
{
    enum bt_dtype dtype = step->outs[0].dtype;
    bool known = dtype == BT_F32 || dtype == BT_F64;
    for (int i = 0; i < nargs && known; i++) {
        if (step->args[i].kind == BT_ARG_VALUE && step->args[i].ref.dtype != dtype) {
            dtype = step->args[i].ref.dtype;
            known = false;
        }
    }
    if (known) {
        return BERTC_OK;
    }
    return bt_error_set(err, BERTC_UNSUPPORTED, "%s with a %s operand and a %s result is not implemented",
                        bt_ops[step->op].name, bt_dtype_name(dtype), bt_dtype_name(step->outs[0].dtype));
}

/* index: of a part's token, becomes its sequence in the call and its place there. */
static void find_token(const struct bt_ragged *ragged, int64_t *index)
{
    int64_t number = ragged->sequence_count - 1;
    while (number > 0 && ragged->sequences[number].start > index[1]) {
        number--;
    }
    index[0] = ragged->sequences[number].item;
    index[1] -= ragged->sequences[number].start;
}

static enum bertc_status refuse_index(const struct bt_step *step, const struct bt_run *run, const struct bt_iter *it,
                                      int64_t value, int64_t size, const char *table, struct bertc_error *err)
{
    char position[BT_MAX_RANK * 24] = "";
    int used = 0;
    int64_t call_index[BT_MAX_RANK];
    memcpy(call_index, it->index, sizeof call_index);
    if (step->input && it->rank > 0) {
        call_index[0] += run->first_item;
    }
    if (step->input && it->rank > 1 && run->ragged) {
        find_token(run->ragged, call_index);
    }
    for (int d = 0; d < it->rank; d++) {
        int64_t index = call_index[d];
        used += snprintf(position + used, sizeof position - (size_t)used, "%s%" PRId64, d ? ", " : "[", index);
    }
    return bt_error_set(err, BERTC_INPUT, "%s%s%s = %" PRId64 " is outside the %s of %" PRId64 " rows",
                        step->input ? step->input : "an index computed by the model", position, it->rank ? "]" : "",
                        value, table, size);
}

enum bertc_status bt_operand_indices(const struct bt_step *step, const struct bt_run *run, const struct bt_ref *ref,
                                     int64_t size, bool wrap, const char *table, struct bertc_error *err)
{
    if (ref->dtype != BT_I64 && ref->dtype != BT_I32) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "%s with an index of dtype %s, where int64 or int32 is expected",
                            bt_ops[step->op].name, bt_dtype_name(ref->dtype));
    }
    int64_t dims[BT_MAX_RANK];
    for (int d = 0; d < ref->rank; d++) { /* once is enough for what is only expanded */
        dims[d] = ref->strides[d] == 0 && ref->dims[d] > 0 ? 1 : ref->dims[d];
    }
    struct bt_iter it;
    bt_iter_init(&it, ref->rank, dims);
    bt_iter_add(&it, ref->strides);
    const void *data = bt_ref_data(run, ref);
    int64_t low = wrap ? -size : 0, count = bt_iter_count(&it);
    for (int64_t i = 0; i < count; i++, bt_iter_next(&it)) {
        int64_t value = bt_operand_index(ref->dtype, data, it.offset[0]);
        if (value < low || value >= size) {
            return refuse_index(step, run, &it, value, size, table, err);
        }
    }
    return BERTC_OK;
}
