/* lanes.c: tensors of any dtype and strides as runs of float, double or int64 items */
#include "exec/lanes.h"

#include <assert.h>
#include <string.h>

#include "exec/iter.h"

static int64_t truncate_f64(double value)
{
    return value >= -0x1p63 && value < 0x1p63 ? (int64_t)value : INT64_MIN;
}

static int64_t keep_i64(int64_t value)
{
    return value;
}

#define AS_INT(value) _Generic((value), float: truncate_f64, double: truncate_f64, default: keep_i64)(value)
#define AS_FLOAT(value) ((float)(value))
#define AS_DOUBLE(value) ((double)(value))

/* A dtype, the type of its items, and the number an item v stands for. */
#define EACH_DTYPE(X, ...)                            \
    X(F32, float, v, __VA_ARGS__)                     \
    X(F64, double, v, __VA_ARGS__)                    \
    X(F16, uint16_t, bt_f16_to_f32(v), __VA_ARGS__)   \
    X(BF16, uint16_t, bt_bf16_to_f32(v), __VA_ARGS__) \
    X(I64, int64_t, v, __VA_ARGS__)                   \
    X(I32, int32_t, v, __VA_ARGS__)                   \
    X(I16, int16_t, v, __VA_ARGS__)                   \
    X(I8, int8_t, v, __VA_ARGS__)                     \
    X(U8, uint8_t, v, __VA_ARGS__)                    \
    X(BOOL, uint8_t, v != 0, __VA_ARGS__)

/* A dtype that can be written, the type of its items, and the item that stands for a lane v. */
#define EACH_STORED(X, ...)                                \
    X(F32, float, AS_FLOAT(v), __VA_ARGS__)                \
    X(F64, double, AS_DOUBLE(v), __VA_ARGS__)              \
    X(F16, uint16_t, bt_f32_to_f16((float)v), __VA_ARGS__) \
    X(I64, int64_t, AS_INT(v), __VA_ARGS__)                \
    X(I32, int32_t, (int32_t)AS_INT(v), __VA_ARGS__)       \
    X(I16, int16_t, (int16_t)AS_INT(v), __VA_ARGS__)       \
    X(I8, int8_t, (int8_t)AS_INT(v), __VA_ARGS__)          \
    X(U8, uint8_t, (uint8_t)AS_INT(v), __VA_ARGS__)        \
    X(BOOL, uint8_t, v != 0, __VA_ARGS__)

/* The constant stride gives the compiler a loop that it can vectorise. */
#define LOAD_LOOP(type, stride, expr)                        \
    for (int64_t i = 0; i < n; i++) {                        \
        type v;                                              \
        memcpy(&v, items + i * (int64_t)(stride), sizeof v); \
        y[i] = expr;                                         \
    }

#define LOAD(dtype, type, value, lane, lane_type, convert)                                          \
    static void load_##dtype##_as_##lane(const char *items, int64_t stride, void *lanes, int64_t n) \
    {                                                                                               \
        lane_type *y = lanes;                                                                       \
        if (stride == (int64_t)sizeof(type)) {                                                      \
            LOAD_LOOP(type, sizeof(type), convert(value))                                           \
        } else {                                                                                    \
            LOAD_LOOP(type, stride, convert(value))                                                 \
        }                                                                                           \
    }
EACH_DTYPE(LOAD, F32, float, AS_FLOAT)
EACH_DTYPE(LOAD, F64, double, AS_DOUBLE)
EACH_DTYPE(LOAD, I64, int64_t, AS_INT)
#undef LOAD

#define LOAD_RAW(type)                                                                     \
    static void load_raw_##type(const char *items, int64_t stride, void *lanes, int64_t n) \
    {                                                                                      \
        type *y = lanes;                                                                   \
        LOAD_LOOP(type, stride, v)                                                         \
    }
LOAD_RAW(uint8_t)
LOAD_RAW(uint16_t)
LOAD_RAW(uint32_t)
LOAD_RAW(uint64_t)
#undef LOAD_RAW

#define LOAD_ENTRY(dtype, type, value, lane) [BT_##dtype] = load_##dtype##_as_##lane,
static bt_load_fn *const loads[][BT_DTYPE_COUNT] = {
    [BT_LANE_F32] = {EACH_DTYPE(LOAD_ENTRY, F32)},
    [BT_LANE_F64] = {EACH_DTYPE(LOAD_ENTRY, F64)},
    [BT_LANE_I64] = {EACH_DTYPE(LOAD_ENTRY, I64)},
};
static bt_load_fn *const raw_loads[] = {
    [1] = load_raw_uint8_t, [2] = load_raw_uint16_t, [4] = load_raw_uint32_t, [8] = load_raw_uint64_t};

