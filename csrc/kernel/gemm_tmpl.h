/* gemm_tmpl.h: the packed GEMM, over the vectors of a header of kernel/simd/
 * A gemm.c includes that header, defines BT_VERSION(name), TILE_ROWS, PANEL_VECTORS and WIDE_PANELS, then includes
 * this. The tile of C lives in registers: TILE_ROWS x PANEL_VECTORS accumulators, one vector of B each, one
 * broadcast of A. One or two rows take WIDE_PANELS panels at a time: more chains, to hide the latency of an fma. */
#include <string.h>

#include "kernel/math_tmpl.h"
#include "kernel/pack_tmpl.h"
#include "kernel/panel.h"

enum {
    NR = PANEL_VECTORS * VF_LANES,
    DEPTH = 768, /* of K at a time, each with a sum of its own: the rounding errors of long sums stay small */
    ROWS = 18 * TILE_ROWS,      /* of A at a time, */
    ROWS_SIZE = 3 * (64 << 10), /* and at most so many floats: they stay in the L2 cache */
    TURN = 2,  /* values of K that a turn of the innermost loop has */
    GROUP = 5, /* rows of A with one pointer: x86 addresses them as it plus 0, 1, 2, 3 or 4 times the stride */
    GROUPS = (TILE_ROWS + GROUP - 1) / GROUP,
    LINE = 16, /* floats of a cache line */
};

/* What is brought to the cache during a tile: lines side by side in several streams, which the hardware then runs
 * ahead of, one line or a part of it from each stream in a turn. */
struct ahead {
    const float *next;
    int64_t streams;
    int64_t span; /* from stream to stream */
    int64_t step; /* in a turn */
};

/* A block of C and what goes into it. */
struct block {
    int64_t kc; /* values of K */
    const float *a;
    int64_t lda;
    const float *b; /* the first panel, at the first of these values of K */
    int64_t b_step; /* from panel to panel */
    struct ahead ahead;
    float *c;
    int64_t ldc;
    const float *before; /* what the sum is added to: C so far, the bias, or NULL */
    int64_t before_step; /* from row to row */
};

/* Adds to the tile's sums the products of one value of K: the one `k` after where a and b point. */
BT_INLINE void multiply_add(int mr, int panels, int k, const float *const *a, int64_t lda, const float *b,
                            int64_t b_step, vf (*sum)[WIDE_PANELS * PANEL_VECTORS])
{
    const int nv = panels * PANEL_VECTORS;
    vf row[WIDE_PANELS * PANEL_VECTORS];
    BT_UNROLL
    for (int j = 0; j < nv; j++) {
        row[j] = vf_load(b + k * NR + j / PANEL_VECTORS * b_step + j % PANEL_VECTORS * VF_LANES);
    }
    BT_UNROLL
    for (int i = 0; i < mr; i++) {
        const vf x = vf_set1(a[i / GROUP][i % GROUP * lda + k]);
        BT_UNROLL
        for (int j = 0; j < nv; j++) {
            sum[i][j] = vf_fma(x, row[j], sum[i][j]);
        }
    }
}

/* mr rows by `panels` panels. */
BT_INLINE void tile(int mr, int panels, const struct block *t)
{
    const int nv = panels * PANEL_VECTORS;
    vf sum[TILE_ROWS][WIDE_PANELS * PANEL_VECTORS];
    BT_UNROLL
    for (int i = 0; i < mr; i++) {
        BT_UNROLL
        for (int j = 0; j < nv; j++) {
            sum[i][j] = vf_set1(0.0f);
        }
    }
    const float *a[GROUPS], *b = t->b;
    const int64_t lda = t->lda, b_step = t->b_step;
    BT_UNROLL
    for (int i = 0; i * GROUP < mr; i++) {
        a[i] = t->a + i * GROUP * lda;
    }
    struct ahead ahead = t->ahead;
    int64_t left = t->kc;
    for (; left >= TURN; left -= TURN) {
        const float *line = ahead.next;
        for (int64_t i = 0; i < ahead.streams; i++, line += ahead.span) {
            __builtin_prefetch(line, 0, 2);
        }
        ahead.next += ahead.step;
        BT_UNROLL
        for (int k = 0; k < TURN; k++) {
            multiply_add(mr, panels, k, a, lda, b, b_step, sum);
        }
        b += TURN * NR;
        BT_UNROLL
        for (int i = 0; i * GROUP < mr; i++) {
            a[i] += TURN;
        }
    }
    for (int k = 0; k < left; k++) {
        multiply_add(mr, panels, k, a, lda, b, b_step, sum);
    }
    float *c = t->c;
    const float *before = t->before;
    const int64_t ldc = t->ldc, before_step = t->before_step;
    BT_UNROLL
    for (int i = 0; before && i < mr; i++, before += before_step) {
        BT_UNROLL
        for (int j = 0; j < nv; j++) {
            sum[i][j] = vf_add(sum[i][j], vf_load(before + j * VF_LANES));
        }
    }
    BT_UNROLL
    for (int i = 0; i < mr; i++, c += ldc) {
        BT_UNROLL
        for (int j = 0; j < nv; j++) {
            vf_store(c + j * VF_LANES, sum[i][j]);
        }
    }
}

