/* pickle_ops.c: what each opcode of a pickle does to the stack */
#include <string.h>

#include "format/chars.h"
#include "format/pickle_reader.h"
#include "format/torch_pickle.h"

/* What one opcode does. `width`: bytes of its number or length, or items that it takes from the stack (0: down to the
 * mark). */
struct opcode {
    enum bertc_status (*run)(struct bt_pickle_reader *r, const struct opcode *op);
    uint8_t width;
    enum bt_pickle_kind kind; /* of the value that it makes or extends */
};

static enum bertc_status run_protocol(struct bt_pickle_reader *r, const struct opcode *op)
{
    uint64_t version;
    enum bertc_status status = bt_pickle_take_number(r, op->width, &version);
    if (status == BERTC_OK && (version < 2 || version > 5)) {
        return bt_error_set(r->err, BERTC_UNSUPPORTED, "pickle protocol %d (2 to 5 are known)", (int)version);
    }
    return status;
}

/* Frames only tell how much to read at once. */
static enum bertc_status run_frame(struct bt_pickle_reader *r, const struct opcode *op)
{
    uint64_t size;
    return bt_pickle_take_number(r, op->width, &size);
}

static enum bertc_status run_mark(struct bt_pickle_reader *r, const struct opcode *op)
{
    (void)op;
    return bt_pickle_push(r, NULL);
}

static enum bertc_status run_pop(struct bt_pickle_reader *r, const struct opcode *op)
{
    (void)op;
    if (r->stack_size == 0) {
        return bt_pickle_fail(r, "POP on an empty stack");
    }
    r->stack_size--; /* a value or a mark */
    return BERTC_OK;
}

static enum bertc_status run_pop_mark(struct bt_pickle_reader *r, const struct opcode *op)
{
    struct bt_pickle **items;
    size_t count;
    return bt_pickle_pop_items(r, op->width, &items, &count);
}

static enum bertc_status run_dup(struct bt_pickle_reader *r, const struct opcode *op)
{
    (void)op;
    struct bt_pickle *value;
    enum bertc_status status = bt_pickle_peek(r, &value);
    return status == BERTC_OK ? bt_pickle_push(r, value) : status;
}

static enum bertc_status run_none(struct bt_pickle_reader *r, const struct opcode *op)
{
    (void)op;
    return bt_pickle_push(r, r->none);
}

static enum bertc_status run_bool(struct bt_pickle_reader *r, const struct opcode *op)
{
    return bt_pickle_push(r, r->booleans[op->width]);
}

static enum bertc_status run_int(struct bt_pickle_reader *r, const struct opcode *op)
{
    uint64_t bits;
    struct bt_pickle *value;
    enum bertc_status status = bt_pickle_take_number(r, op->width, &bits);
    if (status == BERTC_OK) {
        status = bt_pickle_push_new(r, op->kind, &value);
    }
    if (status == BERTC_OK) { /* BININT is signed, the shorter ones are not */
        value->integer = op->width == 4 ? (int32_t)(uint32_t)bits : (int64_t)bits;
    }
    return status;
}

/* A two's complement integer of any length. */
static enum bertc_status run_long(struct bt_pickle_reader *r, const struct opcode *op)
{
    struct bt_span bytes;
    struct bt_pickle *value;
    enum bertc_status status = bt_pickle_take_counted(r, op->width, &bytes);
    if (status == BERTC_OK) {
        status = bt_pickle_push_new(r, bytes.size > 8 ? BT_PICKLE_BIGINT : BT_PICKLE_INT, &value);
    }
    if (status != BERTC_OK) {
        return status;
    }
    if (bytes.size > 8) {
        value->size = bytes.size;
        value->text = bt_arena_string(r->arena, (const char *)bytes.data, bytes.size);
        return value->text ? BERTC_OK : bt_error_memory(r->err);
    }
    uint64_t bits = bytes.size > 0 && bytes.data[bytes.size - 1] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = bytes.size; i > 0; i--) {
        bits = bits << 8 | bytes.data[i - 1];
    }
    value->integer = (int64_t)bits;
    return BERTC_OK;
}

static enum bertc_status run_float(struct bt_pickle_reader *r, const struct opcode *op)
{
    const uint8_t *p;
    struct bt_pickle *value;
    enum bertc_status status = bt_pickle_take(r, op->width, &p);
    if (status == BERTC_OK) {
        status = bt_pickle_push_new(r, op->kind, &value);
    }
    if (status == BERTC_OK) { /* big-endian, alone among the opcodes */
        uint64_t bits = 0;
        for (int i = 0; i < 8; i++) {
            bits = bits << 8 | p[i];
        }
        memcpy(&value->number, &bits, sizeof bits);
    }
    return status;
}

