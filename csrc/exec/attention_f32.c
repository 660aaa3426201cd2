/* attention_f32.c: blocks of queries in float32, whose scores stay in the cache from product to product
 * With microkernels a head's keys and values are packed once for all its blocks. A result does not depend on the split
 * into blocks, nor on keys that are masked behind the last one that is not: sums over keys go through them in order,
 * and a masked key adds an exact 0. */
#include <math.h>
#include <string.h>

#include "exec/attention.h"

struct worker {
    const struct bt_attention *p;
    struct bt_attention_room room;
    struct bt_iter head;
    struct bt_attention_bias bias;
    int64_t keys;                 /* of this head, that are not all masked */
    int64_t packed_k, packed_v;   /* offset of what lies in the room; -1: nothing */
    int64_t packed_keys;
};

static float *row_at(const struct worker *w, enum bt_attention_operand operand, int64_t row)
{
    return (float *)w->p->matrices[operand].data + bt_attention_offset(w->p, &w->head, operand, row);
}

static void pack_head(struct worker *w)
{
    const struct bt_attention *p = w->p;
    const struct bt_panel_gemm *panel = p->kernels->panel;
    const struct bt_attention_matrix *k = &p->matrices[BT_ATTENTION_K], *v = &p->matrices[BT_ATTENTION_V];
    const bool same_keys = w->packed_keys == w->keys;
    if (!same_keys || w->packed_k != w->head.offset[BT_ATTENTION_K]) {
        const int64_t size = bt_panel_size(panel->nr, p->width, w->keys);
        panel->pack(p->width, w->keys, row_at(w, BT_ATTENTION_K, 0), k->col, k->row, w->room.k);
        p->kernels->muls_f32(w->room.k, (float)p->scale, w->room.k, (size_t)size);
    }
    if (!same_keys || w->packed_v != w->head.offset[BT_ATTENTION_V]) {
        panel->pack(w->keys, p->value_width, row_at(w, BT_ATTENTION_V, 0), v->row, v->col, w->room.v);
    }
    w->packed_k = w->head.offset[BT_ATTENTION_K];
    w->packed_v = w->head.offset[BT_ATTENTION_V];
    w->packed_keys = w->keys;
}

static void load_head(struct worker *w, int64_t number)
{
    const struct bt_attention *p = w->p;
    bt_iter_seek(&w->head, number);
    w->keys = p->keys;
    if (p->mask) {
        bt_attention_bias_load(p, bt_attention_offset(p, &w->head, BT_ATTENTION_MASK, 0), w->room.bias, &w->bias);
        w->keys = w->bias.keys;
    }
    if (p->kernels->panel) {
        pack_head(w);
    }
}

/* scores = scale q k^T. With panels, whose keys are scaled, also of the keys that fill up the last one. */
static void multiply_keys(const struct worker *w, int64_t first, int64_t count, int64_t keys)
{
    const struct bt_attention *p = w->p;
    const struct bt_panel_gemm *panel = p->kernels->panel;
    const struct bt_attention_matrix *k = &p->matrices[BT_ATTENTION_K];
    const float *q = row_at(w, BT_ATTENTION_Q, first);
    const int64_t ldq = p->matrices[BT_ATTENTION_Q].row;
    if (panel) {
        panel->run(&(struct bt_panel_args){.M = count,
                                           .N = (keys + panel->nr - 1) / panel->nr * panel->nr,
                                           .K = p->width,
                                           .A = q,
                                           .lda = ldq,
                                           .B = w->room.k,
                                           .C = w->room.scores,
                                           .ldc = p->pitch});
        return;
    }
    bool trans;
    int64_t ldb;
    bt_matrix_b_layout(p->width, p->keys, k->col, k->row, &trans, &ldb);
    bt_gemm_f32(trans, count, keys, p->width, q, ldq, row_at(w, BT_ATTENTION_K, 0), ldb, 0.0f, w->room.scores,
                p->pitch);
    for (int64_t i = 0; i < count; i++) {
        float *scores = w->room.scores + i * p->pitch;
        p->kernels->muls_f32(scores, (float)p->scale, scores, (size_t)keys);
    }
}

