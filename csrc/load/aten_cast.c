/* aten_cast.c: copies and conversions: to, type_as, clone, and what is the tensor itself on a CPU */
#include "load/lower.h"

/* contiguous, alias, ...: the same variable */
void bt_aten_same(struct bt_call *c)
{
    c->out = c->args[0];
}

/* A new variable of the same value: writes to one do not show in the other. */
static struct bt_dyn copied(struct bt_call *c, struct bt_dyn x)
{
    if (x.kind != BT_DYN_TENSOR) {
        return x;
    }
    if (x.tensor->number >= 0) {
        return bt_lower_number(c, x.tensor->number, bt_lower_type(c, x));
    }
    return bt_lower_tensor(c, bt_lower_value(c, x).value);
}

/* The same variable, but a constant that promoted as a number becomes a tensor like any other. */
void bt_aten_detach(struct bt_call *c)
{
    struct bt_dyn x = c->args[0];
    c->out = x.kind == BT_DYN_TENSOR && x.tensor->plain ? copied(c, x) : x;
}

void bt_aten_clone(struct bt_call *c)
{
    c->out = copied(c, c->args[0]);
}

static void convert(struct bt_call *c, enum bt_dtype dtype, bool copy)
{
    struct bt_dyn x = c->args[0];
    if (bt_lower_type(c, x) != dtype) {
        c->out = bt_lower_cast(c, x, dtype);
    } else {
        c->out = copy ? copied(c, x) : x;
    }
}

/* self, dtype, ..., copy: the detail is the position of copy */
void bt_aten_to(struct bt_call *c)
{
    convert(c, bt_lower_dtype(c, c->args[1], bt_lower_type(c, c->args[0])), bt_lower_bool(c, c->args[c->detail]));
}

/* self, device, dtype, non_blocking, copy */
void bt_aten_to_device(struct bt_call *c)
{
    convert(c, bt_lower_dtype(c, c->args[2], bt_lower_type(c, c->args[0])), bt_lower_bool(c, c->args[4]));
}

/* self, other, non_blocking, copy */
void bt_aten_to_other(struct bt_call *c)
{
    convert(c, bt_lower_type(c, c->args[1]), bt_lower_bool(c, c->args[3]));
}

void bt_aten_type_as(struct bt_call *c)
{
    convert(c, bt_lower_type(c, c->args[1]), false);
}

/* The dtype is the detail. */
void bt_aten_cast(struct bt_call *c)
{
    convert(c, (enum bt_dtype)c->detail, false);
}

/* self, src: the value that copy_, fill_ write into self, which the in-place rule casts and expands */
void bt_aten_replace(struct bt_call *c)
{
    c->out = copied(c, c->args[1]);
}

void bt_aten_zero(struct bt_call *c)
{
    c->out = bt_lower_integer(c, 0);
}

/* self, non_blocking, copy */
void bt_aten_to_prim(struct bt_call *c)
{
    convert(c, bt_lower_type(c, c->args[0]), bt_lower_bool(c, c->args[2]));
}
