/* test_steps_move.c: lookups, indexing, movement and creation, each step alone, against plain formulas */
#include "step_check.h"

enum { ROUNDS = 60 };

static enum bt_dtype random_storage(void)
{
    static const enum bt_dtype dtypes[] = {BT_F32, BT_F64, BT_I64, BT_I32, BT_I16, BT_I8, BT_U8, BT_BOOL};
    return dtypes[random_below(8)];
}

static int random_dims(int lowest, int highest, int64_t *dims)
{
    int rank = lowest + (int)random_below(highest - lowest + 1);
    for (int d = 0; d < rank; d++) {
        dims[d] = random_below(20) ? 1 + random_below(5) : 0;
    }
    return rank;
}

/* A random tensor of any dtype, whose bools are 0 or 1. */
static struct bt_ref random_items(enum bt_dtype dtype, int rank, const int64_t *dims)
{
    return tensor_random(dtype, rank, dims, dtype == BT_BOOL ? 2 : 100);
}

static struct bt_ref random_indices(int rank, const int64_t *dims, int64_t size)
{
    return tensor_random(random_below(2) ? BT_I64 : BT_I32, rank, dims, size);
}

static double expect_embedding(const struct bt_step *step, const int64_t *index)
{
    int rank = step->args[1].ref.rank;
    return item_at(&step->args[0].ref, 2, (int64_t[]){(int64_t)item_at(&step->args[1].ref, rank, index), index[rank]});
}

static void test_embedding(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        enum bt_dtype dtype = random_storage();
        int64_t dims[BT_MAX_RANK], table[2] = {1 + random_below(9), random_below(9)};
        int rank = random_dims(0, 3, dims);
        struct bt_step_arg args[2] = {arg_tensor(random_items(dtype, 2, table)),
                                      arg_tensor(random_indices(rank, dims, table[0]))};
        dims[rank] = table[1];
        CHECK(step_agrees(BT_OP_EMBEDDING, args, 2, dtype, rank + 1, dims, 0.0, expect_embedding));
    }
    struct bertc_error err = {0};
    struct bt_step step;
    int64_t table[2] = {30522, 2}, dims[3] = {1, 4, 2};
    struct bt_step_arg args[2] = {arg_tensor(tensor_plain(BT_F32, 2, table)),
                                  arg_tensor(tensor_plain(BT_I64, 2, dims))};
    memset((void *)(uintptr_t)args[0].ref.data, 0, 30522 * 2 * sizeof(float));
    memcpy((void *)(uintptr_t)args[1].ref.data, (int64_t[]){0, 1, 2, 30523}, 4 * sizeof(int64_t));
    CHECK_REFUSAL(step_run(&step, BT_OP_EMBEDDING, args, 2, BT_F32, 3, dims, 1, &err), &err, BERTC_INPUT,
                  "ids[0, 3] = 30523 is outside the embedding table of 30522 rows");
    memcpy((void *)(uintptr_t)args[1].ref.data, (int64_t[]){0, -1, 2, 3}, 4 * sizeof(int64_t));
    CHECK_REFUSAL(step_run(&step, BT_OP_EMBEDDING, args, 2, BT_F32, 3, dims, 1, &err), &err, BERTC_INPUT,
                  "ids[0, 1] = -1 is outside");
    args[1].ref.dtype = BT_F32;
    CHECK_REFUSAL(step_run(&step, BT_OP_EMBEDDING, args, 2, BT_F32, 3, dims, 1, &err), &err, BERTC_UNSUPPORTED,
                  "an index of dtype float32");
    free_buffers();
}

static double expect_gather(const struct bt_step *step, const int64_t *index)
{
    int rank = step->args[2].ref.rank;
    int64_t at[BT_MAX_RANK];
    memcpy(at, index, sizeof at);
    at[step->args[1].scalar.i] = (int64_t)item_at(&step->args[2].ref, rank, index);
    return item_at(&step->args[0].ref, rank, at);
}

