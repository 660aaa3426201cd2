/* tsexpr.c: parse the types and expressions of serialised TorchScript code */
#include "format/tsparse.h"

#include <math.h>
#include <string.h>

/* Precedence of binary operators, Python's order. */
enum {
    LEVEL_OR = 1,
    LEVEL_AND,
    LEVEL_NOT,
    LEVEL_COMPARE,
    LEVEL_BITOR,
    LEVEL_BITXOR,
    LEVEL_BITAND,
    LEVEL_SHIFT,
    LEVEL_SUM,
    LEVEL_PRODUCT,
    LEVEL_POWER
};

struct operator {
    const char *text; /* as the tree names it, and the first word of it in the source */
    int punct;        /* 0: a word */
    int level;
    const char *two_words; /* "is not": when the second word follows */
};

static const struct operator operators[] = {
    {"or", 0, LEVEL_OR, NULL},
    {"and", 0, LEVEL_AND, NULL},
    {"is", 0, LEVEL_COMPARE, "is not"},
    {"not", 0, LEVEL_COMPARE, "not in"},
    {"in", 0, LEVEL_COMPARE, NULL},
    {"==", BT_TS_PUNCT('=', '='), LEVEL_COMPARE, NULL},
    {"!=", BT_TS_PUNCT('!', '='), LEVEL_COMPARE, NULL},
    {"<=", BT_TS_PUNCT('<', '='), LEVEL_COMPARE, NULL},
    {">=", BT_TS_PUNCT('>', '='), LEVEL_COMPARE, NULL},
    {"<", '<', LEVEL_COMPARE, NULL},
    {">", '>', LEVEL_COMPARE, NULL},
    {"|", '|', LEVEL_BITOR, NULL},
    {"^", '^', LEVEL_BITXOR, NULL},
    {"&", '&', LEVEL_BITAND, NULL},
    {"<<", BT_TS_PUNCT('<', '<'), LEVEL_SHIFT, NULL},
    {">>", BT_TS_PUNCT('>', '>'), LEVEL_SHIFT, NULL},
    {"+", '+', LEVEL_SUM, NULL},
    {"-", '-', LEVEL_SUM, NULL},
    {"*", '*', LEVEL_PRODUCT, NULL},
    {"/", '/', LEVEL_PRODUCT, NULL},
    {"%", '%', LEVEL_PRODUCT, NULL},
    {"//", BT_TS_PUNCT('/', '/'), LEVEL_PRODUCT, NULL},
    {"@", '@', LEVEL_PRODUCT, NULL},
    {"**", BT_TS_PUNCT('*', '*'), LEVEL_POWER, NULL},
};

/* Expressions of a call or literal while they are being read. */
struct list {
    struct bt_ts_expr **items;
    const char **names;
    size_t count, cap, name_cap;
};

static bool list_add(struct bt_ts_parser *p, struct list *list, struct bt_ts_expr *item, const char *name)
{
    size_t need = list->count + 1;
    if (!bt_arena_reserve(p->arena, &list->items, &list->cap, need, sizeof *list->items) ||
        !bt_arena_reserve(p->arena, &list->names, &list->name_cap, need, sizeof *list->names)) {
        return false;
    }
    list->items[list->count] = item;
    list->names[list->count++] = name;
    return true;
}

/* A new expression with the given operands, which are copied. */
static enum bertc_status make(struct bt_ts_parser *p, enum bt_ts_expr_kind kind, int line,
                              struct bt_ts_expr *const *args, size_t count, struct bt_ts_expr **out,
                              struct bertc_error *err)
{
    struct bt_ts_expr *e = bt_arena_alloc(p->arena, 1, sizeof *e);
    if (!e) {
        return bt_error_memory(err);
    }
    e->kind = kind;
    e->line = line;
    e->count = count;
    if (count) {
        e->args = bt_arena_copy(p->arena, args, count * sizeof *args);
        if (!e->args) {
            return bt_error_memory(err);
        }
    }
    *out = e;
    return BERTC_OK;
}

/* Items up to the closing bracket, which is consumed; *comma tells whether one followed the last item. */
static enum bertc_status items_until(struct bt_ts_parser *p, int close, struct list *list, bool *comma,
                                     struct bertc_error *err)
{
    enum bertc_status status;
    *comma = true;
    while (*comma && !bt_tsparse_at(p, close)) {
        struct bt_ts_expr *item;
        if ((status = bt_tsparse_expr(p, &item, err)) || (status = bt_tsparse_accept(p, ',', comma, err))) {
            return status;
        }
        if (!list_add(p, list, item, NULL)) {
            return bt_error_memory(err);
        }
    }
    return bt_tsparse_expect(p, close, err);
}

