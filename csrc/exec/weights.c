/* weights.c: constants in the form that steps want: aligned, and float32 where the file has half precision */
#include "exec/weights.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "exec/known.h"
#include "exec/lanes.h"

struct copy {
    struct bt_tensor from; /* the key, with panel */
    int64_t panel;         /* columns of a panel when it is packed, else 0 */
    void *data;            /* items, or struct bt_panels; NULL: an empty slot */
    int64_t strides[BT_MAX_RANK];
};

/* Packed weights lie close together on huge pages: a forward pass reads all of them, page after page. */
struct slab {
    struct slab *next;
    size_t size, used;
    /* the bytes follow, from FIRST on */
};

enum { FIRST = BT_ALIGN };

enum { FEW_ROWS = 64 };

struct bt_panels {
    struct bt_weights *weights;
    const struct bt_panel_gemm *gemm;
    struct bt_tensor tensor; /* (N, K) */
    atomic_bool used;
    _Atomic(float *) all; /* NULL until it is packed */
};

struct bt_weights {
    const struct bt_file *file;
    struct bt_files beside;
    pthread_mutex_t lock;
    struct copy *slots; /* open addressing; cap is a power of two */
    size_t count, cap;
    struct slab *slabs; /* the one with room first */
    struct bt_weights_size size;
    struct bt_known known;
};

struct bt_weights *bt_weights_new(const struct bt_file *file, struct bt_files beside)
{
    struct bt_weights *weights = bt_calloc(1, sizeof *weights);
    if (weights && pthread_mutex_init(&weights->lock, NULL) != 0) {
        bt_free(weights);
        return NULL;
    }
    if (weights && !bt_known_init(&weights->known)) {
        pthread_mutex_destroy(&weights->lock);
        bt_free(weights);
        return NULL;
    }
    if (weights) {
        weights->file = file;
        weights->beside = beside;
    }
    return weights;
}

void bt_weights_free(struct bt_weights *weights)
{
    if (!weights) {
        return;
    }
    for (size_t i = 0; i < weights->cap; i++) {
        bt_free(weights->slots[i].data);
    }
    while (weights->slabs) {
        struct slab *next = weights->slabs->next;
        bt_free(weights->slabs);
        weights->slabs = next;
    }
    bt_free(weights->slots);
    bt_known_free(&weights->known);
    pthread_mutex_destroy(&weights->lock);
    bt_free(weights);
}

struct bt_weights_size bt_weights_size(struct bt_weights *weights)
{
    pthread_mutex_lock(&weights->lock);
    struct bt_weights_size size = weights->size;
    pthread_mutex_unlock(&weights->lock);
    size.converted += bt_known_bytes(&weights->known);
    return size;
}

struct bt_known *bt_weights_known(struct bt_weights *weights)
{
    return &weights->known;
}

static bool same_tensor(const struct bt_tensor *a, const struct bt_tensor *b)
{
    size_t size = (size_t)a->rank * sizeof *a->dims;
    return a->data == b->data && a->dtype == b->dtype && a->rank == b->rank && memcmp(a->dims, b->dims, size) == 0 &&
           memcmp(a->strides, b->strides, size) == 0;
}

/* The slot that holds the tensor's copy, or the empty one where it belongs. */
static struct copy *find(struct copy *slots, size_t cap, const struct bt_tensor *tensor, int64_t panel)
{
    uint64_t hash = (uintptr_t)tensor->data + (uint64_t)tensor->dtype + (uint64_t)panel;
    for (int d = 0; d < tensor->rank; d++) {
        hash = (hash ^ (uint64_t)tensor->dims[d] ^ (uint64_t)tensor->strides[d] << 32) * 0x9e3779b97f4a7c15u;
    }
    hash ^= hash >> 29;
    size_t i = (size_t)hash & (cap - 1);
    while (slots[i].data && !(slots[i].panel == panel && same_tensor(&slots[i].from, tensor))) {
        i = (i + 1) & (cap - 1);
    }
    return &slots[i];
}

static bool make_room(struct bt_weights *weights)
{
    if (weights->count < weights->cap / 2) {
        return true;
    }
    size_t cap = weights->cap ? weights->cap * 2 : 64;
    struct copy *slots = bt_calloc(cap, sizeof *slots);
    if (!slots) {
        return false;
    }
    for (size_t i = 0; i < weights->cap; i++) {
        if (weights->slots[i].data) {
            *find(slots, cap, &weights->slots[i].from, weights->slots[i].panel) = weights->slots[i];
        }
    }
    bt_free(weights->slots);
    weights->slots = slots;
    weights->cap = cap;
    return true;
}

