"""Who is likely to blame for an alert of a service, and what says so.

The alert's symptom is looked for on the edges into the service, as their callers saw it, since a timeout or a lost
connection is not seen anywhere else; the edge that is worst by the most requests is followed. Anomalies of the suspect
and what its failed requests have in common are told beside the ranking; they do not change it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from meshwise.analytics.cause.config import CauseConfig
from meshwise.analytics.cause.deviation import deviation, incident
from meshwise.analytics.cause.mesh import MeshTable, mesh_table
from meshwise.analytics.cause.ranking import Candidate, CauseRanking, rank
from meshwise.analytics.cause.table import Metric, Symptom
from meshwise.analytics.world import EdgeKey, World
from meshwise.contracts.policy import ANY
from meshwise.contracts.rows import AnomalyFinding


@dataclass(frozen=True, slots=True)
class Suspect:
    """A service, or an edge when ``source`` is not empty; ``share`` (0-1) of the symptom is its own."""

    source: str
    destination: str
    share: float
    sentence: str

    @property
    def edge(self) -> EdgeKey | None:
        """The edge, ``None`` for a service."""
        return EdgeKey(self.source, self.destination) if self.source else None

    @property
    def name(self) -> str:
        """How it is called in an alert."""
        return f"{self.source} -> {self.destination}" if self.source else self.destination


@dataclass(frozen=True, eq=False)
class Incident:
    """What was found for a symptom of ``service``; no suspects when nobody was surely worse than usual."""

    service: str
    metric: Metric
    suspects: tuple[Suspect, ...]
    reason: str
    ranking: CauseRanking | None = None
    edges: Mapping[str, EdgeKey] = field(default_factory=dict)


def suspects(
    world: World,
    service: str,
    metric: Metric,
    at: datetime,
    config: CauseConfig | None = None,
    *,
    anomalies: Iterable[AnomalyFinding] = (),
) -> Incident:
    """Return who is likely to blame for ``metric`` of ``service`` at about ``at``, the likeliest first."""
    config, table = config or CauseConfig(), mesh_table(world)
    symptom = _symptom(table, service, metric, at.timestamp(), config)
    if symptom is None:
        return Incident(service, metric, (), f"nothing is known of requests to {service}")
    ranking = rank(table.metrics, table.graph, symptom, at.timestamp(), config)
    known = {(one.source, one.destination): one for one in anomalies if one.flagged}
    found = tuple(
        _suspect(one, metric, table.edges, known, _symptom(table, one.node, metric, at.timestamp(), config))
        for one in ranking.blamed
    )
    return Incident(service, metric, found, ranking.reason, ranking, table.edges)


def _symptom(table: MeshTable, service: str, metric: Metric, at: float, config: CauseConfig) -> Symptom | None:
    best: tuple[float, Symptom] | None = None
    nodes = [node for node, edge in table.edges.items() if edge.destination == service and edge.source != service]
    for node in [*nodes, service]:
        symptom = Symptom(node, metric)
        when = incident(table.metrics, symptom, at, config)
        found = deviation(table.metrics, node, metric, when, config) if when is not None else None
        if found is None:
            continue
        # The callee itself only where no caller tells: it does not see what never arrived.
        burden = found.excess * found.requests if found.requests == found.requests and node != service else 0.0
        if best is None or burden > best[0]:
            best = burden, symptom
    return best[1] if best else None


def _suspect(
    one: Candidate,
    metric: Metric,
    edges: Mapping[str, EdgeKey],
    anomalies: Mapping[tuple[str, str], AnomalyFinding],
    shown: Symptom | None,
) -> Suspect:
    """Return the candidate in words; ``shown`` is where callers of a blamed service notice it most."""
    edge = edges.get(one.node)
    source, destination = edge if edge is not None else ("", one.node)
    unit = _milliseconds if metric is Metric.LATENCY else _percent
    what = "mean latency" if metric is Metric.LATENCY else "failures"
    said = (
        f"{what} {unit(one.deviation.during)} instead of {unit(one.deviation.usual)} "
        f"explains {one.share:.0%} of the symptom"
    )
    if edge is None and shown is not None and shown.node in edges:
        said += f", most of it on {edges[shown.node].source} -> {destination}"
    others = [name for name, part in sorted(one.explained_by.items(), key=lambda item: -item[1]) if part > 0]
    if others:
        said += f"; {others[0].replace('→', '->')} is behind part of it"
    anomaly = anomalies.get((source or ANY, destination))
    if anomaly is not None:
        since = f"{anomaly.window_start.astimezone(UTC):%H:%M:%S}"
        said += f"; {anomaly.reason} since {since} (anomaly score {anomaly.score:.2f})"
    return Suspect(source, destination, one.share, said)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"


def _percent(share: float) -> str:
    return f"{share:.2%}"
