/* test_pickle.c: read small pickles, and refuse each kind of broken or hostile one */
#include <stdint.h>

#include "base/memory.h"
#include "check.h"
#include "format/pickle.h"

static const _Alignas(8) uint8_t storage_bytes[64];

/* Storage "big" claims to have more elements than bytes; "none" stands for a caller that only wants shapes. */
static enum bertc_status find_storage(void *context, const char *key, enum bt_dtype dtype, int64_t numel,
                                      struct bt_span *out, struct bertc_error *err)
{
    *(int *)context += 1;
    if (strcmp(key, "missing") == 0) {
        return bt_error_set(err, BERTC_FORMAT, "no storage %s", key);
    }
    *out = (struct bt_span){storage_bytes, sizeof storage_bytes};
    if (strcmp(key, "none") == 0) {
        *out = (struct bt_span){NULL, (size_t)numel * bt_dtype_size(dtype)};
    }
    return BERTC_OK;
}

/* Reads exactly `size` bytes of memory, so that the sanitizers see a read beyond. */
static enum bertc_status read_pickle(const char *data, size_t size, struct bt_arena *arena, struct bt_pickle **out,
                                     size_t *used, struct bertc_error *err)
{
    int calls = 0;
    struct bt_pickle_options options = {.storage = find_storage, .context = &calls, .name = "test.pkl"};
    uint8_t *copy = bt_alloc(size, 1);
    memcpy(copy, data, size);
    enum bertc_status status = bt_pickle_read((struct bt_span){copy, size}, &options, arena, out, used, err);
    bt_free(copy);
    return status;
}

/* clang-format off: in the pickles below, an escape ends where the next string begins */

#define READ(text) (good = read_pickle("\x80\2" text, sizeof("\x80\2" text) - 1, &arena, &p, &used, &err) == BERTC_OK)

static void test_values(void)
{
    struct bt_arena arena = {0};
    struct bertc_error err = {0};
    struct bt_pickle *p;
    size_t used;
    bool good;
    CHECK(READ("N.rest") && p->kind == BT_PICKLE_NONE && used == 4);
    CHECK(READ("\x88.") && p->kind == BT_PICKLE_BOOL && p->boolean);
    CHECK(READ("\x89.") && p->kind == BT_PICKLE_BOOL && !p->boolean);
    CHECK(READ("J\xfe\xff\xff\xff.") && p->kind == BT_PICKLE_INT && p->integer == -2);
    CHECK(READ("K\xfe.") && p->integer == 254);
    CHECK(READ("M\xfe\xff.") && p->integer == 65534);
    CHECK(READ("\x8a\0.") && p->kind == BT_PICKLE_INT && p->integer == 0);
    CHECK(READ("\x8a\2\0\xff.") && p->integer == -256);
    CHECK(READ("\x8b\x8\0\0\0\0\0\0\0\0\0\0\x80.") && p->integer == INT64_MIN);
    CHECK(READ("\x8a\xa\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.") && p->kind == BT_PICKLE_BIGINT && p->size == 10);
    CHECK(READ("G\xbf\xf8\0\0\0\0\0\0.") && p->kind == BT_PICKLE_FLOAT && p->number == -1.5);
    CHECK(READ("X\3\0\0\0\xe2\x82\xac.") && p->kind == BT_PICKLE_STRING && strcmp(p->text, "\xe2\x82\xac") == 0);
    CHECK(READ("\x8c\1a.") && p->size == 1 && strcmp(p->text, "a") == 0);
    CHECK(READ("\x8d\1\0\0\0\0\0\0\0a.") && p->size == 1);
    CHECK(READ("C\2\0\xff.") && p->kind == BT_PICKLE_BYTES && p->size == 2 && memcmp(p->text, "\0\xff", 2) == 0);
    CHECK(READ("(K\1K\2t.") && p->kind == BT_PICKLE_TUPLE && p->size == 2 && p->items[1]->integer == 2);
    CHECK(READ("K\1K\2K\3\x87.") && p->size == 3 && p->items[0]->integer == 1);
    CHECK(READ("](K\1K\2eK\3a.") && p->kind == BT_PICKLE_LIST && p->size == 3 && p->items[2]->integer == 3);
    CHECK(READ("(K\1l.") && p->kind == BT_PICKLE_LIST && p->size == 1);
    CHECK(READ("}(\x8c\1aK\1\x8c\1bK\2u\x8c\1aK\3s.") && p->kind == BT_PICKLE_DICT && p->size == 6);
    CHECK(bt_pickle_get(p, "a")->integer == 3 && bt_pickle_get(p, "b")->integer == 2 && !bt_pickle_get(p, "c"));
    CHECK(READ("(\x8c\1aK\1d.") && p->size == 2);
    CHECK(READ("]q\0h\0\x86.") && p->items[0] == p->items[1]);
    CHECK(READ("K\7\x94]\x94h\0\x87.") && p->items[2]->integer == 7);
    CHECK(READ("K\1K\x2"
               "0(K\3"
               "12\x86.") &&
          p->items[0]->integer == 1 && p->items[1]->integer == 1);
    CHECK(READ("\x95\1\0\0\0\0\0\0\0N.") && p->kind == BT_PICKLE_NONE);
    bt_arena_free(&arena);
}

