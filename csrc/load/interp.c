/* interp.c: run TorchScript code on values that build a graph: functions and statements */
#include "load/interp.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "load/interp_state.h"

/* Hostile code must not hang, nor exhaust stack or memory. */
#define MAX_STEPS 4000000
#define MAX_DEPTH 1000
#define MAX_TURNS 65536
#define MAX_MEMORY ((size_t)256 << 20) /* of the build's values and graph */

/* How a block of statements ended. */
enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE, FLOW_RETURN };

static enum bertc_status run_block(struct bt_interp *in, const struct bt_ts_block *block, enum flow *flow,
                                   struct bt_dyn *result, struct bertc_error *err);

enum bertc_status bt_interp_error(const struct bt_interp *in, struct bertc_error *err, enum bertc_status status,
                                  const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return bt_error_set(err, status, "%s:%d: %s", in->frame->file->member, in->line, text);
}

enum bertc_status bt_interp_enter(struct bt_interp *in, struct bertc_error *err)
{
    if (++in->steps > MAX_STEPS) {
        return bt_interp_error(in, err, BERTC_UNSUPPORTED, "the code takes more than %d steps", MAX_STEPS);
    }
    if (in->depth == MAX_DEPTH) {
        return bt_interp_error(in, err, BERTC_UNSUPPORTED, "calls and expressions nest more than %d levels", MAX_DEPTH);
    }
    if (in->lower.arena->total + in->lower.graph->arena.total > MAX_MEMORY) {
        return bt_interp_error(in, err, BERTC_UNSUPPORTED, "its values take more than %zu MB", MAX_MEMORY >> 20);
    }
    in->depth++;
    return BERTC_OK;
}

void bt_interp_leave(struct bt_interp *in)
{
    in->depth--;
}

/* An unbound parameter's default, which sees no local names. */
static enum bertc_status default_value(struct bt_interp *in, const struct bt_ts_file *file,
                                       const struct bt_ts_function *f, const struct bt_ts_param *param,
                                       struct bt_dyn *out, struct bertc_error *err)
{
    if (!param->fallback) {
        return bt_interp_error(in, err, BERTC_FORMAT, "%s() is called without its argument '%s'", f->name, param->name);
    }
    const struct bt_frame frame = {.file = file}, *caller = in->frame;
    in->frame = &frame;
    enum bertc_status status = bt_interp_eval(in, param->fallback, out, err);
    in->frame = caller;
    return status;
}

/* The number of the parameter, param_count when there is none of that name. */
static size_t find_param(const struct bt_ts_function *f, const char *name)
{
    size_t i = 0;
    while (i < f->param_count && strcmp(f->params[i].name, name) != 0) {
        i++;
    }
    return i;
}

static enum bertc_status bind(struct bt_interp *in, const struct bt_ts_file *file, const struct bt_ts_function *f,
                              const struct bt_aten_args *args, struct bt_local *locals, struct bertc_error *err)
{
    for (size_t i = 0; i < args->count; i++) {
        const char *name = args->names ? args->names[i] : NULL;
        size_t slot = name ? find_param(f, name) : i;
        if (slot >= f->param_count || locals[slot].bound) {
            return bt_interp_error(in, err, BERTC_FORMAT, "%s() does not take argument %zu%s%s", f->name, i + 1,
                                   name ? " named " : "", name ? name : "");
        }
        locals[slot] = (struct bt_local){true, args->items[i]};
    }
    for (size_t i = 0; i < f->param_count; i++) {
        if (locals[i].bound) {
            continue;
        }
        enum bertc_status status = default_value(in, file, f, &f->params[i], &locals[i].value, err);
        if (status) {
            return status;
        }
        locals[i].bound = true;
    }
    return BERTC_OK;
}

enum bertc_status bt_interp_function(struct bt_interp *in, const struct bt_ts_file *file,
                                     const struct bt_ts_function *f, const struct bt_aten_args *args,
                                     struct bt_dyn *out, struct bertc_error *err)
{
    enum bertc_status status = bt_interp_enter(in, err);
    if (status) {
        return status;
    }
    in->steps += (int64_t)f->local_count;
    struct bt_local *locals = bt_arena_alloc(in->lower.arena, f->local_count, sizeof *locals);
    if (!locals) {
        return bt_error_memory(err);
    }
    if ((status = bind(in, file, f, args, locals, err))) {
        return status;
    }
    const struct bt_frame frame = {file, locals}, *caller = in->frame;
    int line = in->line;
    enum flow flow = FLOW_NEXT;
    *out = bt_dyn_none();
    in->frame = &frame;
    status = run_block(in, &f->body, &flow, out, err);
    in->frame = caller;
    in->line = line;
    bt_interp_leave(in);
    return status;
}

