/* place.c: offsets in one workspace for what the steps write, by lifetime
 * Steps are visited in order; a new storage goes into the smallest gap between those that are still alive. */
#include "exec/place.h"

#include <string.h>

#include "base/memory.h"

struct places {
    const struct bt_step *steps;
    struct bt_storage *storages;
    int32_t *live; /* storages alive at this step, by offset */
    size_t count;
    int64_t total;
};

static int64_t end_of(const struct bt_storage *storage)
{
    return (storage->offset + storage->size + BT_ALIGN - 1) & -(int64_t)BT_ALIGN;
}

static void insert(struct places *p, size_t at, int32_t id)
{
    memmove(p->live + at + 1, p->live + at, (p->count - at) * sizeof *p->live);
    p->live[at] = id;
    p->count++;
}

static void place_new(struct places *p, int32_t id)
{
    struct bt_storage *storage = &p->storages[id];
    int64_t gap_start = 0, best_size = INT64_MAX;
    size_t best = p->count;
    for (size_t i = 0; i < p->count; i++) {
        const struct bt_storage *next = &p->storages[p->live[i]];
        int64_t gap = next->offset - gap_start;
        if (gap >= storage->size && gap < best_size) {
            best = i;
            best_size = gap;
            storage->offset = gap_start;
        }
        gap_start = end_of(next);
    }
    if (best == p->count) {
        storage->offset = gap_start;
    }
    insert(p, best, id);
    if (end_of(storage) > p->total) {
        p->total = end_of(storage);
    }
}

static bool whole(const struct bt_ref *ref, const struct bt_ref *out)
{
    return ref->offset == 0 && bt_numel(ref->rank, ref->dims) == bt_numel(out->rank, out->dims) &&
           bt_dtype_size(ref->dtype) == bt_dtype_size(out->dtype) &&
           bt_is_contiguous(ref->rank, ref->dims, ref->strides);
}

/* A pointwise step may write over an operand that it reads item by item in the same order, if nobody needs the operand
 * later. Returns the operand's storage, or -1. */
static int32_t find_donor(const struct places *p, size_t at)
{
    const struct bt_step *step = &p->steps[at];
    int32_t donor = -1;
    if (step->fn != bt_step_pointwise) {
        return -1;
    }
    for (int i = 0; i < step->nargs; i++) {
        const struct bt_ref *ref = &step->args[i].ref;
        if (step->args[i].kind != BT_ARG_VALUE || ref->space != BT_SPACE_WORK) {
            continue;
        }
        const struct bt_storage *storage = &p->storages[ref->slot];
        if (donor < 0 && storage->last == at && storage->output < 0 && whole(ref, &step->outs[0])) {
            donor = ref->slot;
        }
    }
    for (int i = 0; i < step->nargs; i++) {
        const struct bt_ref *ref = &step->args[i].ref;
        if (step->args[i].kind == BT_ARG_VALUE && ref->space == BT_SPACE_WORK && ref->slot == donor &&
            !whole(ref, &step->outs[0])) {
            return -1;
        }
    }
    return donor;
}

static void take_over(struct places *p, int32_t donor, int32_t id)
{
    size_t i = 0;
    while (p->live[i] != donor) {
        i++;
    }
    p->storages[id].offset = p->storages[donor].offset;
    p->live[i] = id;
}

static void drop_dead(struct places *p, size_t at)
{
    size_t kept = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (p->storages[p->live[i]].last >= at) {
            p->live[kept++] = p->live[i];
        }
    }
    p->count = kept;
}

enum bertc_status bt_place(const struct bt_step *steps, size_t step_count, struct bt_storage *storages, int32_t *order,
                           int64_t *total, struct bertc_error *err)
{
    struct places p = {.steps = steps, .storages = storages, .live = order};
    for (size_t at = 0; at < step_count; at++) {
        const struct bt_step *step = &steps[at];
        drop_dead(&p, at);
        for (int i = 0; i < step->nouts; i++) {
            int32_t id = step->outs[i].slot;
            if (step->outs[i].space != BT_SPACE_WORK || storages[id].output >= 0) {
                continue;
            }
            int32_t donor = find_donor(&p, at);
            if (donor >= 0) {
                take_over(&p, donor, id);
            } else {
                place_new(&p, id);
            }
        }
        if (step->scratch_size > 0) {
            place_new(&p, step->scratch.slot);
        }
        if (p.total > BT_PLACE_LIMIT) {
            return bt_error_set(err, BERTC_INPUT, "a call of this size needs more than %lld bytes of workspace",
                                (long long)BT_PLACE_LIMIT);
        }
    }
    *total = p.total;
    return BERTC_OK;
}
