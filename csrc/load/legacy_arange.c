/* legacy_arange.c: free the position ids of torch 1.0-1.2 traces from the traced sequence length */
#include <string.h>

#include "load/legacy.h"

#define MAX_DEPTH 200

/* What the function does with one of its names. */
struct name_use {
    int assignments, reads;
    size_t statement; /* of the last assignment */
    struct bt_ts_expr *value;
};

struct rewrite {
    struct bt_ts_function *f;
    struct bt_arena *arena;
    struct name_use *uses; /* one per local */
};

typedef bool visit_fn(struct rewrite *r, struct bt_ts_expr *e);

/* Calls visit for e and all within it; false when visit says so or the nesting is too deep. */
static bool walk(struct rewrite *r, struct bt_ts_expr *e, visit_fn *visit, int depth)
{
    if (depth == MAX_DEPTH || !visit(r, e)) {
        return false;
    }
    for (size_t i = 0; i < e->count; i++) {
        if (!walk(r, e->args[i], visit, depth + 1)) {
            return false;
        }
    }
    return true;
}

static bool count_read(struct rewrite *r, struct bt_ts_expr *e)
{
    if (e->kind == BT_TS_NAME && e->integer >= 0) {
        r->uses[e->integer].reads++;
    }
    return true;
}

/* A call of torch.<name> with at least `count` positional arguments. */
static bool is_call(const struct bt_ts_expr *e, const char *name, size_t count)
{
    if (!e || e->kind != BT_TS_CALL || e->count < count + 1) {
        return false;
    }
    const struct bt_ts_expr *callee = e->args[0];
    for (size_t i = 1; i <= count; i++) {
        if (e->names[i]) {
            return false;
        }
    }
    return callee->kind == BT_TS_ATTR && !strcmp(callee->text, name) && callee->args[0]->kind == BT_TS_NAME &&
           !strcmp(callee->args[0]->text, "torch");
}

/* The expression behind a name that is assigned once and read once, else e itself; *statement is where it is evaluated.
 * */
static struct bt_ts_expr *resolve(const struct rewrite *r, struct bt_ts_expr *e, size_t *statement)
{
    if (e->kind != BT_TS_NAME || e->integer < 0) {
        return e;
    }
    const struct name_use *use = &r->uses[e->integer];
    if (use->assignments != 1 || use->reads != 1 || !use->value) {
        return e;
    }
    *statement = use->statement;
    return use->value;
}

static struct bt_ts_expr *new_expr(struct rewrite *r, enum bt_ts_expr_kind kind, const char *text, int64_t integer)
{
    struct bt_ts_expr *e = bt_arena_alloc(r->arena, 1, sizeof *e);
    if (e) {
        e->kind = kind;
        e->text = text;
        e->integer = integer;
    }
    return e;
}

/* torch.<name>(a, b); NULL when out of memory */
static struct bt_ts_expr *new_call(struct rewrite *r, const char *name, struct bt_ts_expr *a, struct bt_ts_expr *b)
{
    struct bt_ts_expr *call = new_expr(r, BT_TS_CALL, NULL, 0), *torch = new_expr(r, BT_TS_NAME, "torch", -1);
    struct bt_ts_expr *callee = new_expr(r, BT_TS_ATTR, name, 0);
    struct bt_ts_expr *args[] = {callee, a, b};
    if (!call || !torch || !callee || !a || !b) {
        return NULL;
    }
    callee->args = bt_arena_copy(r->arena, &torch, sizeof torch);
    callee->count = 1;
    call->args = bt_arena_copy(r->arena, args, sizeof args);
    call->names = bt_arena_alloc(r->arena, 3, sizeof *call->names);
    call->count = 3;
    return callee->args && call->args && call->names ? call : NULL;
}

/* The positional arguments of arange: an end, or start and end, or start, end and step 1, all literal. */
static size_t arange_arguments(const struct bt_ts_expr *arange)
{
    size_t count = 0;
    while (count + 1 < arange->count && !arange->names[count + 1] && arange->args[count + 1]->kind == BT_TS_INT) {
        count++;
    }
    bool all = count + 1 == arange->count || arange->names[count + 1];
    return all && (count < 3 || (count == 3 && arange->args[3]->integer == 1)) ? count : 0;
}

static bool free_length(struct rewrite *r, struct bt_ts_expr *e)
{
    size_t statement = 0;
    if (!is_call(e, "expand_as", 2) || e->args[2]->kind != BT_TS_NAME || e->args[2]->integer < 0) {
        return true;
    }
    struct bt_ts_expr *like = e->args[2], *unsqueeze = resolve(r, e->args[1], &statement);
    if (!is_call(unsqueeze, "unsqueeze", 2) || unsqueeze->args[2]->kind != BT_TS_INT ||
        unsqueeze->args[2]->integer != 0) {
        return true;
    }
    struct bt_ts_expr *arange = resolve(r, unsqueeze->args[1], &statement);
    size_t count = is_call(arange, "arange", 1) ? arange_arguments(arange) : 0;
    const struct name_use *known = &r->uses[like->integer];
    bool is_param = (size_t)like->integer < r->f->param_count && known->assignments == 0;
    if (count == 0 || !(is_param || (known->assignments == 1 && known->statement < statement))) {
        return true;
    }
    struct bt_ts_expr *size = new_call(r, "size", like, new_expr(r, BT_TS_INT, NULL, -1));
    size_t end = count == 1 ? 1 : 2;
    arange->args[end] = count == 1 ? size : new_call(r, "add", size, arange->args[1]);
    return arange->args[end] != NULL;
}

enum bertc_status bt_legacy_free_length(struct bt_ts_function *f, struct bt_arena *arena, struct bertc_error *err)
{
    struct rewrite r = {.f = f, .arena = arena};
    r.uses = bt_arena_alloc(arena, f->local_count, sizeof *r.uses);
    if (!r.uses) {
        return bt_error_memory(err);
    }
    for (size_t i = 0; i < f->body.count; i++) {
        const struct bt_ts_stmt *s = f->body.items[i];
        if (s->body.count || (s->value && !walk(&r, s->value, count_read, 0))) {
            return BERTC_OK; /* a trace has neither branches nor such depth */
        }
        for (size_t k = 0; k < s->target_count; k++) {
            if (s->targets[k]->kind == BT_TS_NAME) {
                struct name_use *use = &r.uses[s->targets[k]->integer];
                use->assignments++;
                use->statement = i;
                use->value = s->unpack ? NULL : s->value;
            }
        }
    }
    for (size_t i = 0; i < f->body.count; i++) {
        struct bt_ts_expr *value = f->body.items[i]->value;
        if (value && !walk(&r, value, free_length, 0)) {
            return bt_error_memory(err);
        }
    }
    return BERTC_OK;
}
