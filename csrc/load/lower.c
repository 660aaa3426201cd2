/* lower.c: helpers of the lowering functions: read arguments, append nodes and views */
#include "load/lower.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void bt_lower_fail(struct bt_call *c, enum bertc_status status, const char *fmt, ...)
{
    if (c->status != BERTC_OK) {
        return;
    }
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    c->status = bt_error_set(c->err, status, "%s: %s", c->name, text);
}

bool bt_lower_ok(struct bt_call *c, enum bertc_status status)
{
    if (c->status == BERTC_OK) {
        c->status = status;
    }
    return c->status == BERTC_OK;
}

static bool memory_ok(struct bt_call *c, bool ok)
{
    if (!ok && c->status == BERTC_OK) {
        c->status = bt_error_memory(c->err);
    }
    return c->status == BERTC_OK;
}

bool bt_lower_given(const struct bt_call *c, int i)
{
    return c->args[i].kind != BT_DYN_NONE;
}

bool bt_lower_is_number(struct bt_dyn d)
{
    return d.kind == BT_DYN_SCALAR || (d.kind == BT_DYN_TENSOR && d.tensor->number >= 0);
}

bool bt_lower_is_plain(struct bt_dyn d)
{
    return d.kind == BT_DYN_SCALAR || (d.kind == BT_DYN_TENSOR && d.tensor->plain);
}

bt_expr bt_lower_checked(struct bt_call *c, bt_expr e)
{
    if (e < 0 && bt_exprs_out_of_memory(c->x)) {
        memory_ok(c, false);
    } else if (e < 0) {
        bt_lower_fail(c, BERTC_INPUT, "the numbers overflow or divide by zero");
    }
    return e;
}

bt_expr bt_lower_expr(struct bt_call *c, struct bt_dyn d)
{
    if (c->status != BERTC_OK) {
        return BT_NO_EXPR;
    }
    bt_expr e = d.kind == BT_DYN_TENSOR ? d.tensor->number : d.kind == BT_DYN_SCALAR ? d.scalar : BT_NO_EXPR;
    if (d.kind == BT_DYN_TENSOR && e < 0) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "a number is needed that depends on tensor data");
    } else if (d.kind != BT_DYN_SCALAR && e < 0) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "expected a number, got %s", bt_dyn_type_name(c->l, &d));
    }
    return bt_lower_checked(c, e);
}

int64_t bt_lower_int(struct bt_call *c, struct bt_dyn d)
{
    bt_expr e = bt_lower_expr(c, d);
    int64_t value = 0;
    if (e < 0 || bt_expr_is_int(c->x, e, &value)) {
        return value;
    }
    if (bt_expr_type(c->x, e) == BT_SCALAR_FLOAT) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "expected an integer, got %s", bt_expr_text(c->x, e));
        return 0;
    }
    value = bt_expr_hint(c->x, e).i;
    bt_graph_decide(c->g, bt_expr_binary(c->x, BT_EXPR_EQ, e, bt_expr_int(c->x, value)));
    return value;
}

double bt_lower_float(struct bt_call *c, struct bt_dyn d)
{
    bt_expr e = bt_lower_expr(c, d);
    struct bt_scalar value = {.type = BT_SCALAR_INT};
    if (e >= 0 && !bt_expr_is_const(c->x, e, &value)) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "expected a constant, got %s", bt_expr_text(c->x, e));
    }
    return value.type == BT_SCALAR_FLOAT ? value.f : (double)value.i;
}

bool bt_lower_bool(struct bt_call *c, struct bt_dyn d)
{
    bt_expr e = bt_lower_expr(c, d);
    return e >= 0 && bt_graph_decide(c->g, bt_expr_unary(c->x, BT_EXPR_TO_BOOL, e));
}

