"""The service map of a window: who calls whom, how often, how well, and how much of it are retries.

Each edge is told from both sides: the caller's proxy counts logical requests and what went over the wire, the callee's
proxy counts what arrived. Failures are the outcomes of ``contracts.telemetry.FAILURES``; cancelled requests are counted
apart and appear in neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from meshwise.analytics.world import EdgeKey, EdgeSeries, SideSeries, Window, World
from meshwise.contracts.rows import EdgeFinding


@dataclass(frozen=True, slots=True)
class Node:
    """One service as its callers see it; latencies in seconds, ``None`` without requests.

    ``virtual`` means that no proxy of its own reported: it is known only because others call it.
    """

    name: str
    virtual: bool
    requests: int
    failures: int
    cancelled: int
    request_rate: float
    error_share: float
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class ServiceMap:
    """Nodes by name and edges by (source, destination), over ``window``."""

    window: Window
    nodes: tuple[Node, ...]
    edges: tuple[EdgeFinding, ...]


def service_map(world: World, computed_at: datetime | None = None) -> ServiceMap:
    """Return the map of ``world``; ``computed_at`` defaults to the end of its window."""
    stamp = computed_at or world.window.end
    edges = tuple(_edge(world, key, series, stamp) for key, series in world.edges.items())
    return ServiceMap(world.window, tuple(_nodes(world)), edges)


def _edge(world: World, key: EdgeKey, series: EdgeSeries, computed_at: datetime) -> EdgeFinding:
    client, server, seen = series.client, series.server, series.observed
    attempts, logical = int(series.attempts.sum()), int(client.requests.sum() + client.cancelled.sum())
    return EdgeFinding(
        computed_at=computed_at,
        window_start=world.window.start,
        window_end=world.window.end,
        source=key.source,
        destination=key.destination,
        requests=int(client.requests.sum()),
        attempts=attempts,
        failures=int(client.failures.sum()),
        retries=int(series.retries.sum()),
        retries_denied=int(series.retries_denied.sum()),
        request_rate=_rate(world, int(seen.requests.sum())),
        error_share=_share(int(seen.failures.sum()), int(seen.requests.sum())),
        amplification=attempts / logical if logical else 1.0,
        client_p50=client.total_quantile(0.50),
        client_p95=client.total_quantile(0.95),
        client_p99=client.total_quantile(0.99),
        server_requests=int(server.requests.sum()),
        server_failures=int(server.failures.sum()),
        server_p50=server.total_quantile(0.50),
        server_p95=server.total_quantile(0.95),
        server_p99=server.total_quantile(0.99),
    )


def _nodes(world: World) -> Iterable[Node]:
    inbound: dict[str, SideSeries] = {}
    reporting: set[str] = set()
    for key, series in world.edges.items():
        seen = inbound.get(key.destination)
        inbound[key.destination] = series.observed if seen is None else seen + series.observed
        if series.client.outcomes:
            reporting.add(key.source)
        if series.server.outcomes:
            reporting.add(key.destination)
    for name in world.services:
        side = inbound.get(name)
        requests = int(side.requests.sum()) if side else 0
        failures = int(side.failures.sum()) if side else 0
        yield Node(
            name=name,
            virtual=name not in reporting,
            requests=requests,
            failures=failures,
            cancelled=int(side.cancelled.sum()) if side else 0,
            request_rate=_rate(world, requests),
            error_share=_share(failures, requests),
            p50=side.total_quantile(0.50) if side else None,
            p95=side.total_quantile(0.95) if side else None,
            p99=side.total_quantile(0.99) if side else None,
        )


def _rate(world: World, count: int) -> float:
    return count / world.measured_s if world.measured_s else 0.0


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
