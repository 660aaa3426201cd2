/* onnx_known.c: values that are known while the graph is built: numbers and lists, from constants and sizes */
#include <float.h>
#include <stdio.h>
#include <string.h>

#include "format/chars.h"
#include "load/onnx_lower.h"

/* Shapes, axes and the like: longer lists of integers are data. */
#define MAX_KNOWN 64

double bt_onnx_decimal(float value)
{
    char text[32];
    double decimal;
    const int size = snprintf(text, sizeof text, "%.*g", FLT_DIG, (double)value);
    for (char *c = text; *c; c++) {
        *c = *c == ',' ? '.' : *c; /* where the locale says so */
    }
    return bt_chars_float(text, (size_t)size, &decimal) && (float)decimal == value ? decimal : (double)value;
}

const struct bt_tensor *bt_onnx_constant_of(struct bt_onnx_call *o, struct bt_dyn d)
{
    if (d.kind != BT_DYN_TENSOR || d.tensor->value < 0) {
        return NULL;
    }
    const struct bt_value_info *info = &o->call.g->values[d.tensor->value];
    return info->kind == BT_VALUE_CONSTANT ? &o->call.g->constants[info->index].tensor : NULL;
}

/* The number at `index` of a constant's only dimension, or of a constant with one item. */
static struct bt_dyn constant_item(struct bt_onnx_call *o, const struct bt_tensor *t, int64_t index)
{
    struct bt_tensor item = {.dtype = t->dtype, .data = t->data};
    if (index > 0) {
        item.data = (const char *)t->data + index * t->strides[0] * (int64_t)bt_dtype_size(t->dtype);
    }
    if (t->dtype == BT_F32) {
        float value;
        memcpy(&value, item.data, sizeof value);
        return bt_lower_number(&o->call, bt_expr_float(o->call.x, bt_onnx_decimal(value)), BT_F32);
    }
    return bt_lower_number(&o->call, bt_dyn_read_number(o->call.x, &item), t->dtype);
}

bool bt_onnx_is_matrix(struct bt_dyn d)
{
    return d.kind == BT_DYN_LIST && d.seq->count > 0 && d.seq->items[0].kind == BT_DYN_LIST;
}

bool bt_onnx_known(struct bt_onnx_call *o, struct bt_dyn d, struct bt_dyn *list)
{
    struct bt_call *c = &o->call;
    if (d.kind == BT_DYN_LIST) {
        *list = d;
        return !bt_onnx_is_matrix(d);
    }
    const struct bt_tensor *t = bt_onnx_constant_of(o, d);
    if (!t || t->rank != 1 || (t->dtype != BT_I64 && t->dtype != BT_I32) || t->dims[0] > MAX_KNOWN) {
        return false;
    }
    *list = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (int64_t i = 0; i < t->dims[0]; i++) {
        bt_lower_append(c, list, constant_item(o, t, i));
    }
    return c->status == BERTC_OK;
}

int bt_onnx_rank(struct bt_onnx_call *o, struct bt_dyn d)
{
    return d.kind == BT_DYN_LIST ? 1 + bt_onnx_is_matrix(d) : bt_lower_rank(&o->call, d);
}

int bt_onnx_shape(struct bt_onnx_call *o, struct bt_dyn d, bt_expr *dims)
{
    if (d.kind != BT_DYN_LIST) {
        return bt_lower_shape(&o->call, d, dims);
    }
    dims[0] = bt_expr_int(o->call.x, (int64_t)d.seq->count);
    if (bt_onnx_is_matrix(d)) {
        dims[1] = bt_expr_int(o->call.x, (int64_t)d.seq->items[0].seq->count);
        return 2;
    }
    return 1;
}

static struct bt_dyn filled(struct bt_onnx_call *o, int64_t size, struct bt_dyn number, enum bt_dtype dtype)
{
    struct bt_call *c = &o->call;
    const bt_expr e = bt_expr_int(c->x, size);
    const struct bt_arg args[] = {bt_arg_exprs(&e, 1), bt_arg_expr(bt_lower_expr(c, number)), bt_arg_dtype(dtype)};
    return bt_lower_node(c, BT_OP_FULL, 3, args);
}

struct bt_dyn bt_onnx_flattened(struct bt_onnx_call *o, struct bt_dyn d)
{
    struct bt_dyn out = bt_lower_seq(&o->call, BT_DYN_LIST, NULL, 0);
    for (size_t i = 0; i < d.seq->count; i++) {
        for (size_t k = 0; k < d.seq->items[i].seq->count; k++) {
            bt_lower_append(&o->call, &out, d.seq->items[i].seq->items[k]);
        }
    }
    return out;
}

struct bt_dyn bt_onnx_as_tensor(struct bt_onnx_call *o, struct bt_dyn d)
{
    struct bt_call *c = &o->call;
    if (d.kind != BT_DYN_LIST || c->status != BERTC_OK) {
        return d;
    }
    const size_t count = d.seq->count;
    if (bt_onnx_is_matrix(d)) {
        bt_expr dims[2];
        bt_onnx_shape(o, d, dims);
        return bt_lower_reshape(c, bt_onnx_as_tensor(o, bt_onnx_flattened(o, d)), dims, 2);
    }
    if (count == 0) {
        return filled(o, 0, bt_lower_integer(c, 0), BT_I64);
    }
    const enum bt_dtype dtype = bt_lower_type(c, d.seq->items[0]);
    struct bt_dyn list = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (size_t i = 0; i < count; i++) {
        bt_lower_append(c, &list, filled(o, 1, d.seq->items[i], dtype));
    }
    return count == 1 && c->status == BERTC_OK ? list.seq->items[0] : bt_lower_cat(c, list, 0);
}

