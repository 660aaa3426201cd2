/* move.c: copy and fill items of any dtype between strided places */
#include "exec/move.h"

#include <string.h>

#include "base/thread.h"
#include "exec/iter.h"
#include "exec/lanes.h"

enum { TO, FROM };
enum { ITEMS_PER_TASK = 1 << 15 }; /* less is not worth waking a thread */

struct move {
    struct bt_iter outer; /* all dims but the last, which is a run */
    size_t size;
    char *to;
    const char *from;
    int64_t run;
    int64_t strides[2];
};

#define MOVE_RUN(size)                                                                                      \
    static void move_run_##size(char *to, int64_t to_stride, const char *from, int64_t from_stride, int64_t n) \
    {                                                                                                       \
        for (int64_t i = 0; i < n; i++)                                                                     \
            memcpy(to + i * to_stride * size, from + i * from_stride * size, size);                         \
    }
MOVE_RUN(1)
MOVE_RUN(2)
MOVE_RUN(4)
MOVE_RUN(8)
#undef MOVE_RUN

void bt_move_run(size_t size, int64_t n, void *to, int64_t to_stride, const void *from, int64_t from_stride)
{
    if (to_stride == 1 && from_stride == 1) {
        memcpy(to, from, (size_t)n * size);
        return;
    }
    switch (size) {
    case 1: move_run_1(to, to_stride, from, from_stride, n); break;
    case 2: move_run_2(to, to_stride, from, from_stride, n); break;
    case 4: move_run_4(to, to_stride, from, from_stride, n); break;
    default: move_run_8(to, to_stride, from, from_stride, n); break;
    }
}

static void move_range(void *context, int64_t begin, int64_t end)
{
    const struct move *m = context;
    struct bt_iter it = m->outer;
    bt_iter_seek(&it, begin);
    for (int64_t i = begin; i < end; i++) {
        bt_move_run(m->size, m->run, m->to + it.offset[TO] * (int64_t)m->size, m->strides[TO],
                    m->from + it.offset[FROM] * (int64_t)m->size, m->strides[FROM]);
        bt_iter_next(&it);
    }
}

void bt_move_items(int threads, size_t size, int rank, const int64_t *dims, struct bt_side to, struct bt_side from)
{
    struct move m = {.size = size, .to = to.data, .from = from.data};
    bt_iter_init(&m.outer, rank, dims);
    bt_iter_add(&m.outer, to.strides);
    bt_iter_add(&m.outer, from.strides);
    if (bt_iter_count(&m.outer) == 0) {
        return;
    }
    m.run = bt_iter_take_run(&m.outer, m.strides);
    bt_parallel_for(threads, bt_iter_count(&m.outer), ITEMS_PER_TASK / m.run + 1, move_range, &m);
}

void bt_move_fill(struct bt_scalar number, enum bt_dtype dtype, void *to, int64_t stride, int64_t count)
{
    uint64_t item = 0;
    if (number.type == BT_SCALAR_FLOAT) {
        bt_lanes_store(BT_LANE_F64, &number.f, dtype, &item, 1);
    } else {
        bt_lanes_store(BT_LANE_I64, &number.i, dtype, &item, 1);
    }
    bt_move_run(bt_dtype_size(dtype), count, to, stride, &item, 0);
}
