/* tsparse.c: tokens, names and types, as the parsers of statements and expressions of TorchScript code need them */
#include "format/tsparse.h"

#include <string.h>

#define MAX_DEPTH 200
#define MAX_LOCALS 65536

bool bt_tsparse_at(const struct bt_ts_parser *p, int punct)
{
    return p->lex.token.kind == BT_TS_TOKEN_PUNCT && p->lex.token.punct == punct;
}

bool bt_tsparse_at_word(const struct bt_ts_parser *p, const char *word)
{
    const struct bt_ts_token *t = &p->lex.token;
    return t->kind == BT_TS_TOKEN_NAME && t->size == strlen(word) && !memcmp(t->text, word, t->size);
}

enum bertc_status bt_tsparse_accept(struct bt_ts_parser *p, int punct, bool *found, struct bertc_error *err)
{
    *found = bt_tsparse_at(p, punct);
    return *found ? bt_tslex_next(&p->lex, err) : BERTC_OK;
}

enum bertc_status bt_tsparse_accept_word(struct bt_ts_parser *p, const char *word, bool *found, struct bertc_error *err)
{
    *found = bt_tsparse_at_word(p, word);
    return *found ? bt_tslex_next(&p->lex, err) : BERTC_OK;
}

enum bertc_status bt_tsparse_unexpected(const struct bt_ts_parser *p, const char *what, struct bertc_error *err)
{
    static const char *const names[] = {
        [BT_TS_TOKEN_END] = "the end of the code",
        [BT_TS_TOKEN_NEWLINE] = "the end of the line",
        [BT_TS_TOKEN_INDENT] = "a deeper indentation",
        [BT_TS_TOKEN_DEDENT] = "the end of the block",
        [BT_TS_TOKEN_INT] = "a number",
        [BT_TS_TOKEN_FLOAT] = "a number",
        [BT_TS_TOKEN_STRING] = "a string",
        [BT_TS_TOKEN_NAME] = NULL,
        [BT_TS_TOKEN_PUNCT] = NULL,
    };
    const struct bt_ts_token *t = &p->lex.token;
    const char *member = p->lex.member;
    if (t->kind == BT_TS_TOKEN_NAME) {
        int shown = t->size > 80 ? 80 : (int)t->size;
        return bt_error_set(err, BERTC_FORMAT, "%s:%d: expected %s, found '%.*s'", member, t->line, what, shown,
                            t->text);
    }
    if (t->kind == BT_TS_TOKEN_PUNCT) {
        char text[3] = {(char)(t->punct & 0xff), (char)(t->punct >> 8), '\0'};
        return bt_error_set(err, BERTC_FORMAT, "%s:%d: expected %s, found '%s'", member, t->line, what, text);
    }
    return bt_error_set(err, BERTC_FORMAT, "%s:%d: expected %s, found %s", member, t->line, what, names[t->kind]);
}

enum bertc_status bt_tsparse_expect(struct bt_ts_parser *p, int punct, struct bertc_error *err)
{
    if (!bt_tsparse_at(p, punct)) {
        char what[] = {'\'', (char)(punct & 0xff), '\'', '\0'};
        return bt_tsparse_unexpected(p, what, err);
    }
    return bt_tslex_next(&p->lex, err);
}

enum bertc_status bt_tsparse_name(struct bt_ts_parser *p, const char **out, struct bertc_error *err)
{
    const struct bt_ts_token *t = &p->lex.token;
    if (t->kind != BT_TS_TOKEN_NAME) {
        return bt_tsparse_unexpected(p, "a name", err);
    }
    *out = bt_arena_string(p->arena, t->text, t->size);
    return *out ? bt_tslex_next(&p->lex, err) : bt_error_memory(err);
}

enum bertc_status bt_tsparse_enter(struct bt_ts_parser *p, struct bertc_error *err)
{
    if (p->depth == MAX_DEPTH) {
        return bt_error_set(err, BERTC_FORMAT, "%s:%d: the code is nested more than %d levels deep", p->lex.member,
                            p->lex.token.line, MAX_DEPTH);
    }
    p->depth++;
    return BERTC_OK;
}

