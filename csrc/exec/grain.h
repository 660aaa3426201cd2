/* grain.h: how work is divided: tasks worth a thread, and slices with scratch of their own */
#ifndef BT_EXEC_GRAIN_H
#define BT_EXEC_GRAIN_H

#include <stdint.h>

/* Items a task, where one costs `cost` multiply-adds of a GEMM (a transcendental function: about 16); at least 1. */
static inline int64_t bt_grain(int64_t cost)
{
    const int64_t task = 1 << 20; /* tens of microseconds: waking a thread takes several */
    return cost > 0 && cost < task ? task / cost : 1;
}

/* Work that needs scratch is cut into at most this many slices, each with a part of the scratch, so that neither its
 * size nor any result depends on how many threads there are. */
enum { BT_MAX_SLICES = 16 };

static inline int64_t bt_slice_count(int64_t units)
{
    return units < BT_MAX_SLICES ? units : BT_MAX_SLICES;
}

/* The first of the units that belong to a slice; they end where those of the next slice begin. */
static inline int64_t bt_slice_begin(int64_t slice, int64_t slices, int64_t units)
{
    return slice * units / slices;
}

#endif
