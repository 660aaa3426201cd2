/* openblas.c: find an OpenBLAS library at run time */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/gemm.h"

typedef void set_threads_fn(int threads);
typedef char *get_config_fn(void);
typedef int get_parallel_fn(void);

/* The address of <prefix><name> as a function pointer; ISO C has no cast from what dlsym returns. */
static void find_function(void *library, const char *prefix, const char *name, void *function)
{
    char symbol[64];
    snprintf(symbol, sizeof symbol, "%s%s", prefix, name);
    void *address = dlsym(library, symbol);
    memcpy(function, &address, sizeof address);
}

/* Fails for builds that we can't call: 64-bit integers, or sequential ones without locks around their buffers. */
static bt_sgemm_fn *bind(void *library, const char *prefix, const char *path, char *name, size_t size)
{
    bt_sgemm_fn *sgemm;
    set_threads_fn *set_threads;
    get_config_fn *get_config;
    get_parallel_fn *get_parallel;
    find_function(library, prefix, "cblas_sgemm", &sgemm);
    find_function(library, prefix, "openblas_set_num_threads", &set_threads);
    find_function(library, prefix, "openblas_get_config", &get_config);
    find_function(library, prefix, "openblas_get_parallel", &get_parallel);
    if (!sgemm || !set_threads || !get_config || !get_parallel) {
        return NULL;
    }
    const char *config = get_config(); /* "OpenBLAS 0.3.29 DYNAMIC_ARCH NO_AFFINITY SkylakeX MAX_THREADS=64" */
    if (strstr(config, "USE64BITINT") || (get_parallel() == 0 && !strstr(config, "USE_LOCKING"))) {
        return NULL;
    }
    set_threads(1);
    size_t vendor = strcspn(config, " ");
    size_t version = vendor + (config[vendor] == ' ') + strcspn(config + vendor + (config[vendor] == ' '), " ");
    snprintf(name, size, "openblas%.*s (%s)", (int)(version - vendor), config + vendor, path);
    return sgemm;
}

bt_sgemm_fn *bt_openblas_open(const char *path, char *name, size_t size)
{
    static const char *const prefixes[] = {"", "scipy_"}; /* the second: the wheel scipy-openblas32 */
    const char *const paths[] = {path, getenv("BERTC_OPENBLAS"), "libopenblas.so.0", "libopenblas.so"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        void *library = paths[i] && paths[i][0] ? dlopen(paths[i], RTLD_NOW | RTLD_LOCAL) : NULL;
        if (!library) {
            continue;
        }
        for (size_t j = 0; j < sizeof prefixes / sizeof prefixes[0]; j++) {
            bt_sgemm_fn *sgemm = bind(library, prefixes[j], paths[i], name, size);
            if (sgemm) {
                return sgemm;
            }
        }
        dlclose(library);
    }
    return NULL;
}
