/* model.h: a Hugging Face directory's model: an architecture with its configuration, weights and head */
#ifndef BT_LOAD_MODEL_H
#define BT_LOAD_MODEL_H

#include "bertc.h"
#include "load/arch.h"

/* A directory's model: what to build. In the checkpoint's arena. */
struct bt_model {
    const struct bt_arch *arch;
    const struct bt_head *head; /* NULL: the bare model */
    const struct bt_checkpoint *checkpoint;
    struct bt_config config;
    const char *prefix;       /* the encoder's, as the weights have it: arch->prefix or "" */
    const char *architecture; /* "BertForMaskedLM" */
    const char *warning;      /* of weights that nothing uses; "" */
    enum bt_dtype dtype; /* of its arithmetic */
    bool pooled;              /* the bare model has its pooler */
    struct bertc_param *params;
    struct bertc_value *defaults, *example; /* one per param */
    size_t param_count;
};

/* Chooses architecture and head, reads the configuration and finds all weights. BERTC_UNSUPPORTED names what is
 * unknown, BERTC_FORMAT the weights that are missing. */
enum bertc_status bt_model_open(struct bt_checkpoint *checkpoint, struct bt_model **out, struct bertc_error *err);
/* One input tree per param; makes the graph and its output. */
enum bertc_status bt_model_build(const struct bt_model *model, const struct bt_tree *inputs, struct bt_graph *graph,
                                 struct bertc_error *err);

#endif
