/* arch.h: the architectures that bertc knows by config.json's model_type, without code from the file
 * To add one: a file arch_<model_type>.c with its struct bt_arch, and a line in arch.c. */
#ifndef BT_LOAD_ARCH_H
#define BT_LOAD_ARCH_H

#include "bertc.h"
#include "graph/graph.h"
#include "load/checkpoint.h"

struct bt_arch {
    const char *model_type;
    const struct bertc_param *params; /* the optional ones default to None */
    size_t param_count;
    /* Reads the configuration and finds the weights. *plan is what build needs, in the checkpoint's arena. */
    enum bertc_status (*prepare)(const struct bt_checkpoint *checkpoint, const void **plan, struct bertc_error *err);
    /* One input tree per param; makes the graph and its output. */
    enum bertc_status (*build)(const void *plan, const struct bt_tree *inputs, struct bt_graph *graph,
                               struct bertc_error *err);
};

/* BERTC_UNSUPPORTED names the known ones. */
enum bertc_status bt_arch_find(const char *model_type, const struct bt_arch **out, struct bertc_error *err);

extern const struct bt_arch bt_arch_bert;

#endif
