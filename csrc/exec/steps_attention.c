/* steps_attention.c: scaled dot-product attention, by blocks of queries whose scores live in scratch */
#include <math.h>
#include <string.h>

#include "base/thread.h"
#include "exec/grain.h"
#include "exec/iter.h"
#include "exec/matrix.h"
#include "exec/operand.h"
#include "exec/scratch.h"

enum { Q, K, V, MASK };
enum {
    BLOCK_SCORES = 1 << 16, /* of one block: they stay in the second-level cache */
    MIN_ROWS = 32,
    MAX_ROWS = 128,
};

struct attention {
    const struct bt_kernels *kernels;
    struct bt_packed packed[3]; /* Q, K, V */
    const void *data[3];
    void *out;
    int64_t queries, keys, width, value_width;
    int64_t q_ld, k_ld, v_ld;
    bool k_trans, v_trans; /* as bt_gemm_f32's trans_b */
    bool causal;
    bool nan_rows; /* a query without any key gets NaN, as from softmax, instead of 0 */
    double scale;
    const struct bt_ref *mask; /* or NULL */
    const void *mask_data;
    int64_t mask_row, mask_col; /* strides over queries and keys */
    struct bt_iter heads;       /* all dims but the last two; operands Q, K, V, MASK */
    int64_t rows, blocks;       /* queries a block, blocks a head */
    int64_t units, slices;      /* heads * blocks, in so many slices */
    int64_t pitch;              /* items from one row of scores to the next */
    float *scores, *bias;       /* a block and a row for each slice */
};

static int64_t at_most(int64_t value, int64_t limit)
{
    return value < limit ? value : limit;
}

static void plan_heads(const struct bt_step *step, struct attention *p)
{
    const struct bt_ref *out = &step->outs[0];
    int batch = out->rank - 2;
    int64_t strides[BT_MAX_RANK], scores[BT_MAX_RANK];
    bt_iter_init(&p->heads, batch, out->dims);
    for (int i = Q; i <= V; i++) {
        const struct bt_ref *ref = &step->args[i].ref;
        bt_iter_broadcast(ref->rank - 2, ref->dims, p->packed[i].strides, batch, out->dims, strides);
        bt_iter_add(&p->heads, strides);
    }
    if (step->args[3].kind != BT_ARG_VALUE) {
        return;
    }
    p->mask = &step->args[3].ref;
    memcpy(scores, out->dims, sizeof scores);
    scores[batch + 1] = p->keys;
    bt_iter_broadcast(p->mask->rank, p->mask->dims, p->mask->strides, out->rank, scores, strides);
    bt_iter_add(&p->heads, strides);
    p->mask_row = strides[batch];
    p->mask_col = strides[batch + 1];
}

static void plan_operands(const struct bt_step *step, struct bt_cuts *cuts, struct attention *p)
{
    const struct bt_ref *q = &step->args[Q].ref, *k = &step->args[K].ref, *v = &step->args[V].ref;
    int row = q->rank - 2, col = q->rank - 1;
    p->queries = q->dims[row];
    p->width = q->dims[col];
    p->q_ld = bt_matrix_ld(p->queries, p->width, q->strides[row], q->strides[col]);
    bt_packed_plan(&p->packed[Q], q, p->q_ld == 0, 2, cuts);
    if (p->q_ld == 0) {
        p->q_ld = p->width;
    }

    row = k->rank - 2;
    col = k->rank - 1;
    p->keys = k->dims[row];
    bool fits = bt_matrix_b_layout(p->width, p->keys, k->strides[col], k->strides[row], &p->k_trans, &p->k_ld);
    bt_packed_plan(&p->packed[K], k, !fits, 2, cuts);
    if (!fits) {
        bt_matrix_b_layout(p->width, p->keys, 1, p->width, &p->k_trans, &p->k_ld);
    }

    row = v->rank - 2;
    col = v->rank - 1;
    p->value_width = v->dims[col];
    fits = bt_matrix_b_layout(p->keys, p->value_width, v->strides[row], v->strides[col], &p->v_trans, &p->v_ld);
    bt_packed_plan(&p->packed[V], v, !fits, 2, cuts);
    if (!fits) {
        bt_matrix_b_layout(p->keys, p->value_width, p->value_width, 1, &p->v_trans, &p->v_ld);
    }
}

