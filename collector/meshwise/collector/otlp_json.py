"""OTLP/JSON → protobuf and back, by OTLP's own rules, which differ from protobuf's JSON mapping.

Keys are lowerCamelCase only, trace and span ids are hex, enums are numbers, unknown keys are ignored, 64-bit numbers
come as text or as numbers.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import cache
from typing import Any, Final

import orjson
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from meshwise.collector.errors import Reason, RefusedError

DEEPEST: Final = 64
"""JSON objects inside each other."""
VALUE_BYTES: Final = 128
"""Memory charged for a value: what the parser notes of it, a short text or a number, its place in an object or list."""
OBJECT_BYTES: Final = 160
"""Memory charged for an object besides: its dictionary takes up to 184 bytes, the message made of it up to 176."""
HEX_FIELDS: Final = frozenset({"trace_id", "span_id", "parent_span_id"})

_HEX_KEYS: Final = frozenset({"traceId", "spanId", "parentSpanId"})
_WHOLE: Final = re.compile(r"-?[0-9]{1,20}")
_FLOATS: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

_INTEGERS: Final = {
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63),
    FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63),
    FieldDescriptor.TYPE_UINT64: (0, 2**64),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64),
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31),
    FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31),
    FieldDescriptor.TYPE_ENUM: (-(2**31), 2**31),
    FieldDescriptor.TYPE_UINT32: (0, 2**32),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32),
}


class _WrongError(ValueError):
    """A value does not fit its field; the text says where."""


def to_protobuf(body: bytes, request: type[Message]) -> bytes:
    """Convert one request; raises RefusedError (malformed) that names the first wrong field."""
    message = request()
    try:
        document = orjson.loads(body) if body.strip() else {}
        if not isinstance(document, dict):
            raise _WrongError("the request must be an object")
        _fill(message, document, "", 1)
        return message.SerializeToString()
    except orjson.JSONDecodeError as error:
        raise RefusedError(Reason.MALFORMED, f"the body is not JSON: {error}") from None
    except ValueError as error:
        raise RefusedError(Reason.MALFORMED, f"the body is not OTLP/JSON: {error}"[:500]) from None


def weigh(body: bytes) -> int:
    """Return about how many bytes of memory decoding ``body`` takes, before anything is decoded.

    Every value but the first comes after one of ``{``, ``[`` and ``,``, so counting them counts at least all values,
    and a request of nothing but empty objects, which grow by ninety, cannot pass for a small one. Braces and commas
    inside text are counted as well: a limit has to leave room for them.
    """
    return len(body) + OBJECT_BYTES * body.count(b"{") + VALUE_BYTES * (body.count(b"[") + body.count(b","))


def from_protobuf(body: bytes, request: type[Message]) -> dict[str, Any] | None:
    """Return one request as OTLP/JSON; None when ``body`` is no such message."""
    try:
        document = json_format.MessageToDict(request.FromString(body), use_integers_for_enums=True)
    except DecodeError:
        return None
    _ids_to_hex(document)
    return document


def _ids_to_hex(value: Any) -> None:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        if key in _HEX_KEYS and isinstance(one, str):
            value[key] = base64.b64decode(one).hex()
        else:
            _ids_to_hex(one)


@cache
def _fields(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    return {field.json_name: field for field in descriptor.fields}


def _fill(message: Message, document: dict[str, Any], path: str, depth: int) -> None:
    if depth > DEEPEST:
        raise _WrongError(f"objects nest deeper than {DEEPEST}")
    fields = _fields(message.DESCRIPTOR)
    chosen: dict[str, str] = {}
    for key, value in document.items():
        field = fields.get(key)
        if field is None or value is None:
            continue
        where = f"{path}.{key}" if path else key
        if field.containing_oneof is not None:
            other = chosen.setdefault(field.containing_oneof.name, key)
            if other != key:
                raise _WrongError(f"{where} and {other} exclude each other")
        if field.is_repeated:
            _fill_list(message, field, value, where, depth)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            inner = getattr(message, field.name)
            inner.SetInParent()
            _fill(inner, _mapping(value, where), where, depth + 1)
        else:
            setattr(message, field.name, _scalar(field, value, where))


def _fill_list(message: Message, field: FieldDescriptor, values: Any, where: str, depth: int) -> None:
    if not isinstance(values, list):
        raise _WrongError(f"{where} must be a list")
    target = getattr(message, field.name)
    if field.type != FieldDescriptor.TYPE_MESSAGE:
        target.extend([_scalar(field, value, where) for value in values])
        return
    for ordinal, value in enumerate(values):
        at = f"{where}[{ordinal}]"
        _fill(target.add(), _mapping(value, at), at, depth + 1)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _WrongError(f"{where} must be an object")
    return value


def _scalar(field: FieldDescriptor, value: Any, where: str) -> Any:
    kind = field.type
    if kind in _INTEGERS:
        low, high = _INTEGERS[kind]
        return _whole(value, low, high, where)
    if kind in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return _number(value, where)
    if kind == FieldDescriptor.TYPE_BOOL:
        if not isinstance(value, bool):
            raise _WrongError(f"{where} must be true or false")
        return value
    if not isinstance(value, str):
        raise _WrongError(f"{where} must be text")
    if kind == FieldDescriptor.TYPE_BYTES:
        return _hex(value, where) if field.name in HEX_FIELDS else _base64(value, where)
    return value


def _whole(value: Any, low: int, high: int, where: str) -> int:
    if (isinstance(value, str) and _WHOLE.fullmatch(value)) or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _WrongError(f"{where} must be a whole number")
    if not low <= value < high:
        raise _WrongError(f"{where} is out of range")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, str):
        if value in _FLOATS:
            return _FLOATS[value]
        try:
            return float(orjson.loads(value))
        except (ValueError, TypeError):
            raise _WrongError(f"{where} must be a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _WrongError(f"{where} must be a number")
    return float(value)


def _hex(value: str, where: str) -> bytes:
    try:
        return binascii.unhexlify(value)
    except ValueError:
        raise _WrongError(f"{where} must be hex digits") from None


def _base64(value: str, where: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise _WrongError(f"{where} must be base64") from None
