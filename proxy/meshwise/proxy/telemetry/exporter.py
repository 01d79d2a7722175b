"""Sends what the recorder gathered to the collector, off the hot path.

Two tasks: one batches (spans and logs about every second, metrics at wall-clock multiples of the interval), one sends,
so that a slow collector never delays the closing of an interval. Batches wait in two bounded queues; what the
bounds push out is counted and reported as ``METRIC_TELEMETRY_DROPPED``.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final

import structlog

from meshwise.contracts import telemetry as names
from meshwise.contracts.errors import UnavailableError
from meshwise.contracts.policy import Policy
from meshwise.contracts.snapshot import Snapshot
from meshwise.proxy.net.http_client import HttpClient
from meshwise.proxy.telemetry.backlog import Backlog, Payload
from meshwise.proxy.telemetry.delivery import judge
from meshwise.proxy.telemetry.metrics import Histogram, Sum, Window, points
from meshwise.proxy.telemetry.otlp import Encoder
from meshwise.proxy.telemetry.otlp_metrics import encode_points
from meshwise.proxy.telemetry.recorder import Ring, RingRecorder
from meshwise.proxy.telemetry.resource import complete_resource
from meshwise.proxy.telemetry.wire import AttributeValue

METRICS_BACKLOG_BYTES: Final = 16 * 1024 * 1024
SPANS_BACKLOG_BYTES: Final = 8 * 1024 * 1024
BATCH: Final = 512
"""Spans or log records in one request, and how many wake the exporter early."""
POINTS: Final = 500
"""Data points in one request."""
GRACE_S: Final = 0.05
"""Wait past the end of an interval, so that records already on their way are in it."""
FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 5.0
"""Pause after a failed export; doubles from the first to the longest, with jitter."""
HURRY_S: Final = 2.0
HURRY_FOR_S: Final = 120.0
"""Seconds between two exports of metrics, for so long after policies changed: what they do is waited for."""
LAST_TRIES: Final = 4
"""Failures in a row after which the final flush gives up before its deadline."""
SIGNAL: Final = "meshwise.telemetry.signal"
"""Attribute on ``METRIC_TELEMETRY_DROPPED``: traces, logs or metrics."""

log = structlog.get_logger(__name__)


class Exporter:
    """Exports spans and logs about every second and metrics at wall-clock multiples of ``interval_s`` seconds.

    Metrics go out more often for a while after policies changed: see ``watch``.
    ``resource`` holds at least service.name, service.instance.id and service.version.
    """

    def __init__(
        self,
        recorder: RingRecorder,
        resource: Mapping[str, AttributeValue],
        collector_url: str,
        interval_s: float = 10.0,
        *,
        span_interval_s: float = 1.0,
        hurry_s: float = HURRY_S,
        hurry_for_s: float = HURRY_FOR_S,
        timeout_s: float = 10.0,
        first_wait_s: float = FIRST_WAIT_S,
        longest_wait_s: float = LONGEST_WAIT_S,
        metrics_backlog_bytes: int = METRICS_BACKLOG_BYTES,
        spans_backlog_bytes: int = SPANS_BACKLOG_BYTES,
        token: str = "",
        tls: Callable[[], ssl.SSLContext] | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._recorder = recorder
        self._resource = dict(resource)
        self._client = HttpClient(collector_url, token=token, tls=tls)
        self._headers = {"content-type": "application/x-protobuf", "user-agent": "meshwise-proxy"}
        self._interval_ns = self._window_ns = round(interval_s * 1e9)
        self._hurry_ns = round(hurry_s * 1e9)
        self._hurry_for_s = hurry_for_s
        self._policies: tuple[Policy, ...] | None = None
        self._hurried_until = 0.0
        self._span_interval_s = span_interval_s
        self._timeout_s = timeout_s
        self._first_wait_s = first_wait_s
        self._longest_wait_s = longest_wait_s
        self._clock_ns = clock_ns
        self._encoder = Encoder(self._resource, str(self._resource.get(names.SERVICE_VERSION, "")))
        self._metrics = Backlog(metrics_backlog_bytes)
        self._spans = Backlog(spans_backlog_bytes)
        self._reported: dict[str, int] = {}
        self._full = asyncio.Event()
        self._waiting = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._delivery: asyncio.Task[float] | None = None
        """The export under way; it outlives the task that began it, see ``stop``."""
        self._failures = 0
        self.exported: dict[str, int] = {}
        """Items the collector took, by signal."""
        recorder.aggregate.set_interval(interval_s)
        recorder.wake = self._full.set

    @property
    def backlog_bytes(self) -> int:
        """Encoded bytes waiting for the collector."""
        return self._metrics.held_bytes + self._spans.held_bytes

    def watch(self, snapshot: Snapshot) -> None:
        """Export metrics every ``hurry_s`` seconds for ``hurry_for_s`` if ``snapshot`` has other policies than before.

        Whoever changed them, in a rollout or by hand, waits to see what they do.
        """
        before, self._policies = self._policies, snapshot.policies
        if before is not None and before != self._policies:
            self._hurried_until = time.monotonic() + self._hurry_for_s
            self._full.set()

    async def start(self) -> None:
        """Begin exporting in the background; never waits for the collector."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._encode_forever()), asyncio.create_task(self._send_forever())]

    async def stop(self, deadline_s: float = 5.0) -> None:
        """Flush everything, the open metric interval included, within ``deadline_s`` seconds."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        try:
            async with asyncio.timeout(deadline_s):
                if self._delivery is not None:
                    # Cut off and sent again, what is on its way could arrive twice, and counts must not.
                    await self._delivery
                await self._encode_signals()
                self._encode_metrics(all_of_it=True)
                tries = 0
                while tries < LAST_TRIES and (payload := self._next()):
                    wait = await self._deliver(payload)
                    tries = tries + 1 if wait else 0
                    if wait:
                        await asyncio.sleep(min(wait, 0.5))
        except TimeoutError:
            pass
        if self._metrics or self._spans:
            log.warning("telemetry left undelivered", metrics=len(self._metrics), spans=len(self._spans))
        await self._client.close()

    async def _encode_forever(self) -> None:
        # The SDK completes the resource in a thread: importing it takes longer than a proxy may take to start.
        try:
            resource = await asyncio.to_thread(complete_resource, self._resource)
            self._encoder = Encoder(resource, str(resource.get(names.SERVICE_VERSION, "")))
        except Exception as error:  # noqa: BLE001 - a bad OTEL_RESOURCE_ATTRIBUTES must not cost the telemetry
            log.warning("resource not completed", error=str(error))
        next_signals = time.monotonic() + self._span_interval_s
        boundary = self._next_boundary()
        while True:
            due_metrics = (boundary - self._clock_ns()) / 1e9 + GRACE_S
            pause = max(0.0, min(due_metrics, next_signals - time.monotonic()))
            try:
                async with asyncio.timeout(pause):
                    await self._full.wait()
            except TimeoutError:
                pass
            self._full.clear()
            try:
                await self._encode_signals()
                if self._clock_ns() >= boundary:
                    self._encode_metrics(all_of_it=self._recut())
            except Exception:
                log.exception("telemetry not encoded")
            next_signals = time.monotonic() + self._span_interval_s
            if self._clock_ns() >= boundary:
                boundary = self._next_boundary()
            elif boundary - self._clock_ns() > 2 * self._interval_ns:
                boundary = self._next_boundary()  # the wall clock was set back
            else:
                boundary = min(boundary, self._next_boundary())  # there is a hurry now

    def _next_boundary(self) -> int:
        now, pace = self._clock_ns(), self._pace_ns()
        return now - now % pace + pace

    def _pace_ns(self) -> int:
        hurried = time.monotonic() < self._hurried_until
        return min(self._interval_ns, self._hurry_ns) if hurried else self._interval_ns

    def _recut(self) -> bool:
        """Cut windows as long as they are waited for now; tell whether one that is open is to be closed for it."""
        pace, before = self._pace_ns(), self._window_ns
        if pace == before or self._clock_ns() % pace > before:
            return False  # longer windows begin with one of their own, or they would overlap what was sent
        self._window_ns = pace
        self._recorder.aggregate.set_interval(pace / 1e9)
        return pace < before

    async def _encode_signals(self) -> None:
        """Empty both rings into payloads, giving the loop a turn between them."""
        self._recorder.settle()
        await self._empty(self._recorder.spans, "traces")
        await self._empty(self._recorder.logs, "logs")

    async def _empty(self, ring: Ring, signal: str) -> None:
        # What arrives while this runs is left for the next round, so the round ends.
        left = len(ring)
        while left > 0 and (encoded := ring.pop(min(BATCH, left))):
            left -= len(encoded)
            self._keep(self._spans, Payload(signal, self._encoder.envelope(encoded), len(encoded)))
            await asyncio.sleep(0)

    def _encode_metrics(self, *, all_of_it: bool = False) -> None:
        """Turn the windows that ended into payloads; the newest carries the gauge and the losses too."""
        now = self._clock_ns()
        windows = self._recorder.aggregate.take(now, all_of_it=all_of_it)
        own = self._own_points()
        if own and not windows:
            start = now - now % self._interval_ns
            if not all_of_it:
                start -= self._interval_ns
            windows = [Window(start, min(now, start + self._interval_ns))]
        for window in windows:
            found: list[Sum | Histogram] = list(points(window))
            if window is windows[-1]:
                found += own
            rest = iter(found)
            while chunk := list(islice(rest, POINTS)):
                fields = encode_points(chunk, window.start_ns, window.end_ns)
                self._keep(self._metrics, Payload("metrics", self._encoder.envelope(fields), len(chunk)))

    def _own_points(self) -> list[Sum]:
        own = [
            Sum(names.METRIC_IN_FLIGHT, {names.SIDE: side, names.DESTINATION: destination}, count)
            for (side, destination), count in self._recorder.in_flight.items()
        ]
        for signal, count in self._recorder.dropped().items():
            lost = count - self._reported.get(signal, 0)
            if lost:
                own.append(Sum(names.METRIC_TELEMETRY_DROPPED, {SIGNAL: signal}, lost))
                self._reported[signal] = count
        return own

    def _keep(self, backlog: Backlog, payload: Payload) -> None:
        for lost in backlog.push(payload):
            self._recorder.lose(lost.signal, lost.items)
        self._waiting.set()

    def _next(self) -> Payload | None:
        """Take the next payload: metrics first, they are few and must not be lost."""
        for backlog in (self._metrics, self._spans):
            if backlog:
                return backlog.pop()
        return None

    async def _send_forever(self) -> None:
        while True:
            payload = self._next()
            if payload is None:
                self._waiting.clear()
                await self._waiting.wait()
                continue
            self._delivery = asyncio.ensure_future(self._deliver(payload))
            wait = await asyncio.shield(self._delivery)
            self._delivery = None
            if wait:
                await asyncio.sleep(wait)

    async def _deliver(self, payload: Payload) -> float:
        """Send ``payload`` once; return the seconds to wait before the next attempt, 0 when it is settled."""
        settled = False
        try:
            answer = await self._client.request(
                "POST",
                f"/v1/{payload.signal}",
                payload.body,
                self._headers,
                timeout_s=self._timeout_s,
            )
            verdict = judge(answer, payload.items, time.time())
            if verdict.again:
                return self._pause(verdict.problem, verdict.wait_s)
            settled = True
        except UnavailableError as error:
            return self._pause(str(error), None)
        finally:
            if not settled:
                # Also when cancelled at the deadline: it counts as undelivered.
                backlog = self._metrics if payload.signal == "metrics" else self._spans
                for lost in backlog.restore(payload):
                    self._recorder.lose(lost.signal, lost.items)
        if self._failures:
            log.info("telemetry flows again", after_failures=self._failures)
            self._failures = 0
        if verdict.rejected or verdict.problem:
            self._recorder.lose(payload.signal, verdict.rejected)
            log.warning("telemetry rejected", signal=payload.signal, items=verdict.rejected, problem=verdict.problem)
        self.exported[payload.signal] = self.exported.get(payload.signal, 0) + payload.items - verdict.rejected
        return 0.0

    def _pause(self, problem: str, asked_s: float | None) -> float:
        self._failures += 1
        if self._failures == 1:
            log.warning("telemetry held back", problem=problem)
        wait = min(self._longest_wait_s, self._first_wait_s * 2.0 ** min(self._failures - 1, 10))
        wait *= random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret
        return max(wait, asked_s or 0.0)
