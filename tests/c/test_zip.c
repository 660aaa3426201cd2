/* test_zip.c: read small zip archives, and refuse each kind of broken one */
#include <stdint.h>
#include <zlib.h>

#include "base/memory.h"
#include "check.h"
#include "format/pickle.h"
#include "format/zip.h"

struct bytes {
    uint8_t data[4096];
    size_t size;
};

static void put(struct bytes *out, const void *data, size_t size)
{
    memcpy(out->data + out->size, data, size);
    out->size += size;
}

static void set_number(struct bytes *out, size_t at, size_t width, uint64_t value)
{
    for (size_t i = 0; i < width; i++) {
        out->data[at + i] = (uint8_t)(value >> (8 * i));
    }
}

static void put_number(struct bytes *out, size_t width, uint64_t value)
{
    set_number(out, out->size, width, value);
    out->size += width;
}

struct entry {
    const char *name;
    const void *data;
    size_t size;
    bool deflated;
};

struct archive {
    struct bytes bytes;
    size_t local[4], record[4]; /* offsets of each entry's local header and directory record */
    size_t end64, locator, end;
};

static size_t deflate_bytes(const void *data, size_t size, uint8_t *out, size_t cap)
{
    z_stream stream = {0};
    deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    stream.next_in = (Bytef *)data;
    stream.avail_in = (uInt)size;
    stream.next_out = out;
    stream.avail_out = (uInt)cap;
    deflate(&stream, Z_FINISH);
    deflateEnd(&stream);
    return stream.total_out;
}

/* As torch writes them: sizes only in the directory, which here keeps them in zip64 fields when `zip64`. */
static struct archive build(const struct entry *entries, size_t count, bool zip64)
{
    struct archive a = {0};
    struct bytes *out = &a.bytes;
    size_t stored[4];
    for (size_t i = 0; i < count; i++) {
        uint8_t packed[1024];
        const void *data = entries[i].data;
        stored[i] = entries[i].size;
        if (entries[i].deflated) {
            stored[i] = deflate_bytes(data, entries[i].size, packed, sizeof packed);
            data = packed;
        }
        a.local[i] = out->size;
        put_number(out, 4, 0x04034b50);
        put_number(out, 4, 0);
        put_number(out, 2, entries[i].deflated ? 8 : 0);
        put_number(out, 8, 0);
        put_number(out, 8, 0);
        put_number(out, 2, strlen(entries[i].name));
        put_number(out, 2, 5); /* an extra field that only the local header has */
        put(out, entries[i].name, strlen(entries[i].name));
        put(out, "FB\1\0Z", 5);
        put(out, data, stored[i]);
    }
    size_t directory = out->size;
    for (size_t i = 0; i < count; i++) {
        a.record[i] = out->size;
        put_number(out, 4, 0x02014b50);
        put_number(out, 6, 0);
        put_number(out, 2, entries[i].deflated ? 8 : 0);
        put_number(out, 4, 0);
        put_number(out, 4, crc32(0, entries[i].data, (uInt)entries[i].size));
        put_number(out, 4, zip64 ? UINT32_MAX : stored[i]);
        put_number(out, 4, zip64 ? UINT32_MAX : entries[i].size);
        put_number(out, 2, strlen(entries[i].name));
        put_number(out, 2, zip64 ? 28 : 0);
        put_number(out, 8, 0);
        put_number(out, 2, 0);
        put_number(out, 4, zip64 ? UINT32_MAX : a.local[i]);
        put(out, entries[i].name, strlen(entries[i].name));
        if (zip64) {
            put_number(out, 2, 1);
            put_number(out, 2, 24);
            put_number(out, 8, entries[i].size);
            put_number(out, 8, stored[i]);
            put_number(out, 8, a.local[i]);
        }
    }
    size_t directory_size = out->size - directory;
    if (zip64) {
        a.end64 = out->size;
        put_number(out, 4, 0x06064b50);
        put_number(out, 8, 44);
        put_number(out, 4, 0);
        put_number(out, 8, 0);
        put_number(out, 8, count);
        put_number(out, 8, count);
        put_number(out, 8, directory_size);
        put_number(out, 8, directory);
        a.locator = out->size;
        put_number(out, 4, 0x07064b50);
        put_number(out, 4, 0);
        put_number(out, 8, a.end64);
        put_number(out, 4, 1);
    }
    a.end = out->size;
    put_number(out, 4, 0x06054b50);
    put_number(out, 4, 0);
    put_number(out, 2, count);
    put_number(out, 2, count);
    put_number(out, 4, zip64 ? UINT32_MAX : directory_size);
    put_number(out, 4, zip64 ? UINT32_MAX : directory);
    put_number(out, 2, 0);
    return a;
}

