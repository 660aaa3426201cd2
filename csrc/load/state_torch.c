/* state_torch.c: weights that torch.save, torch.jit.save and tch wrote */
#include <string.h>

#include "format/torch_legacy.h"
#include "load/script.h"
#include "load/state.h"

static bool is_tensor_dict(const struct bt_pickle *value)
{
    bool found = false;
    for (size_t i = 0; value && value->kind == BT_PICKLE_DICT && i < value->size && !found; i += 2) {
        found = value->items[i]->kind == BT_PICKLE_STRING && value->items[i + 1]->kind == BT_PICKLE_TENSOR;
    }
    return found;
}

/* The state dict in what training scripts save around it: epoch, optimizer and the like. */
static const struct bt_pickle *unwrap(const struct bt_pickle *saved)
{
    static const char *const keys[] = {"state_dict", "model_state_dict", "model", "module"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const struct bt_pickle *inner = bt_pickle_get(saved, keys[i]);
        if (inner && is_tensor_dict(inner = unwrap(inner))) {
            return inner;
        }
    }
    return saved;
}

static enum bertc_status refuse(const struct bt_pickle *saved, struct bertc_error *err)
{
    if (saved->kind != BT_PICKLE_DICT) {
        return bt_error_set(err, BERTC_UNSUPPORTED,
                            "it holds no dict of tensors by name; save one with torch.save(model.state_dict(), path)");
    }
    bt_error_set(err, BERTC_UNSUPPORTED, "it holds a dict without tensors; its keys are");
    for (size_t i = 0; i < saved->size && i < 20; i += 2) {
        const bool text = saved->items[i]->kind == BT_PICKLE_STRING;
        bt_error_append(err, "%s%.50s", i ? ", " : " ", text ? saved->items[i]->text : "(not a text)");
    }
    return BERTC_UNSUPPORTED;
}

/* What is no tensor (a step count, None) is no weight. */
static enum bertc_status add_dict(struct bt_state *state, const struct bt_pickle *saved, struct bertc_error *err)
{
    const struct bt_pickle *dict = unwrap(saved);
    const bool empty = dict->kind == BT_PICKLE_DICT && dict->size == 0;
    if (!empty && !is_tensor_dict(dict)) {
        return refuse(saved, err);
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; i < dict->size && !status; i += 2) {
        const struct bt_pickle *key = dict->items[i], *value = dict->items[i + 1];
        if (key->kind == BT_PICKLE_STRING && value->kind == BT_PICKLE_TENSOR) {
            status = bt_state_add(state, key->text, &value->tensor, err);
        }
    }
    return status;
}

/* The tree of a module's objects. tch writes the dots of names as bars, as TorchScript's attributes have none. */
static enum bertc_status add_module(struct bt_state *state, const struct bt_pickle *root, struct bertc_error *err)
{
    struct bt_script script = {.arena = &state->arena, .root = root};
    struct bertc_weight *weights;
    size_t count;
    enum bertc_status status = bt_script_weights(&script, &weights, &count, err);
    if (!status && count == 0) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "the module has no weights by name (a frozen one keeps none)");
    }
    for (size_t i = 0; i < count && !status; i++) {
        char *name = bt_arena_string(&state->arena, weights[i].name, strlen(weights[i].name));
        if (!name) {
            return bt_error_memory(err);
        }
        for (char *bar = strchr(name, '|'); bar; bar = strchr(bar, '|')) {
            *bar = '.';
        }
        status = bt_state_add(state, name, &weights[i].tensor, err);
    }
    return status;
}

enum bertc_status bt_state_read_legacy(struct bt_state *state, struct bt_state_source *source, struct bertc_error *err)
{
    struct bt_pickle *saved;
    enum bertc_status status = bt_torch_legacy_read(bt_file_bytes(source->file), &state->arena, &saved, err);
    return status ? status : add_dict(state, saved, err);
}

/* Archives with code of their own are models, whose loader knows where their weights are. */
static enum bertc_status refuse_archive(struct bertc_error *err)
{
    return bt_error_set(err, BERTC_UNSUPPORTED,
                        "this zip archive is no file of weights (it has no data.pkl and no .npy member); if it is a "
                        "model, bertc.load(path).state_dict() gives its weights");
}

enum bertc_status bt_state_read_zip(struct bt_state *state, struct bt_state_source *source, struct bertc_error *err)
{
    struct bt_archive *archive = &source->archive;
    struct bt_pickle *saved;
    enum bertc_status status = bt_archive_open(bt_file_bytes(source->file), &state->arena, archive, err);
    if (status) {
        return status;
    }
    if (!bt_archive_has(archive, "data.pkl")) {
        state->format = "NumPy .npz archive";
        status = bt_state_read_npz(state, archive, err);
        return status || state->count > 0 ? status : refuse_archive(err);
    }
    if ((status = bt_archive_pickle(archive, "data", &saved, err))) {
        return status;
    }
    const bool module = saved->kind == BT_PICKLE_OBJECT;
    state->format = module ? "TorchScript module" : "torch.save archive";
    return module ? add_module(state, saved, err) : add_dict(state, saved, err);
}
