/* onnx_data.c: files beside an ONNX model that hold the numbers of its tensors */
#include <string.h>

#include "load/onnx_model.h"

/* Relative, and without a step upwards: a model cannot name files outside its directory. */
static bool stays_inside(const char *location)
{
    if (*location == '/' || *location == '\0') {
        return false;
    }
    for (const char *part = location; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0')) {
            return false;
        }
    }
    return true;
}

static enum bertc_status outside(struct bt_onnx_reader *r, const char *location)
{
    return bt_error_set(r->err, BERTC_FORMAT, "its data is in '%.200s', which is outside the model's directory",
                        location);
}

static enum bertc_status map_location(struct bt_onnx_reader *r, const char *location, struct bt_file **out)
{
    struct bt_onnx_data *d = r->data;
    for (size_t i = 0; i < d->count; i++) {
        if (strcmp(d->locations[i], location) == 0) {
            *out = d->files[i];
            return BERTC_OK;
        }
    }
    const char *slash = strrchr(d->path, '/');
    const int directory = slash ? (int)(slash - d->path) + 1 : 0;
    char *path = bt_arena_printf(r->arena, "%.*s%s", directory, d->path, location);
    if (!path || !bt_arena_reserve(r->arena, &d->files, &d->file_cap, d->count + 1, sizeof *d->files) ||
        !bt_arena_reserve(r->arena, &d->locations, &d->location_cap, d->count + 1, sizeof *d->locations)) {
        return bt_error_memory(r->err);
    }
    if (!bt_file_is_beside(path, d->path)) {
        return outside(r, location);
    }
    enum bertc_status status = bt_file_map(path, &d->files[d->count], r->err);
    if (!status) {
        d->locations[d->count] = location;
        *out = d->files[d->count++];
    }
    return status;
}

enum bertc_status bt_onnx_external(struct bt_onnx_reader *r, const char *location, uint64_t offset, struct bt_span *out)
{
    struct bt_file *file;
    if (!r->data->path) {
        return bt_error_set(r->err, BERTC_UNSUPPORTED,
                            "its numbers are in the file '%.200s' beside the model; load the model by its path",
                            location);
    }
    if (!stays_inside(location)) {
        return outside(r, location);
    }
    enum bertc_status status = map_location(r, location, &file);
    if (status) {
        return status;
    }
    *out = bt_file_bytes(file);
    const size_t skip = offset < out->size ? (size_t)offset : out->size;
    out->data += skip;
    out->size -= skip;
    return BERTC_OK;
}
