/* test_exec.c: plans: views, memory, outputs, constants; with what a plain evaluation gives */
#include "exec_net.h"

enum { MAX_ITEMS = 8192 };

/* A tensor as plain numbers. */
struct plain {
    int rank;
    int64_t dims[BT_MAX_RANK];
    double items[MAX_ITEMS];
};

/* Item `to` of the result comes from item source(...) of x: each view is such a map over indices. */
typedef void source_fn(const int64_t *index, const int64_t *args, int rank, int64_t *source);

static void remap(struct plain *x, int rank, const int64_t *dims, source_fn *fn, const int64_t *args)
{
    static struct plain old;
    old = *x;
    int64_t index[BT_MAX_RANK], source[BT_MAX_RANK], strides[BT_MAX_RANK];
    bt_contiguous_strides(old.rank, old.dims, strides);
    x->rank = rank;
    memcpy(x->dims, dims, sizeof x->dims);
    int64_t count = bt_numel(rank, dims);
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, at = 0;
        for (int d = rank - 1; d >= 0; d--) {
            index[d] = rest % dims[d];
            rest /= dims[d];
        }
        fn(index, args, rank, source);
        for (int d = 0; d < old.rank; d++) {
            at += source[d] * strides[d];
        }
        x->items[i] = old.items[at];
    }
}

static void permute_source(const int64_t *index, const int64_t *args, int rank, int64_t *source)
{
    for (int d = 0; d < rank; d++) {
        source[args[d]] = index[d];
    }
}

static void slice_source(const int64_t *index, const int64_t *args, int rank, int64_t *source)
{
    for (int d = 0; d < rank; d++) {
        source[d] = d == args[0] ? args[1] + index[d] * args[2] : index[d];
    }
}

static void select_source(const int64_t *index, const int64_t *args, int rank, int64_t *source)
{
    for (int d = 0; d <= rank; d++) {
        source[d] = d < args[0] ? index[d] : d == args[0] ? args[1] : index[d - 1];
    }
}

static void expand_source(const int64_t *index, const int64_t *args, int rank, int64_t *source)
{
    for (int d = 0; d < rank; d++) {
        source[d] = d == args[0] ? 0 : index[d];
    }
}

struct chain {
    struct net net;
    uint64_t random;
    bt_value value;
    struct plain x;
};

static void add_permute(struct chain *c)
{
    int64_t dims[BT_MAX_RANK] = {0}, order[BT_MAX_RANK];
    for (int d = 0; d < c->x.rank; d++) {
        order[d] = d;
    }
    for (int d = c->x.rank - 1; d > 0; d--) {
        int64_t other = net_between(&c->random, 0, d), old = order[d];
        order[d] = order[other];
        order[other] = old;
    }
    for (int d = 0; d < c->x.rank; d++) {
        dims[d] = c->x.dims[order[d]];
    }
    c->value = NET_OP(&c->net, BT_OP_PERMUTE, bt_arg_value(c->value), net_ints(&c->net, c->x.rank, order));
    remap(&c->x, c->x.rank, dims, permute_source, order);
}

static void add_slice(struct chain *c)
{
    struct bt_graph *g = &c->net.graph;
    int64_t dim = net_between(&c->random, 0, c->x.rank - 1), size = c->x.dims[dim];
    int64_t start = net_between(&c->random, 0, size > 0 ? size - 1 : 0), end = net_between(&c->random, start, size);
    int64_t step = net_between(&c->random, 1, 3), dims[BT_MAX_RANK];
    memcpy(dims, c->x.dims, sizeof dims);
    dims[dim] = (end - start + step - 1) / step;
    c->value = NET_OP(&c->net, BT_OP_SLICE, bt_arg_value(c->value), bt_arg_int(g, dim), bt_arg_int(g, start),
                      bt_arg_int(g, end), bt_arg_int(g, step));
    remap(&c->x, c->x.rank, dims, slice_source, (int64_t[]){dim, start, step});
}

