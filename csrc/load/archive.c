/* archive.c: the zip archives of torch: version, byte order, members, pickles with their storages */
#include "load/archive.h"

#include <stdio.h>
#include <string.h>

#include "format/chars.h"

#define OLDEST_VERSION 1
#define NEWEST_VERSION 10 /* kMaxSupportedFileFormatVersion of caffe2/serialize/versions.h */
#define MAX_NAME 512

const char *bt_archive_name(const struct bt_archive *archive, size_t i)
{
    const char *name = archive->zip.members[i].name, *prefix = archive->zip.prefix;
    return strncmp(name, prefix, strlen(prefix)) == 0 ? name + strlen(prefix) : NULL;
}

bool bt_archive_has(struct bt_archive *archive, const char *name)
{
    return bt_zip_find(&archive->zip, name) != NULL;
}

enum bertc_status bt_archive_read(struct bt_archive *archive, const char *name, struct bt_span *out,
                                  struct bertc_error *err)
{
    struct bt_zip_member *member = bt_zip_find(&archive->zip, name);
    if (!member) {
        return bt_error_set(err, BERTC_FORMAT, "the archive has no member '%s'", name);
    }
    return bt_zip_read(&archive->zip, member, out, err);
}

/* A short text member without the blanks around it; "" when there is none. */
static enum bertc_status read_record(struct bt_archive *archive, const char *name, char *out, size_t size,
                                     struct bertc_error *err)
{
    struct bt_span bytes = {0};
    out[0] = '\0';
    if (!bt_archive_has(archive, name)) {
        return BERTC_OK;
    }
    enum bertc_status status = bt_archive_read(archive, name, &bytes, err);
    if (status) {
        return status;
    }
    while (bytes.size > 0 && strchr(" \r\n", bytes.data[bytes.size - 1])) {
        bytes.size--;
    }
    if (bytes.size >= size) {
        return bt_error_set(err, BERTC_FORMAT, "the member '%s' is longer than a word", name);
    }
    if (bytes.size) {
        memcpy(out, bytes.data, bytes.size);
    }
    out[bytes.size] = '\0';
    return BERTC_OK;
}

static bool any_member(const struct bt_archive *archive, const char *prefix, const char *suffix)
{
    size_t end = strlen(suffix);
    for (size_t i = 0; i < archive->zip.count; i++) {
        const char *name = bt_archive_name(archive, i);
        size_t size = name ? strlen(name) : 0;
        if (name && !strncmp(name, prefix, strlen(prefix)) && size >= end && !strcmp(name + size - end, suffix)) {
            return true;
        }
    }
    return false;
}

/* What a zip without code holds. */
static enum bertc_status refuse_other(struct bt_archive *archive, struct bertc_error *err)
{
    static const struct {
        const char *prefix, *suffix;
        enum bertc_status status;
        const char *text;
    } kinds[] = {
        {"data/aotinductor/", "", BERTC_UNSUPPORTED,
         "a package compiled by AOTInductor, without the program itself; save that with torch.export.save"},
        {"data.pkl", "", BERTC_UNSUPPORTED,
         "weights saved by torch.save, without code to run; trace the model and save that"},
        {"", ".npy", BERTC_UNSUPPORTED, "a NumPy .npz file, which holds arrays and no model"},
        {"bytecode.pkl", "", BERTC_UNSUPPORTED, "a mobile model without its code"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (any_member(archive, kinds[i].prefix, kinds[i].suffix)) {
            return bt_error_set(err, kinds[i].status, "this is %s", kinds[i].text);
        }
    }
    return bt_error_set(
        err, BERTC_FORMAT,
        "this zip archive has no code/ folder with a model's TorchScript code, nor any other known content");
}

static enum bertc_status check_order(struct bt_archive *archive, struct bertc_error *err)
{
    char text[32];
    archive->has_byte_order = bt_archive_has(archive, "byteorder");
    enum bertc_status status = read_record(archive, "byteorder", text, sizeof text, err);
    if (!status && archive->has_byte_order && strcmp(text, "little") != 0) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "the archive's byte order is '%s', only 'little' is supported",
                            text);
    }
    return status;
}

