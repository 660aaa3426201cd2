/* script.h: a TorchScript program in memory: its code by qualified name, its tree of module objects, its constants */
#ifndef BT_LOAD_SCRIPT_H
#define BT_LOAD_SCRIPT_H

#include "base/map.h"
#include "bertc.h"
#include "format/pickle.h"
#include "format/tscode.h"

/* A class, or a function outside of classes. */
struct bt_symbol {
    const struct bt_ts_file *file;
    const struct bt_ts_class *type;
    const struct bt_ts_function *function;
};

/* A tensor or container that module objects hold. */
struct bt_attribute {
    const struct bt_pickle *value;
    const char *path; /* dotted; the first one that leads to it */
};

/* Filled at load, immutable from then on. */
struct bt_script {
    struct bt_arena *arena;
    struct bt_ts_file **files;
    size_t file_count, file_cap;
    struct bt_map members; /* "code/__torch__/a.py" -> index of files */
    struct bt_symbol *symbols;
    size_t symbol_count, symbol_cap;
    struct bt_map names; /* "__torch__.a.B" -> index of symbols */
    struct bt_attribute *attributes;
    size_t attribute_count, attribute_cap;
    struct bt_map places; /* address of a value -> index of attributes */
    const struct bt_pickle *root;
    const struct bt_pickle *constants; /* the tuple of CONSTANTS.c0, c1, ...; NULL when there is none */
    int64_t version;                   /* of the archive's format; some operators changed their meaning */
};

/* Parses a code member and makes its classes and functions known as module.name. */
enum bertc_status bt_script_add_code(struct bt_script *script, const char *member, const char *module,
                                     struct bt_span text, struct bertc_error *err);
const struct bt_ts_file *bt_script_file(const struct bt_script *script, const char *member); /* NULL when unknown */
enum bertc_status bt_script_add_class(struct bt_script *script, const char *name, const struct bt_ts_file *file,
                                      const struct bt_ts_class *type, struct bertc_error *err);
const struct bt_symbol *bt_script_find(const struct bt_script *script, const char *name); /* NULL when unknown */
const struct bt_ts_function *bt_script_method(const struct bt_ts_class *type, const char *name); /* the same */

/* Walks the objects from the root: fills `attributes`, and lists all tensors under their dotted names. */
enum bertc_status bt_script_weights(struct bt_script *script, struct bertc_weight **out, size_t *count,
                                    struct bertc_error *err);
/* The number of a value in `attributes`; false when no module holds it itself. */
bool bt_script_attribute(const struct bt_script *script, const struct bt_pickle *value, size_t *out);

#endif
