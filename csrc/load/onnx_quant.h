/* onnx_quant.h: what fused operators on bytes share with the plain ones */
#ifndef BT_LOAD_ONNX_QUANT_H
#define BT_LOAD_ONNX_QUANT_H

#include "load/onnx_lower.h"

/* real = (levels - zero) * scale; zero may be None */
struct bt_onnx_levels {
    struct bt_dyn levels, scale, zero;
};

struct bt_onnx_levels bt_onnx_quantize_dynamic(struct bt_onnx_call *o, struct bt_dyn x);
struct bt_dyn bt_onnx_dequantized(struct bt_onnx_call *o, struct bt_dyn x, struct bt_dyn scale, struct bt_dyn zero);
/* a b + bias in float32, the sums being exact; zero_b and bias may be None */
struct bt_dyn bt_onnx_integer_product(struct bt_onnx_call *o, struct bt_onnx_levels a, struct bt_dyn b,
                                      struct bt_dyn scale_b, struct bt_dyn zero_b, struct bt_dyn bias);

#endif