static enum bertc_status parse_parens(struct bt_ts_parser *p, int line, struct bt_ts_expr **out,
                                      struct bertc_error *err)
{
    struct list list = {0};
    bool comma;
    enum bertc_status status = items_until(p, ')', &list, &comma, err);
    if (status) {
        return status;
    }
    if (list.count == 1 && !comma) {
        *out = list.items[0];
        return BERTC_OK;
    }
    return make(p, BT_TS_TUPLE, line, list.items, list.count, out, err);
}

static enum bertc_status parse_list(struct bt_ts_parser *p, int line, struct bt_ts_expr **out, struct bertc_error *err)
{
    struct list list = {0};
    bool comma;
    enum bertc_status status = items_until(p, ']', &list, &comma, err);
    return status ? status : make(p, BT_TS_LIST, line, list.items, list.count, out, err);
}

static enum bertc_status parse_dict(struct bt_ts_parser *p, int line, struct bt_ts_expr **out, struct bertc_error *err)
{
    struct list list = {0};
    enum bertc_status status;
    bool comma = true;
    while (comma && !bt_tsparse_at(p, '}')) {
        struct bt_ts_expr *key, *value;
        if ((status = bt_tsparse_expr(p, &key, err)) || (status = bt_tsparse_expect(p, ':', err)) ||
            (status = bt_tsparse_expr(p, &value, err)) || (status = bt_tsparse_accept(p, ',', &comma, err))) {
            return status;
        }
        if (!list_add(p, &list, key, NULL) || !list_add(p, &list, value, NULL)) {
            return bt_error_memory(err);
        }
    }
    status = bt_tsparse_expect(p, '}', err);
    return status ? status : make(p, BT_TS_DICT, line, list.items, list.count, out, err);
}

/* annotate(T, x), unchecked_cast(T, x), uninitialized(T), isinstance(x, T), behind the opening parenthesis. */
static enum bertc_status parse_typed(struct bt_ts_parser *p, enum bt_ts_expr_kind kind, int line,
                                     struct bt_ts_expr **out, struct bertc_error *err)
{
    enum bertc_status status;
    struct bt_ts_type *type = NULL;
    struct bt_ts_expr *operand = NULL;
    bool comma;
    if (kind == BT_TS_ISINSTANCE) {
        if ((status = bt_tsparse_expr(p, &operand, err)) || (status = bt_tsparse_expect(p, ',', err)) ||
            (status = bt_tsparse_type(p, &type, err))) {
            return status;
        }
    } else if ((status = bt_tsparse_type(p, &type, err))) {
        return status;
    } else if (kind == BT_TS_ANNOTATE &&
               ((status = bt_tsparse_expect(p, ',', err)) || (status = bt_tsparse_expr(p, &operand, err)))) {
        return status;
    }
    if ((status = bt_tsparse_accept(p, ',', &comma, err)) || (status = bt_tsparse_expect(p, ')', err)) ||
        (status = make(p, kind, line, &operand, operand != NULL, out, err))) {
        return status;
    }
    (*out)->type = type;
    return BERTC_OK;
}

/* getattr(x, "name") reads as x.name. */
static enum bertc_status parse_getattr(struct bt_ts_parser *p, int line, struct bt_ts_expr **out,
                                       struct bertc_error *err)
{
    enum bertc_status status;
    struct bt_ts_expr *object;
    bool comma;
    if ((status = bt_tsparse_expr(p, &object, err)) || (status = bt_tsparse_expect(p, ',', err))) {
        return status;
    }
    struct bt_ts_token name = p->lex.token;
    if (name.kind != BT_TS_TOKEN_STRING) {
        return bt_tsparse_unexpected(p, "an attribute name in quotes", err);
    }
    if ((status = bt_tslex_next(&p->lex, err)) || (status = bt_tsparse_accept(p, ',', &comma, err)) ||
        (status = bt_tsparse_expect(p, ')', err)) || (status = make(p, BT_TS_ATTR, line, &object, 1, out, err))) {
        return status;
    }
    (*out)->text = name.text;
    return BERTC_OK;
}

