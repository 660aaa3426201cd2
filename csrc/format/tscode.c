/* tscode.c: parse the statements, functions and classes of serialised TorchScript code */
#include "format/tscode.h"

#include <string.h>

#include "base/text.h"
#include "format/tsparse.h"

static enum bertc_status parse_block(struct bt_ts_parser *p, struct bt_ts_block *block, struct bertc_error *err);

static enum bertc_status end_of_line(struct bt_ts_parser *p, struct bertc_error *err)
{
    if (p->lex.token.kind != BT_TS_TOKEN_NEWLINE) {
        return bt_tsparse_unexpected(p, "the end of the statement", err);
    }
    return bt_tslex_next(&p->lex, err);
}

static enum bertc_status parse_return(struct bt_ts_parser *p, struct bt_ts_stmt *s, struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    if (p->lex.token.kind != BT_TS_TOKEN_NEWLINE) {
        status = bt_tsparse_exprs(p, &s->value, err);
    }
    return status ? status : end_of_line(p, err);
}

static enum bertc_status parse_assert(struct bt_ts_parser *p, struct bt_ts_stmt *s, struct bertc_error *err)
{
    struct bt_ts_expr *message;
    bool comma;
    enum bertc_status status;
    if ((status = bt_tsparse_expr(p, &s->value, err)) || (status = bt_tsparse_accept(p, ',', &comma, err)) ||
        (comma && (status = bt_tsparse_expr(p, &message, err)))) {
        return status;
    }
    return end_of_line(p, err);
}

static enum bertc_status parse_bare(struct bt_ts_parser *p, struct bt_ts_stmt *s, struct bertc_error *err)
{
    (void)s;
    return end_of_line(p, err);
}

static enum bertc_status parse_if(struct bt_ts_parser *p, struct bt_ts_stmt *s, struct bertc_error *err)
{
    bool found;
    enum bertc_status status;
    if ((status = bt_tsparse_expr(p, &s->value, err)) || (status = parse_block(p, &s->body, err)) ||
        (status = bt_tsparse_accept_word(p, "else", &found, err))) {
        return status;
    }
    return found ? parse_block(p, &s->orelse, err) : BERTC_OK;
}

static enum bertc_status parse_while(struct bt_ts_parser *p, struct bt_ts_stmt *s, struct bertc_error *err)
{
    enum bertc_status status = bt_tsparse_expr(p, &s->value, err);
    return status ? status : parse_block(p, &s->body, err);
}

/* The targets of an assignment: copied, each a name or an attribute. */
static enum bertc_status set_targets(struct bt_ts_parser *p, struct bt_ts_stmt *s, struct bt_ts_expr *const *targets,
                                     size_t count, struct bertc_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (targets[i]->kind != BT_TS_NAME && targets[i]->kind != BT_TS_ATTR) {
            return bt_tsparse_unexpected(p, "a name or an attribute as the target of this assignment", err);
        }
    }
    s->targets = bt_arena_copy(p->arena, targets, count * sizeof *targets);
    s->target_count = count;
    return s->targets ? BERTC_OK : bt_error_memory(err);
}

static enum bertc_status parse_for(struct bt_ts_parser *p, struct bt_ts_stmt *s, struct bertc_error *err)
{
    struct bt_ts_expr *target = bt_arena_alloc(p->arena, 1, sizeof *target);
    bool found;
    enum bertc_status status;
    if (!target) {
        return bt_error_memory(err);
    }
    target->kind = BT_TS_NAME;
    target->line = p->lex.token.line;
    if ((status = bt_tsparse_name(p, &target->text, err)) ||
        (status = bt_tsparse_slot(p, target->text, &target->integer, err)) ||
        (status = set_targets(p, s, &target, 1, err)) || (status = bt_tsparse_accept_word(p, "in", &found, err))) {
        return status;
    }
    if (!found) {
        return bt_tsparse_unexpected(p, "'in'", err);
    }
    return parse_while(p, s, err);
}

static enum bertc_status parse_with(struct bt_ts_parser *p, struct bt_ts_stmt *s, struct bertc_error *err)
{
    bool found;
    enum bertc_status status;
    if ((status = bt_tsparse_expr(p, &s->value, err)) || (status = bt_tsparse_accept_word(p, "as", &found, err))) {
        return status;
    }
    struct bt_ts_expr *target;
    if (found && ((status = bt_tsparse_expr(p, &target, err)) || (status = set_targets(p, s, &target, 1, err)))) {
        return status;
    }
    return parse_block(p, &s->body, err);
}

