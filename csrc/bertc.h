/* bertc.h: the public C API: load a model file, call it, read its weights; read files of weights */
#ifndef BERTC_H
#define BERTC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/tensor.h"

#if defined(__GNUC__)
#define BERTC_API __attribute__((visibility("default")))
#else
#define BERTC_API
#endif

/* An argument or a result: a tree of tensors, numbers, strings and containers. Memory belongs to whoever made it. */
enum bertc_kind {
    BERTC_NONE,
    BERTC_BOOL,
    BERTC_INT,
    BERTC_FLOAT,
    BERTC_STRING,
    BERTC_TENSOR,
    BERTC_TUPLE,
    BERTC_LIST,
    BERTC_DICT
};

struct bertc_value {
    enum bertc_kind kind;
    const char *key;         /* under a dict */
    int64_t integer;         /* BOOL, INT */
    double number;           /* FLOAT */
    const char *text;        /* STRING */
    struct bt_tensor tensor; /* TENSOR: contiguous; as a result its data is NULL and `slot` numbers its buffer */
    int32_t slot;
    bool by_token; /* TENSOR of a packed call's result: the rows of one sequence behind those of another */
    struct bertc_value *items; /* containers */
    size_t count;
};

struct bertc_param {
    const char *name;
    const char *type; /* TorchScript's notation: "Tensor", "Dict[str, Tensor]", "bool" */
    bool required;
};

struct bertc_weight {
    const char *name; /* dotted */
    struct bt_tensor tensor;
    bool is_parameter; /* false: a buffer */
};

struct bt_state; /* weights by name; immutable, shared by threads */
struct bertc_model; /* immutable after load, shared by threads */
struct bertc_call; /* one prepared call: arguments bound, plan found, outputs known */

struct bertc_options {
    int threads; /* 0 = the process default */
    bool
        skip_padding; /* outputs are 0 at padded positions, and nothing is computed there; else as the model has them */
};

/* Opens a model file, or a Hugging Face directory. */
BERTC_API enum bertc_status bertc_model_load(const char *path, const struct bertc_options *options,
                                             struct bertc_model **out, struct bertc_error *err);
/* The same from memory, which must stay valid and unchanged until release(owner) is called. `name` is for messages. */
BERTC_API enum bertc_status bertc_model_load_memory(const void *data, size_t size, const char *name,
                                                    void (*release)(void *owner), void *owner,
                                                    const struct bertc_options *options, struct bertc_model **out,
                                                    struct bertc_error *err);
/* A model of a Hugging Face config.json's text and of weights, of which it takes its own reference. */
BERTC_API enum bertc_status bertc_model_from_state(const void *config, size_t config_size, struct bt_state *state,
                                                   const char *name, const struct bertc_options *options,
                                                   struct bertc_model **out, struct bertc_error *err);
BERTC_API void bertc_model_free(struct bertc_model *model); /* NULL is fine; calls must be freed before */

BERTC_API const char *bertc_model_format(const struct bertc_model *model); /* "TorchScript archive", ... */
BERTC_API const char *bertc_model_producer(const struct bertc_model *model); /* "torch 1.0-1.2", "" when unknown */
/* "BertForMaskedLM", of a Hugging Face directory; else "". Its results are named as transformers names them. */
BERTC_API const char *bertc_model_architecture(const struct bertc_model *model);
/* What a person should know about the file, such as weights that nothing uses; "": nothing. */
BERTC_API const char *bertc_model_warning(const struct bertc_model *model);
BERTC_API const struct bertc_param *bertc_model_params(const struct bertc_model *model, size_t *count);
BERTC_API const struct bertc_weight *bertc_model_weights(const struct bertc_model *model, size_t *count);
/* The graph's text (of the latest signature called, else of the traced example), by bt_alloc: free with bertc_free. */
BERTC_API enum bertc_status bertc_model_graph(struct bertc_model *model, char **out, struct bertc_error *err);
/* The outputs' structure, dtypes and symbolic dims as text, e.g. "(float32[b, s, 384], float32[b, 384])"; likewise
 * inputs. */
BERTC_API enum bertc_status bertc_model_signature(struct bertc_model *model, char **inputs, char **outputs,
                                                  struct bertc_error *err);

