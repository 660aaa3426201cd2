/* infer.c: shape and dtype inference: dispatch, messages, and what the rules share */
#include "graph/infer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bt_infer_fn *const rules[BT_OP_COUNT] = {
#define BT_OP(id, name, args, infer, step) [BT_OP_##id] = bt_infer_##infer,
#include "graph/ops.inc"
#undef BT_OP
};

static enum bertc_status check_result(struct bt_inference *in, const struct bt_value_info *info)
{
    struct bt_graph *g = in->g;
    for (int d = 0; d < info->rank && !g->failure; d++) {
        if (info->dims[d] < 0) {
            g->failure = BERTC_INPUT;
        } else if (!bt_expr_is_non_negative(g->exprs, info->dims[d]) &&
                   !bt_graph_decide(g, bt_expr_binary(g->exprs, BT_EXPR_GE, info->dims[d], bt_expr_int(g->exprs, 0)))) {
            return bt_infer_misfit(in, "dimension %d of the result would be %lld", d, bt_infer_hint(in, info->dims[d]));
        }
    }
    return g->failure ? bt_infer_misfit(in, "a dimension overflows or divides by zero") : BERTC_OK;
}

enum bertc_status bt_infer(struct bt_graph *g, struct bt_node *node, struct bt_value_info *infos,
                           struct bertc_error *err)
{
    struct bt_inference in = {g, node, infos, err};
    node->nouts = 1;
    infos[0].rank = 0;
    enum bertc_status status = rules[node->op](&in);
    if (bt_exprs_out_of_memory(g->exprs) || g->failure == BERTC_MEMORY) {
        return bt_error_memory(err);
    }
    for (int i = 0; !status && i < node->nouts; i++) {
        status = check_result(&in, &infos[i]);
    }
    return status;
}

/* ---- messages ---- */

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static void start_message(struct bt_inference *in, enum bertc_status status, const char *fmt, va_list ap)
{
    char text[480];
    vsnprintf(text, sizeof(text), fmt, ap);
    const char *where = in->node->where;
    bt_error_set(in->err, status, "%s%s%s%s: %s", bt_ops[in->node->op].name, where ? " (" : "", or_empty(where),
                 where ? ")" : "", text);
}

enum bertc_status bt_infer_misfit(struct bt_inference *in, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    start_message(in, BERTC_INPUT, fmt, ap);
    va_end(ap);
    const struct bt_graph *g = in->g;
    for (size_t i = 0; i < g->input_count; i++) {
        const struct bt_value_info *info = &g->values[g->inputs[i]];
        bt_error_append(in->err, "%s%s %s", i ? ", " : " (", info->name ? info->name : "?",
                        bt_infer_shape_of(in, info));
    }
    if (g->input_count > 0) {
        bt_error_append(in->err, ")");
    }
    if (g->clamp_note) {
        bt_error_append(in->err, "; %s", g->clamp_note);
    }
    return BERTC_INPUT;
}

enum bertc_status bt_infer_refuse(struct bt_inference *in, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    start_message(in, BERTC_UNSUPPORTED, fmt, ap);
    va_end(ap);
    return BERTC_UNSUPPORTED;
}

long long bt_infer_hint(const struct bt_inference *in, bt_expr e)
{
    return bt_expr_hint(in->g->exprs, e).i;
}

const char *bt_infer_shape(struct bt_inference *in, int rank, const bt_expr *dims)
{
    char text[BT_MAX_RANK * 24] = "";
    size_t size = 0;
    for (int d = 0; d < rank && d < BT_MAX_RANK; d++) {
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%lld", d ? ", " : "", bt_infer_hint(in, dims[d]));
    }
    const char *copy = bt_arena_printf(&in->g->arena, "[%s]", text);
    return copy ? copy : "[?]";
}

const char *bt_infer_shape_of(struct bt_inference *in, const struct bt_value_info *info)
{
    return bt_infer_shape(in, info->rank, info->dims);
}