static void add_select(struct chain *c)
{
    int64_t dim = net_between(&c->random, 0, c->x.rank - 1), dims[BT_MAX_RANK] = {0};
    if (c->x.dims[dim] == 0) {
        return;
    }
    int64_t index = net_between(&c->random, 0, c->x.dims[dim] - 1);
    for (int d = 0; d < c->x.rank - 1; d++) {
        dims[d] = c->x.dims[d < dim ? d : d + 1];
    }
    c->value = NET_OP(&c->net, BT_OP_SELECT, bt_arg_value(c->value), bt_arg_int(&c->net.graph, dim),
                      bt_arg_int(&c->net.graph, index));
    remap(&c->x, c->x.rank - 1, dims, select_source, (int64_t[]){dim, index});
}

static void add_expand(struct chain *c)
{
    int64_t dim = net_between(&c->random, 0, c->x.rank - 1), dims[BT_MAX_RANK];
    if (c->x.dims[dim] != 1 || bt_numel(c->x.rank, c->x.dims) * 3 > MAX_ITEMS) {
        return;
    }
    memcpy(dims, c->x.dims, sizeof dims);
    dims[dim] = 3;
    c->value = NET_OP(&c->net, BT_OP_EXPAND, bt_arg_value(c->value), net_ints(&c->net, c->x.rank, dims));
    remap(&c->x, c->x.rank, dims, expand_source, (int64_t[]){dim});
}

/* Reshapes leave the items where they are. */
static void add_reshape(struct chain *c)
{
    int64_t dims[BT_MAX_RANK];
    int rank = 0;
    for (int d = 0; d < c->x.rank; d++) {
        if (rank > 0 && net_between(&c->random, 0, 1)) {
            dims[rank - 1] *= c->x.dims[d];
        } else if (c->x.dims[d] % 2 == 0 && c->x.dims[d] > 0 && c->x.rank < 6) {
            dims[rank++] = 2;
            dims[rank++] = c->x.dims[d] / 2;
        } else {
            dims[rank++] = c->x.dims[d];
        }
        if (rank >= 6) {
            return;
        }
    }
    c->value = NET_OP(&c->net, BT_OP_RESHAPE, bt_arg_value(c->value), net_ints(&c->net, rank, dims));
    c->x.rank = rank;
    memcpy(c->x.dims, dims, sizeof dims);
}

static void add_unsqueeze(struct chain *c)
{
    int64_t dim = net_between(&c->random, 0, c->x.rank);
    if (c->x.rank >= 6) {
        return;
    }
    c->value = NET_OP(&c->net, BT_OP_UNSQUEEZE, bt_arg_value(c->value), bt_arg_int(&c->net.graph, dim));
    memmove(c->x.dims + dim + 1, c->x.dims + dim, (size_t)(c->x.rank - dim) * sizeof *c->x.dims);
    c->x.dims[dim] = 1;
    c->x.rank++;
}

static void add_squeeze(struct chain *c)
{
    int rank = 0;
    int64_t squeezed[BT_MAX_RANK], count = 0;
    for (int d = 0; d < c->x.rank; d++) {
        if (c->x.dims[d] == 1) {
            squeezed[count++] = d;
        } else {
            c->x.dims[rank++] = c->x.dims[d];
        }
    }
    c->x.rank = rank;
    if (count > 0) {
        c->value = NET_OP(&c->net, BT_OP_SQUEEZE, bt_arg_value(c->value), net_ints(&c->net, (int)count, squeezed));
    }
}

/* A copy, so that later views are into the workspace. */
static void add_negation(struct chain *c)
{
    c->value = NET_OP(&c->net, BT_OP_NEG, bt_arg_value(c->value));
    for (int64_t i = 0; i < bt_numel(c->x.rank, c->x.dims); i++) {
        c->x.items[i] = -c->x.items[i];
    }
}

