/* heads.c: choose a model's head, and build it from its table */
#include "load/heads.h"

#include <stdio.h>
#include <string.h>

#include "load/encoder.h"

static const struct bt_branch *next_branch(const struct bt_head *head, const struct bt_branch *last)
{
    const struct bt_branch *branch = last ? last + 1 : head->branches;
    return branch < head->branches + BT_BRANCHES && branch->output ? branch : NULL;
}

bool bt_head_takes_choices(const struct bt_head *head)
{
    return head->branches[0].form == BT_FORM_CHOICES;
}

bool bt_head_pools(const struct bt_head *head)
{
    bool pools = false;
    for (const struct bt_branch *b = NULL; (b = next_branch(head, b));) {
        pools = pools || b->rows == BT_ROWS_POOLED;
    }
    return pools;
}

/* ---- choice ---- */

static const struct bt_named_tensor *find(const struct bt_model *model, const char *name, const char *part)
{
    char full[BT_WEIGHT_NAME + 16];
    snprintf(full, sizeof full, "%s%s", name, part);
    return bt_checkpoint_find(model->checkpoint, full);
}

/* What tells a branch: its decoder, but of a tied one what comes before it. */
static bool branch_is_there(const struct bt_model *model, const struct bt_branch *b)
{
    const struct bt_named_tensor *decoder = b->decoder ? find(model, b->decoder, ".weight") : NULL;
    const bool dense = !b->dense || find(model, b->dense, ".weight");
    if (b->width == BT_WIDTH_VOCAB) {
        return b->dense ? dense && (!b->norm || find(model, b->norm, ".weight"))
                        : decoder || find(model, b->decoder, ".bias");
    }
    return decoder && dense && (b->form != BT_FORM_CHOICES || decoder->tensor.dims[0] == 1);
}

static bool head_is_there(const struct bt_model *model, const struct bt_head *head)
{
    bool there = true;
    for (const struct bt_branch *b = NULL; there && (b = next_branch(head, b));) {
        there = branch_is_there(model, b);
    }
    return there;
}

bool bt_head_is_absent(const struct bt_model *model, const struct bt_head *head)
{
    bool absent = true;
    for (const struct bt_branch *b = NULL; absent && (b = next_branch(head, b));) {
        absent = !(b->dense && find(model, b->dense, ".weight")) && !(b->norm && find(model, b->norm, ".weight")) &&
                 !(b->decoder && (find(model, b->decoder, ".weight") || find(model, b->decoder, ".bias")));
    }
    return absent;
}

/* Of heads with the same name (an old and a new layout) the one whose weights are there, else the first. */
static const struct bt_head *head_by_name(const struct bt_model *model, const char *name)
{
    const struct bt_head *first = NULL;
    for (size_t i = 0; i < model->arch->head_count; i++) {
        const struct bt_head *head = &model->arch->heads[i];
        if (strcmp(head->name, name) == 0) {
            if (head_is_there(model, head)) {
                return head;
            }
            first = first ? first : head;
        }
    }
    return first;
}

static enum bertc_status choose_by_class(const struct bt_model *model, const char *name, const struct bt_head **out,
                                         struct bertc_error *err)
{
    const struct bt_arch *arch = model->arch;
    const size_t size = strlen(arch->class_name);
    const char *suffix = strncmp(name, arch->class_name, size) == 0 ? name + size : "";
    *out = strcmp(suffix, "Model") == 0 ? NULL : head_by_name(model, suffix);
    if (*out || strcmp(suffix, "Model") == 0) {
        return BERTC_OK;
    }
    bt_error_set(err, BERTC_UNSUPPORTED, "config.json: architecture '%.100s' is not supported (known: %sModel", name,
                 arch->class_name);
    for (size_t i = 0; i < arch->head_count; i++) {
        if (i == 0 || strcmp(arch->heads[i].name, arch->heads[i - 1].name) != 0) {
            bt_error_append(err, ", %s%s", arch->class_name, arch->heads[i].name);
        }
    }
    return bt_error_append(err, ")");
}

/* How much of the weights a head explains. */
static int weight_of_head(const struct bt_model *model, const struct bt_head *head)
{
    int branches = 0;
    for (const struct bt_branch *b = NULL; (b = next_branch(head, b));) {
        branches++;
    }
    const char *pooler = model->arch->pooler;
    char full[BT_WEIGHT_NAME];
    snprintf(full, sizeof full, "%s%s", model->prefix, pooler ? pooler : "");
    const bool pooled = pooler && find(model, full, ".weight");
    return 2 * branches + (bt_head_pools(head) == pooled);
}

