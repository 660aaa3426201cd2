/* onnx_model.h: an ONNX model as its file has it: graphs of nodes, tensors, types; nothing of it is checked for sense
 * Format: onnx.proto of the ONNX project, whose names these structs follow. */
#ifndef BT_LOAD_ONNX_MODEL_H
#define BT_LOAD_ONNX_MODEL_H

#include "base/map.h"
#include "base/tensor.h"
#include "format/protobuf.h"

struct bt_onnx_graph;

struct bt_onnx_tensor {
    const char *name;
    struct bt_tensor tensor;
};

struct bt_onnx_strings {
    const char **items; /* "" is an omitted input or output of a node */
    size_t count, cap;
};

/* Only the members that the attribute's type asks for are set; `kind` is the type that the file says. */
struct bt_onnx_attribute {
    const char *name;
    const char *ref; /* in a function: the attribute of the call that gives the value; else NULL */
    int64_t i;
    double f;
    const char *s; /* NULL when it has none */
    struct bt_onnx_tensor *tensor;
    struct bt_onnx_graph *graph;
    int64_t *ints;
    double *floats;
    size_t int_count, int_cap, float_count, float_cap;
    bool other; /* strings, lists of tensors or graphs, sparse tensors: no operator here takes them */
};

struct bt_onnx_node {
    const char *name, *op, *domain; /* "" when omitted; the domain "ai.onnx" is "" too */
    struct bt_onnx_strings inputs, outputs;
    struct bt_onnx_attribute *attributes;
    size_t attribute_count, attribute_cap;
};

struct bt_onnx_dim {
    int64_t size;      /* -1: not fixed */
    const char *param; /* the symbol of one that is not fixed, may be NULL */
};

struct bt_onnx_value {
    const char *name;
    enum bt_dtype dtype;
    bool typed; /* a tensor, of this dtype */
    int rank;   /* -1: unknown */
    size_t dim_cap;
    struct bt_onnx_dim *dims;
};

struct bt_onnx_graph {
    struct bt_onnx_node *nodes;
    struct bt_onnx_tensor *tensors; /* initializers */
    struct bt_onnx_value *inputs, *outputs;
    size_t node_count, node_cap, tensor_count, tensor_cap, input_count, input_cap, output_count, output_cap;
};

struct bt_onnx_opset {
    const char *domain;
    int64_t version;
};

struct bt_onnx_opsets {
    struct bt_onnx_opset *items;
    size_t count, cap;
};

/* An operator that the file itself defines. */
struct bt_onnx_function {
    const char *name, *domain;
    struct bt_onnx_strings inputs, outputs;
    struct bt_onnx_attribute *defaults;
    struct bt_onnx_opsets opsets;
    struct bt_onnx_graph body; /* nodes only */
    size_t default_count, default_cap;
};

struct bt_onnx_model {
    const char *producer, *producer_version;
    struct bt_onnx_opsets opsets;
    struct bt_onnx_graph graph;
    struct bt_onnx_function *functions;
    size_t function_count, function_cap;
};

/* Where tensors come from that are not in the file itself. */
struct bt_onnx_data {
    const char *path;       /* of the model, or NULL when it came from memory */
    struct bt_file **files; /* mapped so far: the owner of the model drops them */
    const char **locations;
    size_t count, file_cap, location_cap;
};

struct bt_onnx_reader {
    struct bt_arena *arena;
    struct bt_onnx_data *data;
    struct bertc_error *err;
    int depth;
};

/* Reads a message field by field: calls `field` for each with `out`. */
typedef enum bertc_status bt_onnx_field(struct bt_onnx_reader *r, const struct bt_protobuf *message,
                                        const struct bt_protobuf_field *field, void *out);
enum bertc_status bt_onnx_fields(struct bt_onnx_reader *r, struct bt_protobuf message, bt_onnx_field *field, void *out);
/* The text of a field, terminated. */
enum bertc_status bt_onnx_text(struct bt_onnx_reader *r, const struct bt_protobuf_field *field, const char **out);
/* Appends the integers of a field, packed or single, to a list of the arena. */
enum bertc_status bt_onnx_ints(struct bt_onnx_reader *r, const struct bt_protobuf_field *field, int64_t **items,
                               size_t *count, size_t *cap);

/* Everything is borrowed from the bytes, or in the arena. */
enum bertc_status bt_onnx_read(struct bt_span bytes, struct bt_arena *arena, struct bt_onnx_data *data,
                               struct bt_onnx_model *out, struct bertc_error *err);

/* onnx_tensor.c: a TensorProto: a view of the file where its data is raw, else a copy in the arena. Integers are
 * aligned, as they may be sizes; floats are not where the file does not align them. */
enum bertc_status bt_onnx_read_tensor(struct bt_onnx_reader *r, struct bt_protobuf message, struct bt_onnx_tensor *out);
/* False: a type of elements that bertc does not have; *name is what ONNX calls it. */
bool bt_onnx_dtype(int64_t code, enum bt_dtype *out, const char **name);

/* onnx_data.c: the bytes that a tensor's external_data entries name; UNSUPPORTED for a model from memory, FORMAT for a
 * location outside the model's directory. */
enum bertc_status bt_onnx_external(struct bt_onnx_reader *r, const char *location, uint64_t offset,
                                   struct bt_span *out);

#endif
