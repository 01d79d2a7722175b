from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.telemetry.otlp import RecordEncoder
from meshwise.proxy.telemetry.recorder import RECORD_BYTES, TOGETHER, AccessLog, Ring, RingRecorder
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
            ring.push(b"x" * step)
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
        ring.push(b"%d" % number)
    assert ring.pop(9) == [b"2", b"3"]


def test_spans_and_log_records_are_kept_encoded() -> None:
    """What waits for the exporter are the bytes it sends; the records themselves are gone."""
    recorder = RingRecorder(access_log="all", clock_ns=lambda: START_NS)
    recorder.attempt(attempt())
    recorder.request(request())
    recorder.settle()
    encoder = RecordEncoder()
    assert recorder.spans.pop(9) == [encoder.attempt_span(attempt()), encoder.server_span(request())]
    assert recorder.logs.pop(9) == [encoder.log_record(request(), START_NS)]


def test_without_export_records_only_count() -> None:
    """A proxy that sends nothing keeps nothing, and loses nothing either."""
    recorder = RingRecorder(export=False, access_log="all")
    recorder.attempt(attempt())
    recorder.request(request())
    recorder.settle()
    assert len(recorder.spans) == len(recorder.logs) == 0
    assert recorder.dropped() == {"traces": 0, "logs": 0}
    assert sum(recorder.aggregate.totals().requests.values()) == 1


def test_an_odd_record_is_counted_as_lost() -> None:
    """What cannot be encoded hurts neither the request nor the records after it."""
    recorder = RingRecorder(access_log="all")
    recorder.request(request(start_ns=-1, end_ns=-1))
    recorder.request(request())
    recorder.settle()
    assert len(recorder.spans) == len(recorder.logs) == 1
    assert recorder.dropped() == {"traces": 1, "logs": 1}


def test_unsampled_spans_count_and_are_not_kept() -> None:
    """The metrics are exact whatever the sampling."""
    recorder = RingRecorder("catalog", access_log="off")
    recorder.attempt(attempt(trace=UNSAMPLED))
    recorder.request(request(trace=UNSAMPLED))
    recorder.request(request(side="client", trace=None))
    recorder.settle()
    assert len(recorder.spans) == 0
    totals = recorder.aggregate.totals()
    assert sum(totals.requests.values()) == 2
    assert sum(totals.attempts.values()) == 1


def test_metrics_survive_a_full_ring() -> None:
    """Dropped spans leave the counts untouched."""
    recorder = RingRecorder(ring_records=5)
    for _ in range(50):
        recorder.attempt(attempt())
    recorder.settle()
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
        recorder.settle()
    assert len(calls) == 1


def test_spans_are_encoded_a_few_at_a_time() -> None:
    """Without anybody asking for them no more than a few records wait to be encoded."""
    recorder = RingRecorder()
    for _ in range(2 * TOGETHER - 1):
        recorder.attempt(attempt())
    assert len(recorder.spans) == TOGETHER


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