/* Whether steps can read the tensor where it lies. */
static bool is_ready(const struct bt_tensor *tensor)
{
    return bt_dtype_storage(tensor->dtype) == tensor->dtype &&
           (uintptr_t)tensor->data % bt_dtype_size(tensor->dtype) == 0;
}

/* Converts what the file has: dims that it repeats by a zero stride stay repeated. */
static bool convert(struct copy *copy, const struct bt_tensor *tensor, size_t *bytes)
{
    enum bt_dtype dtype = bt_dtype_storage(tensor->dtype);
    int64_t dims[BT_MAX_RANK], count = 1;
    for (int d = 0; d < tensor->rank; d++) {
        dims[d] = tensor->strides[d] == 0 && tensor->dims[d] > 0 ? 1 : tensor->dims[d];
        if (!bt_mul_i64(count, dims[d], &count)) {
            return false;
        }
    }
    bt_contiguous_strides(tensor->rank, dims, copy->strides);
    for (int d = 0; d < tensor->rank; d++) {
        if (dims[d] != tensor->dims[d]) {
            copy->strides[d] = 0;
        }
    }
    copy->data = bt_alloc((size_t)count, bt_dtype_size(dtype));
    if (!copy->data) {
        return false;
    }
    copy->from = *tensor;
    *bytes = (size_t)count * bt_dtype_size(dtype);
    if (count == 0) {
        return true;
    }
    struct bt_reader reader;
    bt_reader_init(&reader, dtype == tensor->dtype ? BT_LANE_RAW : bt_lane_of(tensor->dtype), tensor->dtype,
                   tensor->rank, dims, tensor->strides, tensor->data);
    const void *items = bt_reader_read(&reader, 0, count, copy->data);
    if (items != copy->data) {
        memcpy(copy->data, items, *bytes);
    }
    return true;
}

/* Room in the newest slab, or in a new one: slabs double in size up to a limit. NULL: out of memory. */
static void *slab_alloc(struct bt_weights *weights, size_t size)
{
    const size_t largest = 16 * BT_HUGE_PAGE;
    struct slab *slab = weights->slabs;
    size = (size + BT_ALIGN - 1) / BT_ALIGN * BT_ALIGN;
    if (!slab || slab->size - slab->used < size) {
        size_t bytes = slab ? slab->size * 2 : BT_HUGE_PAGE;
        bytes = bytes < largest ? bytes : largest;
        bytes = bytes < size + FIRST ? size + FIRST : bytes;
        slab = bt_alloc_huge(bytes);
        if (!slab) {
            return NULL;
        }
        *slab = (struct slab){weights->slabs, bytes, FIRST};
        weights->slabs = slab;
    }
    void *p = (char *)slab + slab->used;
    slab->used += size;
    return p;
}

void bt_weights_release(const struct bt_weights *weights, const struct bt_tensor *tensor)
{
    int64_t last = 0;
    for (int d = 0; d < tensor->rank; d++) {
        if (tensor->dims[d] == 0) {
            return;
        }
        last += (tensor->dims[d] - 1) * tensor->strides[d];
    }
    const size_t size = (size_t)(last + 1) * bt_dtype_size(tensor->dtype);
    if (weights->file) {
        bt_file_drop(weights->file, tensor->data, size);
    }
    for (size_t i = 0; i < weights->beside.count; i++) {
        bt_file_drop(weights->beside.items[i], tensor->data, size);
    }
}

static bool add_panels(struct bt_weights *weights, struct copy *copy, const struct bt_tensor *tensor,
                       const struct bt_panel_gemm *gemm)
{
    struct bt_panels *panels = bt_calloc(1, sizeof *panels);
    if (!panels) {
        return false;
    }
    panels->weights = weights;
    panels->gemm = gemm;
    panels->tensor = *tensor;
    copy->from = *tensor;
    copy->panel = gemm->nr;
    copy->data = panels;
    return true;
}

static bool add_converted(struct bt_weights *weights, struct copy *copy, const struct bt_tensor *tensor)
{
    size_t bytes;
    if (!convert(copy, tensor, &bytes)) {
        return false;
    }
    weights->size.converted += bytes;
    bt_weights_release(weights, tensor);
    return true;
}

/* What there is of a tensor: its panels, or converted (gemm NULL); made now if need be. Without data when memory is
 * out. */
