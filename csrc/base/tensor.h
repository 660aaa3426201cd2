/* tensor.h: dtypes, and a dense array described by shape, strides and address */
#ifndef BT_BASE_TENSOR_H
#define BT_BASE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BT_MAX_RANK 8

/* float16 and bfloat16 exist in files and in the graph's types; arithmetic on them runs in float32 storage
 * (bt_dtype_storage), which is closer to the true value than either. */
enum bt_dtype {
    BT_F32,
    BT_F64,
    BT_F16,
    BT_BF16,
    BT_I64,
    BT_I32,
    BT_I16,
    BT_I8,
    BT_U8,
    BT_BOOL,
    BT_DTYPE_COUNT, /* of those that graphs have; the ones below exist only in files of weights */
    BT_U16 = BT_DTYPE_COUNT,
    BT_U32,
    BT_U64,
    BT_STORED_DTYPE_COUNT,
};

size_t bt_dtype_size(enum bt_dtype dtype);
const char *bt_dtype_name(enum bt_dtype dtype);         /* "float32", ... as NumPy and PyTorch say it */
bool bt_dtype_is_float(enum bt_dtype dtype);            /* f32 f64 f16 bf16 */
bool bt_dtype_is_int(enum bt_dtype dtype);              /* all i and u, not bool */
enum bt_dtype bt_dtype_storage(enum bt_dtype dtype);    /* f16 and bf16 -> f32, else itself */
bool bt_dtype_from_aten(int64_t code, enum bt_dtype *out); /* c10::ScalarType: 0 u8 1 i8 2 i16 3 i32 4 i64 5 f16 6 f32 7
                                                              f64 11 bool 12 qint8 (as i8) 13 quint8 (as u8) 15 bf16 */

float bt_f16_to_f32(uint16_t bits);
float bt_bf16_to_f32(uint16_t bits);
uint16_t bt_f32_to_f16(float value); /* round to nearest even */

/* A view of memory that someone else keeps alive. Strides count elements, not bytes, and may be 0. */
struct bt_tensor {
    enum bt_dtype dtype;
    int rank;
    int64_t dims[BT_MAX_RANK];
    int64_t strides[BT_MAX_RANK];
    const void *data;
    bool quantized; /* affine per-tensor: real = (stored - zero_point) * scale */
    double scale;
    int64_t zero_point;
};

int64_t bt_numel(int rank, const int64_t *dims);
void bt_contiguous_strides(int rank, const int64_t *dims, int64_t *strides);
bool bt_is_contiguous(int rank, const int64_t *dims, const int64_t *strides);

#endif
