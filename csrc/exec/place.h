/* place.h: offsets in one workspace for what the steps write, by lifetime */
#ifndef BT_EXEC_PLACE_H
#define BT_EXEC_PLACE_H

#include "exec/step.h"

#define BT_PLACE_LIMIT ((int64_t)1 << 46) /* more bytes than any machine has: sizes stay far from overflow */

/* The memory of one result, shared by all its views. */
struct bt_storage {
    int64_t size;   /* bytes */
    size_t last;    /* the last step that touches it */
    int32_t output; /* it is this output's buffer, and needs no place; or -1 */
    int64_t offset; /* set here */
};

/* Places the storages; *total is the workspace's size. The steps' WORK refs carry the number of their storage in `slot`
 * and an offset from its start. `order` has room for one item a storage. */
enum bertc_status bt_place(const struct bt_step *steps, size_t step_count, struct bt_storage *storages, int32_t *order,
                           int64_t *total, struct bertc_error *err);

#endif
