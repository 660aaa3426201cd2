/* tslex.c: the tokens of serialised TorchScript code, with Python's layout rules */
#include "format/tslex.h"

#include <string.h>

#include "format/chars.h"

static enum bertc_status lex_error(const struct bt_ts_lexer *lex, struct bertc_error *err, const char *what)
{
    return bt_error_set(err, BERTC_FORMAT, "%s:%d: %s", lex->member, lex->line, what);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_name(char c)
{
    return is_name_start(c) || is_digit(c);
}

static char peek(const struct bt_ts_lexer *lex, size_t ahead)
{
    return (size_t)(lex->end - lex->at) > ahead ? lex->at[ahead] : '\0';
}

/* Blanks and a comment, but not the end of the line; inside brackets that too. */
static void skip_blanks(struct bt_ts_lexer *lex)
{
    while (lex->at < lex->end) {
        char c = *lex->at;
        if (c == '#') {
            while (lex->at < lex->end && *lex->at != '\n') {
                lex->at++;
            }
        } else if (c == '\n' && lex->brackets > 0) {
            lex->line++;
            lex->at++;
        } else if (c == ' ' || c == '\r' || c == '\t' || c == '\f') {
            lex->at++;
        } else {
            return;
        }
    }
}

/* Skips blank lines up to the first token of a logical line and compares its column with the open indentations. */
static enum bertc_status open_line(struct bt_ts_lexer *lex, struct bertc_error *err)
{
    int column = 0;
    for (;;) {
        const char *begin = lex->at;
        while (peek(lex, 0) == ' ') {
            lex->at++;
        }
        if (peek(lex, 0) == '\t') {
            return lex_error(lex, err, "a tab in the indentation");
        }
        ptrdiff_t blanks = lex->at - begin;
        column = blanks > 1000000 ? 1000000 : (int)blanks;
        skip_blanks(lex);
        if (lex->at == lex->end) {
            column = 0;
            break;
        }
        if (*lex->at != '\n') {
            break;
        }
        lex->at++;
        lex->line++;
    }
    lex->line_start = false;
    lex->token.line = lex->line;
    if (column > lex->indents[lex->depth]) {
        if (lex->depth + 1 == BT_TS_MAX_INDENT) {
            return lex_error(lex, err, "blocks are nested too deeply");
        }
        lex->indents[++lex->depth] = column;
        lex->token.kind = BT_TS_TOKEN_INDENT;
        return BERTC_OK;
    }
    while (column < lex->indents[lex->depth]) {
        lex->depth--;
        lex->closing++;
    }
    if (column != lex->indents[lex->depth]) {
        return lex_error(lex, err, "the indentation matches no open block");
    }
    return BERTC_OK;
}

static enum bertc_status lex_number(struct bt_ts_lexer *lex, struct bertc_error *err)
{
    const char *begin = lex->at;
    while (is_digit(peek(lex, 0))) {
        lex->at++;
    }
    bool is_float = false;
    if (peek(lex, 0) == '.') {
        is_float = true;
        lex->at++;
        while (is_digit(peek(lex, 0))) {
            lex->at++;
        }
    }
    if (peek(lex, 0) == 'e' || peek(lex, 0) == 'E') {
        size_t sign = peek(lex, 1) == '+' || peek(lex, 1) == '-';
        if (is_digit(peek(lex, 1 + sign))) {
            is_float = true;
            lex->at += 1 + sign;
            while (is_digit(peek(lex, 0))) {
                lex->at++;
            }
        }
    }
    if (is_name_start(peek(lex, 0))) {
        return lex_error(lex, err, "a number runs into a name (complex numbers are not supported)");
    }

    struct bt_ts_token *token = &lex->token;
    size_t size = (size_t)(lex->at - begin);
    if (is_float) {
        token->kind = BT_TS_TOKEN_FLOAT;
        if (!bt_chars_float(begin, size, &token->number)) {
            return lex_error(lex, err, "a malformed number");
        }
        return BERTC_OK;
    }
    token->kind = BT_TS_TOKEN_INT;
    token->magnitude = 0;
    for (size_t i = 0; i < size; i++) {
        uint64_t digit = (uint64_t)(begin[i] - '0');
        if (token->magnitude > (UINT64_MAX - digit) / 10) {
            return lex_error(lex, err, "an integer beyond 64 bits");
        }
        token->magnitude = token->magnitude * 10 + digit;
    }
    return BERTC_OK;
}

/* The byte of the escape sequence at lex->at, behind the backslash; false when there is no such sequence. */
static bool unescape(struct bt_ts_lexer *lex, char *out)
{
    static const char letters[] = "abfnrtv\\'\"";
    static const char bytes[] = "\a\b\f\n\r\t\v\\'\"";
    char c = peek(lex, 0);
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter) {
        lex->at++;
        *out = bytes[letter - letters];
        return true;
    }
    unsigned value = 0;
    int digits = 0;
    for (; digits < 3 && peek(lex, 0) >= '0' && peek(lex, 0) <= '7'; digits++) {
        value = value * 8 + (unsigned)(*lex->at++ - '0');
    }
    *out = (char)value;
    return digits > 0 && value < 256;
}

