/* cache.c: a model's graphs by signature and plans by shape */
#include "exec/cache.h"

#include <string.h>

void bt_cache_init(struct bt_cache *cache)
{
    memset(cache, 0, sizeof *cache);
    pthread_mutex_init(&cache->lock, NULL);
    pthread_mutex_init(&cache->build, NULL);
}

void bt_cache_free(struct bt_cache *cache)
{
    for (int i = 0; i < BT_CACHE_PLANS; i++) {
        bt_planned_unref(cache->plans[i]);
    }
    for (int i = 0; i < BT_CACHE_PARTS; i++) {
        bt_planned_unref(cache->parts[i]);
    }
    for (int i = 0; i < BT_CACHE_VARIANTS; i++) {
        bt_variant_unref(cache->variants[i]);
    }
    pthread_mutex_destroy(&cache->lock);
    pthread_mutex_destroy(&cache->build);
}

void bt_planned_unref(struct bt_planned *planned)
{
    if (planned && atomic_fetch_sub(&planned->refs, 1) == 1) {
        bt_plan_free(planned->plan);
        bt_planned_unref(planned->halves[0]);
        bt_planned_unref(planned->halves[1]);
        bt_variant_unref(planned->variant);
        bt_arena_free(&planned->arena);
        bt_free(planned);
    }
}

/* Moves items[from] to the front of a list of pointers. */
static void to_front(void **items, int from)
{
    void *item = items[from];
    memmove(items + 1, items, (size_t)from * sizeof *items);
    items[0] = item;
}

static struct bt_planned *find_plan(struct bt_cache *cache, const struct bt_request *request, uint64_t hash)
{
    struct bt_planned *found = NULL;
    pthread_mutex_lock(&cache->lock);
    for (int i = 0; i < BT_CACHE_PLANS && cache->plans[i]; i++) {
        struct bt_planned *p = cache->plans[i];
        if (p->hash == hash && p->threads == request->threads && p->skip == request->skip &&
            bt_signature_same_dims(&p->signature, request->call) &&
            bt_signature_same_key(&p->signature, request->call)) {
            to_front((void **)cache->plans, i);
            atomic_fetch_add(&p->refs, 1);
            found = p;
            break;
        }
    }
    pthread_mutex_unlock(&cache->lock);
    return found;
}

/* Puts a plan in front of a list, and lets go of the last. */
static void keep_plan(struct bt_cache *cache, struct bt_planned **list, int count, struct bt_planned *planned)
{
    pthread_mutex_lock(&cache->lock);
    struct bt_planned *oldest = list[count - 1];
    list[count - 1] = planned;
    to_front((void **)list, count - 1);
    atomic_fetch_add(&planned->refs, 1);
    pthread_mutex_unlock(&cache->lock);
    bt_planned_unref(oldest);
}

static void keep_variant(struct bt_cache *cache, struct bt_variant *variant)
{
    pthread_mutex_lock(&cache->lock);
    struct bt_variant *oldest = cache->variants[BT_CACHE_VARIANTS - 1];
    cache->variants[BT_CACHE_VARIANTS - 1] = variant;
    to_front((void **)cache->variants, BT_CACHE_VARIANTS - 1);
    bt_variant_ref(variant);
    pthread_mutex_unlock(&cache->lock);
    bt_variant_unref(oldest);
}

/* A variant that holds for the call, with its symbols bound; NULL when none does. Called under the build lock, which is
 * what protects the variants' room for evaluation. */
static struct bt_variant *find_variant(struct bt_cache *cache, const struct bt_signature *call)
{
    struct bt_variant *found = NULL;
    pthread_mutex_lock(&cache->lock);
    for (int i = 0; i < BT_CACHE_VARIANTS && cache->variants[i]; i++) {
        if (bt_variant_holds(cache->variants[i], call)) {
            to_front((void **)cache->variants, i);
            found = bt_variant_ref(cache->variants[0]);
            break;
        }
    }
    pthread_mutex_unlock(&cache->lock);
    return found;
}

static enum bertc_status make_variant(struct bt_cache *cache, const struct bt_request *request, struct bt_variant **out,
                                      struct bertc_error *err)
{
    struct bt_variant *variant = NULL;
    enum bertc_status status = bt_variant_new(request->program, request->args, &variant, err);
    if (status) {
        return status;
    }
    if (!bt_variant_holds(variant, request->call)) {
        bt_variant_unref(variant);
        return bt_error_set(err, BERTC_UNSUPPORTED, "the graph built for this call does not hold for its shapes");
    }
    keep_variant(cache, variant);
    *out = variant;
    return BERTC_OK;
}

static enum bertc_status make_planned(struct bt_cache *cache, const struct bt_request *request, struct bt_planned **out,
                                      struct bertc_error *err);

/* The part's plan: known, or made now. NULL when so many items need another graph (squeeze() of a batch of one):
 * what was proven of this one says nothing then. */
