/* onnx_model.c: read the messages of an ONNX model: model, functions, graphs, nodes, attributes, types */
#include "load/onnx_model.h"

#include <string.h>

#define MAX_DEPTH 16 /* graphs in attributes of nodes of graphs */

static enum bertc_status append_text(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, struct bt_onnx_strings *list)
{
    enum bertc_status status = bt_onnx_grow(r, &list->items, &list->count, &list->cap, sizeof *list->items);
    return status ? status : bt_onnx_read_text(r, m, f, &list->items[list->count - 1]);
}

static enum bertc_status graph_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, void *out);

static enum bertc_status read_subgraph(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                       const struct bt_protobuf_field *f, struct bt_onnx_graph **out)
{
    if (r->depth == MAX_DEPTH) {
        return bt_error_set(r->err, BERTC_UNSUPPORTED, "graphs nest more than %d levels", MAX_DEPTH);
    }
    *out = bt_arena_alloc(r->arena, 1, sizeof **out);
    if (!*out) {
        return bt_error_memory(r->err);
    }
    r->depth++;
    enum bertc_status status = bt_onnx_read_message(r, m, f, graph_field, *out);
    r->depth--;
    return status;
}

static enum bertc_status attribute_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                         const struct bt_protobuf_field *f, void *out)
{
    enum { NAME = 1, F, I, S, T, G, FLOATS, INTS, TYPE = 20, REF };
    struct bt_onnx_attribute *a = out;
    switch (f->number) {
    case NAME: return bt_onnx_read_text(r, m, f, &a->name);
    case F: return bt_onnx_read_float(r, m, f, &a->f);
    case I: return bt_onnx_read_integer(r, m, f, &a->i);
    case S: return bt_onnx_read_text(r, m, f, &a->s);
    case T:
        a->tensor = bt_arena_alloc(r->arena, 1, sizeof *a->tensor);
        return a->tensor ? bt_onnx_read_tensor(r, m, f, a->tensor) : bt_error_memory(r->err);
    case G: return read_subgraph(r, m, f, &a->graph);
    case FLOATS: return bt_onnx_read_packed(r, m, f, BT_WIRE_FIXED32, &a->floats);
    case INTS: return bt_onnx_read_integers(r, m, f, &a->ints);
    case TYPE: return bt_onnx_read_integer(r, m, f, &a->kind);
    case REF: return bt_onnx_read_text(r, m, f, &a->ref);
    default: return BERTC_OK;
    }
}

static enum bertc_status read_attribute(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                        const struct bt_protobuf_field *f, struct bt_onnx_attribute **list,
                                        size_t *count, size_t *cap)
{
    enum bertc_status status = bt_onnx_grow(r, list, count, cap, sizeof **list);
    if (status) {
        return status;
    }
    struct bt_onnx_attribute *a = &(*list)[*count - 1];
    a->name = a->s = "";
    if ((status = bt_onnx_read_message(r, m, f, attribute_field, a))) {
        return status == BERTC_MEMORY ? status : bt_error_prefix(r->err, "attribute '%.100s'", a->name);
    }
    return BERTC_OK;
}

/* The domain "ai.onnx" is also written as nothing. */
static enum bertc_status read_domain(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, const char **out)
{
    enum bertc_status status = bt_onnx_read_text(r, m, f, out);
    *out = !status && strcmp(*out, "ai.onnx") == 0 ? "" : *out;
    return status;
}

static enum bertc_status node_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                    const struct bt_protobuf_field *f, void *out)
{
    enum { INPUT = 1, OUTPUT, NAME, OP_TYPE, ATTRIBUTE, DOMAIN = 7 };
    struct bt_onnx_node *n = out;
    switch (f->number) {
    case INPUT: return append_text(r, m, f, &n->inputs);
    case OUTPUT: return append_text(r, m, f, &n->outputs);
    case NAME: return bt_onnx_read_text(r, m, f, &n->name);
    case OP_TYPE: return bt_onnx_read_text(r, m, f, &n->op);
    case ATTRIBUTE: return read_attribute(r, m, f, &n->attributes, &n->attribute_count, &n->attribute_cap);
    case DOMAIN: return read_domain(r, m, f, &n->domain);
    default: return BERTC_OK;
    }
}