static void test_gather(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        enum bt_dtype dtype = random_storage();
        int64_t dims[BT_MAX_RANK], index_dims[BT_MAX_RANK];
        int rank = random_dims(0, 4, dims), dim = (int)random_below(rank);
        for (int d = 0; d < rank; d++) {
            index_dims[d] = d == dim ? random_below(7) : random_below(dims[d] + 1);
        }
        if (rank > 0 && dims[dim] == 0) {
            continue;
        }
        struct bt_step_arg args[3] = {arg_tensor(random_items(dtype, rank, dims)), arg_int(dim),
                                      arg_tensor(random_indices(rank, index_dims, rank ? dims[dim] : 1))};
        CHECK(step_agrees(BT_OP_GATHER, args, 3, dtype, rank, index_dims, 0.0, expect_gather));
    }
    struct bertc_error err = {0};
    struct bt_step step;
    int64_t dims[2] = {2, 3};
    struct bt_step_arg args[3] = {arg_tensor(random_items(BT_F32, 2, dims)), arg_int(1),
                                  arg_tensor(tensor_plain(BT_I32, 2, dims))};
    memcpy((void *)(uintptr_t)args[2].ref.data, (int32_t[]){0, 1, 2, 0, 3, 0}, 6 * sizeof(int32_t));
    CHECK_REFUSAL(step_run(&step, BT_OP_GATHER, args, 3, BT_F32, 2, dims, 1, &err), &err, BERTC_INPUT,
                  "ids[1, 1] = 3 is outside the gathered dimension of 3 rows");
    free_buffers();
}

/* A random way of indexing: an index tensor or None for each of the first dims, broadcast together. */
struct indexing {
    struct bt_ref refs[BT_MAX_RANK];
    int count, common, start; /* rank of the broadcast index, and where its dims stand in the result */
    int rank;
    int64_t dims[BT_MAX_RANK]; /* of the result */
};

static void random_indexing(struct indexing *p, int rank, const int64_t *dims)
{
    int64_t common[2] = {1 + random_below(4), random_below(9) ? 1 + random_below(4) : 0};
    bool indexed[BT_MAX_RANK] = {false};
    int first = -1, last = -1, used = 0;
    p->common = (int)random_below(3);
    p->count = 1 + (int)random_below(rank);
    indexed[random_below(p->count)] = true;
    for (int d = 0; d < p->count; d++) {
        indexed[d] = indexed[d] || random_below(2);
        p->refs[d].rank = -1;
        if (!indexed[d]) {
            continue;
        }
        int own = used == 0 ? p->common : (int)random_below(p->common + 1);
        int64_t own_dims[2];
        for (int k = 0; k < own; k++) {
            int64_t whole = common[2 - own + k];
            own_dims[k] = used > 0 && random_below(3) == 0 ? 1 : whole;
        }
        p->refs[d] = random_indices(own, own_dims, dims[d]);
        first = first < 0 ? d : first;
        last = d;
        used++;
    }
    p->start = last - first + 1 == used ? first : 0;
    p->rank = 0;
    for (int d = 0; d <= rank; d++) {
        for (int k = 0; d == p->start && k < p->common; k++) {
            p->dims[p->rank++] = common[2 - p->common + k];
        }
        if (d < rank && !indexed[d]) {
            p->dims[p->rank++] = dims[d];
        }
    }
}

static struct indexing indexing;

/* The position in the indexed tensor of an item of the result. */
static void indexed_position(const struct bt_ref *self, const int64_t *index, int64_t *at)
{
    int next = 0;
    for (int d = 0; d < self->rank; d++) {
        if (d < indexing.count && indexing.refs[d].rank >= 0) {
            at[d] = (int64_t)item_at(&indexing.refs[d], indexing.common, index + indexing.start);
            at[d] += at[d] < 0 ? self->dims[d] : 0;
        } else {
            at[d] = index[next < indexing.start ? next : next + indexing.common];
            next++;
        }
    }
}

static double expect_index(const struct bt_step *step, const int64_t *index)
{
    int64_t at[BT_MAX_RANK];
    indexed_position(&step->args[0].ref, index, at);
    return item_at(&step->args[0].ref, step->args[0].ref.rank, at);
}

static double expect_index_put(const struct bt_step *step, const int64_t *index)
{
    const struct bt_ref *self = &step->args[0].ref;
    double item = item_at(self, self->rank, index);
    int64_t count = bt_numel(indexing.rank, indexing.dims), from[BT_MAX_RANK], at[BT_MAX_RANK];
    for (int64_t i = 0; i < count; i++) {
        int64_t left = i;
        for (int d = indexing.rank - 1; d >= 0; d--) {
            from[d] = left % indexing.dims[d];
            left /= indexing.dims[d];
        }
        indexed_position(self, from, at);
        if (memcmp(at, index, (size_t)self->rank * sizeof *at) != 0) {
            continue;
        }
        double value = item_at(&step->args[2].ref, indexing.rank, from);
        item = step->args[3].scalar.i ? item + value : value;
    }
    return item;
}