static enum bertc_status plan_part(struct bt_cache *cache, const struct bt_request *whole, struct bt_variant *variant,
                                   int64_t items, struct bt_planned **out, struct bertc_error *err)
{
    struct bt_arena arena = {0};
    struct bt_signature call;
    struct bertc_value *args = bt_arena_copy(&arena, whole->args, whole->program->param_count * sizeof *args);
    enum bertc_status status = args ? BERTC_OK : bt_error_memory(err);
    size_t leaf = 0;
    for (size_t i = 0; i < whole->program->param_count && !status; i++) {
        status = bt_variant_resize(variant, &args[i], items, &arena, &leaf, err);
    }
    if (!status) {
        status = bt_signature_make(&call, &arena, args, whole->program->param_count, err);
    }
    *out = NULL;
    if (!status && bt_variant_holds(variant, &call)) {
        struct bt_request part = *whole;
        part.args = args;
        part.call = &call;
        *out = find_plan(cache, &part, bt_signature_hash(&call));
        status = *out ? BERTC_OK : make_planned(cache, &part, out, err);
    }
    bt_arena_free(&arena);
    return status;
}

/* Cuts the batch when the graph allows it and it is worth it; schedule.parts stays 1 otherwise. */
static enum bertc_status cut_batch(struct bt_cache *cache, const struct bt_request *request, struct bt_planned *p,
                                   struct bertc_error *err)
{
    struct bt_schedule *s = &p->schedule;
    int64_t items, tokens;
    *s = (struct bt_schedule){
        .parts = 1, .graph = &p->variant->graph, .symbol = p->variant->batch, .dims = p->signature.dims};
    if (!bt_variant_batch(p->variant, &p->signature, &items, &tokens)) {
        return BERTC_OK;
    }
    const int64_t parts = bt_schedule_parts(items, tokens, request->threads);
    if (parts <= 1) {
        return BERTC_OK;
    }
    s->items = items;
    s->parts = parts;
    const int64_t larger = bt_schedule_larger(items, parts);
    for (int k = 0; k < 2 && (k == 0 || items % parts != 0); k++) {
        enum bertc_status status = plan_part(cache, request, p->variant, larger - k, &p->halves[k], err);
        if (status) {
            return status;
        }
        if (!p->halves[k]) {
            s->parts = 1;
            return BERTC_OK;
        }
        s->plans[k] = p->halves[k]->plan;
    }
    return BERTC_OK;
}

/* A call whose padding may be left out gets a plan of its padded part only: how many tokens it has is known in the run.
 * p->ragged stays false when the graph does not allow it, or nothing is to be left out. */
static enum bertc_status plan_ragged(const struct bt_request *request, struct bt_planned *p, struct bertc_error *err)
{
    const struct bt_tokens *tokens = &p->variant->tokens;
    if (tokens->batch < 0 || (tokens->outputs && !request->skip)) {
        return BERTC_OK;
    }
    p->items = p->variant->symbols[tokens->batch];
    p->length = p->variant->symbols[tokens->length];
    p->ragged = p->items > 0 && p->length > 0;
    if (!p->ragged) {
        return BERTC_OK;
    }
    p->schedule = (struct bt_schedule){.parts = 1, .graph = &p->variant->graph, .dims = p->signature.dims};
    return bt_plan_padded(&p->variant->graph, tokens, p->variant->symbols, request->weights, request->kernels, &p->plan,
                          err);
}

static enum bertc_status plan_whole(struct bt_cache *cache, const struct bt_request *request, struct bt_planned *p,
                                    struct bertc_error *err)
{
    enum bertc_status status = cut_batch(cache, request, p, err);
    if (status || p->schedule.parts > 1) {
        return status;
    }
    /* Planning parts may have bound the symbols anew: they must be the call's. */
    bt_variant_holds(p->variant, request->call);
    return bt_plan_new(&p->variant->graph, p->variant->symbols, request->weights, request->kernels, &p->plan, err);
}

static enum bertc_status fill_planned(struct bt_cache *cache, const struct bt_request *request, struct bt_planned *p,
                                      struct bertc_error *err)
{
    enum bertc_status status = BERTC_OK;
    p->variant = find_variant(cache, request->call);
    if (!p->variant) {
        status = make_variant(cache, request, &p->variant, err);
    }
    if (!status) {
        status = bt_signature_make(&p->signature, &p->arena, request->args, request->program->param_count, err);
    }
    if (!status) {
        status = plan_ragged(request, p, err);
    }
    if (!status && !p->ragged) {
        status = plan_whole(cache, request, p, err);
    }
    if (p->plan) {
        p->schedule.plans[0] = p->plan;
    }
    return status;
}

static struct bt_planned *planned_new(struct bertc_error *err)
{
    struct bt_planned *p = bt_calloc(1, sizeof *p);
    if (p) {
        atomic_init(&p->refs, 1);
    } else {
        bt_error_memory(err);
    }
    return p;
}

