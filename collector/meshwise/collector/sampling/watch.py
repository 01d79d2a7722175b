"""Which traces somebody will want to look at: those with an error, slow ones, and those of routes rarely seen.

Memory is bounded: the oldest traces are forgotten first, and routes beyond the limit share one entry.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from meshwise.contracts.telemetry import SERVICE_NAME

ERROR: Final = Status.STATUS_CODE_ERROR
LEARNT_AFTER: Final = 200
"""Spans of a route before its own slowness is believed."""
STEP: Final = 0.05
"""How far an estimate moves at most, in powers of two of a duration."""
MINUTE_S: Final = 60.0

_OTHERS: Final = ("", "")


@dataclass(frozen=True, slots=True)
class Rules:
    """What is kept whatever chance says.

    ``slow_s`` is in seconds, ``slow_share`` of the spans of a route, ``rare_per_minute`` spans a route; 0 is none. The
    rest are limits.
    """

    errors: bool = True
    slow_s: float = 1.0
    slow_share: float = 0.01
    rare_per_minute: int = 6
    most_traces: int = 200_000
    most_routes: int = 10_000

    @property
    def any(self) -> bool:
        """Whether there is anything to wait for."""
        return self.errors or self.slow_s > 0 or self.slow_share > 0 or self.rare_per_minute > 0


class _Route:
    """What is known of one route: the duration that ``slow_share`` of its spans exceed, and how often it was seen."""

    __slots__ = ("limit", "minute", "seen", "spans")

    def __init__(self) -> None:
        self.limit = -math.inf
        self.spans = 0
        self.minute = -1
        self.seen = 0

    def is_slow(self, duration_ns: int, share: float) -> bool:
        """Whether a span is slow for this route; it moves the estimate.

        A quantile by stochastic approximation (Robbins and Monro, 1951), in powers of two: up a step when exceeded,
        down by so much less that exceeding ``share`` of the time is where it rests.
        """
        size = math.log2(duration_ns + 1)
        if not self.spans:
            self.limit = size
        self.spans += 1
        over = size > self.limit
        self.limit += STEP * (1.0 - share) if over else -STEP * share
        return over and self.spans > LEARNT_AFTER

    def is_rare(self, now: float, most: int) -> bool:
        """Whether this is one of the first ``most`` in this minute; ``now`` in seconds."""
        minute = int(now // MINUTE_S)
        if minute != self.minute:
            self.minute, self.seen = minute, 0
        self.seen += 1
        return self.seen <= most


class Watch:
    """Remembers the traces that the rules keep; safe to use from several threads."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._traces: OrderedDict[bytes, None] = OrderedDict()
        self._routes: dict[tuple[str, str], _Route] = {}
        self._lock = threading.Lock()
        self.forgotten = 0
        """Traces that had to make room before anybody could know that they were decided."""

    def __contains__(self, trace_id: bytes) -> bool:
        return trace_id in self._traces

    def learn(self, body: bytes, now: float) -> None:
        """Look at the spans of one request; ``now`` in seconds, of any clock that goes on."""
        request = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            for service, span in spans_of(request):
                if self._matters(service, span, now):
                    self._remember(span.trace_id)

    def _matters(self, service: str, span: Span, now: float) -> bool:
        rules = self._rules
        # Every rule that learns has to see every span.
        route = self._route(service, span.name)
        duration = max(0, span.end_time_unix_nano - span.start_time_unix_nano)
        slow = rules.slow_share > 0 and route.is_slow(duration, rules.slow_share)
        rare = rules.rare_per_minute > 0 and route.is_rare(now, rules.rare_per_minute)
        return slow or rare or matters_alone(span, rules)

    def _route(self, service: str, name: str) -> _Route:
        key = (service, name)
        found = self._routes.get(key)
        if found is None:
            if len(self._routes) >= self._rules.most_routes:
                key = _OTHERS
            found = self._routes.setdefault(key, _Route())
        return found

    def _remember(self, trace_id: bytes) -> None:
        self._traces[trace_id] = None
        if len(self._traces) > self._rules.most_traces:
            self._traces.popitem(last=False)
            self.forgotten += 1


def matters_alone(span: Span, rules: Rules) -> bool:
    """Whether a span by itself, without what was learnt, makes its trace one to keep."""
    if rules.errors and span.status.code == ERROR:
        return True
    return rules.slow_s > 0 and span.end_time_unix_nano - span.start_time_unix_nano >= rules.slow_s * 1e9


def spans_of(request: Any) -> Iterable[tuple[str, Span]]:
    """Yield every span of a request with the name of its service."""
    for group in request.resource_spans:
        service = next((one.value.string_value for one in group.resource.attributes if one.key == SERVICE_NAME), "")
        for scope in group.scope_spans:
            for span in scope.spans:
                yield service, span