int bt_lower_dim(struct bt_call *c, struct bt_dyn d, int rank)
{
    int64_t dim = bt_lower_int(c, d), bound = rank > 0 ? rank : 1;
    if (dim < -bound || dim >= bound) {
        bt_lower_fail(c, BERTC_INPUT, "dimension %" PRId64 " of a tensor of rank %d", dim, rank);
        return 0;
    }
    return (int)(dim < 0 ? dim + bound : dim);
}

int bt_lower_dims(struct bt_call *c, struct bt_dyn d, int rank, int *dims)
{
    size_t count = bt_lower_count(d);
    if (count == 0) {
        for (int i = 0; i < rank; i++) {
            dims[i] = i;
        }
        return rank;
    }
    if (count > BT_MAX_RANK) {
        bt_lower_fail(c, BERTC_INPUT, "%zu dimensions, more than the %d there can be", count, BT_MAX_RANK);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        dims[i] = bt_lower_dim(c, d.seq->items[i], rank);
    }
    return (int)count;
}

enum bt_dtype bt_lower_dtype(struct bt_call *c, struct bt_dyn d, enum bt_dtype fallback)
{
    enum bt_dtype dtype = fallback;
    if (d.kind == BT_DYN_NONE) {
        return dtype;
    }
    int64_t code = bt_lower_int(c, d);
    if (!bt_dtype_from_aten(code, &dtype)) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "dtype code %" PRId64 " is not supported", code);
    }
    return dtype;
}

size_t bt_lower_count(struct bt_dyn d)
{
    return d.seq ? d.seq->count : 0;
}

int bt_lower_list(struct bt_call *c, struct bt_dyn d, bt_expr *list, int cap)
{
    size_t count = bt_lower_count(d);
    if (count > (size_t)cap) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "a list of %zu numbers, more than %d", count, cap);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        list[i] = bt_lower_expr(c, d.seq->items[i]);
    }
    return c->status == BERTC_OK ? (int)count : 0;
}

int bt_lower_rank(struct bt_call *c, struct bt_dyn d)
{
    return c->status == BERTC_OK && d.kind == BT_DYN_TENSOR ? bt_var_rank(c->l, d.tensor) : 0;
}

int bt_lower_shape(struct bt_call *c, struct bt_dyn d, bt_expr *dims)
{
    int rank = bt_lower_rank(c, d);
    for (int i = 0; i < rank; i++) {
        dims[i] = c->g->values[d.tensor->value].dims[i];
    }
    return rank;
}

bt_expr bt_lower_size(struct bt_call *c, struct bt_dyn d, int dim)
{
    if (dim >= bt_lower_rank(c, d)) {
        bt_lower_fail(c, BERTC_INPUT, "dimension %d of a tensor of rank %d", dim, bt_lower_rank(c, d));
        return BT_NO_EXPR;
    }
    return c->g->values[d.tensor->value].dims[dim];
}

enum bt_dtype bt_lower_type(struct bt_call *c, struct bt_dyn d)
{
    static const enum bt_dtype defaults[] = {
        [BT_SCALAR_BOOL] = BT_BOOL, [BT_SCALAR_INT] = BT_I64, [BT_SCALAR_FLOAT] = BT_F32};
    if (d.kind == BT_DYN_TENSOR) {
        return bt_var_dtype(c->l, d.tensor);
    }
    bt_expr e = bt_lower_expr(c, d);
    return e < 0 ? BT_F32 : defaults[bt_expr_type(c->x, e)];
}

bool bt_lower_equal(struct bt_call *c, bt_expr a, int64_t b)
{
    return c->status == BERTC_OK && bt_graph_same(c->g, a, bt_expr_int(c->x, b));
}

struct bt_arg bt_lower_value(struct bt_call *c, struct bt_dyn d)
{
    bt_value value = BT_NO_VALUE;
    if (d.kind == BT_DYN_NONE || c->status != BERTC_OK) {
        return bt_arg_none();
    }
    if (d.kind != BT_DYN_TENSOR) {
        d = bt_lower_number(c, bt_lower_expr(c, d), bt_lower_type(c, d));
    }
    if (c->status == BERTC_OK) {
        bt_lower_ok(c, bt_var_read(c->l, d.tensor, &value, c->err));
    }
    return bt_arg_value(value);
}