static enum bertc_status run_text(struct bt_pickle_reader *r, const struct opcode *op)
{
    struct bt_span bytes;
    struct bt_pickle *value;
    enum bertc_status status = bt_pickle_take_counted(r, op->width, &bytes);
    if (status == BERTC_OK) {
        status = bt_pickle_push_new(r, op->kind, &value);
    }
    if (status != BERTC_OK) {
        return status;
    }
    if (op->kind == BT_PICKLE_STRING && !bt_chars_utf8((const char *)bytes.data, bytes.size)) {
        return bt_pickle_fail(r, "a string is not UTF-8");
    }
    value->size = bytes.size;
    value->text = bt_arena_string(r->arena, (const char *)bytes.data, bytes.size);
    return value->text ? BERTC_OK : bt_error_memory(r->err);
}

static enum bertc_status run_empty(struct bt_pickle_reader *r, const struct opcode *op)
{
    struct bt_pickle *value;
    return bt_pickle_push_new(r, op->kind, &value);
}

/* TUPLE, LIST, DICT: a new container of values from the stack. */
static enum bertc_status run_collect(struct bt_pickle_reader *r, const struct opcode *op)
{
    struct bt_pickle **items, *value;
    size_t count;
    enum bertc_status status = bt_pickle_pop_items(r, op->width, &items, &count);
    if (status == BERTC_OK) {
        status = bt_pickle_new(r, op->kind, &value);
    }
    if (status == BERTC_OK) {
        status = bt_pickle_append(r, value, items, count);
    }
    return status == BERTC_OK ? bt_pickle_push(r, value) : status;
}

/* APPEND(S), SETITEM(S): values from the stack go into the container below them. */
static enum bertc_status run_extend(struct bt_pickle_reader *r, const struct opcode *op)
{
    struct bt_pickle **items, *container;
    size_t count;
    enum bertc_status status = bt_pickle_pop_items(r, op->width, &items, &count);
    if (status == BERTC_OK) {
        status = bt_pickle_peek(r, &container);
    }
    if (status != BERTC_OK) {
        return status;
    }
    if (container->kind != op->kind) {
        return bt_pickle_fail(r, op->kind == BT_PICKLE_DICT ? "keys are set on something that is no dict"
                                                            : "items are appended to something that is no list");
    }
    return bt_pickle_append(r, container, items, count);
}

static enum bertc_status put_memo(struct bt_pickle_reader *r, uint64_t index)
{
    struct bt_pickle *value;
    enum bertc_status status = bt_pickle_peek(r, &value);
    if (status != BERTC_OK) {
        return status;
    }
    if (index >= r->at) { /* writers number upwards from 0 or 1, and every PUT takes a byte at least */
        return bt_pickle_fail(r, "a memo number is larger than the pickle");
    }
    size_t need = (size_t)index + 1;
    if (!bt_arena_reserve(&r->scratch, &r->memo, &r->memo_cap, need, sizeof *r->memo)) {
        return bt_error_memory(r->err);
    }
    r->memo[index] = value;
    r->memo_size = need > r->memo_size ? need : r->memo_size;
    r->memo_puts++;
    return BERTC_OK;
}

static enum bertc_status run_put(struct bt_pickle_reader *r, const struct opcode *op)
{
    uint64_t index;
    enum bertc_status status = bt_pickle_take_number(r, op->width, &index);
    return status == BERTC_OK ? put_memo(r, index) : status;
}

static enum bertc_status run_memoize(struct bt_pickle_reader *r, const struct opcode *op)
{
    (void)op;
    return put_memo(r, r->memo_puts);
}

static enum bertc_status run_get(struct bt_pickle_reader *r, const struct opcode *op)
{
    uint64_t index;
    enum bertc_status status = bt_pickle_take_number(r, op->width, &index);
    if (status != BERTC_OK) {
        return status;
    }
    if (index >= r->memo_size || !r->memo[index]) {
        return bt_pickle_fail(r, "a memo number that was never put");
    }
    return bt_pickle_push(r, r->memo[index]);
}

static enum bertc_status push_global(struct bt_pickle_reader *r, struct bt_span module, struct bt_span name)
{
    const char *texts[] = {(const char *)module.data, (const char *)name.data};
    const size_t sizes[] = {module.size, name.size};
    for (int i = 0; i < 2; i++) {
        if (sizes[i] == 0 || memchr(texts[i], ' ', sizes[i]) || memchr(texts[i], '\0', sizes[i]) ||
            !bt_chars_utf8(texts[i], sizes[i])) {
            return bt_pickle_fail(r, "a global's module or name is no identifier");
        }
    }
    struct bt_pickle *value;
    enum bertc_status status = bt_pickle_push_new(r, BT_PICKLE_GLOBAL, &value);
    if (status != BERTC_OK) {
        return status;
    }
    size_t size = module.size + 1 + name.size;
    char *text = bt_arena_alloc(r->arena, size + 1, 1);
    if (!text) {
        return bt_error_memory(r->err);
    }
    memcpy(text, module.data, module.size);
    text[module.size] = ' ';
    memcpy(text + module.size + 1, name.data, name.size);
    value->text = text;
    value->size = size;
    return bt_torch_pickle_check(text, r->err);
}