/* An expression, or `target = value`, `a, b, = value`, `name : type = value`. */
static enum bertc_status parse_assign(struct bt_ts_parser *p, struct bt_ts_stmt *s, struct bertc_error *err)
{
    struct bt_ts_expr *left;
    bool found;
    enum bertc_status status;
    if ((status = bt_tsparse_exprs(p, &left, err)) || (status = bt_tsparse_accept(p, ':', &found, err))) {
        return status;
    }
    struct bt_ts_type *type;
    if (found && (status = bt_tsparse_type(p, &type, err))) {
        return status;
    }
    if ((status = bt_tsparse_accept(p, '=', &found, err))) {
        return status;
    }
    if (!found) {
        s->kind = BT_TS_EXPR;
        s->value = left;
        return end_of_line(p, err);
    }
    s->kind = BT_TS_ASSIGN;
    s->unpack = left->kind == BT_TS_TUPLE || left->kind == BT_TS_LIST;
    status = s->unpack ? set_targets(p, s, left->args, left->count, err) : set_targets(p, s, &left, 1, err);
    if (status || (status = bt_tsparse_exprs(p, &s->value, err))) {
        return status;
    }
    return end_of_line(p, err);
}

static enum bertc_status parse_statement(struct bt_ts_parser *p, struct bt_ts_stmt **out, struct bertc_error *err)
{
    static const struct {
        const char *word;
        enum bt_ts_stmt_kind kind;
        enum bertc_status (*parse)(struct bt_ts_parser *p, struct bt_ts_stmt *s, struct bertc_error *err);
    } forms[] = {
        {"return", BT_TS_RETURN, parse_return}, {"if", BT_TS_IF_STMT, parse_if},
        {"for", BT_TS_FOR, parse_for},          {"while", BT_TS_WHILE, parse_while},
        {"pass", BT_TS_PASS, parse_bare},       {"break", BT_TS_BREAK, parse_bare},
        {"with", BT_TS_WITH, parse_with},       {"continue", BT_TS_CONTINUE, parse_bare},
        {"assert", BT_TS_ASSERT, parse_assert},
    };

    struct bt_ts_stmt *s = bt_arena_alloc(p->arena, 1, sizeof *s);
    if (!s) {
        return bt_error_memory(err);
    }
    s->line = p->lex.token.line;
    *out = s;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (bt_tsparse_at_word(p, forms[i].word)) {
            s->kind = forms[i].kind;
            enum bertc_status status = bt_tslex_next(&p->lex, err);
            return status ? status : forms[i].parse(p, s, err);
        }
    }
    return parse_assign(p, s, err);
}

/* ':', the end of the line and a deeper indentation. */
static enum bertc_status open_block(struct bt_ts_parser *p, struct bertc_error *err)
{
    enum bertc_status status;
    if ((status = bt_tsparse_expect(p, ':', err)) || (status = end_of_line(p, err))) {
        return status;
    }
    if (p->lex.token.kind != BT_TS_TOKEN_INDENT) {
        return bt_tsparse_unexpected(p, "an indented block", err);
    }
    return bt_tslex_next(&p->lex, err);
}

static enum bertc_status parse_block(struct bt_ts_parser *p, struct bt_ts_block *block, struct bertc_error *err)
{
    size_t cap = 0;
    enum bertc_status status;
    if ((status = bt_tsparse_enter(p, err)) || (status = open_block(p, err))) {
        return status;
    }
    while (p->lex.token.kind != BT_TS_TOKEN_DEDENT) {
        if (!bt_arena_reserve(p->arena, &block->items, &cap, block->count + 1, sizeof *block->items)) {
            return bt_error_memory(err);
        }
        if ((status = parse_statement(p, &block->items[block->count], err))) {
            return status;
        }
        block->count++;
    }
    p->depth--;
    return bt_tslex_next(&p->lex, err);
}

/* The parameters up to the closing parenthesis, which is consumed; they get the slots 0, 1, ... */
static enum bertc_status parse_params(struct bt_ts_parser *p, struct bt_map *locals, struct bt_ts_function *f,
                                      struct bertc_error *err)
{
    enum bertc_status status;
    size_t cap = 0;
    bool comma = true;
    while (comma && !bt_tsparse_at(p, ')')) {
        struct bt_ts_param param = {0};
        bool found;
        if ((status = bt_tsparse_name(p, &param.name, err)) || (status = bt_tsparse_accept(p, ':', &found, err)) ||
            (found && (status = bt_tsparse_type(p, &param.type, err))) ||
            (status = bt_tsparse_accept(p, '=', &found, err)) ||
            (found && (status = bt_tsparse_expr(p, &param.fallback, err))) ||
            (status = bt_tsparse_accept(p, ',', &comma, err))) {
            return status;
        }
        size_t other;
        if (bt_map_get(locals, param.name, strlen(param.name), &other)) {
            return bt_tsparse_unexpected(p, "parameters with different names before this", err);
        }
        if (!bt_map_put(locals, p->arena, param.name, strlen(param.name), f->param_count) ||
            !bt_arena_reserve(p->arena, &f->params, &cap, f->param_count + 1, sizeof *f->params)) {
            return bt_error_memory(err);
        }
        f->params[f->param_count++] = param;
    }
    return bt_tsparse_expect(p, ')', err);
}

