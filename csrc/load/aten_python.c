/* aten_python.c: Python's lists, dictionaries and comparisons of values other than tensors */
#include <string.h>

#include "load/lower.h"

void bt_aten_len(struct bt_call *c)
{
    struct bt_dyn x = c->args[0];
    if (x.kind == BT_DYN_TENSOR) {
        c->out = bt_dyn_scalar(bt_lower_size(c, x, 0));
    } else {
        c->out = bt_lower_integer(c, (int64_t)(x.kind == BT_DYN_STRING ? strlen(x.text) : bt_lower_count(x)));
    }
}

/* The index of an item, counted from the end when negative. False, with the call failed, when out of range. */
static bool item_index(struct bt_call *c, int i, size_t *out)
{
    int64_t at = bt_lower_int(c, c->args[i]), count = (int64_t)bt_lower_count(c->args[0]);
    if (at < -count || at >= count) {
        bt_lower_fail(c, BERTC_INPUT, "index %lld in a list of %lld items", (long long)at, (long long)count);
        return false;
    }
    *out = (size_t)(at < 0 ? at + count : at);
    return c->status == BERTC_OK;
}

void bt_aten_list_get(struct bt_call *c)
{
    size_t at;
    if (item_index(c, 1, &at)) {
        c->out = c->args[0].seq->items[at];
    }
}

void bt_aten_list_set(struct bt_call *c)
{
    size_t at;
    if (item_index(c, 1, &at)) {
        c->args[0].seq->items[at] = c->args[2];
    }
    c->out = c->args[0];
}

void bt_aten_list_append(struct bt_call *c)
{
    bt_lower_append(c, &c->args[0], c->args[1]);
    c->out = c->args[0];
}

void bt_aten_list_extend(struct bt_call *c)
{
    size_t count = bt_lower_count(c->args[1]); /* fixed first: a list may extend itself */
    for (size_t i = 0; i < count; i++) {
        bt_lower_append(c, &c->args[0], c->args[1].seq->items[i]);
    }
}

/* A bound of a slice: counted from the end when negative, then clamped. */
static int64_t slice_bound(struct bt_call *c, int i, int64_t low, int64_t high, int64_t fallback)
{
    if (!bt_lower_given(c, i)) {
        return fallback;
    }
    int64_t at = bt_lower_int(c, c->args[i]);
    at = at < 0 ? at + (int64_t)bt_lower_count(c->args[0]) : at;
    return at < low ? low : at > high ? high : at;
}

void bt_aten_list_insert(struct bt_call *c)
{
    size_t at = (size_t)slice_bound(c, 1, 0, (int64_t)bt_lower_count(c->args[0]), 0);
    bt_lower_append(c, &c->args[0], c->args[2]);
    if (c->status != BERTC_OK) {
        return;
    }
    struct bt_dyn_items *seq = c->args[0].seq;
    memmove(seq->items + at + 1, seq->items + at, (seq->count - 1 - at) * sizeof *seq->items);
    seq->items[at] = c->args[2];
}

void bt_aten_list_pop(struct bt_call *c)
{
    size_t at;
    if (!item_index(c, 1, &at)) {
        return;
    }
    struct bt_dyn_items *seq = c->args[0].seq;
    c->out = seq->items[at];
    memmove(seq->items + at, seq->items + at + 1, (seq->count - 1 - at) * sizeof *seq->items);
    seq->count--;
}

void bt_aten_list_reverse(struct bt_call *c)
{
    struct bt_dyn_items *seq = c->args[0].seq;
    for (size_t i = 0; i < seq->count / 2; i++) {
        struct bt_dyn item = seq->items[i];
        seq->items[i] = seq->items[seq->count - 1 - i];
        seq->items[seq->count - 1 - i] = item;
    }
}

void bt_aten_list_clear(struct bt_call *c)
{
    c->args[0].seq->count = 0;
}

void bt_aten_list_copy(struct bt_call *c)
{
    c->out = bt_lower_seq(c, BT_DYN_LIST, c->args[0].seq->items, bt_lower_count(c->args[0]));
}

static void extend(struct bt_call *c, struct bt_dyn list)
{
    for (size_t i = 0; i < bt_lower_count(list); i++) {
        bt_lower_append(c, &c->out, list.seq->items[i]);
    }
}

void bt_aten_list_concat(struct bt_call *c)
{
    bt_aten_list_copy(c);
    extend(c, c->args[1]);
}

void bt_aten_list_repeat(struct bt_call *c)
{
    int64_t times = bt_lower_int(c, c->args[1]);
    if (times > 0 && bt_lower_count(c->args[0]) > (size_t)(65536 / times)) {
        bt_lower_fail(c, BERTC_UNSUPPORTED, "makes a list of more than 65536 items");
    }
    c->out = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (int64_t i = 0; i < times && c->status == BERTC_OK && bt_lower_count(c->args[0]) > 0; i++) {
        extend(c, c->args[0]);
    }
}

/* list, start, end, step */
void bt_aten_list_slice(struct bt_call *c)
{
    int64_t count = (int64_t)bt_lower_count(c->args[0]), step = bt_lower_int(c, c->args[3]);
    if (step == 0) {
        bt_lower_fail(c, BERTC_INPUT, "a list is sliced with step 0");
    }
    /* a longer step than the list takes one item too */
    step = step > count ? count + 1 : step < -count ? -count - 1 : step;
    bool back = step < 0;
    int64_t low = back ? -1 : 0, high = back ? count - 1 : count;
    int64_t start = slice_bound(c, 1, low, high, back ? high : low);
    int64_t end = slice_bound(c, 2, low, high, back ? low : high);
    c->out = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (int64_t i = start; (back ? i > end : i < end) && c->status == BERTC_OK; i += step) {
        bt_lower_append(c, &c->out, c->args[0].seq->items[i]);
    }
}

