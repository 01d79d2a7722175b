"""The causes of an alert from the store: a window that holds the time before it, the ranking, and the traces' word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from meshwise.analytics.cause.config import CauseConfig
from meshwise.analytics.cause.shared import read_shared
from meshwise.analytics.cause.suspects import Incident, Suspect, suspects
from meshwise.analytics.cause.table import Metric
from meshwise.analytics.load import BulkClient, load_world
from meshwise.analytics.world import Window, World
from meshwise.contracts.rows import AnomalyFinding

HOUR_S: Final = 3600.0
YOUNG_S: Final = 1200.0
"""A mesh younger than this is judged by the window of the cycle, whose buckets are finer."""


def explain(
    client: BulkClient, world: World, service: str, anomalies: Sequence[AnomalyFinding], config: CauseConfig
) -> tuple[Suspect, ...]:
    """Return who is likely to blame for an alert of ``service`` now: for its failures, else its latency."""
    end = world.window.end
    hour = load_world(client, Window(end - timedelta(seconds=HOUR_S), end), 60)
    chosen = world if hour.measured_s < YOUNG_S else hour
    for metric in (Metric.ERRORS, Metric.LATENCY):
        found = suspects(chosen, service, metric, end, config, anomalies=anomalies)
        if found.suspects:
            return with_traces(client, found)
    return ()


def with_traces(client: BulkClient, found: Incident) -> tuple[Suspect, ...]:
    """Return the suspects with what the bad attempts of the first edge among them have in common, where they do."""
    edge = next((one for one in found.suspects if one.edge is not None), None)
    ranking = found.ranking
    if edge is None or edge.edge is None or ranking is None or ranking.started is None or ranking.ended is None:
        return found.suspects
    candidate = next(one for one in ranking.candidates if found.edges.get(one.node) == edge.edge)
    usual = candidate.deviation.usual if found.metric is Metric.LATENCY else HOUR_S
    start, end = (datetime.fromtimestamp(moment, UTC) for moment in (ranking.started, ranking.ended + 60.0))
    said = read_shared(client, edge.edge, start, end, slow_s=2.0 * usual)
    if said is None:
        return found.suspects
    return tuple(_saying(one, said.sentence) if one == edge else one for one in found.suspects)


def _saying(one: Suspect, more: str) -> Suspect:
    return replace(one, sentence=f"{one.sentence}; {more}")