static enum bertc_status take_line(struct bt_pickle_reader *r, struct bt_span *out)
{
    const uint8_t *start = r->data + r->at;
    const uint8_t *end = r->at < r->size ? memchr(start, '\n', r->size - r->at) : NULL;
    if (!end) {
        return bt_pickle_fail(r, "the data ends inside a name: truncated?");
    }
    *out = (struct bt_span){start, (size_t)(end - start)};
    r->at += out->size + 1;
    return BERTC_OK;
}

static enum bertc_status run_global(struct bt_pickle_reader *r, const struct opcode *op)
{
    (void)op;
    struct bt_span module, name;
    enum bertc_status status = take_line(r, &module);
    if (status == BERTC_OK) {
        status = take_line(r, &name);
    }
    return status == BERTC_OK ? push_global(r, module, name) : status;
}

static enum bertc_status run_stack_global(struct bt_pickle_reader *r, const struct opcode *op)
{
    struct bt_pickle **items;
    size_t count;
    enum bertc_status status = bt_pickle_pop_items(r, op->width, &items, &count);
    if (status != BERTC_OK) {
        return status;
    }
    const struct bt_pickle *module = items[0], *name = items[1];
    if (module->kind != BT_PICKLE_STRING || name->kind != BT_PICKLE_STRING) {
        return bt_pickle_fail(r, "a global's module and name are not strings");
    }
    return push_global(r, (struct bt_span){(const uint8_t *)module->text, module->size},
                       (struct bt_span){(const uint8_t *)name->text, name->size});
}

/* The two operands of NEWOBJ and REDUCE. */
static enum bertc_status pop_call(struct bt_pickle_reader *r, const struct opcode *op, const struct bt_pickle **callee,
                                  const struct bt_pickle **args)
{
    struct bt_pickle **items;
    size_t count;
    enum bertc_status status = bt_pickle_pop_items(r, op->width, &items, &count);
    if (status != BERTC_OK) {
        return status;
    }
    if (items[0]->kind != BT_PICKLE_GLOBAL || items[1]->kind != BT_PICKLE_TUPLE) {
        return bt_pickle_fail(r, "something is called that is no global, or with arguments that are no tuple");
    }
    *callee = items[0];
    *args = items[1];
    return BERTC_OK;
}

static enum bertc_status run_new_object(struct bt_pickle_reader *r, const struct opcode *op)
{
    const struct bt_pickle *class, *args;
    struct bt_pickle *value;
    enum bertc_status status = pop_call(r, op, &class, &args);
    if (status != BERTC_OK) {
        return status;
    }
    if (!bt_torch_pickle_is_class(class->text) || args->size != 0) {
        return bt_error_set(r->err, BERTC_UNSUPPORTED, "it makes an object of \"%.200s\" with %zu arguments",
                            class->text, args->size);
    }
    status = bt_pickle_push_new(r, BT_PICKLE_OBJECT, &value);
    if (status != BERTC_OK) {
        return status;
    }
    char *name = bt_arena_string(r->arena, class->text, class->size);
    if (!name) {
        return bt_error_memory(r->err);
    }
    *strchr(name, ' ') = '.';
    value->text = name;
    return BERTC_OK;
}

static enum bertc_status run_reduce(struct bt_pickle_reader *r, const struct opcode *op)
{
    const struct bt_pickle *callee, *args;
    struct bt_pickle *value;
    enum bertc_status status = pop_call(r, op, &callee, &args);
    if (status == BERTC_OK) {
        status = bt_pickle_new(r, BT_PICKLE_NONE, &value);
    }
    if (status == BERTC_OK) {
        status = bt_torch_pickle_call(callee->text, args, &value, r->err);
    }
    return status == BERTC_OK ? bt_pickle_push(r, value) : status;
}

static enum bertc_status run_build(struct bt_pickle_reader *r, const struct opcode *op)
{
    (void)op;
    struct bt_pickle *state, *value;
    enum bertc_status status = bt_pickle_pop(r, &state);
    if (status == BERTC_OK) {
        status = bt_pickle_peek(r, &value);
    }
    if (status != BERTC_OK) {
        return status;
    }
    if (value->kind == BT_PICKLE_DICT) { /* attributes of an OrderedDict: a state dict's _metadata */
        return BERTC_OK;
    }
    if (value->kind != BT_PICKLE_OBJECT || value->size > 0) {
        return bt_pickle_fail(r, "a state is set on something that cannot have one, or twice");
    }
    return bt_pickle_append(r, value, &state, 1);
}

