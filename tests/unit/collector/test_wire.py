import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwise.collector import wire
from support.otlp import traces


def fields(data: bytes, most: int = 10**6) -> list[tuple[int, int, int, int, int]]:
    return list(wire.scan(data, 0, len(data), wire.Allowance(most)))


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_numbers_survive_a_round_trip(value: int) -> None:
    """A varint reads back as what was written, and ends where it ends."""
    data = wire.write_varint(value)
    assert wire.read_varint(data, 0, len(data)) == (value, len(data))


def test_fields_cover_a_message_without_gaps() -> None:
    """Every byte of a valid message belongs to exactly one field."""
    data = traces([1, 2, 3]).SerializeToString()
    found = fields(data)
    assert [number for number, *_ in found] == [1]
    assert found[0][2] == 0
    assert found[-1][4] == len(data)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_one_error(noise: bytes) -> None:
    """Whatever the bytes are, the scan ends within them or says that they are not protobuf."""
    try:
        found = fields(noise)
    except wire.WireError:
        return
    assert sum(end - start for _, _, start, _, end in found) == len(noise)


@pytest.mark.parametrize(
    "data",
    [b"\x00\x01", b"\x0a\x05ab", b"\x0b", b"\x0c", b"\x0a\xff\xff\xff\xff\x0f", b"\x08" + b"\xff" * 11, b"\x09abc"],
    ids=["field 0", "cut value", "group", "group end", "huge length", "endless number", "cut fixed"],
)
def test_what_is_not_protobuf_is_named(data: bytes) -> None:
    """Cut values, groups, field 0 and endless numbers raise one error type."""
    with pytest.raises(wire.WireError):
        fields(data)


def test_a_scan_stops_at_its_allowance() -> None:
    """Millions of tiny fields cost no more time than was allowed."""
    with pytest.raises(wire.TooManyFieldsError):
        fields(b"\x08\x00" * 100, most=99)


SPANS = (1, 2, 2)
"""The way from a request to its spans."""


def is_even(data: bytes, most: int, fields: int = 10**6) -> bool:
    return wire.is_even(data, SPANS, most, wire.Allowance(fields))


@pytest.mark.parametrize("size", [1, 100, 200, 20_000, 3_000_000])
def test_an_item_is_large_from_one_byte_above(size: int) -> None:
    """A request is even as long as its largest item, whatever the length of that is written in, takes no more."""
    item = wire.length_field(2, b"x" * size)
    data = wire.length_field(1, wire.length_field(2, wire.length_field(1, b"scope") + item))
    assert is_even(data, max(size, 7)) is (size < 2**21)  # nor is a length of four bytes looked at
    assert not is_even(data, size - 1)


@pytest.mark.parametrize(
    "data",
    [
        wire.length_field(2, b"x" * 101),
        wire.length_field(1, wire.length_field(1, b"x" * 101)),
        wire.length_field(1, wire.length_field(2, wire.length_field(1, b"x" * 60) * 2)),
        wire.length_field(1, wire.length_field(2, b"\x08\x01")),
        wire.length_field(1, wire.length_field(2, b"\x12\x05abc")),
        wire.length_field(1, wire.length_field(2, b"\x12")),
        b"\x0a\x05ab",
    ],
    ids=["request", "resource", "scope in two parts", "number", "beyond its scope", "cut tag", "cut request"],
)
def test_whatever_else_is_large_or_odd_is_for_a_closer_look(data: bytes) -> None:
    """Resource, scope and unknown fields count as well; what is no message is never even."""
    assert not is_even(data, 100)


def test_a_quick_look_ends_at_its_allowance() -> None:
    """More items than a request may hold are not counted to their end."""
    data = wire.length_field(1, wire.length_field(2, b"\x12\x00" * 100))
    assert is_even(data, 100, fields=102)
    assert not is_even(data, 100, fields=101)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_even_or_not(noise: bytes) -> None:
    """Whatever the bytes are, a quick look has an answer."""
    for data in (noise, wire.length_field(1, noise), wire.length_field(1, wire.length_field(2, noise))):
        assert is_even(data, 50) in (True, False)


@settings(deadline=None)
@given(st.sets(st.integers(0, 9)), st.integers(1, 10))
def test_cutting_leaves_exactly_the_other_items(bad: set[int], count: int) -> None:
    """Cut items are gone, every other span is unchanged and in its order, and lengths fit again."""
    request = traces(range(count))
    left, seen = wire.cut(request.SerializeToString(), ((1,), (2,), (2,)), bad, wire.Allowance(10**6))
    expected = traces([n for n in range(count) if n not in bad], start_ns=start_of(request))
    assert seen == count
    assert type(request).FromString(left) == expected


def start_of(request: object) -> int:
    start: int = request.resource_spans[0].scope_spans[0].spans[0].start_time_unix_nano  # type: ignore[attr-defined]
    return start