/* Where the memory of a model is, in bytes. */
struct bertc_memory {
    size_t file; /* the mapped files, or the caller's memory, that the weights lie in */
    size_t file_resident; /* of mapped files: what this process holds now; the system may take it back */
    size_t packed; /* weights in the form that matrix products read, instead of the file's */
    size_t converted; /* other weights that could not be read as they lie: half precision, not aligned */
    size_t graphs; /* the program, its graphs and plans */
    size_t workspaces; /* of the calls that run now, and kept for the next */
};
BERTC_API void bertc_model_memory(struct bertc_model *model, struct bertc_memory *out);

/* Binds one value per parameter (kind BERTC_NONE with `given[i]` false = not passed: the default is used, or
 * BERTC_INPUT). Tensor data must stay valid until the call is freed. threads 0 = the model's. */
BERTC_API enum bertc_status bertc_call_new(struct bertc_model *model, const struct bertc_value *args, const bool *given,
                                           size_t count, int threads, struct bertc_call **out, struct bertc_error *err);
/* The same for sequences of these lengths (one per item of the batch), padded to the longest: outputs by token are to
 * hold their rows only. `lengths` must stay valid. *out is NULL when the model's graph does not allow it. */
BERTC_API enum bertc_status bertc_call_new_packed(struct bertc_model *model, const struct bertc_value *args,
                                                  const bool *given, size_t count, const int64_t *lengths,
                                                  size_t length_count, struct bertc_call **out,
                                                  struct bertc_error *err);
/* The result's structure with concrete shapes; tensors carry slots 0 .. slots-1. */
BERTC_API const struct bertc_value *bertc_call_result(const struct bertc_call *call, size_t *slots);
/* Runs into the caller's buffers: one per slot, contiguous, of the dtype and shape that the result says. */
BERTC_API enum bertc_status bertc_call_run(struct bertc_call *call, void *const *outputs, struct bertc_error *err);
BERTC_API void bertc_call_free(struct bertc_call *call);

/* What a node of the graph took in one run. */
struct bertc_node_profile {
    const char *text; /* its line in bertc_model_graph, without shapes; "copy" for a plan's copies, of no node */
    const char *op; /* ATen's name */
    const char *weight; /* the first constant that it reads by name, or "" */
    int64_t calls; /* how often it was run: once for each part of the batch */
    double seconds; /* of the run's time: when threads shared the parts, a fair share of theirs */
    double flops; /* of matrix products, attention and convolutions; a multiply-add is 2 */
};

struct bertc_profile {
    struct bertc_node_profile *nodes; /* those that were run, in the graph's order */
    size_t count;
    double seconds; /* of the whole run */
};

/* bertc_call_run, with the time of every node. */
BERTC_API enum bertc_status bertc_call_profile(struct bertc_call *call, void *const *outputs,
                                               struct bertc_profile **out, struct bertc_error *err);
BERTC_API void bertc_profile_free(struct bertc_profile *profile);
/* FLOP/s that the calling thread reaches at most, measured for so many seconds: multiply-adds between registers. */
BERTC_API double bertc_peak(double seconds);
/* Reads weights: an .ot, .bin, .pt, .safetensors or .npz file, an index of several, or a directory with any of them. */
BERTC_API enum bertc_status bertc_state_load(const char *path, struct bt_state **out, struct bertc_error *err);
/* One such file in memory, which must stay valid and unchanged until release(owner) is called. */
BERTC_API enum bertc_status bertc_state_load_memory(const void *data, size_t size, const char *name,
                                                    void (*release)(void *owner), void *owner, struct bt_state **out,
                                                    struct bertc_error *err);
/* Tensors that the caller has; their data must stay valid and unchanged until state and all models of it are freed. */
BERTC_API enum bertc_status bertc_state_new(const struct bertc_weight *weights, size_t count, struct bt_state **out,
                                            struct bertc_error *err);
/* In the order of the file; the dtypes may be those that only files have. */
BERTC_API const struct bertc_weight *bertc_state_tensors(const struct bt_state *state, size_t *count);
BERTC_API const char *bertc_state_format(const struct bt_state *state); /* "safetensors"; "" of arrays */
BERTC_API void bertc_state_free(struct bt_state *state); /* NULL is fine; models of it keep what they need */

BERTC_API void bertc_free(void *p);

/* Settings of the process. Threads of models that name none; 0 = back to BERTC_NUM_THREADS, else the processors we
 * may use. The GEMM library is an OpenBLAS to try before the system's: the path is copied, and counts before the
 * first run. */
BERTC_API void bertc_set_threads(int threads);
BERTC_API int bertc_threads(void);
BERTC_API void bertc_set_gemm_library(const char *path);

#endif