static enum bertc_status read_node(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                   const struct bt_protobuf_field *f, struct bt_onnx_graph *g)
{
    enum bertc_status status = bt_onnx_grow(r, &g->nodes, &g->node_count, &g->node_cap, sizeof *g->nodes);
    if (status) {
        return status;
    }
    struct bt_onnx_node *n = &g->nodes[g->node_count - 1];
    n->name = n->op = n->domain = "";
    if ((status = bt_onnx_read_message(r, m, f, node_field, n))) {
        return status == BERTC_MEMORY ? status : bt_error_prefix(r->err, "node '%.100s' (%.60s)", n->name, n->op);
    }
    return BERTC_OK;
}

static enum bertc_status dim_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                   const struct bt_protobuf_field *f, void *out)
{
    enum { VALUE = 1, PARAM };
    struct bt_onnx_dim *dim = out;
    if (f->number == PARAM) {
        return bt_onnx_read_text(r, m, f, &dim->param);
    }
    enum bertc_status status = f->number == VALUE ? bt_onnx_read_integer(r, m, f, &dim->size) : BERTC_OK;
    return status || dim->size >= -1
               ? status
               : bt_error_set(r->err, BERTC_FORMAT, "a dimension of size %lld", (long long)dim->size);
}

static enum bertc_status shape_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, void *out)
{
    enum { DIM = 1 };
    struct bt_onnx_value *v = out;
    if (f->number != DIM) {
        return BERTC_OK;
    }
    if (v->rank == BT_MAX_RANK) {
        return bt_error_set(r->err, BERTC_UNSUPPORTED, "a tensor of more than %d dimensions", BT_MAX_RANK);
    }
    if (!bt_arena_reserve(r->arena, &v->dims, &v->dim_cap, BT_MAX_RANK, sizeof *v->dims)) {
        return bt_error_memory(r->err);
    }
    struct bt_onnx_dim *dim = &v->dims[v->rank++];
    dim->size = -1;
    return bt_onnx_read_message(r, m, f, dim_field, dim);
}

static enum bertc_status tensor_type_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                           const struct bt_protobuf_field *f, void *out)
{
    enum { ELEM_TYPE = 1, SHAPE };
    struct bt_onnx_value *v = out;
    const char *name;
    int64_t code = 0;
    if (f->number == SHAPE) {
        v->rank = 0;
        return bt_onnx_read_message(r, m, f, shape_field, v);
    }
    enum bertc_status status = f->number == ELEM_TYPE ? bt_onnx_read_integer(r, m, f, &code) : BERTC_OK;
    if (!status && code != 0) {
        v->typed = bt_onnx_dtype(code, &v->dtype, &name);
        v->foreign = v->typed ? NULL : name;
    }
    return status;
}

static enum bertc_status type_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                    const struct bt_protobuf_field *f, void *out)
{
    enum { TENSOR = 1, SEQUENCE = 4, MAP, SPARSE = 8, OPTIONAL };
    static const char *const others[] = {
        [SEQUENCE] = "sequence", [MAP] = "map", [SPARSE] = "sparse tensor", [OPTIONAL] = "optional"};
    struct bt_onnx_value *v = out;
    if (f->number == TENSOR) {
        return bt_onnx_read_message(r, m, f, tensor_type_field, v);
    }
    if (f->number <= OPTIONAL && others[f->number]) {
        v->foreign = others[f->number];
    }
    return BERTC_OK;
}

static enum bertc_status value_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, void *out)
{
    enum { NAME = 1, TYPE };
    struct bt_onnx_value *v = out;
    if (f->number == TYPE) {
        return bt_onnx_read_message(r, m, f, type_field, v);
    }
    return f->number == NAME ? bt_onnx_read_text(r, m, f, &v->name) : BERTC_OK;
}

static enum bertc_status read_value(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                    const struct bt_protobuf_field *f, struct bt_onnx_value **list, size_t *count,
                                    size_t *cap)
{
    enum bertc_status status = bt_onnx_grow(r, list, count, cap, sizeof **list);
    if (status) {
        return status;
    }
    struct bt_onnx_value *v = &(*list)[*count - 1];
    v->name = "";
    v->rank = -1;
    if ((status = bt_onnx_read_message(r, m, f, value_field, v))) {
        return status == BERTC_MEMORY ? status : bt_error_prefix(r->err, "value '%.100s'", v->name);
    }
    return BERTC_OK;
}

