/* parts.h: sequences of different lengths shared out to parts of about as many tokens each */
#ifndef BT_EXEC_PARTS_H
#define BT_EXEC_PARTS_H

#include "base/error.h"
#include "exec/step.h"

/* Sequences in the order of their parts; part k has those from begin[k] to begin[k + 1]. No part has fewer tokens than
 * the next. */
struct bt_parts {
    struct bt_sequence *sequences; /* item, start and count are set */
    int64_t *begin, *tokens;       /* of each part */
    int64_t count;
};

/* Shares sequences out to `count` parts, the longest first, each to the part that has the fewest tokens then. */
enum bertc_status bt_parts_new(const int64_t *lengths, int64_t items, int64_t count, struct bt_parts *parts,
                               struct bertc_error *err);
void bt_parts_free(struct bt_parts *parts);

#endif
