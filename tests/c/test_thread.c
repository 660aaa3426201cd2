/* test_thread.c: the pool: every item once, many callers, nesting, runs, fork, and rest when there is nothing to do */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
#include "check.h"

enum { MAX_ITEMS = 1000 };

struct visits {
    _Atomic int seen[MAX_ITEMS];
    int64_t count;
    int64_t grain;
    _Atomic int bad_ranges;
};

static void visit(void *context, int64_t begin, int64_t end)
{
    struct visits *visits = context;
    if (begin < 0 || begin >= end || end > visits->count || (end - begin < visits->grain && end < visits->count)) {
        visits->bad_ranges++;
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        visits->seen[i]++;
    }
}

/* Whether a loop visits each item exactly once, in ranges that are large enough. */
static bool visits_all(int threads, int64_t count, int64_t grain)
{
    struct visits visits = {.count = count, .grain = grain};
    bt_parallel_for(threads, count, grain, visit, &visits);
    for (int64_t i = 0; i < MAX_ITEMS; i++) {
        if (visits.seen[i] != (i < count)) {
            return false;
        }
    }
    return visits.bad_ranges == 0;
}

static void coverage(void)
{
    static const int64_t counts[] = {0, 1, 2, 3, 7, 64, 65, 999, 1000};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        for (int threads = 0; threads <= 5; threads++) {
            CHECK(visits_all(threads, counts[c], 1));
            CHECK(visits_all(threads, counts[c], 0));
            CHECK(visits_all(threads, counts[c], 10));
            CHECK(visits_all(threads, counts[c], 1000));
        }
    }
}

static void *call_often(void *failures)
{
    for (int i = 0; i < 300; i++) {
        if (!visits_all(2 + i % 3, 100 + i, 1 + i % 7)) {
            atomic_fetch_add((_Atomic int *)failures, 1);
        }
    }
    return NULL;
}

static void many_callers(void)
{
    enum { CALLERS = 8 };
    pthread_t callers[CALLERS];
    _Atomic int failures = 0;
    for (int i = 0; i < CALLERS; i++) {
        CHECK(pthread_create(&callers[i], NULL, call_often, &failures) == 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        CHECK(pthread_join(callers[i], NULL) == 0);
    }
    CHECK(failures == 0);
}

static void loop_inside(void *context, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        if (!visits_all(3, 50, 1)) {
            atomic_fetch_add((_Atomic int *)context, 1);
        }
    }
}

static void nesting(void)
{
    _Atomic int failures = 0;
    bt_parallel_for(4, 40, 1, loop_inside, &failures);
    CHECK(failures == 0);
}

/* Loops of a run, with pauses in which the workers fall asleep and in which they do not. */
static void runs(void)
{
    CHECK(bt_parallel_threads() == 1);
    const int before = bt_parallel_begin(3);
    CHECK(bt_parallel_threads() == 3);
    for (int i = 0; i < 20; i++) {
        CHECK(visits_all(3, 100, 1));
        CHECK(usleep((useconds_t)i * 150) == 0);
        const int outer = bt_parallel_begin(i % 3);
        CHECK(bt_parallel_threads() == (i % 3 > 1 ? i % 3 : 1));
        bt_parallel_end(outer);
        CHECK(bt_parallel_threads() == 3);
    }
    bt_parallel_end(before);
    CHECK(bt_parallel_threads() == 1);
    CHECK(visits_all(3, 100, 1));
}

/* ThreadSanitizer ends a forked process that starts threads. */
#if !defined(__SANITIZE_THREAD__)
static void forking(void)
{
    pthread_t busy;
    _Atomic int failures = 0;
    CHECK(pthread_create(&busy, NULL, call_often, &failures) == 0);
    for (int i = 0; i < 20; i++) {
        CHECK(visits_all(3, 100, 1));
        pid_t child = fork();
        if (child == 0) {
            bool good = true;
            for (int k = 0; k < 20; k++) {
                good = good && visits_all(3, 500, 1);
            }
            _exit(good ? 0 : 1);
        }
        int status = -1;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    CHECK(pthread_join(busy, NULL) == 0);
    CHECK(failures == 0);
}
#endif

static double cpu_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void idling(void)
{
    CHECK(visits_all(4, 1000, 1));
    double before = cpu_seconds();
    nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    CHECK(cpu_seconds() - before < 0.02);
}

static void thread_counts(void)
{
    int standard = bt_threads();
    CHECK(standard >= 1);
    bt_set_threads(7);
    CHECK(bt_threads() == 7);
    bt_set_threads(0);
    CHECK(bt_threads() == standard);
    bt_set_threads(-3);
    CHECK(bt_threads() == standard);
}

int main(void)
{
    check_group("thread coverage", coverage);
    check_group("thread callers", many_callers);
    check_group("thread nesting", nesting);
    check_group("thread runs", runs);
#if !defined(__SANITIZE_THREAD__)
    check_group("thread fork", forking);
#endif
    check_group("thread rest", idling);
    check_group("thread counts", thread_counts);
    return check_result();
}
