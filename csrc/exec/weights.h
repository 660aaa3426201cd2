/* weights.h: constants in the form that steps want: aligned, and float32 where the file has half precision */
#ifndef BT_EXEC_WEIGHTS_H
#define BT_EXEC_WEIGHTS_H

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/tensor.h"
#include "kernel/panel.h"

struct bt_known;
struct bt_weights; /* shared by a model's plans; thread-safe */

/* Tensors that lie in the file, or in those beside it, give its pages back once they are copied. They must outlive the
 * weights; file may be NULL. Returns NULL when out of memory. */
struct bt_weights *bt_weights_new(const struct bt_file *file, struct bt_files beside);
void bt_weights_free(struct bt_weights *weights);
/* `out` views the tensor itself when it is aligned and of a storage dtype, else a converted copy made once per distinct
 * (data, dtype, dims, strides). */
enum bertc_status bt_weights_prepare(struct bt_weights *weights, const struct bt_tensor *tensor, struct bt_tensor *out,
                                     struct bertc_error *err);
/* A matrix (N, K), as linear has it, of float32 or half precision, for the panels of this GEMM; one per tensor. */
struct bt_panels;
enum bertc_status bt_weights_panels(struct bt_weights *weights, const struct bt_tensor *tensor,
                                    const struct bt_panel_gemm *gemm, struct bt_panels **out, struct bertc_error *err);
/* The whole matrix, packed, for a product with so many rows. NULL when memory is out, and at the first use by few rows:
 * to pack it takes as long as several such products, and a process may want only one. */
const float *bt_panels_all(struct bt_panels *panels, int64_t rows);
/* Packs one panel, from column n on, into room for so many items. False: out of memory. */
bool bt_panels_one(const struct bt_panels *panels, int64_t n, float *room);
int64_t bt_panels_room(const struct bt_panels *panels);

/* What lies in the file between the tensor's first and last item is read no more, or seldom. */
void bt_weights_release(const struct bt_weights *weights, const struct bt_tensor *tensor);

struct bt_weights_size {
    size_t packed, converted; /* bytes held in copies, known results among the converted */
};
struct bt_weights_size bt_weights_size(struct bt_weights *weights);
struct bt_known *bt_weights_known(struct bt_weights *weights); /* results of constants alone */

#endif
