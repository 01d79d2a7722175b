"""Check a request before it is acknowledged: parse once, count the items, cut out the bad ones.

A request of up to a slice is parsed whole where a quick look finds no item in it that is large by itself. Others are
walked field by field (``wire``) and parsed in slices, one after another, so that memory is bounded whatever the bytes
decode to. Good bytes are never encoded again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogram,
    Gauge,
    Histogram,
    Metric,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
    Summary,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from meshwise.collector import items, wire
from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.items import Check, ItemLimits
from meshwise.collector.signals import DOORS, Signal

SLICE_BYTES: Final = 1024 * 1024
"""Most bytes parsed at once. Empty spans grow by 88 when parsed: a slice stays near 90 MiB."""
FIELDS_PER_ITEM: Final = 8
"""Fields a walk may visit per allowed item; a metric has about five of its own around its points."""
MESSAGES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request: ``items`` is a count."""

    items: int = 100_000
    item: ItemLimits = field(default_factory=ItemLimits)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is left of a request: the bytes to spool, and how many items were accepted and rejected, and why.

    ``skewed`` of the accepted ones have a time that cannot be right.
    """

    body: bytes
    accepted: int
    rejected: int = 0
    message: str = ""
    skewed: int = 0


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where the items of a signal lie: message types and the field that leads down, per level."""

    levels: tuple[tuple[type[Message], int], ...]
    items_in: Callable[[Any], Iterable[Any]]
    check: Check
    path: tuple[tuple[int, ...], ...]
    sound: Callable[[Any, ItemLimits], int | None] = lambda _items, _limits: None
    """How many of some items there are if nothing is wrong with any: spares the common case a call for each."""


_POINT_KINDS: Final[dict[int, type[Message]]] = {5: Gauge, 7: Sum, 9: Histogram, 10: ExponentialHistogram, 11: Summary}

_SHAPES: Final = {
    Signal.TRACES: _Shape(
        ((DOORS[Signal.TRACES].request, 1), (ResourceSpans, 2), (ScopeSpans, 2)),
        items.spans_in,
        items.span_problem,
        ((1,), (2,), (2,)),
        items.sound_spans,
    ),
    Signal.LOGS: _Shape(
        ((DOORS[Signal.LOGS].request, 1), (ResourceLogs, 2), (ScopeLogs, 2)),
        items.logs_in,
        items.log_problem,
        ((1,), (2,), (2,)),
    ),
    Signal.METRICS: _Shape(
        ((DOORS[Signal.METRICS].request, 1), (ResourceMetrics, 2), (ScopeMetrics, 2)),
        items.points_in,
        items.point_problem,
        ((1,), (2,), (2,), tuple(_POINT_KINDS), (1,)),
    ),
}
_GROUPS: Final[dict[Signal, tuple[str, str]]] = {
    Signal.TRACES: ("resource_spans", "scope_spans"),
    Signal.LOGS: ("resource_logs", "scope_logs"),
    Signal.METRICS: ("resource_metrics", "scope_metrics"),
}


def validate(signal: Signal, body: bytes, limits: Limits) -> Verdict:
    """Parse, count and clean one request in protobuf; pure, and safe in any thread.

    Raises RefusedError when the bytes are not such a request or hold too many items.
    """
    review = _Review(signal, limits)
    try:
        if len(body) <= SLICE_BYTES and (len(body) <= review.large_bytes or review.is_even(body)):
            review.whole(body)
        else:
            review.request(body)
        if not review.bad:
            return Verdict(body, review.seen, skewed=review.skewed)
        left, seen = wire.cut(body, review.shape.path, review.bad, review.allowance)
    except DecodeError:
        raise _malformed(signal) from None
    except wire.WireError as error:
        raise RefusedError(Reason.MALFORMED, f"the body is not protobuf: {error}") from None
    except wire.TooManyFieldsError:
        raise _too_many(signal, limits) from None
    if seen != review.seen:
        # Two kinds of data in one metric: which points count would depend on the reader.
        raise RefusedError(Reason.MALFORMED, "a metric carries more than one kind of data")
    return Verdict(left, review.seen - len(review.bad), len(review.bad), review.message(), review.skewed)


