/* arch_rotary.c: NomicBERT, GTE and Jina embeddings v3: BERT whose queries and keys are turned by their positions */
#include "load/arch_bert.h"

#define NAMES .types = "embeddings.token_type_embeddings"
#define GATED .gate = "mlp.gate_proj", .up = "mlp.up_proj", .down = "mlp.down_proj"
#define PLAIN .up = "mlp.fc1", .down = "mlp.fc2"

/* transformers' own names, which its converted checkpoints do not have */
#define LAYERS                                                                                                         \
    NAMES, .embedding_norm = "embeddings.LayerNorm", .layer = "layers.%lld.", .query = "self_attn.q_proj",             \
           .key = "self_attn.k_proj", .value = "self_attn.v_proj", .join = "self_attn.o_proj",                         \
           .attention_norm = "post_attention_layernorm", .output_norm = "post_mlp_layernorm"
/* those of flash-attn */
#define FLASH(attention)                                                                                               \
    NAMES, .embedding_norm = "emb_ln", .layer = "encoder.layers.%lld.", .query = attention ".Wqkv@0/3",                \
           .key = attention ".Wqkv@1/3", .value = attention ".Wqkv@2/3", .join = attention ".out_proj",                \
           .attention_norm = "norm1", .output_norm = "norm2"

#define NOMIC .no_attention_bias = true, .no_inner_bias = true, .no_down_bias = true

static const struct bt_bert_names nomic_new_names = {LAYERS, GATED, NOMIC};
static const struct bt_bert_names nomic_names = {
    FLASH("attn"), NOMIC, .gate = "mlp.fc12", .up = "mlp.fc11", .down = "mlp.fc2", .other = &nomic_new_names};
static const struct bt_bert_names gte_new_names = {LAYERS, GATED, .no_inner_bias = true};
static const struct bt_bert_names gte_names = {NAMES,
                                               .embedding_norm = "embeddings.LayerNorm",
                                               .layer = "encoder.layer.%lld.",
                                               .query = "attention.qkv_proj@0/3",
                                               .key = "attention.qkv_proj@1/3",
                                               .value = "attention.qkv_proj@2/3",
                                               .join = "attention.o_proj",
                                               .attention_norm = "attn_ln",
                                               .gate = "mlp.up_gate_proj@1/2",
                                               .up = "mlp.up_gate_proj@0/2",
                                               .down = "mlp.down_proj",
                                               .output_norm = "mlp_ln",
                                               .no_inner_bias = true,
                                               .other = &gte_new_names};
static const struct bt_bert_names jina_new_names = {LAYERS, PLAIN};
static const struct bt_bert_names jina_names = {FLASH("mixer"), PLAIN, .other = &jina_new_names};

/* config->extra is the base of the angles. */
static enum bertc_status read_base(const struct bt_checkpoint *c, struct bt_config *config, double fallback,
                                   struct bertc_error *err)
{
    double *base = bt_arena_alloc(c->arena, 1, sizeof *base);
    if (!base) {
        return bt_error_memory(err);
    }
    config->extra = base;
    enum bertc_status status = bt_arch_check_encoder(c, config, err);
    status = status ? status : bt_checkpoint_require_int(c, "head_dim", config->hidden / config->heads, err);
    return status ? status
                  : bt_arch_rope(c, bt_checkpoint_value(c, "rope_parameters"), "rope_theta", fallback, base, err);
}

static enum bertc_status configure_nomic(const struct bt_checkpoint *c, struct bt_config *config,
                                         struct bertc_error *err)
{
    return read_base(c, config, 1000.0, err);
}

static enum bertc_status configure_gte(const struct bt_checkpoint *c, struct bt_config *config, struct bertc_error *err)
{
    return read_base(c, config, 160000.0, err);
}

static enum bertc_status configure_jina(const struct bt_checkpoint *c, struct bt_config *config,
                                        struct bertc_error *err)
{
    return read_base(c, config, 20000.0, err);
}

