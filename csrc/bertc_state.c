/* bertc_state.c: the public C API: weights without a model */
#include <string.h>

#include "bertc.h"
#include "load/state.h"

/* Ends a load: hands the state over, or frees it and puts the name before the message. */
static enum bertc_status finish(enum bertc_status status, struct bt_state *state, const char *name,
                                struct bt_state **out, struct bertc_error *err)
{
    if (!status) {
        *out = state;
        return BERTC_OK;
    }
    if (status != BERTC_MEMORY && status != BERTC_IO) {
        bt_error_prefix(err, "%s", name);
    }
    bt_state_unref(state);
    return status;
}

enum bertc_status bertc_state_load(const char *path, struct bt_state **out, struct bertc_error *err)
{
    struct bt_state *state = bt_state_new();
    return finish(state ? bt_state_read_path(state, path, err) : bt_error_memory(err), state, path, out, err);
}

enum bertc_status bertc_state_load_memory(const void *data, size_t size, const char *name, void (*release)(void *owner),
                                          void *owner, struct bt_state **out, struct bertc_error *err)
{
    struct bt_file *file;
    enum bertc_status status = bt_file_wrap(data, size, release, owner, &file, err);
    if (status) {
        return status;
    }
    struct bt_state *state = bt_state_new();
    status = finish(state ? bt_state_read(state, file, err) : bt_error_memory(err), state, name, out, err);
    bt_file_unref(file);
    return status;
}

static enum bertc_status add_all(struct bt_state *state, const struct bertc_weight *weights, size_t count,
                                 struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; i < count && !status; i++) {
        const char *name = bt_arena_string(&state->arena, weights[i].name, strlen(weights[i].name));
        status = name ? bt_state_add(state, name, &weights[i].tensor, err) : bt_error_memory(err);
    }
    return status;
}

enum bertc_status bertc_state_new(const struct bertc_weight *weights, size_t count, struct bt_state **out,
                                  struct bertc_error *err)
{
    struct bt_state *state = bt_state_new();
    return finish(state ? add_all(state, weights, count, err) : bt_error_memory(err), state, "state", out, err);
}

const struct bertc_weight *bertc_state_tensors(const struct bt_state *state, size_t *count)
{
    *count = state->count;
    return state->weights;
}

const char *bertc_state_format(const struct bt_state *state)
{
    return state->format;
}

void bertc_state_free(struct bt_state *state)
{
    bt_state_unref(state);
}
