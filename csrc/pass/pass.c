/* pass.c: the passes in order */
#include "pass/pass.h"

static const struct {
    const char *name;
    enum bertc_status (*run)(struct bt_graph *g, struct bertc_error *err);
} passes[] = {
    {"drop_dead", bt_graph_drop_dead},
    {"simplify", bt_pass_simplify},
    {"fuse_linear", bt_pass_fuse_linear},
    {"fuse_gelu", bt_pass_fuse_gelu},
    {"fuse_layer_norm", bt_pass_fuse_layer_norm},
    {"drop_dead", bt_graph_drop_dead},
    {"simplify", bt_pass_simplify},
    {"fuse_attention", bt_pass_fuse_attention},
    {"simplify", bt_pass_simplify},
    {"select_rows", bt_pass_select_rows},
    {"fuse_epilogue", bt_pass_fuse_epilogue},
    {"order", bt_pass_order},
};

enum bertc_status bt_passes_run(struct bt_graph *g, struct bertc_error *err)
{
    for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++) {
        enum bertc_status status = passes[i].run(g, err);
#ifndef NDEBUG
        if (!status) {
            status = bt_graph_verify(g, err);
        }
#endif
        if (status) {
            return bt_error_prefix(err, "pass %s", passes[i].name);
        }
    }
    return BERTC_OK;
}
