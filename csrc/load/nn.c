/* nn.c: the layers of an encoder as graph nodes, their weights found by name */
#include "load/nn.h"

#include <stdio.h>
#include <string.h>

enum bertc_status bt_nn_fail(struct bt_nn *nn, enum bertc_status status)
{
    if (!nn->status) {
        nn->status = status;
    }
    return nn->status;
}

static void enter(struct bt_nn *nn, const char *outer, const char *pattern, int64_t number)
{
    struct bt_arena *arena = &nn->graph->arena;
    const char *mark = strstr(pattern, "%lld");
    const char *scope = mark ? bt_arena_printf(arena, "%s%.*s%lld%s", outer, (int)(mark - pattern), pattern,
                                               (long long)number, mark + 4)
                             : bt_arena_printf(arena, "%s%s", outer, pattern);
    if (!scope) {
        bt_nn_fail(nn, bt_error_memory(nn->err));
        return;
    }
    nn->scope = scope;
    nn->graph->where = scope;
}

void bt_nn_enter(struct bt_nn *nn, const char *pattern, int64_t number)
{
    enter(nn, "", pattern, number);
}

void bt_nn_enter_below(struct bt_nn *nn, const char *pattern, int64_t number)
{
    enter(nn, nn->scope, pattern, number);
}

/* ---- weights ---- */

static const struct bt_named_tensor *find(const struct bt_nn *nn, const char *name, char *full, size_t size)
{
    snprintf(full, size, "%s%s%s", nn->prefix, nn->scope, name);
    return bt_checkpoint_find(nn->checkpoint, full);
}

bool bt_nn_has(const struct bt_nn *nn, const char *name)
{
    char full[BT_WEIGHT_NAME];
    return find(nn, name, full, sizeof full) != NULL;
}

/* Zeros in place of a weight that is not there, so that a trial build finds all that are missing. */
static bt_value stand_in(struct bt_nn *nn, int rank, const int64_t *dims)
{
    bt_expr shape[BT_MAX_RANK];
    for (int d = 0; d < rank; d++) {
        shape[d] = bt_nn_int(nn, dims[d]);
    }
    const struct bt_arg args[] = {bt_arg_exprs(shape, rank), bt_arg_float(nn->graph, 0.0), bt_arg_dtype(nn->dtype)};
    return bt_nn_op(nn, BT_OP_FULL, 3, args);
}

bt_value bt_nn_weight(struct bt_nn *nn, const char *name, int rank, const int64_t *dims)
{
    char full[BT_WEIGHT_NAME];
    bt_value value = BT_NO_VALUE;
    if (nn->status) {
        return BT_NO_VALUE;
    }
    const struct bt_named_tensor *weight = find(nn, name, full, sizeof full);
    if (!weight && nn->log) {
        bt_checkpoint_note_missing(nn->log, full);
        return stand_in(nn, rank, dims);
    }
    if (!weight) {
        return bt_nn_fail(nn, bt_error_set(nn->err, BERTC_FORMAT, "there is no weight %.200s", full)), BT_NO_VALUE;
    }
    if (nn->log) {
        nn->log->used[weight - nn->checkpoint->tensors] = true;
    }
    nn->status = bt_checkpoint_check(weight, rank, dims, nn->err);
    if (!nn->status) {
        nn->status = bt_graph_constant(nn->graph, &weight->tensor, weight->name, &value, nn->err);
    }
    return nn->status ? BT_NO_VALUE : bt_nn_cast(nn, value, nn->dtype);
}

static bt_value weight_of(struct bt_nn *nn, const char *name, const char *part, int rank, const int64_t *dims)
{
    char own[BT_WEIGHT_NAME];
    snprintf(own, sizeof own, "%s%s", name, part);
    return bt_nn_weight(nn, own, rank, dims);
}

/* "attn.Wqkv@1/3" are the second third of the rows of attn.Wqkv. */
static bt_value rows_of(struct bt_nn *nn, const char *name, const char *part, int rank, const int64_t *dims)
{
    const char *mark = strchr(name, '@');
    if (!mark) {
        return weight_of(nn, name, part, rank, dims);
    }
    char whole[BT_WEIGHT_NAME];
    const int64_t index = mark[1] - '0', count = mark[3] - '0';
    const int64_t all[] = {count * dims[0], rank > 1 ? dims[1] : 0};
    snprintf(whole, sizeof whole, "%.*s", (int)(mark - name), name);
    const bt_value value = weight_of(nn, whole, part, rank, all);
    return bt_nn_slice_fixed(nn, value, 0, index * dims[0], (index + 1) * dims[0]);
}

