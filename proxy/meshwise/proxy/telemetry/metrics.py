"""Exact counts and latency histograms of one proxy, cut into wall-clock intervals.

Counting happens when the record arrives, not when the span ring is read: a ring that must never lose a count could not
be bounded, and a record already in the caller's hands costs one tuple hash and a few additions. Every record goes into
the interval its end falls in, even when the timer that collects is late or the record itself is: each interval
is a ``Window`` of its own until it is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from meshwise.contracts import telemetry as names
from meshwise.proxy.telemetry.otlp import METHODS, OTHER_METHOD
from meshwise.proxy.telemetry.records import AttemptRecord, RequestRecord, ShadowVerdict

MAX_SERIES: Final = 2000
"""Label combinations kept apart in one interval and kind; what comes beyond is counted under ``OTHER``."""
MAX_LABEL: Final = 256
"""Characters a label may have; longer ones are counted under ``OTHER``."""
MAX_OPEN_WINDOWS: Final = 16
"""Intervals open at once; records further in the past, as after a clock step, go into the newest."""
OTHER: Final = "other"

RequestKey: TypeAlias = tuple[str, str, str, str, str, str, int]
"""source, destination, route, method, side, outcome, policy version."""
AttemptKey: TypeAlias = tuple[str, str, str, str, int, str, str]
"""source, destination, route, method, policy version, outcome, endpoint."""
DeniedKey: TypeAlias = tuple[str, str, str, str, int, str]
"""source, destination, route, method, policy version, reason."""
ShadowKey: TypeAlias = tuple[str, str, str, str, int, str, ShadowVerdict]
"""source, destination, route, method, policy version, outcome, verdict."""

_log2 = math.log2
_ceil = math.ceil
_known = METHODS


class RequestSeries:
    """Count and latency of one label combination; durations in seconds. The exemplar is the slowest request."""

    __slots__ = ("buckets", "count", "exemplar_ns", "exemplar_span", "exemplar_trace", "maximum", "minimum", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.minimum = math.inf
        self.maximum = -1.0
        self.buckets: dict[int, int] = {}
        self.exemplar_trace = b""
        self.exemplar_span = b""
        self.exemplar_ns = 0


class AttemptSeries:
    """Attempts of one label combination, and how many of them were retries."""

    __slots__ = ("count", "retries")

    def __init__(self) -> None:
        self.count = 0
        self.retries = 0


@dataclass(slots=True)
class Window:
    """Everything counted between ``start_ns`` (inclusive) and ``end_ns`` (exclusive), Unix nanoseconds."""

    start_ns: int
    end_ns: int
    requests: dict[RequestKey, RequestSeries] = field(default_factory=dict)
    attempts: dict[AttemptKey, AttemptSeries] = field(default_factory=dict)
    denied: dict[DeniedKey, int] = field(default_factory=dict)
    ejections: dict[tuple[str, str, str], int] = field(default_factory=dict)
    shadow: dict[ShadowKey, int] = field(default_factory=dict)
    overflowed: int = 0

    @property
    def empty(self) -> bool:
        """Tell whether nothing was counted."""
        return not (self.requests or self.attempts or self.denied or self.ejections)


@dataclass(slots=True)
class Totals:
    """Counts since start, with few labels: what ``/metrics`` shows."""

    requests: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """By side, destination, outcome."""
    seconds: dict[tuple[str, str, str], float] = field(default_factory=dict)
    attempts: dict[tuple[str, str], int] = field(default_factory=dict)
    """By destination, outcome."""
    retries: dict[str, int] = field(default_factory=dict)
    denied: dict[tuple[str, str], int] = field(default_factory=dict)
    """By destination, reason."""
    ejections: dict[str, int] = field(default_factory=dict)
    shadow: dict[tuple[str, str], int] = field(default_factory=dict)
    """By destination and the gist of the verdict."""
    overflowed: int = 0

    def add(self, window: Window) -> None:
        """Add what ``window`` counted."""
        for (_, destination, _, _, side, outcome, _), requests in window.requests.items():
            key = (side, destination, outcome)
            self.requests[key] = self.requests.get(key, 0) + requests.count
            self.seconds[key] = self.seconds.get(key, 0.0) + requests.total
        for (_, destination, _, _, _, outcome, _), attempts in window.attempts.items():
            self.attempts[destination, outcome] = self.attempts.get((destination, outcome), 0) + attempts.count
            self.retries[destination] = self.retries.get(destination, 0) + attempts.retries
        for (_, destination, _, _, _, reason), count in window.denied.items():
            self.denied[destination, reason] = self.denied.get((destination, reason), 0) + count
        for (_, destination, _), count in window.ejections.items():
            self.ejections[destination] = self.ejections.get(destination, 0) + count
        for (_, destination, _, _, _, _, verdict), count in window.shadow.items():
            gist = (destination, gist_of(verdict))
            self.shadow[gist] = self.shadow.get(gist, 0) + count
        self.overflowed += window.overflowed

    def copy(self) -> Totals:
        """Return an independent copy."""
        return Totals(
            dict(self.requests),
            dict(self.seconds),
            dict(self.attempts),
            dict(self.retries),
            dict(self.denied),
            dict(self.ejections),
            dict(self.shadow),
            self.overflowed,
        )


class Aggregate:
    """The open windows and the totals. ``service`` names this proxy's side of series that overflow."""

    def __init__(self, service: str = "", *, interval_s: float = 10.0, max_series: int = MAX_SERIES) -> None:
        self._service = service
        self._max_series = max_series
        self._interval_ns = _to_ns(interval_s)
        self._windows: dict[int, Window] = {}
        self._window = Window(0, 0)
        self._taken = Totals()

    def set_interval(self, interval_s: float) -> None:
        """Cut windows opened from now on at multiples of ``interval_s`` seconds."""
        self._interval_ns = _to_ns(interval_s)
        self._window = Window(0, 0)

    def request(self, record: RequestRecord) -> None:
        """Count one logical request."""
        end_ns = record.end_ns
        window = self._window
        if not window.start_ns <= end_ns < window.end_ns:
            window = self._window_at(end_ns)
        method = record.method
        key = (
            record.source,
            record.destination,
            record.route,
            method if method in _known else OTHER_METHOD,
            record.side,
            record.outcome,
            record.policy_version,
        )
        series = window.requests.get(key)
        if series is None:
            series = self._new_requests(window, key)
        duration_ns = end_ns - record.start_ns
        series.count += 1
        if duration_ns > 0:
            seconds = duration_ns / 1e9
            # contracts.histogram.bucket_index, written out: a call here costs as much as all the rest.
            index = _ceil(_log2(seconds) * 16) - 1
        else:
            seconds = 0.0
            index = -1000
        series.total += seconds
        buckets = series.buckets
        buckets[index] = buckets.get(index, 0) + 1
        if seconds < series.minimum:  # noqa: PLR1730 - a call to min() costs five times the comparison
            series.minimum = seconds
        if seconds > series.maximum:
            series.maximum = seconds
            trace = record.trace
            series.exemplar_trace = trace.trace_id if trace is not None else record.trace_id
            series.exemplar_span = trace.span_id if trace is not None else b""
            series.exemplar_ns = end_ns

    def attempt(self, record: AttemptRecord) -> None:
        """Count one attempt, as a retry too from the second on, and the retry it was denied."""
        window = self._window
        if not window.start_ns <= record.end_ns < window.end_ns:
            window = self._window_at(record.end_ns)
        method = record.method
        key = (
            record.source,
            record.destination,
            record.route,
            method if method in _known else OTHER_METHOD,
            record.policy_version,
            record.outcome,
            record.endpoint,
        )
        series = window.attempts.get(key)
        if series is None:
            series = self._new_attempts(window, key)
        series.count += 1
        if record.ordinal > 1:
            series.retries += 1
        if record.retry_denied:
            self._deny(window, (*key[:5], record.retry_denied))
        if record.shadow is not None:
            self._judge(window, (*key[:6], record.shadow))

    def ejected(self, destination: str, endpoint: str, now_ns: int) -> None:
        """Count one ejection at ``now_ns``, Unix nanoseconds."""
        window = self._window_at(now_ns)
        key = (self._service, destination, endpoint)
        if key not in window.ejections and len(window.ejections) >= self._max_series:
            window.overflowed += 1
            key = (self._service, OTHER, "")
        window.ejections[key] = window.ejections.get(key, 0) + 1

    def take(self, now_ns: int, *, all_of_it: bool = False) -> list[Window]:
        """Remove and return the windows that ended by ``now_ns`` (or all), oldest first; their counts leave with them.

        With ``all_of_it`` a window still open is cut at ``now_ns``.
        """
        ready = sorted(start for start, window in self._windows.items() if all_of_it or window.end_ns <= now_ns)
        windows = [self._windows.pop(start) for start in ready]
        for window in windows:
            self._taken.add(window)
            if window is self._window:
                self._window = Window(0, 0)
            if all_of_it:
                window.end_ns = max(window.start_ns, min(window.end_ns, now_ns))
        return [window for window in windows if not window.empty]

    def totals(self) -> Totals:
        """Return the counts since start, open windows included."""
        totals = self._taken.copy()
        for window in self._windows.values():
            totals.add(window)
        return totals

    def _window_at(self, end_ns: int) -> Window:
        """Find or open the window that ``end_ns`` falls in and make it the one looked at first."""
        start = end_ns - end_ns % self._interval_ns
        window = self._windows.get(start)
        if window is None:
            if len(self._windows) >= MAX_OPEN_WINDOWS:
                # Only clock steps and foreign times get here: the count matters more than its place.
                window = self._windows[max(self._windows)]
            else:
                window = self._windows[start] = Window(start, start + self._interval_ns)
        self._window = window
        return window

    def _new_requests(self, window: Window, key: RequestKey) -> RequestSeries:
        if len(window.requests) >= self._max_series or _too_long(key):
            window.overflowed += 1
            _, _, _, method, side, outcome, _ = key
            near, far = self._service or OTHER, OTHER
            key = (near, far, "", method, side, outcome, 0)
            if side == names.SIDE_SERVER:
                key = (far, near, "", method, side, outcome, 0)
        return window.requests.setdefault(key, RequestSeries())

    def _new_attempts(self, window: Window, key: AttemptKey) -> AttemptSeries:
        if len(window.attempts) >= self._max_series or _too_long(key):
            window.overflowed += 1
            key = (self._service or OTHER, OTHER, "", key[3], 0, key[5], "")
        return window.attempts.setdefault(key, AttemptSeries())

    def _deny(self, window: Window, key: DeniedKey) -> None:
        if key not in window.denied and (len(window.denied) >= self._max_series or _too_long(key)):
            window.overflowed += 1
            key = (self._service or OTHER, OTHER, "", key[3], 0, key[5])
        window.denied[key] = window.denied.get(key, 0) + 1

    def _judge(self, window: Window, key: ShadowKey) -> None:
        if key not in window.shadow and (len(window.shadow) >= self._max_series or _too_long(key[:6])):
            window.overflowed += 1
            key = (self._service or OTHER, OTHER, "", key[3], 0, key[5], ShadowVerdict(0))
        window.shadow[key] = window.shadow.get(key, 0) + 1