struct bt_arg bt_lower_operand(struct bt_call *c, struct bt_dyn d)
{
    return bt_lower_is_number(d) ? bt_arg_expr(bt_lower_expr(c, d)) : bt_lower_value(c, d);
}

struct bt_arg bt_lower_exprs(struct bt_call *c, struct bt_dyn d)
{
    size_t count = bt_lower_count(d);
    bt_expr *list = bt_arena_alloc(c->l->arena, count, sizeof *list);
    if (!memory_ok(c, list != NULL)) {
        return bt_arg_none();
    }
    for (size_t i = 0; i < count; i++) {
        list[i] = bt_lower_expr(c, d.seq->items[i]);
    }
    return bt_arg_exprs(list, (int32_t)count);
}

struct bt_arg bt_lower_ints(struct bt_call *c, const int *values, int count)
{
    bt_expr *list = bt_arena_alloc(c->l->arena, (size_t)count, sizeof *list);
    if (!memory_ok(c, list != NULL)) {
        return bt_arg_none();
    }
    for (int i = 0; i < count; i++) {
        list[i] = bt_expr_int(c->x, values[i]);
    }
    return bt_arg_exprs(list, count);
}

struct bt_dyn bt_lower_integer(struct bt_call *c, int64_t value)
{
    return bt_dyn_scalar(bt_expr_int(c->x, value));
}

struct bt_dyn bt_lower_real(struct bt_call *c, double value)
{
    return bt_dyn_scalar(bt_expr_float(c->x, value));
}

static struct bt_dyn from_var(struct bt_call *c, struct bt_var *var)
{
    return memory_ok(c, var != NULL) ? bt_dyn_tensor(var) : bt_dyn_none();
}

struct bt_dyn bt_lower_tensor(struct bt_call *c, bt_value value)
{
    return c->status == BERTC_OK ? from_var(c, bt_var_new(c->l, value)) : bt_dyn_none();
}

struct bt_dyn bt_lower_number(struct bt_call *c, bt_expr number, enum bt_dtype dtype)
{
    bt_lower_checked(c, number);
    return c->status == BERTC_OK ? from_var(c, bt_var_number(c->l, number, dtype)) : bt_dyn_none();
}

struct bt_dyn bt_lower_seq(struct bt_call *c, enum bt_dyn_kind kind, const struct bt_dyn *items, size_t count)
{
    struct bt_dyn out = bt_dyn_none();
    if (c->status == BERTC_OK) {
        memory_ok(c, bt_dyn_seq(c->l, kind, items, count, &out));
    }
    return out;
}

void bt_lower_append(struct bt_call *c, struct bt_dyn *list, struct bt_dyn item)
{
    if (c->status == BERTC_OK) {
        memory_ok(c, bt_dyn_append(c->l, list, item));
    }
}

struct bt_dyn bt_lower_node(struct bt_call *c, enum bt_op op, int nargs, const struct bt_arg *args)
{
    bt_value out[BT_MAX_OUTS];
    if (c->status != BERTC_OK || !bt_lower_ok(c, bt_graph_node(c->g, op, args, nargs, out, c->err))) {
        return bt_dyn_none();
    }
    return bt_lower_tensor(c, out[0]);
}

struct bt_dyn bt_lower_pair(struct bt_call *c, enum bt_op op, int nargs, const struct bt_arg *args)
{
    bt_value out[BT_MAX_OUTS];
    if (c->status != BERTC_OK || !bt_lower_ok(c, bt_graph_node(c->g, op, args, nargs, out, c->err))) {
        return bt_dyn_none();
    }
    const struct bt_dyn items[] = {bt_lower_tensor(c, out[0]), bt_lower_tensor(c, out[1])};
    return bt_lower_seq(c, BT_DYN_TUPLE, items, 2);
}

