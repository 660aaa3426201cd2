/* cache.h: a model's graphs by signature and plans by shape, least recently used out first */
#ifndef BT_EXEC_CACHE_H
#define BT_EXEC_CACHE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/error.h"
#include "exec/plan.h"
#include "exec/schedule.h"
#include "exec/signature.h"
#include "exec/variant.h"
#include "exec/weights.h"

#define BT_CACHE_VARIANTS 16
#define BT_CACHE_PLANS 64
#define BT_CACHE_PARTS 128

/* How to run one kind of call; freed when the cache and the last running call have let go of it. */
struct bt_planned {
    atomic_int refs;
    struct bt_variant *variant;
    struct bt_plan *plan;         /* of the whole call, or NULL when its batch is cut; its padded part when ragged */
    struct bt_planned *halves[2]; /* of the parts: owners of schedule.plans */
    struct bt_schedule schedule;
    int threads; /* for which the batch was cut */
    bool skip;   /* whether padding was to be left out where outputs have places for it */
    bool ragged; /* the call runs on its real tokens (ragged.h) */
    int64_t items, length; /* of a ragged call: b and s; of a part: its sequences and tokens */
    struct bt_arena arena;
    struct bt_signature signature;
    uint64_t hash;
};

struct bt_cache {
    pthread_mutex_t lock;  /* the two lists */
    pthread_mutex_t build; /* one build at a time; calls that hit do not wait for it */
    struct bt_variant *variants[BT_CACHE_VARIANTS]; /* most recently used first */
    struct bt_planned *plans[BT_CACHE_PLANS];
    struct bt_planned *parts[BT_CACHE_PARTS]; /* of ragged calls */
};

/* A call to be planned. */
struct bt_request {
    const struct bt_program *program;
    const struct bertc_value *args;
    const struct bt_signature *call;
    struct bt_weights *weights;
    const struct bt_kernels *kernels;
    int threads;
    bool skip; /* leave padding out where outputs have places for it, too */
};

void bt_cache_init(struct bt_cache *cache);
void bt_cache_free(struct bt_cache *cache);

/* The plan for a call, made if need be. The caller unrefs it. */
enum bertc_status bt_cache_plan(struct bt_cache *cache, const struct bt_request *request, struct bt_planned **out,
                                struct bertc_error *err);
/* The plan for a part of a ragged call: so many tokens of so many sequences. */
enum bertc_status bt_cache_part(struct bt_cache *cache, struct bt_variant *variant, int64_t tokens, int64_t items,
                                struct bt_weights *weights, const struct bt_kernels *kernels, struct bt_planned **out,
                                struct bertc_error *err);
void bt_planned_unref(struct bt_planned *planned); /* NULL is fine */

/* The variant used last, referenced; NULL when none was built yet. */
struct bt_variant *bt_cache_latest(struct bt_cache *cache);
/* Bytes that the graphs and plans hold. */
size_t bt_cache_size(struct bt_cache *cache);
/* Builds and keeps the variant for arguments whose data is not needed (an example). */
enum bertc_status bt_cache_build(struct bt_cache *cache, const struct bt_program *program,
                                 const struct bertc_value *args, struct bertc_error *err);

#endif