#define STORAGE(class, key, numel) "(\x8c\7storage" "c" "torch\n" class "Storage\n" key "\x8c\3" "cpu" numel "tQ"
#define FLOATS STORAGE("Float", "\x8c\1" "0", "K\x10") /* 16 floats */
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n("
#define TAIL "\x89" "ccollections\nOrderedDict\n)RtR" /* requires_grad, hooks */

static void test_torch(void)
{
    struct bt_arena arena = {0};
    struct bertc_error err = {0};
    struct bt_pickle *p;
    size_t used;
    bool good;
    CHECK(READ(REBUILD FLOATS "K\1K\2K\3\x86K\7K\2\x86" TAIL ".") && p->kind == BT_PICKLE_TENSOR);
    CHECK(p->tensor.dtype == BT_F32 && p->tensor.rank == 2 && p->tensor.dims[1] == 3 && p->tensor.strides[0] == 7);
    CHECK(p->tensor.data == storage_bytes + 4 && !p->tensor.quantized);
    CHECK(READ(REBUILD FLOATS "K\x0f))" TAIL ".") && p->tensor.rank == 0);
    CHECK(READ(REBUILD FLOATS "K\0M\xff\xffM\xff\xff\x86K\0K\0\x86" TAIL ".") && p->tensor.dims[0] == 65535);
    CHECK(READ(REBUILD FLOATS "K\x10K\0\x85K\1\x85" TAIL ".") && p->tensor.dims[0] == 0);
    CHECK(READ(REBUILD STORAGE("Long", "\x8c\4none", "M\xff\xff") "K\1K\5\x85K\1\x85" TAIL ".") && !p->tensor.data);
    CHECK(READ("ctorch._utils\n_rebuild_tensor\n(" FLOATS "K\0K\2\x85K\1\x85tR.") && p->kind == BT_PICKLE_TENSOR);
    CHECK(READ("ctorch._utils\n_rebuild_parameter\n" REBUILD FLOATS "K\0))" TAIL "\x88N\x87R.") &&
          p->kind == BT_PICKLE_TENSOR);
    CHECK(READ("ctorch._utils\n_rebuild_qtensor\n(" STORAGE(
        "QInt8", "\x8c\1q", "K\4") "K\0K\4\x85K\1\x85"
                                   "ctorch\nper_tensor_affine\nG?\xe0\0\0\0\0\0\0K\3\x87" TAIL "."));
    CHECK(p->tensor.quantized && p->tensor.dtype == BT_I8 && p->tensor.scale == 0.5 && p->tensor.zero_point == 3);
    CHECK(READ("ctorch.jit._pickle\nbuild_intlist\n](K\1K\2e\x85R.") && p->kind == BT_PICKLE_LIST && p->size == 2);
    CHECK(READ("ctorch.jit._pickle\nrestore_type_tag\nK\5\x8c\3int\x86R.") && p->integer == 5);
    CHECK(READ("ccollections\nOrderedDict\n)R\x8c\1aK\1s}\x8c\1mNsb.") && p->kind == BT_PICKLE_DICT && p->size == 2);
    CHECK(READ("\x8c\x9__torch__\x8c\6Module\x93.") && strcmp(p->text, "__torch__ Module") == 0);
    CHECK(READ("c__torch__.a.b\nC\n)\x81}\x8c\1wK\1sb.") && p->kind == BT_PICKLE_OBJECT);
    CHECK(strcmp(p->text, "__torch__.a.b.C") == 0 && bt_pickle_attr(p, "w")->integer == 1);
    CHECK(bt_pickle_attr(p, "v") == NULL && bt_pickle_attr(NULL, "w") == NULL);
    CHECK(READ("c__torch__\nC\n)\x81N\x85"
               "b.") &&
          p->items[0]->kind == BT_PICKLE_TUPLE && !bt_pickle_attr(p, "w"));
    CHECK(READ("c__torch__\nC\n)\x81.") && p->size == 0 && bt_pickle_attr(p, "w") == NULL);
    bt_arena_free(&arena);
}

#define BAD(text, message) {text, sizeof(text) - 1, BERTC_FORMAT, message}
#define UNSUPPORTED(text, message) {text, sizeof(text) - 1, BERTC_UNSUPPORTED, message}
#define P "\x80\2"

static const struct refusal {
    const char *data;
    size_t size;
    enum bertc_status status;
    const char *text;
} refusals[] = {
    BAD("", "not a pickle"),
    BAD("(lp0\n.", "not a pickle of protocol 2"),
    UNSUPPORTED("\x80\1N.", "pickle protocol 1"),
    UNSUPPORTED("\x80\7N.", "pickle protocol 7"),
    UNSUPPORTED(P "i", "opcode 0x69"),
    UNSUPPORTED(P "\x8f.", "opcode 0x8f"),
    BAD(P, "truncated?"),
    BAD(P "N", "truncated?"),
    BAD(P "J\1\2", "truncated?"),
    BAD(P "X\xff\xff\xff\xff"
          "abc",
        "truncated?"),
    BAD(P "\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
          "abc",
        "truncated?"),
    BAD(P "\x8b\xff\xff\xff\x7f"
          "abc",
        "truncated?"),
    BAD(P "ctorch\nFloat", "truncated?"),
    BAD(P "X\2\0\0\0\xc0\x80.", "not UTF-8"),
    BAD(P ".", "too few values"),
    BAD(P "NN.", "left on the stack"),
    BAD(P "(.", "too few values"),
    BAD(P "t.", "no mark"),
    BAD(P "(N\x86.", "too few values"),
    BAD(P "0.", "POP on an empty stack"),
    BAD(P "2.", "too few values"),
    BAD(P "Na.", "too few values"),
    BAD(P "NNa.", "no list"),
    BAD(P "]NNs.", "no dict"),
    BAD(P "}(Nu.", "a key without a value"),
    BAD(P "q\0.", "too few values"),
    BAD(P "Nr\xff\xff\xff\x7f.", "larger than the pickle"),
    BAD(P "Nh\0.", "never put"),
    BAD(P "Nq\2h\1.", "never put"),
    BAD(P "]q\0h\0a.", "contains itself"),
    BAD(P "}q\0Nh\0\x85s.", "contains itself"),
    BAD(P "]q\0]q\1h\0aa.", "contains itself"),
    UNSUPPORTED(P "cos\nsystem\n.", "\"os system\""),
    UNSUPPORTED(P "c__builtin__\nset\n.", "\"__builtin__ set\""),
    UNSUPPORTED(P "c__torch__x\nset\n.", "\"__torch__x set\""),
    UNSUPPORTED(P "ctransformers.models\nBert\n.", "torch.jit.trace"),
    UNSUPPORTED(P "ctorch.nn.modules\nLinear\n.", "state_dict()"),
    BAD(P "ctorch Float\nStorage\n.", "no identifier"),
    BAD(P "c\nFloatStorage\n.", "no identifier"),
    BAD(P "NN\x93.", "not strings"),
    BAD(P "N)R.", "no global"),
    BAD(P "ccollections\nOrderedDict\nNR.", "no tuple"),
    BAD(P "ccollections\nOrderedDict\nN\x85R.", "1 arguments instead of 0"),
    UNSUPPORTED(P "ctorch\nFloatStorage\n)R.", "no function"),
    UNSUPPORTED(P "c__torch__\nC\n)R.", "no function"),
    UNSUPPORTED(P "ccollections\nOrderedDict\n)\x81.", "makes an object"),
    UNSUPPORTED(P "c__torch__\nC\nN\x85\x81.", "makes an object"),
    BAD(P "]Nb.", "cannot have one"),
    BAD(P "c__torch__\nC\n)\x81NbNb.", "twice"),
    BAD(P "NQ.", "a persistent id is not"),
    BAD(P "(\x8c\7storagectorch\nFloatStorage\nK\0\x8c\3"
          "cpuK\1tQ.",
        "a persistent id is not"),
    UNSUPPORTED(P STORAGE("Float",
                          "\x8c\1"
                          "0",
                          "K\1K\1") ".",
                "view of another"),
    UNSUPPORTED(P "(\x8c\7storage"
                  "ccollections\nOrderedDict\n\x8c\1"
                  "0NK\1tQ.",
                "no storage class"),
    BAD(P STORAGE("Float", "\x8c\7missing", "K\1") ".", "test.pkl: pickle byte 50: no storage missing"),
    BAD(P STORAGE("Float",
                  "\x8c\1"
                  "0",
                  "K\x11") ".",
        "has 64 bytes, its 17 float32 elements take 68"),
    BAD(P STORAGE("Float",
                  "\x8c\1"
                  "0",
                  "J\xff\xff\xff\xff") ".",
        "claims -1 elements"),
    BAD(P STORAGE("Long",
                  "\x8c\1"
                  "0",
                  "\x8a\x8\0\0\0\0\0\0\0\x70") ".",
        "claims 8070450532247928832"),
    BAD(P REBUILD "NK\0))" TAIL ".", "not made from a storage"),
    BAD(P REBUILD FLOATS "N))" TAIL ".", "not made from a storage"),
    BAD(P REBUILD FLOATS "K\0NN" TAIL ".", "not two tuples"),
    BAD(P REBUILD FLOATS "K\0)K\1\x85" TAIL ".", "not two tuples"),
    BAD(P REBUILD FLOATS "K\0N\x85K\1\x85" TAIL ".", "non-negative"),
    BAD(P REBUILD FLOATS "K\0K\1\x85J\xff\xff\xff\xff\x85" TAIL ".", "non-negative"),
    BAD(P REBUILD FLOATS "J\xff\xff\xff\xff))" TAIL ".", "offset -1 reaches beyond its storage"),
    BAD(P REBUILD FLOATS "K\x10))" TAIL ".", "reaches beyond its storage of 16"),
    BAD(P REBUILD FLOATS "K\x11K\0\x85K\1\x85" TAIL ".", "reaches beyond"),
    BAD(P REBUILD FLOATS "K\0K\x11\x85K\1\x85" TAIL ".", "reaches beyond"),
    BAD(P REBUILD FLOATS "K\0K\3\x85K\x8\x85" TAIL ".", "reaches beyond"),
    BAD(P REBUILD FLOATS "K\0K\3\x85\x8a\x8\xff\xff\xff\xff\xff\xff\xff\x7f\x85" TAIL ".", "reaches beyond"),
    BAD(P REBUILD FLOATS "K\0K\0\x8a\x8\0\0\0\0\0\0\0\x40\x86K\0K\0\x86" TAIL ".", "reaches beyond"),
    UNSUPPORTED(P REBUILD FLOATS "K\0(NNNNNNNNNt(NNNNNNNNNt" TAIL ".", "9 dimensions"),
    BAD(P REBUILD FLOATS "K\0tR.", "2 arguments instead of 6"),
    BAD(P "ctorch._utils\n_rebuild_qtensor\n(" FLOATS "K\0))N" TAIL ".", "no scheme"),
    BAD(P "ctorch._utils\n_rebuild_qtensor\n(" FLOATS "K\0))ctorch\nper_channel_affine\n\x85" TAIL ".",
        "per_channel_affine"),
    BAD(P "ctorch._utils\n_rebuild_qtensor\n(" FLOATS "K\0))ctorch\nper_tensor_affine\nNN\x87" TAIL ".",
        "scale, zero_point"),
    BAD(P "ctorch._utils\n_rebuild_parameter\n(NNNtR.", "not made from a tensor"),
    BAD(P "ctorch.jit._pickle\nbuild_intlist\nN\x85R.", "not made from a list"),
};

/* clang-format on */

static void test_refusals(void)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *r = &refusals[i];
        struct bt_arena arena = {0};
        struct bertc_error err = {0};
        struct bt_pickle *p = NULL;
        CHECK_REFUSAL(read_pickle(r->data, r->size, &arena, &p, NULL, &err), &err, r->status, r->text);
        CHECK(p == NULL);
        bt_arena_free(&arena);
    }
    struct bertc_error err = {0};
    struct bt_arena arena = {0};
    struct bt_pickle *p;
    static const char id[] = P STORAGE("Float",
                                       "\x8c\1"
                                       "0",
                                       "K\1") ".";
    struct bt_span bytes = {(const uint8_t *)id, sizeof id - 1};
    CHECK_REFUSAL(bt_pickle_read(bytes, &(struct bt_pickle_options){.name = "x"}, &arena, &p, NULL, &err), &err,
                  BERTC_FORMAT, "which this file has none of");
    bt_arena_free(&arena);
}

