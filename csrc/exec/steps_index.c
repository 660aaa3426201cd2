/* steps_index.c: gather, index and index_put: items chosen by integer tensors */
#include <assert.h>
#include <string.h>

#include "base/thread.h"
#include "exec/grain.h"
#include "exec/iter.h"
#include "exec/move.h"
#include "exec/operand.h"

enum { SELF, OTHER, INDICES }; /* operands of the iterators; OTHER is the result of index, the values of index_put */

struct gather {
    const char *self;
    const void *indices;
    char *out;
    size_t size; /* of an item */
    enum bt_dtype index_dtype;
    int64_t n; /* items of a row of the result */
    int64_t dim_stride, self_stride, index_stride;
    struct bt_iter rows; /* operands SELF, OTHER: the indices */
};

#define GATHER_RUN(size)                                                                                        \
    static void gather_run_##size(const struct gather *p, const char *self, int64_t first_index, char *out)     \
    {                                                                                                           \
        const int64_t n = p->n, dim_stride = p->dim_stride, self_stride = p->self_stride;                       \
        const int64_t index_stride = p->index_stride;                                                           \
        const enum bt_dtype index_dtype = p->index_dtype;                                                       \
        const void *indices = p->indices;                                                                       \
        for (int64_t i = 0; i < n; i++) {                                                                       \
            int64_t index = bt_operand_index(index_dtype, indices, first_index + i * index_stride);             \
            memcpy(out + i * size, self + (index * dim_stride + i * self_stride) * size, size);                 \
        }                                                                                                       \
    }
GATHER_RUN(1)
GATHER_RUN(2)
GATHER_RUN(4)
GATHER_RUN(8)
#undef GATHER_RUN

static void gather_range(void *context, int64_t begin, int64_t end)
{
    const struct gather *p = context;
    struct bt_iter it = p->rows;
    bt_iter_seek(&it, begin);
    for (int64_t i = begin; i < end; i++, bt_iter_next(&it)) {
        const char *self = p->self + it.offset[SELF] * (int64_t)p->size;
        char *out = p->out + i * p->n * (int64_t)p->size;
        switch (p->size) {
        case 1: gather_run_1(p, self, it.offset[OTHER], out); break;
        case 2: gather_run_2(p, self, it.offset[OTHER], out); break;
        case 4: gather_run_4(p, self, it.offset[OTHER], out); break;
        default: gather_run_8(p, self, it.offset[OTHER], out); break;
        }
    }
}

/* ATen lets a number stand for a vector of one item. */
static struct bt_ref as_vector(const struct bt_ref *ref)
{
    struct bt_ref vector = *ref;
    if (ref->rank == 0) {
        vector.rank = 1;
        vector.dims[0] = 1;
        vector.strides[0] = 1;
    }
    return vector;
}

enum bertc_status bt_step_gather(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    struct bt_ref self = as_vector(&step->args[0].ref), indices = as_vector(&step->args[2].ref);
    int dim = (int)step->args[1].scalar.i, last = indices.rank - 1;
    enum bertc_status status =
        bt_operand_indices(step, run, &step->args[2].ref, self.dims[dim], false, "gathered dimension", err);
    if (status != BERTC_OK) {
        return status;
    }
    struct gather p = {.self = bt_ref_data(run, &self),
                       .indices = bt_ref_data(run, &indices),
                       .out = bt_ref_data(run, &step->outs[0]),
                       .size = bt_dtype_size(self.dtype),
                       .index_dtype = indices.dtype,
                       .n = indices.dims[last],
                       .dim_stride = self.strides[dim],
                       .index_stride = indices.strides[last]};
    self.strides[dim] = 0;
    p.self_stride = self.strides[last];
    bt_iter_init(&p.rows, last, indices.dims);
    bt_iter_add(&p.rows, self.strides);
    bt_iter_add(&p.rows, indices.strides);
    bt_parallel_for(run->threads, bt_iter_count(&p.rows), bt_grain(p.n * 8), gather_range, &p);
    return BERTC_OK;
}

/* index and index_put: the positions that the index tensors choose, as one space. The result of indexing has the dims
 * before the index tensors, those of the index tensors broadcast together, and the dims after them. Where index tensors
 * are not neighbours, all remaining dims come after. */