struct bt_dyn bt_lower_view(struct bt_call *c, struct bt_dyn base, enum bt_op op, int nargs, const struct bt_arg *args)
{
    if (base.kind != BT_DYN_TENSOR && c->status == BERTC_OK) {
        base = bt_lower_number(c, bt_lower_expr(c, base), bt_lower_type(c, base));
    }
    struct bt_var *var;
    if (c->status != BERTC_OK || !bt_lower_ok(c, bt_var_view(c->l, base.tensor, op, args, nargs, &var, c->err))) {
        return bt_dyn_none();
    }
    return bt_dyn_tensor(var);
}

static int category(enum bt_dtype dtype)
{
    return bt_dtype_is_float(dtype) ? 2 : dtype != BT_BOOL;
}

enum bt_dtype bt_lower_default(enum bt_dtype dtype)
{
    static const enum bt_dtype defaults[] = {BT_BOOL, BT_I64, BT_F32};
    return defaults[category(dtype)];
}

/* Whether a 0-dim tensor whose number is known promotes among `args` as a plain number would: it yields to tensors with
 * dimensions of its category or a higher one, and a number of its category has its dtype. */
static bool promotes_as_number(struct bt_call *c, const struct bt_var *var, int count, const struct bt_arg *args)
{
    bool scalars = false;
    for (int i = 0; i < count && c->status == BERTC_OK; i++) {
        if (args[i].kind != BT_ARG_VALUE) {
            continue;
        }
        const struct bt_value_info *info = &c->g->values[args[i].value];
        if (info->rank > 0 && category(info->dtype) >= category(var->dtype)) {
            return true;
        }
        scalars |= info->rank == 0;
    }
    return var->plain || (!scalars && var->dtype == bt_lower_default(var->dtype));
}

struct bt_dyn bt_lower_apply(struct bt_call *c, enum bt_op op, int count, const struct bt_dyn *operands)
{
    struct bt_arg args[3];
    int values = 0, tensor = -1;
    for (int i = 0; i < count; i++) {
        args[i] = bt_lower_operand(c, operands[i]);
        values += args[i].kind == BT_ARG_VALUE;
        if (operands[i].kind == BT_DYN_TENSOR && tensor < 0) {
            tensor = i;
        }
    }
    struct bt_dyn out = bt_dyn_none();
    if (values == 0 && c->status == BERTC_OK) {
        if (bt_number_apply(c, op, count, operands, &out)) {
            return out;
        }
        if (tensor < 0) {
            bt_lower_fail(c, BERTC_UNSUPPORTED, "of plain numbers is not implemented");
            return out;
        }
        args[tensor] = bt_lower_value(c, operands[tensor]);
    }
    for (int i = 0; i < count; i++) {
        bool number = args[i].kind == BT_ARG_EXPR && operands[i].kind == BT_DYN_TENSOR;
        if (number && !promotes_as_number(c, operands[i].tensor, count, args)) {
            args[i] = bt_lower_value(c, operands[i]);
        }
    }
    return bt_lower_node(c, op, count, args);
}

struct bt_dyn bt_lower_unary(struct bt_call *c, enum bt_op op, struct bt_dyn a)
{
    return bt_lower_apply(c, op, 1, &a);
}

struct bt_dyn bt_lower_binary(struct bt_call *c, enum bt_op op, struct bt_dyn a, struct bt_dyn b)
{
    return bt_lower_apply(c, op, 2, (struct bt_dyn[]){a, b});
}

struct bt_dyn bt_lower_cast(struct bt_call *c, struct bt_dyn d, enum bt_dtype dtype)
{
    if (bt_lower_is_number(d)) {
        return bt_lower_number(c, bt_number_convert(c->x, bt_lower_expr(c, d), dtype), dtype);
    }
    return bt_lower_node(c, BT_OP_CAST, 2, (struct bt_arg[]){bt_lower_value(c, d), bt_arg_dtype(dtype)});
}
