/* test_ragged.c: sharing sequences out to parts, and room enough for each of them */
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "check.h"
#include "exec/parts.h"
#include "exec/scratch.h"

enum { ITEMS = 300 };

static void check_parts(int64_t items, int64_t count, unsigned seed)
{
    int64_t lengths[ITEMS], longest = 0, total = 0;
    bool seen[ITEMS] = {false};
    for (int64_t i = 0; i < items; i++) {
        seed = seed * 1664525u + 1013904223u;
        lengths[i] = 1 + (seed >> 16) % 128;
        longest = lengths[i] > longest ? lengths[i] : longest;
        total += lengths[i];
    }
    struct bt_parts parts;
    struct bertc_error err;
    CHECK(bt_parts_new(lengths, items, count, &parts, &err) == BERTC_OK);
    for (int64_t k = 0; k < count; k++) {
        int64_t start = 0;
        for (int64_t i = parts.begin[k]; i < parts.begin[k + 1]; i++) {
            const struct bt_sequence *sequence = &parts.sequences[i];
            CHECK(!seen[sequence->item] && sequence->start == start && sequence->count == lengths[sequence->item]);
            seen[sequence->item] = true;
            start += sequence->count;
        }
        CHECK(start == parts.tokens[k]);
        CHECK(start <= total / count + longest);
        CHECK(k == 0 || parts.tokens[k] <= parts.tokens[k - 1]);
    }
    CHECK(parts.begin[0] == 0 && parts.begin[count] == items);
    bt_parts_free(&parts);
}

static void test_parts(void)
{
    for (int64_t count = 1; count <= 9; count++) {
        check_parts(count, count, 7);
        check_parts(ITEMS, count, (unsigned)count);
    }
}

static void test_no_memory(void)
{
    const int64_t lengths[] = {3, 1, 2};
    for (long n = 1;; n++) {
        struct bt_parts parts;
        struct bertc_error err;
        bt_alloc_fail_at(n);
        enum bertc_status status = bt_parts_new(lengths, 3, 2, &parts, &err);
        bt_alloc_fail_at(0);
        if (status == BERTC_OK) {
            bt_parts_free(&parts);
            return;
        }
        CHECK(status == BERTC_MEMORY);
    }
}

static struct bt_step_arg tensor(int64_t heads, int64_t tokens, int64_t width)
{
    struct bt_step_arg arg = {.kind = BT_ARG_VALUE,
                              .ref = {.dtype = BT_F32, .rank = 4, .dims = {1, heads, tokens, width}}};
    bt_contiguous_strides(4, arg.ref.dims, arg.ref.strides);
    return arg;
}

/* Scratch of attention over these tokens: of one sequence, or enough for any up to so long. */
static int64_t scratch(const struct bt_kernels *kernels, int64_t heads, int64_t tokens, int64_t width, bool each)
{
    struct bt_step_arg args[7] = {tensor(heads, tokens, width), tensor(heads, tokens, width),
                                  tensor(heads, tokens, width)};
    struct bt_step step = {.op = BT_OP_SDPA, .nargs = 7, .args = args, .nouts = 1, .outs = {args[0].ref}};
    step.each = each ? bt_step_sdpa : NULL;
    return bt_scratch_sdpa(&step, kernels);
}

static void check_room(enum bt_isa isa)
{
    struct bt_kernels kernels;
    bt_kernels_init(&kernels, isa);
    for (int64_t heads = 1; heads <= 16; heads += 5) {
        for (int64_t width = 8; width <= 128; width *= 2) {
            for (int64_t tokens = 1; tokens <= 700; tokens += tokens < 40 ? 3 : 97) {
                const int64_t room = scratch(&kernels, heads, tokens, width, true);
                for (int64_t length = 1; length <= tokens; length++) {
                    CHECK(scratch(&kernels, heads, length, width, false) <= room);
                }
            }
        }
    }
}

static void test_attention_room(void)
{
    check_room(BT_ISA_REF);
    check_room(bt_cpu_isa());
}

int main(void)
{
    check_group("ragged parts", test_parts);
    check_group("ragged memory", test_no_memory);
    check_group("ragged attention room", test_attention_room);
    return check_result();
}
