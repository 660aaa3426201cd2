/* cpu.c: CPU features, affinity and container quotas */
#include "base/cpu.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* The register sets that the system saves on a context switch. A bit of cpuid alone does not promise that. */
static unsigned saved_registers(void)
{
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* By cpuid: __builtin_cpu_supports checks the same, but does not know "f16c" before GCC 11. */
static struct bt_cpu detect(void)
{
    enum { XMM_YMM = 0x06, MASKS_ZMM = 0xe0 };
    const unsigned base = bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C;
    const unsigned wide = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    struct bt_cpu cpu = {.avx2 = false};
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) {
        return cpu;
    }
    cpu.clmul = (c & bit_PCLMUL) && (c & bit_SSE4_1);
    if ((c & base) != base) {
        return cpu;
    }
    unsigned saved = saved_registers();
    if ((saved & XMM_YMM) != XMM_YMM || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        return cpu;
    }
    cpu.avx2 = (b & bit_AVX2) != 0;
    cpu.avx512 = cpu.avx2 && (b & wide) == wide && (saved & MASKS_ZMM) == MASKS_ZMM;
    cpu.wide_clmul = cpu.avx512 && cpu.clmul && (c & bit_VPCLMULQDQ);
    return cpu;
}
#elif defined(__aarch64__)
static struct bt_cpu detect(void)
{
    return (struct bt_cpu){.neon = true}; /* part of the base architecture */
}
#else
static struct bt_cpu detect(void)
{
    return (struct bt_cpu){.avx2 = false};
}
#endif

static pthread_once_t features_once = PTHREAD_ONCE_INIT;
static struct bt_cpu features;

static void features_init(void)
{
    features = detect();
    const char *limit = getenv("BERTC_CPU");
    if (limit && strcmp(limit, "ref") == 0) {
        features = (struct bt_cpu){.avx2 = false};
    } else if (limit && strcmp(limit, "avx2") == 0) {
        features.avx512 = features.wide_clmul = false;
    }
}

struct bt_cpu bt_cpu_features(void)
{
    pthread_once(&features_once, features_init);
    return features;
}

/* Reads up to two words, such as cpu.max's quota and period. Returns how many numbers there were: "max" is none. */
static int read_numbers(const char *folder, const char *file, long long *first, long long *second)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path) {
        return 0;
    }
    FILE *stream = fopen(path, "re");
    if (!stream) {
        return 0;
    }
    int count = fscanf(stream, "%lld %lld", first, second);
    fclose(stream);
    return count;
}

/* The quota of one group in processors, rounded up; 0 = none. */
static int group_quota(const char *folder, bool v2)
{
    long long quota = 0, period = 0, rest = 0;
    bool found = v2 ? read_numbers(folder, "cpu.max", &quota, &period) == 2
                    : read_numbers(folder, "cpu.cfs_quota_us", &quota, &rest) >= 1 &&
                          read_numbers(folder, "cpu.cfs_period_us", &period, &rest) >= 1;
    if (!found || quota <= 0 || period <= 0) {
        return 0;
    }
    long long count = quota / period + (quota % period != 0);
    return count < INT_MAX ? (int)count : INT_MAX;
}

static int tighter(int a, int b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The tightest quota of a group and its parents up to the mount point. A container without a cgroup namespace sees the
 * host's path, which does not exist below its mount: the walk then ends at the mount point, which is its own group. */
static int tree_quota(const char *mount, const char *group, bool v2)
{
    char folder[PATH_MAX];
    size_t floor = strlen(mount);
    if (snprintf(folder, sizeof folder, "%s%s", mount, group) >= (int)sizeof folder) {
        return 0;
    }
    int quota = 0;
    for (;;) {
        quota = tighter(quota, group_quota(folder, v2));
        char *slash = strrchr(folder + floor, '/');
        if (!slash) {
            return quota;
        }
        *slash = '\0';
    }
}

static bool has_word(const char *list, size_t size, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list, *end = list + size; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t item = (size_t)((comma ? comma : end) - at);
        if (item == length && memcmp(at, word, length) == 0) {
            return true;
        }
        at += item + 1;
    }
    return false;
}

int bt_cpu_quota(const char *root)
{
    char path[PATH_MAX], line[PATH_MAX];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *stream = fopen(path, "re");
    if (!stream) {
        return 0;
    }
    int quota = 0;
    while (fgets(line, sizeof line, stream)) { /* "id:controllers:/group", where v2 has id 0 and no controllers */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) {
            continue;
        }
        size_t size = (size_t)(group - ++controllers);
        bool v2 = size == 0;
        if (v2 || has_word(controllers, size, "cpu")) {
            snprintf(path, sizeof path, "%s/sys/fs/cgroup%s", root, v2 ? "" : "/cpu");
            quota = tighter(quota, tree_quota(path, group + 1, v2));
        }
    }
    fclose(stream);
    return quota;
}

int bt_cpu_count(void)
{
    int count = 0;
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        count = CPU_COUNT(&set);
    }
#endif
    if (count < 1) { /* also where there are more processors than a cpu_set_t holds */
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        count = online > 0 && online < INT_MAX ? (int)online : 1;
    }
    return tighter(count, bt_cpu_quota(""));
}