static enum bertc_status parse_name(struct bt_ts_parser *p, int line, struct bt_ts_expr **out, struct bertc_error *err)
{
    static const struct {
        const char *word;
        enum bt_ts_expr_kind kind;
    } words[] = {{"None", BT_TS_NONE}, {"True", BT_TS_TRUE}, {"False", BT_TS_FALSE}};
    static const struct {
        const char *word;
        enum bt_ts_expr_kind kind;
    } typed[] = {{"annotate", BT_TS_ANNOTATE},
                 {"unchecked_cast", BT_TS_ANNOTATE},
                 {"uninitialized", BT_TS_UNINITIALIZED},
                 {"isinstance", BT_TS_ISINSTANCE}};

    const char *name;
    enum bertc_status status = bt_tsparse_name(p, &name, err);
    if (status) {
        return status;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!strcmp(name, words[i].word)) {
            return make(p, words[i].kind, line, NULL, 0, out, err);
        }
    }
    if (!strcmp(name, "inf") || !strcmp(name, "nan")) {
        status = make(p, BT_TS_FLOAT, line, NULL, 0, out, err);
        if (!status) {
            (*out)->number = name[0] == 'i' ? (double)INFINITY : (double)NAN;
        }
        return status;
    }
    if (bt_tsparse_at(p, '(')) {
        for (size_t i = 0; i < sizeof typed / sizeof typed[0]; i++) {
            if (!strcmp(name, typed[i].word)) {
                status = bt_tslex_next(&p->lex, err);
                return status ? status : parse_typed(p, typed[i].kind, line, out, err);
            }
        }
        if (!strcmp(name, "getattr")) {
            status = bt_tslex_next(&p->lex, err);
            return status ? status : parse_getattr(p, line, out, err);
        }
    }
    if ((status = make(p, BT_TS_NAME, line, NULL, 0, out, err))) {
        return status;
    }
    (*out)->text = name;
    (*out)->size = strlen(name);
    return bt_tsparse_slot(p, name, &(*out)->integer, err);
}

static enum bertc_status parse_int(struct bt_ts_parser *p, bool negative, struct bt_ts_expr **out,
                                   struct bertc_error *err)
{
    uint64_t magnitude = p->lex.token.magnitude;
    if (magnitude > (uint64_t)INT64_MAX + negative) {
        return bt_error_set(err, BERTC_FORMAT, "%s:%d: an integer beyond 64 bits", p->lex.member, p->lex.token.line);
    }
    enum bertc_status status = make(p, BT_TS_INT, p->lex.token.line, NULL, 0, out, err);
    if (status) {
        return status;
    }
    (*out)->integer = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return bt_tslex_next(&p->lex, err);
}

static enum bertc_status parse_atom(struct bt_ts_parser *p, struct bt_ts_expr **out, struct bertc_error *err)
{
    static const struct {
        int punct;
        enum bertc_status (*parse)(struct bt_ts_parser *p, int line, struct bt_ts_expr **out, struct bertc_error *err);
    } brackets[] = {{'(', parse_parens}, {'[', parse_list}, {'{', parse_dict}};

    struct bt_ts_token token = p->lex.token;
    enum bertc_status status;
    switch (token.kind) {
    case BT_TS_TOKEN_NAME: return parse_name(p, token.line, out, err);
    case BT_TS_TOKEN_INT: return parse_int(p, false, out, err);
    case BT_TS_TOKEN_FLOAT:
    case BT_TS_TOKEN_STRING:
        status = make(p, token.kind == BT_TS_TOKEN_FLOAT ? BT_TS_FLOAT : BT_TS_STRING, token.line, NULL, 0, out, err);
        if (status) {
            return status;
        }
        (*out)->number = token.number;
        (*out)->text = token.text;
        (*out)->size = token.size;
        return bt_tslex_next(&p->lex, err);
    default: break;
    }
    for (size_t i = 0; i < sizeof brackets / sizeof brackets[0]; i++) {
        if (bt_tsparse_at(p, brackets[i].punct)) {
            status = bt_tslex_next(&p->lex, err);
            return status ? status : brackets[i].parse(p, token.line, out, err);
        }
    }
    return bt_tsparse_unexpected(p, "an expression", err);
}