static void test_views(void)
{
    static void (*const links[])(struct chain *) = {add_permute, add_slice,   add_select,  add_expand,   add_reshape,
                                                    add_reshape, add_squeeze, add_permute, add_negation, add_unsqueeze};
    static float data[MAX_ITEMS];
    static struct chain c;
    for (int i = 0; i < MAX_ITEMS; i++) {
        data[i] = (float)i;
    }
    for (uint64_t seed = 1; seed <= 300; seed++) {
        net_init(&c.net);
        c.random = seed * 7919;
        c.x.rank = (int)net_between(&c.random, 1, 4);
        for (int d = 0; d < c.x.rank; d++) {
            c.x.dims[d] = net_between(&c.random, seed % 10 ? 1 : 0, 6);
        }
        for (int64_t i = 0; i < bt_numel(c.x.rank, c.x.dims); i++) {
            c.x.items[i] = (double)data[i];
        }
        c.value = net_input(&c.net, BT_F32, c.x.rank, c.x.dims, data);
        for (int64_t left = net_between(&c.random, 1, 7); left > 0; left--) {
            if (c.x.rank > 0) {
                links[net_between(&c.random, 0, sizeof links / sizeof links[0] - 1)](&c);
            }
        }
        net_output(&c.net, c.value);
        CHECK(net_run(&c.net, 1) && net_equals(&c.net, 0, c.x.items, bt_numel(c.x.rank, c.x.dims), 0));
        net_free(&c.net);
    }
}

/* Strides that express a reshape cost nothing; others make one copy. */
static void test_reshape_steps(void)
{
    static float data[24];
    struct net net;
    net_init(&net);
    bt_value x = net_input(&net, BT_F32, 3, (int64_t[]){2, 3, 4}, data);
    bt_value swapped = NET_OP(&net, BT_OP_PERMUTE, bt_arg_value(x), net_ints(&net, 3, (int64_t[]){1, 0, 2}));
    bt_value split = NET_OP(&net, BT_OP_RESHAPE, bt_arg_value(swapped), net_ints(&net, 4, (int64_t[]){3, 2, 2, 2}));
    bt_value merged = NET_OP(&net, BT_OP_RESHAPE, bt_arg_value(split), net_ints(&net, 2, (int64_t[]){3, 8}));
    net_output(&net, NET_OP(&net, BT_OP_NEG, bt_arg_value(split)));
    CHECK(net_run(&net, 1) && net.plan->step_count == 1);
    net_output(&net, NET_OP(&net, BT_OP_NEG, bt_arg_value(merged)));
    CHECK(net_run(&net, 1) && net.plan->step_count == 3);
    net_free(&net);
}

/* A long chain keeps two buffers alive at most, and pointwise steps write over their operand where they may. */
static void test_memory(void)
{
    enum { SIDE = 48, COUNT = SIDE * SIDE };
    static float data[COUNT];
    static double want[COUNT], next[COUNT];
    for (int i = 0; i < COUNT; i++) {
        want[i] = data[i] = (float)(i % 17) - 8;
    }
    struct net net;
    net_init(&net);
    bt_value x = net_input(&net, BT_F32, 2, (int64_t[]){SIDE, SIDE}, data);
    struct bt_arg swap = net_ints(&net, 2, (int64_t[]){1, 0});
    for (int k = 0; k < 6; k++) {
        x = NET_OP(&net, BT_OP_MUL, bt_arg_value(x), bt_arg_float(&net.graph, 0.5));
        bt_value turned = NET_OP(&net, BT_OP_PERMUTE, bt_arg_value(x), swap); /* must not be overwritten while read */
        x = NET_OP(&net, BT_OP_SUB, bt_arg_value(x), bt_arg_value(turned));
        x = NET_OP(&net, BT_OP_ADD, bt_arg_value(x), bt_arg_float(&net.graph, 1));
        for (int i = 0; i < COUNT; i++) {
            next[i] = (want[i] - want[i % SIDE * SIDE + i / SIDE]) / 2 + 1;
        }
        memcpy(want, next, sizeof want);
    }
    net_output(&net, x);
    CHECK(net_run(&net, 1) && net_equals(&net, 0, want, COUNT, 0));
    CHECK(net.plan->work_size == 2 * COUNT * sizeof(float));
    net_free(&net);
}

