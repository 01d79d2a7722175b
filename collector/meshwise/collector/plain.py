"""Attribute values that are lists, maps or bytes, written as text before the store reads them.

The store's schema ends one level down in a value, and its quick way for spans knows text, numbers and booleans alone.
So whatever nests is written here as the OpenTelemetry Collector's exporter spells it: JSON with sorted keys, bytes in
base64.

Nearly no request holds such a value, and asking must be cheap. In message types made for it, list, map and bytes are
messages that lack a required field: encoding a request again fails where there is one, and takes a fraction of a look
at each value in Python.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as _Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, EncodeError, Message
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from meshwise.collector import wire
from meshwise.collector.signals import DOORS, Signal

SLICE_BYTES: Final = 1024 * 1024
"""Most bytes asked about at once, so that memory is bounded whatever they decode to."""
RUN_BYTES: Final = 64 * 1024
"""Bytes of items that are decoded together where there is a value to write: what is around it stays as it came."""

_VALUE: Final[Descriptor] = AnyValue.DESCRIPTOR
_ENTRY: Final[Descriptor] = KeyValue.DESCRIPTOR
_STRUCTURED: Final = frozenset({"array_value", "kvlist_value", "bytes_value"})
_UNLIMITED: Final = 2**62
"""Fields that a walk may visit: how many there are was bounded when the request was accepted."""
_NEVER_SENT: Final = 2**29 - 1
"""The highest field number there is."""


def plain(signal: Signal, payload: bytes | memoryview) -> bytes | memoryview:
    """Return one accepted request with every list, map and bytes among its values as text; pure."""
    request: Any = DOORS[signal].request.DESCRIPTOR
    group = _inner(request, 1)
    try:
        return _written(payload, ((request, 1), (group, 2), (_inner(group, 2), 0)))
    except (wire.WireError, DecodeError):
        # Such as unknown fields of a kind that nobody sends any more: the store takes it or says what is wrong.
        return payload


def as_json(value: Any) -> str:
    """Return an AnyValue as JSON. What JSON has no number for is text, spelled as in OTLP/JSON."""
    match value.WhichOneof("value"):
        case "string_value":
            return _quoted(value.string_value)
        case "bool_value":
            return "true" if value.bool_value else "false"
        case "int_value":
            return str(value.int_value)
        case "double_value":
            return _number(value.double_value)
        case "bytes_value":
            return f'"{_base64(value)}"'
        case "array_value":
            return f"[{','.join(map(as_json, value.array_value.values))}]"
        case "kvlist_value":
            # Of a key given twice the last counts.
            entries = {entry.key: entry.value for entry in value.kvlist_value.values}
            return f"{{{','.join(f'{_quoted(key)}:{as_json(entries[key])}' for key in sorted(entries))}}}"
        case _:
            return "null"


def _written(payload: bytes | memoryview, levels: Sequence[tuple[Descriptor, int]]) -> bytes | memoryview:
    """Return a request, a group of it or a scope in plain; a level is the message and the field that leads down."""
    (kind, down), *below = levels
    # Where a value nests it is mostly in the resource: a large request is asked about scope by scope, and only once.
    most = (SLICE_BYTES, 0, RUN_BYTES)[len(below)]
    if len(payload) <= most and _is_plain(kind, payload):
        return payload
    data = bytes(payload)
    parts: list[bytes | memoryview] = []
    run = 0
    for number, wire_type, field_at, value_at, value_end in wire.scan(data, 0, len(data), wire.Allowance(_UNLIMITED)):
        if below and number == down and wire_type == wire.LENGTH:
            parts.append(_decoded(kind, data[run:field_at]))
            parts.append(wire.length_field(number, bytes(_written(data[value_at:value_end], below))))
            run = value_end
        elif value_end - run > RUN_BYTES:
            # Whole fields of a message are a message of that kind.
            parts.append(_decoded(kind, data[run:field_at]))
            run = field_at
    parts.append(_decoded(kind, data[run:]))
    return b"".join(parts)


def _decoded(kind: Descriptor, part: bytes) -> bytes:
    if not part or _is_plain(kind, part):
        return part
    message = GetMessageClass(kind).FromString(part)
    _write(message)
    return message.SerializeToString()


def _write(message: Any) -> None:
    for field in _ways(message.DESCRIPTOR):
        inner = getattr(message, field.name)
        if field.message_type is _VALUE:
            _write_value(inner)
        elif field.message_type is _ENTRY:
            for entry in inner:
                _write_value(entry.value)
        else:
            for one in inner if field.is_repeated else (inner,):
                _write(one)


def _write_value(value: Any) -> None:
    kind = value.WhichOneof("value")
    if kind in _STRUCTURED:
        value.string_value = _base64(value) if kind == "bytes_value" else as_json(value)


def _base64(value: Any) -> str:
    return base64.b64encode(value.bytes_value).decode()


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _number(value: float) -> str:
    if math.isnan(value):
        return '"NaN"'
    if math.isinf(value):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    text = repr(value)
    if "e" not in text or abs(value) >= 1e21:
        return text
    return format(Decimal(text), "f") if abs(value) >= 1e-6 else text.replace("e-0", "e-")


def _is_plain(kind: Descriptor, payload: bytes | memoryview) -> bool:
    """Tell whether no value in a message of ``kind`` is a list, a map or bytes."""
    shadow: Any = _shadow(kind)
    try:
        shadow.FromString(payload).SerializeToString()
    except (DecodeError, EncodeError):
        return False
    return True


def _inner(kind: Descriptor, number: int) -> Descriptor:
    return cast("Descriptor", kind.fields_by_number[number].message_type)


@cache
def _ways(kind: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The fields of ``kind`` in which there may be values."""
    inner = (field for field in kind.fields if field.message_type is not None)
    return tuple(field for field in inner if field.message_type is _VALUE or _ways(field.message_type))


@cache
def _shadow(kind: Descriptor) -> type[Message]:
    """Return ``kind`` as a message type that cannot be encoded where values nest.

    It knows all other fields, too: keeping one that it did not know would take longer than reading it.
    """
    file = FileDescriptorProto(name="shadow.proto", package="shadow", syntax="proto2")
    nested = file.message_type.add(name="Nested").field
    nested.add(name="missing", number=_NEVER_SENT, label=_Field.LABEL_REQUIRED, type=_Field.TYPE_BOOL)
    described: set[str] = set()

    def describe(one: Any) -> str:
        name: str = one.full_name.replace(".", "_")
        if name in described:
            return name
        described.add(name)
        message = file.message_type.add(name=name)
        for field in one.fields:
            added = message.field.add(name=field.name, number=field.number)
            added.label = _Field.LABEL_REPEATED if field.is_repeated else _Field.LABEL_OPTIONAL
            if field.message_type is None and field.name not in _STRUCTURED:
                # No enum is described, and text was checked when the request was accepted.
                added.type = {_Field.TYPE_ENUM: _Field.TYPE_INT32, _Field.TYPE_STRING: _Field.TYPE_BYTES}.get(
                    field.type, field.type
                )
            else:
                added.type = _Field.TYPE_MESSAGE
                added.type_name = f".shadow.{'Nested' if one is _VALUE else describe(field.message_type)}"
        return name

    name = describe(kind)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(f"shadow.{name}"))
