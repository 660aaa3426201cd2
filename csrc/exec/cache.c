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

static struct bt_planned *find_plan(struct bt_cache *cache, const struct bt_signature *call, uint64_t hash)
{
    struct bt_planned *found = NULL;
    pthread_mutex_lock(&cache->lock);
    for (int i = 0; i < BT_CACHE_PLANS && cache->plans[i]; i++) {
        struct bt_planned *p = cache->plans[i];
        if (p->hash == hash && bt_signature_same_dims(&p->signature, call) &&
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

static enum bertc_status make_variant(struct bt_cache *cache, const struct bt_program *program,
                                      const struct bertc_value *args, const struct bt_signature *call,
                                      struct bt_variant **out, struct bertc_error *err)
{
    struct bt_variant *variant = NULL;
    enum bertc_status status = bt_variant_new(program, args, &variant, err);
    if (status) {
        return status;
    }
    if (!bt_variant_holds(variant, call)) {
        bt_variant_unref(variant);
        return bt_error_set(err, BERTC_UNSUPPORTED, "the graph built for this call does not hold for its shapes");
    }
    keep_variant(cache, variant);
    *out = variant;
    return BERTC_OK;
}

static enum bertc_status make_plan(struct bt_variant *variant, const struct bertc_value *args, size_t arg_count,
                                   uint64_t hash, struct bt_weights *weights, const struct bt_kernels *kernels,
                                   struct bt_planned **out, struct bertc_error *err)
{
    struct bt_planned *p = bt_calloc(1, sizeof *p);
    if (!p) {
        return bt_error_memory(err);
    }
    atomic_init(&p->refs, 1);
    p->variant = bt_variant_ref(variant);
    p->hash = hash;
    enum bertc_status status = bt_signature_make(&p->signature, &p->arena, args, arg_count, err);
    if (!status) {
        status = bt_plan_new(&variant->graph, variant->symbols, weights, kernels, &p->plan, err);
    }
    if (status) {
        bt_planned_unref(p);
        return status;
    }
    *out = p;
    return BERTC_OK;
}

enum bertc_status bt_cache_plan(struct bt_cache *cache, const struct bt_program *program, const struct bertc_value *args,
                                const struct bt_signature *call, struct bt_weights *weights,
                                const struct bt_kernels *kernels, struct bt_planned **out, struct bertc_error *err)
{
    const uint64_t hash = bt_signature_hash(call);
    *out = find_plan(cache, call, hash);
    if (*out) {
        return BERTC_OK;
    }
    enum bertc_status status = BERTC_OK;
    struct bt_variant *variant = NULL;
    pthread_mutex_lock(&cache->build);
    *out = find_plan(cache, call, hash); /* another thread may have built it meanwhile */
    if (!*out) {
        variant = find_variant(cache, call);
        if (!variant) {
            status = make_variant(cache, program, args, call, &variant, err);
        }
        if (!status) {
            status = make_plan(variant, args, program->param_count, hash, weights, kernels, out, err);
        }
        if (!status) {
            keep_plan(cache, *out);
        }
    }
    pthread_mutex_unlock(&cache->build);
    bt_variant_unref(variant);
    return status;
}

struct bt_variant *bt_cache_latest(struct bt_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    struct bt_variant *variant = cache->variants[0] ? bt_variant_ref(cache->variants[0]) : NULL;
    pthread_mutex_unlock(&cache->lock);
    return variant;
}

enum bertc_status bt_cache_build(struct bt_cache *cache, const struct bt_program *program, const struct bertc_value *args,
                                 struct bertc_error *err)
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
