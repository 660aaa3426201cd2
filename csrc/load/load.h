/* load.h: the table of file formats, and what a loader gives back: a program that can build its graph */
#ifndef BT_LOAD_LOAD_H
#define BT_LOAD_LOAD_H

#include "base/error.h"
#include "base/file.h"
#include "bertc.h"
#include "graph/graph.h"

/* A loaded file. Immutable, so several graphs may be built from it at once. The loader allocates it inside a larger
 * struct; everything named here lives until free(). */
struct bt_program {
    struct bt_file *file;   /* that its weights lie in; NULL: memory */
    struct bt_files beside; /* others that they lie in too */
    const char *format;
    const char *producer;
    const char *architecture; /* "BertForMaskedLM", of a directory; NULL */
    const char *warning;      /* what a person should know about the file; NULL or "": nothing */
    struct bertc_param *params; /* of forward, without self */
    struct bertc_value *defaults; /* one per param; meaningful when !required */
    size_t param_count;
    struct bertc_weight *weights;
    size_t weight_count;
    struct bertc_value *example; /* one per param: the traced inputs (shapes and dtypes; data may be NULL), or NULL */
    bool example_guessed;       /* its sizes are made up: that they do not fit says nothing of the file */
    /* Builds the graph for arguments of this structure, these dtypes and ranks, deciding open conditions by their
     * dimensions (bt_bind_inputs makes the symbols). One value per param, defaults filled in; `graph` is new. */
    enum bertc_status (*build)(const struct bt_program *program, const struct bertc_value *args, struct bt_graph *graph,
                               struct bertc_error *err);
    size_t (*size)(const struct bt_program *program); /* bytes of memory it holds, the file aside */
    void (*free)(struct bt_program *program);
};

struct bt_loader {
    const char *name;
    bool (*probe)(struct bt_span bytes);
    /* Takes its own reference to the file on success. */
    enum bertc_status (*load)(struct bt_file *file, const char *name, struct bt_program **out, struct bertc_error *err);
};

/* Picks the loader by content, never by file name. BERTC_FORMAT says what the bytes look like when none fits. */
enum bertc_status bt_load(struct bt_file *file, const char *name, struct bt_program **out, struct bertc_error *err);
/* What to say of bytes in no known format. */
enum bertc_status bt_load_refuse(struct bt_span bytes, struct bertc_error *err);
/* A Hugging Face directory: config.json and its weights. */
enum bertc_status bt_load_directory(const char *path, struct bt_program **out, struct bertc_error *err);

struct bt_state;
/* The same of a config.json's text and weights from anywhere, of which it takes its own reference; `format` says what
 * they are together. */
enum bertc_status bt_load_configured(struct bt_span config, struct bt_state *state, const char *format,
                                     struct bt_program **out, struct bertc_error *err);

/* Makes the graph's inputs from call arguments, depth first: one leaf a tensor, its dims symbols. Leaves of the same
 * rank share the symbol of an axis when its size is the same there. `fixed`, where not NULL, has a byte for each
 * tensor: its set bits are dimensions that the graph takes as constants. Makes one tree per argument in the graph's
 * arena, in which TENSOR values are the leaves and SCALAR/STRING/NONE are constants of this build. */
enum bertc_status bt_bind_inputs(struct bt_graph *graph, const struct bertc_param *params,
                                 const struct bertc_value *args, size_t count, const uint8_t *fixed,
                                 struct bt_tree **out, struct bertc_error *err);

/* loaders */
bool bt_exported_probe(struct bt_span bytes);
enum bertc_status bt_exported_load(struct bt_file *file, const char *name, struct bt_program **out,
                                   struct bertc_error *err);
bool bt_onnx_probe(struct bt_span bytes);
enum bertc_status bt_onnx_load(struct bt_file *file, const char *name, struct bt_program **out,
                               struct bertc_error *err);
bool bt_torchscript_probe(struct bt_span bytes);
enum bertc_status bt_torchscript_load(struct bt_file *file, const char *name, struct bt_program **out,
                                      struct bertc_error *err);

#endif