struct indexing {
    char *self, *other;
    enum { READ, WRITE, ACCUMULATE } mode;
    enum bt_dtype dtype;
    int count;
    struct {
        const struct bt_ref *ref;
        const void *data;
        int dim; /* of self, that it indexes */
        int64_t size, stride;
    } indices[BT_MAX_RANK];
    struct bt_iter outer; /* dims before, dims of the index tensors; operands SELF, OTHER, INDICES ... */
    struct bt_iter inner; /* dims after, without the last, which is a run; operands SELF, OTHER */
    int64_t run, strides[2];
};

static enum bertc_status load_indices(struct indexing *p, const struct bt_step *step, const struct bt_run *run,
                                      const struct bt_ref *self, struct bertc_error *err)
{
    const struct bt_step_arg *list = &step->args[1];
    p->count = 0;
    for (int d = 0; d < list->count; d++) {
        const struct bt_ref *ref = &list->refs[d];
        if (ref->rank < 0) {
            continue;
        }
        enum bertc_status status = bt_operand_indices(step, run, ref, self->dims[d], true, "indexed dimension", err);
        if (status != BERTC_OK) {
            return status;
        }
        p->indices[p->count].ref = ref;
        p->indices[p->count].data = bt_ref_data(run, ref);
        p->indices[p->count].dim = d;
        p->indices[p->count].size = self->dims[d];
        p->indices[p->count++].stride = self->strides[d];
    }
    return BERTC_OK;
}

/* The dims of the index tensors broadcast together. */
static int broadcast_indices(const struct indexing *p, int64_t *dims)
{
    int rank = 0;
    for (int i = 0; i < p->count; i++) {
        rank = p->indices[i].ref->rank > rank ? p->indices[i].ref->rank : rank;
    }
    for (int d = 0; d < rank; d++) {
        dims[d] = 1;
    }
    for (int i = 0; i < p->count; i++) {
        const struct bt_ref *ref = p->indices[i].ref;
        for (int d = 0; d < ref->rank; d++) {
            if (ref->dims[d] != 1) {
                dims[rank - ref->rank + d] = ref->dims[d];
            }
        }
    }
    return rank;
}

/* self is the tensor that is indexed: the operand of index, the result of index_put. Inference has seen that the shapes
 * fit each other. */
static enum bertc_status indexing_init(struct indexing *p, const struct bt_step *step, const struct bt_run *run,
                                       const struct bt_ref *self, const struct bt_ref *other, struct bertc_error *err)
{
    enum bertc_status status = load_indices(p, step, run, self, err);
    if (status != BERTC_OK) {
        return status;
    }
    int64_t chosen[BT_MAX_RANK], dims[BT_MAX_RANK], self_strides[BT_MAX_RANK] = {0}, strides[BT_MAX_RANK];
    int chosen_rank = broadcast_indices(p, chosen), rank = self->rank - p->count + chosen_rank;
    int first = p->count > 0 ? p->indices[0].dim : 0, last = p->count > 0 ? p->indices[p->count - 1].dim : 0;
    int before = last - first + 1 == p->count ? first : 0, outer = before + chosen_rank;
    assert(rank <= BT_MAX_RANK);

    for (int d = 0; d < chosen_rank; d++) {
        dims[before + d] = chosen[d];
    }
    for (int d = 0, indexed = 0; d < self->rank; d++) {
        if (indexed < p->count && p->indices[indexed].dim == d) {
            indexed++;
            continue;
        }
        int to = d - indexed < before ? d - indexed : d - indexed + chosen_rank;
        dims[to] = self->dims[d];
        self_strides[to] = self->strides[d];
    }
    bt_iter_broadcast(other->rank, other->dims, other->strides, rank, dims, strides);

    bt_iter_init(&p->outer, outer, dims);
    bt_iter_add(&p->outer, self_strides);
    bt_iter_add(&p->outer, strides);
    bt_iter_init(&p->inner, rank - outer, dims + outer);
    bt_iter_add(&p->inner, self_strides + outer);
    bt_iter_add(&p->inner, strides + outer);
    p->run = bt_iter_take_run(&p->inner, p->strides);
    memset(strides, 0, sizeof strides);
    for (int i = 0; i < p->count; i++) {
        const struct bt_ref *ref = p->indices[i].ref;
        bt_iter_broadcast(ref->rank, ref->dims, ref->strides, chosen_rank, chosen, strides + before);
        bt_iter_add(&p->outer, strides);
    }
    p->self = bt_ref_data(run, self);
    p->other = bt_ref_data(run, other);
    p->dtype = self->dtype;
    return BERTC_OK;
}

