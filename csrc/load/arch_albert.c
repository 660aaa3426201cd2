/* arch_albert.c: ALBERT: few groups of layers that are used again and again, and tables of a width of their own */
#include "load/arch_bert.h"

static const struct bt_bert_names names = {
    .positions = "embeddings.position_embeddings",
    .types = "embeddings.token_type_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .project = "encoder.embedding_hidden_mapping_in",
    .always_projects = true,
    .query = "attention.query",
    .key = "attention.key",
    .value = "attention.value",
    .join = "attention.dense",
    .attention_norm = "attention.LayerNorm",
    .up = "ffn",
    .down = "ffn_output",
    .output_norm = "full_layer_layer_norm",
};

struct groups {
    int64_t groups, inner; /* how many, and layers in each */
};

static enum bertc_status configure(const struct bt_checkpoint *c, struct bt_config *config, struct bertc_error *err)
{
    struct groups *groups = bt_arena_alloc(c->arena, 1, sizeof *groups);
    if (!groups) {
        return bt_error_memory(err);
    }
    config->extra = groups;
    const int64_t most = (int64_t)c->tensor_count;
    enum bertc_status status = bt_arch_check_encoder(c, config, err);
    status = status ? status : bt_checkpoint_int(c, "num_hidden_groups", 1, 1, &groups->groups, err);
    status = status ? status : bt_checkpoint_int(c, "inner_group_num", 1, 1, &groups->inner, err);
    if (!status && (groups->groups > most || groups->inner > most)) {
        return bt_error_set(err, BERTC_FORMAT,
                            "config.json: num_hidden_groups is %lld and inner_group_num %lld, but there are only %zu "
                            "weights",
                            (long long)groups->groups, (long long)groups->inner, c->tensor_count);
    }
    return status;
}

static bt_value encode(struct bt_encoder *e)
{
    const struct bt_config *c = e->config;
    const struct groups *groups = c->extra;
    const struct bt_bert_context context = {.mask = e->keep};
    bt_value x = bt_bert_embed(e, &names, bt_encoder_positions(e, names.positions, c->embedding));
    bt_encoder_hidden(e, x);
    for (int64_t i = 0; i < c->layers; i++) {
        const double share = (double)c->layers / (double)groups->groups;
        const int64_t group = (int64_t)((double)i / share);
        for (int64_t k = 0; k < groups->inner && !e->nn.status; k++) {
            bt_nn_enter(&e->nn, "encoder.albert_layer_groups.%lld.", group);
            bt_nn_enter_below(&e->nn, "albert_layers.%lld.", k);
            x = bt_bert_layer(e, &names, &context, x);
        }
    }
    return x;
}

#define WORDS                                                                                                          \
    .dense = "predictions.dense", .norm = "predictions.LayerNorm", .decoder = "predictions.decoder",                   \
    .bias = "predictions.bias"

static const struct bt_head heads[] = {
    BT_HEAD_CLASSES("classifier", .rows = BT_ROWS_POOLED),
    BT_HEAD_TOKENS("classifier"),
    BT_HEAD_SPANS("qa_outputs"),
    BT_HEAD_WORDS(WORDS),
    BT_HEAD("ForPreTraining", {.output = "prediction_logits", .width = BT_WIDTH_VOCAB, WORDS},
            {.output = "sop_logits", .rows = BT_ROWS_POOLED, .decoder = "sop_classifier.classifier"}),
    BT_HEAD_CHOICES("classifier", .rows = BT_ROWS_POOLED),
};

const struct bt_arch bt_arch_albert = {
    .model_type = "albert",
    .class_name = "Albert",
    .prefix = "albert.",
    .inputs = BT_BERT_INPUTS,
    .config = {.vocab = 30000,
               .positions = 512,
               .types = 2,
               .embedding = 128,
               .hidden = 4096,
               .inner = 16384,
               .layers = 12,
               .heads = 64,
               .eps = 1e-12,
               .activation = "gelu_new"},
    .words = "embeddings.word_embeddings",
    .pooler = "pooler",
    BT_HEADS(heads),
    .configure = configure,
    .encode = encode,
};
