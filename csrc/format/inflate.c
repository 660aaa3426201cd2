/* inflate.c: raw deflate through zlib */
#include "format/inflate.h"

#include <limits.h>
#include <zlib.h>

#include "base/memory.h"

static voidpf zlib_alloc(voidpf opaque, uInt count, uInt size)
{
    (void)opaque;
    return bt_alloc(count, size);
}

static void zlib_free(voidpf opaque, voidpf p)
{
    (void)opaque;
    bt_free(p);
}

enum bertc_status bt_inflate(struct bt_span in, uint8_t *out, size_t size, struct bertc_error *err)
{
    if (in.size > UINT_MAX || size > UINT_MAX) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "compressed data of 4 GiB or more");
    }
    z_stream stream = {
        .zalloc = zlib_alloc,
        .zfree = zlib_free,
        .next_in = (z_const Bytef *)in.data,
        .avail_in = (uInt)in.size,
        .next_out = out,
        .avail_out = (uInt)size,
    };
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) {
        return bt_error_memory(err);
    }
    int code = inflate(&stream, Z_FINISH);
    size_t read = in.size - stream.avail_in, written = size - stream.avail_out;
    const char *reason = stream.msg ? stream.msg : "the stream does not end where it should";
    inflateEnd(&stream);

    if (code == Z_MEM_ERROR) {
        return bt_error_memory(err);
    }
    if (code != Z_STREAM_END || read != in.size || written != size) {
        return bt_error_set(err, BERTC_FORMAT, "bad compressed data: %s (%zu of %zu bytes read, %zu of %zu written)",
                            reason, read, in.size, written, size);
    }
    return BERTC_OK;
}
