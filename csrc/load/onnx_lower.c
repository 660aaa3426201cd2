/* onnx_lower.c: a node's inputs and attributes */
#include "load/onnx_lower.h"

bool bt_onnx_given(const struct bt_onnx_call *o, size_t i)
{
    return i < o->input_count && o->inputs[i].kind != BT_DYN_NONE;
}

struct bt_dyn bt_onnx_input(struct bt_onnx_call *o, size_t i)
{
    if (!bt_onnx_given(o, i)) {
        bt_lower_fail(&o->call, BERTC_FORMAT, "input %zu is missing", i);
        return bt_dyn_none();
    }
    return o->inputs[i];
}

struct bt_dyn bt_onnx_tensor(struct bt_onnx_call *o, size_t i)
{
    return bt_onnx_given(o, i) ? bt_onnx_as_tensor(o, o->inputs[i]) : bt_dyn_none();
}

struct bt_dyn bt_onnx_scalar(struct bt_onnx_call *o, size_t i)
{
    struct bt_dyn list, d = bt_onnx_input(o, i);
    return bt_onnx_known(o, d, &list) && list.seq->count == 1 ? list.seq->items[0] : d;
}

void bt_onnx_refuse_input(struct bt_onnx_call *o, size_t i, const char *what)
{
    if (bt_onnx_given(o, i)) {
        bt_lower_fail(&o->call, BERTC_UNSUPPORTED, "its input %zu, %s, is not implemented", i, what);
    }
}

void bt_onnx_refuse_outputs(struct bt_onnx_call *o, const char *what)
{
    for (size_t i = 1; i < o->out_count; i++) {
        if (*o->node->outputs.items[i]) {
            bt_lower_fail(&o->call, BERTC_UNSUPPORTED, "its output %zu, %s, is not implemented", i, what);
        }
    }
}

int bt_onnx_numbers(struct bt_onnx_call *o, size_t i, bt_expr *list, int cap)
{
    struct bt_call *c = &o->call;
    struct bt_dyn known, d = bt_onnx_input(o, i);
    if (bt_onnx_known(o, d, &known)) {
        return bt_lower_list(c, known, list, cap);
    }
    if (bt_lower_is_number(d)) {
        *list = bt_lower_expr(c, d);
        return 1;
    }
    bt_lower_fail(c, BERTC_UNSUPPORTED, "input %zu, which shapes the result, depends on tensor data", i);
    return 0;
}

const struct bt_onnx_attribute *bt_onnx_attribute_of(struct bt_onnx_call *o, const char *name, enum bt_onnx_kind kind)
{
    static const char *const kinds[] = {"", "float", "int", "string", "tensor", "graph", "floats", "ints"};
    const struct bt_onnx_attribute *a = bt_onnx_attribute(o, name);
    if (a && a->kind != kind && a->kind != BT_ONNX_UNTYPED) {
        const bool listed = a->kind > 0 && a->kind < (int64_t)(sizeof kinds / sizeof *kinds);
        bt_lower_fail(&o->call, BERTC_FORMAT, "attribute '%s' is of type %s, expected %s", name,
                      listed ? kinds[a->kind] : "unknown", kinds[kind]);
        return NULL;
    }
    return a;
}

int64_t bt_onnx_int(struct bt_onnx_call *o, const char *name, int64_t fallback)
{
    const struct bt_onnx_attribute *a = bt_onnx_attribute_of(o, name, BT_ONNX_INT);
    return a ? a->i : fallback;
}

double bt_onnx_float(struct bt_onnx_call *o, const char *name, double fallback)
{
    const struct bt_onnx_attribute *a = bt_onnx_attribute_of(o, name, BT_ONNX_FLOAT);
    return a ? bt_onnx_decimal((float)a->f) : fallback;
}

const char *bt_onnx_string(struct bt_onnx_call *o, const char *name, const char *fallback)
{
    const struct bt_onnx_attribute *a = bt_onnx_attribute_of(o, name, BT_ONNX_STRING);
    return a ? a->s : fallback;
}

bool bt_onnx_list(struct bt_onnx_call *o, const char *name, size_t i, bt_expr *list, int cap, int *count)
{
    const struct bt_onnx_attribute *a = bt_onnx_attribute_of(o, name, BT_ONNX_INTS);
    *count = 0;
    if (!a) {
        *count = bt_onnx_given(o, i) ? bt_onnx_numbers(o, i, list, cap) : 0;
        return bt_onnx_given(o, i);
    }
    if (a->ints.count > (size_t)cap) {
        bt_lower_fail(&o->call, BERTC_UNSUPPORTED, "attribute '%s' has %zu items, more than %d", name, a->ints.count,
                      cap);
        return true;
    }
    for (size_t k = 0; k < a->ints.count; k++) {
        list[k] = bt_expr_int(o->call.x, a->ints.items[k]);
    }
    *count = (int)a->ints.count;
    return true;
}

bool bt_onnx_dims(struct bt_onnx_call *o, const char *name, size_t i, int rank, int *dims, int *count)
{
    bt_expr list[BT_MAX_RANK];
    const bool given = bt_onnx_list(o, name, i, list, BT_MAX_RANK, count);
    for (int k = 0; k < *count; k++) {
        dims[k] = bt_lower_dim(&o->call, bt_dyn_scalar(list[k]), rank);
    }
    return given;
}

int bt_onnx_axis(struct bt_onnx_call *o, int64_t fallback, int rank)
{
    struct bt_call *c = &o->call;
    return bt_lower_dim(c, bt_lower_integer(c, bt_onnx_int(o, "axis", fallback)), rank);
}
