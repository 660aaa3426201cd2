/* zip.c: open a zip archive, find its members, read and check their bytes */
#include "format/zip.h"

#include <stdlib.h>
#include <string.h>

#include "format/bytes.h"
#include "format/chars.h"
#include "format/crc32.h"
#include "format/inflate.h"
#include "format/zip_directory.h"

#define LOCAL_SIGNATURE 0x04034b50u /* APPNOTE 4.3.7 */
#define LOCAL_SIZE 30
#define EMPTY_ARCHIVE_SIGNATURE 0x06054b50u
#define FLAG_ENCRYPTED 0x2041 /* encrypted, strongly encrypted, header values masked */
#define STORED 0
#define DEFLATED 8
#define MAX_MEMBERS 100000
#define MAX_INFLATED ((uint64_t)1 << 30)
#define MAX_INFLATION 1032 /* a deflate block cannot expand more */

bool bt_zip_probe(struct bt_span bytes)
{
    if (bytes.size < 4) {
        return false;
    }
    uint32_t signature = bt_le32(bytes.data);
    return signature == LOCAL_SIGNATURE || signature == EMPTY_ARCHIVE_SIGNATURE;
}

static enum bertc_status bad_member(struct bertc_error *err, const char *name, const char *what)
{
    return bt_error_set(err, BERTC_FORMAT, "member %.200s: %s", name, what);
}

/* FNV-1a of a name in two parts */
static uint64_t hash_parts(const char *first, const char *second)
{
    uint64_t hash = 0xcbf29ce484222325u;
    const char *const parts[] = {first, second};
    for (int i = 0; i < 2; i++) {
        for (const char *c = parts[i]; *c; c++) {
            hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
        }
    }
    return hash;
}

/* The bucket that holds first + second, or the empty one where it would go. */
static size_t *find_bucket(const struct bt_zip *zip, const char *first, const char *second)
{
    size_t first_size = strlen(first);
    size_t i = (size_t)hash_parts(first, second) & (zip->bucket_count - 1);
    while (zip->buckets[i]) {
        const char *name = zip->members[zip->buckets[i] - 1].name;
        if (strncmp(name, first, first_size) == 0 && strcmp(name + first_size, second) == 0) {
            break;
        }
        i = (i + 1) & (zip->bucket_count - 1);
    }
    return &zip->buckets[i];
}

static const char *name_fault(const char *name, size_t size)
{
    if (size == 0) {
        return "the name is empty";
    }
    if (memchr(name, '\0', size)) {
        return "a NUL in the name";
    }
    if (memchr(name, '\\', size)) {
        return "a backslash in the name";
    }
    if (!bt_chars_utf8(name, size)) {
        return "the name is not UTF-8";
    }
    if (name[0] == '/') {
        return "the name is an absolute path";
    }
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/' ? 1 : 0;
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0')) {
            return "the name leads out of the archive (\"..\")";
        }
    }
    return NULL;
}

static enum bertc_status check_record(const struct bt_zip_record *record, const char *name, struct bertc_error *err)
{
    const struct bt_zip_member *member = &record->member;
    if (record->flags & FLAG_ENCRYPTED) {
        return bad_member(err, name, "encrypted");
    }
    if (member->method != STORED && member->method != DEFLATED) {
        return bt_error_set(err, BERTC_UNSUPPORTED,
                            "member %.200s: compression method %d (only stored and deflated are known)", name,
                            member->method);
    }
    if (member->method == STORED && member->size != member->stored_size) {
        return bad_member(err, name, "stored, but with two different sizes");
    }
    if (member->method == DEFLATED &&
        (member->size > MAX_INFLATED || member->size / MAX_INFLATION > member->stored_size)) {
        return bt_error_set(err, BERTC_FORMAT, "member %.200s: %llu bytes cannot inflate to %llu", name,
                            (unsigned long long)member->stored_size, (unsigned long long)member->size);
    }
    return BERTC_OK;
}

