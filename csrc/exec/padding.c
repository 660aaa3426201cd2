/* padding.c: how many tokens of each sequence of a call are read by anything */
#include "exec/padding.h"

#include "exec/attention.h"
#include "exec/iter.h"
#include "exec/operand.h"

/* A padded value, of which one row after the other is looked at. */
struct table {
    const void *data;
    enum bt_dtype dtype;
    int64_t item, position; /* items from a sequence to the next (0: all have the same), from a position to the next */
    struct bt_iter rows; /* its other dims, of one sequence */
    int queries; /* the dim of `rows` that counts queries, or -1 */
    bool mask;
};

static struct table table_of(const struct bt_tokens *tokens, const struct bt_graph *graph,
                             const struct bt_token_reader *reader, const struct bt_ref *padded,
                             const struct bt_run *run)
{
    const struct bt_value_info *info = &graph->values[reader->value];
    const struct bt_ref *ref = &padded[tokens->slot[reader->value]];
    const bool mask = reader->reading == BT_READ_MASK;
    struct table t = {.data = bt_ref_data(run, ref), .dtype = ref->dtype, .queries = -1, .mask = mask};
    int64_t dims[BT_MAX_RANK];
    for (int d = 0; d < ref->rank; d++) {
        const int32_t symbol = bt_expr_symbol_index(graph->exprs, info->dims[d]);
        const bool batch = symbol == tokens->batch;
        const bool positions = mask ? d == ref->rank - 1 : symbol == tokens->length;
        dims[d] = batch || positions || ref->strides[d] == 0 ? 1 : ref->dims[d];
        t.item = batch ? ref->strides[d] : t.item;
        t.position = positions ? ref->strides[d] : t.position;
        t.queries = !positions && symbol == tokens->length && dims[d] > 1 ? d : t.queries;
    }
    bt_iter_init(&t.rows, ref->rank, dims);
    bt_iter_add(&t.rows, ref->strides);
    return t;
}

/* Whether anything is read at this place: a key that is not masked, a factor that is not 0. */
static bool is_read(const struct table *t, int64_t offset)
{
    switch (t->dtype) {
    case BT_BOOL:
    case BT_U8: return ((const uint8_t *)t->data)[offset] != 0;
    case BT_F32:
    case BT_F64: {
        const double value = bt_operand_real(t->dtype, t->data, offset);
        return t->mask ? !(value <= BT_ATTENTION_MASKED) : value != 0;
    }
    case BT_I64:
    case BT_I32: return bt_operand_index(t->dtype, t->data, offset) != 0;
    default: return true;
    }
}

/* The positions of a row without the last ones, as far as they are not read; not fewer than `known`. */
static int64_t row_count(const struct table *t, int64_t offset, int64_t known, int64_t length)
{
    int64_t count = length;
    while (count > known && !is_read(t, offset + (count - 1) * t->position)) {
        count--;
    }
    return count;
}

static bool row_is_read(const struct table *t, int64_t offset, int64_t length)
{
    int64_t at = 0;
    while (at < length && !is_read(t, offset + at * t->position)) {
        at++;
    }
    return at < length;
}

/* To a query all of whose keys are masked they count alike: padding must be no key of such a query that is a token. */
static int64_t count_item(const struct table *t, int64_t item, int64_t known, int64_t length)
{
    struct bt_iter rows = t->rows;
    const int64_t count = bt_iter_count(&rows);
    int64_t unread = length; /* the first query without a key */
    for (int64_t i = 0; i < count && known < length; i++, bt_iter_next(&rows)) {
        const int64_t offset = item * t->item + rows.offset[0];
        if (t->mask && !row_is_read(t, offset, length)) {
            const int64_t query = t->queries >= 0 ? rows.index[t->queries] : 0;
            unread = query < unread ? query : unread;
        } else {
            known = row_count(t, offset, known, length);
        }
    }
    return unread < known ? length : known;
}

enum bertc_status bt_padding_count(const struct bt_tokens *tokens, const struct bt_graph *graph,
                                   const struct bt_ref *padded, const struct bt_run *run, int64_t items, int64_t length,
                                   int64_t *counts, struct bertc_error *err)
{
    int64_t least = 0;
    for (size_t r = 0; r < tokens->reader_count; r++) {
        int64_t index;
        if (tokens->readers[r].reading == BT_READ_INDEX &&
            bt_expr_is_int(graph->exprs, tokens->readers[r].index, &index)) {
            least = index + 1 > least ? index + 1 : least;
        }
    }
    if (least > length) {
        return bt_error_set(err, BERTC_INPUT, "token %lld is selected, but the sequences have %lld",
                            (long long)least - 1, (long long)length);
    }
    for (int64_t i = 0; i < items; i++) {
        counts[i] = least;
    }
    /* Twice: what one reader adds may be a query without keys to another. */
    for (size_t r = 0; r < 2 * tokens->reader_count; r++) {
        const struct bt_token_reader *reader = &tokens->readers[r % tokens->reader_count];
        if (reader->reading == BT_READ_INDEX) {
            continue;
        }
        const struct table table = table_of(tokens, graph, reader, padded, run);
        for (int64_t i = 0; i < items; i++) {
            counts[i] = count_item(&table, i, counts[i], length);
        }
    }
    for (int64_t i = 0; i < items; i++) {
        counts[i] = counts[i] > 0 ? counts[i] : length;
    }
    return BERTC_OK;
}