static const char repeated[300];
static const struct entry plain[] = {{"m/data.pkl", "hello", 5, false}, {"m/code/a.py", repeated, 300, true}};

/* Only as many bytes as there are, so that the sanitizers see a read beyond. */
static enum bertc_status open_exact(const struct archive *a, struct bt_zip *zip, void **copy, struct bertc_error *err)
{
    *copy = bt_alloc(a->bytes.size, 1);
    memcpy(*copy, a->bytes.data, a->bytes.size);
    return bt_zip_open((struct bt_span){*copy, a->bytes.size}, zip, err);
}

static void check_plain(const struct archive *a, const char *prefix)
{
    struct bertc_error err = {0};
    struct bt_zip zip;
    struct bt_span span, again;
    void *copy;
    CHECK(open_exact(a, &zip, &copy, &err) == BERTC_OK && zip.count == 2 && strcmp(zip.prefix, prefix) == 0);
    struct bt_zip_member *member = bt_zip_find(&zip, "data.pkl");
    CHECK(member != NULL && member == bt_zip_find(&zip, "m/data.pkl"));
    CHECK(member && bt_zip_read(&zip, member, &span, &err) == BERTC_OK && span.size == 5);
    CHECK(memcmp(span.data, "hello", 5) == 0 && member->checked);
    member = bt_zip_find(&zip, "code/a.py");
    CHECK(member && bt_zip_read(&zip, member, &span, &err) == BERTC_OK && span.size == 300);
    CHECK(memcmp(span.data, repeated, 300) == 0);
    CHECK(member && bt_zip_read(&zip, member, &again, &err) == BERTC_OK && again.data == span.data);
    CHECK(bt_zip_find(&zip, "a.py") == NULL && bt_zip_find(&zip, "m/") == NULL && bt_zip_find(&zip, "") == NULL);
    bt_zip_close(&zip);
    bt_free(copy);
}

static void test_read(void)
{
    struct archive a = build(plain, 2, false);
    check_plain(&a, "m/");
    CHECK(bt_zip_probe((struct bt_span){a.bytes.data, a.bytes.size}));
    CHECK(!bt_zip_probe((struct bt_span){(const uint8_t *)"PK\3", 3}));
    set_number(&a.bytes, a.end + 20, 2, 11);
    put(&a.bytes, "PK\5\6 comment", 11);
    check_plain(&a, "m/");
    a = build(plain, 2, true);
    check_plain(&a, "m/");
    set_number(&a.bytes, a.record[0] + 16, 4, 0); /* a CRC that was not computed */
    check_plain(&a, "m/");

    struct bertc_error err = {0};
    struct bt_zip zip;
    void *copy;
    a = build((const struct entry[]){{"m/a", "", 0, false}, {"n/b", "", 0, false}}, 2, false);
    CHECK(open_exact(&a, &zip, &copy, &err) == BERTC_OK && strcmp(zip.prefix, "") == 0);
    CHECK(bt_zip_find(&zip, "m/a") != NULL && bt_zip_find(&zip, "a") == NULL);
    bt_zip_close(&zip);
    bt_free(copy);
    a = build(NULL, 0, false);
    CHECK(bt_zip_probe((struct bt_span){a.bytes.data, a.bytes.size}));
    CHECK(open_exact(&a, &zip, &copy, &err) == BERTC_OK && bt_zip_find(&zip, "x") == NULL);
    bt_zip_close(&zip);
    bt_zip_close(&zip);
    bt_free(copy);
}

static void check_open_refusal(const struct archive *a, enum bertc_status status, const char *text)
{
    struct bertc_error err = {0};
    struct bt_zip zip;
    void *copy;
    CHECK_REFUSAL(open_exact(a, &zip, &copy, &err), &err, status, text);
    bt_zip_close(&zip);
    bt_free(copy);
}

enum where { RECORD0, RECORD1, LOCAL0, END, END64, LOCATOR };

static size_t offset_of(const struct archive *a, enum where where)
{
    const size_t offsets[] = {a->record[0], a->record[1], a->local[0], a->end, a->end64, a->locator};
    return offsets[where];
}