/* out = scores v, panel by panel: those of v may have more keys than the scores. */
static void multiply_values(const struct worker *w, int64_t first, int64_t count, int64_t keys)
{
    const struct bt_attention *p = w->p;
    const struct bt_panel_gemm *panel = p->kernels->panel;
    const struct bt_attention_matrix *v = &p->matrices[BT_ATTENTION_V];
    const int64_t ldc = p->matrices[BT_ATTENTION_OUT].row;
    float *out = row_at(w, BT_ATTENTION_OUT, first);
    if (!panel) {
        bool trans;
        int64_t ldb;
        bt_matrix_b_layout(p->keys, p->value_width, v->row, v->col, &trans, &ldb);
        bt_gemm_f32(trans, count, p->value_width, keys, w->room.scores, p->pitch, row_at(w, BT_ATTENTION_V, 0), ldb,
                    0.0f, out, ldc);
        return;
    }
    for (int64_t n = 0; n < p->value_width; n += panel->nr) {
        panel->run(&(struct bt_panel_args){.M = count,
                                           .N = p->value_width - n < panel->nr ? p->value_width - n : panel->nr,
                                           .K = keys,
                                           .A = w->room.scores,
                                           .lda = p->pitch,
                                           .B = w->room.v + n * w->packed_keys,
                                           .C = out + n,
                                           .ldc = ldc});
    }
}

static bool all_masked(const float *bias, int64_t keys)
{
    for (int64_t j = 0; bias && j < keys; j++) {
        if (bias[j] != -INFINITY) {
            return false;
        }
    }
    return bias != NULL;
}

/* The scores of queries that see the same keys, under the same mask, become weights up to the factors in `shares`.
 * Without any key a query attends to nothing, or gets NaN. */
static void weigh_keys(struct worker *w, int64_t first, int64_t count, int64_t used, float *scores, float *shares)
{
    const struct bt_attention *p = w->p;
    const int64_t keys = bt_attention_visible(p, first, used);
    double sums[BT_ATTENTION_ROWS];
    if (p->mask) {
        int64_t offset = bt_attention_offset(p, &w->head, BT_ATTENTION_MASK, first);
        bt_attention_bias_load(p, offset, w->room.bias, &w->bias);
    }
    p->kernels->exp_sums_f32(scores, (size_t)p->pitch, (size_t)count, w->bias.row, sums, (size_t)keys);
    for (int64_t i = 0; i < count; i++, scores += p->pitch) {
        const bool none = keys == 0 || (isnan(sums[i]) && !p->nan_rows && all_masked(w->bias.row, keys));
        const int64_t kept = none ? 0 : keys;
        memset(scores + kept, 0, (size_t)(used - kept) * sizeof *scores);
        shares[i] = none ? 0.0f : (float)(1.0 / sums[i]);
    }
}

static void attend(struct worker *w, int64_t first, int64_t count)
{
    const struct bt_attention *p = w->p;
    const int64_t keys = bt_attention_visible(p, first + count - 1, w->keys);
    const int64_t alike = p->causal || p->matrices[BT_ATTENTION_MASK].row != 0 ? 1 : count;
    float shares[BT_ATTENTION_ROWS];
    multiply_keys(w, first, count, keys);
    for (int64_t i = 0; i < count; i += alike) {
        weigh_keys(w, first + i, alike, keys, w->room.scores + i * p->pitch, shares + i);
    }
    multiply_values(w, first, count, keys);
    for (int64_t i = 0; i < count; i++) {
        float *out = row_at(w, BT_ATTENTION_OUT, first + i);
        p->kernels->muls_f32(out, shares[i], out, (size_t)p->value_width);
    }
}

void bt_attention_f32(const struct bt_attention *p, int64_t begin, int64_t end, const struct bt_attention_room *room)
{
    struct worker w = {.p = p, .room = *room, .head = p->heads, .bias = {.offset = -1}, .packed_keys = -1};
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t block = unit % p->blocks, first = block * p->rows;
        if (unit == begin || block == 0) {
            load_head(&w, unit / p->blocks);
        }
        attend(&w, first, p->queries - first < p->rows ? p->queries - first : p->rows);
    }
}
