/* file.c: map a regular file read-only, or borrow memory, with a reference count */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

struct bt_file {
    atomic_int refs;
    struct bt_span bytes;
    void *mapping; /* NULL for an empty file and for borrowed memory */
    char *path;    /* NULL for borrowed memory */
    void (*release)(void *owner);
    void *owner;
};

static enum bertc_status io_error(struct bertc_error *err, int code, const char *path, const char *what)
{
    bt_error_set(err, BERTC_IO, "%s: %s: %s", path, what, strerror(code));
    if (err) {
        err->code = code;
    }
    return BERTC_IO;
}

static enum bertc_status map_descriptor(int fd, const char *path, struct bt_file *file, struct bertc_error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return io_error(err, errno, path, "cannot read its size");
    }
    if (S_ISDIR(info.st_mode)) {
        return io_error(err, EISDIR, path, "cannot map it");
    }
    if (!S_ISREG(info.st_mode)) {
        return io_error(err, EINVAL, path, "not a regular file");
    }
    if ((uintmax_t)info.st_size > SIZE_MAX / 2) {
        return io_error(err, EFBIG, path, "cannot map it");
    }
    size_t size = (size_t)info.st_size;
    if (size > 0) {
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            return io_error(err, errno, path, "cannot map it");
        }
        file->mapping = data;
        file->bytes = (struct bt_span){data, size};
    }
    return BERTC_OK;
}

static struct bt_file *file_new(void)
{
    static const uint8_t nothing[1];
    struct bt_file *file = bt_calloc(1, sizeof *file);
    if (file) {
        atomic_init(&file->refs, 1);
        file->bytes.data = nothing;
    }
    return file;
}

enum bertc_status bt_file_map(const char *path, struct bt_file **out, struct bertc_error *err)
{
    /* O_NONBLOCK: opening a FIFO must not wait for its writer */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return io_error(err, errno, path, "cannot open it");
    }
    struct bt_file *file = file_new();
    const size_t size = strlen(path) + 1;
    enum bertc_status status = BERTC_MEMORY;
    if (file && (file->path = bt_alloc(size, 1))) {
        memcpy(file->path, path, size);
        status = map_descriptor(fd, path, file, err);
    } else {
        bt_error_memory(err);
    }
    close(fd);
    if (status != BERTC_OK) {
        bt_file_unref(file);
        return status;
    }
    *out = file;
    return BERTC_OK;
}

/* Cuts the last part off. */
static void to_directory(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash) {
        slash[slash == path] = '\0';
    } else {
        strcpy(path, ".");
    }
}

static bool is_under(const char *directory, const char *path)
{
    const size_t size = strcmp(directory, "/") == 0 ? 0 : strlen(directory);
    return strncmp(path, directory, size) == 0 && path[size] == '/';
}

bool bt_file_is_beside(const char *path, const char *model)
{
    char target[PATH_MAX], given[PATH_MAX], directory[PATH_MAX];
    if (!realpath(path, target)) {
        return true;
    }
    if (strlen(model) >= sizeof given - 1) {
        return false;
    }
    strcpy(given, model);
    to_directory(given);
    if (realpath(given, directory) && is_under(directory, target)) {
        return true;
    }
    if (!realpath(model, directory)) {
        return false;
    }
    to_directory(directory);
    return is_under(directory, target);
}

enum bertc_status bt_file_wrap(const void *data, size_t size, void (*release)(void *owner), void *owner,
                               struct bt_file **out, struct bertc_error *err)
{
    struct bt_file *file = file_new();
    if (!file) {
        return bt_error_memory(err);
    }
    if (size > 0) {
        file->bytes = (struct bt_span){data, size};
    }
    file->release = release;
    file->owner = owner;
    *out = file;
    return BERTC_OK;
}

void bt_file_drop(const struct bt_file *file, const void *data, size_t size)
{
    const uintptr_t begin = (uintptr_t)file->mapping, from = (uintptr_t)data;
    if (!file->mapping || from < begin || from - begin > file->bytes.size || size > file->bytes.size - (from - begin)) {
        return;
    }
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = (from + page - 1) / page * page, end = (from + size) / page * page;
    if (first < end) {
        madvise((void *)first, end - first, MADV_DONTNEED);
    }
}

size_t bt_file_resident(const struct bt_file *file)
{
    if (!file->mapping) {
        return 0;
    }
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (file->bytes.size + page - 1) / page;
    const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    size_t present = 0, done = 0;
    uint64_t entries[512];
    while (fd >= 0 && done < pages) {
        const size_t want = pages - done < 512 ? pages - done : 512;
        const off_t at = (off_t)(((uintptr_t)file->mapping / page + done) * sizeof *entries);
        if (pread(fd, entries, want * sizeof *entries, at) != (ssize_t)(want * sizeof *entries)) {
            break;
        }
        for (size_t i = 0; i < want; i++) {
            present += (size_t)(entries[i] >> 63); /* the bit that says so */
        }
        done += want;
    }
    if (fd >= 0) {
        close(fd);
    }
    return done == pages ? present * page : file->bytes.size;
}

struct bt_span bt_file_bytes(const struct bt_file *file)
{
    return file->bytes;
}

const char *bt_file_path(const struct bt_file *file)
{
    return file->path;
}

struct bt_file *bt_file_ref(struct bt_file *file)
{
    atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
    return file;
}

void bt_file_unref(struct bt_file *file)
{
    if (!file || atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (file->mapping) {
        munmap(file->mapping, file->bytes.size);
    }
    if (file->release) {
        file->release(file->owner);
    }
    bt_free(file->path);
    bt_free(file);
}
