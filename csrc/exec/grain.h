/* grain.h: how small a task may be to be worth a thread */
#ifndef BT_EXEC_GRAIN_H
#define BT_EXEC_GRAIN_H

#include <stdint.h>

/* Items a task, where one costs `cost` multiply-adds of a GEMM (a transcendental function: about 16); at least 1. */
static inline int64_t bt_grain(int64_t cost)
{
    const int64_t task = 1 << 20; /* tens of microseconds: waking a thread takes several */
    return cost > 0 && cost < task ? task / cost : 1;
}

#endif
