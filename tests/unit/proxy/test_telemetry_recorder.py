from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.telemetry.recorder import RECORD_BYTES, AccessLog, Ring, RingRecorder
from support.proxy_records import START_NS, TRACE, attempt, request

UNSAMPLED = TRACE.__class__(TRACE.trace_id, TRACE.span_id, flags=0)


@given(st.lists(st.integers(0, 2000) | st.none(), max_size=60), st.integers(1, 8), st.integers(600, 5000))
def test_the_ring_keeps_its_bounds_and_counts_what_it_drops(steps: list[int | None], most: int, weight: int) -> None:
    """Held + taken + dropped is what was pushed, and the bounds hold after each push (one record always fits)."""
    ring = Ring(most, weight)
    pushed = taken = 0
    for step in steps:
        if step is None:
            taken += len(ring.pop(3))
        else:
            ring.push(attempt(path="x" * step))
            pushed += 1
            assert len(ring) <= most
            assert ring.held_bytes <= weight or len(ring) == 1
        assert pushed == taken + len(ring) + ring.dropped
    ring.pop(1000)
    assert ring.held_bytes == 0


def test_the_oldest_goes_first() -> None:
    """A full ring keeps the newest."""
    ring = Ring(2, 10 * RECORD_BYTES)
    for number in range(4):
        ring.push(attempt(ordinal=number))
    assert [getattr(record, "ordinal", 0) for record in ring.pop(9)] == [2, 3]


def test_unsampled_spans_count_and_are_not_kept() -> None:
    """The metrics are exact whatever the sampling."""
    recorder = RingRecorder("catalog", access_log="off")
    recorder.attempt(attempt(trace=UNSAMPLED))
    recorder.request(request(trace=UNSAMPLED))
    recorder.request(request(side="client", trace=None))
    assert len(recorder.spans) == 0
    totals = recorder.aggregate.totals()
    assert sum(totals.requests.values()) == 2
    assert sum(totals.attempts.values()) == 1


def test_metrics_survive_a_full_ring() -> None:
    """Dropped spans leave the counts untouched."""
    recorder = RingRecorder(ring_records=5)
    for _ in range(50):
        recorder.attempt(attempt())
    assert len(recorder.spans) == 5
    assert recorder.dropped()["traces"] == 45
    assert sum(recorder.aggregate.totals().attempts.values()) == 50


def test_access_log_modes() -> None:
    """failed keeps failures and slow requests, all keeps everything, off nothing; a cancelled request is no failure."""
    records = [
        request(),
        request(outcome="timeout", status=504),
        request(end_ns=START_NS + 1_000_000_000),
        request(outcome="cancelled", status=0),
    ]
    held = {}
    modes: tuple[AccessLog, ...] = ("failed", "all", "off")
    for mode in modes:
        recorder = RingRecorder(access_log=mode, slow_s=1.0)
        for record in records:
            recorder.request(record)
        held[mode] = len(recorder.logs)
    assert held == {"failed": 2, "all": 4, "off": 0}


def test_the_exporter_is_woken_once_when_enough_waits() -> None:
    """The wake-up comes at the threshold, not on each record."""
    recorder = RingRecorder(wake_at=3, access_log="off")
    calls: list[int] = []
    recorder.wake = partial(calls.append, 1)
    for _ in range(6):
        recorder.attempt(attempt())
    assert len(calls) == 1


def test_in_flight_returns_to_nothing() -> None:
    """Requests under way are counted by side and destination, and forgotten when they end."""
    recorder = RingRecorder()
    recorder.active("client", "cart", 1)
    recorder.active("client", "cart", 1)
    recorder.active("server", "me", 1)
    assert recorder.in_flight == {("client", "cart"): 2, ("server", "me"): 1}
    for side, destination in (("client", "cart"), ("client", "cart"), ("server", "me")):
        recorder.active(side, destination, -1)
    assert recorder.in_flight == {}


def test_ejections_are_counted() -> None:
    """An endpoint taken out of rotation counts under its destination."""
    recorder = RingRecorder("frontend", clock_ns=lambda: START_NS)
    recorder.ejected("cart", "cart-1")
    recorder.ejected("cart", "cart-2")
    assert recorder.aggregate.totals().ejections == {"cart": 2}