@dataclass(frozen=True, slots=True)
class Sum:
    """One data point of a delta sum or of a gauge."""

    metric: str
    attributes: Mapping[str, str | int]
    value: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """One data point of the duration histogram."""

    metric: str
    attributes: Mapping[str, str | int]
    series: RequestSeries


def points(window: Window) -> Iterator[Sum | Histogram]:
    """Yield the data points of ``window``, those of one metric together."""
    for key, requests in window.requests.items():
        yield Sum(names.METRIC_REQUESTS, request_attributes(key), requests.count)
    for key, requests in window.requests.items():
        yield Histogram(names.METRIC_DURATION, request_attributes(key), requests)
    retries: dict[tuple[str, str, str, str, int], int] = {}
    for attempt_key, attempts in window.attempts.items():
        edge, outcome, endpoint = attempt_key[:5], attempt_key[5], attempt_key[6]
        yield Sum(
            names.METRIC_ATTEMPTS,
            {**client_attributes(edge), names.OUTCOME: outcome, names.ENDPOINT: endpoint},
            attempts.count,
        )
        if attempts.retries:
            retries[edge] = retries.get(edge, 0) + attempts.retries
    for edge, count in retries.items():
        yield Sum(names.METRIC_RETRIES, client_attributes(edge), count)
    for denied_key, count in window.denied.items():
        yield Sum(
            names.METRIC_RETRIES_DENIED,
            {**client_attributes(denied_key[:5]), names.RETRY_DENIED: denied_key[5]},
            count,
        )
    for shadow_key, count in window.shadow.items():
        yield Sum(
            names.METRIC_SHADOW_ATTEMPTS,
            {
                **client_attributes(shadow_key[:5]),
                names.OUTCOME: shadow_key[5],
                **shadow_attributes(shadow_key[6]),
            },
            count,
        )
    for (source, destination, endpoint), count in window.ejections.items():
        yield Sum(
            names.METRIC_EJECTIONS,
            {names.SOURCE: source, names.DESTINATION: destination, names.ENDPOINT: endpoint},
            count,
        )


