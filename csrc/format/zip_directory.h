/* zip_directory.h: where a zip archive's central directory is, and the records in it */
#ifndef BT_FORMAT_ZIP_DIRECTORY_H
#define BT_FORMAT_ZIP_DIRECTORY_H

#include "base/error.h"
#include "base/file.h"
#include "format/zip.h"

struct bt_zip_directory {
    uint64_t offset, size, count;
};

/* One record, its name still in the archive's bytes. */
struct bt_zip_record {
    struct bt_zip_member member; /* without name */
    struct bt_span name;
    uint16_t flags;
};

/* Finds the end record (and its zip64 form) at the end of the archive. The directory that it returns lies inside the
 * bytes and has room for `count` records. */
enum bertc_status bt_zip_directory_find(struct bt_span bytes, struct bt_zip_directory *out, struct bertc_error *err);

/* Reads the record at *at and moves *at behind it; *at stays within the directory. */
enum bertc_status bt_zip_directory_next(struct bt_span directory, size_t *at, struct bt_zip_record *out,
                                        struct bertc_error *err);

#endif
