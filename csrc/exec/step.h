/* step.h: what a plan is made of: a function, and its operands with concrete shapes and places */
#ifndef BT_EXEC_STEP_H
#define BT_EXEC_STEP_H

#include "base/error.h"
#include "base/tensor.h"
#include "graph/graph.h"
#include "kernel/kernels.h"

enum bt_space { BT_SPACE_CONSTANT, BT_SPACE_WORK, BT_SPACE_INPUT, BT_SPACE_OUTPUT, BT_SPACE_PADDED };

/* A tensor operand. Its address is only known in a run: bt_ref_data. Storage dtype (never f16 or bf16). */
struct bt_ref {
    enum bt_space space;
    enum bt_dtype dtype;
    int rank;
    int64_t dims[BT_MAX_RANK];
    int64_t strides[BT_MAX_RANK]; /* elements; 0 in expanded dims */
    int32_t slot;                 /* INPUT, OUTPUT: which one; PADDED: of run->batch->padded */
    int64_t offset;               /* bytes from the start of the space (or slot) */
    const void *data;             /* CONSTANT */
};

/* One argument, at the same index as in bt_node.args, with every expression evaluated. */
struct bt_step_arg {
    enum bt_arg_kind kind;
    enum bt_dtype dtype;
    enum bt_activation activation;
    struct bt_ref ref;        /* VALUE */
    struct bt_scalar scalar;  /* EXPR */
    struct bt_ref *refs;      /* VALUES; rank < 0 marks None */
    int64_t *ints;            /* EXPRS */
    int32_t count;
    double quant_scale;       /* VALUE that is a quantized constant: real = (stored - zero point) * scale */
    int64_t quant_zero_point;
};

/* How an operand of a step that runs once a sequence is narrowed to the sequence (steps_each.c). */
enum bt_by { BT_BY_NOTHING, BT_BY_START, BT_BY_NUMBER, BT_BY_ITEM, BT_BY_ROW };

struct bt_window {
    enum bt_by by;   /* which of the sequence's numbers says where it begins, ... */
    uint8_t along;   /* ... counted along this dim */
    uint8_t single;  /* bits of the dims of which it has one */
    uint8_t counted; /* bits of the dims of which it has as many as tokens */
};

struct bt_panels;
struct bt_profile;
struct bt_run; /* the state of one run: bases, error, threads */
struct bt_step;

typedef enum bertc_status bt_step_fn(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err);

struct bt_step {
    bt_step_fn *fn;
    enum bt_op op;
    enum bt_dtype common; /* pointwise: what the operands are promoted to */
    int nargs;
    struct bt_step_arg *args;
    int nouts;
    struct bt_ref outs[BT_MAX_OUTS]; /* own storage is dense; overlaps an operand only as place.c says */
    struct bt_ref scratch;           /* rank 1, u8: step-private workspace of scratch_size bytes per run (0 = none) */
    int64_t scratch_size;
    bt_step_fn *each;            /* of bt_step_each: what runs once a sequence, on the operands narrowed by ... */
    const struct bt_window *windows; /* ... these: of the arguments, then of the results */
    struct bt_panels *panels;   /* LINEAR: the weight for kernels->panel, or NULL */
    const struct bt_node *node; /* NULL for the plan's own copies */
    const char *input;          /* name of the input argument an index operand comes from, or NULL */
};

/* A sequence of a part: its tokens follow those of the one before. */
struct bt_sequence {
    int64_t item;         /* in the call's batch */
    int64_t start, count; /* tokens of the part */
    int64_t row;          /* of the call's outputs by token, where its first goes */
};

/* What a part of real tokens has of its call. */
struct bt_ragged {
    const struct bt_sequence *sequences;
    int64_t sequence_count;
    const struct bt_ref *padded;     /* values of the padded part, ... */
    const struct bt_run *padded_run; /* ... which ran here */
};

struct bt_run {
    char *work;
    const void *const *inputs;
    void *const *outputs;
    const struct bt_kernels *kernels;
    struct bt_profile *profile; /* where steps note their time, or NULL */
    int sharers;                /* with it: threads that run parts of the call at the same time; 0 is 1 */
    int64_t first_item; /* of the call's batch that this run has, for messages */
    int threads;
    const struct bt_ragged *ragged; /* of a plan of tokens; else NULL */
};

/* The operand's address in this run. */
static inline void *bt_ref_data(const struct bt_run *run, const struct bt_ref *ref)
{
    switch (ref->space) {
    case BT_SPACE_CONSTANT: return (char *)(uintptr_t)ref->data + ref->offset;
    case BT_SPACE_WORK: return run->work + ref->offset;
    case BT_SPACE_INPUT: return (char *)(uintptr_t)run->inputs[ref->slot] + ref->offset;
    case BT_SPACE_OUTPUT: return (char *)run->outputs[ref->slot] + ref->offset;
    case BT_SPACE_PADDED: break; /* narrowed before it is read */
    }
    return NULL;
}

/* Bytes of private workspace a step needs; called once by the plan with args and outs filled in. */
typedef int64_t bt_step_scratch_fn(const struct bt_step *step, const struct bt_kernels *kernels);

/* One per `step` name in ops.inc: bt_step_pointwise, bt_step_reduce, ... (declared from the list) */
#define BT_OP(id, name, args, infer, step) extern bt_step_fn bt_step_##step;
#include "graph/ops.inc"
#undef BT_OP
/* The step function of each op. (plan_node.c) */
extern bt_step_fn *const bt_step_fns[BT_OP_COUNT];
/* Private workspace by step name; most need none. (scratch.c) */
int64_t bt_step_scratch(const struct bt_step *step, const struct bt_kernels *kernels);
/* Copies args[0].ref into outs[0], any strides and dtypes: materialised views and outputs. */
bt_step_fn bt_step_copy;
enum { BT_EACH_ARGS = 8 }; /* the most that such a step has */
/* Makes *one what bt_step_each runs of a step for a sequence of the part; `args` are to be its arguments. */
void bt_step_narrow(const struct bt_step *step, const struct bt_run *run, int64_t number, struct bt_step_arg *args,
                    struct bt_step *one);
/* Runs step->each once a sequence of the part. */
bt_step_fn bt_step_each;

#endif
