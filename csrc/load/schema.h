/* schema.h: an operator's parameters as native_functions.yaml writes them, and the binding of arguments to them */
#ifndef BT_LOAD_SCHEMA_H
#define BT_LOAD_SCHEMA_H

#include "load/aten.h"

#define BT_MAX_PARAMS 20

enum bt_param_type {
    BT_PARAM_TENSOR,
    BT_PARAM_SCALAR, /* int, float or bool */
    BT_PARAM_INT,    /* also SymInt, ScalarType */
    BT_PARAM_FLOAT,
    BT_PARAM_BOOL,
    BT_PARAM_STR,
    BT_PARAM_DEVICE,
    BT_PARAM_IGNORED, /* Layout, MemoryFormat, Generator: they change no result here */
    BT_PARAM_LIST,    /* Python's own containers, of anything */
    BT_PARAM_DICT,
    BT_PARAM_OBJECT,
    BT_PARAM_ANY,
};

struct bt_param {
    const char *name;
    uint8_t name_size;
    enum bt_param_type type;
    bool list;      /* int[], Tensor[] */
    bool sole;      /* int[1]: one item need not be in brackets */
    bool none_item; /* Tensor?[] */
    bool optional;
    bool keyword;         /* after the * */
    const char *fallback; /* the default's text; NULL: required */
    uint8_t fallback_size;
};

/* Parses a schema of the table into out[BT_MAX_PARAMS] and returns the number of parameters. */
int bt_schema_parse(const char *schema, struct bt_param *out);

/* Fills `out`, one value a parameter, defaults included. Strict: each argument has the parameter's type. Otherwise
 * numbers pass for tensors and tensors that are known numbers for numbers, and keyword-only parameters may be
 * positional.
 * *fits tells whether the arguments fit; the status is an error only when memory is out. */
enum bertc_status bt_schema_bind(struct bt_lower *l, const struct bt_param *params, int count,
                                 const struct bt_aten_args *args, bool strict, struct bt_dyn *out, bool *fits,
                                 struct bertc_error *err);

#endif
