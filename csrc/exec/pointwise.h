/* pointwise.h: the arithmetic of pointwise operators, on plain arrays */
#ifndef BT_EXEC_POINTWISE_H
#define BT_EXEC_POINTWISE_H

#include <stdint.h>

#include "exec/lanes.h"
#include "graph/graph.h"
#include "kernel/kernels.h"

#define BT_POINTWISE_OPERANDS 3

/* y[i] = f(x[0][i], x[1][i], ...), all of one lane type; y may be one of x. Comparisons and tests write bool. */
typedef void bt_pointwise_fn(const struct bt_kernels *kernels, const void *const *x, void *y, int64_t n);

/* An operator for one lane type. */
struct bt_pointwise {
    bt_pointwise_fn *fn;      /* NULL: the operator does not take this type */
    bt_pointwise_fn *uniform; /* the same when x[1] is one item that serves all; may be NULL */
    bool commutes;            /* operands 0 and 1 may be exchanged */
    bool to_bool;
    int numbers;    /* trailing arguments that are parameters: x[k] is one item */
    double none[2]; /* what NONE means as argument 1 and 2 */
};

struct bt_pointwise bt_pointwise_find(enum bt_op op, enum bt_lane lane);

#endif