/* The tile's loops have constant bounds: one function for each height. */
typedef void tile_fn(const struct block *t);
#define TILE(name, mr, panels)                \
    static void name(const struct block *t)   \
    {                                         \
        tile(mr, panels, t);                  \
    }
TILE(tile_1, 1, 1)
TILE(tile_2, 2, 1)
TILE(tile_3, 3, 1)
TILE(tile_4, 4, 1)
TILE(tile_5, 5, 1)
TILE(tile_6, 6, 1)
#if TILE_ROWS > 6
TILE(tile_7, 7, 1)
TILE(tile_8, 8, 1)
TILE(tile_9, 9, 1)
TILE(tile_10, 10, 1)
TILE(tile_11, 11, 1)
TILE(tile_12, 12, 1)
TILE(tile_13, 13, 1)
TILE(tile_14, 14, 1)
#endif
TILE(wide_1, 1, WIDE_PANELS)
TILE(wide_2, 2, WIDE_PANELS)

static tile_fn *const tiles[TILE_ROWS + 1] = {
    NULL,   tile_1, tile_2, tile_3,  tile_4,  tile_5,  tile_6,
#if TILE_ROWS > 6
    tile_7, tile_8, tile_9, tile_10, tile_11, tile_12, tile_13, tile_14,
#endif
};
static tile_fn *const wide_tiles[] = {NULL, wide_1, wide_2};
enum { WIDE_ROWS = 2 };

BT_INLINE vf identity(vf x)
{
    return x;
}

/* What follows the product, on rows of C that are still in the cache. */
BT_INLINE void finish_rows(vf (*f)(vf), const struct bt_panel_args *g, int64_t m, int64_t rows, int64_t n, int64_t cols)
{
    for (int64_t i = m; i < m + rows; i++) {
        float *c = g->C + i * g->ldc + n;
        const float *r = g->residual ? g->residual + i * g->ldr + n : NULL;
        int64_t j = 0;
        for (; j + VF_LANES <= cols; j += VF_LANES) {
            const vf y = f(vf_load(c + j));
            vf_store(c + j, r ? vf_add(y, vf_load(r + j)) : y);
        }
        if (j < cols) {
            const size_t tail = (size_t)(cols - j);
            const vf y = f(vf_load_tail(c + j, tail, 0.0f));
            vf_store_tail(c + j, r ? vf_add(y, vf_load_tail(r + j, tail, 0.0f)) : y, tail);
        }
    }
}

static void finish(const struct bt_panel_args *g, int64_t m, int64_t rows, int64_t n, int64_t cols)
{
    switch (g->activation) {
    case BT_ACT_COUNT:
    case BT_ACT_NONE:
        if (g->residual) {
            finish_rows(identity, g, m, rows, n, cols);
        }
        break;
    case BT_ACT_GELU_ERF: finish_rows(math_gelu_erf, g, m, rows, n, cols); break;
    case BT_ACT_GELU_TANH: finish_rows(math_gelu_tanh, g, m, rows, n, cols); break;
    case BT_ACT_TANH: finish_rows(math_tanh, g, m, rows, n, cols); break;
    case BT_ACT_RELU: finish_rows(math_relu, g, m, rows, n, cols); break;
    case BT_ACT_SILU: finish_rows(math_silu, g, m, rows, n, cols); break;
    case BT_ACT_SIGMOID: finish_rows(math_sigmoid, g, m, rows, n, cols); break;
    }
}

