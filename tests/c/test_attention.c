/* test_attention.c: attention in blocks: right at real sizes, and a query's result the same whatever is around it */
#include "base/memory.h"
#include "exec_net.h"
#include "step_check.h"

enum { BATCH = 2, HEADS = 2 };

/* How the keys behind the real ones are masked. */
enum masking { NO_MASK, BOOL_MASK, INFINITE_MASK, LOWEST_MASK, TEN_THOUSAND, MASKINGS };

/* One call: `real` of the keys count; queries are the first ones of as many as there are keys. */
struct problem {
    int64_t batch, queries, keys, real, width, value_width;
    enum masking masking;
    bool per_query; /* the mask has a row for each query */
    bool causal;
    bool nan_rows;
    bool by_token; /* [batch, token, head, width] in memory, as linear layers leave it, and so the result */
};

/* The same value wherever the item stands, so that problems of other sizes agree where they overlap. */
static float item(int64_t which, int64_t batch, int64_t head, int64_t row, int64_t col)
{
    uint64_t x = (uint64_t)((((which * 7 + batch) * 13 + head) * 10007 + row) * 101 + col) * 0x9e3779b97f4a7c15u;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9u;
    return (float)(x >> 40) / (float)(1 << 22) - 2.0f;
}

static struct bt_ref layout(int64_t batch, int64_t rows, int64_t cols, bool by_token)
{
    struct bt_ref ref = {.space = BT_SPACE_CONSTANT, .dtype = BT_F32, .rank = 4};
    const int64_t dims[4] = {batch, HEADS, rows, cols};
    const int64_t permuted[4] = {rows * HEADS * cols, cols, HEADS * cols, 1};
    memcpy(ref.dims, dims, sizeof dims);
    bt_contiguous_strides(4, dims, ref.strides);
    if (by_token) {
        memcpy(ref.strides, permuted, sizeof permuted);
    }
    ref.data = buffer_new(bt_numel(4, dims) * (int64_t)sizeof(float));
    return ref;
}

static struct bt_ref operand(int64_t which, int64_t batch, int64_t rows, int64_t cols, bool by_token)
{
    struct bt_ref ref = layout(batch, rows, cols, by_token);
    for (int64_t i = 0; i < bt_numel(4, ref.dims); i++) {
        int64_t col = i % cols, row = i / cols % rows, head = i / cols / rows % HEADS, b = i / cols / rows / HEADS;
        int64_t at = b * ref.strides[0] + head * ref.strides[1] + row * ref.strides[2] + col * ref.strides[3];
        ((float *)(uintptr_t)ref.data)[at] = item(which, b, head, row, col);
    }
    return ref;
}

static struct bt_step_arg mask_of(const struct problem *p)
{
    static const double masked[MASKINGS] = {0.0, 0.0, -INFINITY, -3.4028234663852886e38, -10000.0};
    const int64_t dims[4] = {p->batch, 1, p->per_query ? p->queries : 1, p->keys};
    if (p->masking == NO_MASK) {
        return arg_none();
    }
    struct bt_ref ref = tensor_plain(p->masking == BOOL_MASK ? BT_BOOL : BT_F32, 4, dims);
    for (int64_t i = 0; i < bt_numel(4, dims); i++) {
        bool keep = i % p->keys < p->real;
        item_store(ref.dtype, (void *)(uintptr_t)ref.data, i,
                   p->masking == BOOL_MASK ? keep
                   : keep                  ? 0.0
                                           : masked[p->masking]);
    }
    return arg_tensor(ref);
}

