from dataclasses import replace
from typing import Any

import pytest

from meshwise.collector.items import ItemLimits
from meshwise.collector.signals import DOORS, Signal, success
from meshwise.collector.skew import settle
from meshwise.collector.validate import Limits, Verdict, validate
from support.otlp import logs, sums, traces

NOW = 1_770_000_000 * 10**9
HOUR = 3600 * 10**9
OLDEST, NEWEST = NOW - 24 * HOUR, NOW + HOUR
LIMITS = Limits(item=ItemLimits(oldest=OLDEST, newest=NEWEST))


def settled(signal: Signal, request: Any, limits: Limits = LIMITS) -> tuple[Verdict, Any]:
    verdict = settle(signal, validate(signal, request.SerializeToString(), limits), NOW, OLDEST, NEWEST)
    return verdict, DOORS[signal].request.FromString(verdict.body)


def attributes(item: Any) -> dict[str, object]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in item.attributes}


@pytest.mark.parametrize(("start", "flag"), [(1, "past"), (OLDEST, "past"), (NEWEST, "future"), (2**62, "future")])
def test_a_span_of_no_possible_time_is_stored_as_of_now(start: int, flag: str) -> None:
    """It keeps its duration, its events their places, and what it claimed; its neighbours keep everything."""
    request = traces([1, 2], start_ns=NOW)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.start_time_unix_nano, span.end_time_unix_nano = start, start + 10
    span.events.add(time_unix_nano=start + 4)
    verdict, left = settled(Signal.TRACES, request)
    moved, whole = left.resource_spans[0].scope_spans[0].spans
    assert (moved.start_time_unix_nano, moved.end_time_unix_nano) == (NOW - 10, NOW)
    assert moved.events[0].time_unix_nano == NOW - 6
    assert attributes(moved) == {"meshwise.time.skewed": flag, "meshwise.time.claimed": start}
    assert whole == request.resource_spans[0].scope_spans[0].spans[1]
    assert (verdict.accepted, verdict.rejected, verdict.skewed) == (2, 0, 1)


def test_log_records_and_points_are_stored_as_of_now() -> None:
    """A record keeps its claim; a point only the flag, or each would be a series; intervals keep their length."""
    _, left = settled(Signal.LOGS, logs("a", at_ns=5))
    (record,) = left.resource_logs[0].scope_logs[0].log_records
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (NOW, NOW)
    assert attributes(record) == {"meshwise.time.skewed": "past", "meshwise.time.claimed": 5}
    _, left = settled(Signal.METRICS, sums([7], at_ns=NEWEST + HOUR))
    (point,) = left.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points
    assert (point.start_time_unix_nano, point.time_unix_nano, point.as_int) == (NOW - 10**9, NOW, 7)
    assert attributes(point) == {"meshwise.time.skewed": "future"}


def test_what_is_in_time_keeps_every_byte() -> None:
    """Nothing is decoded a second time where nothing is wrong."""
    request = traces(range(5), start_ns=NOW)
    verdict, _ = settled(Signal.TRACES, request)
    assert verdict == Verdict(request.SerializeToString(), 5)


def test_the_sender_is_told_by_a_warning() -> None:
    """Partial success with nothing rejected; together with rejected items both are told."""
    verdict, _ = settled(Signal.TRACES, traces([1], start_ns=1))
    answer: Any = success(Signal.TRACES, verdict.rejected, verdict.message)
    assert answer.partial_success.rejected_spans == 0
    assert "stored as of now" in answer.partial_success.error_message
    request = traces([1, 2], start_ns=1)
    request.resource_spans[0].scope_spans[0].spans[0].span_id = b""
    both, left = settled(Signal.TRACES, request)
    assert (both.accepted, both.rejected, both.skewed) == (1, 1, 1)
    assert "span_id" in both.message
    assert "stored as of now" in both.message
    assert len(left.resource_spans[0].scope_spans[0].spans) == 1


def test_large_requests_are_found_out_as_well() -> None:
    """The slice-by-slice review counts the same, and limits of size hold for skewed items too."""
    request = traces(range(30), start_ns=1, attributes={"k": "v" * 3000})
    small = replace(LIMITS, item=replace(LIMITS.item, attribute=2000))
    verdict, _ = settled(Signal.TRACES, request)
    assert (verdict.accepted, verdict.skewed) == (30, 30)
    assert settled(Signal.TRACES, request, small)[0].accepted == 0
