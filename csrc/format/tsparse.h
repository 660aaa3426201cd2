/* tsparse.h: what the parser of serialised TorchScript code shares between statements and expressions */
#ifndef BT_FORMAT_TSPARSE_H
#define BT_FORMAT_TSPARSE_H

#include "base/map.h"
#include "format/tscode.h"
#include "format/tslex.h"

struct bt_ts_parser {
    struct bt_ts_lexer lex;
    struct bt_arena *arena;
    struct bt_map *locals; /* names of the function being read -> slots; NULL outside of functions */
    int depth;             /* of the nesting, bounded */
};

/* Two tokens of punctuation, by BT_TS_PUNCT or character; two names by text. */
bool bt_tsparse_at(const struct bt_ts_parser *p, int punct);
bool bt_tsparse_at_word(const struct bt_ts_parser *p, const char *word);
/* Goes on when the present token is that one; *found tells. */
enum bertc_status bt_tsparse_accept(struct bt_ts_parser *p, int punct, bool *found, struct bertc_error *err);
enum bertc_status bt_tsparse_accept_word(struct bt_ts_parser *p, const char *word, bool *found,
                                         struct bertc_error *err);
enum bertc_status bt_tsparse_expect(struct bt_ts_parser *p, int punct, struct bertc_error *err);
/* "member:line: expected <what>, found <the present token>" */
enum bertc_status bt_tsparse_unexpected(const struct bt_ts_parser *p, const char *what, struct bertc_error *err);
/* Copies the present name and goes on. */
enum bertc_status bt_tsparse_name(struct bt_ts_parser *p, const char **out, struct bertc_error *err);
/* One level deeper; the caller lowers p->depth when it is done. */
enum bertc_status bt_tsparse_enter(struct bt_ts_parser *p, struct bertc_error *err);

/* The slot of a name of the present function, a new one for a new name; -1 outside of functions. */
enum bertc_status bt_tsparse_slot(struct bt_ts_parser *p, const char *name, int64_t *out, struct bertc_error *err);

enum bertc_status bt_tsparse_type(struct bt_ts_parser *p, struct bt_ts_type **out, struct bertc_error *err);
enum bertc_status bt_tsparse_expr(struct bt_ts_parser *p, struct bt_ts_expr **out, struct bertc_error *err);
/* `a`, or without parentheses `a, b,` as a TUPLE. */
enum bertc_status bt_tsparse_exprs(struct bt_ts_parser *p, struct bt_ts_expr **out, struct bertc_error *err);

#endif
