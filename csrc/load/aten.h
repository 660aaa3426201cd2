/* aten.h: lower a call of an ATen operator, in any of its overloads, to graph nodes
 * aten.inc lists each overload with its schema (PyTorch's native_functions.yaml notation) and lowering function. */
#ifndef BT_LOAD_ATEN_H
#define BT_LOAD_ATEN_H

#include "load/dyn.h"

struct bt_aten_args {
    const struct bt_dyn *items;
    const char *const *names; /* keyword or NULL, per item; the array may be NULL */
    size_t count;
};

/* Calls `name`: "aten::add", "prim::NumToTensor", "quantized::linear_dynamic"; an overload's name behind it is ignored:
 * the first overload whose schema takes the arguments is called. Several results come as a TUPLE; none as NONE. An
 * unknown operator, or one whose overloads all refuse the arguments, is BERTC_UNSUPPORTED and names the operator and
 * the argument types; data-dependent results (item of a computed tensor, nonzero, boolean-mask indexing) are
 * BERTC_UNSUPPORTED and say so. */
enum bertc_status bt_aten_call(struct bt_lower *l, const char *name, const struct bt_aten_args *args,
                               struct bt_dyn *out, struct bertc_error *err);

/* Python's conversions on the value: int(x), float(x), bool(x), of numbers and of 0-dim tensors with a known number. */
enum bertc_status bt_aten_to_int(struct bt_lower *l, const struct bt_dyn *x, bt_expr *out, struct bertc_error *err);
enum bertc_status bt_aten_to_float(struct bt_lower *l, const struct bt_dyn *x, bt_expr *out, struct bertc_error *err);
enum bertc_status bt_aten_to_bool(struct bt_lower *l, const struct bt_dyn *x, bt_expr *out, struct bertc_error *err);

#endif
