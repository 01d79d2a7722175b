"""Trace context: strict reading, exact passing on."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.telemetry.records import TraceContext
from meshwise.proxy.trace_context import (
    TraceSource,
    bounded_tracestate,
    format_traceparent,
    parse_traceparent,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    "value",
    [
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-extra",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-0g",
        f"01-{TRACE}-{SPAN}-01x",
        f" 00-{TRACE}-{SPAN}-01",
        "",
    ],
)
def test_bad_parents_start_a_new_trace(value: str) -> None:
    """Whatever breaks the specification is no parent."""
    assert parse_traceparent(value.encode()) is None


@pytest.mark.parametrize(
    ("value", "flags"),
    [(f"00-{TRACE}-{SPAN}-00", 0), (f"00-{TRACE}-{SPAN}-ff", 3), (f"cc-{TRACE}-{SPAN}-02-more", 2)],
)
def test_flags_are_passed_on_and_unknown_ones_cleared(value: str, flags: int) -> None:
    """A higher version is read by its known prefix; of the flags, sampled and random survive."""
    context = parse_traceparent(value.encode())
    assert context is not None
    assert (context.flags, context.trace_id.hex(), context.span_id.hex()) == (flags, TRACE, SPAN)


@given(
    st.binary(min_size=16, max_size=16).filter(any), st.binary(min_size=8, max_size=8).filter(any), st.integers(0, 3)
)
def test_round_trip(trace_id: bytes, span_id: bytes, flags: int) -> None:
    """What is written is read back."""
    context = TraceContext(trace_id, span_id, b"", flags)
    assert parse_traceparent(format_traceparent(context)) == context


@given(st.binary(max_size=80))
def test_no_bytes_raise(value: bytes) -> None:
    """Any bytes are a context or none."""
    parse_traceparent(value)
    bounded_tracestate(value)


def test_tracestate_is_bounded_by_whole_members() -> None:
    """Members are kept whole up to 512 bytes; malformed or overlong lists are dropped."""
    members = [f"k{n}={'v' * 40}" for n in range(20)]
    kept = bounded_tracestate(",".join(members).encode()).split(",")
    assert kept == members[: len(kept)]
    assert 11 <= len(kept) < 20
    assert bounded_tracestate(b"a=1, b=2,,") == "a=1,b=2"
    assert bounded_tracestate(b"tenant@sys=1") == "tenant@sys=1"
    assert bounded_tracestate(b"A=1") == bounded_tracestate(b"a") == bounded_tracestate(b"a=1,b=2=") == ""
    assert bounded_tracestate(b",".join(b"k%d=1" % n for n in range(33))) == ""


def test_new_traces_are_sampled_by_ratio() -> None:
    """The share of sampled roots is the ratio, decided by the id alone, and the threshold is told."""
    source = TraceSource(0.25, random.Random(7))
    roots = [source.root() for _ in range(4000)]
    sampled = [root for root in roots if root.sampled]
    assert 900 < len(sampled) < 1100
    assert {root.tracestate for root in sampled} == {"ot=th:c"}
    assert all(root.trace_id[-7] >= 0xC0 for root in sampled)
    assert all(root.flags & 2 for root in roots)
    assert all(TraceSource(1.0).root().sampled for _ in range(50))
    assert not any(TraceSource(0.0).root().sampled for _ in range(50))


def test_children_follow_their_parent() -> None:
    """A child has its parent's trace, flags and state, and an id of its own."""
    source = TraceSource()
    parent = TraceContext(b"t" * 16, b"s" * 8, b"p" * 8, 0, "a=1")
    child = source.child(parent)
    assert (child.trace_id, child.parent_span_id, child.flags, child.tracestate) == (b"t" * 16, b"s" * 8, 0, "a=1")
    assert child.span_id not in (parent.span_id, source.child(parent).span_id)