/* The arguments of a call, behind the opening parenthesis. */
static enum bertc_status parse_call(struct bt_ts_parser *p, struct bt_ts_expr **callee, struct bertc_error *err)
{
    struct list list = {0};
    enum bertc_status status;
    bool comma = true;
    if (!list_add(p, &list, *callee, NULL)) {
        return bt_error_memory(err);
    }
    while (comma && !bt_tsparse_at(p, ')')) {
        struct bt_ts_expr *value;
        const char *name = NULL;
        bool keyword;
        if ((status = bt_tsparse_expr(p, &value, err)) || (status = bt_tsparse_accept(p, '=', &keyword, err))) {
            return status;
        }
        if (keyword) {
            if (value->kind != BT_TS_NAME) {
                return bt_tsparse_unexpected(p, "a keyword before '='", err);
            }
            name = value->text;
            if ((status = bt_tsparse_expr(p, &value, err))) {
                return status;
            }
        }
        if (!list_add(p, &list, value, name)) {
            return bt_error_memory(err);
        }
        if ((status = bt_tsparse_accept(p, ',', &comma, err))) {
            return status;
        }
    }
    if ((status = bt_tsparse_expect(p, ')', err)) ||
        (status = make(p, BT_TS_CALL, (*callee)->line, list.items, list.count, callee, err))) {
        return status;
    }
    (*callee)->names = list.names;
    return BERTC_OK;
}

static enum bertc_status omitted_or(struct bt_ts_parser *p, int end, struct bt_ts_expr **out, struct bertc_error *err)
{
    bool omitted = bt_tsparse_at(p, end) || bt_tsparse_at(p, ']');
    return omitted ? make(p, BT_TS_NONE, p->lex.token.line, NULL, 0, out, err) : bt_tsparse_expr(p, out, err);
}

/* x[i] or x[a:b], behind the opening bracket. */
static enum bertc_status parse_subscript(struct bt_ts_parser *p, struct bt_ts_expr **object, struct bertc_error *err)
{
    struct bt_ts_expr *args[3] = {*object, NULL, NULL};
    bool slice;
    enum bertc_status status;
    if (bt_tsparse_at(p, ']')) {
        return bt_tsparse_unexpected(p, "an index", err);
    }
    if ((status = omitted_or(p, ':', &args[1], err)) || (status = bt_tsparse_accept(p, ':', &slice, err)) ||
        (slice && (status = omitted_or(p, ']', &args[2], err))) || (status = bt_tsparse_expect(p, ']', err))) {
        return status;
    }
    return make(p, slice ? BT_TS_SLICE : BT_TS_INDEX, (*object)->line, args, slice ? 3 : 2, object, err);
}

static enum bertc_status parse_postfix(struct bt_ts_parser *p, struct bt_ts_expr **out, struct bertc_error *err)
{
    enum bertc_status status = parse_atom(p, out, err);
    while (!status) {
        if (bt_tsparse_at(p, '.')) {
            const char *name;
            if (!(status = bt_tslex_next(&p->lex, err)) && !(status = bt_tsparse_name(p, &name, err)) &&
                !(status = make(p, BT_TS_ATTR, (*out)->line, out, 1, out, err))) {
                (*out)->text = name;
            }
        } else if (bt_tsparse_at(p, '(')) {
            status = bt_tslex_next(&p->lex, err);
            status = status ? status : parse_call(p, out, err);
        } else if (bt_tsparse_at(p, '[')) {
            status = bt_tslex_next(&p->lex, err);
            status = status ? status : parse_subscript(p, out, err);
        } else {
            break;
        }
    }
    return status;
}

static enum bertc_status parse_binary(struct bt_ts_parser *p, int level, struct bt_ts_expr **out,
                                      struct bertc_error *err);

static enum bertc_status parse_unary(struct bt_ts_parser *p, struct bt_ts_expr **out, struct bertc_error *err)
{
    int line = p->lex.token.line;
    enum bertc_status status;
    bool found;
    if ((status = bt_tsparse_accept_word(p, "not", &found, err))) {
        return status;
    }
    if (found) {
        struct bt_ts_expr *operand;
        status = parse_binary(p, LEVEL_COMPARE, &operand, err);
        return status ? status : make(p, BT_TS_NOT, line, &operand, 1, out, err);
    }
    if ((status = bt_tsparse_accept(p, '-', &found, err))) {
        return status;
    }
    if (!found) {
        return parse_postfix(p, out, err);
    }
    if (p->lex.token.kind == BT_TS_TOKEN_INT) {
        return parse_int(p, true, out, err);
    }
    struct bt_ts_expr *operand;
    if ((status = parse_binary(p, LEVEL_POWER, &operand, err))) {
        return status;
    }
    if (operand->kind == BT_TS_FLOAT) {
        operand->number = -operand->number;
        *out = operand;
        return BERTC_OK;
    }
    return make(p, BT_TS_NEG, line, &operand, 1, out, err);
}