static enum bertc_status run_persistent_id(struct bt_pickle_reader *r, const struct opcode *op)
{
    (void)op;
    struct bt_pickle *id, *value;
    enum bertc_status status = bt_pickle_pop(r, &id);
    if (status == BERTC_OK) {
        status = bt_pickle_push_new(r, BT_PICKLE_NONE, &value);
    }
    return status == BERTC_OK ? bt_torch_pickle_storage(id, r->options, value, r->err) : status;
}

static enum bertc_status run_stop(struct bt_pickle_reader *r, const struct opcode *op)
{
    (void)op;
    enum bertc_status status = bt_pickle_pop(r, &r->result);
    if (status == BERTC_OK && r->stack_size > 0) {
        return bt_pickle_fail(r, "values are left on the stack at its end");
    }
    return status;
}

static const struct opcode opcodes[256] = {
    [0x80] = {run_protocol, 1, BT_PICKLE_NONE},
    [0x95] = {run_frame, 8, BT_PICKLE_NONE},
    ['('] = {run_mark, 0, BT_PICKLE_NONE},
    ['0'] = {run_pop, 1, BT_PICKLE_NONE},
    ['1'] = {run_pop_mark, 0, BT_PICKLE_NONE},
    ['2'] = {run_dup, 1, BT_PICKLE_NONE},
    ['N'] = {run_none, 0, BT_PICKLE_NONE},
    [0x88] = {run_bool, true, BT_PICKLE_BOOL},
    [0x89] = {run_bool, false, BT_PICKLE_BOOL},
    ['J'] = {run_int, 4, BT_PICKLE_INT},
    ['K'] = {run_int, 1, BT_PICKLE_INT},
    ['M'] = {run_int, 2, BT_PICKLE_INT},
    [0x8a] = {run_long, 1, BT_PICKLE_INT},
    [0x8b] = {run_long, 4, BT_PICKLE_INT},
    ['G'] = {run_float, 8, BT_PICKLE_FLOAT},
    ['X'] = {run_text, 4, BT_PICKLE_STRING},
    [0x8c] = {run_text, 1, BT_PICKLE_STRING},
    [0x8d] = {run_text, 8, BT_PICKLE_STRING},
    ['B'] = {run_text, 4, BT_PICKLE_BYTES},
    ['C'] = {run_text, 1, BT_PICKLE_BYTES},
    [0x8e] = {run_text, 8, BT_PICKLE_BYTES},
    [')'] = {run_empty, 0, BT_PICKLE_TUPLE},
    [']'] = {run_empty, 0, BT_PICKLE_LIST},
    ['}'] = {run_empty, 0, BT_PICKLE_DICT},
    ['t'] = {run_collect, 0, BT_PICKLE_TUPLE},
    [0x85] = {run_collect, 1, BT_PICKLE_TUPLE},
    [0x86] = {run_collect, 2, BT_PICKLE_TUPLE},
    [0x87] = {run_collect, 3, BT_PICKLE_TUPLE},
    ['l'] = {run_collect, 0, BT_PICKLE_LIST},
    ['d'] = {run_collect, 0, BT_PICKLE_DICT},
    ['a'] = {run_extend, 1, BT_PICKLE_LIST},
    ['e'] = {run_extend, 0, BT_PICKLE_LIST},
    ['s'] = {run_extend, 2, BT_PICKLE_DICT},
    ['u'] = {run_extend, 0, BT_PICKLE_DICT},
    ['q'] = {run_put, 1, BT_PICKLE_NONE},
    ['r'] = {run_put, 4, BT_PICKLE_NONE},
    [0x94] = {run_memoize, 0, BT_PICKLE_NONE},
    ['h'] = {run_get, 1, BT_PICKLE_NONE},
    ['j'] = {run_get, 4, BT_PICKLE_NONE},
    ['c'] = {run_global, 0, BT_PICKLE_GLOBAL},
    [0x93] = {run_stack_global, 2, BT_PICKLE_GLOBAL},
    [0x81] = {run_new_object, 2, BT_PICKLE_OBJECT},
    ['R'] = {run_reduce, 2, BT_PICKLE_NONE},
    ['b'] = {run_build, 2, BT_PICKLE_NONE},
    ['Q'] = {run_persistent_id, 1, BT_PICKLE_STORAGE},
    ['.'] = {run_stop, 1, BT_PICKLE_NONE},
};

enum bertc_status bt_pickle_step(struct bt_pickle_reader *r)
{
    const uint8_t *code;
    enum bertc_status status = bt_pickle_take(r, 1, &code);
    if (status != BERTC_OK) {
        return status;
    }
    const struct opcode *op = &opcodes[*code];
    if (!op->run) {
        return bt_error_set(r->err, BERTC_UNSUPPORTED, "opcode 0x%02x, which model files have no need of", *code);
    }
    return op->run(r, op);
}
