/* plan.h: a graph specialised to concrete dimensions: steps, places in one workspace, outputs */
#ifndef BT_EXEC_PLAN_H
#define BT_EXEC_PLAN_H

#include "base/error.h"
#include "base/memory.h"
#include "exec/step.h"
#include "exec/tokens.h"
#include "exec/weights.h"
#include "graph/graph.h"

/* A tensor of the call's result, contiguous in a buffer of its own. */
struct bt_plan_output {
    enum bt_dtype dtype; /* as the graph says; float16 results are stored as float16, bfloat16 as float32 */
    int rank;
    int64_t dims[BT_MAX_RANK];
    int token_axis; /* of a padded part: the dim that counts tokens in an output that the other part writes; else -1 */
};

struct bt_plan {
    struct bt_arena arena;
    struct bt_step *steps;
    size_t step_count;
    int64_t work_size; /* bytes of workspace of one run */
    struct bt_plan_output *outputs;
    size_t output_count;
    const struct bt_scalar *values; /* of the graph's expressions */
    struct bt_ref *padded; /* of a padded part: where the values of tokens->padded are */
};

/* symbols: one value per symbol of the graph. outputs[i] is the i-th TENSOR leaf of graph->output, depth first (the
 * same value twice gives two). Weights that need another form are prepared in `weights`. */
enum bertc_status bt_plan_new(struct bt_graph *graph, const int64_t *symbols, struct bt_weights *weights,
                              const struct bt_kernels *kernels, struct bt_plan **out, struct bertc_error *err);
/* The padded part of a graph of tokens: its outputs say the shapes of all the call's outputs, its run writes those that
 * are padded. */
enum bertc_status bt_plan_padded(struct bt_graph *graph, const struct bt_tokens *tokens, const int64_t *symbols,
                                 struct bt_weights *weights, const struct bt_kernels *kernels, struct bt_plan **out,
                                 struct bertc_error *err);
/* The other part, of so many tokens of so many sequences; run->ragged says which. */
enum bertc_status bt_plan_tokens(struct bt_graph *graph, const struct bt_tokens *tokens, int64_t token_count,
                                 int64_t items, struct bt_weights *weights, const struct bt_kernels *kernels,
                                 struct bt_plan **out, struct bertc_error *err);
void bt_plan_free(struct bt_plan *plan);

/* Runs every step. run->work has plan->work_size bytes, BT_ALIGN-aligned; inputs: one pointer per graph input leaf,
 * contiguous; outputs: one per plan output. No allocation. */
enum bertc_status bt_plan_run(const struct bt_plan *plan, const struct bt_run *run, struct bertc_error *err);

#endif