static void attention_plan(const struct bt_step *step, struct bt_cuts *cuts, struct attention *p)
{
    memset(p, 0, sizeof *p);
    plan_operands(step, cuts, p);
    plan_heads(step, p);
    p->causal = step->args[4].kind == BT_ARG_EXPR && step->args[4].scalar.i != 0;
    p->nan_rows = step->args[6].kind == BT_ARG_EXPR && step->args[6].scalar.i != 0;
    const struct bt_step_arg *scale = &step->args[5];
    if (scale->kind == BT_ARG_EXPR) {
        p->scale = scale->scalar.type == BT_SCALAR_FLOAT ? scale->scalar.f : (double)scale->scalar.i;
    } else {
        p->scale = 1.0 / sqrt((double)p->width);
    }

    p->rows = p->keys > 0 ? BLOCK_SCORES / p->keys / MIN_ROWS * MIN_ROWS : MAX_ROWS;
    p->rows = at_most(p->rows < MIN_ROWS ? MIN_ROWS : p->rows, MAX_ROWS);
    p->rows = at_most(p->rows, p->queries > 0 ? p->queries : 1);
    p->blocks = (p->queries + p->rows - 1) / p->rows;
    p->units = bt_iter_count(&p->heads) * p->blocks;
    p->slices = bt_slice_count(p->units);
    p->pitch = (p->keys / 16 + 1) * 16;
    p->scores = bt_cut(cuts, p->slices * p->rows * p->pitch, sizeof *p->scores);
    p->bias = bt_cut(cuts, p->mask ? p->slices * p->pitch : 0, sizeof *p->bias);
}

int64_t bt_scratch_sdpa(const struct bt_step *step, const struct bt_kernels *kernels)
{
    (void)kernels;
    struct bt_cuts cuts = {0};
    struct attention p;
    attention_plan(step, &cuts, &p);
    return cuts.used;
}

/* The row of the mask that was last made ready: often it is the same for all queries of a batch item. */
struct bias {
    int64_t offset, keys; /* which; keys < 0 = none yet */
    const float *row;     /* NULL: nothing is added */
    bool dead;            /* no key is left */
};

/* What the mask adds to a score: a bool mask says which keys to keep. */
static double mask_value(const struct attention *p, int64_t offset)
{
    if (p->mask->dtype == BT_BOOL) {
        return ((const uint8_t *)p->mask_data)[offset] ? 0.0 : -INFINITY;
    }
    return bt_operand_real(p->mask->dtype, p->mask_data, offset);
}

static void load_bias(const struct attention *p, int64_t offset, int64_t keys, float *room, struct bias *bias)
{
    if (bias->keys == keys && bias->offset == offset) {
        return;
    }
    *bias = (struct bias){offset, keys, room, false};
    if (p->mask->dtype == BT_F32 && p->mask_col == 1) {
        bias->row = (const float *)p->mask_data + offset;
    } else {
        for (int64_t j = 0; j < keys; j++) {
            room[j] = (float)mask_value(p, offset + j * p->mask_col);
        }
    }
    bias->dead = keys == 0 || p->kernels->max_f32(bias->row, (size_t)keys) == -INFINITY;
    if (p->mask->dtype == BT_BOOL && !bias->dead && p->kernels->sum_f32(bias->row, (size_t)keys) == 0.0f) {
        bias->row = NULL;
    }
}

/* Scores of `count` queries from `first` on become probabilities. A query without any key attends to nothing, or gets
 * NaN. */
static void softmax_block(const struct attention *p, int64_t mask_offset, int64_t first, int64_t count, int64_t used,
                          float *scores, float *room)
{
    struct bias bias = {0, -1, NULL, false};
    for (int64_t i = 0; i < count; i++) {
        float *row = scores + i * p->pitch;
        int64_t keys = p->causal ? at_most(first + i + 1, used) : used;
        if (p->mask) {
            load_bias(p, mask_offset + (first + i) * p->mask_row, keys, room, &bias);
        }
        if (bias.dead && !p->nan_rows) {
            memset(row, 0, (size_t)keys * sizeof *row);
        } else {
            p->kernels->softmax_f32(row, bias.row, (float)p->scale, row, (size_t)keys);
        }
        memset(row + keys, 0, (size_t)(used - keys) * sizeof *row);
    }
}