static void test_outputs(void)
{
    float data[6] = {0, 1, 2, 3, 4, 5};
    float weight[2] = {10, 20};
    struct net net;
    net_init(&net);
    bt_value x = net_input(&net, BT_F32, 2, (int64_t[]){2, 3}, data), c = BT_NO_VALUE;
    struct bt_tensor tensor = {.dtype = BT_F32, .rank = 2, .dims = {3, 2}, .strides = {0, 1}, .data = weight};
    CHECK(bt_graph_constant(&net.graph, &tensor, "c", &c, &net.err) == BERTC_OK);
    bt_value doubled = NET_OP(&net, BT_OP_ADD, bt_arg_value(x), bt_arg_value(x));
    bt_value turned = NET_OP(&net, BT_OP_PERMUTE, bt_arg_value(doubled), net_ints(&net, 2, (int64_t[]){1, 0}));
    bt_value half = NET_OP(&net, BT_OP_CAST, bt_arg_value(doubled), bt_arg_dtype(BT_F16));
    bt_value brain = NET_OP(&net, BT_OP_CAST, bt_arg_value(doubled), bt_arg_dtype(BT_BF16));
    bt_value sum = NET_OP(&net, BT_OP_ADD, bt_arg_value(turned), bt_arg_value(c));
    net_output(&net, x);
    net_output(&net, doubled);
    net_output(&net, doubled);
    net_output(&net, turned);
    net_output(&net, half);
    net_output(&net, brain);
    net_output(&net, c);
    net_output(&net, sum);
    CHECK(net_run(&net, 1));
    CHECK(net_equals(&net, 0, (double[]){0, 1, 2, 3, 4, 5}, 6, 0));
    CHECK(net_equals(&net, 1, (double[]){0, 2, 4, 6, 8, 10}, 6, 0));
    CHECK(net_equals(&net, 2, (double[]){0, 2, 4, 6, 8, 10}, 6, 0));
    CHECK(net_equals(&net, 3, (double[]){0, 6, 2, 8, 4, 10}, 6, 0));
    CHECK(net_equals(&net, 4, (double[]){0, 2, 4, 6, 8, 10}, 6, 0) && net.plan->outputs[4].dtype == BT_F16);
    CHECK(net_equals(&net, 5, (double[]){0, 2, 4, 6, 8, 10}, 6, 0) && net.plan->outputs[5].dtype == BT_F32);
    CHECK(net_equals(&net, 6, (double[]){10, 20, 10, 20, 10, 20}, 6, 0));
    CHECK(net_equals(&net, 7, (double[]){10, 26, 12, 28, 14, 30}, 6, 0));
    CHECK(net.plan->work_size == 0); /* both computed results are outputs themselves */
    net_free(&net);
}

/* A view that is all of its storage in order can be the output itself, and later steps still read it there. */
static void test_output_alias(void)
{
    float data[6] = {0, 1, 2, 3, 4, 5};
    struct net net;
    net_init(&net);
    bt_value x = net_input(&net, BT_F32, 2, (int64_t[]){2, 3}, data);
    bt_value negated = NET_OP(&net, BT_OP_NEG, bt_arg_value(x));
    net_output(&net, NET_OP(&net, BT_OP_RESHAPE, bt_arg_value(negated), net_ints(&net, 1, (int64_t[]){6})));
    net_output(&net, NET_OP(&net, BT_OP_ABS, bt_arg_value(negated)));
    CHECK(net_run(&net, 1) && net.plan->step_count == 2);
    CHECK(net_equals(&net, 0, (double[]){0, -1, -2, -3, -4, -5}, 6, 0));
    CHECK(net_equals(&net, 1, (double[]){0, 1, 2, 3, 4, 5}, 6, 0));
    net_free(&net);
}

