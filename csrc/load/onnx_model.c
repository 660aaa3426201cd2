/* onnx_model.c: read the messages of an ONNX model: model, functions, graphs, nodes, attributes, types */
#include "load/onnx_model.h"

#include <string.h>

#define MAX_DEPTH 16          /* graphs in attributes of nodes of graphs */
#define MAX_ITEMS (1 << 20)   /* of any list: more than any model has, and a bound for hostile files */

enum bertc_status bt_onnx_fields(struct bt_onnx_reader *r, struct bt_protobuf message, bt_onnx_field *field, void *out)
{
    for (;;) {
        struct bt_protobuf_field f;
        bool more;
        enum bertc_status status = bt_protobuf_next(&message, &f, &more, r->err);
        if (status || !more || (status = field(r, &message, &f, out))) {
            return status;
        }
    }
}

enum bertc_status bt_onnx_text(struct bt_onnx_reader *r, const struct bt_protobuf_field *field, const char **out)
{
    *out = bt_arena_string(r->arena, (const char *)field->bytes.data, field->bytes.size);
    return *out ? BERTC_OK : bt_error_memory(r->err);
}

/* Makes room for one more item of a list. */
static enum bertc_status grow(struct bt_onnx_reader *r, void *items, size_t *count, size_t *cap, size_t size)
{
    if (*count >= MAX_ITEMS) {
        return bt_error_set(r->err, BERTC_UNSUPPORTED, "a list of more than %d items", MAX_ITEMS);
    }
    if (!bt_arena_reserve(r->arena, items, cap, *count + 1, size)) {
        return bt_error_memory(r->err);
    }
    ++*count;
    return BERTC_OK;
}

static enum bertc_status append_int(struct bt_onnx_reader *r, uint64_t value, int64_t **items, size_t *count,
                                    size_t *cap)
{
    enum bertc_status status = grow(r, items, count, cap, sizeof **items);
    if (!status) {
        (*items)[*count - 1] = (int64_t)value;
    }
    return status;
}

enum bertc_status bt_onnx_ints(struct bt_onnx_reader *r, const struct bt_protobuf_field *field, int64_t **items,
                               size_t *count, size_t *cap)
{
    struct bt_span packed = field->bytes;
    uint64_t value = field->value;
    if (field->wire != BT_WIRE_BYTES) {
        return append_int(r, value, items, count, cap);
    }
    enum bertc_status status = BERTC_OK;
    while (!status && packed.size > 0) {
        if (!bt_protobuf_varint(&packed, &value)) {
            return bt_error_set(r->err, BERTC_FORMAT, "a list of integers ends within one");
        }
        status = append_int(r, value, items, count, cap);
    }
    return status;
}

static double float_of(uint64_t bits)
{
    const uint32_t low = (uint32_t)bits;
    float f;
    memcpy(&f, &low, sizeof f);
    return f;
}

static enum bertc_status append_floats(struct bt_onnx_reader *r, const struct bt_protobuf_field *field,
                                       struct bt_onnx_attribute *a)
{
    if (field->bytes.size % sizeof(float) != 0) {
        return bt_error_set(r->err, BERTC_FORMAT, "a list of floats ends within one");
    }
    for (size_t i = 0; i < field->bytes.size; i += sizeof(float)) {
        enum bertc_status status = grow(r, &a->floats, &a->float_count, &a->float_cap, sizeof *a->floats);
        if (status) {
            return status;
        }
        uint32_t bits;
        memcpy(&bits, field->bytes.data + i, sizeof bits);
        a->floats[a->float_count - 1] = float_of(bits);
    }
    return BERTC_OK;
}

static enum bertc_status append_text(struct bt_onnx_reader *r, const struct bt_protobuf_field *field,
                                     struct bt_onnx_strings *list)
{
    enum bertc_status status = grow(r, &list->items, &list->count, &list->cap, sizeof *list->items);
    return status ? status : bt_onnx_text(r, field, &list->items[list->count - 1]);
}

static enum bertc_status graph_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, void *out);

static enum bertc_status read_subgraph(struct bt_onnx_reader *r, struct bt_protobuf m, struct bt_onnx_graph **out)
{
    if (r->depth == MAX_DEPTH) {
        return bt_error_set(r->err, BERTC_UNSUPPORTED, "graphs nest more than %d levels", MAX_DEPTH);
    }
    *out = bt_arena_alloc(r->arena, 1, sizeof **out);
    if (!*out) {
        return bt_error_memory(r->err);
    }
    r->depth++;
    enum bertc_status status = bt_onnx_fields(r, m, graph_field, *out);
    r->depth--;
    return status;
}

