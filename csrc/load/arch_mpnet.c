/* arch_mpnet.c: MPNet: BERT with a bias of the scores by relative position, one for all layers */
#include <math.h>

#include "load/arch_bert.h"

static const struct bt_bert_names names = {
    .positions = "embeddings.position_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .layer = "encoder.layer.%lld.",
    .query = "attention.attn.q",
    .key = "attention.attn.k",
    .value = "attention.attn.v",
    .join = "attention.attn.o",
    .attention_norm = "attention.LayerNorm",
    .up = "intermediate.dense",
    .down = "output.dense",
    .output_norm = "output.LayerNorm",
};

enum { PAD = 1, BUCKETS = 32, FARTHEST = 128 };

/* The table's rows; transformers sorts into 32 buckets whatever its size. */
static enum bertc_status configure(const struct bt_checkpoint *c, struct bt_config *config, struct bertc_error *err)
{
    int64_t *buckets = bt_arena_alloc(c->arena, 1, sizeof *buckets);
    if (!buckets) {
        return bt_error_memory(err);
    }
    config->extra = buckets;
    enum bertc_status status = bt_arch_check_encoder(c, config, err);
    return status ? status : bt_checkpoint_int(c, "relative_attention_num_buckets", BUCKETS, BUCKETS, buckets, err);
}

/* [s, s]: half of the buckets for each direction, of which half for each small distance, the rest by its logarithm. */
static bt_value bucket_of(struct bt_nn *nn, bt_value distance)
{
    const int64_t half = BUCKETS / 2, exact = half / 2;
    const bt_value ahead = bt_nn_cast(nn, bt_nn_with_int(nn, BT_OP_LT, distance, 0), BT_I64);
    const bt_value far = bt_nn_unary(nn, BT_OP_ABS, distance);
    bt_value bucket = bt_nn_with_int(nn, BT_OP_DIV, bt_nn_cast(nn, far, BT_F32), exact);
    bucket = bt_nn_with_float(nn, BT_OP_DIV, bt_nn_unary(nn, BT_OP_LOG, bucket), log((double)FARTHEST / (double)exact));
    bucket = bt_nn_cast(nn, bt_nn_with_int(nn, BT_OP_MUL, bucket, half - exact), BT_I64);
    bucket = bt_nn_with_int(nn, BT_OP_MINIMUM, bt_nn_with_int(nn, BT_OP_ADD, bucket, exact), half - 1);
    const bt_value near = bt_nn_with_int(nn, BT_OP_LT, far, exact);
    return bt_nn_add(nn, bt_nn_with_int(nn, BT_OP_MUL, ahead, half),
                     bt_nn_where(nn, near, bt_arg_value(far), bt_arg_value(bucket)));
}

static bt_value position_bias(struct bt_encoder *e)
{
    struct bt_nn *nn = &e->nn;
    const int64_t *buckets = e->config->extra;
    const bt_value place = bt_nn_range(nn, e->length);
    const bt_value distance = bt_nn_binary(nn, BT_OP_SUB, bt_nn_unsqueeze(nn, place, 1), bt_nn_unsqueeze(nn, place, 0));
    const bt_value bias = bt_nn_embedding(nn, "encoder.relative_attention_bias", *buckets, e->config->heads,
                                          bucket_of(nn, distance)); /* [query, key, head] */
    return bt_nn_unsqueeze(nn, bt_nn_swap(nn, bt_nn_swap(nn, bias, 0, 2), 1, 2), 0);
}

static bt_value encode(struct bt_encoder *e)
{
    bt_value mask = position_bias(e);
    if (e->keep >= 0) {
        mask = bt_nn_add(&e->nn, mask, bt_encoder_additive(e, e->keep));
    }
    const bt_value x = bt_bert_embed(e, &names, bt_encoder_positions_by_id(e, names.positions, PAD));
    return bt_bert_layers(e, &names, &(struct bt_bert_context){.mask = mask}, x);
}

static const struct bt_head heads[] = {
    BT_HEAD_CLASSES("classifier.out_proj", .rows = BT_ROWS_FIRST, .dense = "classifier.dense", .activation = "tanh"),
    BT_HEAD_TOKENS("classifier"),
    BT_HEAD_SPANS("qa_outputs"),
    BT_HEAD_WORDS(BT_ROBERTA_WORDS),
    BT_HEAD_CHOICES("classifier", .rows = BT_ROWS_POOLED),
};

const struct bt_arch bt_arch_mpnet = {
    .model_type = "mpnet",
    .class_name = "MPNet",
    .prefix = "mpnet.",
    .inputs = "input_ids attention_mask position_ids inputs_embeds",
    .config = {.vocab = 30527,
               .positions = 512,
               .hidden = 768,
               .inner = 3072,
               .layers = 12,
               .heads = 12,
               .eps = 1e-12,
               .activation = "gelu"},
    .words = "embeddings.word_embeddings",
    .pooler = "pooler.dense",
    BT_HEADS(heads),
    .configure = configure,
    .encode = encode,
};
