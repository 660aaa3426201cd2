/* archive.h: the zip archives of torch: version, byte order, members, pickles with their storages */
#ifndef BT_LOAD_ARCHIVE_H
#define BT_LOAD_ARCHIVE_H

#include "base/map.h"
#include "format/pickle.h"
#include "format/zip.h"

struct bt_archive {
    struct bt_zip zip;
    struct bt_arena *arena; /* of what is read */
    struct bt_map copies;   /* storages that were not aligned: member name -> index of spans */
    struct bt_span *spans;
    size_t span_count, span_cap;
    int64_t version;     /* of TorchScript's file format, 1 to 10 */
    bool has_byte_order; /* newer archives say it */
};

/* Opens the zip of any file of torch and checks its byte order. */
enum bertc_status bt_archive_open(struct bt_span bytes, struct bt_arena *arena, struct bt_archive *out,
                                  struct bertc_error *err);
/* Opens that of a TorchScript model and checks its version. A zip that is something else (torch.save, .npz) is refused
 * in words that say what it is. */
enum bertc_status bt_archive_open_script(struct bt_span bytes, struct bt_arena *arena, struct bt_archive *out,
                                         struct bertc_error *err);
void bt_archive_close(struct bt_archive *archive); /* accepts a zeroed one */

/* The name of member i behind the top folder, NULL when it is outside of that. */
const char *bt_archive_name(const struct bt_archive *archive, size_t i);
bool bt_archive_has(struct bt_archive *archive, const char *name);
/* A member's bytes; its absence is BERTC_FORMAT. */
enum bertc_status bt_archive_read(struct bt_archive *archive, const char *name, struct bt_span *out,
                                  struct bertc_error *err);
/* The bytes of a member that holds numbers of this size, aligned to it. */
enum bertc_status bt_archive_storage(struct bt_archive *archive, const char *name, size_t align, struct bt_span *out,
                                     struct bertc_error *err);
/* Reads "<stem>.pkl", whose storages are the members "<stem>/<key>". */
enum bertc_status bt_archive_pickle(struct bt_archive *archive, const char *stem, struct bt_pickle **out,
                                    struct bertc_error *err);
/* The same without the storages, which may be absent: the tensors have shape and dtype, their data is NULL. */
enum bertc_status bt_archive_shapes(struct bt_archive *archive, const char *stem, struct bt_pickle **out,
                                    struct bertc_error *err);

#endif
