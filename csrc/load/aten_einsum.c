/* aten_einsum.c: einsum as permutations, reshapes and one matmul a pair of operands */
#include <string.h>

#include "load/lower.h"

/* Letters are 0..51; the dimensions of an ellipsis, counted from the right, come after them. */
enum { LETTERS = 52, LABELS = LETTERS + BT_MAX_RANK };

struct term {
    struct bt_dyn x;
    int labels[BT_MAX_RANK];
    int rank;
};

struct output {
    int labels[LABELS];
    int count;
    bool given[LABELS]; /* is in labels */
};

/* The label of a letter, -1 of anything else. */
static int letter(char ch)
{
    if (ch >= 'a' && ch <= 'z') {
        return ch - 'a';
    }
    return ch >= 'A' && ch <= 'Z' ? ch - 'A' + 26 : -1;
}

static int find(const int *labels, int count, int label)
{
    for (int i = 0; i < count; i++) {
        if (labels[i] == label) {
            return i;
        }
    }
    return -1;
}

static void malformed(struct bt_call *c)
{
    bt_lower_fail(c, BERTC_UNSUPPORTED, "the equation \"%s\" does not fit its operands, or repeats a letter in a term",
                  c->args[0].text);
}

/* Reads one term, up to a comma, an arrow or the end; `hidden` counts the dimensions that an ellipsis stands for. */
static const char *parse_term(struct bt_call *c, const char *text, int hidden, int *labels, int cap, int *count)
{
    *count = 0;
    for (; *text && *text != ',' && *text != '-'; text++) {
        if (*text == ' ') {
            continue;
        }
        bool ellipsis = strncmp(text, "...", 3) == 0;
        int added = ellipsis ? hidden : 1;
        if ((!ellipsis && letter(*text) < 0) || added < 0 || *count + added > cap) {
            malformed(c);
            return text;
        }
        for (int i = 0; i < added; i++) {
            int label = ellipsis ? LETTERS + hidden - 1 - i : letter(*text);
            if (find(labels, *count, label) >= 0) {
                malformed(c);
            }
            labels[(*count)++] = label;
        }
        text += ellipsis ? 2 : 0;
    }
    return text;
}

static int letters_in(const char *text)
{
    int count = 0;
    for (; *text && *text != ',' && *text != '-'; text++) {
        count += letter(*text) >= 0;
    }
    return count;
}

/* The labels of the result: written after the arrow, or else an ellipsis and the letters that occur once, sorted. */
static void parse_output(struct bt_call *c, const char *text, const struct term *terms, size_t count, int hidden,
                         struct output *out)
{
    if (strncmp(text, "->", 2) == 0) {
        text = parse_term(c, text + 2, hidden, out->labels, LABELS, &out->count);
        if (*text) {
            malformed(c);
        }
    } else {
        int seen[LABELS] = {0};
        for (size_t i = 0; i < count; i++) {
            for (int k = 0; k < terms[i].rank; k++) {
                seen[terms[i].labels[k]]++;
            }
        }
        for (int i = 0; i < hidden; i++) {
            out->labels[out->count++] = LETTERS + hidden - 1 - i;
        }
        for (int i = 0; i < LETTERS; i++) {
            int upper_first = (i + 26) % LETTERS;
            if (seen[upper_first] == 1) {
                out->labels[out->count++] = upper_first;
            }
        }
    }
    if (out->count > BT_MAX_RANK) {
        malformed(c);
    }
    for (int i = 0; i < out->count; i++) {
        out->given[out->labels[i]] = true;
    }
}

/* Sums away the labels that neither the result nor the terms to come need. */
static void drop_labels(struct bt_call *c, struct term *t, const bool *needed)
{
    int dims[BT_MAX_RANK], count = 0, kept = 0;
    for (int i = 0; i < t->rank; i++) {
        if (needed[t->labels[i]]) {
            t->labels[kept++] = t->labels[i];
        } else {
            dims[count++] = i;
        }
    }
    if (count > 0) {
        t->x = bt_lower_reduce(c, BT_OP_SUM, t->x, dims, count, false);
    }
    t->rank = kept;
}

/* Permutes the term to the order of `labels`, with a dimension of size 1 for each that it lacks. */
static struct bt_dyn aligned(struct bt_call *c, const struct term *t, const int *labels, int count)
{
    int dims[BT_MAX_RANK] = {0}, rank = 0;
    for (int i = 0; i < count; i++) {
        int at = find(t->labels, t->rank, labels[i]);
        if (at >= 0) {
            dims[rank++] = at;
        }
    }
    struct bt_dyn x = bt_lower_permute(c, t->x, dims, rank);
    for (int i = 0; i < count; i++) {
        if (find(t->labels, t->rank, labels[i]) < 0) {
            x = bt_lower_unsqueeze(c, x, i);
        }
    }
    return x;
}

struct group {
    int labels[2 * BT_MAX_RANK];
    int count;
};

static void add_label(struct group *g, int label)
{
    g->labels[g->count++] = label;
}

