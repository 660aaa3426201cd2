/* state.c: the table of formats of weights, and the list of tensors that they fill */
#include "load/state.h"

#include <string.h>

#include "format/torch_legacy.h"
#include "load/load.h"

struct bt_state *bt_state_new(void)
{
    struct bt_state *state = bt_calloc(1, sizeof *state);
    if (state) {
        atomic_init(&state->refs, 1);
        state->format = "";
    }
    return state;
}

struct bt_state *bt_state_ref(struct bt_state *state)
{
    atomic_fetch_add_explicit(&state->refs, 1, memory_order_relaxed);
    return state;
}

void bt_state_unref(struct bt_state *state)
{
    if (!state || atomic_fetch_sub_explicit(&state->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (struct bt_state_source *source = state->sources; source; source = source->next) {
        bt_archive_close(&source->archive);
        bt_file_unref(source->file);
    }
    bt_arena_free(&state->arena);
    bt_free(state);
}

enum bertc_status bt_state_add(struct bt_state *state, const char *name, const struct bt_tensor *tensor,
                               struct bertc_error *err)
{
    const size_t i = state->count;
    size_t other;
    if (bt_map_get(&state->index, name, strlen(name), &other)) {
        return bt_error_set(err, BERTC_FORMAT, "two tensors are named \"%.200s\"", name);
    }
    if (!bt_arena_reserve(&state->arena, &state->tensors, &state->tensor_cap, i + 1, sizeof *state->tensors) ||
        !bt_arena_reserve(&state->arena, &state->weights, &state->weight_cap, i + 1, sizeof *state->weights) ||
        !bt_map_put(&state->index, &state->arena, name, strlen(name), i)) {
        return bt_error_memory(err);
    }
    state->tensors[i] = (struct bt_named_tensor){name, *tensor};
    state->weights[i] = (struct bertc_weight){name, *tensor, bt_dtype_is_float(tensor->dtype)};
    state->count++;
    return BERTC_OK;
}

static enum bertc_status read_safetensors(struct bt_state *state, struct bt_state_source *source,
                                          struct bertc_error *err)
{
    struct bt_named_tensor *tensors;
    size_t count;
    enum bertc_status status = bt_safetensors_read(bt_file_bytes(source->file), &state->arena, &tensors, &count, err);
    for (size_t i = 0; !status && i < count; i++) {
        status = bt_state_add(state, tensors[i].name, &tensors[i].tensor, err);
    }
    return status;
}

static const struct bt_state_reader readers[] = {
    {"torch.save, TorchScript or .npz archive", bt_zip_probe, bt_state_read_zip},
    {"torch.save stream", bt_torch_legacy_probe, bt_state_read_legacy},
    {"safetensors", bt_safetensors_probe, read_safetensors},
};

static enum bertc_status refuse(struct bt_span bytes, struct bertc_error *err)
{
    if (bt_state_index_probe(bytes)) {
        return bt_error_set(err, BERTC_UNSUPPORTED,
                            "this is JSON; if it is an index of several files of weights, give its path or directory");
    }
    return bt_load_refuse(bytes, err);
}

enum bertc_status bt_state_read(struct bt_state *state, struct bt_file *file, struct bertc_error *err)
{
    const struct bt_span bytes = bt_file_bytes(file);
    const struct bt_state_reader *reader = NULL;
    for (size_t i = 0; !reader && i < sizeof readers / sizeof readers[0]; i++) {
        reader = readers[i].probe(bytes) ? &readers[i] : NULL;
    }
    if (!reader) {
        return refuse(bytes, err);
    }
    struct bt_state_source *source = bt_arena_alloc(&state->arena, 1, sizeof *source);
    if (!source) {
        return bt_error_memory(err);
    }
    source->file = bt_file_ref(file);
    source->next = state->sources;
    state->sources = source;
    state->format = reader->name;
    return reader->read(state, source, err);
}