/* A function, behind `def`. */
static enum bertc_status parse_function(struct bt_ts_parser *p, struct bt_map *locals, struct bt_ts_function **out,
                                        struct bertc_error *err)
{
    struct bt_ts_function *f = bt_arena_alloc(p->arena, 1, sizeof *f);
    if (!f) {
        return bt_error_memory(err);
    }
    bool found;
    enum bertc_status status;
    bt_map_clear(locals);
    f->line = p->lex.token.line;
    if ((status = bt_tsparse_name(p, &f->name, err)) || (status = bt_tsparse_expect(p, '(', err)) ||
        (status = parse_params(p, locals, f, err)) ||
        (status = bt_tsparse_accept(p, BT_TS_PUNCT('-', '>'), &found, err)) ||
        (found && (status = bt_tsparse_type(p, &f->result, err)))) {
        return status;
    }
    p->locals = locals;
    status = parse_block(p, &f->body, err);
    p->locals = NULL;
    f->local_count = locals->count;
    *out = f;
    return status;
}

/* Takes a list that the class assigns under a name with two underscores. */
static void class_list(struct bt_ts_class *c, const char *name, const struct bt_ts_expr *value)
{
    if (!strcmp(name, "__parameters__")) {
        c->parameters = value;
    } else if (!strcmp(name, "__forward_hooks__") || !strcmp(name, "__forward_pre_hooks__")) {
        c->has_hooks = c->has_hooks || value->count > 0;
    }
}

static enum bertc_status add_field(struct bt_ts_parser *p, struct bt_ts_class *c, size_t *cap, struct bt_ts_field field,
                                   struct bertc_error *err)
{
    if (!bt_arena_reserve(p->arena, &c->fields, cap, c->field_count + 1, sizeof *c->fields)) {
        return bt_error_memory(err);
    }
    c->fields[c->field_count++] = field;
    return BERTC_OK;
}

/* `name : type`, `name : type = value`, `name = value`, `__annotations__["name"] = type`. */
static enum bertc_status parse_field(struct bt_ts_parser *p, struct bt_ts_class *c, size_t *cap,
                                     struct bertc_error *err)
{
    struct bt_ts_field field = {0};
    bool found;
    enum bertc_status status;
    if ((status = bt_tsparse_name(p, &field.name, err)) || (status = bt_tsparse_accept(p, '[', &found, err))) {
        return status;
    }
    if (found) {
        struct bt_ts_expr *name;
        if ((status = bt_tsparse_expr(p, &name, err)) || (status = bt_tsparse_expect(p, ']', err)) ||
            (status = bt_tsparse_expect(p, '=', err)) || (status = bt_tsparse_type(p, &field.type, err))) {
            return status;
        }
        if (name->kind != BT_TS_STRING) {
            return bt_tsparse_unexpected(p, "a name in quotes between the brackets", err);
        }
        field.name = name->text;
        status = add_field(p, c, cap, field, err);
        return status ? status : end_of_line(p, err);
    }
    bool typed;
    if ((status = bt_tsparse_accept(p, ':', &typed, err)) ||
        (typed && (status = bt_tsparse_type(p, &field.type, err))) ||
        (status = bt_tsparse_accept(p, '=', &found, err)) ||
        (found && (status = bt_tsparse_expr(p, &field.value, err)))) {
        return status;
    }
    if (!typed && !found) {
        return bt_tsparse_unexpected(p, "':' or '='", err);
    }
    if (strncmp(field.name, "__", 2) != 0) {
        status = add_field(p, c, cap, field, err);
    } else if (field.value) {
        class_list(c, field.name, field.value);
    }
    return status ? status : end_of_line(p, err);
}

