/* attention_mask.c: rows of an attention mask, as what they add to scores */
#include <math.h>

#include "exec/attention.h"
#include "exec/operand.h"

double bt_attention_mask_value(const struct bt_attention *p, int64_t offset)
{
    const void *data = p->matrices[BT_ATTENTION_MASK].data;
    if (p->mask->dtype == BT_BOOL) {
        return ((const uint8_t *)data)[offset] ? 0.0 : -INFINITY;
    }
    return bt_operand_real(p->mask->dtype, data, offset);
}

static const float *load_row(const struct bt_attention *p, int64_t offset, float *room)
{
    const struct bt_attention_matrix *mask = &p->matrices[BT_ATTENTION_MASK];
    if (p->mask->dtype == BT_F32 && mask->col == 1) {
        return (const float *)mask->data + offset;
    }
    if (p->mask->dtype == BT_BOOL && mask->col == 1) {
        const uint8_t *keep = (const uint8_t *)mask->data + offset;
        for (int64_t j = 0; j < p->keys; j++) {
            room[j] = keep[j] ? 0.0f : -INFINITY;
        }
        return room;
    }
    for (int64_t j = 0; j < p->keys; j++) {
        room[j] = (float)bt_attention_mask_value(p, offset + j * mask->col);
    }
    return room;
}

/* Where no key is kept at all, all count alike. */
static int64_t kept_keys(const float *row, int64_t keys)
{
    int64_t kept = keys;
    while (kept > 0 && row[kept - 1] <= BT_ATTENTION_MASKED) {
        kept--;
    }
    return kept > 0 ? kept : keys;
}

void bt_attention_bias_load(const struct bt_attention *p, int64_t offset, float *room, struct bt_attention_bias *bias)
{
    if (bias->offset == offset) {
        return;
    }
    *bias = (struct bt_attention_bias){offset, load_row(p, offset, room), p->keys};
    if (p->matrices[BT_ATTENTION_MASK].row != 0 && p->queries > 1) {
        return;
    }
    bias->keys = kept_keys(bias->row, p->keys);
    bool adds = false;
    for (int64_t j = 0; j < bias->keys && !adds; j++) {
        adds = bias->row[j] != 0.0f;
    }
    if (!adds) {
        bias->row = NULL;
    }
}