static enum bertc_status read_initializer(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                          const struct bt_protobuf_field *f, struct bt_onnx_graph *g)
{
    enum bertc_status status = bt_onnx_grow(r, &g->tensors, &g->tensor_count, &g->tensor_cap, sizeof *g->tensors);
    return status ? status : bt_onnx_read_tensor(r, m, f, &g->tensors[g->tensor_count - 1]);
}

static enum bertc_status graph_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, void *out)
{
    enum { NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT, SPARSE_INITIALIZER = 15 };
    struct bt_onnx_graph *g = out;
    switch (f->number) {
    case NODE: return read_node(r, m, f, g);
    case INITIALIZER: return read_initializer(r, m, f, g);
    case INPUT: return read_value(r, m, f, &g->inputs, &g->input_count, &g->input_cap);
    case OUTPUT: return read_value(r, m, f, &g->outputs, &g->output_count, &g->output_cap);
    case SPARSE_INITIALIZER: return bt_error_set(r->err, BERTC_UNSUPPORTED, "sparse initialisers are not supported");
    default: return BERTC_OK;
    }
}

static enum bertc_status opset_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, void *out)
{
    enum { DOMAIN = 1, VERSION };
    struct bt_onnx_opset *opset = out;
    switch (f->number) {
    case DOMAIN: return read_domain(r, m, f, &opset->domain);
    case VERSION: return bt_onnx_read_integer(r, m, f, &opset->version);
    default: return BERTC_OK;
    }
}

static enum bertc_status read_opset(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                    const struct bt_protobuf_field *f, struct bt_onnx_opsets *list)
{
    enum bertc_status status = bt_onnx_grow(r, &list->items, &list->count, &list->cap, sizeof *list->items);
    if (status) {
        return status;
    }
    struct bt_onnx_opset *opset = &list->items[list->count - 1];
    opset->domain = "";
    return bt_onnx_read_message(r, m, f, opset_field, opset);
}

static enum bertc_status function_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                        const struct bt_protobuf_field *f, void *out)
{
    enum { NAME = 1, INPUT = 4, OUTPUT, NODE = 7, OPSET = 9, DOMAIN, ATTRIBUTE };
    struct bt_onnx_function *fn = out;
    switch (f->number) {
    case NAME: return bt_onnx_read_text(r, m, f, &fn->name);
    case INPUT: return append_text(r, m, f, &fn->inputs);
    case OUTPUT: return append_text(r, m, f, &fn->outputs);
    case NODE: return read_node(r, m, f, &fn->body);
    case OPSET: return read_opset(r, m, f, &fn->opsets);
    case DOMAIN: return read_domain(r, m, f, &fn->domain);
    case ATTRIBUTE: return read_attribute(r, m, f, &fn->defaults, &fn->default_count, &fn->default_cap);
    default: return BERTC_OK;
    }
}

static enum bertc_status read_function(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                       const struct bt_protobuf_field *f, struct bt_onnx_model *model)
{
    enum bertc_status status =
        bt_onnx_grow(r, &model->functions, &model->function_count, &model->function_cap, sizeof *model->functions);
    if (status) {
        return status;
    }
    struct bt_onnx_function *fn = &model->functions[model->function_count - 1];
    fn->name = fn->domain = "";
    return bt_onnx_read_message(r, m, f, function_field, fn);
}

static enum bertc_status model_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, void *out)
{
    enum { PRODUCER = 2, PRODUCER_VERSION, GRAPH = 7, OPSET, FUNCTION = 25 };
    struct bt_onnx_model *model = out;
    switch (f->number) {
    case PRODUCER: return bt_onnx_read_text(r, m, f, &model->producer);
    case PRODUCER_VERSION: return bt_onnx_read_text(r, m, f, &model->producer_version);
    case GRAPH: return bt_onnx_read_message(r, m, f, graph_field, &model->graph);
    case OPSET: return read_opset(r, m, f, &model->opsets);
    case FUNCTION: return read_function(r, m, f, model);
    default: return BERTC_OK;
    }
}

enum bertc_status bt_onnx_read(struct bt_span bytes, struct bt_arena *arena, struct bt_onnx_data *data,
                               struct bt_onnx_model *out, struct bertc_error *err)
{
    struct bt_onnx_reader r = {.arena = arena, .data = data, .err = err};
    *out = (struct bt_onnx_model){.producer = "", .producer_version = ""};
    return bt_onnx_read_fields(&r, bt_protobuf_open(bytes), model_field, out);
}
