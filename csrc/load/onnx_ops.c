/* onnx_ops.c: find the lowering of an operator */
#include <string.h>

#include "load/onnx_build.h"

static const struct {
    const char *domain, *name;
    bt_onnx_lowering *lower;
    int detail;
} entries[] = {
#define ONNX(domain, name, lowering, detail) {domain, name, bt_onnx_op_##lowering, detail},
#include "load/onnx.inc"
#undef ONNX
};

bt_onnx_lowering *bt_onnx_find(const char *domain, const char *op, int *detail)
{
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        if (strcmp(entries[i].name, op) == 0 && strcmp(entries[i].domain, domain) == 0) {
            *detail = entries[i].detail;
            return entries[i].lower;
        }
    }
    return NULL;
}