static enum bertc_status choose_by_weights(const struct bt_model *model, const struct bt_head **out,
                                           struct bertc_error *err)
{
    const struct bt_head *rival = NULL;
    int most = 0;
    *out = NULL;
    for (size_t i = 0; i < model->arch->head_count; i++) {
        const struct bt_head *head = &model->arch->heads[i];
        const int weight = head_is_there(model, head) ? weight_of_head(model, head) : 0;
        if (weight > most) {
            *out = head;
            most = weight;
            rival = NULL;
        } else if (weight > 0 && weight == most) {
            rival = head;
        }
    }
    if (rival) {
        return bt_error_set(err, BERTC_UNSUPPORTED,
                            "config.json names no architecture, and the weights fit %s%s as well as %s%s: add "
                            "\"architectures\": [\"...\"]",
                            model->arch->class_name, (*out)->name, model->arch->class_name, rival->name);
    }
    return BERTC_OK;
}

enum bertc_status bt_head_choose(const struct bt_model *model, const struct bt_head **out, struct bertc_error *err)
{
    const struct bt_json *names = bt_checkpoint_value(model->checkpoint, "architectures");
    if (!names || (names->kind == BT_JSON_ARRAY && names->size == 0)) {
        return choose_by_weights(model, out, err);
    }
    const char *name = names->kind == BT_JSON_ARRAY ? bt_json_string(&names->items[0]) : NULL;
    return name ? choose_by_class(model, name, out, err)
                : bt_error_set(err, BERTC_FORMAT, "config.json: architectures is not a list of names");
}

static bool begins_with(const char *name, const char *layer)
{
    return layer && strncmp(name, layer, strlen(layer)) == 0;
}

bool bt_head_owns(const struct bt_model *model, const char *name)
{
    const size_t size = strlen(model->prefix);
    const bool inside = strncmp(name, model->prefix, size) == 0;
    bool owns = inside && begins_with(name + size, model->arch->pooler);
    for (size_t i = 0; i < model->arch->head_count && !owns; i++) {
        for (const struct bt_branch *b = NULL; !owns && (b = next_branch(&model->arch->heads[i], b));) {
            owns = begins_with(name, b->dense) || begins_with(name, b->norm) || begins_with(name, b->decoder) ||
                   begins_with(name, b->bias);
        }
    }
    return owns;
}

/* ---- build ---- */

/* [b, s, d] and the mask [b, s]: sums over the tokens that count, by their number. */
static bt_value mean_of_tokens(struct bt_encoder *e, bt_value hidden)
{
    struct bt_nn *nn = &e->nn;
    const bt_expr one = bt_nn_int(nn, 1);
    bt_value mask = e->inputs[BT_IN_MASK];
    if (mask < 0) {
        const struct bt_arg mean[] = {bt_arg_value(hidden), bt_arg_exprs(&one, 1)};
        return bt_nn_op(nn, BT_OP_MEAN, 2, mean);
    }
    mask = bt_nn_unsqueeze(nn, bt_nn_cast(nn, mask, nn->dtype), 2);
    const struct bt_arg sum[] = {bt_arg_value(bt_nn_binary(nn, BT_OP_MUL, hidden, mask)), bt_arg_exprs(&one, 1)};
    const struct bt_arg count[] = {bt_arg_value(mask), bt_arg_exprs(&one, 1)};
    return bt_nn_binary(nn, BT_OP_DIV, bt_nn_op(nn, BT_OP_SUM, 2, sum), bt_nn_op(nn, BT_OP_SUM, 2, count));
}

/* The first token that the mask keeps: behind padding on the left. */
static bt_value first_kept(struct bt_encoder *e, bt_value hidden)
{
    struct bt_nn *nn = &e->nn;
    if (nn->status || e->inputs[BT_IN_MASK] < 0) {
        return bt_nn_select(nn, hidden, 1, 0);
    }
    bt_value index = bt_nn_with_int(nn, BT_OP_ARGMAX, e->inputs[BT_IN_MASK], 1);
    index = bt_nn_unsqueeze(nn, bt_nn_unsqueeze(nn, index, 1), 2);
    const bt_expr shape[] = {e->batch, bt_nn_int(nn, 1), bt_nn_dim(nn, hidden, 2)};
    const struct bt_arg expand[] = {bt_arg_value(index), bt_arg_exprs(shape, 3)};
    const struct bt_arg gather[] = {bt_arg_value(hidden), bt_arg_int(nn->graph, 1),
                                    bt_arg_value(bt_nn_op(nn, BT_OP_EXPAND, 2, expand))};
    return bt_nn_select(nn, bt_nn_op(nn, BT_OP_GATHER, 3, gather), 1, 0);
}

static bt_value last_place(struct bt_encoder *e, bt_value hidden)
{
    struct bt_nn *nn = &e->nn;
    const bt_expr last = bt_expr_binary(nn->graph->exprs, BT_EXPR_SUB, e->length, bt_nn_int(nn, 1));
    const struct bt_arg args[] = {bt_arg_value(hidden), bt_arg_int(nn->graph, 1), bt_arg_expr(last)};
    return bt_nn_op(nn, BT_OP_SELECT, 3, args);
}

