"""What happens to a request between a receiver and its answer: unpack, convert, validate, spool.

The steps in order: charge memory → undo the content encoding → JSON to protobuf → validate and cut out bad items →
stamp what the sender may not say itself → append to the spool → answer. Receivers know transports, this knows none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from meshwise.collector.admission import EXPANSION, Lease, MemoryLimit
from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.inflate import IDENTITY, inflate, too_large
from meshwise.collector.items import ItemLimits
from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.otlp_json import to_protobuf, weigh
from meshwise.collector.quota import quotas_of
from meshwise.collector.sampling.sampler import Sampler
from meshwise.collector.settings import CollectorSettings
from meshwise.collector.signals import DOORS, Signal
from meshwise.collector.skew import settle
from meshwise.collector.spool.backlog import Backlog
from meshwise.collector.spool.directory import SpoolSpace
from meshwise.collector.spool.writer import SpoolWriter
from meshwise.collector.stamp import stamp
from meshwise.collector.tenancy import MESH, Sender
from meshwise.collector.validate import Limits, Verdict, validate

Result = TypeVar("Result")

JSON_EXPANSION: Final = 10
"""How much JSON may grow when decoded. Spans of twenty attributes grow by that, so one of the largest size passes."""
LEAST_DECODED: Final = 16 * 1024 * 1024
"""What a request in JSON may always grow to, in bytes, however small bodies have to be."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The way of one signal to the store."""

    writer: SpoolWriter
    backlog: Backlog

    @property
    def items(self) -> int:
        """Items on disk that are not in the store."""
        return self.writer.items + self.backlog.items

    def lag(self, now: float) -> float:
        """Age in seconds of the oldest record that is not in the store."""
        oldest = [at for at in (self.backlog.oldest_at, self.writer.opened_at) if at is not None]
        return max(0.0, now - min(oldest)) if oldest else 0.0


