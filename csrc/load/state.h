/* state.h: the named tensors of a file of weights, whatever its format, and what keeps them alive
 * To add a format: a reader in state_*.c, and its line in the table of state.c. */
#ifndef BT_LOAD_STATE_H
#define BT_LOAD_STATE_H

#include <stdatomic.h>

#include "base/map.h"
#include "bertc.h"
#include "format/safetensors.h"
#include "load/archive.h"

/* A file that the tensors lie in; sharded weights have several. */
struct bt_state_source {
    struct bt_state_source *next;
    struct bt_file *file;
    struct bt_archive archive; /* when it is a zip */
};

/* Immutable once it is read. */
struct bt_state {
    atomic_int refs;
    struct bt_arena arena;
    struct bt_state_source *sources;
    const char *format; /* of the file, "safetensors"; "" of arrays */
    struct bt_named_tensor *tensors;
    struct bertc_weight *weights; /* the same, as the public API shows them */
    size_t count, tensor_cap, weight_cap;
    struct bt_map index; /* name -> number in both */
};

struct bt_state_reader {
    const char *name;
    bool (*probe)(struct bt_span bytes);
    enum bertc_status (*read)(struct bt_state *state, struct bt_state_source *source, struct bertc_error *err);
};

struct bt_state *bt_state_new(void); /* NULL: out of memory */
struct bt_state *bt_state_ref(struct bt_state *state); /* returns state */
void bt_state_unref(struct bt_state *state);           /* NULL is fine */

/* Adds a tensor; its name, borrowed, must be new: else BERTC_FORMAT. */
enum bertc_status bt_state_add(struct bt_state *state, const char *name, const struct bt_tensor *tensor,
                               struct bertc_error *err);
/* Adds the tensors of a file in any format, told by its content; takes its own reference to it. */
enum bertc_status bt_state_read(struct bt_state *state, struct bt_file *file, struct bertc_error *err);
/* The same of a path: also of an index of several files, and of a directory, in which it finds the weights. */
enum bertc_status bt_state_read_path(struct bt_state *state, const char *path, struct bertc_error *err);

/* Whether the bytes are to be an index (model.safetensors.index.json), which only has names of files. */
bool bt_state_index_probe(struct bt_span bytes);

/* readers (state_torch.c, state_numpy.c) */
enum bertc_status bt_state_read_legacy(struct bt_state *state, struct bt_state_source *source, struct bertc_error *err);
enum bertc_status bt_state_read_zip(struct bt_state *state, struct bt_state_source *source, struct bertc_error *err);
/* The arrays of an .npz archive, which is open. */
enum bertc_status bt_state_read_npz(struct bt_state *state, struct bt_archive *archive, struct bertc_error *err);

#endif
