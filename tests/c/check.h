/* check.h: count checks, report the failed ones with file and line, sum up per group */
#ifndef BT_TESTS_CHECK_H
#define BT_TESTS_CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

static int check_count, check_failures;

static inline void check_at(const char *file, int line, bool good, const char *what)
{
    check_count++;
    if (!good) {
        check_failures++;
        printf("%s:%d: failed: %s\n", file, line, what);
    }
}

#define CHECK(condition) check_at(__FILE__, __LINE__, (condition), #condition)

/* A call that must fail with this status and a message that contains `text`. */
static inline void check_refusal(const char *file, int line, enum bertc_status got, const struct bertc_error *err,
                                 enum bertc_status status, const char *text)
{
    bool good = got == status && err->status == status && strstr(err->text, text);
    check_at(file, line, good, text);
    if (!good) {
        printf("    status %d instead of %d, message: %s\n", (int)got, (int)status, err->text);
    }
}

#define CHECK_REFUSAL(got, err, status, text) check_refusal(__FILE__, __LINE__, (got), (err), (status), (text))

static inline void check_group(const char *name, void (*run)(void))
{
    int before = check_count;
    run();
    printf("%s: %d checks\n", name, check_count - before);
}

/* The exit code of the program. */
static inline int check_result(void)
{
    if (check_failures > 0) {
        printf("%d of %d checks FAILED\n", check_failures, check_count);
    }
    return check_failures > 0;
}

#endif