/* The term as batch dimensions followed by two merged ones. */
static struct bt_dyn as_matrices(struct bt_call *c, const struct term *t, const struct group *batch,
                                 const struct group *rows, const struct group *columns)
{
    int dims[3 * BT_MAX_RANK], rank = 0, count = 0;
    bt_expr shape[BT_MAX_RANK + 2];
    const struct group *groups[] = {batch, rows, columns};
    for (int g = 0; g < 3; g++) {
        bt_expr merged = bt_expr_int(c->x, 1);
        for (int i = 0; i < groups[g]->count; i++) {
            int at = find(t->labels, t->rank, groups[g]->labels[i]);
            bt_expr size = bt_lower_size(c, t->x, at);
            dims[rank++] = at;
            if (g == 0) {
                shape[count++] = size;
            }
            merged = bt_expr_binary(c->x, BT_EXPR_MUL, merged, size);
        }
        if (g > 0) {
            shape[count++] = merged;
        }
    }
    return bt_lower_reshape(c, bt_lower_permute(c, t->x, dims, rank), shape, count);
}

static bt_expr label_size(struct bt_call *c, const struct term *a, const struct term *b, int label)
{
    int i = find(a->labels, a->rank, label), k = find(b->labels, b->rank, label);
    int64_t size;
    bool use_b = i < 0 || (k >= 0 && bt_expr_is_int(c->x, bt_lower_size(c, a->x, i), &size) && size == 1);
    return use_b ? bt_lower_size(c, b->x, k) : bt_lower_size(c, a->x, i);
}

/* Combines two terms; labels that are not needed any more are contracted. */
static struct term contract(struct bt_call *c, const struct term *a, const struct term *b, const bool *needed)
{
    struct group batch = {.count = 0}, left = {.count = 0}, right = {.count = 0}, sum = {.count = 0};
    for (int i = 0; i < a->rank; i++) {
        int label = a->labels[i];
        add_label(find(b->labels, b->rank, label) < 0 ? &left : needed[label] ? &batch : &sum, label);
    }
    for (int i = 0; i < b->rank; i++) {
        if (find(a->labels, a->rank, b->labels[i]) < 0) {
            add_label(&right, b->labels[i]);
        }
    }
    struct term out = {.rank = 0};
    bt_expr shape[BT_MAX_RANK];
    const struct group *order[] = {&batch, &left, &right};
    for (int g = 0; g < 3; g++) {
        for (int i = 0; i < order[g]->count; i++) {
            if (out.rank == BT_MAX_RANK) {
                malformed(c);
                return out;
            }
            shape[out.rank] = label_size(c, a, b, order[g]->labels[i]);
            out.labels[out.rank++] = order[g]->labels[i];
        }
    }
    if (sum.count == 0) {
        out.x = bt_lower_binary(c, BT_OP_MUL, aligned(c, a, out.labels, out.rank), aligned(c, b, out.labels, out.rank));
        return out;
    }
    const struct bt_arg args[] = {bt_lower_value(c, as_matrices(c, a, &batch, &left, &sum)),
                                  bt_lower_value(c, as_matrices(c, b, &batch, &sum, &right))};
    out.x = bt_lower_reshape(c, bt_lower_node(c, BT_OP_MATMUL, 2, args), shape, out.rank);
    return out;
}

/* Which labels the result or one of the terms has. */
static void mark_needed(const struct output *out, const struct term *terms, size_t count, bool *needed)
{
    memcpy(needed, out->given, sizeof out->given);
    for (size_t i = 0; i < count; i++) {
        for (int k = 0; k < terms[i].rank; k++) {
            needed[terms[i].labels[k]] = true;
        }
    }
}

/* Reads the terms and returns the number of dimensions in the widest ellipsis. */
static int parse_terms(struct bt_call *c, const char **text, struct term *terms, size_t count)
{
    int widest = 0;
    for (size_t i = 0; i < count && c->status == BERTC_OK; i++) {
        struct term *t = &terms[i];
        t->x = c->args[1].seq->items[i];
        int rank = bt_lower_rank(c, t->x), hidden = rank - letters_in(*text);
        *text = parse_term(c, *text, hidden, t->labels, BT_MAX_RANK, &t->rank);
        if (t->rank != rank || (**text == ',') != (i + 1 < count)) {
            malformed(c);
        }
        *text += **text == ',';
        widest = hidden > widest ? hidden : widest;
    }
    return widest;
}

/* equation, tensors */
void bt_aten_einsum(struct bt_call *c)
{
    const char *text = c->args[0].text;
    size_t count = bt_lower_count(c->args[1]);
    struct term *terms = bt_arena_alloc(c->l->arena, count, sizeof *terms);
    if (!terms) {
        bt_lower_ok(c, bt_error_memory(c->err));
    } else if (count == 0) {
        malformed(c);
    }
    if (c->status != BERTC_OK) {
        return;
    }
    struct output out = {.count = 0};
    int hidden = parse_terms(c, &text, terms, count);
    if (c->status == BERTC_OK) {
        parse_output(c, text, terms, count, hidden, &out);
    }
    for (size_t i = 0; i < count && c->status == BERTC_OK; i++) {
        bool needed[LABELS];
        if (i > 0) {
            mark_needed(&out, terms + i + 1, count - i - 1, needed);
            terms[i] = contract(c, &terms[i - 1], &terms[i], needed);
        }
        mark_needed(&out, terms + i + 1, count - i - 1, needed);
        drop_labels(c, &terms[i], needed);
    }
    struct term *last = &terms[count - 1];
    for (int i = 0; i < out.count && c->status == BERTC_OK; i++) {
        if (find(last->labels, last->rank, out.labels[i]) < 0) {
            malformed(c);
        }
    }
    if (c->status == BERTC_OK) {
        c->out = aligned(c, last, out.labels, out.count);
    }
}
