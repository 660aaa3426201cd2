/* builder.h: steps and storages of a plan in the making
 * Until bt_builder_settle, a WORK ref has its storage's number in `slot`, and its offset counts from the storage's
 * start. Then, with all lifetimes known, storages become output buffers or places in the workspace. A pointwise step's
 * result may take the place of an operand (place.c). */
#ifndef BT_EXEC_BUILDER_H
#define BT_EXEC_BUILDER_H

#include <stdbool.h>
#include <stddef.h>

#include "exec/place.h"
#include "exec/plan.h"
#include "exec/tokens.h"

struct bt_builder {
    struct bt_graph *graph;
    const struct bt_tokens *tokens; /* NULL: the plan is of the whole graph; else of one of its two parts */
    bool padded;                    /* which of them */
    const struct bt_scalar *values; /* of the expressions, for the present value or node: one of these: */
    const struct bt_scalar *token_values, *item_values;
    struct bt_weights *weights;
    const struct bt_kernels *kernels;
    struct bt_plan *plan;
    size_t step_cap, output_cap;
    struct bt_arena arena; /* of the fields below: gone when the plan is made */
    bool *needed;          /* per value */
    bool *known;           /* per value: it is the same in every call (known.c) */
    int32_t *uses;         /* per value, by bt_graph_uses */
    struct bt_ref *refs;   /* per value: where it is */
    struct bt_storage *storages;
    size_t storage_count, storage_cap;
};

/* Sets dtype, dims and contiguous strides of a value. BERTC_INPUT when a dim is negative or the bytes are absurdly
 * many: no product of dims can overflow afterwards, zeros counted as ones. */
enum bertc_status bt_builder_shape(const struct bt_builder *b, bt_value value, struct bt_ref *ref,
                                   struct bertc_error *err);
/* Gives a ref of known dtype and dims its own storage, to be written by the next step. */
enum bertc_status bt_builder_own(struct bt_builder *b, struct bt_ref *ref, struct bertc_error *err);
/* Appends a step; the storages of its operands live until then at least. A step of constants alone is carried out
 * instead. */
enum bertc_status bt_builder_step(struct bt_builder *b, const struct bt_step *step, struct bertc_error *err);
enum bertc_status bt_builder_copy(struct bt_builder *b, const struct bt_ref *from, const struct bt_ref *to,
                                  struct bertc_error *err);
/* Appends what a node needs: a step, or nothing where its result is a view. (plan_node.c) */
enum bertc_status bt_builder_node(struct bt_builder *b, const struct bt_node *node, struct bertc_error *err);

/* In a plan of tokens: makes the padded values that it reads its own, row by row. (plan_tokens.c) */
enum bertc_status bt_tokens_leaves(struct bt_builder *b, struct bertc_error *err);
/* Whether the node, in a plan of tokens, must run once a sequence; and makes its step so. */
bool bt_tokens_is_each(const struct bt_builder *b, const struct bt_node *node);
enum bertc_status bt_tokens_make_each(struct bt_builder *b, const struct bt_node *node, struct bt_step *step,
                                      struct bertc_error *err);
/* Writes a value of tokens or items to the call's output. */
enum bertc_status bt_tokens_output(struct bt_builder *b, bt_value value, const struct bt_ref *output,
                                   struct bertc_error *err);

/* Places the storages and turns the steps' refs into addresses. */
enum bertc_status bt_builder_settle(struct bt_builder *b, struct bertc_error *err);

#endif
