/* pickle.h: a pickle (protocol 2-4) as a tree of plain values; it imports and calls nothing
 * Opcodes: CPython's pickletools.py. What torch writes: torch/csrc/jit/serialization/pickler.cpp, torch/_utils.py. */
#ifndef BT_FORMAT_PICKLE_H
#define BT_FORMAT_PICKLE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/tensor.h"

enum bt_pickle_kind {
    BT_PICKLE_NONE,
    BT_PICKLE_BOOL,
    BT_PICKLE_INT,
    BT_PICKLE_BIGINT, /* LONG1 wider than 64 bits (the magic of legacy torch.save): `text`/`size` hold its bytes */
    BT_PICKLE_FLOAT,
    BT_PICKLE_STRING, /* text, size */
    BT_PICKLE_BYTES,  /* text, size */
    BT_PICKLE_LIST,
    BT_PICKLE_TUPLE,
    BT_PICKLE_DICT,   /* also OrderedDict; items = key, value, key, value; size counts items (pairs * 2) */
    BT_PICKLE_GLOBAL, /* a name on the allow-list: text = "module name" joined by one space */
    BT_PICKLE_OBJECT, /* __torch__.* instance: text = qualified class name; items[0] = its state, once built */
    BT_PICKLE_STORAGE, /* persistent id, resolved */
    BT_PICKLE_TENSOR,
};

struct bt_storage {
    enum bt_dtype dtype;
    struct bt_span bytes; /* aligned to at least its item size */
    int64_t numel;        /* as the persistent id declares it; bytes hold at least this many */
};

struct bt_pickle {
    enum bt_pickle_kind kind;
    bool boolean;
    int64_t integer;
    double number;
    const char *text;
    size_t size;
    struct bt_pickle **items;
    struct bt_storage storage; /* BT_PICKLE_STORAGE */
    /* BT_PICKLE_TENSOR: bounds checked against its storage. Of one quantized per channel (its first dimension) items[0]
     * holds the scales, and its own scale is 1. */
    struct bt_tensor tensor;
};

struct bt_pickle_options {
    /* Resolves a ('storage', class, key, location, numel[, view]) persistent id to bytes; NULL: persistent ids are an
     * error. `dtype` comes from the class name, `key` is the storage's name. The bytes must be aligned to the dtype's
     * size; the reader only looks at their number, so `data` may be NULL when only shapes matter (torch.jit.save writes
     * the storages of traced_inputs.pkl empty). */
    enum bertc_status (*storage)(void *context, const char *key, enum bt_dtype dtype, int64_t numel,
                                 struct bt_span *out, struct bertc_error *err);
    void *context;
    const char *name; /* for messages: the member or file */
};

/* Reads one pickle from the start of `bytes`; *used (may be NULL) is its length. A GLOBAL outside the allow-list
 * (torch_pickle.c: collections OrderedDict, torch._utils rebuilders, torch.*Storage, torch.per_tensor_affine,
 * torch.jit._pickle list builders, __torch__.*) is BERTC_UNSUPPORTED and names it; for transformers.*, torch.nn.* it
 * says that whole-module pickles need code and how to save a state dict instead. Containers in themselves, more than
 * 256 levels, and sharing that unfolds to more than 16M values are refused. Nothing is executed. */
enum bertc_status bt_pickle_read(struct bt_span bytes, const struct bt_pickle_options *options, struct bt_arena *arena,
                                 struct bt_pickle **out, size_t *used, struct bertc_error *err);

const struct bt_pickle *bt_pickle_get(const struct bt_pickle *dict, const char *key); /* NULL when absent */
/* An OBJECT's attribute, NULL when absent. */
const struct bt_pickle *bt_pickle_attr(const struct bt_pickle *object, const char *name);

#endif
