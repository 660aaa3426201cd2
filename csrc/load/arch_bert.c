/* arch_bert.c: BertModel of transformers: embeddings, encoder layers, pooler */
#include <stdio.h>
#include <string.h>

#include "load/arch.h"
#include "load/nn.h"

enum size { VOCAB, POSITIONS, TYPES, HIDDEN, INNER, SIZES };

enum embedding_weight { WORD, POSITION, TYPE, EMBEDDING_NORM, EMBEDDING_NORM_BIAS, EMBEDDING_WEIGHTS };

static const struct bt_weight_slot embedding_slots[EMBEDDING_WEIGHTS] = {
    [WORD] = {"word_embeddings.weight", 2, {VOCAB, HIDDEN}},
    [POSITION] = {"position_embeddings.weight", 2, {POSITIONS, HIDDEN}},
    [TYPE] = {"token_type_embeddings.weight", 2, {TYPES, HIDDEN}},
    [EMBEDDING_NORM] = {"LayerNorm.weight", 1, {HIDDEN}},
    [EMBEDDING_NORM_BIAS] = {"LayerNorm.bias", 1, {HIDDEN}},
};

/* Each weight is followed by its bias. */
enum layer_weight {
    QUERY,
    KEY = 2,
    VALUE = 4,
    JOIN = 6,
    ATTENTION_NORM = 8,
    UP = 10,
    DOWN = 12,
    OUTPUT_NORM = 14,
    LAYER_WEIGHTS = 16
};

static const struct bt_weight_slot layer_slots[LAYER_WEIGHTS] = {
    [QUERY] = {"attention.self.query.weight", 2, {HIDDEN, HIDDEN}},
    [QUERY + 1] = {"attention.self.query.bias", 1, {HIDDEN}},
    [KEY] = {"attention.self.key.weight", 2, {HIDDEN, HIDDEN}},
    [KEY + 1] = {"attention.self.key.bias", 1, {HIDDEN}},
    [VALUE] = {"attention.self.value.weight", 2, {HIDDEN, HIDDEN}},
    [VALUE + 1] = {"attention.self.value.bias", 1, {HIDDEN}},
    [JOIN] = {"attention.output.dense.weight", 2, {HIDDEN, HIDDEN}},
    [JOIN + 1] = {"attention.output.dense.bias", 1, {HIDDEN}},
    [ATTENTION_NORM] = {"attention.output.LayerNorm.weight", 1, {HIDDEN}},
    [ATTENTION_NORM + 1] = {"attention.output.LayerNorm.bias", 1, {HIDDEN}},
    [UP] = {"intermediate.dense.weight", 2, {INNER, HIDDEN}},
    [UP + 1] = {"intermediate.dense.bias", 1, {INNER}},
    [DOWN] = {"output.dense.weight", 2, {HIDDEN, INNER}},
    [DOWN + 1] = {"output.dense.bias", 1, {HIDDEN}},
    [OUTPUT_NORM] = {"output.LayerNorm.weight", 1, {HIDDEN}},
    [OUTPUT_NORM + 1] = {"output.LayerNorm.bias", 1, {HIDDEN}},
};

static const struct bt_weight_slot pooler_slots[2] = {
    {"dense.weight", 2, {HIDDEN, HIDDEN}},
    {"dense.bias", 1, {HIDDEN}},
};

typedef const struct bt_named_tensor *layer_weights[LAYER_WEIGHTS];

struct bert {
    int64_t sizes[SIZES], layer_count, heads;
    double eps;
    const struct bt_act_fn *activation;
    const struct bt_named_tensor *embedding[EMBEDDING_WEIGHTS];
    layer_weights *layers;
    const struct bt_named_tensor *pooler[2];
    bool pooled; /* the pooler's weights are there */
};

