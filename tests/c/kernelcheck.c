/* kernelcheck.c: every kernel version against its reference, the references against long double; --bench: speed
 * usage: kernelcheck [-v] [--bench] [name prefix]
 * Each version is found through kernels.inc. Arrays end at an unreadable page or stand between canaries. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "kernel/versions.h"
#include "kernel_truth.h"

enum type {
    TYPE_map_f32,
    TYPE_zip_f32,
    TYPE_zips_f32,
    TYPE_layer_norm_f32,
    TYPE_softmax_f32,
    TYPE_exp_sums_f32,
    TYPE_reduce_f32
};

typedef void any_fn(void);

struct version {
    const char *name;
    enum bt_kernel_id id;
    enum type type;
    enum bt_isa isa;
    double tolerance;
    any_fn *fn;
};

static const struct version versions[] = {
#define BT_KERNEL_OP(name, type)
#define BT_KERNEL(name, type, isa, tolerance) \
    {#name, BT_KERNEL_##name, TYPE_##type, BT_ISA_##isa, tolerance, (any_fn *)bt_##name##_##isa},
#include "kernel/kernels.inc"
#undef BT_KERNEL
#undef BT_KERNEL_OP
};
enum { VERSIONS = sizeof versions / sizeof versions[0], MAX_N = 5000, GUARD = 32 };

/* Divided by the sum, it is a softmax. */
static void run_exp_sums(bt_exp_sums_f32_fn *fn, const struct call *c)
{
    double sum;
    memmove(c->y, c->in[0], c->n * sizeof *c->y);
    fn(c->y, c->n, 1, c->in[1], &sum, c->n);
    for (size_t i = 0; i < c->n; i++) {
        c->y[i] = (float)(c->y[i] * (1.0 / sum));
    }
}

static void run(enum type type, any_fn *fn, const struct call *c)
{
    switch (type) {
    case TYPE_map_f32: ((bt_map_f32_fn *)fn)(c->in[0], c->y, c->n); break;
    case TYPE_zip_f32: ((bt_zip_f32_fn *)fn)(c->in[0], c->in[1], c->y, c->n); break;
    case TYPE_zips_f32: ((bt_zips_f32_fn *)fn)(c->in[0], c->scalar, c->y, c->n); break;
    case TYPE_layer_norm_f32: ((bt_layer_norm_f32_fn *)fn)(c->in[0], c->in[1], c->in[2], c->scalar, c->y, c->n); break;
    case TYPE_softmax_f32: ((bt_softmax_f32_fn *)fn)(c->in[0], c->in[1], c->scalar, c->y, c->n); break;
    case TYPE_exp_sums_f32: run_exp_sums((bt_exp_sums_f32_fn *)fn, c); break;
    case TYPE_reduce_f32: c->y[0] = ((bt_reduce_f32_fn *)fn)(c->in[0], c->n); break;
    }
}

/* What the reference should give; false for kernels whose reference is one operation of float. */
static bool run_true(const struct version *v, const struct call *c)
{
    switch (v->type) {
    case TYPE_map_f32: true_map(v->id, c); return true;
    case TYPE_layer_norm_f32: true_layer_norm(c); return true;
    case TYPE_softmax_f32:
    case TYPE_exp_sums_f32: true_softmax(c); return true;
    default: return false;
    }
}

/* ---- inputs ---- */

static uint64_t random_state = 88172645463325252u;

static uint32_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}

static float random_unit(void)
{
    return (float)random_bits() / 4294967296.0f;
}