static void test_index(void)
{
    static const enum bt_dtype sums[] = {BT_F32, BT_F64, BT_I64, BT_I32};
    for (int round = 0; round < 6 * ROUNDS; round++) {
        bool put = round % 2, accumulate = put && random_below(2);
        enum bt_dtype dtype = accumulate ? sums[random_below(4)] : random_storage();
        int64_t dims[BT_MAX_RANK], value_dims[BT_MAX_RANK];
        int rank = 1 + (int)random_below(4);
        for (int d = 0; d < rank; d++) {
            dims[d] = 1 + random_below(5);
        }
        random_indexing(&indexing, rank, dims);
        struct bt_ref *negative = &indexing.refs[indexing.count - 1];
        if (negative->rank == 1 && negative->dims[0] > 0) {
            item_store(negative->dtype, (char *)(uintptr_t)negative->data + negative->offset, 0, -1.0);
        }
        int value_rank = (int)random_below(indexing.rank + 1);
        for (int d = 0; d < value_rank; d++) {
            value_dims[d] = random_below(3) ? indexing.dims[indexing.rank - value_rank + d] : 1;
        }
        struct bt_step_arg args[4] = {arg_tensor(random_items(dtype, rank, dims)),
                                      arg_tensors(indexing.refs, indexing.count),
                                      arg_tensor(random_items(dtype, value_rank, value_dims)), arg_int(accumulate)};
        if (put) {
            CHECK(step_agrees(BT_OP_INDEX_PUT, args, 4, dtype, rank, dims, 1e-5, expect_index_put));
        } else {
            CHECK(step_agrees(BT_OP_INDEX, args, 2, dtype, indexing.rank, indexing.dims, 0.0, expect_index));
        }
    }
    struct bertc_error err = {0};
    struct bt_step step;
    int64_t dims[2] = {4, 3}, two = 2;
    struct bt_ref refs[2] = {{.rank = -1}, tensor_plain(BT_I64, 1, &two)};
    struct bt_step_arg args[2] = {arg_tensor(random_items(BT_F32, 2, dims)), arg_tensors(refs, 2)};
    memcpy((void *)(uintptr_t)refs[1].data, (int64_t[]){-3, -4}, 2 * sizeof(int64_t));
    CHECK_REFUSAL(step_run(&step, BT_OP_INDEX, args, 2, BT_F32, 2, (int64_t[]){4, 2}, 1, &err), &err, BERTC_INPUT,
                  "ids[1] = -4 is outside the indexed dimension of 3 rows");
    free_buffers();
}

static double expect_cat(const struct bt_step *step, const int64_t *index)
{
    int64_t at[BT_MAX_RANK], dim = step->args[1].scalar.i;
    const struct bt_ref *part = step->args[0].refs;
    memcpy(at, index, sizeof at);
    for (; at[dim] >= part->dims[dim]; part++) {
        at[dim] -= part->dims[dim];
    }
    return item_at(part, part->rank, at);
}

static void test_cat(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct bt_ref parts[4];
        int64_t dims[BT_MAX_RANK], sum = 0;
        int rank = random_dims(1, 4, dims), dim = (int)random_below(rank), count = 1 + (int)random_below(4);
        enum bt_dtype dtype = random_storage();
        bool promotes = dtype == BT_F64 || dtype == BT_F32;
        for (int i = 0; i < count; i++) {
            dims[dim] = random_below(5);
            sum += dims[dim];
            parts[i] = random_items(promotes && random_below(2) ? BT_I16 : dtype, rank, dims);
        }
        dims[dim] = sum;
        struct bt_step_arg args[2] = {arg_tensors(parts, count), arg_int(dim)};
        CHECK(step_agrees(BT_OP_CAT, args, 2, dtype, rank, dims, 0.0, expect_cat));
    }
}

static double expect_pad(const struct bt_step *step, const int64_t *index)
{
    const struct bt_ref *self = &step->args[0].ref;
    int64_t at[BT_MAX_RANK];
    for (int d = 0; d < self->rank; d++) {
        int pair = self->rank - 1 - d;
        at[d] = index[d] - (2 * pair < step->args[1].count ? step->args[1].ints[2 * pair] : 0);
        if (at[d] < 0 || at[d] >= self->dims[d]) {
            return step->args[2].kind == BT_ARG_EXPR ? (double)step->args[2].scalar.i : 0.0;
        }
    }
    return item_at(self, self->rank, at);
}

