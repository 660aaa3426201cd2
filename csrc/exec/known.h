/* known.h: results that depend on constants alone are computed once, for all plans of a model */
#ifndef BT_EXEC_KNOWN_H
#define BT_EXEC_KNOWN_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/memory.h"
#include "exec/builder.h"
#include "graph/table.h"

struct bt_known_result;

/* What was computed, by step: the op and its operands. */
struct bt_known {
    pthread_mutex_t lock;
    struct bt_arena arena;
    struct bt_table table;
    struct bt_known_result *results;
    size_t count, cap;
    size_t bytes;
};

bool bt_known_init(struct bt_known *known); /* false: no lock could be made */
void bt_known_free(struct bt_known *known);
size_t bt_known_bytes(struct bt_known *known);

/* Carries out a step of constants alone, unless another plan had it already, and makes its result a constant of the
 * plan: *done. Other steps are left alone. */
enum bertc_status bt_known_step(struct bt_builder *b, const struct bt_step *step, bool *done, struct bertc_error *err);

#endif