static bt_value encode(struct bt_encoder *e)
{
    const struct bt_config *c = e->config;
    const struct bt_bert_names *names = bt_bert_choose(e, e->model->arch->spec);
    const double *base = c->extra;
    const struct bt_rotary rotary = bt_encoder_rotary(e, *base, c->hidden / c->heads);
    const struct bt_bert_context context = {.mask = e->keep, .rotary = &rotary};
    return bt_bert_layers(e, names, &context, bt_bert_embed(e, names, BT_NO_VALUE));
}

static const struct bt_head nomic_heads[] = {
    BT_HEAD_CLASSES("classifier", .rows = BT_ROWS_POOLED),
    BT_HEAD_TOKENS("classifier"),
    BT_HEAD_WORDS(.dense = "cls.predictions.transform.dense", .norm = "cls.predictions.transform.layer_norm",
                  .decoder = "cls.predictions.decoder", .bias = "cls.predictions.bias"),
};

static const struct bt_head gte_heads[] = {
    BT_HEAD_CLASSES("classifier", .rows = BT_ROWS_POOLED),
    BT_HEAD_TOKENS("classifier"),
    BT_HEAD_WORDS(.dense = "lm_head.dense", .activation = "gelu", .norm = "lm_head.norm", .decoder = "lm_head.decoder"),
    BT_HEAD_WORDS(BT_ROBERTA_WORDS),
};

static const struct bt_head jina_heads[] = {
    BT_HEAD_CLASSES("classifier.out_proj", .rows = BT_ROWS_FIRST, .dense = "classifier.dense", .activation = "tanh"),
    BT_HEAD_TOKENS("classifier"),
    BT_HEAD_SPANS("qa_outputs"),
    BT_HEAD_WORDS(BT_ROBERTA_WORDS),
};

const struct bt_arch bt_arch_nomic_bert = {
    .model_type = "nomic_bert",
    .class_name = "NomicBert",
    .prefix = "nomic_bert.",
    .inputs = BT_BERT_INPUTS,
    .config = {.vocab = 30528,
               .positions = 2048,
               .types = 2,
               .hidden = 768,
               .inner = 3072,
               .layers = 12,
               .heads = 12,
               .eps = 1e-12,
               .activation = "silu"},
    .words = "embeddings.word_embeddings",
    .pooler = "pooler.dense",
    BT_HEADS(nomic_heads),
    .spec = &nomic_names,
    .configure = configure_nomic,
    .encode = encode,
};

const struct bt_arch bt_arch_gte = {
    .model_type = "gte",
    .class_name = "Gte",
    .prefix = "gte.",
    .inputs = BT_BERT_INPUTS,
    .config = {.vocab = 250048,
               .positions = 8192,
               .types = 1,
               .hidden = 768,
               .inner = 3072,
               .layers = 12,
               .heads = 12,
               .eps = 1e-12,
               .activation = "gelu"},
    .words = "embeddings.word_embeddings",
    .pooler = "pooler.dense",
    BT_HEADS(gte_heads),
    .spec = &gte_names,
    .configure = configure_gte,
    .encode = encode,
};

const struct bt_arch bt_arch_jina_embeddings_v3 = {
    .model_type = "jina_embeddings_v3",
    .class_name = "JinaEmbeddingsV3",
    .prefix = "roberta.",
    .inputs = BT_BERT_INPUTS,
    .config = {.vocab = 250002,
               .positions = 8194,
               .types = 1,
               .hidden = 1024,
               .inner = 4096,
               .layers = 24,
               .heads = 16,
               .eps = 1e-5,
               .activation = "gelu"},
    .words = "embeddings.word_embeddings",
    .pooler = "pooler.dense",
    BT_HEADS(jina_heads),
    .spec = &jina_names,
    .configure = configure_jina,
    .encode = encode,
};
