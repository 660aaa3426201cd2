/* script.c: a TorchScript program in memory: its code by qualified name, its tree of module objects */
#include "load/script.h"

#include <string.h>

#define MAX_DEPTH 64
#define MAX_VISITS (1 << 20) /* an object may be reached on many paths */
#define MAX_PATH 4096

static enum bertc_status add_symbol(struct bt_script *script, const char *name, struct bt_symbol symbol,
                                    struct bertc_error *err)
{
    if (!name ||
        !bt_arena_reserve(script->arena, &script->symbols, &script->symbol_cap, script->symbol_count + 1,
                          sizeof symbol) ||
        !bt_map_put(&script->names, script->arena, name, strlen(name), script->symbol_count)) {
        return bt_error_memory(err);
    }
    script->symbols[script->symbol_count++] = symbol;
    return BERTC_OK;
}

enum bertc_status bt_script_add_class(struct bt_script *script, const char *name, const struct bt_ts_file *file,
                                      const struct bt_ts_class *type, struct bertc_error *err)
{
    return add_symbol(script, name, (struct bt_symbol){.file = file, .type = type}, err);
}

static enum bertc_status add_symbols(struct bt_script *script, const char *module, const struct bt_ts_file *file,
                                     struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i < file->class_count; i++) {
        const char *name = bt_arena_printf(script->arena, "%s.%s", module, file->classes[i]->name);
        status = bt_script_add_class(script, name, file, file->classes[i], err);
    }
    for (size_t i = 0; !status && i < file->function_count; i++) {
        const char *name = bt_arena_printf(script->arena, "%s.%s", module, file->functions[i]->name);
        status = add_symbol(script, name, (struct bt_symbol){.file = file, .function = file->functions[i]}, err);
    }
    return status;
}

enum bertc_status bt_script_add_code(struct bt_script *script, const char *member, const char *module,
                                     struct bt_span text, struct bertc_error *err)
{
    size_t index = script->file_count;
    if (!bt_arena_reserve(script->arena, &script->files, &script->file_cap, index + 1, sizeof *script->files) ||
        !bt_map_put(&script->members, script->arena, member, strlen(member), index)) {
        return bt_error_memory(err);
    }
    enum bertc_status status = bt_tscode_parse(member, text, script->arena, &script->files[index], err);
    if (status) {
        return status;
    }
    script->file_count++;
    return add_symbols(script, module, script->files[index], err);
}

const struct bt_ts_file *bt_script_file(const struct bt_script *script, const char *member)
{
    size_t index;
    return bt_map_get(&script->members, member, strlen(member), &index) ? script->files[index] : NULL;
}

const struct bt_symbol *bt_script_find(const struct bt_script *script, const char *name)
{
    size_t index;
    return bt_map_get(&script->names, name, strlen(name), &index) ? &script->symbols[index] : NULL;
}

const struct bt_ts_function *bt_script_method(const struct bt_ts_class *type, const char *name)
{
    for (size_t i = 0; i < type->method_count; i++) {
        if (!strcmp(type->methods[i]->name, name)) {
            return type->methods[i];
        }
    }
    return NULL;
}

bool bt_script_attribute(const struct bt_script *script, const struct bt_pickle *value, size_t *out)
{
    return bt_map_get(&script->places, &value, sizeof value, out);
}

struct walk {
    struct bt_script *script;
    struct bertc_weight *weights;
    size_t count, cap;
    int visits;
};

static bool lists_parameter(const struct bt_ts_class *type, const char *name)
{
    const struct bt_ts_expr *list = type ? type->parameters : NULL;
    for (size_t i = 0; list && i < list->count; i++) {
        if (list->args[i]->kind == BT_TS_STRING && !strcmp(list->args[i]->text, name)) {
            return true;
        }
    }
    return false;
}

static enum bertc_status add_attribute(struct bt_script *script, const struct bt_pickle *value, const char *path,
                                       struct bertc_error *err)
{
    size_t index;
    if (bt_script_attribute(script, value, &index)) {
        return BERTC_OK;
    }
    const struct bt_pickle **key = bt_arena_copy(script->arena, &value, sizeof value);
    if (!key ||
        !bt_arena_reserve(script->arena, &script->attributes, &script->attribute_cap, script->attribute_count + 1,
                          sizeof *script->attributes) ||
        !bt_map_put(&script->places, script->arena, key, sizeof *key, script->attribute_count)) {
        return bt_error_memory(err);
    }
    script->attributes[script->attribute_count++] = (struct bt_attribute){value, path};
    return BERTC_OK;
}

static enum bertc_status add_weight(struct walk *walk, const struct bt_pickle *value, const char *path,
                                    bool is_parameter, struct bertc_error *err)
{
    if (!bt_arena_reserve(walk->script->arena, &walk->weights, &walk->cap, walk->count + 1, sizeof *walk->weights)) {
        return bt_error_memory(err);
    }
    walk->weights[walk->count++] = (struct bertc_weight){path, value->tensor, is_parameter};
    return BERTC_OK;
}

static enum bertc_status walk_object(struct walk *walk, const struct bt_pickle *object, const char *prefix, int depth,
                                     struct bertc_error *err)
{
    const struct bt_pickle *state = object->size ? object->items[0] : NULL;
    if (!state || state->kind != BT_PICKLE_DICT) {
        return BERTC_OK; /* packed parameters and the like: operators know what is inside */
    }
    const struct bt_symbol *symbol = bt_script_find(walk->script, object->text);
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; !status && i + 1 < state->size; i += 2) {
        const struct bt_pickle *key = state->items[i], *value = state->items[i + 1];
        bool container =
            value->kind == BT_PICKLE_LIST || value->kind == BT_PICKLE_TUPLE || value->kind == BT_PICKLE_DICT;
        if (key->kind != BT_PICKLE_STRING ||
            (value->kind != BT_PICKLE_OBJECT && value->kind != BT_PICKLE_TENSOR && !container)) {
            continue;
        }
        if (depth == MAX_DEPTH || ++walk->visits > MAX_VISITS || strlen(prefix) + strlen(key->text) > MAX_PATH) {
            return bt_error_set(err, BERTC_FORMAT, "data.pkl: the tree of modules is too deep or too large");
        }
        const char *path = bt_arena_printf(walk->script->arena, "%s%s%s", prefix, *prefix ? "." : "", key->text);
        if (!path) {
            return bt_error_memory(err);
        }
        if (value->kind == BT_PICKLE_OBJECT) {
            status = walk_object(walk, value, path, depth + 1, err);
            continue;
        }
        status = add_attribute(walk->script, value, path, err);
        if (!status && value->kind == BT_PICKLE_TENSOR) {
            status = add_weight(walk, value, path, lists_parameter(symbol ? symbol->type : NULL, key->text), err);
        }
    }
    return status;
}

enum bertc_status bt_script_weights(struct bt_script *script, struct bertc_weight **out, size_t *count,
                                    struct bertc_error *err)
{
    struct walk walk = {.script = script};
    enum bertc_status status = walk_object(&walk, script->root, "", 0, err);
    *out = walk.weights;
    *count = walk.count;
    return status;
}