/* Where the member's bytes are. Its local header must carry the same name; sizes there may be 0 and are ignored. */
static enum bertc_status locate(const struct bt_zip *zip, const struct bt_zip_member *member, struct bt_span *out,
                                struct bertc_error *err)
{
    size_t size = zip->bytes.size;
    if (member->header_offset > size || size - member->header_offset < LOCAL_SIZE) {
        return bad_member(err, member->name, "its header lies beyond the end of the file");
    }
    const uint8_t *header = zip->bytes.data + member->header_offset;
    if (bt_le32(header) != LOCAL_SIGNATURE) {
        return bad_member(err, member->name, "no local header where the central directory says");
    }
    size_t left = size - (size_t)member->header_offset - LOCAL_SIZE;
    size_t name_size = bt_le16(header + 26), extra_size = bt_le16(header + 28);
    if (left < name_size + extra_size || left - name_size - extra_size < member->stored_size) {
        return bad_member(err, member->name, "its data reaches beyond the end of the file");
    }
    if (name_size != strlen(member->name) || memcmp(header + LOCAL_SIZE, member->name, name_size) != 0) {
        return bad_member(err, member->name, "its local header has another name");
    }
    *out = (struct bt_span){header + LOCAL_SIZE + name_size + extra_size, (size_t)member->stored_size};
    return BERTC_OK;
}

static enum bertc_status read_members(struct bt_zip *zip, struct bt_span directory, struct bertc_error *err)
{
    size_t at = 0;
    for (size_t i = 0; i < zip->count; i++) {
        struct bt_zip_record record;
        enum bertc_status status = bt_zip_directory_next(directory, &at, &record, err);
        if (status != BERTC_OK) {
            return status;
        }
        char *name = bt_arena_string(&zip->arena, (const char *)record.name.data, record.name.size);
        if (!name) {
            return bt_error_memory(err);
        }
        const char *fault = name_fault(name, record.name.size);
        if (fault) {
            return bt_error_set(err, BERTC_FORMAT, "member %zu: %s", i, fault);
        }
        status = check_record(&record, name, err);
        if (status != BERTC_OK) {
            return status;
        }
        size_t *bucket = find_bucket(zip, name, "");
        if (*bucket) {
            return bad_member(err, name, "the archive has two of this name");
        }
        *bucket = i + 1;
        zip->members[i] = record.member;
        zip->members[i].name = name;
    }
    return BERTC_OK;
}

struct extent {
    const uint8_t *begin, *end; /* header and data */
    const char *name;
};

static int by_address(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin ? 1 : 0;
}

/* No byte may belong to two members, or to a member and the directory. */
static enum bertc_status check_overlap(const struct bt_zip *zip, const uint8_t *directory, struct bertc_error *err)
{
    struct extent *extents = bt_alloc(zip->count + 1, sizeof *extents);
    if (!extents) {
        return bt_error_memory(err);
    }
    enum bertc_status status = BERTC_OK;
    for (size_t i = 0; i < zip->count && status == BERTC_OK; i++) {
        const struct bt_zip_member *member = &zip->members[i];
        struct bt_span data;
        status = locate(zip, member, &data, err);
        if (status == BERTC_OK) {
            extents[i] = (struct extent){zip->bytes.data + member->header_offset, data.data + data.size, member->name};
        }
    }
    if (status == BERTC_OK) {
        extents[zip->count] = (struct extent){directory, directory, "the central directory"};
        qsort(extents, zip->count + 1, sizeof *extents, by_address);
        for (size_t i = 0; i < zip->count && status == BERTC_OK; i++) {
            if (extents[i].end > extents[i + 1].begin) {
                status = bt_error_set(err, BERTC_FORMAT, "member %.200s overlaps %.200s", extents[i].name,
                                      extents[i + 1].name);
            }
        }
    }
    bt_free(extents);
    return status;
}