/* The last dimension, which is a constant. */
static int64_t width_of(struct bt_nn *nn, bt_value x)
{
    int64_t width = 0;
    if (!nn->status) {
        const struct bt_value_info *info = &nn->graph->values[x];
        bt_expr_is_int(nn->graph->exprs, info->dims[info->rank - 1], &width);
    }
    return width;
}

bt_value bt_nn_linear(struct bt_nn *nn, bt_value x, const char *name, int64_t out, enum bt_bias bias)
{
    const int64_t dims[] = {out, width_of(nn, x)};
    const bt_value weight = rows_of(nn, name, ".weight", 2, dims);
    const struct bt_arg args[] = {bt_arg_value(x), bt_arg_value(weight),
                                  bias == BT_BIAS ? bt_arg_value(rows_of(nn, name, ".bias", 1, dims)) : bt_arg_none()};
    return bt_nn_op(nn, BT_OP_LINEAR, 3, args);
}

bt_value bt_nn_layer_norm(struct bt_nn *nn, bt_value x, const char *name, double eps, enum bt_bias bias)
{
    const int64_t width = width_of(nn, x);
    const bt_value weight = weight_of(nn, name, ".weight", 1, &width);
    const struct bt_arg args[] = {bt_arg_value(x), bt_arg_int(nn->graph, 1), bt_arg_value(weight),
                                  bias == BT_BIAS ? bt_arg_value(weight_of(nn, name, ".bias", 1, &width))
                                                  : bt_arg_none(),
                                  bt_arg_float(nn->graph, eps)};
    return bt_nn_op(nn, BT_OP_LAYER_NORM, 5, args);
}

bt_value bt_nn_vector(struct bt_nn *nn, const char *name, const char *part, int64_t size)
{
    return weight_of(nn, name, part, 1, &size);
}

bt_value bt_nn_table(struct bt_nn *nn, const char *name, int64_t rows, int64_t width)
{
    return weight_of(nn, name, ".weight", 2, (const int64_t[]){rows, width});
}

bt_value bt_nn_embedding(struct bt_nn *nn, const char *name, int64_t rows, int64_t width, bt_value ids)
{
    return bt_nn_binary(nn, BT_OP_EMBEDDING, bt_nn_table(nn, name, rows, width), ids);
}

/* ---- activations ---- */

struct activation {
    const char *name;
    enum bt_op op;
    bool tanh; /* of GELU: the approximation */
};

static const struct activation *find_activation(const char *name)
{
    static const struct activation activations[] = {
        {"gelu", BT_OP_GELU, false},
        {"gelu_python", BT_OP_GELU, false},
        {"gelu_new", BT_OP_GELU, true},
        {"gelu_fast", BT_OP_GELU, true},
        {"gelu_accurate", BT_OP_GELU, true},
        {"gelu_pytorch_tanh", BT_OP_GELU, true},
        {"gelu_python_tanh", BT_OP_GELU, true},
        {"relu", BT_OP_RELU, false},
        {"silu", BT_OP_SILU, false},
        {"swish", BT_OP_SILU, false},
        {"tanh", BT_OP_TANH, false},
        {"sigmoid", BT_OP_SIGMOID, false},
    };
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++) {
        if (strcmp(activations[i].name, name) == 0) {
            return &activations[i];
        }
    }
    return NULL;
}

bool bt_nn_knows_activation(const char *name)
{
    return find_activation(name) != NULL;
}

bt_value bt_nn_activation(struct bt_nn *nn, const char *name, bt_value x)
{
    const struct activation *activation = find_activation(name);
    if (!activation) {
        bt_nn_fail(nn, bt_error_set(nn->err, BERTC_UNSUPPORTED, "activation '%.100s' is not supported", name));
        return BT_NO_VALUE;
    }
    const struct bt_arg args[] = {bt_arg_value(x), bt_arg_expr(bt_expr_bool(nn->graph->exprs, activation->tanh))};
    return bt_nn_op(nn, activation->op, activation->op == BT_OP_GELU ? 2 : 1, args);
}