void bt_aten_list_sum(struct bt_call *c)
{
    c->out = bt_lower_integer(c, 0);
    for (size_t i = 0; i < bt_lower_count(c->args[0]); i++) {
        c->out = bt_lower_binary(c, BT_OP_ADD, c->out, c->args[0].seq->items[i]);
    }
}

/* max, min, any, all of a list: the detail combines two items */
void bt_aten_list_fold(struct bt_call *c)
{
    size_t count = bt_lower_count(c->args[0]);
    if (count == 0 && (c->detail == BT_OP_LOGICAL_OR || c->detail == BT_OP_LOGICAL_AND)) {
        c->out = bt_dyn_scalar(bt_expr_bool(c->x, c->detail == BT_OP_LOGICAL_AND));
        return;
    }
    if (count == 0) {
        bt_lower_fail(c, BERTC_INPUT, "the list is empty");
        return;
    }
    c->out = c->args[0].seq->items[0];
    for (size_t i = 1; i < count; i++) {
        c->out = bt_lower_binary(c, (enum bt_op)c->detail, c->out, c->args[0].seq->items[i]);
    }
}

/* Python's ==, decided at build time; tensors are equal only to themselves. */
static bool equal(struct bt_call *c, const struct bt_dyn *a, const struct bt_dyn *b, int depth)
{
    if (a->kind == BT_DYN_SCALAR && b->kind == BT_DYN_SCALAR) {
        return bt_graph_decide(c->g, bt_expr_binary(c->x, BT_EXPR_EQ, a->scalar, b->scalar));
    }
    if (a->kind != b->kind || depth > 16) {
        return false;
    }
    switch (a->kind) {
    case BT_DYN_STRING: return strcmp(a->text, b->text) == 0;
    case BT_DYN_TENSOR: return a->tensor == b->tensor;
    case BT_DYN_OBJECT: return a->object == b->object;
    case BT_DYN_LIST:
    case BT_DYN_TUPLE: break;
    default: return a->seq == b->seq;
    }
    if (a->seq->count != b->seq->count) {
        return false;
    }
    for (size_t i = 0; i < a->seq->count; i++) {
        if (!equal(c, &a->seq->items[i], &b->seq->items[i], depth + 1)) {
            return false;
        }
    }
    return true;
}

static void answer(struct bt_call *c, bool value)
{
    c->out = bt_dyn_scalar(bt_expr_bool(c->x, value));
}

/* ==, or with the detail false != */
void bt_aten_equal(struct bt_call *c)
{
    answer(c, equal(c, &c->args[0], &c->args[1], 0) == (bool)c->detail);
}

/* is, or with the detail false is not: in practice `x is None` */
void bt_aten_is_same(struct bt_call *c)
{
    struct bt_dyn a = c->args[0], b = c->args[1];
    bool same = a.kind == b.kind && (a.seq || b.seq ? a.seq == b.seq : equal(c, &a, &b, 0));
    answer(c, same == (bool)c->detail);
}

void bt_aten_list_contains(struct bt_call *c)
{
    bool found = false;
    for (size_t i = 0; i < bt_lower_count(c->args[0]) && !found; i++) {
        found = equal(c, &c->args[0].seq->items[i], &c->args[1], 0);
    }
    answer(c, found);
}

void bt_aten_dict_get(struct bt_call *c)
{
    const struct bt_dyn *value = bt_dyn_dict_get(c->l, &c->args[0], &c->args[1]);
    if (value) {
        c->out = *value;
    } else {
        bt_lower_fail(c, BERTC_INPUT, "the dictionary has no key \"%s\"",
                      c->args[1].kind == BT_DYN_STRING ? c->args[1].text : bt_dyn_type_name(c->l, &c->args[1]));
    }
}

/* self, key, default */
void bt_aten_dict_get_or(struct bt_call *c)
{
    const struct bt_dyn *value = bt_dyn_dict_get(c->l, &c->args[0], &c->args[1]);
    c->out = value ? *value : c->args[2];
}

void bt_aten_dict_set(struct bt_call *c)
{
    if (!bt_dyn_dict_set(c->l, &c->args[0], c->args[1], c->args[2])) {
        bt_lower_ok(c, bt_error_memory(c->err));
    }
}

void bt_aten_dict_contains(struct bt_call *c)
{
    answer(c, bt_dyn_dict_get(c->l, &c->args[0], &c->args[1]) != NULL);
}

void bt_aten_dict_keys(struct bt_call *c)
{
    c->out = bt_lower_seq(c, BT_DYN_LIST, c->args[0].seq->keys, bt_lower_count(c->args[0]));
}

void bt_aten_dict_values(struct bt_call *c)
{
    bt_aten_list_copy(c);
}

void bt_aten_dict_items(struct bt_call *c)
{
    const struct bt_dyn_items *seq = c->args[0].seq;
    c->out = bt_lower_seq(c, BT_DYN_LIST, NULL, 0);
    for (size_t i = 0; i < seq->count; i++) {
        const struct bt_dyn pair[] = {seq->keys[i], seq->items[i]};
        bt_lower_append(c, &c->out, bt_lower_seq(c, BT_DYN_TUPLE, pair, 2));
    }
}
