/* arch_roberta.c: RoBERTa, XLM-RoBERTa and CamemBERT: BERT whose positions are counted from the padding id */
#include "load/arch_bert.h"

static bt_value encode(struct bt_encoder *e)
{
    const struct bt_bert_names *n = bt_bert_choose(e, e->model->arch->spec);
    const bt_value positions = bt_encoder_positions_by_id(e, n->positions, e->config->pad);
    return bt_bert_layers(e, n, &(struct bt_bert_context){.mask = e->keep}, bt_bert_embed(e, n, positions));
}

static const struct bt_head heads[] = {
    BT_HEAD_CLASSES("classifier.out_proj", .rows = BT_ROWS_FIRST, .dense = "classifier.dense", .activation = "tanh"),
    BT_HEAD_TOKENS("classifier"),
    BT_HEAD_SPANS("qa_outputs"),
    BT_HEAD_WORDS(BT_ROBERTA_WORDS),
    {.name = "ForMultipleChoice",
     .branches = {BT_BRANCH_LOGITS("classifier", .rows = BT_ROWS_POOLED, .width = BT_WIDTH_ONE,
                                   .form = BT_FORM_CHOICES)},
     .inputs = "input_ids token_type_ids attention_mask position_ids inputs_embeds"},
};

#define ROBERTA(id, type, name, words_count)                                                                           \
    const struct bt_arch bt_arch_##id = {                                                                              \
        .model_type = type,                                                                                            \
        .class_name = name,                                                                                            \
        .prefix = "roberta.",                                                                                          \
        .inputs = BT_BERT_INPUTS,                                                                                      \
        .config = {.vocab = words_count,                                                                               \
                   .positions = 512,                                                                                   \
                   .types = 2,                                                                                         \
                   .hidden = 768,                                                                                      \
                   .inner = 3072,                                                                                      \
                   .layers = 12,                                                                                       \
                   .heads = 12,                                                                                        \
                   .pad = 1,                                                                                           \
                   .eps = 1e-12,                                                                                       \
                   .activation = "gelu"},                                                                              \
        .words = "embeddings.word_embeddings",                                                                         \
        .pooler = "pooler.dense",                                                                                      \
        BT_HEADS(heads),                                                                                               \
        .spec = &bt_bert_names,                                                                                        \
        .configure = bt_arch_check_encoder,                                                                            \
        .encode = encode,                                                                                              \
    };

ROBERTA(roberta, "roberta", "Roberta", 50265)
ROBERTA(xlm_roberta, "xlm-roberta", "XLMRoberta", 30522)
ROBERTA(camembert, "camembert", "Camembert", 30522)
