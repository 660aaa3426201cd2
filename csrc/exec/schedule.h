/* schedule.h: run a call as a whole, or its batch in parts of whole items, each through all layers before the next */
#ifndef BT_EXEC_SCHEDULE_H
#define BT_EXEC_SCHEDULE_H

#include "base/error.h"
#include "exec/plan.h"
#include "exec/workspace.h"

#define BT_SCHEDULE_LEAVES 64 /* inputs or outputs of a call whose batch is cut */

/* A batch of `items` in `parts`, whose sizes differ by one at most, the larger first. One part is the whole call. */
struct bt_schedule {
    const struct bt_plan *plans[2]; /* of the larger parts, and of those with one item less (NULL: there are none) */
    int64_t items, parts;
    const struct bt_graph *graph;
    int32_t symbol;      /* of the batch: the first dimension of the inputs that have it, and of every output */
    const int64_t *dims; /* of the call's input leaves, in order */
};

/* How many parts to cut a batch into: about as many tokens each as keep their activations in a core's L2 cache, and a
 * multiple of the threads, so that none waits for another at the end. */
int64_t bt_schedule_parts(int64_t items, int64_t tokens, int threads);
/* The same for sequences of different lengths. */
int64_t bt_schedule_token_parts(int64_t items, int64_t tokens, int threads);
/* Items of the larger parts. */
int64_t bt_schedule_larger(int64_t items, int64_t parts);

/* What a run needs besides the schedule. */
struct bt_schedule_run {
    const void *const *inputs;
    void *const *outputs;
    const struct bt_kernels *kernels;
    struct bt_workspaces *workspaces; /* each part takes one */
    struct bt_profile *profile;       /* or NULL */
    int threads;                      /* share the parts; inside the only part, its steps */
};

/* Runs a plan in a workspace of its own. `state` lacks only that. */
enum bertc_status bt_schedule_plan(const struct bt_plan *plan, struct bt_workspaces *workspaces, struct bt_run *state,
                                   struct bertc_error *err);

/* How many of the threads run parts at the same time. */
int bt_schedule_sharers(int threads, int64_t parts);
/* Runs parts 0 .. parts-1 on that many threads. When several fail, the error is that of the first. */
typedef enum bertc_status bt_part_fn(void *context, int64_t part, struct bertc_error *err);
enum bertc_status bt_schedule_each(int threads, int64_t parts, bt_part_fn *fn, void *context, struct bertc_error *err);

enum bertc_status bt_schedule_run(const struct bt_schedule *schedule, const struct bt_schedule_run *run,
                                  struct bertc_error *err);

#endif