static void test_halves(void)
{
    uint16_t data[4], brain[3] = {0x3f80, 0xbf80, 0x4040}; /* 1, -1, 3 */
    for (int i = 0; i < 4; i++) {
        data[i] = bt_f32_to_f16((float)i / 4);
    }
    _Alignas(float) char bytes[1 + 2 * sizeof(float)];
    memcpy(bytes + 1, (float[]){5, 7}, 2 * sizeof(float));
    struct net net;
    net_init(&net);
    bt_value x = net_input(&net, BT_F16, 1, (int64_t[]){4}, data), c[3];
    struct bt_tensor reversed = {.dtype = BT_BF16, .rank = 2, .dims = {3, 2}, .strides = {1, 0}, .data = brain};
    struct bt_tensor packed = {.dtype = BT_F32, .rank = 1, .dims = {2}, .strides = {1}, .data = bytes + 1};
    CHECK(bt_graph_constant(&net.graph, &reversed, "a", &c[0], &net.err) == BERTC_OK);
    CHECK(bt_graph_constant(&net.graph, &packed, "b", &c[1], &net.err) == BERTC_OK);
    net_output(&net, NET_OP(&net, BT_OP_NEG, bt_arg_value(x)));
    net_output(&net, NET_OP(&net, BT_OP_ADD, bt_arg_value(c[0]), bt_arg_value(c[1])));
    for (int again = 0; again < 2; again++) {
        CHECK(net_run(&net, 1) && net.plan->outputs[0].dtype == BT_F16);
        CHECK(net_equals(&net, 0, (double[]){0, -0.25, -0.5, -0.75}, 4, 0));
        CHECK(net_equals(&net, 1, (double[]){6, 8, 4, 6, 8, 10}, 6, 0));
        CHECK(bt_weights_size(net.weights).converted ==
              (5 + 6) * sizeof(float)); /* no repeated dim is copied; the sum */
    }
    net_free(&net);
}

/* What constants alone make is computed once, however many plans want it. */
static void test_known(void)
{
    float table[6] = {1, 2, 3, 4, 5, 6}, scale[3] = {2, 3, 4}, data[3] = {1, 1, 1};
    struct net net;
    net_init(&net);
    bt_value x = net_input(&net, BT_F32, 1, (int64_t[]){3}, data), c[2];
    const struct bt_tensor tensors[] = {
        {.dtype = BT_F32, .rank = 2, .dims = {2, 3}, .strides = {3, 1}, .data = table},
        {.dtype = BT_F32, .rank = 1, .dims = {3}, .strides = {1}, .data = scale},
    };
    for (int i = 0; i < 2; i++) {
        CHECK(bt_graph_constant(&net.graph, &tensors[i], "c", &c[i], &net.err) == BERTC_OK);
    }
    bt_value product = NET_OP(&net, BT_OP_MUL, bt_arg_value(c[0]), bt_arg_value(c[1]));
    bt_value turned = NET_OP(&net, BT_OP_PERMUTE, bt_arg_value(product), net_ints(&net, 2, (int64_t[]){1, 0}));
    bt_value row =
        NET_OP(&net, BT_OP_SELECT, bt_arg_value(turned), bt_arg_int(&net.graph, 1), bt_arg_int(&net.graph, 1));
    net_output(&net, NET_OP(&net, BT_OP_ADD, bt_arg_value(row), bt_arg_value(x)));
    net_output(&net, product);
    for (int again = 0; again < 2; again++) {
        CHECK(net_run(&net, 1));
        CHECK(net_equals(&net, 0, (double[]){9, 16, 25}, 3, 0));
        CHECK(net_equals(&net, 1, (double[]){2, 6, 12, 8, 15, 24}, 6, 0));
        CHECK(bt_weights_size(net.weights).converted == sizeof table);
        CHECK(net.plan->step_count == 2); /* the sum, and the copy to the output */
    }
    net_free(&net);
}