/* The operator at the present token, NULL when there is none. */
static const struct operator *present_operator(const struct bt_ts_parser *p)
{
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        const struct operator *op = &operators[i];
        if (op->punct ? bt_tsparse_at(p, op->punct) : bt_tsparse_at_word(p, op->text)) {
            return op;
        }
    }
    return NULL;
}

/* Goes on behind an operator; two have a second word. */
static enum bertc_status operator_text(struct bt_ts_parser *p, const struct operator *op, const char **out,
                                       struct bertc_error *err)
{
    *out = op->text;
    enum bertc_status status = bt_tslex_next(&p->lex, err);
    if (status || !op->two_words) {
        return status;
    }
    bool found;
    if ((status = bt_tsparse_accept_word(p, strchr(op->two_words, ' ') + 1, &found, err))) {
        return status;
    }
    if (found) {
        *out = op->two_words;
    }
    bool needed = !strcmp(op->text, "not");
    return found || !needed ? BERTC_OK : bt_tsparse_unexpected(p, "'in'", err);
}

static enum bertc_status binary_body(struct bt_ts_parser *p, int level, struct bt_ts_expr **out,
                                     struct bertc_error *err)
{
    enum bertc_status status = parse_unary(p, out, err);
    while (!status) {
        const struct operator *op = present_operator(p);
        if (!op || op->level < level) {
            break;
        }
        const char *text;
        struct bt_ts_expr *args[2] = {*out, NULL};
        int right = op->level == LEVEL_POWER ? op->level : op->level + 1;
        if ((status = operator_text(p, op, &text, err)) || (status = parse_binary(p, right, &args[1], err)) ||
            (status = make(p, BT_TS_BINARY, args[0]->line, args, 2, out, err))) {
            return status;
        }
        (*out)->text = text;
        if (op->level == LEVEL_COMPARE) {
            const struct operator *next = present_operator(p);
            if (next && next->level == LEVEL_COMPARE) {
                return bt_tsparse_unexpected(p, "no chain of comparisons", err);
            }
        }
    }
    return status;
}

static enum bertc_status parse_binary(struct bt_ts_parser *p, int level, struct bt_ts_expr **out,
                                      struct bertc_error *err)
{
    enum bertc_status status = bt_tsparse_enter(p, err);
    if (status) {
        return status;
    }
    status = binary_body(p, level, out, err);
    p->depth--;
    return status;
}

enum bertc_status bt_tsparse_expr(struct bt_ts_parser *p, struct bt_ts_expr **out, struct bertc_error *err)
{
    struct bt_ts_expr *args[3];
    bool found;
    enum bertc_status status;
    if ((status = parse_binary(p, LEVEL_OR, &args[1], err)) ||
        (status = bt_tsparse_accept_word(p, "if", &found, err))) {
        return status;
    }
    if (!found) {
        *out = args[1];
        return BERTC_OK;
    }
    if ((status = parse_binary(p, LEVEL_OR, &args[0], err)) ||
        (status = bt_tsparse_accept_word(p, "else", &found, err))) {
        return status;
    }
    if (!found) {
        return bt_tsparse_unexpected(p, "'else'", err);
    }
    if ((status = bt_tsparse_enter(p, err))) {
        return status;
    }
    status = bt_tsparse_expr(p, &args[2], err);
    p->depth--;
    return status ? status : make(p, BT_TS_IF, args[1]->line, args, 3, out, err);
}

enum bertc_status bt_tsparse_exprs(struct bt_ts_parser *p, struct bt_ts_expr **out, struct bertc_error *err)
{
    struct list list = {0};
    bool comma;
    enum bertc_status status;
    if ((status = bt_tsparse_expr(p, out, err)) || (status = bt_tsparse_accept(p, ',', &comma, err)) || !comma) {
        return status;
    }
    int line = (*out)->line;
    if (!list_add(p, &list, *out, NULL)) {
        return bt_error_memory(err);
    }
    while (comma && p->lex.token.kind != BT_TS_TOKEN_NEWLINE && !bt_tsparse_at(p, '=')) {
        struct bt_ts_expr *item;
        if ((status = bt_tsparse_expr(p, &item, err)) || (status = bt_tsparse_accept(p, ',', &comma, err))) {
            return status;
        }
        if (!list_add(p, &list, item, NULL)) {
            return bt_error_memory(err);
        }
    }
    return make(p, BT_TS_TUPLE, line, list.items, list.count, out, err);
}