static enum bertc_status assign(struct bt_interp *in, const struct bt_ts_expr *target, const struct bt_dyn *value,
                                struct bertc_error *err)
{
    if (target->kind != BT_TS_NAME) {
        return bt_interp_error(in, err, BERTC_UNSUPPORTED,
                               "it assigns to the attribute '%s'; a model that changes itself is not supported",
                               target->text);
    }
    in->frame->locals[target->integer] = (struct bt_local){true, *value};
    return BERTC_OK;
}

static enum bertc_status run_assign(struct bt_interp *in, const struct bt_ts_stmt *s, enum flow *flow,
                                    struct bt_dyn *result, struct bertc_error *err)
{
    (void)flow;
    (void)result;
    struct bt_dyn value;
    enum bertc_status status = bt_interp_eval(in, s->value, &value, err);
    if (status) {
        return status;
    }
    if (!s->unpack) {
        return assign(in, s->targets[0], &value, err);
    }
    if (value.kind != BT_DYN_TUPLE && value.kind != BT_DYN_LIST) {
        return bt_interp_error(in, err, BERTC_INPUT, "expected a tuple or list of %zu to unpack, found %s",
                               s->target_count, bt_dyn_type_name(&in->lower, &value));
    }
    if (value.seq->count != s->target_count) {
        return bt_interp_error(in, err, BERTC_INPUT, "expected %zu values to unpack, found %zu", s->target_count,
                               value.seq->count);
    }
    for (size_t i = 0; !status && i < s->target_count; i++) {
        status = assign(in, s->targets[i], &value.seq->items[i], err);
    }
    return status;
}

static enum bertc_status run_expr(struct bt_interp *in, const struct bt_ts_stmt *s, enum flow *flow,
                                  struct bt_dyn *result, struct bertc_error *err)
{
    (void)flow;
    (void)result;
    struct bt_dyn ignored;
    return bt_interp_eval(in, s->value, &ignored, err);
}

static enum bertc_status run_return(struct bt_interp *in, const struct bt_ts_stmt *s, enum flow *flow,
                                    struct bt_dyn *result, struct bertc_error *err)
{
    *flow = FLOW_RETURN;
    return s->value ? bt_interp_eval(in, s->value, result, err) : BERTC_OK;
}

static enum bertc_status run_condition(struct bt_interp *in, const struct bt_ts_expr *e, bool *out,
                                       struct bertc_error *err)
{
    struct bt_dyn value;
    enum bertc_status status = bt_interp_eval(in, e, &value, err);
    return status ? status : bt_interp_decide(in, &value, out, err);
}

static enum bertc_status run_if(struct bt_interp *in, const struct bt_ts_stmt *s, enum flow *flow,
                                struct bt_dyn *result, struct bertc_error *err)
{
    bool taken;
    enum bertc_status status = run_condition(in, s->value, &taken, err);
    return status ? status : run_block(in, taken ? &s->body : &s->orelse, flow, result, err);
}

/* One turn of a loop; *done tells that the loop is over. */
static enum bertc_status run_turn(struct bt_interp *in, const struct bt_ts_stmt *s, enum flow *flow,
                                  struct bt_dyn *result, int64_t turn, bool *done, struct bertc_error *err)
{
    if (turn == MAX_TURNS) {
        return bt_interp_error(in, err, BERTC_UNSUPPORTED, "a loop takes more than %d turns", MAX_TURNS);
    }
    enum bertc_status status = run_block(in, &s->body, flow, result, err);
    *done = *flow == FLOW_BREAK || *flow == FLOW_RETURN;
    if (*flow != FLOW_RETURN) {
        *flow = FLOW_NEXT;
    }
    return status;
}

