/* tensor.c: facts about dtypes, half-precision conversion, shapes and strides */
#include "base/tensor.h"

#include <string.h>

enum dtype_class { CLASS_BOOL, CLASS_INT, CLASS_FLOAT };

static const struct {
    const char *name;
    uint8_t size;
    uint8_t class;
} dtypes[BT_STORED_DTYPE_COUNT] = {
    [BT_F32] = {"float32", 4, CLASS_FLOAT}, [BT_F64] = {"float64", 8, CLASS_FLOAT},
    [BT_F16] = {"float16", 2, CLASS_FLOAT}, [BT_BF16] = {"bfloat16", 2, CLASS_FLOAT},
    [BT_I64] = {"int64", 8, CLASS_INT},     [BT_I32] = {"int32", 4, CLASS_INT},
    [BT_I16] = {"int16", 2, CLASS_INT},     [BT_I8] = {"int8", 1, CLASS_INT},
    [BT_U8] = {"uint8", 1, CLASS_INT},      [BT_BOOL] = {"bool", 1, CLASS_BOOL},
    [BT_U16] = {"uint16", 2, CLASS_INT},    [BT_U32] = {"uint32", 4, CLASS_INT},
    [BT_U64] = {"uint64", 8, CLASS_INT},
};

size_t bt_dtype_size(enum bt_dtype dtype)
{
    return dtypes[dtype].size;
}

const char *bt_dtype_name(enum bt_dtype dtype)
{
    return dtypes[dtype].name;
}

bool bt_dtype_is_float(enum bt_dtype dtype)
{
    return dtypes[dtype].class == CLASS_FLOAT;
}

bool bt_dtype_is_int(enum bt_dtype dtype)
{
    return dtypes[dtype].class == CLASS_INT;
}

enum bt_dtype bt_dtype_storage(enum bt_dtype dtype)
{
    return dtype == BT_F16 || dtype == BT_BF16 ? BT_F32 : dtype;
}

bool bt_dtype_from_aten(int64_t code, enum bt_dtype *out)
{
    static const struct {
        uint8_t code;
        uint8_t dtype;
    } codes[] = {
        {0, BT_U8},  {1, BT_I8},  {2, BT_I16},   {3, BT_I32}, {4, BT_I64}, {5, BT_F16},
        {6, BT_F32}, {7, BT_F64}, {11, BT_BOOL}, {12, BT_I8}, {13, BT_U8}, {15, BT_BF16},
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i].code == code) {
            *out = (enum bt_dtype)codes[i].dtype;
            return true;
        }
    }
    return false;
}

static float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float bt_f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
    uint32_t exponent = (bits >> 10) & 0x1f;
    uint32_t fraction = bits & 0x3ff;
    if (exponent == 0x1f) { /* infinity or NaN */
        return float_from_bits(sign | 0x7f800000 | fraction << 13);
    }
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24 is exact in float32 */
        float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return float_from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13);
}

float bt_bf16_to_f32(uint16_t bits)
{
    return float_from_bits((uint32_t)bits << 16);
}

uint16_t bt_f32_to_f16(float value)
{
    uint32_t bits = bits_from_float(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) { /* NaN stays a quiet NaN */
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    }
    if (magnitude >= 0x477ff000) { /* 65520 and above round to infinity */
        return sign | 0x7c00;
    }
    if (magnitude < 0x38800000) { /* below 2^-14: adding 0.5 makes the hardware round to a multiple of 2^-24 */
        uint32_t fraction = bits_from_float(float_from_bits(magnitude) + 0.5f) - bits_from_float(0.5f);
        return (uint16_t)(sign | fraction);
    }
    uint32_t round = 0xfff + (magnitude >> 13 & 1); /* to nearest, ties to even */
    return (uint16_t)(sign | (magnitude - (112u << 23) + round) >> 13);
}

int64_t bt_numel(int rank, const int64_t *dims)
{
    int64_t count = 1;
    for (int i = 0; i < rank; i++) {
        count *= dims[i];
    }
    return count;
}

void bt_contiguous_strides(int rank, const int64_t *dims, int64_t *strides)
{
    int64_t step = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = step;
        step *= dims[i] > 0 ? dims[i] : 1;
    }
}

bool bt_is_contiguous(int rank, const int64_t *dims, const int64_t *strides)
{
    int64_t step = 1;
    bool dense = true;
    for (int i = rank - 1; i >= 0; i--) {
        if (dims[i] == 0) {
            return true;
        }
        if (dims[i] != 1) {
            dense = dense && strides[i] == step;
            step *= dims[i];
        }
    }
    return dense;
}
