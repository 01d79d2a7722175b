"""Queries and control answered from memory: for tests of pages and for examples without a mesh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

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
from meshwise.dashboard.control import PolicyView, ProxyView, RolloutView
from meshwise.dashboard.queries import CollectorRow, IngestPoint, SpanRow, TraceSearch, TraceSummary, TrafficPoint


@dataclass
class MemoryQueries:
    """Answers every question with what it was given."""

    edge_rows: Sequence[EdgeFinding] = ()
    anomaly_rows: Sequence[AnomalyFinding] = ()
    slo_rows: Sequence[SloFinding] = ()
    alert_rows: Sequence[AlertFinding] = ()
    burn_down_rows: Sequence[BurnDownFinding] = ()
    silence_rows: Sequence[Silence] = ()
    proposal_rows: Sequence[ProposalFinding] = ()
    verdict_rows: Sequence[RolloutFinding] = ()
    traffic_points: Sequence[TrafficPoint] = ()
    trace_rows: Sequence[TraceSummary] = ()
    span_rows: Mapping[str, Sequence[SpanRow]] = field(default_factory=dict)
    collector_rows: Sequence[CollectorRow] = ()
    ingest_points: Sequence[IngestPoint] = ()

    def edges(self, at: datetime | None = None) -> Sequence[EdgeFinding]:
        """Return the given edges, those computed by ``at``."""
        return [row for row in self.edge_rows if at is None or row.computed_at <= at]

    def anomalies(self, at: datetime | None = None) -> Sequence[AnomalyFinding]:
        """Return the given anomalies, those computed by ``at``."""
        return [row for row in self.anomaly_rows if at is None or row.computed_at <= at]

    def slos(self, at: datetime | None = None) -> Sequence[SloFinding]:
        """Return the given objectives, those computed by ``at``."""
        return [row for row in self.slo_rows if at is None or row.computed_at <= at]

    def alerts(self) -> Sequence[AlertFinding]:
        """Return the given alerts."""
        return self.alert_rows

    def burn_downs(self, at: datetime | None = None) -> Sequence[BurnDownFinding]:
        """Return the given courses, those drawn by ``at``."""
        return [row for row in self.burn_down_rows if at is None or row.computed_at <= at]

    def silences(self) -> Sequence[Silence]:
        """Return the given silences."""
        return self.silence_rows

    def proposals(self) -> Sequence[ProposalFinding]:
        """Return the given proposals."""
        return self.proposal_rows

    def verdicts(self, rollout_id: str) -> Sequence[RolloutFinding]:
        """Return the given verdicts on one rollout."""
        return [row for row in self.verdict_rows if row.rollout_id == rollout_id]

    def traffic(self, seconds: int, source: str = "", destination: str = "") -> Sequence[TrafficPoint]:  # noqa: ARG002  # one answer for every edge
        """Return the given points."""
        return self.traffic_points

    def traces(self, search: TraceSearch, at: datetime | None = None) -> Sequence[TraceSummary]:
        """Return the given traces that are long enough, failed if asked for, and began by ``at``."""
        return [
            row
            for row in self.trace_rows
            if search.service in ("", row.service)
            and row.duration_ns >= search.least_s * 1e9
            and (row.errors or not search.errors)
            and (at is None or row.start <= at)
        ]

    def spans(self, trace_id: str) -> Sequence[SpanRow]:
        """Return the given spans of the trace."""
        return self.span_rows.get(trace_id, ())

    def collectors(self, seconds: int) -> Sequence[CollectorRow]:  # noqa: ARG002  # one answer for every window
        """Return the given rows."""
        return self.collector_rows

    def ingest(self, seconds: int) -> Sequence[IngestPoint]:  # noqa: ARG002  # one answer for every window
        """Return the given points."""
        return self.ingest_points


@dataclass
class MemoryControl:
    """Remembers the actions it was asked for, in ``actions``."""

    policy_views: Sequence[PolicyView] = ()
    rollout_views: Sequence[RolloutView] = ()
    proxy_views: Sequence[ProxyView] = ()
    actions: list[tuple[str, str]] = field(default_factory=list)

    def policies(self) -> Sequence[PolicyView]:
        """Return the given policies."""
        return self.policy_views

    def rollouts(self) -> Sequence[RolloutView]:
        """Return the given rollouts."""
        return self.rollout_views

    def proxies(self) -> Sequence[ProxyView]:
        """Return the given proxies."""
        return self.proxy_views

    def submit(self, policy: Mapping[str, Any], reason: str, evidence: Mapping[str, Any], proposal_id: str) -> None:  # noqa: ARG002  # remembered by id
        """Remember a submission."""
        self.actions.append(("submit", proposal_id))

    def approve(self, rollout_id: str) -> None:
        """Remember an approval."""
        self.actions.append(("approve", rollout_id))

    def roll_back(self, rollout_id: str) -> None:
        """Remember a roll back."""
        self.actions.append(("roll_back", rollout_id))

    def undo(self, policy_name: str) -> None:
        """Remember an undo."""
        self.actions.append(("undo", policy_name))