static void test_pad(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        enum bt_dtype dtype = random_storage();
        int64_t dims[BT_MAX_RANK], amounts[2 * BT_MAX_RANK];
        int rank = random_dims(1, 4, dims), padded = (int)random_below(rank + 1);
        struct bt_step_arg args[3] = {arg_tensor(random_items(dtype, rank, dims)), arg_ints(amounts, 2 * padded),
                                      random_below(2) ? arg_int(1) : arg_none()};
        for (int k = 0; k < 2 * padded; k++) {
            int64_t *dim = &dims[rank - 1 - k / 2];
            amounts[k] = random_below(*dim + 4) - *dim;
            *dim += amounts[k];
        }
        CHECK(step_agrees(BT_OP_PAD, args, 3, dtype, rank, dims, 0.0, expect_pad));
    }
}

static double expect_flip(const struct bt_step *step, const int64_t *index)
{
    const struct bt_ref *self = &step->args[0].ref;
    int64_t at[BT_MAX_RANK];
    memcpy(at, index, sizeof at);
    for (int i = 0; i < step->args[1].count; i++) {
        int64_t d = step->args[1].ints[i];
        at[d] = self->dims[d] - 1 - at[d];
    }
    return item_at(self, self->rank, at);
}

static double expect_roll(const struct bt_step *step, const int64_t *index)
{
    const struct bt_ref *self = &step->args[0].ref;
    int64_t at[BT_MAX_RANK];
    memcpy(at, index, sizeof at);
    for (int i = 0; i < step->args[2].count; i++) {
        int64_t d = step->args[2].ints[i], size = self->dims[d];
        at[d] = ((at[d] - step->args[1].ints[i]) % size + size) % size;
    }
    return item_at(self, self->rank, at);
}

static void test_flip_and_roll(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        enum bt_dtype dtype = random_storage();
        int64_t dims[BT_MAX_RANK], chosen[BT_MAX_RANK], shifts[BT_MAX_RANK];
        int rank = random_dims(1, 4, dims), count = 0;
        for (int d = 0; d < rank; d++) {
            shifts[count] = random_below(21) - 10;
            chosen[count] = d;
            count += random_below(2) == 0;
        }
        struct bt_step_arg x = arg_tensor(random_items(dtype, rank, dims));
        struct bt_step_arg flip[2] = {x, arg_ints(chosen, count)};
        struct bt_step_arg roll[3] = {x, arg_ints(shifts, count), arg_ints(chosen, count)};
        if (round % 2) {
            CHECK(step_agrees(BT_OP_FLIP, flip, 2, dtype, rank, dims, 0.0, expect_flip));
        } else {
            CHECK(step_agrees(BT_OP_ROLL, roll, 3, dtype, rank, dims, 0.0, expect_roll));
        }
    }
}

static double expect_triangle(const struct bt_step *step, const int64_t *index)
{
    const struct bt_ref *self = &step->args[0].ref;
    double above = (double)index[self->rank - 1] - (double)index[self->rank - 2] - (double)step->args[1].scalar.i;
    bool kept = step->op == BT_OP_TRIL ? above <= 0.0 : above >= 0.0;
    return kept ? item_at(self, self->rank, index) : 0.0;
}

static void test_triangle(void)
{
    static const int64_t extremes[] = {INT64_MIN, INT64_MAX};
    for (int round = 0; round < ROUNDS; round++) {
        enum bt_dtype dtype = random_storage();
        int64_t dims[BT_MAX_RANK], diagonal = round < 4 ? extremes[round / 2] : random_below(13) - 6;
        int rank = random_dims(2, 4, dims);
        struct bt_step_arg args[2] = {arg_tensor(random_items(dtype, rank, dims)), arg_int(diagonal)};
        CHECK(step_agrees(round % 2 ? BT_OP_TRIL : BT_OP_TRIU, args, 2, dtype, rank, dims, 0.0, expect_triangle));
    }
}

static double expect_slice_scatter(const struct bt_step *step, const int64_t *index)
{
    const struct bt_ref *self = &step->args[0].ref;
    int64_t at[BT_MAX_RANK], dim = step->args[2].scalar.i, stride = step->args[5].scalar.i;
    memcpy(at, index, sizeof at);
    at[dim] -= step->args[3].scalar.i;
    if (at[dim] < 0 || index[dim] >= step->args[4].scalar.i || at[dim] % stride != 0) {
        return item_at(self, self->rank, index);
    }
    at[dim] /= stride;
    return item_at(&step->args[1].ref, self->rank, at);
}

