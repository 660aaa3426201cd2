/* thread.h: a small pool of sleeping workers for loops over independent items */
#ifndef BT_BASE_THREAD_H
#define BT_BASE_THREAD_H

#include <stddef.h>
#include <stdint.h>

/* Called for disjoint ranges [begin, end) that together cover [0, count). */
typedef void bt_parallel_fn(void *context, int64_t begin, int64_t end);

/* Runs fn over [0, count) in ranges of at least `grain` items on up to `threads` threads, the caller's included;
 * returns when all are done. Runs on the caller alone when threads <= 1, count <= grain or the workers are busy with
 * other callers. Workers start at first use, sleep when idle, and are started afresh in a forked child. */
void bt_parallel_for(int threads, int64_t count, int64_t grain, bt_parallel_fn *fn, void *context);

/* Around loops that follow each other closely: workers look out for the next one, rather than sleep in between.
 * bt_parallel_end takes what bt_parallel_begin returned. */
int bt_parallel_begin(int threads);
void bt_parallel_end(int before);
/* Inside, on the calling thread, the number it was begun with; else 1: for work far below who knows it. */
int bt_parallel_threads(void);

/* Threads a model uses when it names none: set by bt_set_threads, else BERTC_NUM_THREADS, else bt_cpu_count(). */
int bt_threads(void);
void bt_set_threads(int threads); /* 0 = back to the default */

#endif
