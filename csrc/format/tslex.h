/* tslex.h: the tokens of serialised TorchScript code, with Python's layout rules */
#ifndef BT_FORMAT_TSLEX_H
#define BT_FORMAT_TSLEX_H

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

enum bt_ts_token_kind {
    BT_TS_TOKEN_END,
    BT_TS_TOKEN_NEWLINE,
    BT_TS_TOKEN_INDENT,
    BT_TS_TOKEN_DEDENT,
    BT_TS_TOKEN_NAME,   /* text: also keywords */
    BT_TS_TOKEN_INT,    /* magnitude */
    BT_TS_TOKEN_FLOAT,  /* number */
    BT_TS_TOKEN_STRING, /* text, unescaped */
    BT_TS_TOKEN_PUNCT,  /* punct */
};

#define BT_TS_PUNCT(first, second) ((first) | (second) << 8)

struct bt_ts_token {
    enum bt_ts_token_kind kind;
    int line;
    int punct;        /* a character, or BT_TS_PUNCT of two */
    const char *text; /* in the source, or in the arena for strings: see size */
    size_t size;
    uint64_t magnitude;
    double number;
};

#define BT_TS_MAX_INDENT 64

struct bt_ts_lexer {
    const char *member; /* for messages */
    struct bt_arena *arena;
    const char *at, *end;
    int line;
    int brackets;    /* open (, [ and {: newlines do not count inside */
    bool line_start; /* the next token opens a logical line */
    int indents[BT_TS_MAX_INDENT];
    int depth;    /* indents[depth] is the present indentation */
    int closing;  /* dedents still to report */
    struct bt_ts_token token; /* the present one */
};

/* Begins at the first token. */
enum bertc_status bt_tslex_begin(struct bt_ts_lexer *lex, const char *member, struct bt_span text,
                                 struct bt_arena *arena, struct bertc_error *err);
/* Goes on to the next token; errors are BERTC_FORMAT with member and line. */
enum bertc_status bt_tslex_next(struct bt_ts_lexer *lex, struct bertc_error *err);

#endif