/* ---- arguments ---- */

static const struct bt_arg *arg_at(const struct bt_inference *in, int i)
{
    static const struct bt_arg none = {.kind = BT_ARG_NONE};
    return i < in->node->nargs ? &in->node->args[i] : &none;
}

/* "'dim'": the name of argument i, for messages. */
static const char *arg_name(struct bt_inference *in, int i)
{
    const char *p = bt_ops[in->node->op].args;
    for (; i > 0 && *p; p++) {
        i -= *p == ' ';
    }
    const char *copy = bt_arena_string(&in->g->arena, p, strcspn(p, " "));
    return copy ? copy : "?";
}

static enum bertc_status wrong_kind(struct bt_inference *in, int i, const char *expected)
{
    return bt_infer_refuse(in, "argument '%s' is not %s", arg_name(in, i), expected);
}

bool bt_infer_given(const struct bt_inference *in, int i)
{
    return arg_at(in, i)->kind != BT_ARG_NONE;
}

enum bertc_status bt_infer_tensor(struct bt_inference *in, int i, const struct bt_value_info **out)
{
    const struct bt_arg *arg = arg_at(in, i);
    if (arg->kind != BT_ARG_VALUE) {
        return wrong_kind(in, i, "a tensor");
    }
    *out = &in->g->values[arg->value];
    return BERTC_OK;
}

enum bertc_status bt_infer_optional(struct bt_inference *in, int i, const struct bt_value_info **out)
{
    *out = NULL;
    return bt_infer_given(in, i) ? bt_infer_tensor(in, i, out) : BERTC_OK;
}

/* The value of e in every call that this graph serves. */
static int64_t fix(struct bt_inference *in, bt_expr e)
{
    struct bt_exprs *x = in->g->exprs;
    int64_t value;
    if (bt_expr_is_int(x, e, &value)) {
        return value;
    }
    value = bt_expr_hint(x, e).i;
    bt_graph_decide(in->g, bt_expr_binary(x, BT_EXPR_EQ, e, bt_expr_int(x, value)));
    return value;
}

enum bertc_status bt_infer_int(struct bt_inference *in, int i, int64_t missing, int64_t *out)
{
    *out = missing;
    if (!bt_infer_given(in, i)) {
        return BERTC_OK;
    }
    bt_expr e;
    enum bertc_status status = bt_infer_expr(in, i, &e);
    if (status) {
        return status;
    }
    *out = fix(in, e);
    return bt_infer_set_int(in, i, *out);
}

enum bertc_status bt_infer_bool(struct bt_inference *in, int i, bool *out)
{
    *out = false;
    if (!bt_infer_given(in, i)) {
        return BERTC_OK;
    }
    const struct bt_arg *arg = arg_at(in, i);
    if (arg->kind != BT_ARG_EXPR) {
        return wrong_kind(in, i, "a bool");
    }
    *out = bt_graph_decide(in->g, arg->expr);
    in->node->args[i].expr = bt_expr_bool(in->g->exprs, *out);
    return BERTC_OK;
}

enum bertc_status bt_infer_number(struct bt_inference *in, int i)
{
    enum bt_arg_kind kind = arg_at(in, i)->kind;
    return kind == BT_ARG_NONE || kind == BT_ARG_EXPR ? BERTC_OK : wrong_kind(in, i, "a number");
}

enum bertc_status bt_infer_expr(struct bt_inference *in, int i, bt_expr *out)
{
    const struct bt_arg *arg = arg_at(in, i);
    if (arg->kind != BT_ARG_EXPR || bt_expr_type(in->g->exprs, arg->expr) == BT_SCALAR_FLOAT) {
        return wrong_kind(in, i, "an integer");
    }
    *out = arg->expr;
    return BERTC_OK;
}