static enum bertc_status lex_string(struct bt_ts_lexer *lex, struct bertc_error *err)
{
    char quote = *lex->at++;
    const char *close = lex->at;
    while (close < lex->end && *close != quote && *close != '\n') {
        close += *close == '\\' && close + 1 < lex->end ? 2 : 1;
    }
    if (close >= lex->end || *close != quote) {
        return lex_error(lex, err, "a string without its closing quote");
    }
    char *text = bt_arena_alloc(lex->arena, (size_t)(close - lex->at) + 1, 1);
    if (!text) {
        return bt_error_memory(err);
    }
    size_t size = 0;
    while (lex->at < close) {
        char c = *lex->at++;
        if (c == '\\' && !unescape(lex, &c)) {
            return lex_error(lex, err, "an unknown escape sequence in a string");
        }
        text[size++] = c;
    }
    lex->at = close + 1;
    lex->token.kind = BT_TS_TOKEN_STRING;
    lex->token.text = text;
    lex->token.size = size;
    return BERTC_OK;
}

static enum bertc_status lex_punct(struct bt_ts_lexer *lex, struct bertc_error *err)
{
    static const char pairs[][3] = {"->", "==", "!=", "<=", ">=", "//", "**", "<<", ">>"};
    char c = *lex->at;
    lex->token.kind = BT_TS_TOKEN_PUNCT;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (c == pairs[i][0] && peek(lex, 1) == pairs[i][1]) {
            lex->token.punct = BT_TS_PUNCT(pairs[i][0], pairs[i][1]);
            lex->at += 2;
            return BERTC_OK;
        }
    }
    if (c == '\0' || !strchr("()[]{},:.=<>+-*/%&|^@", c)) {
        return lex_error(lex, err, "a character that TorchScript code does not use");
    }
    if (strchr("([{", c)) {
        lex->brackets++;
    } else if (strchr(")]}", c) && lex->brackets > 0) {
        lex->brackets--;
    }
    lex->token.punct = c;
    lex->at++;
    return BERTC_OK;
}

enum bertc_status bt_tslex_next(struct bt_ts_lexer *lex, struct bertc_error *err)
{
    struct bt_ts_token *token = &lex->token;
    if (lex->line_start) {
        token->kind = BT_TS_TOKEN_NEWLINE;
        enum bertc_status status = open_line(lex, err);
        if (status || token->kind == BT_TS_TOKEN_INDENT) {
            return status;
        }
    }
    if (lex->closing > 0) {
        lex->closing--;
        token->kind = BT_TS_TOKEN_DEDENT;
        return BERTC_OK;
    }
    skip_blanks(lex);
    token->line = lex->line;
    token->text = lex->at;
    if (lex->at == lex->end) {
        bool open = lex->brackets > 0 || (token->kind != BT_TS_TOKEN_NEWLINE && token->kind != BT_TS_TOKEN_DEDENT &&
                                          token->kind != BT_TS_TOKEN_END);
        lex->line_start = open; /* a last line without its newline ends here all the same */
        lex->brackets = 0;
        token->kind = open ? BT_TS_TOKEN_NEWLINE : BT_TS_TOKEN_END;
        return BERTC_OK;
    }
    char c = *lex->at;
    if (c == '\n') {
        lex->at++;
        lex->line++;
        lex->line_start = true;
        token->kind = BT_TS_TOKEN_NEWLINE;
        return BERTC_OK;
    }
    if (is_name_start(c)) {
        while (is_name(peek(lex, 0))) {
            lex->at++;
        }
        token->kind = BT_TS_TOKEN_NAME;
        token->size = (size_t)(lex->at - token->text);
        return BERTC_OK;
    }
    if (is_digit(c) || (c == '.' && is_digit(peek(lex, 1)))) {
        return lex_number(lex, err);
    }
    return c == '"' || c == '\'' ? lex_string(lex, err) : lex_punct(lex, err);
}

enum bertc_status bt_tslex_begin(struct bt_ts_lexer *lex, const char *member, struct bt_span text,
                                 struct bt_arena *arena, struct bertc_error *err)
{
    *lex = (struct bt_ts_lexer){.member = member, .arena = arena, .line = 1, .line_start = true};
    lex->at = text.size ? (const char *)text.data : "";
    lex->end = lex->at + text.size;
    lex->token.kind = BT_TS_TOKEN_NEWLINE;
    return bt_tslex_next(lex, err);
}