static void attend_f32(const struct attention *p, const struct bt_iter *head, int64_t number, int64_t first,
                       int64_t count, int64_t slice)
{
    float *scores = p->scores + slice * p->rows * p->pitch;
    const float *q = (const float *)p->data[Q] + head->offset[Q] + first * p->q_ld;
    int64_t used = p->causal ? at_most(first + count, p->keys) : p->keys;
    bt_gemm_f32(p->k_trans, count, used, p->width, q, p->q_ld, (const float *)p->data[K] + head->offset[K], p->k_ld,
                0.0f, scores, p->pitch);
    softmax_block(p, head->offset[MASK], first, count, used, scores, p->bias + slice * p->pitch);
    bt_gemm_f32(p->v_trans, count, p->value_width, used, scores, p->pitch, (const float *)p->data[V] + head->offset[V],
                p->v_ld, 0.0f, (float *)p->out + (number * p->queries + first) * p->value_width, p->value_width);
}

/* One query after the other in plain loops, with the output row as accumulator: such models are rare. */
static void attend_f64(const struct attention *p, const struct bt_iter *head, int64_t number, int64_t first,
                       int64_t count)
{
    int64_t k_row = p->k_trans ? p->k_ld : 1, k_col = p->k_trans ? 1 : p->k_ld;
    int64_t v_row = p->v_trans ? 1 : p->v_ld, v_col = p->v_trans ? p->v_ld : 1;
    for (int64_t i = first; i < first + count; i++) {
        const double *q = (const double *)p->data[Q] + head->offset[Q] + i * p->q_ld;
        double *out = (double *)p->out + (number * p->queries + i) * p->value_width;
        memset(out, 0, (size_t)p->value_width * sizeof *out);
        double max = -INFINITY, sum = 0.0;
        int64_t keys = p->causal ? at_most(i + 1, p->keys) : p->keys;
        for (int64_t j = 0; j < keys; j++) {
            const double *k = (const double *)p->data[K] + head->offset[K] + j * k_row;
            const double *v = (const double *)p->data[V] + head->offset[V] + j * v_row;
            double score = 0.0;
            for (int64_t l = 0; l < p->width; l++) {
                score += q[l] * k[l * k_col];
            }
            score *= p->scale;
            if (p->mask) {
                score += mask_value(p, head->offset[MASK] + i * p->mask_row + j * p->mask_col);
            }
            if (score == -INFINITY) {
                continue;
            }
            double shrink = score > max ? exp(max - score) : 1.0;
            max = score > max ? score : max;
            double weight = exp(score - max);
            sum = sum * shrink + weight;
            for (int64_t l = 0; l < p->value_width; l++) {
                out[l] = out[l] * shrink + weight * v[l * v_col];
            }
        }
        for (int64_t l = 0; l < p->value_width && (sum != 0.0 || (p->nan_rows && keys > 0)); l++) {
            out[l] /= sum;
        }
    }
}

static void attend_slices(void *context, int64_t begin, int64_t end)
{
    const struct attention *p = context;
    bool is_f32 = p->packed[Q].ref->dtype == BT_F32;
    struct bt_iter head = p->heads;
    for (int64_t slice = begin; slice < end; slice++) {
        int64_t unit = bt_slice_begin(slice, p->slices, p->units);
        int64_t last = bt_slice_begin(slice + 1, p->slices, p->units);
        for (; unit < last; unit++) {
            int64_t number = unit / p->blocks, first = unit % p->blocks * p->rows;
            int64_t count = at_most(p->rows, p->queries - first);
            bt_iter_seek(&head, number);
            if (is_f32) {
                attend_f32(p, &head, number, first, count, slice);
            } else {
                attend_f64(p, &head, number, first, count);
            }
        }
    }
}

enum bertc_status bt_step_sdpa(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    enum bertc_status status = bt_operand_float(step, 3, err);
    if (status != BERTC_OK) {
        return status;
    }
    struct bt_cuts cuts = bt_cuts_of(step, run);
    struct attention p;
    attention_plan(step, &cuts, &p);
    p.kernels = run->kernels;
    for (int i = Q; i <= V; i++) {
        p.data[i] = bt_packed_load(&p.packed[i], run);
    }
    p.mask_data = p.mask ? bt_ref_data(run, p.mask) : NULL;
    p.out = bt_ref_data(run, &step->outs[0]);
    int64_t cost = p.rows * p.keys * (p.width + p.value_width + 16) * p.units;
    if (p.units > 0 && p.value_width > 0) {
        bt_parallel_for(run->threads, p.slices, bt_grain(cost / p.slices), attend_slices, &p);
    }
    return BERTC_OK;
}