#define ADD_RUN(type, wide)                                                          \
    static void add_run_##type(const struct indexing *p, type *to, const type *from) \
    {                                                                                \
        for (int64_t i = 0; i < p->run; i++) {                                       \
            type *item = to + i * p->strides[SELF];                                  \
            *item = (type)((wide)*item + (wide)from[i * p->strides[OTHER]]);         \
        }                                                                            \
    }
ADD_RUN(float, float)
ADD_RUN(double, double)
ADD_RUN(int64_t, uint64_t)
ADD_RUN(int32_t, uint32_t)
#undef ADD_RUN

static void index_run(const struct indexing *p, void *self, void *other)
{
    size_t size = bt_dtype_size(p->dtype);
    if (p->mode == READ) {
        bt_move_run(size, p->run, other, p->strides[OTHER], self, p->strides[SELF]);
    } else if (p->mode == WRITE) {
        bt_move_run(size, p->run, self, p->strides[SELF], other, p->strides[OTHER]);
    } else if (p->dtype == BT_F32) {
        add_run_float(p, self, other);
    } else if (p->dtype == BT_F64) {
        add_run_double(p, self, other);
    } else if (p->dtype == BT_I64) {
        add_run_int64_t(p, self, other);
    } else {
        add_run_int32_t(p, self, other);
    }
}

static void index_range(void *context, int64_t begin, int64_t end)
{
    const struct indexing *p = context;
    int64_t size = (int64_t)bt_dtype_size(p->dtype), runs = bt_iter_count(&p->inner);
    struct bt_iter it = p->outer;
    bt_iter_seek(&it, begin);
    for (int64_t i = begin; i < end; i++, bt_iter_next(&it)) {
        int64_t self = it.offset[SELF];
        for (int k = 0; k < p->count; k++) {
            int64_t index = bt_operand_index(p->indices[k].ref->dtype, p->indices[k].data, it.offset[INDICES + k]);
            self += (index < 0 ? index + p->indices[k].size : index) * p->indices[k].stride;
        }
        struct bt_iter inner = p->inner;
        for (int64_t j = 0; j < runs; j++, bt_iter_next(&inner)) {
            index_run(p, p->self + (self + inner.offset[SELF]) * size,
                      p->other + (it.offset[OTHER] + inner.offset[OTHER]) * size);
        }
    }
}

enum bertc_status bt_step_index(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    struct indexing p;
    enum bertc_status status = indexing_init(&p, step, run, &step->args[0].ref, &step->outs[0], err);
    if (status != BERTC_OK) {
        return status;
    }
    p.mode = READ;
    int64_t block = p.run * bt_iter_count(&p.inner);
    bt_parallel_for(run->threads, bt_iter_count(&p.outer), bt_grain(block * 8 + 64), index_range, &p);
    return BERTC_OK;
}

enum bertc_status bt_step_index_put(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    const struct bt_ref *self = &step->args[0].ref, *values = &step->args[2].ref, *out = &step->outs[0];
    bool accumulate = step->args[3].kind == BT_ARG_EXPR && step->args[3].scalar.i != 0;
    bool adds = out->dtype == BT_F32 || out->dtype == BT_F64 || out->dtype == BT_I64 || out->dtype == BT_I32;
    if (values->dtype != out->dtype || (accumulate && !adds)) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "index_put of %s values into a %s tensor is not implemented",
                            bt_dtype_name(values->dtype), bt_dtype_name(out->dtype));
    }
    struct indexing p;
    enum bertc_status status = indexing_init(&p, step, run, out, values, err);
    if (status != BERTC_OK) {
        return status;
    }
    bt_move_items(run->threads, bt_dtype_size(out->dtype), out->rank, out->dims,
                  (struct bt_side){bt_ref_data(run, out), out->strides},
                  (struct bt_side){bt_ref_data(run, self), self->strides});
    p.mode = accumulate ? ACCUMULATE : WRITE;
    index_range(&p, 0, bt_iter_count(&p.outer)); /* in order, on one thread: a position may occur twice */
    return BERTC_OK;
}
