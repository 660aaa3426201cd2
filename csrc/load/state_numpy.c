/* state_numpy.c: weights in an .npz file, as numpy.savez and rust-bert's converter write it */
#include <string.h>

#include "format/npy.h"
#include "load/state.h"

/* The bytes at an address aligned to the item: stored members begin anywhere. */
static enum bertc_status align(struct bt_state *state, struct bt_span bytes, struct bt_tensor *tensor,
                               struct bertc_error *err)
{
    if ((uintptr_t)tensor->data % bt_dtype_size(tensor->dtype) == 0) {
        return BERTC_OK;
    }
    const uint8_t *data = tensor->data;
    tensor->data = bt_arena_copy(&state->arena, data, (size_t)(bytes.data + bytes.size - data));
    return tensor->data ? BERTC_OK : bt_error_memory(err);
}

enum bertc_status bt_state_read_npz(struct bt_state *state, struct bt_archive *archive, struct bertc_error *err)
{
    static const char suffix[] = ".npy";
    const size_t end = sizeof suffix - 1;
    for (size_t i = 0; i < archive->zip.count; i++) {
        struct bt_zip_member *member = &archive->zip.members[i];
        const size_t size = strlen(member->name);
        if (size < end || strcmp(member->name + size - end, suffix) != 0) {
            continue;
        }
        struct bt_span bytes;
        struct bt_tensor tensor;
        enum bertc_status status = bt_zip_read(&archive->zip, member, &bytes, err);
        if (status) {
            return status;
        }
        if ((status = bt_npy_read(bytes, &tensor, err))) {
            return bt_error_prefix(err, "member %.200s", member->name);
        }
        const char *name = bt_arena_string(&state->arena, member->name, size - end);
        if (!name) {
            return bt_error_memory(err);
        }
        if ((status = align(state, bytes, &tensor, err)) || (status = bt_state_add(state, name, &tensor, err))) {
            return status;
        }
    }
    return BERTC_OK;
}
