/* known.c: results that depend on constants alone are computed once, for all plans of a model */
#include "exec/known.h"

#include <string.h>

enum { LARGEST = 16 << 20 }; /* bytes of a result that is kept: more is rather computed again */

struct bt_known_result {
    const void *key;
    size_t size; /* of the key */
    void *data;
};

bool bt_known_init(struct bt_known *known)
{
    return pthread_mutex_init(&known->lock, NULL) == 0;
}

void bt_known_free(struct bt_known *known)
{
    for (size_t i = 0; i < known->count; i++) {
        bt_free(known->results[i].data);
    }
    bt_arena_free(&known->arena);
    pthread_mutex_destroy(&known->lock);
}

size_t bt_known_bytes(struct bt_known *known)
{
    pthread_mutex_lock(&known->lock);
    size_t bytes = known->bytes;
    pthread_mutex_unlock(&known->lock);
    return bytes;
}

/* ---- which values ---- */

static bool number_known(const struct bt_graph *g, bt_expr e)
{
    return bt_expr_is_const(g->exprs, e, NULL);
}

static bool arg_known(const struct bt_graph *g, const bool *known, const struct bt_arg *arg)
{
    bool all = true;
    switch (arg->kind) {
    case BT_ARG_VALUE: return known[arg->value];
    case BT_ARG_EXPR: return number_known(g, arg->expr);
    case BT_ARG_VALUES:
    case BT_ARG_EXPRS:
        for (int32_t i = 0; i < arg->count && all; i++) {
            all = arg->kind == BT_ARG_EXPRS ? number_known(g, arg->list[i]) : arg->list[i] < 0 || known[arg->list[i]];
        }
        return all;
    default: return true;
    }
}

/* Which values of the graph are the same in every call. */
static bool *find_known(const struct bt_graph *g, struct bt_arena *arena)
{
    bool *known = bt_arena_alloc(arena, g->value_count + 1, sizeof *known);
    for (size_t c = 0; known && c < g->constant_count; c++) {
        known[g->constants[c].value] = !g->constants[c].tensor.quantized;
    }
    for (size_t n = 0; known && n < g->node_count; n++) {
        const struct bt_node *node = &g->nodes[n];
        bool all = node->nouts == 1;
        for (int i = 0; i < node->nargs && all; i++) {
            all = arg_known(g, known, &node->args[i]);
        }
        known[node->outs[0]] = all;
    }
    return known;
}

static bool all_constant(const struct bt_step *step)
{
    bool all = true;
    for (int i = 0; i < step->nargs && all; i++) {
        const struct bt_step_arg *arg = &step->args[i];
        all = arg->kind != BT_ARG_VALUE || arg->ref.space == BT_SPACE_CONSTANT;
        for (int32_t k = 0; arg->kind == BT_ARG_VALUES && k < arg->count && all; k++) {
            all = arg->refs[k].rank < 0 || arg->refs[k].space == BT_SPACE_CONSTANT;
        }
    }
    return all;
}

/* ---- the key of a step: all that its result depends on ---- */

struct key {
    char *bytes; /* NULL: only the size is counted */
    size_t size;
};

static void put(struct key *key, const void *data, size_t size)
{
    if (key->bytes && size > 0) {
        memcpy(key->bytes + key->size, data, size);
    }
    key->size += size;
}

static void put_ref(struct key *key, const struct bt_ref *ref)
{
    const int64_t head[] = {ref->rank, (int64_t)ref->dtype, (int64_t)(uintptr_t)ref->data, ref->offset};
    put(key, head, sizeof head);
    if (ref->rank > 0) {
        put(key, ref->dims, (size_t)ref->rank * sizeof *ref->dims);
        put(key, ref->strides, (size_t)ref->rank * sizeof *ref->strides);
    }
}

static void put_arg(struct key *key, const struct bt_step_arg *arg)
{
    const int64_t head[] = {(int64_t)arg->kind, (int64_t)arg->dtype, (int64_t)arg->activation, arg->count};
    put(key, head, sizeof head);
    if (arg->kind == BT_ARG_VALUE) {
        put_ref(key, &arg->ref);
    } else if (arg->kind == BT_ARG_EXPR) {
        const int64_t type = (int64_t)arg->scalar.type;
        put(key, &type, sizeof type);
        put(key, &arg->scalar.i, sizeof arg->scalar.i);
        put(key, &arg->scalar.f, sizeof arg->scalar.f);
    } else if (arg->kind == BT_ARG_EXPRS) {
        put(key, arg->ints, (size_t)arg->count * sizeof *arg->ints);
    }
    for (int32_t i = 0; arg->kind == BT_ARG_VALUES && i < arg->count; i++) {
        put_ref(key, &arg->refs[i]);
    }
}

