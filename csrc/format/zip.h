/* zip.h: read a zip archive's central directory; stored members are views, deflated ones are inflated
 * Format: PKWARE APPNOTE.TXT 6.3.x (4.3 records, 4.5.3 zip64). PyTorch writes zip64 records, 64-byte aligned data. */
#ifndef BT_FORMAT_ZIP_H
#define BT_FORMAT_ZIP_H

#include <stdbool.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

struct bt_zip_member {
    const char *name;       /* full name as stored, NUL-terminated, valid UTF-8, no "..", not absolute */
    uint64_t size;          /* uncompressed */
    uint64_t stored_size;   /* compressed */
    uint64_t header_offset; /* of the local header */
    uint32_t crc;
    uint16_t method; /* 0 stored, 8 deflated */
    bool checked;    /* the CRC has been verified */
    const uint8_t *inflated; /* a deflated member's bytes, once read */
};

struct bt_zip {
    struct bt_arena arena; /* names, members, inflated data */
    struct bt_span bytes;
    struct bt_zip_member *members; /* in central-directory order */
    size_t count;
    size_t *buckets; /* name hash -> index + 1 */
    size_t bucket_count;
    const char *prefix; /* the top folder with its slash ("model/"), "" when there is none */
};

/* True when the bytes look like a zip archive (local header or empty-archive signature). */
bool bt_zip_probe(struct bt_span bytes);

/* Reads and checks the directory: duplicate names, "..", absolute names, encrypted members, unknown methods, sizes and
 * offsets beyond the file, overlapping members, multi-disk archives are refused, each with its own message. The bytes
 * must outlive the zip. */
enum bertc_status bt_zip_open(struct bt_span bytes, struct bt_zip *zip, struct bertc_error *err);
void bt_zip_close(struct bt_zip *zip); /* accepts a zeroed struct */

/* Finds a member by its full name, or by prefix + name. NULL when absent. */
struct bt_zip_member *bt_zip_find(struct bt_zip *zip, const char *name);

/* The member's bytes, CRC checked (unless 0 is recorded: not computed): a view of the archive when stored, else
 * memory of the zip's arena, inflated once. */
enum bertc_status bt_zip_read(struct bt_zip *zip, struct bt_zip_member *member, struct bt_span *out,
                              struct bertc_error *err);

#endif
