/* file.h: bytes with a known end: a mapped file, or memory that the caller lends */
#ifndef BT_BASE_FILE_H
#define BT_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct bt_span {
    const uint8_t *data;
    size_t size;
};

struct bt_file; /* reference-counted (atomic): several models may share one mapping */

/* Maps a regular file read-only. A directory, a missing or unreadable file is BERTC_IO with errno; an empty file maps
 * to an empty span. */
enum bertc_status bt_file_map(const char *path, struct bt_file **out, struct bertc_error *err);

/* Whether the file that `path` leads to through symbolic links is in or under the directory of `model`, or of the file
 * that `model` leads to (as links into one store of files do). True when it leads nowhere: opening it tells. */
bool bt_file_is_beside(const char *path, const char *model);

/* Wraps memory that must stay valid until `release(owner)` is called (release may be NULL). */
enum bertc_status bt_file_wrap(const void *data, size_t size, void (*release)(void *owner), void *owner,
                               struct bt_file **out, struct bertc_error *err);

struct bt_files {
    struct bt_file *const *items;
    size_t count;
};

/* Gives the memory of the whole pages in a range back to the system, which reads them from the file again when they
 * are touched. Does nothing where the range is not of a mapped file. */
void bt_file_drop(const struct bt_file *file, const void *data, size_t size);
/* How many bytes of a mapped file this process holds in memory, shared with the system's cache; 0 for lent memory.
 * All of them where the system does not tell. */
size_t bt_file_resident(const struct bt_file *file);

struct bt_span bt_file_bytes(const struct bt_file *file);
const char *bt_file_path(const struct bt_file *file); /* as it was given; NULL: lent memory */
struct bt_file *bt_file_ref(struct bt_file *file); /* returns file */
void bt_file_unref(struct bt_file *file);          /* NULL is fine */

#endif
