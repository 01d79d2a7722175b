"""What pages may ask of the store, in domain words. Two answers exist: ClickHouse, and memory for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from meshwise.contracts.rows import (
    AlertFinding,
    AnomalyFinding,
    BurnDownFinding,
    EdgeFinding,
    ProposalFinding,
    RolloutFinding,
    Silence,
    SloFinding,
)

MOST_SPANS = 1000
"""Spans of one trace that are shown."""


@dataclass(frozen=True, slots=True)
class TrafficPoint:
    """Requests of one 10-second bucket: counts, and client-side percentiles in seconds."""

    at: datetime
    requests: int
    failures: int
    attempts: int
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class TraceSearch:
    """Which traces are looked for: those with a span of ``service`` (empty: any), not shorter, failed if asked for."""

    service: str = ""
    least_s: float = 0.0
    errors: bool = False


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """One trace: when it began, how long it took over all its spans, and who began it."""

    trace_id: str
    start: datetime
    duration_ns: int
    service: str
    name: str
    spans: int
    services: int
    errors: int


@dataclass(frozen=True, slots=True)
class SpanRow:
    """One span of a trace; ``start_ns`` counts from 1970 and is exact, ``start`` is for people."""

    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    start: datetime
    start_ns: int
    duration_ns: int
    error: bool = False
    message: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CollectorRow:
    """One collector and one signal over a window: counts of the window, gauges as of ``at``, its last sign of life.

    ``refused`` counts requests by reason, ``lost`` records of the spool, the others spans, data points or log records.
    ``insert_p99_s`` is the slowest of the window; ``covered_s`` is how long its rows account for. ``tenants`` has, by
    name, items accepted and rejected, and requests refused.
    """

    collector: str
    signal: str
    at: datetime
    requests: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    accepted: int = 0
    rejected: int = 0
    inserted: int = 0
    sampled_out: int = 0
    quarantined: int = 0
    lost: int = 0
    insert_failures: int = 0
    insert_p99_s: float | None = None
    spooled: int = 0
    spool_bytes: int = 0
    lag_s: float = 0.0
    covered_s: float = 0.0
    tenants: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IngestPoint:
    """Ten seconds of all collectors: items, and the worst lag and insert latency in seconds."""

    at: datetime
    accepted: int
    inserted: int
    lag_s: float
    insert_p99_s: float | None


class Queries(Protocol):
    """Findings as analytics persisted them. Every call may raise ``UnavailableError``.

    ``at`` looks back: the newest findings that are not younger; ``None`` means now.
    """

    def edges(self, at: datetime | None = None) -> Sequence[EdgeFinding]:
        """Edges of the service map of one analysis cycle."""

    def anomalies(self, at: datetime | None = None) -> Sequence[AnomalyFinding]:
        """Scores of one analysis cycle, highest first."""

    def slos(self, at: datetime | None = None) -> Sequence[SloFinding]:
        """Objectives of one analysis cycle."""

    def alerts(self) -> Sequence[AlertFinding]:
        """The newest state of each alert that is open, or was changed in the last day; newest first."""

    def burn_downs(self, at: datetime | None = None) -> Sequence[BurnDownFinding]:
        """The course of every budget through its window, as last drawn."""

    def silences(self) -> Sequence[Silence]:
        """Silences and maintenance windows that were not ended, newest first."""

    def proposals(self) -> Sequence[ProposalFinding]:
        """The newest state of each proposal of the last day, newest first."""

    def verdicts(self, rollout_id: str) -> Sequence[RolloutFinding]:
        """Verdicts on one rollout, oldest first."""

    def traffic(self, seconds: int, source: str = "", destination: str = "") -> Sequence[TrafficPoint]:
        """Client-side traffic of the last ``seconds`` per bucket: of one edge, or of all of them."""

    def traces(self, search: TraceSearch, at: datetime | None = None) -> Sequence[TraceSummary]:
        """Traces of the quarter of an hour up to ``at`` that fit the search, the newest first."""

    def spans(self, trace_id: str) -> Sequence[SpanRow]:
        """The spans of one trace in order of their start; empty when there is no such trace, ``MOST_SPANS`` at most."""

    def collectors(self, seconds: int) -> Sequence[CollectorRow]:
        """What each collector did with each signal in the last ``seconds``, by name."""

    def ingest(self, seconds: int) -> Sequence[IngestPoint]:
        """What all collectors took and inserted in the last ``seconds``, per bucket."""