static enum bertc_status run_while(struct bt_interp *in, const struct bt_ts_stmt *s, enum flow *flow,
                                   struct bt_dyn *result, struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    bool done = false;
    for (int64_t turn = 0; !status && !done; turn++) {
        bool again;
        if ((status = run_condition(in, s->value, &again, err)) || !again) {
            return status;
        }
        status = run_turn(in, s, flow, result, turn, &done, err);
    }
    return status;
}

/* The integer that a bound of range() is in the present call, guarded. */
static enum bertc_status fix_integer(struct bt_interp *in, const struct bt_dyn *value, int64_t *out,
                                     struct bertc_error *err)
{
    struct bt_graph *g = in->lower.graph;
    bt_expr e;
    enum bertc_status status = bt_aten_to_int(&in->lower, value, &e, err);
    if (status) {
        return status;
    }
    *out = e < 0 ? 0 : bt_expr_hint(g->exprs, e).i;
    if (e < 0 || !bt_graph_same(g, e, bt_expr_int(g->exprs, *out))) {
        return bt_interp_error(in, err, BERTC_UNSUPPORTED, "the bound of a loop cannot be decided");
    }
    return BERTC_OK;
}

static enum bertc_status run_range(struct bt_interp *in, const struct bt_ts_stmt *s, const struct bt_dyn *range,
                                   enum flow *flow, struct bt_dyn *result, struct bertc_error *err)
{
    int64_t bounds[3] = {0, 0, 1}; /* start, stop, step */
    enum bertc_status status = BERTC_OK;
    for (int i = 0; i < 3; i++) {
        if ((status = fix_integer(in, &range->seq->items[i], &bounds[i], err))) {
            return status;
        }
    }
    if (bounds[2] == 0) {
        return bt_interp_error(in, err, BERTC_INPUT, "the step of range() is 0");
    }
    bool done = false;
    int64_t at = bounds[0];
    for (int64_t turn = 0; !status && !done && (bounds[2] > 0 ? at < bounds[1] : at > bounds[1]); turn++) {
        struct bt_dyn index = bt_dyn_scalar(bt_expr_int(in->lower.graph->exprs, at));
        if (!(status = assign(in, s->targets[0], &index, err))) {
            status = run_turn(in, s, flow, result, turn, &done, err);
        }
        if (!bt_add_i64(at, bounds[2], &at)) {
            break;
        }
    }
    return status;
}

static enum bertc_status run_for(struct bt_interp *in, const struct bt_ts_stmt *s, enum flow *flow,
                                 struct bt_dyn *result, struct bertc_error *err)
{
    struct bt_dyn list;
    enum bertc_status status = bt_interp_eval(in, s->value, &list, err);
    if (status) {
        return status;
    }
    if (list.kind == BT_DYN_RANGE) {
        return run_range(in, s, &list, flow, result, err);
    }
    if (list.kind != BT_DYN_LIST && list.kind != BT_DYN_TUPLE && list.kind != BT_DYN_DICT) {
        return bt_interp_error(in, err, BERTC_UNSUPPORTED, "a loop over a value of type %s",
                               bt_dyn_type_name(&in->lower, &list));
    }
    bool done = false;
    for (size_t i = 0; !status && !done && i < list.seq->count; i++) {
        const struct bt_dyn *item = list.kind == BT_DYN_DICT ? &list.seq->keys[i] : &list.seq->items[i];
        if (!(status = assign(in, s->targets[0], item, err))) {
            status = run_turn(in, s, flow, result, (int64_t)i, &done, err);
        }
    }
    return status;
}

static enum bertc_status run_pass(struct bt_interp *in, const struct bt_ts_stmt *s, enum flow *flow,
                                  struct bt_dyn *result, struct bertc_error *err)
{
    (void)in;
    (void)result;
    (void)err;
    *flow = s->kind == BT_TS_BREAK ? FLOW_BREAK : s->kind == BT_TS_CONTINUE ? FLOW_CONTINUE : FLOW_NEXT;
    return BERTC_OK;
}

static enum bertc_status run_assert(struct bt_interp *in, const struct bt_ts_stmt *s, enum flow *flow,
                                    struct bt_dyn *result, struct bertc_error *err)
{
    (void)flow;
    (void)result;
    bool holds;
    enum bertc_status status = run_condition(in, s->value, &holds, err);
    if (!status && !holds) {
        return bt_interp_error(in, err, BERTC_INPUT, "the model's own check of its arguments fails here");
    }
    return status;
}

