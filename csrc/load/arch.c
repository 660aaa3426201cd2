/* arch.c: the table of architectures, and what most configurations have */
#include "load/arch.h"

#include <string.h>

#include "load/nn.h"

#define ARCH(name) extern const struct bt_arch bt_arch_##name;
#include "load/arch.inc"
#undef ARCH

static const struct bt_arch *const archs[] = {
#define ARCH(name) &bt_arch_##name,
#include "load/arch.inc"
#undef ARCH
};

enum bertc_status bt_arch_find(const char *model_type, const struct bt_arch **out, struct bertc_error *err)
{
    for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++) {
        if (strcmp(archs[i]->model_type, model_type) == 0) {
            *out = archs[i];
            return BERTC_OK;
        }
    }
    bt_error_set(err, BERTC_UNSUPPORTED, "config.json: model_type '%.100s' is not supported as a directory (",
                 model_type);
    for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++) {
        bt_error_append(err, "%s%s", i ? ", " : "known: ", archs[i]->model_type);
    }
    bt_error_append(err, "); trace it with torch.jit.trace and load that file");
    return BERTC_UNSUPPORTED;
}

/* ---- configuration ---- */

enum bertc_status bt_arch_activation(const struct bt_checkpoint *c, const char *key, const char *fallback,
                                     const char **out, struct bertc_error *err)
{
    enum bertc_status status = bt_checkpoint_string(c, key, fallback, out, err);
    if (!status && !bt_nn_knows_activation(*out)) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: %s '%.100s' is not supported",
                            bt_checkpoint_key(c, key), *out);
    }
    return status;
}

enum bertc_status bt_arch_check_encoder(const struct bt_checkpoint *c, struct bt_config *config,
                                        struct bertc_error *err)
{
    (void)config;
    enum bertc_status status = bt_checkpoint_require(c, "position_embedding_type", "absolute", err);
    status = status ? status : bt_checkpoint_require_bool(c, "is_decoder", false, err);
    return status ? status : bt_checkpoint_require_bool(c, "add_cross_attention", false, err);
}

enum bertc_status bt_arch_rope(const struct bt_checkpoint *c, const struct bt_json *parameters, const char *key,
                               double fallback, double *out, struct bertc_error *err)
{
    const struct bt_json *type = bt_json_get(parameters, "rope_type"), *base = bt_json_get(parameters, "rope_theta");
    if (bt_checkpoint_value(c, "rope_scaling")) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: rope_scaling is not supported");
    }
    if (type && (!bt_json_string(type) || strcmp(bt_json_string(type), "default") != 0)) {
        const char *name = bt_json_string(type);
        return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: rope_type '%.100s' is not supported, only 'default'",
                            name ? name : "?");
    }
    if (!base) {
        return bt_checkpoint_float(c, key, fallback, out, err);
    }
    if (base->kind != BT_JSON_FLOAT && base->kind != BT_JSON_INT) {
        return bt_error_set(err, BERTC_FORMAT, "config.json: rope_theta is not a number");
    }
    *out = base->number;
    return BERTC_OK;
}

/* Whatever the architecture, these change what the weights mean. */
static enum bertc_status check_general(const struct bt_checkpoint *c, struct bertc_error *err)
{
    const struct bt_json *pruned = bt_checkpoint_value(c, "pruned_heads");
    if (bt_checkpoint_value(c, "quantization_config")) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: quantization_config is not supported");
    }
    if (pruned && pruned->size > 0) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "config.json: pruned_heads is not supported");
    }
    return BERTC_OK;
}

static enum bertc_status count_labels(const struct bt_checkpoint *c, int64_t *out, struct bertc_error *err)
{
    const struct bt_json *labels = bt_checkpoint_value(c, "id2label");
    const int64_t named = labels && labels->kind == BT_JSON_OBJECT ? (int64_t)labels->size : 2;
    return bt_checkpoint_int(c, "num_labels", named, 0, out, err);
}

static enum bertc_status read_sizes(const struct bt_checkpoint *c, struct bt_config *config, struct bertc_error *err)
{
    const struct {
        const char *key;
        int64_t lowest, *out;
    } sizes[] = {
        {"vocab_size", 1, &config->vocab},          {"max_position_embeddings", 1, &config->positions},
        {"type_vocab_size", 0, &config->types},     {"hidden_size", 1, &config->hidden},
        {"intermediate_size", 1, &config->inner},   {"num_hidden_layers", 0, &config->layers},
        {"num_attention_heads", 1, &config->heads}, {"pad_token_id", INT32_MIN, &config->pad},
    };
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && !status; i++) {
        status = bt_checkpoint_int(c, sizes[i].key, *sizes[i].out, sizes[i].lowest, sizes[i].out, err);
    }
    const int64_t width = config->embedding ? config->embedding : config->hidden;
    return status ? status : bt_checkpoint_int(c, "embedding_size", width, 1, &config->embedding, err);
}

enum bertc_status bt_arch_configure(const struct bt_arch *arch, const struct bt_checkpoint *c, struct bt_config *config,
                                    struct bertc_error *err)
{
    *config = arch->config;
    config->tied = true;
    enum bertc_status status;
    if ((status = check_general(c, err)) || (status = read_sizes(c, config, err)) ||
        (status = bt_checkpoint_float(c, "layer_norm_eps", config->eps, &config->eps, err)) ||
        (status = bt_arch_activation(c, "hidden_act", config->activation, &config->activation, err)) ||
        (status = bt_checkpoint_bool(c, "tie_word_embeddings", true, &config->tied, err)) ||
        (status = count_labels(c, &config->labels, err)) ||
        (arch->configure && (status = arch->configure(c, config, err)))) {
        return status;
    }
    if (config->hidden % config->heads != 0) {
        return bt_error_set(err, BERTC_FORMAT,
                            "config.json: hidden_size %lld is no multiple of num_attention_heads %lld",
                            (long long)config->hidden, (long long)config->heads);
    }
    if (config->layers > (int64_t)c->tensor_count) {
        return bt_error_set(err, BERTC_FORMAT, "config.json: num_hidden_layers is %lld, but there are only %zu weights",
                            (long long)config->layers, c->tensor_count);
    }
    return BERTC_OK;
}
