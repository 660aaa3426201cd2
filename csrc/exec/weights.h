/* weights.h: constants in the form that steps want: aligned, and float32 where the file has half precision */
#ifndef BT_EXEC_WEIGHTS_H
#define BT_EXEC_WEIGHTS_H

#include "base/error.h"
#include "base/memory.h"
#include "base/tensor.h"

struct bt_known;
struct bt_weights; /* shared by a model's plans; thread-safe */

struct bt_weights *bt_weights_new(void); /* NULL: out of memory */
void bt_weights_free(struct bt_weights *weights);
/* `out` views the tensor itself when it is aligned and of a storage dtype, else a converted copy made once per distinct
 * (data, dtype, dims, strides). */
enum bertc_status bt_weights_prepare(struct bt_weights *weights, const struct bt_tensor *tensor, struct bt_tensor *out,
                                     struct bertc_error *err);
/* A float32 matrix (N, K), as linear has it, packed in panels of nr columns for kernel/panel.h; once per tensor. */
enum bertc_status bt_weights_pack(struct bt_weights *weights, const struct bt_tensor *tensor, int64_t nr,
                                  const float **out, struct bertc_error *err);
struct bt_known *bt_weights_known(struct bt_weights *weights); /* results of constants alone */
size_t bt_weights_bytes(const struct bt_weights *weights); /* held in copies */

#endif
