/* pass_check.h: what the passes leave of a small graph, for tests */
#ifndef BT_TESTS_PASS_CHECK_H
#define BT_TESTS_PASS_CHECK_H

#include "graphs.h"
#include "pass/pass.h"

static inline void ops_text(char *text, size_t size)
{
    *text = 0;
    for (size_t i = 0; i < g.node_count; i++) {
        snprintf(text + strlen(text), size - strlen(text), "%s%s", i ? " " : "", bt_ops[g.nodes[i].op].name);
    }
}

static inline bool run_passes(void)
{
    bool good = bt_passes_run(&g, &err) == BERTC_OK && bt_graph_verify(&g, &err) == BERTC_OK;
    if (!good) {
        printf("    %s\n", err.text);
    }
    return good;
}

/* Runs the passes and compares the ops that are left, in order. A second run must change nothing. */
static inline bool output_leaves(const struct bt_tree *output, const char *expected)
{
    char ops[600] = "failed", again[600];
    g.output = *output;
    if (run_passes()) {
        ops_text(ops, sizeof(ops));
    }
    bool good = strcmp(ops, expected) == 0;
    if (!good) {
        char *text = bt_graph_text(&g, "    left:");
        printf("%s", text ? text : "");
        bt_free(text);
        return false;
    }
    good = run_passes();
    ops_text(again, sizeof(again));
    if (strcmp(ops, again) != 0) {
        printf("    a second run leaves: %s\n", again);
    }
    return good && strcmp(ops, again) == 0;
}

/* The same with one value as the output. */
static inline bool leaves(bt_value result, const char *expected)
{
    if (result < 0) {
        printf("    %s\n", err.text);
        return false;
    }
    return output_leaves(&(struct bt_tree){.kind = BT_TREE_TENSOR, .value = result}, expected);
}

/* With two values as outputs. */
static inline bool both_leave(bt_value first, bt_value second, const char *expected)
{
    struct bt_tree items[] = {{.kind = BT_TREE_TENSOR, .value = first}, {.kind = BT_TREE_TENSOR, .value = second}};
    return first >= 0 && second >= 0 &&
           output_leaves(&(struct bt_tree){.kind = BT_TREE_TUPLE, .items = items, .count = 2}, expected);
}

/* The first node of this op that is left. */
static inline const struct bt_node *left(enum bt_op op)
{
    static const struct bt_node none = {.op = BT_OP_COUNT};
    for (size_t i = 0; i < g.node_count; i++) {
        if (g.nodes[i].op == op) {
            return &g.nodes[i];
        }
    }
    return &none;
}

static inline void finish(void)
{
    bt_graph_free(&g);
}

#endif