static bt_value rows_of(struct bt_encoder *e, enum bt_rows rows, bt_value hidden, bt_value pooled)
{
    const bool one = rows == BT_ROWS_FIRST || rows == BT_ROWS_KEPT;
    switch (one && e->config->pools_mean ? BT_ROWS_MEAN : rows) {
    case BT_ROWS_ALL: return hidden;
    case BT_ROWS_POOLED: return pooled;
    case BT_ROWS_FIRST: return bt_nn_select(&e->nn, hidden, 1, 0);
    case BT_ROWS_LAST: return last_place(e, hidden);
    case BT_ROWS_KEPT: return first_kept(e, hidden);
    case BT_ROWS_MEAN: return mean_of_tokens(e, hidden);
    }
    return BT_NO_VALUE;
}

static bt_value transform(struct bt_encoder *e, const struct bt_branch *b, bt_value x)
{
    const struct bt_config *c = e->config;
    const char *activation = b->activation ? b->activation : c->activation;
    if (!b->dense) {
        return x;
    }
    if (b->activation_key && !e->nn.status) {
        bt_nn_fail(&e->nn,
                   bt_arch_activation(e->model->checkpoint, b->activation_key, activation, &activation, e->nn.err));
    }
    const int64_t width = b->width == BT_WIDTH_VOCAB && !b->dense_hidden ? c->embedding : c->hidden;
    x = bt_nn_linear(&e->nn, x, b->dense, width, c->no_dense_bias ? BT_NO_BIAS : BT_BIAS);
    x = e->nn.status ? BT_NO_VALUE : bt_nn_activation(&e->nn, activation, x);
    return b->norm ? bt_nn_layer_norm(&e->nn, x, b->norm, c->eps, c->no_norm_bias ? BT_NO_BIAS : BT_BIAS) : x;
}

/* name + part, when the file has it. */
static bool has_part(const struct bt_encoder *e, const char *name, const char *part)
{
    return name && find(e->model, name, part);
}

bt_value bt_head_vocabulary(struct bt_encoder *e, const char *decoder)
{
    if (decoder && (!e->config->tied || has_part(e, decoder, ".weight"))) {
        return bt_nn_table(&e->nn, decoder, e->config->vocab, e->config->embedding);
    }
    const char *prefix = e->nn.prefix;
    e->nn.prefix = e->model->prefix;
    const bt_value words = bt_nn_table(&e->nn, e->words, e->config->vocab, e->config->embedding);
    e->nn.prefix = prefix;
    return words;
}

bt_value bt_head_vocabulary_bias(struct bt_encoder *e, const char *decoder, const char *name)
{
    const int64_t *size = &e->config->vocab;
    return name && !has_part(e, decoder, ".bias") ? bt_nn_weight(&e->nn, name, 1, size)
                                                  : bt_nn_vector(&e->nn, decoder, ".bias", *size);
}

static bt_value decode(struct bt_encoder *e, const struct bt_branch *b, bt_value x)
{
    static const int64_t widths[] = {[BT_WIDTH_ONE] = 1, [BT_WIDTH_TWO] = 2};
    if (b->decode) {
        return b->decode(e, x);
    }
    if (b->width == BT_WIDTH_VOCAB) {
        const bt_value weight = bt_head_vocabulary(e, b->decoder);
        const struct bt_arg args[] = {
            bt_arg_value(x), bt_arg_value(weight),
            e->config->no_decoder_bias ? bt_arg_none() : bt_arg_value(bt_head_vocabulary_bias(e, b->decoder, b->bias))};
        return bt_nn_op(&e->nn, BT_OP_LINEAR, 3, args);
    }
    return bt_nn_linear(&e->nn, x, b->decoder, b->width == BT_WIDTH_LABELS ? e->config->labels : widths[b->width],
                        BT_BIAS);
}

static void output(struct bt_encoder *e, const struct bt_branch *b, bt_value x)
{
    struct bt_nn *nn = &e->nn;
    switch (b->form) {
    case BT_FORM_PLAIN: bt_encoder_output(e, b->output, x); break;
    case BT_FORM_SQUEEZED: bt_encoder_output(e, b->output, bt_nn_select(nn, x, 2, 0)); break;
    case BT_FORM_SPANS:
        bt_encoder_output(e, b->output, bt_nn_select(nn, x, 2, 0));
        bt_encoder_output(e, "end_logits", bt_nn_select(nn, x, 2, 1));
        break;
    case BT_FORM_CHOICES: {
        const bt_expr batch = bt_expr_binary(nn->graph->exprs, BT_EXPR_FLOOR_DIV, e->batch, e->choices);
        bt_encoder_output(e, b->output, bt_nn_reshape(nn, x, 2, (const bt_expr[]){batch, e->choices}));
        break;
    }
    }
}

void bt_head_build(struct bt_encoder *e, bt_value hidden, bt_value pooled)
{
    e->nn.prefix = "";
    for (const struct bt_branch *b = NULL; !e->nn.status && (b = next_branch(e->model->head, b));) {
        bt_nn_enter(&e->nn, "", 0);
        e->nn.graph->where = e->model->head->name;
        const bt_value x = rows_of(e, b->rows, hidden, pooled);
        output(e, b, decode(e, b, transform(e, b, x)));
    }
}