static float any_float(void)
{
    uint32_t bits = random_bits();
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The last kinds are not for sums: inf and NaN would hide what they should show. */
enum kind { SMALL, SHIFTED, CONSTANT, WIDE, NEGATIVE_INFINITIES, ONE_NAN, ONE_INFINITY, SPECIAL, ANY, KINDS };

static float input(enum kind kind, size_t i, size_t n)
{
    static const float special[] = {0.0f,    -0.0f,    INFINITY, -INFINITY, NAN,    FLT_MAX, -FLT_MAX,
                                    FLT_MIN, -FLT_MIN, 1e-45f,   -1e-45f,   88.72f, 88.73f,  -87.4f,
                                    -88.8f,  -103.9f,  -104.1f,  0.85f,     -13.5f, 14.9f};
    switch (kind) {
    case SMALL: return 8.0f * random_unit() - 4.0f;
    case SHIFTED: return 1000.0f + random_unit();
    case CONSTANT: return 0.1f;
    case WIDE: return (random_bits() & 1 ? 1.0f : -1.0f) * exp2f(36.0f * random_unit() - 30.0f);
    case NEGATIVE_INFINITIES: return i % 3 == 1 ? random_unit() : -INFINITY;
    case ONE_NAN: return i == n / 2 ? NAN : random_unit();
    case ONE_INFINITY: return i == n / 2 ? INFINITY : random_unit();
    case SPECIAL: return special[random_bits() % (sizeof special / sizeof special[0])];
    case ANY:
    case KINDS: break;
    }
    return any_float();
}

/* ---- comparing ---- */

/* Results below it may be rounded to 0: kernels avoid denormal numbers, which are slow. exp_sums says 2^-100 itself. */
#define TINY 0x1p-118
#define TINY_WEIGHT 0x1.02p-100

static double ulp(double magnitude)
{
    int exponent;
    frexp(magnitude, &exponent);
    return ldexp(1.0, exponent - FLT_MANT_DIG);
}

/* What element i was computed from, where the result alone may be small by cancellation. */
static double magnitude(const struct version *v, const struct call *c, size_t i, float want)
{
    double size = fabs((double)want);
    if (v->id == BT_KERNEL_sum_f32) {
        for (size_t k = 0; k < c->n; k++) {
            size += fabs((double)c->in[0][k]);
        }
    } else if (v->id == BT_KERNEL_layer_norm_f32) {
        size += (c->in[1] ? fabs((double)c->in[1][i]) : 1.0) + 2.0 * (c->in[2] ? fabs((double)c->in[2][i]) : 0.0);
    } else if (v->id == BT_KERNEL_gelu_tanh_f32) {
        size = fmax(size, fabs((double)c->in[0][i]) / 64.0);
    }
    return size;
}

static double worst[VERSIONS];
static long checks, failures;

static void compare(const struct version *v, const char *what, const struct call *c, const float *got,
                    const float *want, double tolerance)
{
    size_t count = v->type == TYPE_reduce_f32 ? 1 : c->n;
    for (size_t i = 0; i < count; i++) {
        checks++;
        if (got[i] == want[i] || (isnan(got[i]) && isnan(want[i]))) {
            continue;
        }
        double distance = fabs((double)got[i] - want[i]);
        const bool weight = v->type == TYPE_exp_sums_f32;
        if ((v->tolerance > 0.0 || weight) && distance <= (weight ? TINY_WEIGHT : TINY)) {
            continue;
        }
        double error = distance / ulp(magnitude(v, c, i, want[i]));
        worst[v - versions] = fmax(worst[v - versions], error);
        if (!(error <= tolerance) && failures++ < 20) {
            printf("%s %s, %s, n %zu: [%zu] of %.9g is %.9g, should be %.9g: %.2f ULP\n", v->name, bt_isa_name(v->isa),
                   what, c->n, i, (double)c->in[0][i], (double)got[i], (double)want[i], error);
        }
    }
}

static void expect(const struct version *v, const char *what, const struct call *c, bool holds)
{
    checks++;
    if (!holds && failures++ < 20) {
        printf("%s %s, n %zu: %s\n", v->name, bt_isa_name(v->isa), c->n, what);
    }
}

/* ---- memory ---- */

/* MAX_N floats and their guards, of which the last float is followed by an unreadable page. */
static float *new_array(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = ((MAX_N + 2 * GUARD) * sizeof(float) + page - 1) / page * page;
    char *base = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || mprotect(base + size, page, PROT_NONE) != 0) {
        perror("kernelcheck");
        exit(1);
    }
    return (float *)(base + size) - MAX_N;
}

static float *inputs[INPUTS], *output;