static double expect_select_scatter(const struct bt_step *step, const int64_t *index)
{
    const struct bt_ref *self = &step->args[0].ref;
    int64_t at[BT_MAX_RANK], dim = step->args[2].scalar.i;
    if (index[dim] != step->args[3].scalar.i) {
        return item_at(self, self->rank, index);
    }
    for (int d = 0; d < self->rank - 1; d++) {
        at[d] = index[d < dim ? d : d + 1];
    }
    return item_at(&step->args[1].ref, self->rank - 1, at);
}

static void test_scatter(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        enum bt_dtype dtype = random_storage();
        int64_t dims[BT_MAX_RANK], part[BT_MAX_RANK];
        int rank = random_dims(1, 4, dims), dim = (int)random_below(rank);
        dims[dim] = 1 + random_below(6);
        struct bt_step_arg self = arg_tensor(random_items(dtype, rank, dims));
        int64_t start = random_below(dims[dim]), end = start + random_below(dims[dim] - start + 1);
        int64_t stride = 1 + random_below(3);
        memcpy(part, dims, sizeof part);
        part[dim] = (end - start + stride - 1) / stride;
        struct bt_step_arg slice[6] = {self,         arg_tensor(random_items(dtype, rank, part)),
                                       arg_int(dim), arg_int(start),
                                       arg_int(end), arg_int(stride)};
        memmove(part + dim, part + dim + 1, (size_t)(rank - dim - 1) * sizeof *part);
        struct bt_step_arg select[4] = {self, arg_tensor(random_items(dtype, rank - 1, part)), arg_int(dim),
                                        arg_int(start)};
        if (round % 2) {
            CHECK(step_agrees(BT_OP_SLICE_SCATTER, slice, 6, dtype, rank, dims, 0.0, expect_slice_scatter));
        } else {
            CHECK(step_agrees(BT_OP_SELECT_SCATTER, select, 4, dtype, rank, dims, 0.0, expect_select_scatter));
        }
    }
}

static double number_of(const struct bt_step_arg *arg)
{
    return arg->scalar.type == BT_SCALAR_FLOAT ? arg->scalar.f : (double)arg->scalar.i;
}

static double expect_arange(const struct bt_step *step, const int64_t *index)
{
    return number_of(&step->args[0]) + (double)index[0] * number_of(&step->args[2]);
}

static double expect_full(const struct bt_step *step, const int64_t *index)
{
    (void)index;
    return number_of(&step->args[1]);
}

static double expect_eye(const struct bt_step *step, const int64_t *index)
{
    (void)step;
    return index[0] == index[1];
}

static void test_creation(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        enum bt_dtype dtype = random_storage();
        bool reals = dtype == BT_F32 || dtype == BT_F64;
        int64_t dims[BT_MAX_RANK], length = random_below(3000);
        int rank = random_dims(0, 4, dims);
        struct bt_step_arg range[4] = {reals ? arg_float(0.5) : arg_int(3), arg_int(0),
                                       reals ? arg_float(-0.25) : arg_int(2), arg_none()};
        struct bt_step_arg full[3] = {arg_ints(dims, rank), reals ? arg_float(0.25) : arg_int(1), arg_none()};
        struct bt_step_arg eye[3] = {arg_int(3), arg_int(3), arg_none()};
        if (reals || dtype == BT_I64 || dtype == BT_I32) {
            CHECK(step_agrees(BT_OP_ARANGE, range, 4, dtype, 1, &length, 1e-3, expect_arange));
        }
        CHECK(step_agrees(BT_OP_FULL, full, 3, dtype, rank, dims, 0.0, expect_full));
        CHECK(step_agrees(BT_OP_EYE, eye, 3, dtype, 2, (int64_t[]){random_below(5), random_below(5)}, 0.0, expect_eye));
    }
}

int main(void)
{
    bt_kernels_init(&kernels, bt_cpu_isa());
    check_group("steps: embedding", test_embedding);
    check_group("steps: gather", test_gather);
    check_group("steps: index", test_index);
    check_group("steps: cat", test_cat);
    check_group("steps: pad", test_pad);
    check_group("steps: flip, roll", test_flip_and_roll);
    check_group("steps: triangle", test_triangle);
    check_group("steps: scatter", test_scatter);
    check_group("steps: creation", test_creation);
    return check_result();
}
