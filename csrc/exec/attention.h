/* attention.h: what the parts of scaled dot-product attention know of one call */
#ifndef BT_EXEC_ATTENTION_H
#define BT_EXEC_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "exec/iter.h"
#include "exec/matrix.h"
#include "exec/step.h"

enum bt_attention_operand {
    BT_ATTENTION_Q,
    BT_ATTENTION_K,
    BT_ATTENTION_V,
    BT_ATTENTION_OUT,
    BT_ATTENTION_MASK,
    BT_ATTENTION_OPERANDS
};
enum { BT_ATTENTION_ROWS = 128 }; /* the most queries of a block */

/* A mask that adds this little makes a key's weight an exact 0 beside any key that is not masked: the exponential
 * underflows at -104, and scores do not differ by thousands. Models of before 2021 mask with -10000. */
#define BT_ATTENTION_MASKED (-9000.0f)

/* The last two dims of an operand. */
struct bt_attention_matrix {
    void *data;
    int64_t row, col; /* strides */
};

struct bt_attention {
    const struct bt_kernels *kernels;
    struct bt_attention_matrix matrices[BT_ATTENTION_OPERANDS]; /* of the first head */
    struct bt_iter heads; /* all dims but the last two, over the same operands */
    int64_t queries, keys, width, value_width;
    const struct bt_ref *mask; /* or NULL */
    bool causal;
    bool nan_rows; /* a query without any key gets NaN, as from softmax, instead of 0 */
    double scale;
    int64_t rows, blocks; /* queries a block, blocks a head; each block is a unit of work */
    int64_t pitch; /* items from one row of scores to the next */
};

/* Where one thread works on a range of units, in float32. */
struct bt_attention_room {
    float *scores; /* rows of pitch items */
    float *bias; /* pitch items */
    float *k, *v; /* a head's, in panels; unused without */
};

/* A row of the mask as what is added to the scores. */
struct bt_attention_bias {
    int64_t offset; /* of the row in the mask; -1: none was loaded */
    const float *row; /* NULL: nothing is added */
    int64_t keys; /* without the last ones, as far as they are masked for every query of the head */
};

/* Makes the row at this offset ready, unless it is the one loaded before; `room` has space for a row of keys. */
void bt_attention_bias_load(const struct bt_attention *p, int64_t offset, float *room, struct bt_attention_bias *bias);

/* The units [begin, end), counted from the first head's first block. */
void bt_attention_f32(const struct bt_attention *p, int64_t begin, int64_t end, const struct bt_attention_room *room);
void bt_attention_f64(const struct bt_attention *p, int64_t begin, int64_t end);

/* How many of the keys a query may look at. */
static inline int64_t bt_attention_visible(const struct bt_attention *p, int64_t query, int64_t keys)
{
    return p->causal && query + 1 < keys ? query + 1 : keys;
}

/* The item or row at this index of the present head's matrix, counted in items from the operand's first. */
static inline int64_t bt_attention_offset(const struct bt_attention *p, const struct bt_iter *head,
                                          enum bt_attention_operand operand, int64_t row)
{
    return head->offset[operand] + row * p->matrices[operand].row;
}

/* What the mask adds to a score: a bool mask says which keys to keep. */
double bt_attention_mask_value(const struct bt_attention *p, int64_t offset);

#endif
