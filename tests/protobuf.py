"""The wire format of protocol buffers, as far as tests write and change ONNX files."""

from __future__ import annotations

import struct

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def read_varint(data: bytes, i: int) -> tuple[int, int]:
    """The number at i, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[i] & 0x7F) << shift
        shift, i = shift + 7, i + 1
        if data[i - 1] < 0x80:
            return value, i


def varint(value: int) -> bytes:
    out = bytearray()
    value %= 1 << 64
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def split(data: bytes) -> list[list]:
    """The fields of a message as [tag, content]: an integer, or bytes. ValueError or IndexError: it is none."""
    fields, i = [], 0
    while i < len(data):
        tag, i = read_varint(data, i)
        wire = tag & 7
        if wire == VARINT:
            content, i = read_varint(data, i)
        else:
            size, i = read_varint(data, i) if wire == BYTES else ({FIXED64: 8, FIXED32: 4}.get(wire, 0), i)
            if (size == 0 and wire != BYTES) or tag < 8 or i + size > len(data):
                raise ValueError("no message")
            content, i = data[i : i + size], i + size
        fields.append([tag, content])
    return fields


def join(fields: list[list]) -> bytes:
    """The message of these fields, in which all lengths are right."""
    out = bytearray()
    for tag, content in fields:
        if tag & 7 == VARINT:
            out += varint(tag) + varint(content)
        else:
            out += varint(tag) + (varint(len(content)) if tag & 7 == BYTES else b"") + content
    return bytes(out)


def message(*fields: tuple[int, int | float | str | bytes]) -> bytes:
    """Of (number, value): what kind a field is follows from its value."""
    out = []
    for number, value in fields:
        if isinstance(value, int):
            out.append([number << 3 | VARINT, value])
        elif isinstance(value, float):
            out.append([number << 3 | FIXED32, struct.pack("<f", value)])
        else:
            out.append([number << 3 | BYTES, value.encode() if isinstance(value, str) else value])
    return join(out)