/* A part of K: which, and whether it begins or ends it. */
struct part {
    int64_t start, size;
    bool first, last;
};

/* The last panel when it is not full: computed beside C, which gets the columns that exist. */
static void edge_tile(const struct bt_panel_args *g, struct block t, bool first, int64_t rows, int64_t cols)
{
    float c[TILE_ROWS * NR], bias[NR] = {0};
    float *const out = t.c;
    const size_t size = (size_t)cols * sizeof(float);
    if (first && g->bias) {
        memcpy(bias, t.before, size);
    }
    for (int64_t i = 0; i < rows && !first; i++) {
        memcpy(c + i * NR, out + i * t.ldc, size);
        memset(c + i * NR + cols, 0, NR * sizeof(float) - size);
    }
    const int64_t ldc = t.ldc;
    t.c = c;
    t.ldc = NR;
    t.before = first ? bias : c;
    t.before_step = first ? 0 : NR;
    tiles[rows](&t);
    for (int64_t i = 0; i < rows; i++) {
        memcpy(out + i * ldc, c + i * NR, size);
    }
}

/* What comes next, as much as a panel's part of K, is spread over `count` tiles: all of it during the first would fill
 * the buffers that A needs. */
static struct ahead look_ahead(const float *next, int64_t kc, int64_t count)
{
    const int64_t streams = (TURN * NR / LINE + count - 1) / count, share = count * streams;
    const int64_t step = (TURN * NR + share - 1) / share;
    return (struct ahead){next, streams, kc / TURN * step, step};
}

/* Rows [m, m + rows) by the columns of the panel or panels at n. */
static void run_columns(const struct bt_panel_args *g, struct part k, int64_t m, int64_t rows, int64_t n, int64_t cols)
{
    struct block t = {.kc = k.size, .lda = g->lda, .b = g->B + n * g->K + k.start * NR, .b_step = NR * g->K};
    t.ldc = g->ldc;
    int64_t left = (rows + TILE_ROWS - 1) / TILE_ROWS;
    t.ahead = look_ahead(k.last ? g->B + (n + cols) * g->K : t.b + k.size * NR, k.size, left);
    /* tiles of about equal height */
    for (const int64_t end = m + rows; m < end; left--) {
        const int64_t mr = (end - m + left - 1) / left;
        t.a = g->A + m * g->lda + k.start;
        t.c = g->C + m * g->ldc + n;
        t.before = !k.first ? t.c : g->bias ? g->bias + n : NULL;
        t.before_step = k.first ? 0 : g->ldc;
        if (cols > NR) {
            wide_tiles[mr](&t);
        } else if (cols == NR) {
            tiles[mr](&t);
        } else {
            edge_tile(g, t, k.first, mr, cols);
        }
        if (k.last) {
            finish(g, m, mr, n, cols);
        }
        m += mr;
        t.ahead.next += t.ahead.streams * t.ahead.span;
    }
}

static void run_rows(const struct bt_panel_args *g, int64_t m, int64_t rows)
{
    const int64_t wide = rows <= WIDE_ROWS ? WIDE_PANELS * NR : NR;
    for (int64_t n = 0, cols; n < g->N; n += cols) {
        const int64_t rest = g->N - n;
        cols = rest >= wide ? wide : rest < NR ? rest : NR;
        int64_t start = 0;
        do { /* the columns' part of C stays in the cache meanwhile */
            const int64_t size = g->K - start < DEPTH ? g->K - start : DEPTH;
            run_columns(g, (struct part){start, size, start == 0, start + size == g->K}, m, rows, n, cols);
            start += size;
        } while (start < g->K);
    }
}

static int64_t rows_at_once(int64_t K)
{
    const int64_t fit = ROWS_SIZE / (K > 0 ? K : 1);
    return fit < TILE_ROWS ? TILE_ROWS : fit < ROWS ? fit : ROWS;
}

static void run(const struct bt_panel_args *g)
{
    const int64_t most = rows_at_once(g->K);
    int64_t left = (g->M + most - 1) / most;
    for (int64_t m = 0; m < g->M; left--) {
        const int64_t rows = (g->M - m + left - 1) / left;
        run_rows(g, m, rows);
        m += rows;
    }
}

const struct bt_panel_gemm BT_VERSION(panel_gemm) = {TILE_ROWS, NR, run, pack};
