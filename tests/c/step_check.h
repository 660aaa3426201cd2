/* step_check.h: runs single steps on tensors of odd layouts and compares each item with a plain formula */
#ifndef BT_TESTS_STEP_CHECK_H
#define BT_TESTS_STEP_CHECK_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/memory.h"
#include "check.h"
#include "exec/step.h"

enum { MAX_BUFFERS = 64 };

static void *buffers[MAX_BUFFERS];
static int buffer_count;
static uint64_t random_state = 88172645463325252u;
static struct bt_kernels kernels;

static inline int64_t random_below(int64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return limit > 0 ? (int64_t)(random_state % (uint64_t)limit) : 0;
}

static inline double random_real(void)
{
    return (double)random_below(2000001) / 1000000.0 - 1.0;
}

/* Memory of exactly this size, until the end of the check. */
static inline void *buffer_new(int64_t size)
{
    if (buffer_count == MAX_BUFFERS) {
        abort();
    }
    return buffers[buffer_count++] = malloc(size > 0 ? (size_t)size : 1);
}

static inline void free_buffers(void)
{
    while (buffer_count > 0) {
        free(buffers[--buffer_count]);
    }
}

static inline double item_load(enum bt_dtype dtype, const void *data, int64_t i)
{
    switch (dtype) {
    case BT_F32: return ((const float *)data)[i];
    case BT_F64: return ((const double *)data)[i];
    case BT_I64: return (double)((const int64_t *)data)[i];
    case BT_I32: return ((const int32_t *)data)[i];
    case BT_I16: return ((const int16_t *)data)[i];
    case BT_I8: return ((const int8_t *)data)[i];
    default: return ((const uint8_t *)data)[i];
    }
}

static inline void item_store(enum bt_dtype dtype, void *data, int64_t i, double value)
{
    switch (dtype) {
    case BT_F32: ((float *)data)[i] = (float)value; break;
    case BT_F64: ((double *)data)[i] = value; break;
    case BT_I64: ((int64_t *)data)[i] = (int64_t)value; break;
    case BT_I32: ((int32_t *)data)[i] = (int32_t)value; break;
    case BT_I16: ((int16_t *)data)[i] = (int16_t)value; break;
    case BT_I8: ((int8_t *)data)[i] = (int8_t)value; break;
    default: ((uint8_t *)data)[i] = (uint8_t)value; break;
    }
}

/* The item at an index, or of a tensor that is broadcast to it. */
static inline double item_at(const struct bt_ref *ref, int rank, const int64_t *index)
{
    int64_t offset = 0;
    for (int d = 0; d < ref->rank; d++) {
        int64_t at = index[rank - ref->rank + d];
        offset += (ref->dims[d] == 1 ? 0 : at) * ref->strides[d];
    }
    return item_load(ref->dtype, (const char *)ref->data + ref->offset, offset);
}

/* A contiguous tensor without values. */
static inline struct bt_ref tensor_plain(enum bt_dtype dtype, int rank, const int64_t *dims)
{
    struct bt_ref ref = {.space = BT_SPACE_CONSTANT, .dtype = dtype, .rank = rank};
    for (int d = 0; d < rank; d++) {
        ref.dims[d] = dims[d];
    }
    bt_contiguous_strides(rank, ref.dims, ref.strides);
    ref.data = buffer_new(bt_numel(rank, dims) * (int64_t)bt_dtype_size(dtype));
    return ref;
}

/* Random values: reals in [-1, 1], integers in [0, limit). The layout is random too: contiguous, dims in another order
 * in memory, gaps between items, dims that are only expanded. The last item is the buffer's last. */
static inline struct bt_ref tensor_random(enum bt_dtype dtype, int rank, const int64_t *dims, int64_t limit)
{
    struct bt_ref ref = {.space = BT_SPACE_CONSTANT, .dtype = dtype, .rank = rank};
    int order[BT_MAX_RANK];
    int64_t items = 1, last = 0, start = random_below(2) * random_below(5);
    bool permuted = random_below(3) == 0, gaps = random_below(3) == 0, expanded = random_below(4) == 0;
    for (int d = 0; d < rank; d++) {
        int swap = permuted ? (int)random_below(d + 1) : d;
        order[d] = order[swap];
        order[swap] = d;
        if (!permuted) {
            order[d] = d;
        }
        ref.dims[d] = dims[d];
    }
    for (int k = rank - 1; k >= 0; k--) {
        int d = order[k];
        bool expand = expanded && random_below(3) == 0;
        ref.strides[d] = expand ? 0 : items * (gaps && random_below(2) ? 1 + random_below(3) : 1);
        items = expand || dims[d] == 0 ? items : ref.strides[d] * dims[d] + (gaps ? random_below(3) : 0);
        last += dims[d] > 0 ? (dims[d] - 1) * ref.strides[d] : 0;
    }
    int64_t size = (int64_t)bt_dtype_size(dtype), count = start + (bt_numel(rank, dims) > 0 ? last + 1 : 0);
    char *data = buffer_new(count * size);
    for (int64_t i = 0; i < count; i++) {
        item_store(dtype, data, i, bt_dtype_is_float(dtype) ? random_real() : (double)random_below(limit));
    }
    ref.data = data;
    ref.offset = start * size;
    return ref;
}