class _Review:
    """Goes through one request and remembers the ordinals of its bad items."""

    def __init__(self, signal: Signal, limits: Limits) -> None:
        self.signal = signal
        self.limits = limits
        self.shape = _SHAPES[signal]
        self.allowance = wire.Allowance(limits.items * FIELDS_PER_ITEM + 1024)
        self.large_bytes = min(limits.item.attribute, limits.item.item)
        self._groups = 0
        self.seen = 0
        self.bad: set[int] = set()
        self.skewed = 0
        self._problems: Counter[str] = Counter()

    def message(self) -> str:
        """One line that says what was wrong with the rejected items."""
        shown = [f"{count} x {problem}" for problem, count in self._problems.most_common(MESSAGES_SHOWN)]
        return f"rejected {len(self.bad)} {DOORS[self.signal].items}: {'; '.join(shown)}"

    def is_even(self, body: bytes) -> bool:
        """Tell whether nothing in the request is so large that it has to be looked at more closely."""
        path = [number for _, number in self.shape.levels]
        return wire.is_even(body, path, self.large_bytes, wire.Allowance(self.limits.items))

    def whole(self, body: bytes) -> None:
        """Review a request, parsed at once, in which nothing is large."""
        message: Any = self.shape.levels[0][0].FromString(body)
        groups, scopes = _GROUPS[self.signal]
        for group in getattr(message, groups):
            for scope in getattr(group, scopes):
                found = self.shape.items_in(scope)
                count = self.shape.sound(found, self.limits.item)
                if count is None:
                    self._items(found, closely=False)
                else:
                    self._add(count)

    def request(self, body: bytes) -> None:
        """Review a large request slice by slice."""
        self._descend(body, 0, len(body), 0)

    def _descend(self, data: bytes, start: int, end: int, level: int) -> None:
        kind, number = self.shape.levels[level]
        is_scope = level == len(self.shape.levels) - 1
        rest: list[tuple[int, int]] = []
        run_start = run_end = start
        closely = False
        for field_number, wire_type, field_at, value_at, value_end in wire.scan(data, start, end, self.allowance):
            if field_number != number or wire_type != wire.LENGTH:
                rest.append((field_at, value_end))
                continue
            if not is_scope:
                self._groups += 1
                if self._groups > self.limits.items:
                    raise _too_many(self.signal, self.limits)
                self._descend(data, value_at, value_end, level + 1)
                continue
            if run_end != field_at or value_end - run_start > SLICE_BYTES:
                self._run(kind, data, run_start, run_end, closely=closely)
                run_start = field_at
                closely = False
            run_end = value_end
            # Only an item above the limit of one attribute can hold such an attribute.
            closely = closely or value_end - field_at > self.large_bytes
            if value_end - field_at > SLICE_BYTES:
                run_start = value_end
                self._large(data, value_at, value_end)
        self._run(kind, data, run_start, run_end, closely=closely)
        self._parse_rest(kind, data, rest)

    def _run(self, kind: type[Message], data: bytes, start: int, end: int, *, closely: bool) -> None:
        if end > start:
            self._items(self.shape.items_in(kind.FromString(data[start:end])), closely=closely)

    def _large(self, data: bytes, start: int, end: int) -> None:
        """Review one span or record, or one metric, that is larger than a slice."""
        if self.signal is Signal.METRICS:
            self._large_metric(data, start, end)
        elif end - start > self.limits.item.item:
            self._count(f"larger than {self.limits.item.item} bytes")
        else:
            field_number = self.shape.levels[-1][1]
            head = wire.write_varint(field_number << 3 | wire.LENGTH) + wire.write_varint(end - start)
            scope = self.shape.levels[-1][0].FromString(head + data[start:end])
            self._items(self.shape.items_in(scope), closely=True)

    def _large_metric(self, data: bytes, start: int, end: int) -> None:
        rest: list[tuple[int, int]] = []
        for number, wire_type, field_at, value_at, value_end in wire.scan(data, start, end, self.allowance):
            kind = _POINT_KINDS.get(number)
            if kind is None or wire_type != wire.LENGTH:
                rest.append((field_at, value_end))
                continue
            run_start = run_end = value_at
            inner: list[tuple[int, int]] = []
            for point_field, point_wire, point_at, point_value, point_end in wire.scan(
                data, value_at, value_end, self.allowance
            ):
                if point_field != 1 or point_wire != wire.LENGTH:
                    inner.append((point_at, point_end))
                    continue
                oversize = point_end - point_value > self.limits.item.item
                if oversize or run_end != point_at or point_end - run_start > SLICE_BYTES:
                    self._points(kind, data, run_start, run_end)
                    run_start = point_at
                run_end = point_end
                if oversize:
                    self._count(f"larger than {self.limits.item.item} bytes")
                    run_start = point_end
            self._points(kind, data, run_start, run_end)
            self._parse_rest(kind, data, inner)
        self._parse_rest(Metric, data, rest)

    def _points(self, kind: type[Message], data: bytes, start: int, end: int) -> None:
        if end > start:
            holder: Any = kind.FromString(data[start:end])
            self._items(holder.data_points, closely=True)

    def _parse_rest(self, kind: type[Message], data: bytes, ranges: list[tuple[int, int]]) -> None:
        """Parse what is not an item: resource, scope, names."""
        if sum(end - start for start, end in ranges) > self.limits.item.item:
            raise RefusedError(Reason.TOO_LARGE, f"a resource or scope is larger than {self.limits.item.item} bytes")
        kind.FromString(b"".join(data[start:end] for start, end in ranges))

    def _items(self, found: Iterable[Any], *, closely: bool) -> None:
        check, limits = self.shape.check, self.limits.item
        first = seen = self.seen
        for item in found:
            problem = check(item, limits)
            if problem is None and closely:
                problem = items.size_problem(item, limits)
            if problem is items.SKEWED:
                problem = items.size_problem(item, limits) if closely else None
                self.skewed += problem is None
            if problem is not None:
                self.bad.add(seen)
                self._problems[problem] += 1
            seen += 1
            if seen - first > self.limits.items:
                break
        self.seen = first
        self._add(seen - first)

    def _add(self, count: int) -> None:
        self.seen += count
        if self.seen > self.limits.items:
            raise _too_many(self.signal, self.limits)

    def _count(self, problem: str) -> None:
        self.bad.add(self.seen)
        self._problems[problem] += 1
        self.seen += 1


def _malformed(signal: Signal) -> RefusedError:
    name = DOORS[signal].request.DESCRIPTOR.name
    return RefusedError(Reason.MALFORMED, f"the body is not a protobuf {name} (or nests too deep)")


def _too_many(signal: Signal, limits: Limits) -> RefusedError:
    return RefusedError(
        Reason.TOO_MANY_ITEMS, f"the request holds more than {limits.items} {DOORS[signal].items}; send smaller batches"
    )
