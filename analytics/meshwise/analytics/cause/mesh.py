"""A ``World`` as a metric table, so that services and edges are ranked together.

A service is a node as the callees' proxies saw it, and so is each edge, as its caller's proxy saw it: service → edge
→ service. An edge whose excess the callee does not show is to blame itself: the network, a timeout, an ejection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meshwise.analytics.cause.config import CauseConfig
from meshwise.analytics.cause.ranking import CauseRanking, rank
from meshwise.analytics.cause.table import CallGraph, FloatArray, Metric, MetricTable, Symptom
from meshwise.analytics.tally import middles
from meshwise.analytics.world import EdgeKey, SideSeries, World, ratio


@dataclass(frozen=True, eq=False)
class MeshTable:
    """The table and graph of a world; ``edges`` tells which nodes are edges."""

    metrics: MetricTable
    graph: CallGraph
    edges: Mapping[str, EdgeKey]


def edge_node(edge: EdgeKey) -> str:
    """Return the name of the node that stands for ``edge``."""
    return f"{edge.source} → {edge.destination}"


def mesh_table(world: World) -> MeshTable:
    """Return the metrics of every service and edge of ``world``, and how they lead to each other."""
    series: dict[tuple[str, Metric], FloatArray] = {}
    inbound: dict[str, SideSeries] = {}
    calls: list[tuple[str, str]] = []
    for edge, found in world.edges.items():
        name = edge_node(edge)
        calls += [(edge.source, name), (name, edge.destination)]
        if found.client.outcomes:
            series.update(_metrics(name, found.client))
        if found.server.outcomes:
            seen = inbound.get(edge.destination)
            inbound[edge.destination] = found.server if seen is None else seen + found.server
    for service, side in inbound.items():
        series.update(_metrics(service, side))
    times = world.times.astype("datetime64[s]").astype(np.float64)
    edges = {edge_node(edge): edge for edge in world.edges}
    return MeshTable(MetricTable(times, series), CallGraph.of(calls), edges)


def rank_world(world: World, symptom: Symptom, at: float, config: CauseConfig | None = None) -> CauseRanking:
    """Rank services and edges of ``world`` for ``symptom`` at about ``at`` (Unix seconds).

    The symptom's node is a service with inbound traffic, or ``edge_node`` of an edge.
    """
    table = mesh_table(world)
    return rank(table.metrics, table.graph, symptom, at, config)


def _metrics(name: str, side: SideSeries) -> dict[tuple[str, Metric], FloatArray]:
    return {
        (name, Metric.LATENCY): ratio(side.latency @ middles(side.latency_index), side.latency.sum(axis=1)),
        (name, Metric.ERRORS): ratio(side.failures, side.requests),
        (name, Metric.REQUESTS): side.requests.astype(np.float64),
    }