enum bertc_status bt_tsparse_slot(struct bt_ts_parser *p, const char *name, int64_t *out, struct bertc_error *err)
{
    size_t slot;
    if (!p->locals) {
        *out = -1;
        return BERTC_OK;
    }
    if (!bt_map_get(p->locals, name, strlen(name), &slot)) {
        slot = p->locals->count;
        if (slot == MAX_LOCALS) {
            return bt_error_set(err, BERTC_FORMAT, "%s:%d: the function has more than %d names", p->lex.member,
                                p->lex.token.line, MAX_LOCALS);
        }
        if (!bt_map_put(p->locals, p->arena, name, strlen(name), slot)) {
            return bt_error_memory(err);
        }
    }
    *out = (int64_t)slot;
    return BERTC_OK;
}

/* The part of a dotted name behind its first word, which is `name`. */
static enum bertc_status dotted_name(struct bt_ts_parser *p, const char *name, const char **out,
                                     struct bertc_error *err)
{
    while (bt_tsparse_at(p, '.')) {
        const char *part;
        enum bertc_status status = bt_tslex_next(&p->lex, err);
        if (status || (status = bt_tsparse_name(p, &part, err))) {
            return status;
        }
        name = bt_arena_printf(p->arena, "%s.%s", name, part);
        if (!name) {
            return bt_error_memory(err);
        }
    }
    *out = name;
    return BERTC_OK;
}

/* Types up to the closing bracket, which is consumed. */
static enum bertc_status type_list(struct bt_ts_parser *p, int close, struct bt_ts_type *type, struct bertc_error *err)
{
    enum bertc_status status;
    size_t cap = 0;
    while (!bt_tsparse_at(p, close)) {
        struct bt_ts_type *arg;
        if ((status = bt_tsparse_type(p, &arg, err))) {
            return status;
        }
        if (!bt_arena_reserve(p->arena, &type->args, &cap, type->count + 1, sizeof *type->args)) {
            return bt_error_memory(err);
        }
        type->args[type->count++] = arg;
        bool comma;
        if ((status = bt_tsparse_accept(p, ',', &comma, err))) {
            return status;
        }
        if (!comma) {
            break;
        }
    }
    return bt_tsparse_expect(p, close, err);
}

static enum bertc_status type_body(struct bt_ts_parser *p, struct bt_ts_type *type, struct bertc_error *err)
{
    enum bertc_status status;
    bool found;
    if ((status = bt_tsparse_accept(p, '(', &found, err))) {
        return status;
    }
    if (found) { /* Tuple[()] has it, and isinstance's choices */
        type->name = "";
        return type_list(p, ')', type, err);
    }
    if ((status = bt_tsparse_accept(p, '[', &found, err))) {
        return status;
    }
    if (found) {
        type->name = "";
        return type_list(p, ']', type, err);
    }
    const char *name;
    if ((status = bt_tsparse_name(p, &name, err)) || (status = dotted_name(p, name, &type->name, err)) ||
        (status = bt_tsparse_accept(p, '[', &found, err)) || !found) {
        return status;
    }
    status = type_list(p, ']', type, err);
    if (!status && type->count == 1 && type->args[0]->name[0] == '\0' && type->args[0]->count == 0) {
        type->count = 0;
    }
    return status;
}

enum bertc_status bt_tsparse_type(struct bt_ts_parser *p, struct bt_ts_type **out, struct bertc_error *err)
{
    struct bt_ts_type *type = bt_arena_alloc(p->arena, 1, sizeof *type);
    if (!type) {
        return bt_error_memory(err);
    }
    enum bertc_status status = bt_tsparse_enter(p, err);
    if (status) {
        return status;
    }
    status = type_body(p, type, err);
    p->depth--;
    *out = type;
    return status;
}