/* Where n floats begin in an array: at its end, or at a cache line with space behind. */
static float *place(float *array, size_t n, bool tight)
{
    return tight ? array + MAX_N - n : (float *)((uintptr_t)array / 64 * 64);
}

static void fill_guards(float *y, size_t n, bool tight)
{
    memset(y - GUARD / 2, 0xa5, (n + (tight ? GUARD / 2 : GUARD)) * sizeof(float));
}

static bool guards_hold(const float *y, size_t n, bool tight)
{
    unsigned char expected[GUARD / 2 * sizeof(float)];
    memset(expected, 0xa5, sizeof expected);
    return memcmp(y - GUARD / 2, expected, sizeof expected) == 0 &&
           (tight || memcmp(y + n, expected, sizeof expected) == 0);
}

/* ---- checks ---- */

static void check_case(const struct version *v, const struct version *ref, const struct call *call)
{
    static float want[MAX_N], before[MAX_N];
    struct call c = *call;
    if (v == ref) { /* the reference itself, against the truth */
        c.y = want;
        if (!run_true(v, &c)) {
            return;
        }
    } else {
        c.y = want;
        run(ref->type, ref->fn, &c);
    }
    for (int tight = 0; tight < 2; tight++) {
        for (size_t k = 0; k < INPUTS && c.in[k]; k++) {
            float *moved = place(inputs[k], c.n, tight);
            memmove(moved, c.in[k], c.n * sizeof(float));
            c.in[k] = moved;
        }
        memcpy(before, c.in[0], c.n * sizeof(float));
        size_t out = v->type == TYPE_reduce_f32 ? 1 : c.n;
        c.y = place(output, out, tight);
        fill_guards(c.y, out, tight);
        run(v->type, v->fn, &c);
        compare(v, tight ? "at the end of a page" : "aligned", &c, c.y, want, v == ref ? 1.0 : v->tolerance);
        expect(v, "writes outside of its output", &c, guards_hold(c.y, out, tight));
        expect(v, "changes its input", &c, memcmp(before, c.in[0], c.n * sizeof(float)) == 0);
        if (v->type != TYPE_reduce_f32) {
            static float apart[MAX_N];
            memcpy(apart, c.y, c.n * sizeof(float));
            c.y = (float *)(uintptr_t)c.in[0];
            run(v->type, v->fn, &c);
            expect(v, "differs in place", &c, memcmp(apart, c.y, c.n * sizeof(float)) == 0);
            memcpy(c.y, before, c.n * sizeof(float));
        }
    }
}

/* Sums of inf and huge numbers, and variances of them, depend on their order. */
static bool kind_fits(const struct version *v, enum kind kind)
{
    switch (v->type) {
    case TYPE_layer_norm_f32: return kind != SPECIAL && kind != ANY;
    case TYPE_reduce_f32: return v->id != BT_KERNEL_sum_f32 || (kind != SPECIAL && kind != ANY);
    default: return true;
    }
}

static void check_kind(const struct version *v, const struct version *ref, enum kind kind, size_t n)
{
    struct call c = {.n = n,
                     .scalar = v->type == TYPE_layer_norm_f32 ? 1e-5f
                               : v->type == TYPE_exp_sums_f32 ? 1.0f
                                                              : 0.125f};
    for (size_t k = 0; k < INPUTS; k++) {
        float *x = place(inputs[k], n, false);
        enum kind used = k > 0 && v->type == TYPE_layer_norm_f32 ? SMALL : kind;
        for (size_t i = 0; i < n; i++) {
            x[i] = input(used, i, n);
        }
        c.in[k] = x;
    }
    check_case(v, ref, &c);
    if (v->type == TYPE_layer_norm_f32 || v->type == TYPE_softmax_f32 ||
        v->type == TYPE_exp_sums_f32) { /* without the optional operands */
        c.in[2] = NULL;
        check_case(v, ref, &c);
        c.in[1] = NULL;
        check_case(v, ref, &c);
    }
}