static enum bertc_status check_version(struct bt_archive *archive, struct bertc_error *err)
{
    char text[32];
    enum bertc_status status;
    if (!any_member(archive, "code/", ".py")) {
        return refuse_other(archive, err);
    }
    const char *record = bt_archive_has(archive, ".data/version") ? ".data/version" : "version";
    if (!bt_archive_has(archive, record)) {
        return bt_error_set(err, BERTC_FORMAT, "the archive has no member 'version'");
    }
    if ((status = read_record(archive, record, text, sizeof text, err))) {
        return status;
    }
    if (!bt_chars_int(text, strlen(text), &archive->version) || archive->version < OLDEST_VERSION) {
        return bt_error_set(err, BERTC_FORMAT, "the member '%s' says '%s', not a number from %d to %d", record, text,
                            OLDEST_VERSION, NEWEST_VERSION);
    }
    if (archive->version > NEWEST_VERSION) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "the archive has file format %lld, bertc knows those up to %d",
                            (long long)archive->version, NEWEST_VERSION);
    }
    return BERTC_OK;
}

enum bertc_status bt_archive_open(struct bt_span bytes, struct bt_arena *arena, struct bt_archive *out,
                                  struct bertc_error *err)
{
    out->arena = arena;
    enum bertc_status status = bt_zip_open(bytes, &out->zip, err);
    return status ? status : check_order(out, err);
}

enum bertc_status bt_archive_open_script(struct bt_span bytes, struct bt_arena *arena, struct bt_archive *out,
                                         struct bertc_error *err)
{
    enum bertc_status status = bt_archive_open(bytes, arena, out, err);
    return status ? status : check_version(out, err);
}

void bt_archive_close(struct bt_archive *archive)
{
    bt_zip_close(&archive->zip);
}

enum bertc_status bt_archive_storage(struct bt_archive *archive, const char *name, size_t align, struct bt_span *out,
                                     struct bertc_error *err)
{
    enum bertc_status status = bt_archive_read(archive, name, out, err);
    if (status || (uintptr_t)out->data % align == 0) {
        return status;
    }
    size_t index;
    const struct bt_zip_member *member = bt_zip_find(&archive->zip, name);
    if (!bt_map_get(&archive->copies, member->name, strlen(member->name), &index)) {
        index = archive->span_count;
        const void *copy = bt_arena_copy(archive->arena, out->data, out->size);
        if (!copy ||
            !bt_arena_reserve(archive->arena, &archive->spans, &archive->span_cap, index + 1, sizeof *archive->spans) ||
            !bt_map_put(&archive->copies, archive->arena, member->name, strlen(member->name), index)) {
            return bt_error_memory(err);
        }
        archive->spans[archive->span_count++] = (struct bt_span){copy, out->size};
    }
    *out = archive->spans[index];
    return BERTC_OK;
}

struct folder {
    struct bt_archive *archive;
    const char *stem;
};

static enum bertc_status resolve_storage(void *context, const char *key, enum bt_dtype dtype, int64_t numel,
                                         struct bt_span *out, struct bertc_error *err)
{
    (void)numel; /* the pickle reader compares it with what it gets */
    const struct folder *folder = context;
    char name[MAX_NAME];
    int size = snprintf(name, sizeof name, "%s/%s", folder->stem, key);
    if (size < 0 || size >= MAX_NAME) {
        return bt_error_set(err, BERTC_FORMAT, "a storage's name is longer than %d bytes", MAX_NAME);
    }
    return bt_archive_storage(folder->archive, name, bt_dtype_size(dtype), out, err);
}

static enum bertc_status resolve_nothing(void *context, const char *key, enum bt_dtype dtype, int64_t numel,
                                         struct bt_span *out, struct bertc_error *err)
{
    (void)context;
    (void)key;
    (void)err;
    *out = (struct bt_span){NULL, (size_t)numel * bt_dtype_size(dtype)};
    return BERTC_OK;
}

static enum bertc_status read_pickle(struct bt_archive *archive, const char *stem, bool data, struct bt_pickle **out,
                                     struct bertc_error *err)
{
    struct folder folder = {archive, stem};
    struct bt_span bytes;
    char name[MAX_NAME];
    snprintf(name, sizeof name, "%s.pkl", stem);
    enum bertc_status status = bt_archive_read(archive, name, &bytes, err);
    if (status) {
        return status;
    }
    const struct bt_pickle_options options = {
        .storage = data ? resolve_storage : resolve_nothing, .context = &folder, .name = name};
    return bt_pickle_read(bytes, &options, archive->arena, out, NULL, err);
}

enum bertc_status bt_archive_pickle(struct bt_archive *archive, const char *stem, struct bt_pickle **out,
                                    struct bertc_error *err)
{
    return read_pickle(archive, stem, true, out, err);
}

enum bertc_status bt_archive_shapes(struct bt_archive *archive, const char *stem, struct bt_pickle **out,
                                    struct bertc_error *err)
{
    return read_pickle(archive, stem, false, out, err);
}
