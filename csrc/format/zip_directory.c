/* zip_directory.c: find a zip archive's central directory and decode its records */
#include "format/zip_directory.h"

#include "format/bytes.h"

#define END_SIGNATURE 0x06054b50u /* APPNOTE 4.3.16 */
#define END_SIZE 22
#define MAX_COMMENT 65535
#define LOCATOR_SIGNATURE 0x07064b50u /* 4.3.15 */
#define LOCATOR_SIZE 20
#define END64_SIGNATURE 0x06064b50u /* 4.3.14 */
#define END64_SIZE 56
#define RECORD_SIGNATURE 0x02014b50u /* 4.3.12 */
#define RECORD_SIZE 46
#define ZIP64_EXTRA 0x0001 /* 4.5.3 */

#define IN_ZIP64 0xffffffffu /* a 32-bit field whose value is in the zip64 record or extra field */

/* The comment must end where the file ends: otherwise bytes were added or lost. */
static bool find_end(struct bt_span bytes, size_t *out)
{
    if (bytes.size < END_SIZE) {
        return false;
    }
    size_t last = bytes.size - END_SIZE;
    size_t first = last > MAX_COMMENT ? last - MAX_COMMENT : 0;
    for (size_t at = last;; at--) {
        const uint8_t *p = bytes.data + at;
        if (bt_le32(p) == END_SIGNATURE && bt_le16(p + 20) == last - at) {
            *out = at;
            return true;
        }
        if (at == first) {
            return false;
        }
    }
}

static enum bertc_status read_end64(struct bt_span bytes, size_t locator, struct bt_zip_directory *out, size_t *end,
                                    struct bertc_error *err)
{
    uint64_t at = bt_le64(bytes.data + locator + 8);
    if (at > locator || locator - at < END64_SIZE) {
        return bt_error_set(err, BERTC_FORMAT, "zip64 end record at byte %llu is not before its locator at byte %zu",
                            (unsigned long long)at, locator);
    }
    const uint8_t *p = bytes.data + at;
    if (bt_le32(p) != END64_SIGNATURE) {
        return bt_error_set(err, BERTC_FORMAT, "no zip64 end record at byte %llu, where its locator points",
                            (unsigned long long)at);
    }
    uint64_t on_disk = bt_le64(p + 24);
    struct bt_zip_directory found = {.count = bt_le64(p + 32), .size = bt_le64(p + 40), .offset = bt_le64(p + 48)};
    if (bt_le32(p + 16) != 0 || bt_le32(p + 20) != 0 || on_disk != found.count) {
        return bt_error_set(err, BERTC_FORMAT, "the archive spans several disks");
    }
    if ((out->count != 0xffff && out->count != found.count) || (out->size != IN_ZIP64 && out->size != found.size) ||
        (out->offset != IN_ZIP64 && out->offset != found.offset)) {
        return bt_error_set(err, BERTC_FORMAT, "the archive's two end records disagree about its central directory");
    }
    *out = found;
    *end = (size_t)at;
    return BERTC_OK;
}

enum bertc_status bt_zip_directory_find(struct bt_span bytes, struct bt_zip_directory *out, struct bertc_error *err)
{
    size_t end;
    if (!find_end(bytes, &end)) {
        return bt_error_set(err, BERTC_FORMAT,
                            "the archive ends after %zu bytes without an end-of-central-directory record: truncated?",
                            bytes.size);
    }
    const uint8_t *p = bytes.data + end;
    struct bt_zip_directory found = {.count = bt_le16(p + 10), .size = bt_le32(p + 12), .offset = bt_le32(p + 16)};
    if (bt_le16(p + 4) != 0 || bt_le16(p + 6) != 0 || bt_le16(p + 8) != found.count) {
        return bt_error_set(err, BERTC_FORMAT, "the archive spans several disks");
    }
    if (end >= LOCATOR_SIZE && bt_le32(p - LOCATOR_SIZE) == LOCATOR_SIGNATURE) {
        enum bertc_status status = read_end64(bytes, end - LOCATOR_SIZE, &found, &end, err);
        if (status != BERTC_OK) {
            return status;
        }
    }
    if (found.offset > end || found.size > end - found.offset) {
        return bt_error_set(err, BERTC_FORMAT,
                            "the central directory (%llu bytes at byte %llu) reaches into the end record at byte %zu",
                            (unsigned long long)found.size, (unsigned long long)found.offset, end);
    }
    if (found.count > found.size / RECORD_SIZE) {
        return bt_error_set(err, BERTC_FORMAT, "the archive claims %llu members, too many for %llu bytes of directory",
                            (unsigned long long)found.count, (unsigned long long)found.size);
    }
    *out = found;
    return BERTC_OK;
}

/* Takes the 64-bit values, in this fixed order, of those fields that do not fit 32 bits. */
static bool read_zip64_extra(struct bt_span extra, struct bt_zip_member *member)
{
    uint64_t *const fields[] = {&member->size, &member->stored_size, &member->header_offset};
    for (size_t at = 0; extra.size - at >= 4;) {
        const uint8_t *p = extra.data + at;
        size_t size = bt_le16(p + 2);
        if (size > extra.size - at - 4) {
            return false;
        }
        at += 4 + size;
        if (bt_le16(p) != ZIP64_EXTRA) {
            continue;
        }
        p += 4;
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            if (*fields[i] != IN_ZIP64) {
                continue;
            }
            if (size < 8) {
                return false;
            }
            *fields[i] = bt_le64(p);
            p += 8;
            size -= 8;
        }
        return true;
    }
    return member->size != IN_ZIP64 && member->stored_size != IN_ZIP64 && member->header_offset != IN_ZIP64;
}

enum bertc_status bt_zip_directory_next(struct bt_span directory, size_t *at, struct bt_zip_record *out,
                                        struct bertc_error *err)
{
    size_t left = directory.size - *at;
    const uint8_t *p = directory.data + *at;
    if (left < RECORD_SIZE || bt_le32(p) != RECORD_SIGNATURE) {
        return bt_error_set(err, BERTC_FORMAT, "no member record at byte %zu of the central directory", *at);
    }
    size_t name_size = bt_le16(p + 28), extra_size = bt_le16(p + 30), comment_size = bt_le16(p + 32);
    if (left - RECORD_SIZE < name_size + extra_size + comment_size) {
        return bt_error_set(err, BERTC_FORMAT, "the record at byte %zu of the central directory is cut off", *at);
    }
    *out = (struct bt_zip_record){
        .member = {.method = bt_le16(p + 10),
                   .crc = bt_le32(p + 16),
                   .stored_size = bt_le32(p + 20),
                   .size = bt_le32(p + 24),
                   .header_offset = bt_le32(p + 42)},
        .name = {p + RECORD_SIZE, name_size},
        .flags = bt_le16(p + 8),
    };
    struct bt_span extra = {p + RECORD_SIZE + name_size, extra_size};
    if (bt_le16(p + 34) != 0) {
        return bt_error_set(err, BERTC_FORMAT, "the archive spans several disks");
    }
    if (!read_zip64_extra(extra, &out->member)) {
        return bt_error_set(err, BERTC_FORMAT, "bad extra field in the record at byte %zu of the central directory",
                            *at);
    }
    *at += RECORD_SIZE + name_size + extra_size + comment_size;
    return BERTC_OK;
}
