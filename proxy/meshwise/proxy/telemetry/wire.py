"""Protobuf's wire format, only as much as writing OTLP needs, and OTLP's attribute pairs on top of it.

Source: the protobuf encoding specification; ``opentelemetry/proto/common/v1/common.proto`` for ``KeyValue``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

AttributeValue: TypeAlias = str | bool | int | float | bytes
"""What an attribute may hold here; arrays and maps are never emitted by the proxy."""

_SMALL: Final = tuple(bytes((n,)) for n in range(128)) + tuple(bytes((n & 127 | 128, n >> 7)) for n in range(128, 4096))
_TEXT_HEADS: Final = tuple(bytes((0x12, size + 2, 0x0A, size)) for size in range(101))
"""Field 2 of ``KeyValue`` holding an ``AnyValue`` with a text of up to 100 bytes, up to the text itself."""
_MASK: Final = (1 << 64) - 1

_pack_double: Final = struct.Struct("<d").pack


def varint(value: int) -> bytes:
    """Return ``value`` as a base-128 varint; negative numbers take ten bytes, as int64 does."""
    if 0 <= value < 4096:
        return _SMALL[value]
    value &= _MASK
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> bytes:
    """Return ``value`` as a sint32 or sint64."""
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def nested(tag: bytes, body: bytes) -> bytes:
    """Return a length-delimited field (string, bytes, message, packed numbers) behind its ``tag`` byte."""
    return tag + varint(len(body)) + body


def utf8(text: str) -> bytes:
    """Return ``text`` as UTF-8; lone surrogates, which protobuf forbids, become question marks."""
    return text.encode("utf-8", "replace")


def any_value(value: AttributeValue) -> bytes:
    """Return an ``AnyValue`` message body."""
    if isinstance(value, str):
        return nested(b"\x0a", utf8(value))
    if isinstance(value, bool):  # before int: bool is one
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value)
    if isinstance(value, float):
        return b"\x21" + _pack_double(value)
    return nested(b"\x3a", value)


class Key:
    """An attribute key with its bytes made once, under the field number ``tag`` of the message it goes into."""

    __slots__ = ("_head", "_tag")

    def __init__(self, tag: bytes, name: str) -> None:
        self._tag = tag
        self._head = nested(b"\x0a", utf8(name))

    def pair(self, value: AttributeValue) -> bytes:
        """Return the whole ``KeyValue`` field."""
        return nested(self._tag, self._head + nested(b"\x12", any_value(value)))

    def text(self, value: str) -> bytes:
        """``pair`` of a text known to be one: what most spans carry several of, so without the detours."""
        data = value.encode("utf-8", "replace")
        size = len(data)
        if size > 100:
            return self.pair(value)
        # Every length fits one byte here: value, AnyValue around it, KeyValue around that.
        body = self._head + _TEXT_HEADS[size] + data
        return self._tag + varint(len(body)) + body


def pairs(tag: bytes, attributes: Mapping[str, AttributeValue]) -> bytes:
    """Return every attribute as a ``KeyValue`` field under ``tag``."""
    return b"".join(Key(tag, name).pair(value) for name, value in attributes.items())


def read_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, varint or bytes) of a small message such as an export answer.

    Raises:
        ValueError: the bytes are not protobuf.
    """
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        kind = key & 7
        if kind == 0:
            value, position = _read_varint(message, position)
            yield key >> 3, value
            continue
        size, position = _read_varint(message, position) if kind == 2 else ({1: 8, 5: 4}.get(kind, -1), position)
        if size < 0 or position + size > len(message):
            raise ValueError("cut short or of an unknown kind")
        yield key >> 3, message[position : position + size]
        position += size


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError("cut short")
