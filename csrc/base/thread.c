/* thread.c: one pool of workers for the process, asleep but in runs and for moments after a loop */
#include "base/thread.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cpu.h"

enum {
    MAX_WORKERS = 255,
    RANGES_PER_THREAD = 4,
    PATIENCE_NS = 100000,      /* how long a thread looks out for work before it sleeps: waking it takes as long */
    RUN_PATIENCE_NS = 1000000, /* in a run, whose next loop is never far */
};

/* A loop in progress, on its caller's stack. All but `next` is guarded by the pool's lock or set before sharing. */
struct job {
    bt_parallel_fn *fn;
    void *context;
    int64_t count;
    int64_t range;
    _Atomic int64_t next;
    int open;   /* workers reserved that have not come yet */
    _Atomic int active; /* workers inside; changed under the lock */
    pthread_cond_t done;
    struct job *link;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *jobs; /* with open > 0 */
    int workers;
    int idle; /* workers neither inside a job nor reserved for one */
    _Atomic unsigned opened; /* counts jobs, for workers that look out for the next */
    _Atomic int runs;        /* begun and not ended */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

/* Between two looks: another thread that waits for this processor has it first. */
static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
    sched_yield();
}

static bool patient(int64_t since)
{
    return bt_clock_ns() - since < (atomic_load(&pool.runs) > 0 ? RUN_PATIENCE_NS : PATIENCE_NS);
}

/* Looks for a while whether a job is opened after `seen` ones. */
static void await_job(unsigned seen)
{
    for (int64_t start = bt_clock_ns(); atomic_load(&pool.opened) == seen && patient(start);) {
        pause_briefly();
    }
}

/* Looks for a while whether the last worker leaves the job. */
static void await_workers(const struct job *job)
{
    for (int64_t start = bt_clock_ns(); atomic_load(&job->active) > 0 && patient(start);) {
        pause_briefly();
    }
}

static void run_ranges(struct job *job)
{
    for (;;) {
        int64_t begin = atomic_fetch_add_explicit(&job->next, job->range, memory_order_relaxed);
        if (begin >= job->count) {
            return;
        }
        int64_t end = job->count - begin > job->range ? begin + job->range : job->count;
        job->fn(job->context, begin, end);
    }
}

static void unlink_job(struct job *job)
{
    struct job **at = &pool.jobs;
    while (*at != job) {
        at = &(*at)->link;
    }
    *at = job->link;
}

static void *worker_main(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        if (!pool.jobs) {
            const unsigned seen = atomic_load(&pool.opened);
            pthread_mutex_unlock(&pool.lock);
            await_job(seen);
            pthread_mutex_lock(&pool.lock);
        }
        while (!pool.jobs) {
            pthread_cond_wait(&pool.wake, &pool.lock);
        }
        struct job *job = pool.jobs;
        job->active++;
        if (--job->open == 0) {
            unlink_job(job);
        }
        pthread_mutex_unlock(&pool.lock);
        run_ranges(job);
        pthread_mutex_lock(&pool.lock);
        pool.idle++;
        if (--job->active == 0) {
            pthread_cond_signal(&job->done);
        }
    }
    return NULL;
}

/* The lock is held across fork, so that the child copies a consistent pool; its threads do not exist there. */
static void before_fork(void)
{
    pthread_mutex_lock(&pool.lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&pool.lock);
}

static void after_fork_in_child(void)
{
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pool.jobs = NULL;
    pool.workers = 0;
    pool.idle = 0;
    atomic_store(&pool.runs, 0);
}

static void register_fork_handlers(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* Starts workers until there are `wanted`; fewer when the system refuses. The lock is held. */
static void grow_pool(int wanted)
{
    pthread_attr_t attr;
    if (pool.workers >= wanted || pthread_attr_init(&attr) != 0) {
        return;
    }
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigset_t all, old; /* workers inherit the mask: signals are for the host program's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_t thread;
    while (pool.workers < wanted && pthread_create(&thread, &attr, worker_main, NULL) == 0) {
        pool.workers++;
        pool.idle++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
}

/* Reserves up to `wanted` idle workers for the job and wakes them. Returns how many. */
static int open_job(struct job *job, int wanted)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_fork_handlers);
    pthread_mutex_lock(&pool.lock);
    grow_pool(wanted);
    int reserved = pool.idle < wanted ? pool.idle : wanted;
    if (reserved > 0) {
        pool.idle -= reserved;
        job->open = reserved;
        job->link = pool.jobs;
        pool.jobs = job;
        atomic_fetch_add(&pool.opened, 1);
    }
    for (int i = 0; i < reserved; i++) {
        pthread_cond_signal(&pool.wake);
    }
    pthread_mutex_unlock(&pool.lock);
    return reserved;
}

/* Sends away the workers that have not come yet and waits for the others. */
static void close_job(struct job *job)
{
    pthread_mutex_lock(&pool.lock);
    if (job->open > 0) {
        unlink_job(job);
        pool.idle += job->open;
    }
    if (job->active > 0) {
        pthread_mutex_unlock(&pool.lock);
        await_workers(job);
        pthread_mutex_lock(&pool.lock);
    }
    while (job->active > 0) {
        pthread_cond_wait(&job->done, &pool.lock);
    }
    pthread_mutex_unlock(&pool.lock);
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

void bt_parallel_for(int threads, int64_t count, int64_t grain, bt_parallel_fn *fn, void *context)
{
    if (count <= 0) {
        return;
    }
    int64_t ranges = divide_up(count, grain > 1 ? grain : 1);
    int64_t helpers = (threads < ranges ? threads : ranges) - 1;
    if (helpers <= 0) {
        fn(context, 0, count);
        return;
    }
    helpers = helpers < MAX_WORKERS ? helpers : MAX_WORKERS;
    int64_t even = divide_up(count, (helpers + 1) * RANGES_PER_THREAD);
    struct job job = {.fn = fn, .context = context, .count = count, .range = even > grain ? even : grain};
    pthread_cond_init(&job.done, NULL);
    if (open_job(&job, (int)helpers) == 0) {
        fn(context, 0, count);
    } else {
        run_ranges(&job);
        close_job(&job);
    }
    pthread_cond_destroy(&job.done);
}

static _Thread_local int begun_threads = 1;

int bt_parallel_begin(int threads)
{
    const int before = begun_threads;
    begun_threads = threads > 1 ? threads : 1;
    atomic_fetch_add(&pool.runs, threads > 1);
    return before;
}

void bt_parallel_end(int before)
{
    atomic_fetch_sub(&pool.runs, begun_threads > 1);
    begun_threads = before;
}

int bt_parallel_threads(void)
{
    return begun_threads;
}

static _Atomic int chosen_threads;
static pthread_once_t default_once = PTHREAD_ONCE_INIT;
static int default_threads;

static void default_init(void)
{
    const char *text = getenv("BERTC_NUM_THREADS");
    long number = text ? strtol(text, NULL, 10) : 0;
    default_threads = number > 0 && number <= INT_MAX ? (int)number : bt_cpu_count();
}

int bt_threads(void)
{
    int threads = atomic_load(&chosen_threads);
    if (threads > 0) {
        return threads;
    }
    pthread_once(&default_once, default_init);
    return default_threads;
}

void bt_set_threads(int threads)
{
    atomic_store(&chosen_threads, threads > 0 ? threads : 0);
}
