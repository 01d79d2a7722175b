"""Which spans of a segment go on to the store: decided once the rest of their traces had time to arrive."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from meshwise.collector.sampling.threshold import (
    adjusted_count,
    randomness_of,
    threshold_for,
    threshold_of,
    with_threshold,
)
from meshwise.collector.sampling.watch import Rules, Watch, matters_alone, spans_of
from meshwise.collector.spool.segment import Record

SAMPLE_RATE: Final = "SampleRate"
"""Span attribute by which HyperDX scales its counts."""


@dataclass(frozen=True, slots=True)
class Thinned:
    """What is left of a segment, and how many spans were thinned out of it."""

    records: tuple[Record, ...]
    dropped: int


class Sampler:
    """Keeps ``ratio`` of the traces by chance, and those that ``rules`` name; ``wait_s`` is the time a trace gets."""

    def __init__(
        self, ratio: float, rules: Rules, wait_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._threshold = threshold_for(ratio)
        self._rules = rules
        self._wait_s = wait_s if rules.any else 0.0
        self._clock = clock
        self.watch = Watch(rules)

    def learn(self, body: bytes) -> None:
        """Look at an accepted request in protobuf."""
        if self._rules.any:
            self.watch.learn(body, self._clock())

    def wait_left(self, segment: Path, now: float) -> float:
        """Seconds until ``segment`` may be decided about; ``now`` is Unix time. A clock that jumps costs one wait."""
        try:
            written = segment.stat().st_mtime
        except FileNotFoundError:
            return 0.0
        return min(self._wait_s, max(0.0, written + self._wait_s - now))

    def thin(self, records: Sequence[Record]) -> Thinned:
        """Return ``records`` without the spans that neither chance nor a rule keeps.

        What their own spans tell is looked at again here: after a restart the watch has forgotten it.
        """
        # Decoded twice, one request at a time: a segment whole would be many times its size in memory.
        told: set[bytes] = set()
        if self._rules.any:
            for record in records:
                spans = spans_of(_decode(record))
                told.update(span.trace_id for _, span in spans if matters_alone(span, self._rules))
        left: list[Record] = []
        dropped = 0
        for record in records:
            request = _decode(record)
            kept, changed = self._thin_one(request, told)
            dropped += record.items - kept
            if kept and changed:
                left.append(replace(record, items=kept, payload=request.SerializeToString()))
            elif kept:
                left.append(record)
        return Thinned(tuple(left), dropped)

    def _thin_one(self, request: Any, told: set[bytes]) -> tuple[int, bool]:
        """Take out of ``request`` what does not stay; how many spans stay, and whether anything is different now."""
        kept = 0
        changed = False
        for group in request.resource_spans:
            for scope in group.scope_spans:
                stay: list[Span] = []
                for span in scope.spans:
                    if span.trace_id in told or span.trace_id in self.watch:
                        stay.append(span)
                        continue
                    passed = threshold_of(span.trace_state) if span.trace_state else 0
                    threshold = max(passed, self._threshold)
                    # Whoever set a higher threshold has kept it by the same randomness: it stays as it is.
                    if passed < threshold:
                        changed = True
                        if randomness_of(span.trace_state, span.trace_id) < threshold:
                            continue
                        _weigh(span, threshold)
                    stay.append(span)
                kept += len(stay)
                if len(stay) < len(scope.spans):
                    copies = ScopeSpans(spans=stay)
                    del scope.spans[:]
                    scope.spans.MergeFrom(copies.spans)
        if changed:
            _prune(request)
        return kept, changed


def _decode(record: Record) -> Any:
    return ExportTraceServiceRequest.FromString(bytes(record.payload))


def _prune(request: Any) -> None:
    """Take out groups in which no span is left."""
    for place in reversed(range(len(request.resource_spans))):
        if not any(scope.spans for scope in request.resource_spans[place].scope_spans):
            del request.resource_spans[place]


def _weigh(span: Span, threshold: int) -> None:
    """Write what a span that was kept by chance stands for."""
    span.trace_state = with_threshold(span.trace_state, threshold)
    for place, attribute in enumerate(span.attributes):
        if attribute.key == SAMPLE_RATE:
            del span.attributes[place]
            break
    span.attributes.add(key=SAMPLE_RATE).value.int_value = round(adjusted_count(threshold))