static enum bertc_status check_variant(const struct bt_checkpoint *c, struct bertc_error *err)
{
    const char *positions;
    enum bertc_status status = bt_checkpoint_string(c, "position_embedding_type", "absolute", &positions, err);
    if (!status && strcmp(positions, "absolute") != 0) {
        return bt_error_set(err, BERTC_UNSUPPORTED,
                            "config.json: position_embedding_type '%.100s' is not supported, only 'absolute'",
                            positions);
    }
    static const char *const flags[] = {"is_decoder", "add_cross_attention"};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0] && !status; i++) {
        if (bt_checkpoint_flag(c, flags[i])) {
            return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: a BERT with %s is not supported", flags[i]);
        }
    }
    return status;
}

/* The fallbacks are BertConfig's. */
static enum bertc_status read_config(const struct bt_checkpoint *c, struct bert *m, struct bertc_error *err)
{
    const struct {
        const char *key;
        int64_t fallback, *out;
    } sizes[] = {
        {"vocab_size", 30522, &m->sizes[VOCAB]},       {"max_position_embeddings", 512, &m->sizes[POSITIONS]},
        {"type_vocab_size", 2, &m->sizes[TYPES]},      {"hidden_size", 768, &m->sizes[HIDDEN]},
        {"intermediate_size", 3072, &m->sizes[INNER]}, {"num_hidden_layers", 12, &m->layer_count},
        {"num_attention_heads", 12, &m->heads},
    };
    enum bertc_status status = check_variant(c, err);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && !status; i++) {
        status = bt_checkpoint_size(c, sizes[i].key, sizes[i].fallback, sizes[i].out, err);
    }
    const char *activation;
    if (status || (status = bt_checkpoint_float(c, "layer_norm_eps", 1e-12, &m->eps, err)) ||
        (status = bt_checkpoint_string(c, "hidden_act", "gelu", &activation, err))) {
        return status;
    }
    m->activation = bt_act_fn_find(activation);
    if (!m->activation) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: hidden_act '%.100s' is not supported", activation);
    }
    if (m->sizes[HIDDEN] % m->heads != 0) {
        return bt_error_set(err, BERTC_FORMAT,
                            "config.json: hidden_size %lld is no multiple of num_attention_heads %lld",
                            (long long)m->sizes[HIDDEN], (long long)m->heads);
    }
    return BERTC_OK;
}

static enum bertc_status find_weights(const struct bt_checkpoint *c, struct bert *m, struct bertc_error *err)
{
    if (m->layer_count > (int64_t)c->tensor_count) {
        return bt_error_set(err, BERTC_FORMAT, "config.json: num_hidden_layers is %lld, but there are only %zu weights",
                            (long long)m->layer_count, c->tensor_count);
    }
    m->layers = bt_arena_alloc(c->arena, (size_t)m->layer_count, sizeof *m->layers);
    if (!m->layers) {
        return bt_error_memory(err);
    }
    struct bt_weight_finder finder = {.checkpoint = c, .prefix = "bert.", .sizes = m->sizes};
    struct bt_weight_finder optional = finder;
    enum bertc_status status =
        bt_checkpoint_weights(&finder, "embeddings.", embedding_slots, EMBEDDING_WEIGHTS, m->embedding, err);
    for (int64_t i = 0; i < m->layer_count && !status; i++) {
        char scope[48];
        snprintf(scope, sizeof scope, "encoder.layer.%lld.", (long long)i);
        status = bt_checkpoint_weights(&finder, scope, layer_slots, LAYER_WEIGHTS, m->layers[i], err);
    }
    if (status || (status = bt_checkpoint_complete(&finder, err)) ||
        (status = bt_checkpoint_weights(&optional, "pooler.", pooler_slots, 2, m->pooler, err))) {
        return status;
    }
    m->pooled = optional.missing_count == 0;
    return BERTC_OK;
}

static enum bertc_status prepare(const struct bt_checkpoint *checkpoint, const void **plan, struct bertc_error *err)
{
    struct bert *m = bt_arena_alloc(checkpoint->arena, 1, sizeof *m);
    if (!m) {
        return bt_error_memory(err);
    }
    enum bertc_status status = read_config(checkpoint, m, err);
    *plan = m;
    return status ? status : find_weights(checkpoint, m, err);
}