static enum bertc_status make_planned(struct bt_cache *cache, const struct bt_request *request, struct bt_planned **out,
                                      struct bertc_error *err)
{
    struct bt_planned *p = planned_new(err);
    if (!p) {
        return BERTC_MEMORY;
    }
    p->hash = bt_signature_hash(request->call);
    p->threads = request->threads;
    p->skip = request->skip;
    enum bertc_status status = fill_planned(cache, request, p, err);
    if (status) {
        bt_planned_unref(p);
        return status;
    }
    keep_plan(cache, cache->plans, BT_CACHE_PLANS, p);
    *out = p;
    return BERTC_OK;
}

enum bertc_status bt_cache_plan(struct bt_cache *cache, const struct bt_request *request, struct bt_planned **out,
                                struct bertc_error *err)
{
    const uint64_t hash = bt_signature_hash(request->call);
    *out = find_plan(cache, request, hash);
    if (*out) {
        return BERTC_OK;
    }
    pthread_mutex_lock(&cache->build);
    *out = find_plan(cache, request, hash); /* another thread may have built it meanwhile */
    enum bertc_status status = *out ? BERTC_OK : make_planned(cache, request, out, err);
    pthread_mutex_unlock(&cache->build);
    return status;
}

/* ---- parts of ragged calls ---- */

static struct bt_planned *find_part(struct bt_cache *cache, const struct bt_variant *variant, int64_t tokens,
                                    int64_t items)
{
    struct bt_planned *found = NULL;
    pthread_mutex_lock(&cache->lock);
    for (int i = 0; i < BT_CACHE_PARTS && cache->parts[i]; i++) {
        struct bt_planned *p = cache->parts[i];
        if (p->variant == variant && p->length == tokens && p->items == items) {
            to_front((void **)cache->parts, i);
            atomic_fetch_add(&p->refs, 1);
            found = p;
            break;
        }
    }
    pthread_mutex_unlock(&cache->lock);
    return found;
}

static enum bertc_status make_part(struct bt_cache *cache, struct bt_variant *variant, int64_t tokens, int64_t items,
                                   struct bt_weights *weights, const struct bt_kernels *kernels,
                                   struct bt_planned **out, struct bertc_error *err)
{
    struct bt_planned *p = planned_new(err);
    if (!p) {
        return BERTC_MEMORY;
    }
    p->variant = bt_variant_ref(variant);
    p->length = tokens;
    p->items = items;
    enum bertc_status status =
        bt_plan_tokens(&variant->graph, &variant->tokens, tokens, items, weights, kernels, &p->plan, err);
    if (status) {
        bt_planned_unref(p);
        return status;
    }
    keep_plan(cache, cache->parts, BT_CACHE_PARTS, p);
    *out = p;
    return BERTC_OK;
}

enum bertc_status bt_cache_part(struct bt_cache *cache, struct bt_variant *variant, int64_t tokens, int64_t items,
                                struct bt_weights *weights, const struct bt_kernels *kernels, struct bt_planned **out,
                                struct bertc_error *err)
{
    const int64_t rows =
        variant->tokens.items ? items : 0; /* where nothing has rows of sequences, any number will do */
    enum bertc_status status = BERTC_OK;
    *out = find_part(cache, variant, tokens, rows);
    if (*out) {
        return BERTC_OK;
    }
    pthread_mutex_lock(&cache->build);
    *out = find_part(cache, variant, tokens, rows);
    if (!*out) {
        status = make_part(cache, variant, tokens, rows, weights, kernels, out, err);
    }
    pthread_mutex_unlock(&cache->build);
    return status;
}

struct bt_variant *bt_cache_latest(struct bt_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    struct bt_variant *variant = cache->variants[0] ? bt_variant_ref(cache->variants[0]) : NULL;
    pthread_mutex_unlock(&cache->lock);
    return variant;
}

static size_t plans_size(struct bt_planned *const *plans, int count)
{
    size_t size = 0;
    for (int i = 0; i < count && plans[i]; i++) {
        size += plans[i]->arena.total + (plans[i]->plan ? plans[i]->plan->arena.total : 0);
    }
    return size;
}

size_t bt_cache_size(struct bt_cache *cache)
{
    size_t size = 0;
    pthread_mutex_lock(&cache->lock);
    for (int i = 0; i < BT_CACHE_VARIANTS && cache->variants[i]; i++) {
        size += cache->variants[i]->arena.total + cache->variants[i]->graph.arena.total;
    }
    size += plans_size(cache->plans, BT_CACHE_PLANS) + plans_size(cache->parts, BT_CACHE_PARTS);
    pthread_mutex_unlock(&cache->lock);
    return size;
}

enum bertc_status bt_cache_build(struct bt_cache *cache, const struct bt_program *program,
                                 const struct bertc_value *args, struct bertc_error *err)
{
    struct bt_variant *variant = NULL;
    pthread_mutex_lock(&cache->build);
    enum bertc_status status = bt_variant_new(program, args, &variant, err);
    if (!status) {
        keep_variant(cache, variant);
    }
    pthread_mutex_unlock(&cache->build);
    bt_variant_unref(variant);
    return status;
}