typedef void store_fn(const void *lanes, void *items, int64_t n);

#define STORE(dtype, type, item, lane, lane_type)                                    \
    static void store_##lane##_as_##dtype(const void *lanes, void *items, int64_t n) \
    {                                                                                \
        const lane_type *x = lanes;                                                  \
        type *y = items;                                                             \
        for (int64_t i = 0; i < n; i++) {                                            \
            lane_type v = x[i];                                                      \
            y[i] = item;                                                             \
        }                                                                            \
    }
EACH_STORED(STORE, F32, float)
EACH_STORED(STORE, F64, double)
EACH_STORED(STORE, I64, int64_t)
#undef STORE

#define STORE_ENTRY(dtype, type, item, lane) [BT_##dtype] = store_##lane##_as_##dtype,
static store_fn *const stores[][BT_DTYPE_COUNT] = {
    [BT_LANE_F32] = {EACH_STORED(STORE_ENTRY, F32)},
    [BT_LANE_F64] = {EACH_STORED(STORE_ENTRY, F64)},
    [BT_LANE_I64] = {EACH_STORED(STORE_ENTRY, I64)},
};

enum bt_lane bt_lane_of(enum bt_dtype dtype)
{
    if (dtype == BT_F64) {
        return BT_LANE_F64;
    }
    return bt_dtype_is_float(dtype) ? BT_LANE_F32 : BT_LANE_I64;
}

enum bt_dtype bt_lane_dtype(enum bt_lane lane)
{
    assert(lane != BT_LANE_RAW);
    return lane == BT_LANE_F32 ? BT_F32 : lane == BT_LANE_F64 ? BT_F64 : BT_I64;
}

void bt_lanes_store(enum bt_lane lane, const void *lanes, enum bt_dtype dtype, void *items, int64_t n)
{
    assert(lane != BT_LANE_RAW && stores[lane][dtype]);
    stores[lane][dtype](lanes, items, n);
}

void bt_reader_init(struct bt_reader *reader, enum bt_lane lane, enum bt_dtype dtype, int rank, const int64_t *dims,
                    const int64_t *strides, const void *data)
{
    struct bt_iter runs;
    bt_iter_init(&runs, rank, dims);
    bt_iter_add(&runs, strides);
    bt_iter_merge(&runs);

    size_t size = bt_dtype_size(dtype);
    *reader = (struct bt_reader){.data = data, .rank = 1, .dims = {1}, .item_size = (int64_t)size};
    if (runs.rank > 0) {
        reader->rank = runs.rank;
    }
    for (int d = 0; d < runs.rank; d++) {
        reader->dims[d] = runs.dims[runs.rank - 1 - d];
        reader->strides[d] = runs.strides[0][runs.rank - 1 - d] * (int64_t)size;
    }
    reader->direct = lane == BT_LANE_RAW || dtype == bt_lane_dtype(lane);
    reader->load = lane == BT_LANE_RAW ? raw_loads[size] : loads[lane][dtype];
    reader->lane_size = lane == BT_LANE_RAW ? (int64_t)size : (int64_t)bt_dtype_size(bt_lane_dtype(lane));
}

const void *bt_reader_read(const struct bt_reader *reader, int64_t begin, int64_t n, void *buffer)
{
    int64_t index[BT_MAX_RANK];
    const char *from = reader->data;
    for (int d = 0; d < reader->rank; d++) {
        index[d] = begin % reader->dims[d];
        begin /= reader->dims[d];
        from += index[d] * reader->strides[d];
    }
    int64_t stride = reader->strides[0], run = reader->dims[0] - index[0];
    bool dense = reader->direct && stride == reader->item_size;
    if (n == 1 ? reader->direct : dense && n <= run) {
        return from;
    }

    char *to = buffer;
    from -= index[0] * stride;
    for (int64_t skip = index[0];; skip = 0) {
        run = reader->dims[0] - skip < n ? reader->dims[0] - skip : n;
        if (dense) {
            memcpy(to, from + skip * stride, (size_t)(run * stride));
        } else {
            reader->load(from + skip * stride, stride, to, run);
        }
        n -= run;
        if (n == 0) {
            return buffer;
        }
        to += run * reader->lane_size;
        int d = 1;
        for (; ++index[d] == reader->dims[d]; d++) {
            from -= (reader->dims[d] - 1) * reader->strides[d];
            index[d] = 0;
        }
        from += reader->strides[d];
    }
}

bool bt_reader_uniform(const struct bt_reader *reader, int64_t block)
{
    return reader->strides[0] == 0 && (reader->rank == 1 || reader->dims[0] % block == 0);
}