/* The folder that all members are in, with its slash. */
static const char *common_folder(struct bt_zip *zip)
{
    const char *slash = zip->count ? strchr(zip->members[0].name, '/') : NULL;
    if (!slash) {
        return "";
    }
    const char *first = zip->members[0].name;
    size_t size = (size_t)(slash - first) + 1;
    for (size_t i = 1; i < zip->count; i++) {
        if (strncmp(zip->members[i].name, first, size) != 0) {
            return "";
        }
    }
    return bt_arena_string(&zip->arena, first, size);
}

static enum bertc_status open_archive(struct bt_zip *zip, struct bertc_error *err)
{
    struct bt_zip_directory directory;
    enum bertc_status status = bt_zip_directory_find(zip->bytes, &directory, err);
    if (status != BERTC_OK) {
        return status;
    }
    if (directory.count > MAX_MEMBERS) {
        return bt_error_set(err, BERTC_FORMAT, "the archive has %llu members; at most %d are allowed",
                            (unsigned long long)directory.count, MAX_MEMBERS);
    }
    zip->count = (size_t)directory.count;
    zip->bucket_count = 16;
    while (zip->bucket_count < zip->count * 2) {
        zip->bucket_count *= 2;
    }
    zip->members = bt_arena_alloc(&zip->arena, zip->count, sizeof *zip->members);
    zip->buckets = bt_arena_alloc(&zip->arena, zip->bucket_count, sizeof *zip->buckets);
    if (!zip->members || !zip->buckets) {
        return bt_error_memory(err);
    }
    struct bt_span records = {zip->bytes.data + directory.offset, (size_t)directory.size};
    status = read_members(zip, records, err);
    if (status == BERTC_OK) {
        status = check_overlap(zip, records.data, err);
    }
    if (status != BERTC_OK) {
        return status;
    }
    zip->prefix = common_folder(zip);
    return zip->prefix ? BERTC_OK : bt_error_memory(err);
}

enum bertc_status bt_zip_open(struct bt_span bytes, struct bt_zip *zip, struct bertc_error *err)
{
    *zip = (struct bt_zip){.bytes = bytes};
    enum bertc_status status = open_archive(zip, err);
    if (status != BERTC_OK) {
        bt_zip_close(zip);
    }
    return status;
}

void bt_zip_close(struct bt_zip *zip)
{
    bt_arena_free(&zip->arena);
    *zip = (struct bt_zip){0};
}

struct bt_zip_member *bt_zip_find(struct bt_zip *zip, const char *name)
{
    size_t index = *find_bucket(zip, name, "");
    if (!index && zip->prefix[0]) {
        index = *find_bucket(zip, zip->prefix, name);
    }
    return index ? &zip->members[index - 1] : NULL;
}

static enum bertc_status inflate_member(struct bt_zip *zip, struct bt_zip_member *member, struct bt_span *bytes,
                                        struct bertc_error *err)
{
    if (!member->inflated) {
        uint8_t *data = bt_arena_alloc(&zip->arena, 1, (size_t)member->size);
        if (!data) {
            return bt_error_memory(err);
        }
        if (bt_inflate(*bytes, data, (size_t)member->size, err) != BERTC_OK) {
            return bt_error_prefix(err, "member %.200s", member->name);
        }
        member->inflated = data;
    }
    *bytes = (struct bt_span){member->inflated, (size_t)member->size};
    return BERTC_OK;
}

enum bertc_status bt_zip_read(struct bt_zip *zip, struct bt_zip_member *member, struct bt_span *out,
                              struct bertc_error *err)
{
    struct bt_span bytes;
    enum bertc_status status = locate(zip, member, &bytes, err);
    if (status == BERTC_OK && member->method == DEFLATED) {
        status = inflate_member(zip, member, &bytes, err);
    }
    if (status != BERTC_OK) {
        return status;
    }
    /* PyTorch writes 0 when told not to compute it (torch.serialization.set_crc32_options) */
    if (!member->checked && member->crc != 0 && bt_crc32(bytes) != member->crc) {
        return bt_error_set(err, BERTC_FORMAT, "member %.200s: damaged, its CRC-32 is not the recorded %08x",
                            member->name, (unsigned)member->crc);
    }
    member->checked = true;
    *out = bytes;
    return BERTC_OK;
}
