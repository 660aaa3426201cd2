/* profile.c: where the time of a run goes, node by node */
#include "exec/profile.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "exec/flops.h"

enum bertc_status bt_profile_init(struct bt_profile *profile, const struct bt_graph *graph, struct bertc_error *err)
{
    *profile = (struct bt_profile){.graph = graph};
    profile->nodes = bt_calloc(graph->node_count + 1, sizeof *profile->nodes);
    return profile->nodes ? BERTC_OK : bt_error_memory(err);
}

void bt_profile_free(struct bt_profile *profile)
{
    bt_free(profile->nodes);
}

void bt_profile_add(const struct bt_run *run, const struct bt_step *step, int64_t start_ns)
{
    const int64_t ns = bt_clock_ns() - start_ns;
    struct bt_profile *profile = run->profile;
    const struct bt_graph *g = profile->graph;
    const bool known = step->node >= g->nodes && step->node < g->nodes + g->node_count;
    struct bt_profile_node *node = &profile->nodes[known ? (size_t)(step->node - g->nodes) : g->node_count];
    atomic_fetch_add_explicit(&node->calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&node->ns, ns / (run->sharers > 1 ? run->sharers : 1), memory_order_relaxed);
    atomic_fetch_add_explicit(&node->flops, bt_run_flops(step, run), memory_order_relaxed);
}

struct report {
    struct bertc_profile base; /* first: the caller knows only this */
    struct bt_arena arena;
};

void bt_profile_report_free(struct bertc_profile *base)
{
    struct report *report = (struct report *)base;
    if (report) {
        bt_arena_free(&report->arena);
        bt_free(report);
    }
}

/* The name of the first constant among a node's operands. */
static const char *weight_of(const struct bt_graph *g, const struct bt_node *node)
{
    for (int i = 0; i < node->nargs; i++) {
        const struct bt_arg *arg = &node->args[i];
        if (arg->kind == BT_ARG_VALUE && g->values[arg->value].kind == BT_VALUE_CONSTANT &&
            g->values[arg->value].name) {
            return g->values[arg->value].name;
        }
    }
    return "";
}

/* Names the i-th record; false when out of memory. */
static bool describe(struct report *report, struct bt_graph *g, size_t i, struct bertc_node_profile *out)
{
    out->op = out->text = "copy";
    out->weight = "";
    if (i == g->node_count) {
        return true;
    }
    char *text = bt_graph_node_text(g, i);
    const char *weight = weight_of(g, &g->nodes[i]);
    out->op = bt_ops[g->nodes[i].op].name;
    out->text = text ? bt_arena_string(&report->arena, text, strlen(text)) : NULL;
    out->weight = bt_arena_string(&report->arena, weight, strlen(weight));
    bt_free(text);
    return out->text && out->weight;
}

enum bertc_status bt_profile_report(const struct bt_profile *profile, struct bt_graph *graph,
                                    struct bertc_profile **out, struct bertc_error *err)
{
    struct report *report = bt_calloc(1, sizeof *report);
    if (!report) {
        return bt_error_memory(err);
    }
    report->base.seconds = (double)profile->ns * 1e-9;
    report->base.nodes = bt_arena_alloc(&report->arena, graph->node_count + 1, sizeof *report->base.nodes);
    bool good = report->base.nodes;
    for (size_t i = 0; i <= graph->node_count && good; i++) {
        const struct bt_profile_node *node = &profile->nodes[i];
        if (node->calls > 0) {
            struct bertc_node_profile *to = &report->base.nodes[report->base.count++];
            to->calls = node->calls;
            to->seconds = (double)node->ns * 1e-9;
            to->flops = (double)node->flops;
            good = describe(report, graph, i, to);
        }
    }
    if (!good) {
        bt_profile_report_free(&report->base);
        return bt_error_memory(err);
    }
    *out = &report->base;
    return BERTC_OK;
}