struct bt_dyn bt_onnx_integer(struct bt_onnx_call *o, bt_expr e)
{
    return bt_lower_number(&o->call, e, BT_I64);
}

struct bt_dyn bt_onnx_constant(struct bt_onnx_call *o, const struct bt_onnx_tensor *t, const char *name)
{
    struct bt_call *c = &o->call;
    bt_value value;
    if (t->tensor.rank == 0) {
        return constant_item(o, &t->tensor, 0);
    }
    if (c->status != BERTC_OK || !bt_lower_ok(c, bt_graph_constant(c->g, &t->tensor, name, &value, c->err))) {
        return bt_dyn_none();
    }
    return bt_lower_tensor(c, value);
}

bool bt_onnx_is_number(struct bt_onnx_call *o, struct bt_dyn d, double value)
{
    struct bt_scalar s;
    return bt_lower_is_number(d) && bt_expr_is_const(o->call.x, bt_lower_expr(&o->call, d), &s) &&
           (s.type == BT_SCALAR_FLOAT ? s.f : (double)s.i) == value;
}

const struct bt_node *bt_onnx_made_by(struct bt_onnx_call *o, struct bt_dyn d, enum bt_op op)
{
    return d.kind == BT_DYN_TENSOR ? bt_onnx_maker(o->call.g, d.tensor->value, op) : NULL;
}

const struct bt_node *bt_onnx_maker(const struct bt_graph *g, bt_value value, enum bt_op op)
{
    const struct bt_value_info *info = value < 0 ? NULL : &g->values[value];
    const struct bt_node *node = info && info->kind == BT_VALUE_NODE ? &g->nodes[info->index] : NULL;
    return node && node->op == op ? node : NULL;
}

/* Item i of the operand, which broadcasts: a number, or a list of one or as many items as the result. */
static struct bt_dyn item_of(struct bt_dyn d, size_t i)
{
    return d.kind == BT_DYN_LIST ? d.seq->items[d.seq->count == 1 ? 0 : i] : d;
}

/* The operands as numbers and lists of numbers with room for each other, one of them a list. False: not known. */
static bool known_operands(struct bt_onnx_call *o, int count, const struct bt_dyn *operands, struct bt_dyn *known,
                           size_t *size)
{
    bool any = false;
    *size = 1;
    for (int i = 0; i < count; i++) {
        known[i] = operands[i];
        if (bt_lower_is_number(operands[i]) || operands[i].kind == BT_DYN_NONE) {
            continue;
        }
        if (!bt_onnx_known(o, operands[i], &known[i])) {
            return false;
        }
        any = true;
        if (known[i].seq->count != 1) {
            if (*size != 1 && *size != known[i].seq->count) {
                return false;
            }
            *size = known[i].seq->count;
        }
    }
    return any;
}

static bool apply_known(struct bt_onnx_call *o, enum bt_op op, int count, const struct bt_dyn *operands,
                        struct bt_dyn *out)
{
    struct bt_call *c = &o->call;
    struct bt_dyn known[3], items[3];
    size_t size;
    if (!known_operands(o, count, operands, known, &size)) {
        return false;
    }
    *out = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (size_t i = 0; i < size; i++) {
        struct bt_dyn result;
        for (int k = 0; k < count; k++) {
            items[k] = item_of(known[k], i);
        }
        if (!bt_number_apply(c, op, count, items, &result)) {
            return false;
        }
        bt_lower_append(c, out, result);
    }
    return true;
}

/* A constant or list of one item that broadcasts to another operand counts as its number. */
static struct bt_dyn as_operand(struct bt_onnx_call *o, struct bt_dyn d, int rank)
{
    const struct bt_tensor *t = bt_onnx_constant_of(o, d);
    if (d.kind == BT_DYN_LIST && d.seq->count == 1 && rank > 0 && !bt_onnx_is_matrix(d)) {
        return d.seq->items[0];
    }
    if (!t || t->rank > rank || t->quantized || bt_numel(t->rank, t->dims) != 1) {
        return bt_onnx_as_tensor(o, d);
    }
    return constant_item(o, t, 0);
}

struct bt_dyn bt_onnx_apply(struct bt_onnx_call *o, enum bt_op op, int count, const struct bt_dyn *operands)
{
    struct bt_call *c = &o->call;
    struct bt_dyn out, ready[3];
    if (c->status != BERTC_OK) {
        return bt_dyn_none();
    }
    if (apply_known(o, op, count, operands, &out)) {
        return out;
    }
    for (int i = 0; i < count; i++) {
        int rank = -1; /* of the other operands */
        for (int k = 0; k < count; k++) {
            int other = k == i || operands[k].kind == BT_DYN_NONE ? -1 : bt_onnx_rank(o, operands[k]);
            rank = other > rank && !(bt_onnx_constant_of(o, operands[k]) && k > i) ? other : rank;
        }
        ready[i] = as_operand(o, operands[i], rank);
    }
    return bt_lower_apply(c, op, count, ready);
}

struct bt_dyn bt_onnx_binary(struct bt_onnx_call *o, enum bt_op op, struct bt_dyn a, struct bt_dyn b)
{
    return bt_onnx_apply(o, op, 2, (struct bt_dyn[]){a, b});
}
