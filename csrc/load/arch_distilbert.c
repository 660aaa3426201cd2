/* arch_distilbert.c: DistilBERT: BERT without token types and pooler */
#include "load/arch_bert.h"

static const struct bt_bert_names names = {
    .positions = "embeddings.position_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .layer = "transformer.layer.%lld.",
    .query = "attention.q_lin",
    .key = "attention.k_lin",
    .value = "attention.v_lin",
    .join = "attention.out_lin",
    .attention_norm = "sa_layer_norm",
    .up = "ffn.lin1",
    .down = "ffn.lin2",
    .output_norm = "output_layer_norm",
};

static const char *const aliases[][2] = {{"hidden_size", "dim"},
                                         {"num_attention_heads", "n_heads"},
                                         {"num_hidden_layers", "n_layers"},
                                         {"intermediate_size", "hidden_dim"},
                                         {"hidden_act", "activation"},
                                         {NULL, NULL}};

/* Its layer norms have an epsilon of their own. */
static enum bertc_status configure(const struct bt_checkpoint *c, struct bt_config *config, struct bertc_error *err)
{
    (void)c;
    (void)err;
    config->eps = 1e-12;
    return BERTC_OK;
}

#define CLASSIFIED .rows = BT_ROWS_FIRST, .dense = "pre_classifier", .activation = "relu"

static const struct bt_head heads[] = {
    BT_HEAD_CLASSES("classifier", CLASSIFIED),
    BT_HEAD_TOKENS("classifier"),
    BT_HEAD_SPANS("qa_outputs"),
    BT_HEAD_WORDS(.dense = "vocab_transform", .norm = "vocab_layer_norm", .decoder = "vocab_projector"),
    BT_HEAD_CHOICES("classifier", CLASSIFIED),
};

const struct bt_arch bt_arch_distilbert = {
    .model_type = "distilbert",
    .class_name = "DistilBert",
    .prefix = "distilbert.",
    .inputs = "input_ids attention_mask inputs_embeds position_ids",
    .config = {.vocab = 30522,
               .positions = 512,
               .hidden = 768,
               .inner = 3072,
               .layers = 6,
               .heads = 12,
               .activation = "gelu"},
    .aliases = aliases,
    .words = "embeddings.word_embeddings",
    BT_HEADS(heads),
    .spec = &names,
    .configure = configure,
    .encode = bt_bert_encode,
};