static enum bertc_status attribute_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                         const struct bt_protobuf_field *f, void *out)
{
    enum { NAME = 1, F, I, S, T, G, FLOATS, INTS, STRINGS, TENSORS, GRAPHS, REF = 21, SPARSE };
    struct bt_onnx_attribute *a = out;
    switch (f->number) {
    case NAME: return bt_onnx_text(r, f, &a->name);
    case F: a->f = float_of(f->value); return BERTC_OK;
    case I: a->i = (int64_t)f->value; return BERTC_OK;
    case S: return bt_onnx_text(r, f, &a->s);
    case T:
        a->tensor = bt_arena_alloc(r->arena, 1, sizeof *a->tensor);
        return a->tensor ? bt_onnx_read_tensor(r, bt_protobuf_inner(m, f->bytes), a->tensor) : bt_error_memory(r->err);
    case G: return read_subgraph(r, bt_protobuf_inner(m, f->bytes), &a->graph);
    case FLOATS: return append_floats(r, f, a);
    case INTS: return bt_onnx_ints(r, f, &a->ints, &a->int_count, &a->int_cap);
    case STRINGS:
    case TENSORS:
    case GRAPHS:
    case SPARSE: a->other = true; return BERTC_OK;
    case REF: return bt_onnx_text(r, f, &a->ref);
    default: return BERTC_OK;
    }
}

static enum bertc_status read_attribute(struct bt_onnx_reader *r, struct bt_protobuf m, struct bt_onnx_attribute **list,
                                        size_t *count, size_t *cap)
{
    enum bertc_status status = grow(r, list, count, cap, sizeof **list);
    if (status) {
        return status;
    }
    struct bt_onnx_attribute *a = &(*list)[*count - 1];
    a->name = "";
    if ((status = bt_onnx_fields(r, m, attribute_field, a))) {
        return status == BERTC_MEMORY ? status : bt_error_prefix(r->err, "attribute '%.100s'", a->name);
    }
    return BERTC_OK;
}

/* The domain "ai.onnx" is also written as nothing. */
static enum bertc_status read_domain(struct bt_onnx_reader *r, const struct bt_protobuf_field *f, const char **out)
{
    enum bertc_status status = bt_onnx_text(r, f, out);
    *out = !status && strcmp(*out, "ai.onnx") == 0 ? "" : *out;
    return status;
}

static enum bertc_status node_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                    const struct bt_protobuf_field *f, void *out)
{
    enum { INPUT = 1, OUTPUT, NAME, OP_TYPE, ATTRIBUTE, DOMAIN = 7 };
    struct bt_onnx_node *n = out;
    switch (f->number) {
    case INPUT: return append_text(r, f, &n->inputs);
    case OUTPUT: return append_text(r, f, &n->outputs);
    case NAME: return bt_onnx_text(r, f, &n->name);
    case OP_TYPE: return bt_onnx_text(r, f, &n->op);
    case ATTRIBUTE:
        return read_attribute(r, bt_protobuf_inner(m, f->bytes), &n->attributes, &n->attribute_count,
                              &n->attribute_cap);
    case DOMAIN: return read_domain(r, f, &n->domain);
    default: return BERTC_OK;
    }
}

static enum bertc_status read_node(struct bt_onnx_reader *r, struct bt_protobuf m, struct bt_onnx_graph *g)
{
    enum bertc_status status = grow(r, &g->nodes, &g->node_count, &g->node_cap, sizeof *g->nodes);
    if (status) {
        return status;
    }
    struct bt_onnx_node *n = &g->nodes[g->node_count - 1];
    n->name = n->op = n->domain = "";
    if ((status = bt_onnx_fields(r, m, node_field, n))) {
        return status == BERTC_MEMORY ? status : bt_error_prefix(r->err, "node '%.100s' (%.60s)", n->name, n->op);
    }
    return BERTC_OK;
}

static enum bertc_status dim_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                   const struct bt_protobuf_field *f, void *out)
{
    enum { VALUE = 1, PARAM };
    struct bt_onnx_dim *dim = out;
    (void)m;
    if (f->number == VALUE) {
        dim->size = (int64_t)f->value;
    }
    return f->number == PARAM ? bt_onnx_text(r, f, &dim->param) : BERTC_OK;
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
    return bt_onnx_fields(r, bt_protobuf_inner(m, f->bytes), dim_field, dim);
}

static enum bertc_status tensor_type_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                           const struct bt_protobuf_field *f, void *out)
{
    enum { ELEM_TYPE = 1, SHAPE };
    struct bt_onnx_value *v = out;
    const char *name;
    if (f->number == ELEM_TYPE) {
        v->typed = bt_onnx_dtype((int64_t)f->value, &v->dtype, &name);
    } else if (f->number == SHAPE) {
        v->rank = 0;
        return bt_onnx_fields(r, bt_protobuf_inner(m, f->bytes), shape_field, v);
    }
    return BERTC_OK;
}

static enum bertc_status type_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                    const struct bt_protobuf_field *f, void *out)
{
    enum { TENSOR_TYPE = 1 };
    return f->number == TENSOR_TYPE ? bt_onnx_fields(r, bt_protobuf_inner(m, f->bytes), tensor_type_field, out)
                                    : BERTC_OK;
}

static enum bertc_status value_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, void *out)
{
    enum { NAME = 1, TYPE };
    struct bt_onnx_value *v = out;
    if (f->number == TYPE) {
        return bt_onnx_fields(r, bt_protobuf_inner(m, f->bytes), type_field, v);
    }
    return f->number == NAME ? bt_onnx_text(r, f, &v->name) : BERTC_OK;
}