static inline struct bt_step_arg arg_tensor(struct bt_ref ref)
{
    return (struct bt_step_arg){.kind = BT_ARG_VALUE, .ref = ref};
}

static inline struct bt_step_arg arg_int(int64_t value)
{
    return (struct bt_step_arg){.kind = BT_ARG_EXPR, .scalar = {.type = BT_SCALAR_INT, .i = value}};
}

static inline struct bt_step_arg arg_float(double value)
{
    return (struct bt_step_arg){.kind = BT_ARG_EXPR, .scalar = {.type = BT_SCALAR_FLOAT, .f = value}};
}

static inline struct bt_step_arg arg_none(void)
{
    return (struct bt_step_arg){.kind = BT_ARG_NONE};
}

static inline struct bt_step_arg arg_ints(int64_t *ints, int32_t count)
{
    return (struct bt_step_arg){.kind = BT_ARG_EXPRS, .ints = ints, .count = count};
}

static inline struct bt_step_arg arg_tensors(struct bt_ref *refs, int32_t count)
{
    return (struct bt_step_arg){.kind = BT_ARG_VALUES, .refs = refs, .count = count};
}

static bt_step_fn *const step_fns[BT_OP_COUNT] = {
#define BT_OP(id, name, args, infer, step) bt_step_##step,
#include "graph/ops.inc"
#undef BT_OP
};

/* Runs the step with a result of this dtype and shape; its scratch has exactly the size it asks for. */
static inline enum bertc_status step_run(struct bt_step *step, enum bt_op op, struct bt_step_arg *args, int nargs,
                                         enum bt_dtype dtype, int rank, const int64_t *dims, int threads,
                                         struct bertc_error *err)
{
    *step = (struct bt_step){.op = op, .nargs = nargs, .args = args, .nouts = 1, .input = "ids"};
    step->outs[0] = tensor_plain(dtype, rank, dims);
    memset((void *)(uintptr_t)step->outs[0].data, 0x7b, (size_t)bt_numel(rank, dims) * bt_dtype_size(dtype));
    step->scratch_size = bt_step_scratch(step, &kernels);
    step->scratch = (struct bt_ref){.space = BT_SPACE_CONSTANT, .data = buffer_new(step->scratch_size)};
    struct bt_run run = {.kernels = &kernels, .threads = threads};
    return step_fns[op](step, &run, err);
}

/* What the result should be at an index. */
typedef double expect_fn(const struct bt_step *step, const int64_t *index);

/* The step on one thread and on three: the same result bit for bit, and each item within `tolerance` of the formula.
 * Frees all buffers. */
static inline bool step_agrees(enum bt_op op, struct bt_step_arg *args, int nargs, enum bt_dtype dtype, int rank,
                               const int64_t *dims, double tolerance, expect_fn *expect)
{
    struct bt_step step, threaded;
    struct bertc_error err = {0};
    bool good = step_run(&threaded, op, args, nargs, dtype, rank, dims, 3, &err) == BERTC_OK &&
                step_run(&step, op, args, nargs, dtype, rank, dims, 1, &err) == BERTC_OK;
    int64_t count = bt_numel(rank, dims), index[BT_MAX_RANK];
    good = good && memcmp(step.outs[0].data, threaded.outs[0].data, (size_t)count * bt_dtype_size(dtype)) == 0;
    if (!good) {
        printf("%s: fails, or differs between threads: %s\n", bt_ops[op].name, err.text);
    }
    for (int64_t i = 0; i < count && good; i++) {
        int64_t left = i;
        for (int d = rank - 1; d >= 0; d--) {
            index[d] = left % dims[d];
            left /= dims[d];
        }
        double got = item_load(dtype, step.outs[0].data, i), expected = expect(&step, index);
        good = fabs(got - expected) <= tolerance || (isnan(got) && isnan(expected));
        if (!good) {
            printf("%s of %s: item %lld is %.9g instead of %.9g\n", bt_ops[op].name, bt_dtype_name(dtype), (long long)i,
                   got, expected);
        }
    }
    free_buffers();
    return good;
}

#endif
