/* arch_electra.c: ELECTRA: BERT without a pooler, whose tables may be narrower than its layers */
#include "load/arch_bert.h"

static const struct bt_bert_names names = {
    .positions = "embeddings.position_embeddings",
    .types = "embeddings.token_type_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .project = "embeddings_project",
    .layer = "encoder.layer.%lld.",
    .query = "attention.self.query",
    .key = "attention.self.key",
    .value = "attention.self.value",
    .join = "attention.output.dense",
    .attention_norm = "attention.output.LayerNorm",
    .up = "intermediate.dense",
    .down = "output.dense",
    .output_norm = "output.LayerNorm",
};

static enum bertc_status configure(const struct bt_checkpoint *c, struct bt_config *config, struct bertc_error *err)
{
    enum bertc_status status = bt_arch_check_encoder(c, config, err);
    status = status ? status : bt_checkpoint_require(c, "summary_type", "first", err);
    return status ? status : bt_checkpoint_require_bool(c, "summary_use_proj", true, err);
}

static const struct bt_head heads[] = {
    BT_HEAD_CLASSES("classifier.out_proj", .rows = BT_ROWS_FIRST, .dense = "classifier.dense", .activation = "gelu"),
    BT_HEAD_TOKENS("classifier"),
    BT_HEAD_SPANS("qa_outputs"),
    BT_HEAD_WORDS(.dense = "generator_predictions.dense", .activation = "gelu",
                  .norm = "generator_predictions.LayerNorm", .decoder = "generator_lm_head"),
    BT_HEAD("ForPreTraining",
            BT_BRANCH_LOGITS("discriminator_predictions.dense_prediction", .dense = "discriminator_predictions.dense",
                             .width = BT_WIDTH_ONE, .form = BT_FORM_SQUEEZED)),
    BT_HEAD_CHOICES("classifier", .rows = BT_ROWS_FIRST, .dense = "sequence_summary.summary", .activation = "gelu",
                    .activation_key = "summary_activation"),
};

const struct bt_arch bt_arch_electra = {
    .model_type = "electra",
    .class_name = "Electra",
    .prefix = "electra.",
    .inputs = BT_BERT_INPUTS,
    .config = {.vocab = 30522,
               .positions = 512,
               .types = 2,
               .embedding = 128,
               .hidden = 256,
               .inner = 1024,
               .layers = 12,
               .heads = 4,
               .eps = 1e-12,
               .activation = "gelu"},
    .words = "embeddings.word_embeddings",
    BT_HEADS(heads),
    .spec = &names,
    .configure = configure,
    .encode = bt_bert_encode,
};