/* The result's first item; its row of a query is `width` items from result_at on. */
static const float *solve(const struct problem *p, int threads, struct bt_ref *out)
{
    struct bt_step_arg args[7] = {arg_tensor(operand(0, p->batch, p->queries, p->width, p->by_token)),
                                  arg_tensor(operand(1, p->batch, p->keys, p->width, p->by_token)),
                                  arg_tensor(operand(2, p->batch, p->keys, p->value_width, p->by_token)),
                                  mask_of(p),
                                  arg_int(p->causal),
                                  arg_none(),
                                  arg_int(p->nan_rows)};
    struct bt_step step = {.fn = bt_step_sdpa, .op = BT_OP_SDPA, .nargs = 7, .args = args, .nouts = 1};
    struct bertc_error err = {0};
    step.outs[0] = layout(p->batch, p->queries, p->value_width, p->by_token);
    step.scratch_size = bt_step_scratch(&step, &kernels);
    step.scratch = (struct bt_ref){.space = BT_SPACE_CONSTANT, .data = buffer_new(step.scratch_size)};
    memset((void *)(uintptr_t)step.scratch.data, 0xff, (size_t)step.scratch_size); /* NaN, where it is read too early */
    struct bt_run run = {.kernels = &kernels, .threads = threads};
    CHECK(bt_step_sdpa(&step, &run, &err) == BERTC_OK);
    *out = step.outs[0];
    return step.outs[0].data;
}

static const float *result_row(const struct bt_ref *out, int64_t batch, int64_t head, int64_t query)
{
    return (const float *)out->data + batch * out->strides[0] + head * out->strides[1] + query * out->strides[2];
}

/* Whether the queries and batch items that both problems have come out the same, bit for bit. */
static bool same_rows(const struct problem *a, int a_threads, const struct problem *b, int b_threads)
{
    struct bt_ref x, y;
    bool same = solve(a, a_threads, &x) && solve(b, b_threads, &y);
    for (int64_t i = 0; i < a->batch && i < b->batch; i++) {
        for (int64_t head = 0; head < HEADS; head++) {
            for (int64_t query = 0; query < a->queries && query < b->queries; query++) {
                same = same && memcmp(result_row(&x, i, head, query), result_row(&y, i, head, query),
                                      (size_t)a->value_width * sizeof(float)) == 0;
            }
        }
    }
    free_buffers();
    return same;
}

static double formula(const struct problem *p, int64_t batch, int64_t head, int64_t query, int64_t col)
{
    double sum = 0.0, total = 0.0;
    for (int64_t key = 0; key < p->real && !(p->causal && key > query); key++) {
        double score = 0.0;
        for (int64_t k = 0; k < p->width; k++) {
            score += (double)item(0, batch, head, query, k) * (double)item(1, batch, head, key, k);
        }
        const double weight = exp(score / sqrt((double)p->width));
        sum += weight;
        total += weight * (double)item(2, batch, head, key, col);
    }
    return total / sum;
}

static bool is_right(const struct problem *p)
{
    struct bt_ref out;
    bool right = solve(p, 2, &out);
    for (int64_t i = 0; i < p->batch * HEADS * p->queries && right; i += 1 + p->queries / 16) {
        int64_t query = i % p->queries, head = i / p->queries % HEADS, batch = i / p->queries / HEADS;
        for (int64_t col = 0; col < p->value_width; col++) {
            const double got = (double)result_row(&out, batch, head, query)[col];
            right = right && fabs(got - formula(p, batch, head, query, col)) < 1e-5;
        }
    }
    free_buffers();
    return right;
}

static const int64_t lengths[] = {1, 5, 14, 33, 128, 257, 300};
static const int64_t widths[][2] = {{32, 32}, {64, 64}, {20, 40}, {64, 7}};
enum { LENGTHS = sizeof lengths / sizeof lengths[0], WIDTHS = sizeof widths / sizeof widths[0] };

/* By number: every length, width, masking and flag in turn. */
static struct problem problem_at(int i)
{
    const int64_t n = lengths[i % LENGTHS], *width = widths[i / LENGTHS % WIDTHS];
    return (struct problem){.batch = BATCH,
                            .queries = n,
                            .keys = n,
                            .real = n,
                            .width = width[0],
                            .value_width = width[1],
                            .causal = i % 3 == 2,
                            .by_token = i % 2 == 0};
}

enum { PROBLEMS = 2 * LENGTHS * WIDTHS };

static void test_values(void)
{
    for (int i = 0; i < PROBLEMS; i++) {
        struct problem p = problem_at(i);
        CHECK(is_right(&p));
        p.masking = (enum masking)(1 + i % (MASKINGS - 1));
        p.per_query = i % 4 == 1;
        p.keys += 1 + i % 50;
        CHECK(is_right(&p));
    }
}