enum param { INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS, PARAMS };

static const struct bertc_param params[PARAMS] = {
    [INPUT_IDS] = {"input_ids", "Tensor", true},
    [ATTENTION_MASK] = {"attention_mask", "Optional[Tensor]", false},
    [TOKEN_TYPE_IDS] = {"token_type_ids", "Optional[Tensor]", false},
};

/* Each given input is a tensor [batch, sequence] of the same sizes. */
static enum bertc_status check_inputs(const struct bt_tree *inputs, struct bt_graph *g, struct bertc_error *err)
{
    const struct bt_value_info *ids = NULL;
    for (int i = 0; i < PARAMS; i++) {
        if (inputs[i].kind == BT_TREE_NONE && !params[i].required) {
            continue;
        }
        if (inputs[i].kind != BT_TREE_TENSOR || g->values[inputs[i].value].rank != 2) {
            return bt_error_set(err, BERTC_INPUT, "argument '%s' is not a tensor [batch, sequence]", params[i].name);
        }
        const struct bt_value_info *info = &g->values[inputs[i].value];
        if (info->dtype != BT_BOOL && !bt_dtype_is_int(info->dtype) && i != ATTENTION_MASK) {
            return bt_error_set(err, BERTC_INPUT, "argument '%s' is %s, expected integers", params[i].name,
                                bt_dtype_name(info->dtype));
        }
        ids = ids ? ids : info;
        for (int d = 0; d < 2; d++) {
            if (!bt_graph_same(g, info->dims[d], ids->dims[d])) {
                return bt_error_set(err, BERTC_INPUT, "argument '%s' has another shape than input_ids", params[i].name);
            }
        }
    }
    return BERTC_OK;
}

static enum bertc_status check_length(const struct bert *m, bt_expr length, struct bt_graph *g, struct bertc_error *err)
{
    bt_expr limit = bt_expr_int(g->exprs, m->sizes[POSITIONS]);
    if (!bt_graph_decide(g, bt_expr_binary(g->exprs, BT_EXPR_LE, length, limit))) {
        return bt_error_set(err, BERTC_INPUT,
                            "sequence length %lld is longer than the model's %lld positions (config.json "
                            "max_position_embeddings)",
                            (long long)bt_expr_hint(g->exprs, length).i, (long long)m->sizes[POSITIONS]);
    }
    return BERTC_OK;
}

static bt_value embed(struct bt_nn *nn, const struct bert *m, const struct bt_tree *inputs, bt_expr length)
{
    struct bt_graph *g = nn->graph;
    bt_value types;
    if (inputs[TOKEN_TYPE_IDS].kind == BT_TREE_TENSOR) {
        types = bt_nn_embedding(nn, m->embedding[TYPE], inputs[TOKEN_TYPE_IDS].value);
    } else {
        struct bt_arg first[] = {bt_arg_value(bt_nn_weight(nn, m->embedding[TYPE])), bt_arg_int(g, 0),
                                 bt_arg_int(g, 0)};
        types = bt_nn_op(nn, BT_OP_SELECT, 3, first);
    }
    struct bt_arg range[] = {bt_arg_value(bt_nn_weight(nn, m->embedding[POSITION])), bt_arg_int(g, 0), bt_arg_int(g, 0),
                             bt_arg_expr(length), bt_arg_int(g, 1)};
    bt_value positions = bt_nn_op(nn, BT_OP_SLICE, 5, range);
    bt_value words = bt_nn_embedding(nn, m->embedding[WORD], inputs[INPUT_IDS].value);
    bt_value sum = bt_nn_add(nn, bt_nn_add(nn, words, types), positions);
    return bt_nn_layer_norm(nn, sum, m->embedding[EMBEDDING_NORM], m->embedding[EMBEDDING_NORM_BIAS], m->eps);
}