static enum bertc_status read_value(struct bt_onnx_reader *r, struct bt_protobuf m, struct bt_onnx_value **list,
                                    size_t *count, size_t *cap)
{
    enum bertc_status status = grow(r, list, count, cap, sizeof **list);
    if (status) {
        return status;
    }
    struct bt_onnx_value *v = &(*list)[*count - 1];
    v->name = "";
    v->rank = -1;
    return bt_onnx_fields(r, m, value_field, v);
}

static enum bertc_status read_initializer(struct bt_onnx_reader *r, struct bt_protobuf m, struct bt_onnx_graph *g)
{
    enum bertc_status status = grow(r, &g->tensors, &g->tensor_count, &g->tensor_cap, sizeof *g->tensors);
    return status ? status : bt_onnx_read_tensor(r, m, &g->tensors[g->tensor_count - 1]);
}

static enum bertc_status graph_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, void *out)
{
    enum { NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT, SPARSE_INITIALIZER = 15 };
    struct bt_onnx_graph *g = out;
    const struct bt_protobuf inner = bt_protobuf_inner(m, f->bytes);
    switch (f->number) {
    case NODE: return read_node(r, inner, g);
    case INITIALIZER: return read_initializer(r, inner, g);
    case INPUT: return read_value(r, inner, &g->inputs, &g->input_count, &g->input_cap);
    case OUTPUT: return read_value(r, inner, &g->outputs, &g->output_count, &g->output_cap);
    case SPARSE_INITIALIZER: return bt_error_set(r->err, BERTC_UNSUPPORTED, "sparse initialisers are not supported");
    default: return BERTC_OK;
    }
}

static enum bertc_status opset_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, void *out)
{
    enum { DOMAIN = 1, VERSION };
    struct bt_onnx_opset *opset = out;
    (void)m;
    if (f->number == VERSION) {
        opset->version = (int64_t)f->value;
    }
    return f->number == DOMAIN ? read_domain(r, f, &opset->domain) : BERTC_OK;
}

static enum bertc_status read_opset(struct bt_onnx_reader *r, struct bt_protobuf m, struct bt_onnx_opsets *list)
{
    enum bertc_status status = grow(r, &list->items, &list->count, &list->cap, sizeof *list->items);
    if (status) {
        return status;
    }
    struct bt_onnx_opset *opset = &list->items[list->count - 1];
    opset->domain = "";
    return bt_onnx_fields(r, m, opset_field, opset);
}

static enum bertc_status function_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                        const struct bt_protobuf_field *f, void *out)
{
    enum { NAME = 1, INPUT = 4, OUTPUT, NODE = 7, OPSET = 9, DOMAIN, ATTRIBUTE };
    struct bt_onnx_function *fn = out;
    const struct bt_protobuf inner = bt_protobuf_inner(m, f->bytes);
    switch (f->number) {
    case NAME: return bt_onnx_text(r, f, &fn->name);
    case INPUT: return append_text(r, f, &fn->inputs);
    case OUTPUT: return append_text(r, f, &fn->outputs);
    case NODE: return read_node(r, inner, &fn->body);
    case OPSET: return read_opset(r, inner, &fn->opsets);
    case DOMAIN: return read_domain(r, f, &fn->domain);
    case ATTRIBUTE: return read_attribute(r, inner, &fn->defaults, &fn->default_count, &fn->default_cap);
    default: return BERTC_OK;
    }
}

static enum bertc_status read_function(struct bt_onnx_reader *r, struct bt_protobuf m, struct bt_onnx_model *model)
{
    enum bertc_status status =
        grow(r, &model->functions, &model->function_count, &model->function_cap, sizeof *model->functions);
    if (status) {
        return status;
    }
    struct bt_onnx_function *fn = &model->functions[model->function_count - 1];
    fn->name = fn->domain = "";
    return bt_onnx_fields(r, m, function_field, fn);
}

static enum bertc_status model_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, void *out)
{
    enum { PRODUCER = 2, PRODUCER_VERSION, GRAPH = 7, OPSET, FUNCTION = 25 };
    struct bt_onnx_model *model = out;
    const struct bt_protobuf inner = bt_protobuf_inner(m, f->bytes);
    switch (f->number) {
    case PRODUCER: return bt_onnx_text(r, f, &model->producer);
    case PRODUCER_VERSION: return bt_onnx_text(r, f, &model->producer_version);
    case GRAPH: return bt_onnx_fields(r, inner, graph_field, &model->graph);
    case OPSET: return read_opset(r, inner, &model->opsets);
    case FUNCTION: return read_function(r, inner, model);
    default: return BERTC_OK;
    }
}

enum bertc_status bt_onnx_read(struct bt_span bytes, struct bt_arena *arena, struct bt_onnx_data *data,
                               struct bt_onnx_model *out, struct bertc_error *err)
{
    struct bt_onnx_reader r = {.arena = arena, .data = data, .err = err};
    *out = (struct bt_onnx_model){.producer = "", .producer_version = ""};
    return bt_onnx_fields(&r, bt_protobuf_open(bytes), model_field, out);
}
