/* steps_embedding.c: rows of a table by index */
#include "base/thread.h"
#include "exec/grain.h"
#include "exec/iter.h"
#include "exec/move.h"
#include "exec/operand.h"

struct lookup {
    const char *table;
    const void *indices;
    char *out;
    enum bt_dtype index_dtype;
    size_t size; /* of an item */
    int64_t width, row_stride, col_stride;
    struct bt_iter positions; /* operand 0: indices */
};

static void lookup_range(void *context, int64_t begin, int64_t end)
{
    const struct lookup *p = context;
    struct bt_iter it = p->positions;
    int64_t size = (int64_t)p->size;
    bt_iter_seek(&it, begin);
    for (int64_t i = begin; i < end; i++, bt_iter_next(&it)) {
        int64_t row = bt_operand_index(p->index_dtype, p->indices, it.offset[0]);
        bt_move_run(p->size, p->width, p->out + i * p->width * size, 1, p->table + row * p->row_stride * size,
                    p->col_stride);
    }
}

enum bertc_status bt_step_embedding(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    const struct bt_ref *table = &step->args[0].ref, *indices = &step->args[1].ref, *out = &step->outs[0];
    enum bertc_status status = bt_operand_indices(step, run, indices, table->dims[0], false, "embedding table", err);
    if (status != BERTC_OK) {
        return status;
    }
    struct lookup p = {.table = bt_ref_data(run, table),
                       .indices = bt_ref_data(run, indices),
                       .out = bt_ref_data(run, out),
                       .index_dtype = indices->dtype,
                       .size = bt_dtype_size(table->dtype),
                       .width = table->dims[1],
                       .row_stride = table->strides[0],
                       .col_stride = table->strides[1]};
    bt_iter_init(&p.positions, indices->rank, indices->dims);
    bt_iter_add(&p.positions, indices->strides);
    bt_parallel_for(run->threads, bt_iter_count(&p.positions), bt_grain(p.width * 8), lookup_range, &p);
    return BERTC_OK;
}
