/* tscode.h: the text of serialised TorchScript code -> statements
 * The grammar is the Python subset that torch/csrc/jit/serialization/python_print.cpp writes. Nothing is executed. */
#ifndef BT_FORMAT_TSCODE_H
#define BT_FORMAT_TSCODE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

enum bt_ts_expr_kind {
    BT_TS_NAME,     /* text; integer = its slot in the function's locals, -1 outside of functions */
    BT_TS_INT,      /* integer                                         */
    BT_TS_FLOAT,    /* number (also inf, -inf, nan)                    */
    BT_TS_STRING,   /* text (unescaped), size                          */
    BT_TS_NONE,
    BT_TS_TRUE,
    BT_TS_FALSE,
    BT_TS_ATTR,     /* args[0] . text; getattr(x, "0") also parses to this */
    BT_TS_INDEX,    /* args[0] [ args[1] ]                             */
    BT_TS_SLICE,    /* args[0] [ args[1] : args[2] ]; NONE where omitted */
    BT_TS_CALL,     /* callee args[0]; arguments args[1..count-1], names[i] is the keyword or NULL */
    BT_TS_ANNOTATE, /* annotate(T, x), unchecked_cast(T, x): type = T, args[0] = x */
    BT_TS_UNINITIALIZED, /* uninitialized(T): type = T         */
    BT_TS_ISINSTANCE, /* isinstance(args[0], T): type = T, or a type without a name whose args are the choices */
    BT_TS_LIST,
    BT_TS_TUPLE,
    BT_TS_DICT,     /* args = key, value, ...                          */
    BT_TS_NOT,      /* not args[0]                                     */
    BT_TS_NEG,      /* -args[0], of something other than a literal     */
    BT_TS_IF,       /* args[1] if args[0] else args[2]                 */
    BT_TS_BINARY,   /* text = operator; args[0], args[1]               */
    BT_TS_EXPR_KINDS,
};

struct bt_ts_expr {
    enum bt_ts_expr_kind kind;
    int line;
    const char *text;
    size_t size;
    int64_t integer;
    double number;
    struct bt_ts_type *type;
    struct bt_ts_expr **args;
    const char **names; /* calls only */
    size_t count;
};

/* Tensor, int, List[int], Optional[Tensor], Dict[str, Tensor], Tuple[...], __torch__.a.B, NoneType, ...; Tuple[()] has
 * no args */
struct bt_ts_type {
    const char *name; /* dotted */
    struct bt_ts_type **args;
    size_t count;
};

enum bt_ts_stmt_kind {
    BT_TS_ASSIGN, /* targets = value; one target, or several names of a tuple/list unpacking; a target may be an ATTR */
    BT_TS_EXPR, /* value                             */
    BT_TS_RETURN, /* value or NULL                     */
    BT_TS_IF_STMT, /* value; body; orelse               */
    BT_TS_FOR, /* targets[0] in value: body         */
    BT_TS_WHILE, /* value: body                       */
    BT_TS_PASS,
    BT_TS_BREAK,
    BT_TS_CONTINUE,
    BT_TS_ASSERT, /* value                             */
    BT_TS_WITH, /* value: body                       */
    BT_TS_STMT_KINDS,
};

struct bt_ts_block {
    struct bt_ts_stmt **items;
    size_t count;
};

struct bt_ts_stmt {
    enum bt_ts_stmt_kind kind;
    int line;
    struct bt_ts_expr **targets;
    size_t target_count;
    bool unpack; /* `a, = x` unpacks even with one target */
    struct bt_ts_expr *value;
    struct bt_ts_block body, orelse;
};

struct bt_ts_param {
    const char *name;
    struct bt_ts_type *type; /* NULL when not annotated */
    struct bt_ts_expr *fallback; /* default value or NULL */
};

struct bt_ts_function {
    const char *name;
    struct bt_ts_param *params;
    size_t param_count; /* they take the first slots of the locals */
    size_t local_count;
    struct bt_ts_type *result; /* may be NULL */
    struct bt_ts_block body;
    int line;
};

struct bt_ts_field { /* `name : type`, `name : Final[type] = value` in a class body, incl. __annotations__["0"] = T */
    const char *name;
    struct bt_ts_type *type;
    struct bt_ts_expr *value; /* NULL unless the class gives it */
};

struct bt_ts_class {
    const char *name;
    const char *base; /* "Module", "NamedTuple", "Enum", ... or "" */
    struct bt_ts_function **methods;
    size_t method_count;
    struct bt_ts_field *fields;
    size_t field_count;
    const struct bt_ts_expr *parameters; /* the list of __parameters__, or NULL */
    bool has_hooks; /* __forward_hooks__ or __forward_pre_hooks__ lists something */
};

struct bt_ts_file {
    const char *member; /* for messages */
    struct bt_ts_class **classes;
    size_t class_count;
    struct bt_ts_function **functions; /* top-level def */
    size_t function_count;
};

/* "Dict[str, Tensor]"; NULL when out of memory. */
char *bt_tscode_type_text(const struct bt_ts_type *type, struct bt_arena *arena);

/* Depth and size are bounded; errors are BERTC_FORMAT with member and line. `member` is kept. */
enum bertc_status bt_tscode_parse(const char *member, struct bt_span text, struct bt_arena *arena,
                                  struct bt_ts_file **out, struct bertc_error *err);

#endif
