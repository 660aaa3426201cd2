/* steps_pointwise.c: apply an operator item by item to broadcast operands
 * The result is cut into blocks in row-major order. Each operand of a block is used where it lies if it is contiguous
 * there and of the right type, else loaded into a buffer; so every operator is written once, for plain arrays. */
#include <assert.h>

#include "base/thread.h"
#include "exec/grain.h"
#include "exec/iter.h"
#include "exec/pointwise.h"
#include "exec/step.h"

enum { LEAST_BLOCK = 256 };

union number {
    float f32;
    double f64;
    int64_t i64;
};

struct operand {
    struct bt_reader reader;
    bool single;         /* one item is enough */
    union number number; /* what the reader reads when the operand is a number */
};

struct pointwise {
    bt_pointwise_fn *fn;
    const struct bt_kernels *kernels;
    int nargs;
    struct operand in[BT_POINTWISE_OPERANDS];
    enum bt_lane lane;
    bool direct; /* fn writes the result's items themselves */
    enum bt_dtype dtype;
    char *out;
    int64_t count, block;
};

static void run_blocks(void *context, int64_t begin, int64_t end)
{
    const struct pointwise *p = context;
    int64_t size = (int64_t)bt_dtype_size(p->dtype);
    union bt_lane_block buffers[BT_POINTWISE_OPERANDS + 1];
    for (int64_t b = begin; b < end; b++) {
        int64_t at = b * p->block;
        int64_t n = p->count - at < p->block ? p->count - at : p->block;
        const void *x[BT_POINTWISE_OPERANDS] = {NULL};
        for (int k = 0; k < p->nargs; k++) {
            x[k] = bt_reader_read(&p->in[k].reader, at, p->in[k].single ? 1 : n, &buffers[k]);
        }
        char *out = p->out + at * size;
        void *y = p->direct ? (void *)out : &buffers[BT_POINTWISE_OPERANDS];
        p->fn(p->kernels, x, y, n);
        if (!p->direct) {
            bt_lanes_store(p->lane, y, p->dtype, out, n);
        }
    }
}

static union number number_of(const struct bt_scalar *scalar, enum bt_lane lane)
{
    bool is_float = scalar->type == BT_SCALAR_FLOAT;
    switch (lane) {
    case BT_LANE_F32: return (union number){.f32 = is_float ? (float)scalar->f : (float)scalar->i};
    case BT_LANE_F64: return (union number){.f64 = is_float ? scalar->f : (double)scalar->i};
    default: break;
    }
    if (!is_float) {
        return (union number){.i64 = scalar->i};
    }
    bool inside = scalar->f >= -0x1p63 && scalar->f < 0x1p63;
    return (union number){.i64 = inside ? (int64_t)scalar->f : scalar->f > 0 ? INT64_MAX : INT64_MIN};
}

static void read_number(struct operand *in, const struct bt_scalar *scalar, enum bt_lane lane, const struct bt_ref *out)
{
    static const int64_t same[BT_MAX_RANK] = {0};
    in->number = number_of(scalar, lane);
    bt_reader_init(&in->reader, lane, bt_lane_dtype(lane), out->rank, out->dims, same, &in->number);
}

static enum bertc_status read_tensor(struct operand *in, const struct bt_ref *ref, const void *data, enum bt_lane lane,
                                     const struct bt_ref *out, struct bertc_error *err)
{
    int64_t strides[BT_MAX_RANK];
    if (!bt_iter_broadcast(ref->rank, ref->dims, ref->strides, out->rank, out->dims, strides)) {
        return bt_error_set(err, BERTC_INPUT, "an operand does not broadcast to the result's shape");
    }
    bt_reader_init(&in->reader, lane, ref->dtype, out->rank, out->dims, strides, data);
    return BERTC_OK;
}

/* A row that an operand repeats (a bias, say) should fit a block, so that it need not be copied together. */
static int64_t choose_block(const struct pointwise *p)
{
    for (int k = 0; k < p->nargs; k++) {
        int64_t row = p->in[k].reader.dims[0];
        if (p->in[k].reader.rank > 1 && row >= LEAST_BLOCK && row <= BT_LANES) {
            return row;
        }
    }
    return BT_LANES;
}

/* Chooses between the operator's two forms, by whether one item of operand 1 serves a whole block. */
static void choose_form(struct pointwise *p, const struct bt_pointwise *op)
{
    p->fn = op->fn;
    for (int k = p->nargs - op->numbers; k < p->nargs; k++) {
        p->in[k].single = true;
    }
    if (!op->uniform) {
        return;
    }
    if (op->commutes && bt_reader_uniform(&p->in[0].reader, p->block) && !p->in[0].single) {
        struct bt_reader first = p->in[0].reader;
        p->in[0].reader = p->in[1].reader;
        p->in[1].reader = first;
    }
    p->in[1].single = bt_reader_uniform(&p->in[1].reader, p->block);
    if (p->in[1].single) {
        p->fn = op->uniform;
    }
}

enum bertc_status bt_step_pointwise(const struct bt_step *step, const struct bt_run *run, struct bertc_error *err)
{
    const struct bt_ref *out = &step->outs[0];
    struct pointwise p = {
        .kernels = run->kernels,
        .nargs = step->op == BT_OP_CAST ? 1 : step->nargs,
        .lane = bt_lane_of(step->common),
        .dtype = out->dtype,
        .out = bt_ref_data(run, out),
        .count = bt_numel(out->rank, out->dims),
    };
    if (p.count == 0) {
        return BERTC_OK;
    }
    /* The complement of a bool is "not", of an integer all bits. */
    bool negates = step->op == BT_OP_BITWISE_NOT && step->common == BT_BOOL;
    struct bt_pointwise op = bt_pointwise_find(negates ? BT_OP_LOGICAL_NOT : step->op, p.lane);
    if (!op.fn) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "%s is not defined for %s", bt_ops[step->op].name,
                            bt_dtype_name(step->common));
    }
    assert(p.nargs <= BT_POINTWISE_OPERANDS);
    for (int k = 0; k < p.nargs; k++) {
        const struct bt_step_arg *arg = &step->args[k];
        enum bertc_status status = BERTC_OK;
        if (arg->kind == BT_ARG_VALUE) {
            status = read_tensor(&p.in[k], &arg->ref, bt_ref_data(run, &arg->ref), p.lane, out, err);
        } else if (arg->kind == BT_ARG_EXPR) {
            read_number(&p.in[k], &arg->scalar, p.lane, out);
        } else {
            read_number(&p.in[k], &(struct bt_scalar){.type = BT_SCALAR_FLOAT, .f = k > 0 ? op.none[k - 1] : 0}, p.lane,
                        out);
        }
        if (status != BERTC_OK) {
            return status;
        }
    }
    p.direct = p.dtype == (op.to_bool ? BT_BOOL : bt_lane_dtype(p.lane));
    p.block = choose_block(&p);
    choose_form(&p, &op);
    int64_t blocks = (p.count + p.block - 1) / p.block;
    bt_parallel_for(run->threads, blocks, bt_grain(16 * p.block), run_blocks, &p);
    return BERTC_OK;
}
