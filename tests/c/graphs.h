/* graphs.h: building graphs by hand, for tests: one graph at a time, with symbols b and s */
#ifndef BT_TESTS_GRAPHS_H
#define BT_TESTS_GRAPHS_H

#include "check.h"
#include "graph/graph.h"

static struct bt_graph g;
static struct bertc_error err;
static bt_expr b, s;

static inline void graph_start(int64_t batch, int64_t length)
{
    bt_graph_init(&g, &err);
    b = bt_expr_symbol(g.exprs, "b", batch);
    s = bt_expr_symbol(g.exprs, "s", length);
}

static inline bt_value input(const char *name, enum bt_dtype dtype, int rank, const bt_expr *dims)
{
    bt_value v = BT_NO_VALUE;
    CHECK(bt_graph_input(&g, name, dtype, rank, dims, &v, &err) == BERTC_OK);
    return v;
}

static inline bt_expr lit(int64_t value)
{
    return bt_expr_int(g.exprs, value);
}

static inline bt_value constant(const char *name, enum bt_dtype dtype, int rank, const int64_t *dims)
{
    static float memory[1 << 16];
    static size_t used;
    struct bt_tensor t = {.dtype = dtype, .rank = rank, .data = memory + used++ % 100};
    for (int d = 0; d < rank; d++) {
        t.dims[d] = dims[d];
    }
    bt_contiguous_strides(rank, dims, t.strides);
    bt_value v = BT_NO_VALUE;
    CHECK(bt_graph_constant(&g, &t, name, &v, &err) == BERTC_OK);
    return v;
}

#define COUNT(type, ...) (int)(sizeof((type[]){__VA_ARGS__}) / sizeof(type))
#define OP(op, ...)                                                                                                    \
    bt_graph_op(&g, &err, BT_OP_##op, COUNT(struct bt_arg, __VA_ARGS__), (struct bt_arg[]){__VA_ARGS__})
#define V(v) bt_arg_value(v)
#define I(i) bt_arg_int(&g, i)
#define F(f) bt_arg_float(&g, f)
#define E(e) bt_arg_expr(e)
#define LIST(...) bt_arg_exprs((bt_expr[]){__VA_ARGS__}, COUNT(bt_expr, __VA_ARGS__))
#define VALUES(...) bt_arg_values((bt_value[]){__VA_ARGS__}, COUNT(bt_value, __VA_ARGS__))
#define NONE bt_arg_none()
#define DT(d) bt_arg_dtype(d)

/* "float32[b, s, 32]" */
static inline bool is(bt_value v, const char *expected)
{
    char text[200] = "none";
    if (v >= 0) {
        const struct bt_value_info *info = &g.values[v];
        int n = snprintf(text, sizeof(text), "%s[", bt_dtype_name(info->dtype));
        for (int d = 0; d < info->rank; d++) {
            n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%s", d ? ", " : "",
                          bt_expr_text(g.exprs, info->dims[d]));
        }
        snprintf(text + n, sizeof(text) - (size_t)n, "]");
    }
    if (strcmp(text, expected) != 0) {
        printf("    value is %s, expected %s; message: %s\n", text, expected, err.text);
    }
    return strcmp(text, expected) == 0;
}

#define REFUSED(value, status_, message) CHECK_REFUSAL((value) < 0 ? err.status : BERTC_OK, &err, status_, message)

#endif
