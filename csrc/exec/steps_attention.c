/* steps_attention.c: scaled dot-product attention: operands, blocks of queries, and their threads */
#include <math.h>
#include <string.h>

#include "base/thread.h"
#include "exec/attention.h"
#include "exec/grain.h"
#include "exec/operand.h"
#include "exec/scratch.h"

enum {
    Q = BT_ATTENTION_Q,
    K = BT_ATTENTION_K,
    V = BT_ATTENTION_V,
    OUT = BT_ATTENTION_OUT,
    MASK = BT_ATTENTION_MASK,
    BLOCK_SCORES = 8 << 10, /* of one block: they stay in the first-level cache */
    GEMM_ROWS = 32,         /* without microkernels: the fewest rows a block, each product being slow to start */
};

struct call {
    struct bt_attention attention;
    struct bt_packed packed[3]; /* Q, K, V */
    int64_t units, slices;      /* blocks of all heads, in so many slices */
    int64_t slot, k_panels, v_panels; /* items of a slice's room, and of two parts of it */
    float *room;
};

static int64_t round_up(int64_t value, int64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* Whether the f32 products can read the operand where it lies: queries row by row, the others by panel->pack, or all as
 * bt_gemm_f32 can. */
static bool lies_well(const struct bt_attention *p, int operand, const struct bt_ref *ref)
{
    const int64_t rows = ref->dims[ref->rank - 2], cols = ref->dims[ref->rank - 1];
    const int64_t row = ref->strides[ref->rank - 2], col = ref->strides[ref->rank - 1];
    bool trans;
    int64_t ld;
    if (operand == Q) {
        return (cols <= 1 || col == 1) && (p->kernels->panel || row >= cols);
    }
    return p->kernels->panel || bt_matrix_b_layout(rows, cols, row, col, &trans, &ld);
}

static void plan_operand(const struct bt_step *step, struct bt_cuts *cuts, int operand, struct call *call)
{
    struct bt_attention *p = &call->attention;
    const struct bt_ref *out = &step->outs[0], *ref = operand == OUT ? out : &step->args[operand].ref;
    const int64_t *strides = ref->strides;
    int64_t spread[BT_MAX_RANK];
    if (operand != OUT) {
        bool copy = ref->dtype == BT_F32 && !lies_well(p, operand, ref);
        bt_packed_plan(&call->packed[operand], ref, copy, 2, cuts);
        strides = call->packed[operand].strides;
    }
    p->matrices[operand] = (struct bt_attention_matrix){NULL, strides[ref->rank - 2], strides[ref->rank - 1]};
    bt_iter_broadcast(ref->rank - 2, ref->dims, strides, out->rank - 2, out->dims, spread);
    bt_iter_add(&p->heads, spread);
}

/* The mask spreads over the scores, which have the result's dims but the last. */
static void plan_mask(const struct bt_step *step, struct bt_attention *p)
{
    const int rank = step->outs[0].rank;
    int64_t scores[BT_MAX_RANK], spread[BT_MAX_RANK];
    p->mask = &step->args[3].ref;
    memcpy(scores, step->outs[0].dims, sizeof scores);
    scores[rank - 1] = p->keys;
    bt_iter_broadcast(p->mask->rank, p->mask->dims, p->mask->strides, rank, scores, spread);
    p->matrices[MASK] = (struct bt_attention_matrix){NULL, spread[rank - 2], spread[rank - 1]};
    bt_iter_add(&p->heads, spread);
}

/* Blocks are whole tiles of about equal height, and so many that their scores stay in the cache. */
static void plan_blocks(struct bt_attention *p)
{
    const int64_t tallest = p->kernels->panel ? p->kernels->panel->mr : GEMM_ROWS;
    const int64_t queries = p->queries > 0 ? p->queries : 1, tiles = (queries + tallest - 1) / tallest;
    const int64_t height = (queries + tiles - 1) / tiles;
    int64_t rows = BLOCK_SCORES / (p->keys > 0 ? p->keys : 1);
    rows = rows < BT_ATTENTION_ROWS ? rows : BT_ATTENTION_ROWS;
    p->rows = rows > height ? rows / height * height : height;
    p->blocks = (p->queries + p->rows - 1) / p->rows;
}

static void plan_room(struct bt_cuts *cuts, struct call *call)
{
    const struct bt_attention *p = &call->attention;
    const struct bt_panel_gemm *panel = p->kernels->panel;
    call->k_panels = round_up(panel ? bt_panel_size(panel->nr, p->width, p->keys) : 0, 16);
    call->v_panels = round_up(panel ? bt_panel_size(panel->nr, p->keys, p->value_width) : 0, 16);
    call->slot = call->k_panels + call->v_panels + (p->rows + 1) * p->pitch;
    call->room = bt_cut(cuts, call->slices * call->slot, sizeof *call->room);
}

static void plan(const struct bt_step *step, const struct bt_kernels *kernels, struct bt_cuts *cuts, struct call *call)
{
    const struct bt_ref *out = &step->outs[0], *q = &step->args[Q].ref, *k = &step->args[K].ref;
    const struct bt_step_arg *causal = &step->args[4], *scale = &step->args[5], *nan_rows = &step->args[6];
    struct bt_attention *p = &call->attention;
    memset(call, 0, sizeof *call);
    p->kernels = kernels;
    p->queries = q->dims[q->rank - 2];
    p->width = q->dims[q->rank - 1];
    p->keys = k->dims[k->rank - 2];
    p->value_width = out->dims[out->rank - 1];
    p->causal = causal->kind == BT_ARG_EXPR && causal->scalar.i != 0;
    p->nan_rows = nan_rows->kind == BT_ARG_EXPR && nan_rows->scalar.i != 0;
    p->scale = scale->kind != BT_ARG_EXPR              ? 1.0 / sqrt((double)p->width)
               : scale->scalar.type == BT_SCALAR_FLOAT ? scale->scalar.f
                                                       : (double)scale->scalar.i;
    bt_iter_init(&p->heads, out->rank - 2, out->dims);
    for (int operand = Q; operand <= OUT; operand++) {
        plan_operand(step, cuts, operand, call);
    }
    if (step->args[3].kind == BT_ARG_VALUE) {
        plan_mask(step, p);
    }
    plan_blocks(p);
    p->pitch = round_up(p->keys, kernels->panel ? kernels->panel->nr : 16) + 16; /* mostly no power of two */
    call->units = bt_iter_count(&p->heads) * p->blocks;
    call->slices = bt_slice_count(call->units);
    if (out->dtype == BT_F32) {
        plan_room(cuts, call);
    }
}

/* Room for any sequence of at most so many keys: fewer of them may come in more rows and slices. */
static void plan_any_room(struct bt_cuts *cuts, const struct call *call)
{
    const struct bt_attention *p = &call->attention;
    const int64_t tallest = p->kernels->panel ? p->kernels->panel->mr : GEMM_ROWS;
    const int64_t scores = BLOCK_SCORES > tallest * p->keys ? BLOCK_SCORES : tallest * p->keys;
    const int64_t slot =
        call->k_panels + call->v_panels + scores + p->pitch + BT_ATTENTION_ROWS * (p->pitch - p->keys + 16) + 16;
    bt_cut(cuts, BT_MAX_SLICES, slot * (int64_t)sizeof *call->room);
}

int64_t bt_scratch_sdpa(const struct bt_step *step, const struct bt_kernels *kernels)
{
    struct bt_cuts cuts = {0};
    struct call call;
    plan(step, kernels, &cuts, &call);
    if (step->each && step->outs[0].dtype == BT_F32) {
        plan_any_room(&cuts, &call);
    }
    return cuts.used;
}

/* A range of slices has the room of its first, which stays in the cache. */
static void attend_slices(void *context, int64_t begin, int64_t end)
{
    const struct call *call = context;
    const struct bt_attention *p = &call->attention;
    const int64_t first = bt_slice_begin(begin, call->slices, call->units);
    const int64_t last = bt_slice_begin(end, call->slices, call->units);
    if (call->packed[Q].ref->dtype != BT_F32) {
        bt_attention_f64(p, first, last);
        return;
    }
    struct bt_attention_room room = {.k = call->room + begin * call->slot};
    room.v = room.k + call->k_panels;
    room.bias = room.v + call->v_panels;
    room.scores = room.bias + p->pitch;
    bt_attention_f32(p, first, last, &room);
}

enum bertc_status bt_step_sdpa(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    enum bertc_status status = bt_operand_float(step, 3, err);
    if (status != BERTC_OK) {
        return status;
    }
    struct bt_cuts cuts = bt_cuts_of(step, run);
    struct call call;
    plan(step, run->kernels, &cuts, &call);
    struct bt_attention *p = &call.attention;
    if (call.units == 0 || p->value_width == 0) {
        return BERTC_OK;
    }
    for (int operand = Q; operand <= V; operand++) {
        p->matrices[operand].data = (void *)(uintptr_t)bt_packed_load(&call.packed[operand], run);
    }
    p->matrices[OUT].data = bt_ref_data(run, &step->outs[0]);
    p->matrices[MASK].data = p->mask ? bt_ref_data(run, p->mask) : NULL;
    const int64_t cost = p->rows * p->keys * (p->width + p->value_width + 16) * call.units;
    bt_parallel_for(run->threads, call.slices, bt_grain(cost / call.slices), attend_slices, &call);
    return BERTC_OK;
}
