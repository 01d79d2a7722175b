"""What pages may ask of the store, in domain words. Two answers exist: ClickHouse, and memory for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class TrafficPoint:
    """Requests of one 10-second bucket: counts, and client-side percentiles in seconds."""

    at: datetime
    requests: int
    failures: int
    attempts: int
    p50: float | None
    p99: float | None


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
