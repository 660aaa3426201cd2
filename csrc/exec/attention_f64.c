/* attention_f64.c: attention in float64, one query after the other in plain loops: such models are rare */
#include <math.h>
#include <string.h>

#include "exec/attention.h"

static double *row_at(const struct bt_attention *p, const struct bt_iter *head, enum bt_attention_operand operand,
                      int64_t row)
{
    return (double *)p->matrices[operand].data + bt_attention_offset(p, head, operand, row);
}

static double score(const struct bt_attention *p, const struct bt_iter *head, int64_t query, int64_t key)
{
    const struct bt_attention_matrix *mask = &p->matrices[BT_ATTENTION_MASK];
    const double *q = row_at(p, head, BT_ATTENTION_Q, query), *k = row_at(p, head, BT_ATTENTION_K, key);
    double sum = 0.0;
    for (int64_t l = 0; l < p->width; l++) {
        sum += q[l * p->matrices[BT_ATTENTION_Q].col] * k[l * p->matrices[BT_ATTENTION_K].col];
    }
    sum *= p->scale;
    if (p->mask) {
        sum += bt_attention_mask_value(p, bt_attention_offset(p, head, BT_ATTENTION_MASK, query) + key * mask->col);
    }
    return sum;
}

/* The output row is the accumulator, for weights relative to the largest score so far. */
static void attend(const struct bt_attention *p, const struct bt_iter *head, int64_t query)
{
    double *out = row_at(p, head, BT_ATTENTION_OUT, query);
    double max = -INFINITY, sum = 0.0;
    memset(out, 0, (size_t)p->value_width * sizeof *out);
    const int64_t keys = bt_attention_visible(p, query, p->keys);
    for (int64_t j = 0; j < keys; j++) {
        const double *v = row_at(p, head, BT_ATTENTION_V, j);
        const double s = score(p, head, query, j);
        if (s == -INFINITY) {
            continue;
        }
        const double shrink = s > max ? exp(max - s) : 1.0;
        max = s > max ? s : max;
        const double weight = exp(s - max);
        sum = sum * shrink + weight;
        for (int64_t l = 0; l < p->value_width; l++) {
            out[l] = out[l] * shrink + weight * v[l * p->matrices[BT_ATTENTION_V].col];
        }
    }
    for (int64_t l = 0; l < p->value_width && (sum != 0.0 || (p->nan_rows && keys > 0)); l++) {
        out[l] /= sum;
    }
}

void bt_attention_f64(const struct bt_attention *p, int64_t begin, int64_t end)
{
    struct bt_iter head = p->heads;
    for (int64_t unit = begin; unit < end; unit++) {
        bt_iter_seek(&head, unit / p->blocks);
        const int64_t first = unit % p->blocks * p->rows;
        for (int64_t i = first; i < first + p->rows && i < p->queries; i++) {
            attend(p, &head, i);
        }
    }
}
