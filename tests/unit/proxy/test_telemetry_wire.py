import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from meshwise.proxy.telemetry.wire import Key, any_value, pairs, read_fields, varint, zigzag

_text = st.text(alphabet=st.characters(codec="utf-8"))
_values = _text | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.binary()


@given(_values)
def test_any_value_is_read_back_by_the_official_runtime(value: Any) -> None:
    """Every attribute value comes back with its type and content."""
    read = AnyValue.FromString(any_value(value))
    kind = {str: "string", bool: "bool", int: "int", float: "double", bytes: "bytes"}[type(value)] + "_value"
    assert read.WhichOneof("value") == kind
    assert getattr(read, kind) == value


@given(st.dictionaries(_text, _values))
def test_pairs_make_a_resource(attributes: dict[str, Any]) -> None:
    """A mapping of attributes becomes the key-values of a resource, in order."""
    resource = Resource.FromString(pairs(b"\x0a", attributes))
    assert [pair.key for pair in resource.attributes] == list(attributes)


@given(_text | st.integers(95, 105).map("x".__mul__) | st.just("a\udc80b"))
def test_the_short_way_for_text_gives_the_same_bytes(value: str) -> None:
    """Below and above the length where it stops being taken."""
    key = Key(b"\x4a", "url.full")
    assert key.text(value) == key.pair(value)


def test_key_keeps_its_tag() -> None:
    """A pre-encoded key writes the same pair as the runtime."""
    made = Key(b"\x0a", "a").pair(7)
    assert made == b"\x0a" + bytes([len(made) - 2]) + KeyValue(key="a", value=AnyValue(int_value=7)).SerializeToString()


@given(st.integers(-(2**31), 2**31 - 1))
def test_zigzag_is_a_sint32(value: int) -> None:
    """Signed numbers such as the scale come back."""
    assert ExponentialHistogramDataPoint.FromString(b"\x30" + zigzag(value)).scale == value


def test_lone_surrogates_do_not_break_the_message() -> None:
    """Text that UTF-8 cannot hold is replaced, since a receiver refuses the whole request otherwise."""
    assert AnyValue.FromString(any_value("a\udc80b")).string_value == "a?b"


@given(st.integers(0, 2**63 - 1), st.binary(max_size=300))
def test_read_fields_reads_what_was_written(number: int, blob: bytes) -> None:
    """The small reader finds numbers and bytes, and skips what is fixed."""
    message = b"\x08" + varint(number) + b"\x15\x00\x00\x00\x00" + b"\x1a" + varint(len(blob)) + blob
    assert dict(read_fields(message)) == {1: number, 2: bytes(4), 3: blob}


@given(st.binary(max_size=60))
def test_read_fields_refuses_garbage_with_value_error(data: bytes) -> None:
    """Whatever an answer holds, reading it ends or raises ValueError."""
    with contextlib.suppress(ValueError):
        list(read_fields(data))