static void test_refusals(void)
{
    static const struct {
        enum where where;
        size_t at, width;
        uint64_t value;
        bool zip64;
        enum bertc_status status;
        const char *text;
    } patches[] = {
        {RECORD0, 0, 1, 0, false, BERTC_FORMAT, "no member record at byte 0"},
        {RECORD0, 8, 2, 1, false, BERTC_FORMAT, "encrypted"},
        {RECORD0, 10, 2, 12, false, BERTC_UNSUPPORTED, "compression method 12"},
        {RECORD0, 24, 4, 6, false, BERTC_FORMAT, "two different sizes"},
        {RECORD0, 28, 2, 60000, false, BERTC_FORMAT, "cut off"},
        {RECORD0, 34, 2, 1, false, BERTC_FORMAT, "several disks"},
        {RECORD0, 42, 4, 0x7fffffff, false, BERTC_FORMAT, "header lies beyond the end"},
        {RECORD0, 42, 4, 1, false, BERTC_FORMAT, "no local header"},
        {RECORD0, 42, 4, UINT32_MAX, false, BERTC_FORMAT, "bad extra field"},
        {RECORD0, 46, 1, '/', false, BERTC_FORMAT, "absolute path"},
        {RECORD0, 46, 1, '\\', false, BERTC_FORMAT, "backslash"},
        {RECORD0, 46, 1, 0, false, BERTC_FORMAT, "a NUL in the name"},
        {RECORD0, 46, 1, 0xff, false, BERTC_FORMAT, "not UTF-8"},
        {RECORD0, 46, 1, 'n', false, BERTC_FORMAT, "local header has another name"},
        {RECORD0, 46, 3, 0x2f2e2e, false, BERTC_FORMAT, "\"..\""},
        {RECORD0, 48, 3, 0x2f2e2e, false, BERTC_FORMAT, "\"..\""},
        {RECORD0, 54, 2, 0x2e2e, false, BERTC_FORMAT, "another name"}, /* "data.p.." is a fine name */
        {RECORD1, 24, 4, 0x1000000, false, BERTC_FORMAT, "cannot inflate to 16777216"},
        {RECORD1, 20, 4, 0x1000000, false, BERTC_FORMAT, "data reaches beyond the end"},
        {LOCAL0, 28, 2, 60000, false, BERTC_FORMAT, "data reaches beyond the end"},
        {END, 4, 2, 1, false, BERTC_FORMAT, "several disks"},
        {END, 8, 2, 9, false, BERTC_FORMAT, "several disks"},
        {END, 8, 4, 0x00c800c8, false, BERTC_FORMAT, "claims 200 members"},
        {END, 12, 4, 0x7fffffff, false, BERTC_FORMAT, "reaches into the end record"},
        {END, 16, 4, 0x7fffffff, false, BERTC_FORMAT, "reaches into the end record"},
        {END, 20, 2, 1, false, BERTC_FORMAT, "truncated?"},
        {RECORD0, 58, 2, 25, true, BERTC_FORMAT, "bad extra field"},
        {RECORD0, 58, 2, 16, true, BERTC_FORMAT, "bad extra field"},
        {RECORD0, 56, 2, 2, true, BERTC_FORMAT, "bad extra field"},
        {RECORD0, 76, 8, UINT64_MAX, true, BERTC_FORMAT, "header lies beyond the end"},
        {LOCATOR, 8, 8, UINT64_MAX - 8, true, BERTC_FORMAT, "is not before its locator"},
        {LOCATOR, 8, 8, 0, true, BERTC_FORMAT, "no zip64 end record at byte 0"},
        {END64, 24, 8, 7, true, BERTC_FORMAT, "several disks"},
        {END64, 40, 8, UINT64_MAX, true, BERTC_FORMAT, "reaches into the end record"},
        {END64, 48, 8, UINT64_MAX - 4, true, BERTC_FORMAT, "reaches into the end record"},
        {END, 12, 4, 5, true, BERTC_FORMAT, "disagree"},
    };
    for (size_t i = 0; i < sizeof patches / sizeof patches[0]; i++) {
        struct archive a = build(plain, 2, patches[i].zip64);
        set_number(&a.bytes, offset_of(&a, patches[i].where) + patches[i].at, patches[i].width, patches[i].value);
        check_open_refusal(&a, patches[i].status, patches[i].text);
    }
}