static void test_weights(void)
{
    enum { COUNT = 500 };
    uint16_t halves[COUNT];
    struct bt_weights *weights = bt_weights_new(NULL, (struct bt_files){0});
    struct bertc_error err;
    bool good = true;
    for (int i = 0; i < COUNT; i++) {
        halves[i] = bt_f32_to_f16((float)i);
    }
    for (int again = 0; again < 2; again++) {
        for (int i = 0; i + 2 <= COUNT; i++) {
            struct bt_tensor out,
                tensor = {.dtype = BT_F16, .rank = 1, .dims = {2}, .strides = {1}, .data = &halves[i]};
            good = good && bt_weights_prepare(weights, &tensor, &out, &err) == BERTC_OK && out.dtype == BT_F32 &&
                   ((const float *)out.data)[0] == (float)i && ((const float *)out.data)[1] == (float)(i + 1);
        }
    }
    CHECK(good && bt_weights_size(weights).converted == (COUNT - 1) * 2 * sizeof(float));
    bt_weights_free(weights);
    bt_weights_free(NULL);
}

static void test_empty(void)
{
    static float data[8];
    struct net net;
    net_init(&net);
    bt_value x = net_input(&net, BT_F32, 3, (int64_t[]){2, 0, 4}, data);
    bt_value flat = NET_OP(&net, BT_OP_RESHAPE, bt_arg_value(x), net_ints(&net, 2, (int64_t[]){0, 8}));
    net_output(&net, x);
    net_output(&net, NET_OP(&net, BT_OP_EXP, bt_arg_value(x)));
    net_output(&net, NET_OP(&net, BT_OP_SUM, bt_arg_value(x), net_ints(&net, 1, (int64_t[]){1})));
    net_output(&net, NET_OP(&net, BT_OP_MEAN, bt_arg_value(flat), net_ints(&net, 1, (int64_t[]){0})));
    net_output(&net, NET_OP(&net, BT_OP_CUMSUM, bt_arg_value(x), bt_arg_int(&net.graph, 2)));
    CHECK(net_run(&net, 2));
    CHECK(net_count(&net, 0) == 0 && net_count(&net, 1) == 0 && net_count(&net, 4) == 0);
    CHECK(net_equals(&net, 2, (double[8]){0}, 8, 0));
    double nans[8];
    for (int i = 0; i < 8; i++) {
        nans[i] = NAN;
    }
    CHECK(net_equals(&net, 3, nans, 8, 0));
    net_output(&net, NET_OP(&net, BT_OP_AMAX, bt_arg_value(x), net_ints(&net, 1, (int64_t[]){1})));
    CHECK(!net_run(&net, 1));
    CHECK_REFUSAL(net.err.status, &net.err, BERTC_INPUT, "amax of no items");
    net_free(&net);
}

