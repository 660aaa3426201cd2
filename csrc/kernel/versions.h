/* versions.h: prototypes of every kernel version, and instruction sets by the names that kernels.inc uses */
#ifndef BT_KERNEL_VERSIONS_H
#define BT_KERNEL_VERSIONS_H

#include "kernel/kernels.h"

#define BT_KERNEL_OP(name, type)
#define BT_KERNEL(name, type, isa, tolerance) bt_##type##_fn bt_##name##_##isa;
#include "kernel/kernels.inc"
#undef BT_KERNEL
#undef BT_KERNEL_OP

#define BT_ISA_ref BT_ISA_REF
#define BT_ISA_avx2 BT_ISA_AVX2
#define BT_ISA_avx512 BT_ISA_AVX512
#define BT_ISA_neon BT_ISA_NEON

#endif
