/* onnx_build.h: the names of a graph that is being run, and the operators that nodes call */
#ifndef BT_LOAD_ONNX_BUILD_H
#define BT_LOAD_ONNX_BUILD_H

#include "bertc.h"
#include "load/onnx_lower.h"

/* What a name means: a tensor of the file until it is first read, then the value made of it. */
struct bt_onnx_binding {
    const struct bt_onnx_tensor *tensor;
    struct bt_dyn value;
};

/* The main graph, a body of If inside it, or a function, which sees no names but its own. */
struct bt_onnx_scope {
    const struct bt_onnx_model *model;
    const struct bt_onnx_opsets *opsets;
    struct bt_lower *lower;
    struct bt_onnx_scope *outer;             /* whose names are visible too; NULL: none */
    const struct bt_onnx_scope *caller;      /* of a function: where its call stands */
    const struct bt_onnx_node *call;         /* of a function: the node, whose attributes its body may refer to */
    const struct bt_onnx_function *function;
    struct bt_map names;
    struct bt_onnx_binding *bindings;
    size_t count, cap;
    int depth;
};

typedef void bt_onnx_lowering(struct bt_onnx_call *o);

/* The lowering of an operator and its detail; NULL: there is none. (onnx_ops.c) */
bt_onnx_lowering *bt_onnx_find(const char *domain, const char *op, int *detail);

/* Builds the graph for these arguments, one per param: the inputs of the model's graph that are no initialisers. */
enum bertc_status bt_onnx_build(const struct bt_onnx_model *model, const struct bertc_param *params,
                                const struct bt_onnx_value *const *inputs, const struct bertc_value *args, size_t count,
                                struct bt_graph *graph, struct bertc_error *err);

#endif