/* Dimensions come from symbols; what the steps would overflow on is refused. */
static void test_symbols(void)
{
    struct net net;
    net_init(&net);
    struct bt_exprs *exprs = net.graph.exprs;
    bt_expr s = bt_expr_symbol(exprs, "s", 2), dims[2] = {s, bt_expr_int(exprs, 3)};
    float data[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    bt_value x = BT_NO_VALUE;
    CHECK(bt_graph_input(&net.graph, "x", BT_F32, 2, dims, &x, &net.err) == BERTC_OK);
    net_output(&net, NET_OP(&net, BT_OP_SUM, bt_arg_value(x), net_ints(&net, 1, (int64_t[]){1})));
    const void *inputs[] = {data};
    for (int64_t size = 0; size <= 4; size++) {
        float sums[4];
        void *outputs[] = {sums};
        struct bt_plan *plan = NULL;
        CHECK(bt_plan_new(&net.graph, &size, net.weights, &net.kernels, &plan, &net.err) == BERTC_OK);
        CHECK(plan->outputs[0].dims[0] == size && plan->values[s].i == size);
        const struct bt_run run = {.inputs = inputs, .outputs = outputs, .kernels = &net.kernels, .threads = 1};
        CHECK(bt_plan_run(plan, &run, &net.err) == BERTC_OK);
        for (int64_t i = 0; i < size; i++) {
            CHECK(sums[i] == (float)(9 * i + 6));
        }
        bt_plan_free(plan);
    }
    struct bt_plan *plan = NULL;
    int64_t huge = INT64_MAX / 4, negative = -1;
    enum bertc_status status = bt_plan_new(&net.graph, &huge, net.weights, &net.kernels, &plan, &net.err);
    CHECK_REFUSAL(status, &net.err, BERTC_INPUT, "x needs more than");
    status = bt_plan_new(&net.graph, &negative, net.weights, &net.kernels, &plan, &net.err);
    CHECK_REFUSAL(status, &net.err, BERTC_INPUT, "dimension 0 of x");
    CHECK(!plan);
    net_free(&net);
}

/* Nodes that no output needs make no steps. */
static void test_dead(void)
{
    float data[2] = {1, 2};
    struct net net;
    net_init(&net);
    bt_value x = net_input(&net, BT_F32, 1, (int64_t[]){2}, data);
    NET_OP(&net, BT_OP_EXP, bt_arg_value(x));
    net_output(&net, NET_OP(&net, BT_OP_NEG, bt_arg_value(x)));
    CHECK(net_run(&net, 1) && net.plan->step_count == 1);
    net_free(&net);
}

static void test_out_of_memory(void)
{
    static const int64_t no_symbols[1];
    uint16_t halves[4] = {0};
    float data[8] = {0};
    struct net net;
    net_init(&net);
    struct bt_tensor tensor = {.dtype = BT_F16, .rank = 1, .dims = {4}, .strides = {1}, .data = halves};
    bt_value x = net_input(&net, BT_F32, 2, (int64_t[]){2, 4}, data), c = BT_NO_VALUE;
    CHECK(bt_graph_constant(&net.graph, &tensor, "c", &c, &net.err) == BERTC_OK);
    bt_value turned = NET_OP(&net, BT_OP_PERMUTE, bt_arg_value(x), net_ints(&net, 2, (int64_t[]){1, 0}));
    bt_value flat = NET_OP(&net, BT_OP_RESHAPE, bt_arg_value(turned), net_ints(&net, 2, (int64_t[]){2, 4}));
    net_output(&net, NET_OP(&net, BT_OP_ADD, bt_arg_value(flat), bt_arg_value(c)));
    enum bertc_status status = BERTC_MEMORY;
    for (long n = 1; status == BERTC_MEMORY && n < 100; n++) {
        struct bt_weights *weights = bt_weights_new(NULL, (struct bt_files){0});
        struct bt_plan *plan = NULL;
        bt_alloc_fail_at(n);
        status = bt_plan_new(&net.graph, no_symbols, weights, &net.kernels, &plan, &net.err);
        bt_alloc_fail_at(0);
        CHECK((status == BERTC_OK) == (plan != NULL) && (n > 1 || status == BERTC_MEMORY));
        bt_plan_free(plan);
        bt_weights_free(weights);
    }
    CHECK(status == BERTC_OK);
    net_free(&net);
}

static void test_all(void)
{
    test_views();
    test_reshape_steps();
    test_memory();
    test_outputs();
    test_output_alias();
    test_halves();
    test_known();
    test_weights();
    test_empty();
    test_symbols();
    test_dead();
    test_out_of_memory();
}

int main(void)
{
    check_group("exec", test_all);
    return check_result();
}
