/* profile.h: where the time of a run goes, node by node */
#ifndef BT_EXEC_PROFILE_H
#define BT_EXEC_PROFILE_H

#include <stdatomic.h>

#include "base/error.h"
#include "bertc.h"
#include "exec/step.h"
#include "graph/graph.h"

struct bt_profile_node {
    atomic_llong calls, ns, flops;
};

/* Sums over all plans of one graph that run at the same time. */
struct bt_profile {
    const struct bt_graph *graph;
    struct bt_profile_node *nodes; /* one a node of the graph, and one for what belongs to none: a plan's copies */
    int64_t ns;                    /* of the whole run */
};

enum bertc_status bt_profile_init(struct bt_profile *profile, const struct bt_graph *graph, struct bertc_error *err);
void bt_profile_free(struct bt_profile *profile);
/* Adds a step of a run, to the run's profile, that has just ended. */
void bt_profile_add(const struct bt_run *run, const struct bt_step *step, int64_t start_ns);
/* The nodes that were run, with their text; uses the graph's room for text. */
enum bertc_status bt_profile_report(const struct bt_profile *profile, struct bt_graph *graph,
                                    struct bertc_profile **out, struct bertc_error *err);
void bt_profile_report_free(struct bertc_profile *report); /* NULL is fine */

#endif