static void test_masked_keys(void)
{
    for (int i = 0; i < PROBLEMS && kernels.panel; i++) {
        const struct problem alone = problem_at(i);
        struct problem padded = alone;
        padded.masking = (enum masking)(1 + i % (MASKINGS - 1));
        padded.per_query = i % 5 == 1;
        padded.keys += 1 + i * 7 % 300;
        CHECK(same_rows(&alone, 1, &padded, 1));
        padded.queries += 20; /* other blocks, too */
        CHECK(same_rows(&alone, 1, &padded, 3));
    }
}

static void test_surroundings(void)
{
    for (int i = 0; i < PROBLEMS && kernels.panel; i++) {
        const struct problem p = problem_at(i);
        struct problem other = p;
        CHECK(same_rows(&p, 1, &other, 4));
        other.by_token = !p.by_token;
        CHECK(same_rows(&p, 1, &other, 1));
        other.batch = 1;
        CHECK(same_rows(&p, 1, &other, 1));
        other.queries = 1 + p.queries / 3;
        CHECK(same_rows(&p, 1, &other, 1));
    }
}

/* A query whose keys are all masked attends to nothing when they are left out, and to all alike when they are only
 * unlikely. */
static void test_all_masked(void)
{
    for (int masking = BOOL_MASK; masking < TEN_THOUSAND; masking++) {
        struct problem p = {
            .batch = 1, .queries = 40, .keys = 40, .width = 8, .value_width = 3, .masking = (enum masking)masking};
        struct bt_ref out;
        double mean = 0.0;
        for (int64_t key = 0; key < p.keys && masking == LOWEST_MASK; key++) {
            mean += (double)item(2, 0, 0, key, 0) / (double)p.keys;
        }
        CHECK(fabs((double)solve(&p, 1, &out)[0] - mean) < 1e-6);
        p.nan_rows = true;
        CHECK(isnan(solve(&p, 1, &out)[0]) == (masking != LOWEST_MASK));
        free_buffers();
    }
}

/* attention -> permute -> reshape, as in a layer: the attention writes the layer's rows itself. */
static void test_layout(void)
{
    enum { B = 2, H = 3, S = 17, D = 8, COUNT = B * H * S * D };
    static float x[COUNT];
    for (int i = 0; i < COUNT; i++) {
        x[i] = item(3, 0, 0, 0, i);
    }
    for (int both = 0; both < 2; both++) {
        struct net net;
        net_init(&net);
        bt_value in = net_input(&net, BT_F32, 4, (int64_t[]){B, H, S, D}, x);
        bt_value heads = NET_OP(&net, BT_OP_SDPA, bt_arg_value(in), bt_arg_value(in), bt_arg_value(in));
        bt_value tokens = NET_OP(&net, BT_OP_PERMUTE, bt_arg_value(heads), net_ints(&net, 4, (int64_t[]){0, 2, 1, 3}));
        net_output(&net,
                   NET_OP(&net, BT_OP_RESHAPE, bt_arg_value(tokens), net_ints(&net, 3, (int64_t[]){B, S, H * D})));
        if (both) {
            net_output(&net, heads);
        }
        CHECK(net_run(&net, 1));
        CHECK(net.plan->step_count == (both ? 2u : 1u));
        const float *rows = (const float *)net.outputs[0], *plain = (const float *)net.outputs[1];
        for (int i = 0; i < COUNT && both; i++) {
            int col = i % D, row = i / D % S, head = i / D / S % H, batch = i / D / S / H;
            CHECK(plain[i] == rows[((batch * S + row) * H + head) * D + col]);
        }
        net_free(&net);
    }
}

int main(void)
{
    for (int isa = BT_ISA_REF; isa < BT_ISA_COUNT; isa++) {
        if (isa != BT_ISA_REF && isa != (int)bt_cpu_isa() && !(isa == BT_ISA_AVX2 && bt_cpu_isa() == BT_ISA_AVX512)) {
            continue;
        }
        bt_kernels_init(&kernels, (enum bt_isa)isa);
        printf("%s\n", bt_isa_name((enum bt_isa)isa));
        check_group("attention: values", test_values);
        check_group("attention: masked keys", test_masked_keys);
        check_group("attention: surroundings", test_surroundings);
        check_group("attention: all masked", test_all_masked);
    }
    check_group("attention: layout", test_layout);
    return check_result();
}