static bt_value linear(struct bt_nn *nn, bt_value x, layer_weights w, enum layer_weight which)
{
    return bt_nn_linear(nn, x, w[which], w[which + 1]);
}

static bt_value add_and_norm(struct bt_nn *nn, bt_value x, bt_value residual, layer_weights w, enum layer_weight which,
                             double eps)
{
    return bt_nn_layer_norm(nn, bt_nn_add(nn, x, residual), w[which], w[which + 1], eps);
}

static bt_value encode(struct bt_nn *nn, const struct bert *m, layer_weights w, bt_value x, bt_value mask)
{
    bt_value query = linear(nn, x, w, QUERY), key = linear(nn, x, w, KEY), value = linear(nn, x, w, VALUE);
    bt_value context = bt_nn_attention(nn, query, key, value, m->heads, mask);
    x = add_and_norm(nn, linear(nn, context, w, JOIN), x, w, ATTENTION_NORM, m->eps);
    bt_value inner = bt_nn_activation(nn, m->activation, linear(nn, x, w, UP));
    return add_and_norm(nn, linear(nn, inner, w, DOWN), x, w, OUTPUT_NORM, m->eps);
}

static bt_value pool(struct bt_nn *nn, const struct bert *m, bt_value hidden)
{
    struct bt_graph *g = nn->graph;
    struct bt_arg first[] = {bt_arg_value(hidden), bt_arg_int(g, 1), bt_arg_int(g, 0)};
    bt_value x = bt_nn_linear(nn, bt_nn_op(nn, BT_OP_SELECT, 3, first), m->pooler[0], m->pooler[1]);
    return bt_nn_op(nn, BT_OP_TANH, 1, (struct bt_arg[]){bt_arg_value(x)});
}

static enum bertc_status set_output(struct bt_graph *g, bt_value hidden, bt_value pooled, struct bertc_error *err)
{
    struct bt_tree *items = bt_arena_alloc(&g->arena, 2, sizeof *items);
    if (!items) {
        return bt_error_memory(err);
    }
    items[0] = (struct bt_tree){.kind = BT_TREE_TENSOR, .key = "last_hidden_state", .value = hidden};
    items[1] = (struct bt_tree){.kind = BT_TREE_TENSOR, .key = "pooler_output", .value = pooled};
    g->output = (struct bt_tree){.kind = BT_TREE_DICT, .items = items, .count = pooled == BT_NO_VALUE ? 1 : 2};
    return BERTC_OK;
}

static enum bertc_status build(const void *plan, const struct bt_tree *inputs, struct bt_graph *graph,
                               struct bertc_error *err)
{
    const struct bert *m = plan;
    enum bertc_status status = check_inputs(inputs, graph, err);
    if (status) {
        return status;
    }
    bt_expr length = graph->values[inputs[INPUT_IDS].value].dims[1];
    if ((status = check_length(m, length, graph, err))) {
        return status;
    }
    struct bt_nn nn = {.graph = graph, .err = err};
    graph->where = "embeddings";
    bt_value hidden = embed(&nn, m, inputs, length), mask = BT_NO_VALUE, pooled = BT_NO_VALUE;
    if (inputs[ATTENTION_MASK].kind == BT_TREE_TENSOR) {
        mask = bt_nn_keep_mask(&nn, inputs[ATTENTION_MASK].value);
    }
    for (int64_t i = 0; i < m->layer_count && !nn.status; i++) {
        graph->where = bt_arena_printf(&graph->arena, "encoder.layer.%lld", (long long)i);
        hidden = encode(&nn, m, m->layers[i], hidden, mask);
    }
    if (m->pooled) {
        graph->where = "pooler";
        pooled = pool(&nn, m, hidden);
    }
    return nn.status ? nn.status : set_output(graph, hidden, pooled, err);
}

const struct bt_arch bt_arch_bert = {
    .model_type = "bert",
    .params = params,
    .param_count = PARAMS,
    .prepare = prepare,
    .build = build,
};
