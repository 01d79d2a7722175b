"""What an arriving request may say of itself."""

import pytest

from meshwise.proxy.arrivals import parent_of, seconds_left, source_of
from meshwise.proxy.trace_context import TraceSource


@pytest.mark.parametrize(
    ("said", "source"),
    [
        (b"frontend", "frontend"),
        (b"a.b-c_d9", "a.b-c_d9"),
        (b"", "unknown"),
        (b"UPPER", "unknown"),
        (b"-x", "unknown"),
        (b"a" * 129, "unknown"),
        (b"caf\xc3\xa9", "unknown"),
        (b"a\n", "unknown"),
    ],
)
def test_only_a_name_is_a_source(said: bytes, source: str) -> None:
    """Whatever is no service name becomes ``unknown``, so that no stranger invents labels."""
    assert source_of(said) == source


@pytest.mark.parametrize(
    ("said", "seconds"),
    [(b"1500", 1.5), (b"0", 0.0), (b"", None), (b"-1", None), (b"1e9", None), (b"123456789", None), (b"1.5", None)],
)
def test_a_deadline_is_whole_milliseconds(said: bytes, seconds: float | None) -> None:
    """Anything but up to eight digits says nothing."""
    assert seconds_left(said) == seconds


def test_a_bad_parent_begins_a_new_trace() -> None:
    """A valid ``traceparent`` is the parent and keeps its state; an invalid one is as none, its state dropped."""
    traces = TraceSource()
    good = b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01"
    parent = parent_of(good, b"a=b", traces)
    assert (parent.trace_id, parent.span_id, parent.tracestate) == (b"\xab" * 16, b"\xcd" * 8, "a=b")
    fresh = parent_of(b"00-zz", b"a=b", traces)
    assert fresh.span_id == b""
    assert fresh.tracestate == ""