enum bertc_status bt_infer_dtype(struct bt_inference *in, int i, enum bt_dtype *dtype)
{
    const struct bt_arg *arg = arg_at(in, i);
    if (arg->kind == BT_ARG_NONE) {
        return BERTC_OK;
    }
    if (arg->kind != BT_ARG_DTYPE || (unsigned)arg->dtype >= BT_DTYPE_COUNT) {
        return wrong_kind(in, i, "a dtype");
    }
    *dtype = arg->dtype;
    return BERTC_OK;
}

static enum bertc_status wrap_dim(struct bt_inference *in, int64_t dim, int rank, int *out)
{
    int64_t limit = rank > 0 ? rank : 1;
    if (dim < -limit || dim >= limit) {
        return bt_infer_misfit(in, "dimension %lld is out of range for a tensor with %d dimensions", (long long)dim,
                               rank);
    }
    *out = (int)(dim < 0 ? dim + limit : dim);
    return BERTC_OK;
}

enum bertc_status bt_infer_dim(struct bt_inference *in, int i, int rank, int *out)
{
    if (!bt_infer_given(in, i)) {
        return wrong_kind(in, i, "an integer");
    }
    int64_t dim;
    enum bertc_status status = bt_infer_int(in, i, 0, &dim);
    if (!status) {
        status = wrap_dim(in, dim, rank, out);
    }
    return status ? status : bt_infer_set_int(in, i, *out);
}

enum bertc_status bt_infer_list(struct bt_inference *in, int i, const bt_expr **items, int *count)
{
    const struct bt_arg *arg = arg_at(in, i);
    if (arg->kind != BT_ARG_EXPRS) {
        return wrong_kind(in, i, "a list of integers");
    }
    if (arg->count > 2 * BT_MAX_RANK) {
        return bt_infer_refuse(in, "'%s' has %d entries; bertc handles tensors of up to %d dimensions", arg_name(in, i),
                               (int)arg->count, BT_MAX_RANK);
    }
    for (int32_t k = 0; k < arg->count; k++) {
        if (bt_expr_type(in->g->exprs, arg->list[k]) == BT_SCALAR_FLOAT) {
            return wrong_kind(in, i, "a list of integers");
        }
    }
    *items = arg->list;
    *count = arg->count;
    return BERTC_OK;
}

enum bertc_status bt_infer_dims(struct bt_inference *in, int i, int rank, bool *chosen)
{
    const bt_expr *items = NULL;
    bt_expr dims[BT_MAX_RANK];
    int count = 0;
    memset(chosen, 0, BT_MAX_RANK * sizeof(*chosen));
    enum bertc_status status = bt_infer_given(in, i) ? bt_infer_list(in, i, &items, &count) : BERTC_OK;
    if (status) {
        return status;
    }
    if (count == 0) {
        for (int d = 0; d < rank; d++) {
            chosen[d] = true;
            dims[d] = bt_expr_int(in->g->exprs, d);
        }
        return bt_infer_set_list(in, i, dims, rank);
    }
    int used = 0;
    for (int k = 0; k < count; k++) {
        int d = 0;
        status = wrap_dim(in, fix(in, items[k]), rank, &d);
        if (status) {
            return status;
        }
        if (rank == 0) {
            continue;
        }
        if (chosen[d]) {
            return bt_infer_misfit(in, "dimension %d appears twice in '%s'", d, arg_name(in, i));
        }
        chosen[d] = true;
        dims[used++] = bt_expr_int(in->g->exprs, d);
    }
    return bt_infer_set_list(in, i, dims, used);
}

enum bertc_status bt_infer_set_list(struct bt_inference *in, int i, const bt_expr *items, int count)
{
    struct bt_arg *arg = &in->node->args[i];
    size_t size = (size_t)count * sizeof(*items);
    if (arg->kind == BT_ARG_EXPRS && arg->count == count && (count == 0 || memcmp(arg->list, items, size) == 0)) {
        return BERTC_OK;
    }
    bt_expr *list = bt_arena_alloc(&in->g->arena, (size_t)count + 1, sizeof(*list));
    if (!list) {
        return bt_error_memory(in->err);
    }
    memcpy(list, items, size);
    *arg = bt_arg_exprs(list, count);
    return BERTC_OK;
}