static void put_step(struct key *key, const struct bt_step *step)
{
    const int64_t head[] = {(int64_t)step->op, (int64_t)step->common, step->nargs};
    key->size = 0;
    put(key, head, sizeof head);
    for (int i = 0; i < step->nargs; i++) {
        put_arg(key, &step->args[i]);
    }
    put_ref(key, &step->outs[0]);
}

/* ---- results ---- */

struct wanted {
    const struct bt_known *known;
    const struct key *key;
};

static bool is_wanted(const void *context, int32_t id)
{
    const struct wanted *w = context;
    const struct bt_known_result *result = &w->known->results[id];
    return result->size == w->key->size && memcmp(result->key, w->key->bytes, result->size) == 0;
}

static const void *find(struct bt_known *known, const struct key *key, uint32_t hash)
{
    const struct wanted wanted = {known, key};
    pthread_mutex_lock(&known->lock);
    int32_t id = bt_table_find(&known->table, hash, is_wanted, &wanted);
    const void *data = id < 0 ? NULL : known->results[id].data;
    pthread_mutex_unlock(&known->lock);
    return data;
}

/* Plans are built one at a time, so that nobody else has added it since. */
static bool keep(struct bt_known *known, const struct key *key, uint32_t hash, void *data, size_t bytes)
{
    pthread_mutex_lock(&known->lock);
    const void *copy = bt_arena_copy(&known->arena, key->bytes, key->size);
    bool kept =
        copy &&
        bt_arena_reserve(&known->arena, &known->results, &known->cap, known->count + 1, sizeof *known->results) &&
        bt_table_add(&known->table, &known->arena, hash, (int32_t)known->count);
    if (kept) {
        known->results[known->count++] = (struct bt_known_result){copy, key->size, data};
        known->bytes += bytes;
    }
    pthread_mutex_unlock(&known->lock);
    return kept;
}

static enum bertc_status carry_out(const struct bt_builder *b, const struct bt_step *step, void *data,
                                   struct bertc_error *err)
{
    struct bt_step once = *step;
    once.outs[0].space = BT_SPACE_CONSTANT;
    once.outs[0].data = data;
    once.scratch.offset = 0;
    struct bt_run run = {.kernels = b->kernels, .threads = 1};
    run.work = bt_alloc((size_t)step->scratch_size, 1);
    enum bertc_status status = run.work ? once.fn(&once, &run, err) : bt_error_memory(err);
    bt_free(run.work);
    return status;
}

static enum bertc_status compute(struct bt_builder *b, const struct bt_step *step, size_t bytes, const struct key *key,
                                 const void **out, struct bertc_error *err)
{
    struct bt_known *known = bt_weights_known(b->weights);
    const uint32_t hash = bt_hash(BT_HASH_START, key->bytes, key->size);
    *out = find(known, key, hash);
    if (*out) {
        return BERTC_OK;
    }
    void *data = bt_alloc(bytes, 1);
    enum bertc_status status = data ? carry_out(b, step, data, err) : bt_error_memory(err);
    if (!status && !keep(known, key, hash, data, bytes)) {
        status = bt_error_memory(err);
    }
    if (status) {
        bt_free(data);
        return status;
    }
    *out = data;
    return BERTC_OK;
}

enum bertc_status bt_known_step(struct bt_builder *b, const struct bt_step *step, bool *done, struct bertc_error *err)
{
    *done = false;
    if (!b->known) {
        b->known = find_known(b->graph, &b->arena);
        if (!b->known) {
            return bt_error_memory(err);
        }
    }
    if (!step->node || !b->known[step->node->outs[0]] || !all_constant(step)) {
        return BERTC_OK;
    }
    const int64_t bytes = b->storages[step->outs[0].slot].size;
    struct bt_ref *ref = &b->refs[step->node->outs[0]];
    if (bytes > LARGEST) {
        return BERTC_OK;
    }
    struct key key = {0};
    put_step(&key, step);
    key.bytes = bt_arena_alloc(&b->arena, key.size, 1);
    if (!key.bytes) {
        return bt_error_memory(err);
    }
    put_step(&key, step);
    const void *data;
    enum bertc_status status = compute(b, step, (size_t)bytes, &key, &data, err);
    if (status) {
        return status;
    }
    ref->space = BT_SPACE_CONSTANT;
    ref->slot = 0;
    ref->data = data;
    *done = true;
    return BERTC_OK;
}