static void test_structure_refusals(void)
{
    struct archive a = build((const struct entry[]){{"m/a", "1", 1, false}, {"m/a", "2", 1, false}}, 2, false);
    check_open_refusal(&a, BERTC_FORMAT, "two of this name");
    a = build((const struct entry[]){{"", "1", 1, false}}, 1, false);
    check_open_refusal(&a, BERTC_FORMAT, "the name is empty");

    /* a member whose data is the whole of another member */
    a = build((const struct entry[]){{"in", "x", 1, false}}, 1, false);
    size_t inner = a.record[0];
    struct archive outer =
        build((const struct entry[]){{"out", a.bytes.data, inner, false}, {"in", "x", 1, false}}, 2, false);
    set_number(&outer.bytes, outer.record[1] + 42, 4, outer.local[1] - inner);
    check_open_refusal(&outer, BERTC_FORMAT, "member out overlaps in");

    a = build(plain, 2, false);
    set_number(&a.bytes, a.record[1] + 20, 4, a.record[0] - a.local[1] - 30 - 11 - 5 + 1);
    check_open_refusal(&a, BERTC_FORMAT, "overlaps the central directory");

    a = build(plain, 2, true);
    for (size_t size = 0; size < a.end + 22; size++) {
        a.bytes.size = size;
        check_open_refusal(&a, BERTC_FORMAT, "truncated?");
    }
}

static void check_read_refusal(const struct archive *a, const char *name, const char *text)
{
    struct bertc_error err = {0};
    struct bt_zip zip;
    struct bt_span span;
    void *copy;
    CHECK(open_exact(a, &zip, &copy, &err) == BERTC_OK);
    CHECK_REFUSAL(bt_zip_read(&zip, bt_zip_find(&zip, name), &span, &err), &err, BERTC_FORMAT, text);
    bt_zip_close(&zip);
    bt_free(copy);
}

static void test_damage(void)
{
    struct archive a = build(plain, 2, false);
    a.bytes.data[a.local[1] - 1] ^= 1;
    check_read_refusal(&a, "data.pkl", "member m/data.pkl: damaged");
    a = build(plain, 2, false);
    a.bytes.data[a.local[1] + 30 + 11 + 5] ^= 6; /* the block type */
    check_read_refusal(&a, "code/a.py", "member m/code/a.py: bad compressed data");
    a = build(plain, 2, false);
    set_number(&a.bytes, a.record[1] + 24, 4, 299);
    check_read_refusal(&a, "code/a.py", "bad compressed data");
    set_number(&a.bytes, a.record[1] + 24, 4, 301);
    check_read_refusal(&a, "code/a.py", "bad compressed data");
}

/* ["x", (1, None)] with a memo */
static const char small_pickle[] = "\x80\2]q\0(X\1\0\0\0xq\1K\1N\x86q\2e.";

static enum bertc_status read_archive(const struct archive *a, struct bertc_error *err)
{
    struct bt_zip zip;
    struct bt_arena arena = {0};
    struct bt_span span;
    struct bt_pickle *value;
    enum bertc_status status = bt_zip_open((struct bt_span){a->bytes.data, a->bytes.size}, &zip, err);
    for (size_t i = 0; i < zip.count && status == BERTC_OK; i++) {
        status = bt_zip_read(&zip, &zip.members[i], &span, err);
        if (status == BERTC_OK) {
            status = bt_pickle_read(span, &(struct bt_pickle_options){.name = "p"}, &arena, &value, NULL, err);
        }
    }
    bt_arena_free(&arena);
    bt_zip_close(&zip);
    return status;
}

static void test_out_of_memory(void)
{
    const struct entry entries[] = {{"m/a", small_pickle, sizeof small_pickle - 1, false},
                                    {"m/b", small_pickle, sizeof small_pickle - 1, true}};
    struct archive a = build(entries, 2, true);
    struct bertc_error err = {0};
    enum bertc_status status = BERTC_MEMORY;
    long n = 0;
    while (status == BERTC_MEMORY && n < 1000) {
        bt_alloc_fail_at(++n);
        status = read_archive(&a, &err);
        CHECK(status == BERTC_OK || (status == BERTC_MEMORY && strstr(err.text, "out of memory")));
    }
    bt_alloc_fail_at(0);
    CHECK(status == BERTC_OK && n > 5);
}

int main(void)
{
    check_group("zip read", test_read);
    check_group("zip refusals", test_refusals);
    check_group("zip structure", test_structure_refusals);
    check_group("zip damage", test_damage);
    check_group("zip out of memory", test_out_of_memory);
    return check_result();
}