enum bertc_status bt_infer_set_int(struct bt_inference *in, int i, int64_t value)
{
    in->node->args[i] = bt_arg_int(in->g, value);
    return in->node->args[i].expr < 0 ? bt_error_memory(in->err) : BERTC_OK;
}

/* ---- results ---- */

void bt_infer_like(struct bt_inference *in, const struct bt_value_info *info)
{
    in->out->dtype = info->dtype;
    in->out->rank = info->rank;
    memcpy(in->out->dims, info->dims, sizeof(info->dims));
}

enum bertc_status bt_infer_add_dim(struct bt_inference *in, bt_expr dim)
{
    if (in->out->rank == BT_MAX_RANK) {
        return bt_infer_refuse(in, "the result has more than %d dimensions", BT_MAX_RANK);
    }
    in->out->dims[in->out->rank++] = dim;
    return BERTC_OK;
}

static bool is_one(struct bt_inference *in, bt_expr e)
{
    struct bt_exprs *x = in->g->exprs;
    int64_t value;
    if (bt_expr_is_int(x, e, &value)) {
        return value == 1;
    }
    return bt_expr_hint(x, e).i == 1 && bt_graph_decide(in->g, bt_expr_binary(x, BT_EXPR_EQ, e, bt_expr_int(x, 1)));
}

/* The common size of two dimensions, or BT_NO_EXPR. Asks for as few guards as it can. */
static bt_expr broadcast_dim(struct bt_inference *in, bt_expr a, bt_expr b)
{
    int64_t value;
    if (a == b) {
        return a;
    }
    if (bt_expr_is_int(in->g->exprs, a, &value) && value == 1) {
        return b;
    }
    if (bt_expr_is_int(in->g->exprs, b, &value) && value == 1) {
        return a;
    }
    if (bt_infer_hint(in, a) == bt_infer_hint(in, b)) {
        return bt_graph_same(in->g, a, b) ? (bt_expr_is_int(in->g->exprs, b, &value) ? b : a) : BT_NO_EXPR;
    }
    if (is_one(in, a)) {
        return b;
    }
    return is_one(in, b) ? a : BT_NO_EXPR;
}

enum bertc_status bt_infer_broadcast(struct bt_inference *in, const struct bt_value_info *info)
{
    struct bt_value_info *out = in->out;
    const struct bt_value_info before = *out;
    if (info->rank > out->rank) {
        memcpy(out->dims, info->dims, sizeof(info->dims));
        out->rank = info->rank;
    }
    int common = info->rank < before.rank ? info->rank : before.rank;
    for (int k = 1; k <= common; k++) {
        bt_expr *dim = &out->dims[out->rank - k];
        *dim = broadcast_dim(in, before.dims[before.rank - k], info->dims[info->rank - k]);
        if (*dim < 0) {
            return bt_infer_misfit(in, "shapes %s and %s do not broadcast in dimension %d",
                                   bt_infer_shape_of(in, &before), bt_infer_shape_of(in, info), out->rank - k);
        }
    }
    return BERTC_OK;
}

enum bertc_status bt_infer_promote(struct bt_inference *in, int first, int last)
{
    if (last >= in->node->nargs) {
        last = in->node->nargs - 1;
    }
    return bt_graph_promote(in->g, &in->node->args[first], last - first + 1, &in->out->dtype, in->err);
}

bool bt_infer_same_shape(struct bt_inference *in, const struct bt_value_info *a, const struct bt_value_info *b)
{
    bool same = a->rank == b->rank;
    for (int d = 0; same && d < a->rank; d++) {
        same = bt_graph_same(in->g, a->dims[d], b->dims[d]);
    }
    return same;
}
