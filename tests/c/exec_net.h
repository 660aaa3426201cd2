/* exec_net.h: a graph made by hand, its inputs, and what a plan of it answers, for the tests of exec/ */
#ifndef BT_TESTS_EXEC_NET_H
#define BT_TESTS_EXEC_NET_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "check.h"
#include "exec/plan.h"
#include "graph/graph.h"

enum { NET_LEAVES = 8, NET_GUARD = 64 };

struct net {
    struct bt_graph graph;
    struct bt_weights *weights;
    struct bt_kernels kernels;
    struct bertc_error err;
    const void *inputs[NET_LEAVES];
    struct bt_tree leaves[NET_LEAVES]; /* the outputs */
    struct bt_plan *plan;
    char *outputs[NET_LEAVES];
};

static inline void net_init(struct net *net)
{
    memset(net, 0, sizeof *net);
    bt_graph_init(&net->graph, &net->err);
    net->weights = bt_weights_new(NULL, (struct bt_files){0});
    bt_kernels_init(&net->kernels, BT_ISA_REF);
    net->graph.output = (struct bt_tree){.kind = BT_TREE_TUPLE, .items = net->leaves};
}

static inline void net_free(struct net *net)
{
    for (int i = 0; i < NET_LEAVES; i++) {
        bt_free(net->outputs[i]);
    }
    bt_plan_free(net->plan);
    bt_weights_free(net->weights);
    bt_graph_free(&net->graph);
}

static inline bt_value net_input(struct net *net, enum bt_dtype dtype, int rank, const int64_t *dims, const void *data)
{
    bt_expr exprs[BT_MAX_RANK];
    for (int d = 0; d < rank; d++) {
        exprs[d] = bt_expr_int(net->graph.exprs, dims[d]);
    }
    bt_value value = BT_NO_VALUE;
    net->inputs[net->graph.input_count] = data;
    CHECK(bt_graph_input(&net->graph, "x", dtype, rank, exprs, &value, &net->err) == BERTC_OK);
    return value;
}

static inline bt_value net_op(struct net *net, enum bt_op op, int nargs, const struct bt_arg *args)
{
    bt_value value = bt_graph_op(&net->graph, &net->err, op, nargs, args);
    if (value < 0) {
        printf("%s: %s\n", bt_ops[op].name, net->err.text);
    }
    CHECK(value >= 0);
    return value;
}

#define NET_OP(net, op, ...)                                                                   \
    net_op((net), (op), (int)(sizeof((struct bt_arg[]){__VA_ARGS__}) / sizeof(struct bt_arg)), \
           (struct bt_arg[]){__VA_ARGS__})

static inline struct bt_arg net_ints(struct net *net, int count, const int64_t *values)
{
    bt_expr *exprs = bt_arena_alloc(&net->graph.arena, (size_t)count, sizeof *exprs);
    for (int i = 0; i < count; i++) {
        exprs[i] = bt_expr_int(net->graph.exprs, values[i]);
    }
    return bt_arg_exprs(exprs, count);
}

static inline void net_output(struct net *net, bt_value value)
{
    net->leaves[net->graph.output.count++] = (struct bt_tree){.kind = BT_TREE_TENSOR, .value = value};
}

/* Plans and runs over poisoned memory: a stale byte shows as NaN or as a wild integer. Checks that nothing is written
 * beyond the end of the workspace and of the outputs. */
static inline bool net_run(struct net *net, int threads)
{
    static const int64_t no_symbols[1];
    bt_plan_free(net->plan);
    net->plan = NULL;
    if (bt_plan_new(&net->graph, no_symbols, net->weights, &net->kernels, &net->plan, &net->err) != BERTC_OK) {
        return false;
    }
    void *outputs[NET_LEAVES];
    size_t sizes[NET_LEAVES];
    for (size_t i = 0; i < net->plan->output_count; i++) {
        const struct bt_plan_output *output = &net->plan->outputs[i];
        sizes[i] = (size_t)bt_numel(output->rank, output->dims) * bt_dtype_size(output->dtype);
        bt_free(net->outputs[i]);
        outputs[i] = net->outputs[i] = bt_alloc(sizes[i] + NET_GUARD, 1);
        memset(outputs[i], 0xff, sizes[i] + NET_GUARD);
    }
    size_t work_size = (size_t)net->plan->work_size;
    unsigned char *work = bt_alloc(work_size + NET_GUARD, 1);
    memset(work, 0xff, work_size + NET_GUARD);
    const struct bt_run run = {
        .work = (char *)work, .inputs = net->inputs, .outputs = outputs, .kernels = &net->kernels, .threads = threads};
    enum bertc_status status = bt_plan_run(net->plan, &run, &net->err);
    bool clean = true;
    for (size_t g = 0; g < NET_GUARD; g++) {
        clean = clean && work[work_size + g] == 0xff;
        for (size_t i = 0; i < net->plan->output_count; i++) {
            clean = clean && (unsigned char)net->outputs[i][sizes[i] + g] == 0xff;
        }
    }
    CHECK(clean);
    bt_free(work);
    return status == BERTC_OK;
}

static inline int64_t net_count(const struct net *net, int slot)
{
    return bt_numel(net->plan->outputs[slot].rank, net->plan->outputs[slot].dims);
}

static inline double net_number(enum bt_dtype dtype, const void *items, int64_t i)
{
    switch (dtype) {
    case BT_F32: return (double)((const float *)items)[i];
    case BT_F64: return ((const double *)items)[i];
    case BT_F16: return (double)bt_f16_to_f32(((const uint16_t *)items)[i]);
    case BT_BF16: return (double)bt_bf16_to_f32(((const uint16_t *)items)[i]);
    case BT_I64: return (double)((const int64_t *)items)[i];
    case BT_I32: return (double)((const int32_t *)items)[i];
    case BT_I16: return (double)((const int16_t *)items)[i];
    case BT_I8: return (double)((const int8_t *)items)[i];
    default: return (double)((const uint8_t *)items)[i];
    }
}

static inline void net_set_number(enum bt_dtype dtype, void *items, int64_t i, double value)
{
    switch (dtype) {
    case BT_F32: ((float *)items)[i] = (float)value; break;
    case BT_F64: ((double *)items)[i] = value; break;
    case BT_I64: ((int64_t *)items)[i] = (int64_t)value; break;
    case BT_I32: ((int32_t *)items)[i] = (int32_t)value; break;
    default: ((uint8_t *)items)[i] = (uint8_t)value; break;
    }
}

/* Equal up to `tolerance`, relative above 1; NaN equals NaN. */
static inline bool net_close(double got, double want, double tolerance)
{
    if (isnan(want) || isinf(want)) {
        return isnan(want) ? isnan(got) : got == want;
    }
    return fabs(got - want) <= tolerance * fmax(1, fabs(want));
}

/* Output `slot` against `count` numbers. */
static inline bool net_equals(const struct net *net, int slot, const double *want, int64_t count, double tolerance)
{
    if (net_count(net, slot) != count) {
        return false;
    }
    for (int64_t i = 0; i < count; i++) {
        double got = net_number(net->plan->outputs[slot].dtype, net->outputs[slot], i);
        if (!net_close(got, want[i], tolerance)) {
            printf("    item %lld: %.9g, expected %.9g\n", (long long)i, got, want[i]);
            return false;
        }
    }
    return true;
}

/* A small generator with the same sequence everywhere. */
static inline uint32_t net_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static inline int64_t net_between(uint64_t *state, int64_t low, int64_t high) /* inclusive */
{
    return low + (int64_t)(net_random(state) % (uint32_t)(high - low + 1));
}

#endif