static enum bertc_status run_with(struct bt_interp *in, const struct bt_ts_stmt *s, enum flow *flow,
                                  struct bt_dyn *result, struct bertc_error *err)
{
    (void)s;
    (void)flow;
    (void)result;
    return bt_interp_error(in, err, BERTC_UNSUPPORTED, "'with' statements are not supported");
}

static enum bertc_status run_block(struct bt_interp *in, const struct bt_ts_block *block, enum flow *flow,
                                   struct bt_dyn *result, struct bertc_error *err)
{
    static enum bertc_status (*const run[BT_TS_STMT_KINDS])(struct bt_interp *in, const struct bt_ts_stmt *s,
                                                            enum flow *flow, struct bt_dyn *result,
                                                            struct bertc_error *err) = {
        [BT_TS_ASSIGN] = run_assign, [BT_TS_EXPR] = run_expr,     [BT_TS_RETURN] = run_return, [BT_TS_IF_STMT] = run_if,
        [BT_TS_FOR] = run_for,       [BT_TS_WHILE] = run_while,   [BT_TS_PASS] = run_pass,     [BT_TS_BREAK] = run_pass,
        [BT_TS_CONTINUE] = run_pass, [BT_TS_ASSERT] = run_assert, [BT_TS_WITH] = run_with,
    };
    enum bertc_status status = bt_interp_enter(in, err);
    for (size_t i = 0; !status && *flow == FLOW_NEXT && i < block->count; i++) {
        const struct bt_ts_stmt *s = block->items[i];
        in->line = s->line;
        status = run[s->kind](in, s, flow, result, err);
    }
    bt_interp_leave(in);
    return status;
}

/* The module and the inputs as forward declares them. */
static enum bertc_status make_arguments(struct bt_interp *in, const struct bt_ts_function *forward,
                                        const struct bt_tree *inputs, size_t count, struct bt_dyn *items,
                                        struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    items[0] = bt_dyn_object(in->script->root);
    for (size_t i = 0; !status && i < count; i++) {
        const struct bt_ts_param *param = &forward->params[i + 1];
        if (!(status = bt_dyn_from_tree(&in->lower, &inputs[i], &items[i + 1], err)) && param->type &&
            (status = bt_interp_coerce(in, param->type, &items[i + 1], err))) {
            bt_error_prefix(err, "argument '%s'", param->name);
        }
    }
    return status;
}

static enum bertc_status run_forward(struct bt_interp *in, const struct bt_ts_file *file,
                                     const struct bt_ts_function *forward, const struct bt_tree *inputs, size_t count,
                                     struct bertc_error *err)
{
    const struct bt_script *script = in->script;
    const struct bt_frame frame = {.file = file};
    struct bt_arena *arena = in->lower.arena;
    in->frame = &frame;
    in->line = forward->line;
    in->constant_count = script->constants ? script->constants->size : 0;
    in->attributes = bt_arena_alloc(arena, script->attribute_count, sizeof *in->attributes);
    in->constants = bt_arena_alloc(arena, in->constant_count, sizeof *in->constants);
    struct bt_dyn *items = bt_arena_alloc(arena, count + 1, sizeof *items);
    if (!in->attributes || !in->constants || !items) {
        return bt_error_memory(err);
    }
    struct bt_dyn result;
    const struct bt_aten_args args = {.items = items, .count = count + 1};
    enum bertc_status status;
    if ((status = make_arguments(in, forward, inputs, count, items, err)) ||
        (status = bt_interp_function(in, file, forward, &args, &result, err))) {
        return status;
    }
    return bt_dyn_to_tree(&in->lower, &result, &in->lower.graph->output, err);
}

enum bertc_status bt_interp_build(const struct bt_script *script, const struct bt_ts_file *file,
                                  const struct bt_ts_function *forward, const struct bt_tree *inputs, size_t count,
                                  struct bt_graph *graph, struct bertc_error *err)
{
    struct bt_arena arena = {0};
    struct bt_interp in = {.lower = {.graph = graph, .arena = &arena}, .script = script};
    in.lower.integer_div = script->version < 4;
    in.lower.float_full = script->version < 5;
    enum bertc_status status = run_forward(&in, file, forward, inputs, count, err);
    bt_arena_free(&arena);
    return status;
}
