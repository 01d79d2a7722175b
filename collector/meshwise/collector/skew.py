"""Times that cannot be: what a sender with a wrong clock says happened is stored at the time it came, and says so.

An item of next year would make a partition that never ages; one of last year would age away the moment it is stored; a
request with a hundred different days in it would be refused by the store for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from meshwise.collector import items
from meshwise.collector.signals import DOORS, Signal
from meshwise.collector.validate import Verdict
from meshwise.contracts.telemetry import TIME_CLAIMED, TIME_SKEWED

_PAST: Final = "past"
_FUTURE: Final = "future"


def settle(signal: Signal, verdict: Verdict, now: int, oldest: int, newest: int) -> Verdict:
    """Return ``verdict`` with every time outside ``(oldest, newest)`` set to ``now``; all Unix nanoseconds; pure.

    Spans and log records keep the time they claimed as an attribute; points do not, as each would be its own series.
    """
    if not verdict.skewed:
        return verdict
    request: Any = DOORS[signal].request.FromString(verdict.body)
    for item in _items(signal, request):
        if signal is Signal.TRACES:
            _settle_span(item, now, oldest, newest)
        elif signal is Signal.LOGS:
            _settle_log(item, now, oldest, newest)
        elif not oldest < item.time_unix_nano < newest:
            _flag(item, item.time_unix_nano, oldest, claimed=False)
            moved = now - item.time_unix_nano
            item.time_unix_nano = now
            if item.start_time_unix_nano:
                item.start_time_unix_nano = max(1, item.start_time_unix_nano + moved)
    message = f"{verdict.skewed} {DOORS[signal].items} of a time that cannot be: stored as of now"
    return replace(
        verdict, body=request.SerializeToString(), message="; ".join(filter(None, (verdict.message, message)))
    )


def _items(signal: Signal, request: Any) -> Iterable[Any]:
    if signal is Signal.METRICS:
        return (
            item
            for group in request.resource_metrics
            for scope in group.scope_metrics
            for item in items.points_in(scope)
        )
    if signal is Signal.LOGS:
        return (item for group in request.resource_logs for scope in group.scope_logs for item in scope.log_records)
    return (item for group in request.resource_spans for scope in group.scope_spans for item in scope.spans)


def _settle_span(span: Any, now: int, oldest: int, newest: int) -> None:
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    if oldest < start and end < newest:
        return
    _flag(span, start, oldest, claimed=True)
    moved = now - end
    span.start_time_unix_nano, span.end_time_unix_nano = max(1, start + moved), now
    for event in span.events:
        event.time_unix_nano = max(0, min(now, event.time_unix_nano + moved))


def _settle_log(record: Any, now: int, oldest: int, newest: int) -> None:
    at = record.time_unix_nano or record.observed_time_unix_nano
    if not oldest < at < newest:
        _flag(record, at, oldest, claimed=True)
        record.time_unix_nano = now
        if not oldest < record.observed_time_unix_nano < newest:
            record.observed_time_unix_nano = now


def _flag(item: Any, at: int, oldest: int, *, claimed: bool) -> None:
    item.attributes.add(key=TIME_SKEWED).value.string_value = _PAST if at <= oldest else _FUTURE
    if claimed:
        item.attributes.add(key=TIME_CLAIMED).value.int_value = at
