/* state_path.c: weights by path: a file, an index of several files, or a directory with any of them */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/json.h"
#include "load/state.h"

/* What a directory may have, in the order of preference. */
static const char *const members[] = {
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
    "rust_model.ot",
};

bool bt_state_index_probe(struct bt_span bytes)
{
    size_t i = 0;
    while (i < bytes.size && memchr(" \t\r\n", bytes.data[i], 4)) {
        i++;
    }
    return i < bytes.size && bytes.data[i] == '{' && !bt_safetensors_probe(bytes);
}

static enum bertc_status read_shard(struct bt_state *state, const char *directory, const char *name,
                                    struct bertc_error *err)
{
    if (!*name || name[0] == '.' || strpbrk(name, "/\\")) {
        return bt_error_set(err, BERTC_FORMAT, "\"%.200s\" is no name of a file in the index's directory", name);
    }
    const char *path = bt_arena_printf(&state->arena, "%s%s", directory, name);
    struct bt_file *file;
    enum bertc_status status = path ? bt_file_map(path, &file, err) : bt_error_memory(err);
    if (status) {
        return status;
    }
    status = bt_state_read(state, file, err);
    bt_file_unref(file);
    return status && status != BERTC_MEMORY ? bt_error_prefix(err, "%.200s", name) : status;
}

/* BERTC_FORMAT with the names that the files do not have. */
static enum bertc_status check_complete(const struct bt_state *state, const struct bt_json *map,
                                        struct bertc_error *err)
{
    size_t missing = 0, other;
    for (size_t i = 0; i < map->size; i++) {
        if (bt_map_get(&state->index, map->keys[i], strlen(map->keys[i]), &other)) {
            continue;
        }
        if (missing++ == 0) {
            bt_error_set(err, BERTC_FORMAT, "the index names weights that its files do not have: %.100s", map->keys[i]);
        } else if (missing <= 5) {
            bt_error_append(err, ", %.100s", map->keys[i]);
        }
    }
    if (missing > 5) {
        bt_error_append(err, " (%zu in all)", missing);
    }
    return missing ? BERTC_FORMAT : BERTC_OK;
}

/* {"weight_map": {name: file}}: each file is read once, all of it. */
static enum bertc_status read_index(struct bt_state *state, struct bt_span bytes, const char *directory,
                                    struct bertc_error *err)
{
    struct bt_json *index;
    struct bt_map shards = {0};
    enum bertc_status status = bt_json_parse(bytes, &state->arena, &index, err);
    if (status) {
        return status;
    }
    const struct bt_json *map = bt_json_get(index, "weight_map");
    if (!map || map->kind != BT_JSON_OBJECT) {
        return bt_error_set(err, BERTC_FORMAT,
                            "this is JSON without a weight_map, so no index of weights (a configuration belongs into "
                            "bertc.from_state_dict)");
    }
    for (size_t i = 0; i < map->size; i++) {
        const char *shard = bt_json_string(&map->items[i]);
        size_t seen;
        if (!shard) {
            return bt_error_set(err, BERTC_FORMAT, "weight_map has no file for \"%.200s\"", map->keys[i]);
        }
        if (bt_map_get(&shards, shard, strlen(shard), &seen)) {
            continue;
        }
        if (!bt_map_put(&shards, &state->arena, shard, strlen(shard), i)) {
            return bt_error_memory(err);
        }
        if ((status = read_shard(state, directory, shard, err))) {
            return status;
        }
    }
    return check_complete(state, map, err);
}

static enum bertc_status read_file(struct bt_state *state, const char *path, struct bertc_error *err)
{
    struct bt_file *file;
    enum bertc_status status = bt_file_map(path, &file, err);
    if (status) {
        return status;
    }
    if (bt_state_index_probe(bt_file_bytes(file))) {
        const char *slash = strrchr(path, '/');
        const char *directory = bt_arena_string(&state->arena, path, slash ? (size_t)(slash - path) + 1 : 0);
        status = directory ? read_index(state, bt_file_bytes(file), directory, err) : bt_error_memory(err);
    } else {
        status = bt_state_read(state, file, err);
    }
    bt_file_unref(file);
    return status;
}

static enum bertc_status refuse_directory(struct bertc_error *err)
{
    bt_error_set(err, BERTC_FORMAT, "the directory has no weights: none of");
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        bt_error_append(err, "%s%s", i ? ", " : " ", members[i]);
    }
    return BERTC_FORMAT;
}

static enum bertc_status read_directory(struct bt_state *state, const char *directory, struct bertc_error *err)
{
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const char *path = bt_arena_printf(&state->arena, "%s/%s", directory, members[i]);
        if (!path) {
            return bt_error_memory(err);
        }
        if (access(path, F_OK) == 0) {
            enum bertc_status status = read_file(state, path, err);
            const bool told = status == BERTC_MEMORY || status == BERTC_IO;
            return status && !told ? bt_error_prefix(err, "%s", members[i]) : status;
        }
    }
    return refuse_directory(err);
}

enum bertc_status bt_state_read_path(struct bt_state *state, const char *path, struct bertc_error *err)
{
    struct stat info;
    const bool directory = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    return directory ? read_directory(state, path, err) : read_file(state, path, err);
}