/* A class, behind `class`. */
static enum bertc_status parse_class(struct bt_ts_parser *p, struct bt_map *locals, struct bt_ts_class **out,
                                     struct bertc_error *err)
{
    struct bt_ts_class *c = bt_arena_alloc(p->arena, 1, sizeof *c);
    if (!c) {
        return bt_error_memory(err);
    }
    bool found;
    enum bertc_status status;
    c->base = "";
    *out = c;
    if ((status = bt_tsparse_name(p, &c->name, err)) || (status = bt_tsparse_accept(p, '(', &found, err))) {
        return status;
    }
    if (found && !bt_tsparse_at(p, ')') && (status = bt_tsparse_name(p, &c->base, err))) {
        return status;
    }
    if ((found && (status = bt_tsparse_expect(p, ')', err))) || (status = open_block(p, err))) {
        return status;
    }
    size_t method_cap = 0, field_cap = 0;
    while (p->lex.token.kind != BT_TS_TOKEN_DEDENT) {
        if ((status = bt_tsparse_accept_word(p, "pass", &found, err))) {
            return status;
        }
        if (found) {
            status = end_of_line(p, err);
        } else if ((status = bt_tsparse_accept_word(p, "def", &found, err)) || !found) {
            status = status ? status : parse_field(p, c, &field_cap, err);
        } else if (!bt_arena_reserve(p->arena, &c->methods, &method_cap, c->method_count + 1, sizeof *c->methods)) {
            return bt_error_memory(err);
        } else if (!(status = parse_function(p, locals, &c->methods[c->method_count], err))) {
            c->method_count++;
        }
        if (status) {
            return status;
        }
    }
    return bt_tslex_next(&p->lex, err);
}

/* `import a.b` and `op_version_set = 1` say nothing that the archive does not say elsewhere. */
static enum bertc_status skip_line(struct bt_ts_parser *p, struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    if (!bt_tsparse_at_word(p, "import") && !bt_tsparse_at_word(p, "op_version_set")) {
        return bt_tsparse_unexpected(p, "a class or a function", err);
    }
    while (!status && p->lex.token.kind != BT_TS_TOKEN_NEWLINE) {
        status = bt_tslex_next(&p->lex, err);
    }
    return status ? status : end_of_line(p, err);
}

static enum bertc_status parse_file(struct bt_ts_parser *p, struct bt_ts_file *file, struct bertc_error *err)
{
    struct bt_map locals = {0};
    size_t class_cap = 0, function_cap = 0;
    while (p->lex.token.kind != BT_TS_TOKEN_END) {
        bool found;
        enum bertc_status status = bt_tsparse_accept_word(p, "class", &found, err);
        if (status) {
            return status;
        }
        if (found) {
            if (!bt_arena_reserve(p->arena, &file->classes, &class_cap, file->class_count + 1, sizeof *file->classes)) {
                return bt_error_memory(err);
            }
            status = parse_class(p, &locals, &file->classes[file->class_count], err);
            file->class_count += !status;
        } else if ((status = bt_tsparse_accept_word(p, "def", &found, err)) || !found) {
            status = status ? status : skip_line(p, err);
        } else {
            if (!bt_arena_reserve(p->arena, &file->functions, &function_cap, file->function_count + 1,
                                  sizeof *file->functions)) {
                return bt_error_memory(err);
            }
            status = parse_function(p, &locals, &file->functions[file->function_count], err);
            file->function_count += !status;
        }
        if (status) {
            return status;
        }
    }
    return BERTC_OK;
}

static void add_type(struct bt_text *text, const struct bt_ts_type *type)
{
    bt_text_add(text, "%s", type->name);
    for (size_t i = 0; i < type->count; i++) {
        bt_text_add(text, i ? ", " : "[");
        add_type(text, type->args[i]);
    }
    bt_text_add(text, type->count ? "]" : "");
}

char *bt_tscode_type_text(const struct bt_ts_type *type, struct bt_arena *arena)
{
    struct bt_text text = {0};
    add_type(&text, type);
    size_t size = text.size;
    char *made = bt_text_take(&text);
    char *copy = made ? bt_arena_string(arena, made, size) : NULL;
    bt_free(made);
    return copy;
}

enum bertc_status bt_tscode_parse(const char *member, struct bt_span text, struct bt_arena *arena,
                                  struct bt_ts_file **out, struct bertc_error *err)
{
    struct bt_ts_parser parser = {.arena = arena};
    struct bt_ts_file *file = bt_arena_alloc(arena, 1, sizeof *file);
    if (!file) {
        return bt_error_memory(err);
    }
    file->member = member;
    enum bertc_status status;
    if ((status = bt_tslex_begin(&parser.lex, member, text, arena, err)) || (status = parse_file(&parser, file, err))) {
        return status;
    }
    *out = file;
    return BERTC_OK;
}