static struct copy copy_of(struct bt_weights *weights, const struct bt_tensor *tensor, const struct bt_panel_gemm *gemm)
{
    pthread_mutex_lock(&weights->lock);
    struct copy *copy = make_room(weights) ? find(weights->slots, weights->cap, tensor, gemm ? gemm->nr : 0) : NULL;
    if (copy && !copy->data) {
        weights->count += gemm ? add_panels(weights, copy, tensor, gemm) : add_converted(weights, copy, tensor);
    }
    const struct copy found = copy ? *copy : (struct copy){0}; /* slots may move once the lock is gone */
    pthread_mutex_unlock(&weights->lock);
    return found;
}

enum bertc_status bt_weights_prepare(struct bt_weights *weights, const struct bt_tensor *tensor, struct bt_tensor *out,
                                     struct bertc_error *err)
{
    *out = *tensor;
    if (is_ready(tensor)) {
        return BERTC_OK;
    }
    const struct copy copy = copy_of(weights, tensor, NULL);
    if (!copy.data) {
        return bt_error_memory(err);
    }
    out->dtype = bt_dtype_storage(tensor->dtype);
    out->data = copy.data;
    memcpy(out->strides, copy.strides, sizeof out->strides);
    return BERTC_OK;
}

enum bertc_status bt_weights_panels(struct bt_weights *weights, const struct bt_tensor *tensor,
                                    const struct bt_panel_gemm *gemm, struct bt_panels **out, struct bertc_error *err)
{
    const struct copy copy = copy_of(weights, tensor, gemm);
    *out = copy.data;
    return copy.data ? BERTC_OK : bt_error_memory(err);
}

int64_t bt_panels_room(const struct bt_panels *panels)
{
    return panels->gemm->nr * panels->tensor.dims[1];
}

bool bt_panels_one(const struct bt_panels *p, int64_t n, float *room)
{
    const struct bt_tensor *tensor = &p->tensor;
    const int64_t N = tensor->dims[0], K = tensor->dims[1], cols = N - n < p->gemm->nr ? N - n : p->gemm->nr;
    if (is_ready(tensor)) {
        const float *from = (const float *)tensor->data + n * tensor->strides[0];
        p->gemm->pack(K, cols, from, tensor->strides[1], tensor->strides[0], room);
        return true;
    }
    float *items = bt_alloc((size_t)(cols * K), sizeof *items);
    if (items && K > 0) {
        const bool across = tensor->strides[0] < tensor->strides[1]; /* in memory, as ONNX has it: read in that order */
        const int64_t dims[] = {across ? K : cols, across ? cols : K};
        const int64_t strides[] = {tensor->strides[across], tensor->strides[!across]};
        const char *data = (const char *)tensor->data + n * tensor->strides[0] * (int64_t)bt_dtype_size(tensor->dtype);
        struct bt_reader reader;
        bt_reader_init(&reader, BT_LANE_F32, tensor->dtype, 2, dims, strides, data);
        const void *found = bt_reader_read(&reader, 0, cols * K, items);
        if (found != items) { /* not aligned */
            memcpy(items, found, (size_t)(cols * K) * sizeof *items);
        }
        p->gemm->pack(K, cols, items, across ? cols : 1, across ? 1 : K, room);
    }
    bt_free(items);
    return items;
}

/* NULL: out of memory. */
static float *pack_all(const struct bt_panels *p)
{
    const int64_t N = p->tensor.dims[0], K = p->tensor.dims[1], nr = p->gemm->nr;
    const size_t bytes = (size_t)bt_panel_size(nr, K, N) * sizeof(float);
    float *all = slab_alloc(p->weights, bytes);
    bool good = all;
    for (int64_t n = 0; n < N && good; n += nr) {
        good = bt_panels_one(p, n, all + n * K);
    }
    if (!good) {
        return NULL;
    }
    p->weights->size.packed += bytes;
    bt_weights_release(p->weights, &p->tensor);
    return all;
}

const float *bt_panels_all(struct bt_panels *p, int64_t rows)
{
    float *all = atomic_load_explicit(&p->all, memory_order_acquire);
    if (all || (rows <= FEW_ROWS && !atomic_exchange(&p->used, true))) {
        return all;
    }
    pthread_mutex_lock(&p->weights->lock);
    all = atomic_load(&p->all);
    if (!all) {
        all = pack_all(p);
        atomic_store_explicit(&p->all, all, memory_order_release);
    }
    pthread_mutex_unlock(&p->weights->lock);
    return all;
}
