/* interp_state.h: what the interpreter's files share: the state of one build, and evaluation across them */
#ifndef BT_LOAD_INTERP_STATE_H
#define BT_LOAD_INTERP_STATE_H

#include "load/aten.h"
#include "load/script.h"

/* A local variable. */
struct bt_local {
    bool bound;
    struct bt_dyn value;
};

struct bt_frame {
    const struct bt_ts_file *file;
    struct bt_local *locals; /* NULL outside of functions */
};

struct bt_interp {
    struct bt_lower lower;
    const struct bt_script *script;
    struct bt_local *attributes; /* of the script, once converted */
    struct bt_local *constants;  /* CONSTANTS.c0, c1, ... */
    size_t constant_count;
    const struct bt_frame *frame;
    int line;                         /* of the statement at work */
    const struct bt_ts_file *at_file; /* the place that graph->where tells */
    int at_line;
    int64_t steps;
    int depth;
};

/* An error at the present statement: "member:line: text". */
enum bertc_status bt_interp_error(const struct bt_interp *in, struct bertc_error *err, enum bertc_status status,
                                  const char *fmt, ...) BT_PRINTF(4, 5);
/* Counts work and nesting, both bounded; bt_interp_leave ends the nesting. */
enum bertc_status bt_interp_enter(struct bt_interp *in, struct bertc_error *err);
void bt_interp_leave(struct bt_interp *in);

/* interp_expr.c */
enum bertc_status bt_interp_eval(struct bt_interp *in, const struct bt_ts_expr *e, struct bt_dyn *out,
                                 struct bertc_error *err);
/* A condition, decided for the present call. */
enum bertc_status bt_interp_decide(struct bt_interp *in, const struct bt_dyn *value, bool *out,
                                   struct bertc_error *err);
enum bertc_status bt_interp_attribute(struct bt_interp *in, const struct bt_pickle *object, const char *name,
                                      struct bt_dyn *out, struct bertc_error *err);

/* interp_type.c */
/* Makes a value of the caller's the one that the declared type asks for: lists and tuples as such, ints as floats,
 * field names on named tuples. A value of another type is BERTC_INPUT. */
enum bertc_status bt_interp_coerce(struct bt_interp *in, const struct bt_ts_type *type, struct bt_dyn *value,
                                   struct bertc_error *err);
/* isinstance(value, type) */
bool bt_interp_is(const struct bt_interp *in, const struct bt_ts_type *type, const struct bt_dyn *value);

/* interp_call.c */
/* The dotted name that e is when it starts at torch, ops, CONSTANTS or __torch__ and no local variable hides that; else
 * NULL. */
enum bertc_status bt_interp_global(struct bt_interp *in, const struct bt_ts_expr *e, const char **out,
                                   struct bertc_error *err);
enum bertc_status bt_interp_call(struct bt_interp *in, const struct bt_ts_expr *call, struct bt_dyn *out,
                                 struct bertc_error *err);
/* An operator, with the place in the code for its nodes and messages. */
enum bertc_status bt_interp_operator(struct bt_interp *in, const char *name, const struct bt_aten_args *args,
                                     struct bt_dyn *out, struct bertc_error *err);

/* interp.c */
enum bertc_status bt_interp_function(struct bt_interp *in, const struct bt_ts_file *file,
                                     const struct bt_ts_function *f, const struct bt_aten_args *args,
                                     struct bt_dyn *out, struct bertc_error *err);

#endif
