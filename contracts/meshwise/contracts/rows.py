"""Rows of the ``mesh_*`` tables that one room writes and another reads; a field is a column of the same name.

Times are timezone-aware UTC ``datetime``; durations are seconds; shares are 0–1. ``None`` is ClickHouse's NULL: a
number that could not be known, never one that was zero. ``TABLES`` maps each kind of row to its table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

EDGE_10S: Final = "mesh_edge_10s"
EDGE_1M: Final = "mesh_edge_1m"
EDGE_1H: Final = "mesh_edge_1h"
EDGE_SPANS: Final = "mesh_edge_spans"
"""What the rollups hold of calls that no proxy counted; its sums are also in the three tables above."""
SPANS_INSTANCE: Final = "(spans)"
"""``EdgeBucket.instance`` of rows that were derived from spans of applications."""


@dataclass(frozen=True, slots=True)
class EdgeBucket:
    """One row of ``mesh_edge_10s``: what one proxy counted on one side of one edge in one bucket, per outcome.

    ``requests`` and ``latency`` are of logical requests with this outcome; ``attempts``, ``retries`` and
    ``retries_denied`` are of attempts on the wire. ``latency`` maps a bucket index of ``contracts.histogram`` to a
    count.
    ``mesh_edge_1m`` and ``mesh_edge_1h`` have the same columns but for ``instance`` and ``policy_version``.
    """

    bucket: datetime
    source: str
    destination: str
    route: str
    method: str
    side: str
    instance: str
    policy_version: int
    outcome: str
    requests: int
    attempts: int
    retries: int
    retries_denied: int
    latency: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class EdgeFinding:
    """One edge of the service map over one window. ``requests`` are logical, ``attempts`` what went over the wire."""

    computed_at: datetime
    window_start: datetime
    window_end: datetime
    source: str
    destination: str
    requests: int
    attempts: int
    failures: int
    retries: int
    retries_denied: int
    request_rate: float
    error_share: float
    amplification: float
    client_p50: float | None
    client_p95: float | None
    client_p99: float | None
    server_requests: int
    server_failures: int
    server_p50: float | None
    server_p95: float | None
    server_p99: float | None


@dataclass(frozen=True, slots=True)
class SloFinding:
    """State of one objective. ``burn_rates`` maps a window such as ``5m`` to its burn rate.

    ``good`` and ``total`` count what ``counted`` says, ``requests`` or ``slices``, since ``period_start``; only a
    calendar's period has an end. ``exhaustion_s`` is how long the budget lasts at the pace of the last hour, ``None``
    when it lasts, ``note`` what else is to be known: which requests were left out.
    """

    computed_at: datetime
    service: str
    objective: str
    indicator: str
    target: float
    threshold_s: float | None
    window_s: float
    good: int
    total: int
    attained: float | None
    budget_remaining: float
    burn_rates: Mapping[str, float]
    document: str = ""
    counted: str = "requests"
    period_start: datetime | None = None
    period_end: datetime | None = None
    exhaustion_s: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class AlertFinding:
    """One change of one alert: of its state (``pending``, ``firing``, ``resolved``), or of who was told.

    ``policy`` names the alert policy of a document, if one raised it. ``notified`` tells that its receivers have heard
    that it is firing, ``silence`` names what keeps it quiet.
    """

    at: datetime
    fingerprint: str
    service: str
    objective: str
    severity: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    burn_long: float
    burn_short: float
    summary: str
    policy: str = ""
    notified: bool = False
    silence: str = ""


@dataclass(frozen=True, slots=True)
class AnomalyFinding:
    """Score (0–1, higher is worse) of one edge in one window; ``contributions`` says which features made it.

    ``source`` is ``*`` for a service as a whole: all requests to it, whoever makes them.
    """

    computed_at: datetime
    window_start: datetime
    window_end: datetime
    source: str
    destination: str
    score: float
    flagged: bool
    contributions: Mapping[str, float]
    reason: str


@dataclass(frozen=True, slots=True)
class ProposalFinding:
    """A proposed policy, or a refusal to propose one, for one route of one edge.

    ``status`` is ``proposed``, ``refused``, ``unchanged``, ``submitted``, or ``export_only`` where no proxy could try
    it; ``policy``, ``current`` and ``evidence`` are JSON text: two policy documents and what was measured.
    """

    id: str
    created_at: datetime
    source: str
    destination: str
    route: str
    status: str
    sentence: str
    samples: int
    policy: str
    current: str
    evidence: str


@dataclass(frozen=True, slots=True)
class RolloutFinding:
    """One verdict on one stage of one rollout; ``evidence`` is JSON text."""

    at: datetime
    rollout_id: str
    policy_name: str
    stage: int
    decision: str
    reason: str
    evidence: str


@dataclass(frozen=True, slots=True)
class CollectorStats:
    """What one collector did with one signal since its row before: counts are differences, so sums mean something.

    ``requests`` and ``refused`` (by reason) are of requests; ``accepted`` … ``lost`` are spans, data points or log
    records, but ``lost`` counts records of the spool. ``spooled`` items, ``backlog_segments``, ``spool_bytes`` (of all
    signals together) and ``lag_s``, the age of the oldest item that is not in the store, are of the moment ``at``.
    ``tenant_accepted`` and ``tenant_rejected`` count items by tenant, ``tenant_refused`` requests.
    """

    at: datetime
    collector: str
    signal: str
    interval_s: float
    requests: int
    refused: Mapping[str, int]
    accepted: int
    rejected: int
    inserted: int
    quarantined: int
    lost: int
    insert_failures: int
    insert_p50_s: float | None
    insert_p99_s: float | None
    spooled: int
    backlog_segments: int
    spool_bytes: int
    lag_s: float
    sampled_out: int
    tenant_accepted: Mapping[str, int]
    tenant_rejected: Mapping[str, int]
    tenant_refused: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SloDocument:
    """One change of one OpenSLO document: JSON text put in force by ``actor``, or ``removed``."""

    at: datetime
    actor: str
    kind: str
    name: str
    removed: bool
    document: str


@dataclass(frozen=True, slots=True)
class Silence:
    """One change of one silence: alerts whose labels are as ``matchers`` say are not told between two moments.

    ``every`` repeats it, as ``1d`` or ``1w``, at the same local time of ``zone``. ``removed`` ends it.
    """

    at: datetime
    id: str
    actor: str
    removed: bool
    starts_at: datetime
    ends_at: datetime
    every: str
    zone: str
    matchers: Mapping[str, str]
    reason: str


@dataclass(frozen=True, slots=True)
class BurnDownFinding:
    """What was left of an objective's budget (a share of it) in the course of its window: one point per bucket."""

    computed_at: datetime
    service: str
    objective: str
    start: datetime
    step_s: float
    remaining: Mapping[int, float]


TABLES: Final[Mapping[type, str]] = {
    EdgeFinding: "mesh_findings_edges",
    SloFinding: "mesh_findings_slos",
    AlertFinding: "mesh_findings_alerts",
    AnomalyFinding: "mesh_findings_anomalies",
    ProposalFinding: "mesh_findings_proposals",
    RolloutFinding: "mesh_findings_rollouts",
    CollectorStats: "mesh_collector_stats",
    SloDocument: "mesh_slo_documents",
    Silence: "mesh_silences",
    BurnDownFinding: "mesh_findings_burndowns",
}
MADE: Final = frozenset(
    {EdgeFinding, SloFinding, AlertFinding, AnomalyFinding, ProposalFinding, RolloutFinding, BurnDownFinding}
)
"""Findings: their tables also have a column ``code_version``, of the code that made each."""
