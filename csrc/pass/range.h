/* range.h: bounds of integers that are known without running the graph */
#ifndef BT_PASS_RANGE_H
#define BT_PASS_RANGE_H

#include "graph/graph.h"

/* Every element lies between these; INT64_MIN and INT64_MAX say that a bound is not known. */
struct bt_range {
    int64_t low, high;
};

/* Of an int64, int32 or bool value; bools are 0 and 1. */
struct bt_range bt_range_of(const struct bt_graph *g, bt_value value);
/* The same for an operand: a value, or a number. */
struct bt_range bt_range_of_arg(const struct bt_graph *g, const struct bt_arg *arg);
/* Whether all elements are the same known number. */
bool bt_range_is_one(const struct bt_range *range);
/* Whether value is a constant whose `count` elements are first, first + 1, first + 2, ... */
bool bt_range_counts(const struct bt_graph *g, bt_value value, int64_t *first, int64_t *count);

#endif