static void check_version(const struct version *v, const struct version *ref)
{
    static const size_t large[] = {127, 128, 384, 1000, 4099};
    for (int kind = 0; kind < KINDS; kind++) {
        for (size_t n = v->type == TYPE_reduce_f32 ? 1 : 0; n <= 70 && kind_fits(v, (enum kind)kind); n++) {
            check_kind(v, ref, (enum kind)kind, n);
        }
        for (size_t k = 0; k < sizeof large / sizeof large[0] && kind_fits(v, (enum kind)kind); k++) {
            check_kind(v, ref, (enum kind)kind, large[k]);
        }
    }
}

/* The table has the last version of each kernel that does not ask for more than `isa`. */
static void check_dispatch(enum bt_isa isa)
{
    struct bt_kernels kernels;
    bt_kernels_init(&kernels, isa);
    for (const struct version *v = versions; v < versions + VERSIONS; v++) {
        bool better = v + 1 < versions + VERSIONS && v[1].id == v->id && v[1].isa <= isa;
        struct call none = {.n = 0};
        expect(v, "is not the version in the table", &none, v->isa > isa || (kernels.isa[v->id] == v->isa) == !better);
    }
}

/* ---- speed ---- */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void bench_version(const struct version *v)
{
    static const size_t lengths[] = {128, 768, 3072, 1 << 20};
    static const int streams[] = {2, 3, 2, 2, 2, 2, 4, 1}; /* by type: arrays read and written */
    static float a[1 << 20], b[1 << 20], y[1 << 20];
    for (size_t i = 0; i < sizeof a / sizeof a[0]; i++) {
        a[i] = 8.0f * random_unit() - 4.0f;
        b[i] = random_unit() + 0.5f;
    }
    printf("%-16s %-7s", v->name, bt_isa_name(v->isa));
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
        struct call c = {.in = {a, b, b}, .scalar = 0.5f, .y = y, .n = lengths[k]};
        double best = INFINITY;
        for (int round = 0; round < 5; round++) {
            size_t calls = (1 << 21) / lengths[k] / (v->isa == BT_ISA_REF ? 8 : 1) + 1;
            double start = now();
            for (size_t i = 0; i < calls; i++) {
                run(v->type, v->fn, &c);
            }
            best = fmin(best, (now() - start) / (double)calls);
        }
        double n = (double)lengths[k];
        printf(" | %7zu %9.0f ns %6.2f/ns %6.1f GB/s", lengths[k], best, n / best,
               n * streams[v->type] * sizeof(float) / best);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    bool bench = false, verbose = false;
    const char *prefix = "";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bench") == 0) {
            bench = true;
        } else if (strcmp(argv[i], "-v") == 0) {
            verbose = true;
        } else {
            prefix = argv[i];
        }
    }
    for (size_t k = 0; k < INPUTS; k++) {
        inputs[k] = new_array();
    }
    output = new_array();
    bool skipped[BT_ISA_COUNT] = {false};
    check_dispatch(BT_ISA_REF);
    check_dispatch(bt_cpu_isa());
    const struct version *ref = versions;
    for (const struct version *v = versions; v < versions + VERSIONS; v++) {
        ref = v->isa == BT_ISA_REF ? v : ref;
        if (strncmp(v->name, prefix, strlen(prefix)) != 0) {
            continue;
        }
        if (v->isa > bt_cpu_isa()) {
            skipped[v->isa] = true;
        } else if (bench) {
            bench_version(v);
        } else {
            check_version(v, ref);
            if (verbose) {
                printf("%-16s %-7s %5.2f ULP of %g\n", v->name, bt_isa_name(v->isa), worst[v - versions],
                       v == ref ? 1.0 : v->tolerance);
            }
        }
    }
    for (int isa = 0; isa < BT_ISA_COUNT; isa++) {
        if (skipped[isa]) {
            printf("kernelcheck: %s skipped, which this CPU lacks or BERTC_CPU excludes\n",
                   bt_isa_name((enum bt_isa)isa));
        }
    }
    if (!bench) {
        printf("kernelcheck: %ld checks, %ld failures\n", checks, failures);
    }
    return failures > 0;
}
