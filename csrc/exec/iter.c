/* iter.c: walk one index space over several strided operands */
#include "exec/iter.h"

#include <assert.h>
#include <string.h>

void bt_iter_init(struct bt_iter *it, int rank, const int64_t *dims)
{
    assert(rank >= 0 && rank <= BT_MAX_RANK);
    memset(it, 0, sizeof *it);
    it->rank = rank;
    for (int d = 0; d < rank; d++) {
        it->dims[d] = dims[d];
    }
}

int bt_iter_add(struct bt_iter *it, const int64_t *strides)
{
    assert(it->operands < BT_ITER_OPERANDS);
    for (int d = 0; d < it->rank; d++) {
        it->strides[it->operands][d] = strides[d];
    }
    return it->operands++;
}

static bool merges(const struct bt_iter *it, int outer, int inner)
{
    for (int o = 0; o < it->operands; o++) {
        if (it->strides[o][outer] != it->strides[o][inner] * it->dims[inner]) {
            return false;
        }
    }
    return true;
}

static void move_dim(struct bt_iter *it, int from, int to)
{
    it->dims[to] = it->dims[from];
    for (int o = 0; o < it->operands; o++) {
        it->strides[o][to] = it->strides[o][from];
    }
}

void bt_iter_merge(struct bt_iter *it)
{
    int kept = 0;
    for (int d = 0; d < it->rank; d++) {
        if (it->dims[d] == 1) {
            continue;
        }
        if (kept > 0 && merges(it, kept - 1, d)) {
            int64_t size = it->dims[kept - 1] * it->dims[d];
            move_dim(it, d, kept - 1);
            it->dims[kept - 1] = size;
        } else {
            move_dim(it, d, kept++);
        }
    }
    it->rank = kept;
    memset(it->index, 0, sizeof it->index);
    memset(it->offset, 0, sizeof it->offset);
}

int64_t bt_iter_take_run(struct bt_iter *it, int64_t *strides)
{
    bt_iter_merge(it);
    int last = it->rank - 1;
    for (int o = 0; o < it->operands; o++) {
        strides[o] = last < 0 ? 1 : it->strides[o][last];
    }
    if (last < 0) {
        return 1;
    }
    it->rank = last;
    return it->dims[last];
}

int64_t bt_iter_count(const struct bt_iter *it)
{
    return bt_numel(it->rank, it->dims);
}

void bt_iter_seek(struct bt_iter *it, int64_t position)
{
    memset(it->index, 0, sizeof it->index);
    memset(it->offset, 0, sizeof it->offset);
    for (int d = it->rank - 1; d >= 0 && position > 0; d--) {
        it->index[d] = position % it->dims[d];
        position /= it->dims[d];
        for (int o = 0; o < it->operands; o++) {
            it->offset[o] += it->index[d] * it->strides[o][d];
        }
    }
}

void bt_iter_next(struct bt_iter *it)
{
    for (int d = it->rank - 1; d >= 0; d--) {
        if (++it->index[d] < it->dims[d]) {
            for (int o = 0; o < it->operands; o++) {
                it->offset[o] += it->strides[o][d];
            }
            return;
        }
        it->index[d] = 0;
        for (int o = 0; o < it->operands; o++) {
            it->offset[o] -= (it->dims[d] - 1) * it->strides[o][d];
        }
    }
}

bool bt_iter_broadcast(int rank, const int64_t *dims, const int64_t *strides, int out_rank, const int64_t *out_dims,
                       int64_t *out_strides)
{
    if (rank > out_rank) {
        return false;
    }
    for (int d = 0; d < out_rank; d++) {
        int own = d - (out_rank - rank);
        if (own < 0 || (dims[own] == 1 && out_dims[d] != 1)) {
            out_strides[d] = 0;
        } else if (dims[own] == out_dims[d]) {
            out_strides[d] = strides[own];
        } else {
            return false;
        }
    }
    return true;
}