def request_attributes(key: RequestKey) -> dict[str, str | int]:
    """Return the attributes of a logical-request series."""
    source, destination, route, method, side, outcome, version = key
    return {
        names.SOURCE: source,
        names.DESTINATION: destination,
        names.ROUTE: route,
        names.METHOD: method,
        names.SIDE: side,
        names.OUTCOME: outcome,
        names.POLICY_VERSION: version,
    }


def client_attributes(edge: tuple[str, str, str, str, int]) -> dict[str, str | int]:
    """Return the attributes that the client-side counters share."""
    source, destination, route, method, version = edge
    return {
        names.SOURCE: source,
        names.DESTINATION: destination,
        names.ROUTE: route,
        names.METHOD: method,
        names.SIDE: names.SIDE_CLIENT,
        names.POLICY_VERSION: version,
    }


def shadow_attributes(verdict: ShadowVerdict) -> dict[str, str | int]:
    """Return the attributes that tell one verdict from another."""
    return {
        names.SHADOW_VERSION: verdict.version,
        names.SHADOW_TIMEOUT: verdict.timeout,
        names.SHADOW_RETRY: verdict.retry,
        names.SHADOW_DENIED: verdict.denied,
        names.SHADOW_SKIPPED: "true" if verdict.skipped else "false",
    }


def gist_of(verdict: ShadowVerdict) -> str:
    """Return a verdict in a word, the most telling one: what ``/metrics`` shows."""
    if verdict.skipped:
        return "skipped"
    if verdict.retry:
        return "retried"
    if verdict.denied:
        return "denied"
    return {"none": "kept", "unknown": "unknown"}.get(verdict.timeout, "timed_out")


def _too_long(key: tuple[str | int, ...]) -> bool:
    return any(isinstance(label, str) and len(label) > MAX_LABEL for label in key)


def _to_ns(interval_s: float) -> int:
    if interval_s <= 0:
        raise ValueError("the interval must be positive")
    return round(interval_s * 1e9)
