/* test_protobuf.c: fields of the wire format, and each way in which it can be broken */
#include <stdint.h>

#include "check.h"
#include "format/protobuf.h"
#include "load/load.h"

static struct bertc_error err;

#define BYTES(...) ((struct bt_span){(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})})

static struct bt_protobuf_field field;
static bool more;

static enum bertc_status first(struct bt_span message)
{
    struct bt_protobuf m = bt_protobuf_open(message);
    return bt_protobuf_next(&m, &field, &more, &err);
}

static void check_fields(void)
{
    struct bt_protobuf m = bt_protobuf_open(BYTES(0x08, 0x96, 0x01, 0x12, 0x02, 'h', 'i', 0x1d, 1, 2, 3, 4, 0x21, 1, 2,
                                                  3, 4, 5, 6, 7, 8, 0xf8, 0x7f, 0x00));
    CHECK(!bt_protobuf_next(&m, &field, &more, &err) && more);
    CHECK(field.number == 1 && field.wire == BT_WIRE_VARINT && field.value == 150);
    CHECK(!bt_protobuf_next(&m, &field, &more, &err) && more);
    CHECK(field.number == 2 && field.wire == BT_WIRE_BYTES && field.bytes.size == 2 && field.bytes.data[1] == 'i');
    CHECK(!bt_protobuf_next(&m, &field, &more, &err) && more);
    CHECK(field.number == 3 && field.wire == BT_WIRE_FIXED32 && field.value == 0x04030201);
    CHECK(!bt_protobuf_next(&m, &field, &more, &err) && more);
    CHECK(field.number == 4 && field.wire == BT_WIRE_FIXED64 && field.value == 0x0807060504030201);
    CHECK(!bt_protobuf_next(&m, &field, &more, &err) && more && field.number == 2047 && field.value == 0);
    CHECK(!bt_protobuf_next(&m, &field, &more, &err) && !more);
    CHECK(!first((struct bt_span){(const uint8_t *)"", 0}) && !more);
}

static void check_varints(void)
{
    uint64_t value;
    struct bt_span packed = BYTES(0x01, 0xff, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01);
    CHECK(bt_protobuf_varint(&packed, &value) && value == 1);
    CHECK(bt_protobuf_varint(&packed, &value) && value == 255);
    CHECK(bt_protobuf_varint(&packed, &value) && value == UINT64_MAX && packed.size == 0);
    CHECK(!bt_protobuf_varint(&packed, &value));
    packed = BYTES(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02); /* 65 bits */
    CHECK(!bt_protobuf_varint(&packed, &value));
    packed = BYTES(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00); /* 11 bytes */
    CHECK(!bt_protobuf_varint(&packed, &value));
}

static void check_damage(void)
{
    CHECK_REFUSAL(first(BYTES(0x80)), &err, BERTC_FORMAT, "truncated");
    CHECK_REFUSAL(first(BYTES(0x08)), &err, BERTC_FORMAT, "byte 1");
    CHECK_REFUSAL(first(BYTES(0x08, 0xff)), &err, BERTC_FORMAT, "truncated");
    CHECK_REFUSAL(first(BYTES(0x0a, 0x05, 'a')), &err, BERTC_FORMAT, "5 bytes, but its message has 1 left");
    CHECK_REFUSAL(first(BYTES(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)), &err, BERTC_FORMAT,
                  "has 0 left");
    CHECK_REFUSAL(first(BYTES(0x0d, 1, 2, 3)), &err, BERTC_FORMAT, "4 bytes");
    CHECK_REFUSAL(first(BYTES(0x09, 1, 2, 3)), &err, BERTC_FORMAT, "8 bytes");
    CHECK_REFUSAL(first(BYTES(0x0b)), &err, BERTC_FORMAT, "unknown kind"); /* a group */
    CHECK_REFUSAL(first(BYTES(0x0f)), &err, BERTC_FORMAT, "unknown kind");
    CHECK_REFUSAL(first(BYTES(0x00, 0x00)), &err, BERTC_FORMAT, "number");
    CHECK_REFUSAL(first(BYTES(0xf8, 0xff, 0xff, 0xff, 0xff, 0x01)), &err, BERTC_FORMAT, "number");
}

static void check_expected(void)
{
    struct bt_protobuf m = bt_protobuf_open(BYTES(0x12, 0x01, 'a'));
    CHECK(!bt_protobuf_next(&m, &field, &more, &err) && !bt_protobuf_expect(&m, &field, BT_WIRE_BYTES, &err));
    CHECK_REFUSAL(bt_protobuf_expect(&m, &field, BT_WIRE_FIXED32, &err), &err, BERTC_FORMAT,
                  "field 2, which ends at byte 3, is text, a list or a message, expected 4 bytes");
}

/* An inner message ends where its field does, and offsets count from the outermost one. */
static void check_inner(void)
{
    struct bt_protobuf m = bt_protobuf_open(BYTES(0x0a, 0x02, 0x08, 0x80, 0x01));
    CHECK(!bt_protobuf_next(&m, &field, &more, &err));
    struct bt_protobuf inner = bt_protobuf_inner(&m, field.bytes);
    CHECK_REFUSAL(bt_protobuf_next(&inner, &field, &more, &err), &err, BERTC_FORMAT, "byte 3");
}

static void check_probe(void)
{
    CHECK(bt_onnx_probe(BYTES(0x08, 0x08, 0x12, 0x00)) && bt_onnx_probe(BYTES(0x08, 0x03, 0x3a, 0x00)));
    CHECK(!bt_onnx_probe(BYTES(0x08, 0x08)) && !bt_onnx_probe(BYTES(0x08, 0x80, 0x12)));
    CHECK(!bt_onnx_probe(BYTES('P', 'K', 3, 4)) && !bt_onnx_probe(BYTES(0x08, 0x08, 0x08, 0x00)));
}

int main(void)
{
    check_group("fields", check_fields);
    check_group("varints", check_varints);
    check_group("damage", check_damage);
    check_group("expected kinds", check_expected);
    check_group("inner messages", check_inner);
    check_group("probe", check_probe);
    return check_result();
}
