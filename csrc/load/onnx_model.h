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

struct bt_onnx_integers {
    int64_t *items;
    size_t count, cap;
};

struct bt_onnx_bytes {
    uint8_t *data; /* floats or doubles */
    size_t size, cap;
};

struct bt_onnx_strings {
    const char **items; /* "" is an omitted input or output of a node */
    size_t count, cap;
};

/* Of an attribute, by the codes of the format; lists of others are not read, since no operator here takes them. */
enum bt_onnx_kind {
    BT_ONNX_UNTYPED, /* in the oldest files */
    BT_ONNX_FLOAT,
    BT_ONNX_INT,
    BT_ONNX_STRING,
    BT_ONNX_TENSOR,
    BT_ONNX_GRAPH,
    BT_ONNX_FLOATS,
    BT_ONNX_INTS
};

/* Only the member that the kind asks for is set. */
struct bt_onnx_attribute {
    const char *name;
    const char *ref; /* in a function: the attribute of the call that gives the value; else NULL */
    int64_t kind;    /* enum bt_onnx_kind, or a code beyond it */
    int64_t i;
    double f;
    const char *s; /* "" when it has none */
    struct bt_onnx_tensor *tensor;
    struct bt_onnx_graph *graph;
    struct bt_onnx_integers ints;
    struct bt_onnx_bytes floats;
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
    bool typed;          /* a tensor, of this dtype */
    const char *foreign; /* what it is if no such tensor: "sequence", "string"; NULL where the file does not say */
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

/* Takes one field of a message. */
typedef enum bertc_status bt_onnx_field(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                        const struct bt_protobuf_field *f, void *out);

/* onnx_wire.c: readers of fields, each of which refuses one of another kind.
 * These two call `field` with `out` for each field of a message, or of the message that is a field of m. */
enum bertc_status bt_onnx_read_fields(struct bt_onnx_reader *r, struct bt_protobuf message, bt_onnx_field *field,
                                      void *out);
enum bertc_status bt_onnx_read_message(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                       const struct bt_protobuf_field *f, bt_onnx_field *field, void *out);
/* A text, terminated, in the arena. */
enum bertc_status bt_onnx_read_text(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                    const struct bt_protobuf_field *f, const char **out);
enum bertc_status bt_onnx_read_integer(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                       const struct bt_protobuf_field *f, int64_t *out);
enum bertc_status bt_onnx_read_float(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                     const struct bt_protobuf_field *f, double *out);
/* Appends the numbers of a field, packed or single, to a list of the arena; wire is FIXED32 or FIXED64. */
enum bertc_status bt_onnx_read_integers(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                        const struct bt_protobuf_field *f, struct bt_onnx_integers *list);
enum bertc_status bt_onnx_read_packed(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                      const struct bt_protobuf_field *f, enum bt_wire wire, struct bt_onnx_bytes *list);
double bt_onnx_float_at(const struct bt_onnx_bytes *list, size_t i); /* of FIXED32 */
/* Makes room for one more item of a list of the arena. */
enum bertc_status bt_onnx_grow(struct bt_onnx_reader *r, void *items, size_t *count, size_t *cap, size_t size);

/* Everything is borrowed from the bytes, or in the arena. */
enum bertc_status bt_onnx_read(struct bt_span bytes, struct bt_arena *arena, struct bt_onnx_data *data,
                               struct bt_onnx_model *out, struct bertc_error *err);

/* onnx_tensor.c: a TensorProto: a view of the file where its data is raw, else a copy in the arena. Integers are
 * aligned, as they may be sizes; floats are not where the file does not align them. */
enum bertc_status bt_onnx_read_tensor(struct bt_onnx_reader *r, const struct bt_protobuf *m,
                                      const struct bt_protobuf_field *f, struct bt_onnx_tensor *out);
/* False: a type of elements that bertc does not have; *name is what ONNX calls it. */
bool bt_onnx_dtype(int64_t code, enum bt_dtype *out, const char **name);

/* onnx_data.c: the bytes that a tensor's external_data entries name; UNSUPPORTED for a model from memory, FORMAT for a
 * location outside the model's directory. */
enum bertc_status bt_onnx_external(struct bt_onnx_reader *r, const char *location, uint64_t offset,
                                   struct bt_span *out);

#endif
