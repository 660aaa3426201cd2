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

static struct bt_planned *find_plan(struct bt_cache *cache, const struct bt_signature *call, uint64_t hash, int threads)
{
    struct bt_planned *found = NULL;
    pthread_mutex_lock(&cache->lock);
    for (int i = 0; i < BT_CACHE_PLANS && cache->plans[i]; i++) {
        struct bt_planned *p = cache->plans[i];
        if (p->hash == hash && p->threads == threads && bt_signature_same_dims(&p->signature, call) &&
            bt_signature_same_key(&p->signature, call)) {
            to_front((void **)cache->plans, i);
            atomic_fetch_add(&p->refs, 1);
            found = p;
            break;
        }
    }
    pthread_mutex_unlock(&cache->lock);
    return found;
}

static void keep_plan(struct bt_cache *cache, struct bt_planned *planned)
{
    pthread_mutex_lock(&cache->lock);
    struct bt_planned *oldest = cache->plans[BT_CACHE_PLANS - 1];
    cache->plans[BT_CACHE_PLANS - 1] = planned;
    to_front((void **)cache->plans, BT_CACHE_PLANS - 1);
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

/* What a plan is made with, and for which arguments. */
struct request {
    struct bt_cache *cache;
    const struct bt_program *program;
    const struct bertc_value *args;
    const struct bt_signature *call;
    struct bt_weights *weights;
    const struct bt_kernels *kernels;
    int threads;
};

static enum bertc_status make_variant(const struct request *request, struct bt_variant **out, struct bertc_error *err)
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
    keep_variant(request->cache, variant);
    *out = variant;
    return BERTC_OK;
}

static enum bertc_status make_planned(const struct request *request, struct bt_planned **out, struct bertc_error *err);

/* The part's plan: known, or made now. NULL when so many items need another graph (squeeze() of a batch of one):
 * what was proven of this one says nothing then. */
static enum bertc_status plan_part(const struct request *whole, struct bt_variant *variant, int64_t items,
                                   struct bt_planned **out, struct bertc_error *err)
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
        struct request part = *whole;
        part.args = args;
        part.call = &call;
        *out = find_plan(whole->cache, &call, bt_signature_hash(&call), whole->threads);
        status = *out ? BERTC_OK : make_planned(&part, out, err);
    }
    bt_arena_free(&arena);
    return status;
}

/* Cuts the batch when the graph allows it and it is worth it; schedule.parts stays 1 otherwise. */
static enum bertc_status cut_batch(const struct request *request, struct bt_planned *p, struct bertc_error *err)
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
        enum bertc_status status = plan_part(request, p->variant, larger - k, &p->halves[k], err);
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

static enum bertc_status make_planned(const struct request *request, struct bt_planned **out, struct bertc_error *err)
{
    struct bt_planned *p = bt_calloc(1, sizeof *p);
    if (!p) {
        return bt_error_memory(err);
    }
    atomic_init(&p->refs, 1);
    p->hash = bt_signature_hash(request->call);
    p->threads = request->threads;
    p->variant = find_variant(request->cache, request->call);
    enum bertc_status status = BERTC_OK;
    if (!p->variant) {
        status = make_variant(request, &p->variant, err);
    }
    if (!status) {
        status = bt_signature_make(&p->signature, &p->arena, request->args, request->program->param_count, err);
    }
    if (!status) {
        status = cut_batch(request, p, err);
    }
    if (!status && p->schedule.parts == 1) {
        /* Planning parts may have bound the symbols anew: they must be the call's. */
        bt_variant_holds(p->variant, request->call);
        status =
            bt_plan_new(&p->variant->graph, p->variant->symbols, request->weights, request->kernels, &p->plan, err);
        p->schedule.plans[0] = p->plan;
    }
    if (status) {
        bt_planned_unref(p);
        return status;
    }
    keep_plan(request->cache, p);
    *out = p;
    return BERTC_OK;
}

enum bertc_status bt_cache_plan(struct bt_cache *cache, const struct bt_program *program,
                                const struct bertc_value *args, const struct bt_signature *call,
                                struct bt_weights *weights, const struct bt_kernels *kernels, int threads,
                                struct bt_planned **out, struct bertc_error *err)
{
    const struct request request = {cache, program, args, call, weights, kernels, threads};
    const uint64_t hash = bt_signature_hash(call);
    *out = find_plan(cache, call, hash, threads);
    if (*out) {
        return BERTC_OK;
    }
    pthread_mutex_lock(&cache->build);
    *out = find_plan(cache, call, hash, threads); /* another thread may have built it meanwhile */
    enum bertc_status status = *out ? BERTC_OK : make_planned(&request, out, err);
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

size_t bt_cache_size(struct bt_cache *cache)
{
    size_t size = 0;
    pthread_mutex_lock(&cache->lock);
    for (int i = 0; i < BT_CACHE_VARIANTS && cache->variants[i]; i++) {
        size += cache->variants[i]->arena.total + cache->variants[i]->graph.arena.total;
    }
    for (int i = 0; i < BT_CACHE_PLANS && cache->plans[i]; i++) {
        const struct bt_planned *p = cache->plans[i];
        size += p->arena.total + (p->plan ? p->plan->arena.total : 0);
    }
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