/* head, `count` times body, tail */
static enum bertc_status read_repeated(const char *body, size_t count, const char *tail, struct bertc_error *err)
{
    char data[70000] = "\x80\2]";
    size_t size = 3;
    for (size_t i = 0; i < count; i++) {
        memcpy(data + size, body, strlen(body));
        size += strlen(body);
    }
    memcpy(data + size, tail, strlen(tail));
    size += strlen(tail);
    struct bt_arena arena = {0};
    struct bt_pickle *p;
    enum bertc_status status = read_pickle(data, size, &arena, &p, NULL, err);
    bt_arena_free(&arena);
    return status;
}

static void test_hostile(void)
{
    struct bertc_error err = {0};
    CHECK(read_repeated("\x85", 250, ".", &err) == BERTC_OK);
    CHECK_REFUSAL(read_repeated("\x85", 60000, ".", &err), &err, BERTC_FORMAT, "nested too deeply");
    CHECK(read_repeated("2\x86", 20, ".", &err) == BERTC_OK);
    CHECK_REFUSAL(read_repeated("2\x86", 40, ".", &err), &err, BERTC_FORMAT, "multiply to too many");
    CHECK_REFUSAL(read_repeated("2", 60000, ".", &err), &err, BERTC_FORMAT, "left on the stack");
    CHECK(read_repeated("Na", 30000, ".", &err) == BERTC_OK);
}

int main(void)
{
    check_group("pickle values", test_values);
    check_group("pickle of torch", test_torch);
    check_group("pickle refusals", test_refusals);
    check_group("pickle hostile", test_hostile);
    return check_result();
}