class Pipeline:
    """Takes requests of every signal; ``accept`` returns once what it accepted is on disk."""

    def __init__(
        self,
        settings: CollectorSettings,
        lanes: Mapping[Signal, Lane],
        space: SpoolSpace,
        metrics: CollectorMetrics,
        sampler: Sampler | None = None,
    ) -> None:
        self._sampler = sampler
        self._lanes = lanes
        self._space = space
        self._metrics = metrics
        self._max_bytes = settings.max_body_bytes
        self._max_decoded = max(LEAST_DECODED, settings.max_body_bytes * JSON_EXPANSION)
        self._offload_bytes = settings.offload_bytes
        self._retry_after_s = settings.retry_after_s
        self._draining = False
        self._memory = MemoryLimit(settings.max_parse_bytes, settings.retry_after_s)
        self._limits = Limits(
            settings.max_items,
            ItemLimits(settings.max_attributes, settings.max_attribute_bytes, settings.max_item_bytes),
        )
        self._quotas = quotas_of(settings)
        self._past_ns = round(settings.max_past_s * 1e9)
        self._future_ns = round(settings.max_future_s * 1e9)
        # One large request is parsed at a time: what a hostile one grows to is paid once.
        self._parsing = asyncio.Lock()

    @property
    def draining(self) -> bool:
        """True once the collector is on its way out."""
        return self._draining

    def drain(self) -> None:
        """Refuse from now on what was not yet admitted; what was is finished."""
        self._draining = True

    @property
    def spool_full(self) -> bool:
        """True while senders are told to wait for disk."""
        return self._space.full

    @property
    def spool_bytes(self) -> int:
        """Bytes of disk the spool takes."""
        return self._space.used

    @property
    def spool_limit(self) -> int:
        """Bytes of disk the spool and the quarantine may take."""
        return self._space.limit

    def admit(self, sender: Sender = MESH) -> Lease:
        """Open the account of a request before its body is read.

        Raises:
            RefusedError: the collector stops, the spool is full, or the sender has used up what it may send.
        """
        if self._draining:
            raise RefusedError(
                Reason.DRAINING, "the collector is stopping; try again", retry_after_s=self._retry_after_s
            )
        self._space.admit()
        quota = self._quotas.of(sender.name)
        if quota is None:
            return self._memory.lease()
        quota.admit(time.monotonic())
        return self._memory.lease(quota.memory)

    async def accept(
        self,
        signal: Signal,
        body: bytes,
        lease: Lease,
        *,
        transport: str,
        coding: str = "",
        json: bool = False,
        sender: Sender = MESH,
    ) -> Verdict:
        """Check ``body``, hold it to what ``sender`` may say, and put it on disk.

        What the verdict calls accepted is safe when this returns.

        Raises RefusedError when nothing of it was taken.
        """
        if len(body) > self._max_bytes:
            raise too_large(self._max_bytes)
        lease.charge(len(body))
        quota = self._quotas.of(sender.name)
        if quota is not None:
            quota.volume.spend(len(body))
        if coding.strip().lower() not in IDENTITY:
            packed = body
            body = await self._offload(len(packed) * 4, lambda: inflate(packed, coding, self._max_bytes, lease.charge))
            if quota is not None:
                quota.volume.spend(max(0, len(body) - len(packed)))
        if json:
            document = body
            body = await self._offload(len(document) * 8, lambda: self._read_json(signal, document, lease))
        request = body
        verdict = await self._offload(len(request), lambda: self._judge(signal, request, sender))
        if verdict.accepted:
            await self._lanes[signal].writer.append(verdict.body, verdict.accepted)
        self._metrics.requests.labels(signal.value, transport).inc()
        self._metrics.accepted.labels(signal.value).inc(verdict.accepted)
        self._metrics.rejected.labels(signal.value).inc(verdict.rejected)
        if verdict.skewed:
            self._metrics.skewed.labels(signal.value).inc(verdict.skewed)
        if quota is not None:
            self._metrics.tenant_accepted.labels(signal.value, sender.name).inc(verdict.accepted)
            self._metrics.tenant_rejected.labels(signal.value, sender.name).inc(verdict.rejected)
        return verdict

    def _read_json(self, signal: Signal, document: bytes, lease: Lease) -> bytes:
        """Convert a request, once what decoding it takes is known to be bounded and accounted for."""
        decoded = weigh(document)
        if decoded > self._max_decoded:
            raise RefusedError(
                Reason.TOO_LARGE,
                f"the JSON would take about {decoded} bytes of memory, more than {self._max_decoded}; send smaller "
                "batches, or protobuf",
            )
        lease.charge(decoded // EXPANSION)
        body = to_protobuf(document, DOORS[signal].request)
        if len(body) > self._max_bytes:
            raise too_large(self._max_bytes)
        return body

    def _judge(self, signal: Signal, request: bytes, sender: Sender) -> Verdict:
        now = time.time_ns()
        oldest, newest = now - self._past_ns, now + self._future_ns
        limits = replace(self._limits, item=replace(self._limits.item, oldest=oldest, newest=newest))
        verdict = settle(signal, validate(signal, request, limits), now, oldest, newest)
        if sender.is_bound:
            verdict = stamp(signal, verdict, sender, self._limits)
        if self._sampler is not None and signal is Signal.TRACES:
            self._sampler.learn(verdict.body)
        return verdict

    def refused(self, signal: Signal | None, refusal: RefusedError, sender: Sender | None = None) -> None:
        """Count a refusal, of ``sender`` where it is known."""
        name = signal.value if signal else "none"
        self._metrics.refused.labels(name, refusal.reason.value).inc()
        if sender is not None and self._quotas.of(sender.name) is not None:
            self._metrics.tenant_refused.labels(name, sender.name, refusal.reason.value).inc()

    def observe(self) -> None:
        """Bring the gauges up to date."""
        now = time.time()
        self._metrics.spool_bytes.set(self._space.used)
        self._metrics.parse_bytes.set(self._memory.used)
        for signal, lane in self._lanes.items():
            self._metrics.backlog.labels(signal.value).set(len(lane.backlog))
            self._metrics.spooled.labels(signal.value).set(lane.items)
            self._metrics.lag_seconds.labels(signal.value).set(lane.lag(now))

    async def _offload(self, weight: int, step: Callable[[], Result]) -> Result:
        """Run a step here when it is short, in a worker thread when ``weight`` bytes would hold up the loop."""
        if weight <= self._offload_bytes:
            return step()
        async with self._parsing:
            return await asyncio.to_thread(step)
