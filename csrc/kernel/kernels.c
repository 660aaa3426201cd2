/* kernels.c: choose the best version of every kernel */
#include "kernel/kernels.h"

#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "kernel/versions.h"

enum bt_isa bt_cpu_isa(void)
{
    struct bt_cpu cpu = bt_cpu_features();
    return cpu.avx512 ? BT_ISA_AVX512 : cpu.avx2 ? BT_ISA_AVX2 : cpu.neon ? BT_ISA_NEON : BT_ISA_REF;
}

static bool runs_on(enum bt_isa version, enum bt_isa isa)
{
    return version == BT_ISA_REF || version == isa || (version == BT_ISA_AVX2 && isa == BT_ISA_AVX512);
}

/* BERTC_GEMM=openblas or ref takes bertc's own microkernels away. */
static const struct bt_panel_gemm *panel_gemm(enum bt_isa isa)
{
    const char *choice = getenv("BERTC_GEMM");
    if (choice && (strcmp(choice, "openblas") == 0 || strcmp(choice, "ref") == 0)) {
        return NULL;
    }
    switch (isa) {
#if defined(__x86_64__)
    case BT_ISA_AVX512: return &bt_panel_gemm_avx512;
    case BT_ISA_AVX2: return &bt_panel_gemm_avx2;
#elif defined(__aarch64__)
    case BT_ISA_NEON: return &bt_panel_gemm_neon;
#endif
    default: return NULL;
    }
}

void bt_kernels_init(struct bt_kernels *kernels, enum bt_isa isa)
{
    kernels->panel = panel_gemm(isa);
#define BT_KERNEL_OP(name, type)
#define BT_KERNEL(name, type, version, tolerance)          \
    if (runs_on(BT_ISA_##version, isa)) {                  \
        kernels->name = bt_##name##_##version;             \
        kernels->isa[BT_KERNEL_##name] = BT_ISA_##version; \
    }
#include "kernel/kernels.inc"
#undef BT_KERNEL
#undef BT_KERNEL_OP
}

const char *bt_isa_name(enum bt_isa isa)
{
    static const char *const names[BT_ISA_COUNT] = {"ref", "avx2", "avx512", "neon"};
    return names[isa];
}
