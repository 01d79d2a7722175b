"""The service map of a window: who calls whom, how often, how well, and how much of it are retries.

Each edge is told from both sides: the caller's proxy counts logical requests and what went over the wire, the callee's
proxy counts what arrived. Failures are the outcomes of ``contracts.telemetry.FAILURES``; cancelled requests are counted
apart and appear in neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from meshwise.analytics.tally import CANCELLED, CLIENT, FAILED, FINISHED, SERVER, FloatArray, IntArray, Tally
from meshwise.analytics.world import Window, World
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
    return ServiceMap(world.window, tuple(_nodes(world)), tuple(_edges(world, computed_at or world.window.end)))


@dataclass(frozen=True, eq=False)
class _Side:
    """Numbers of one side of every group, over the whole window."""

    requests: list[int]
    failures: list[int]
    cancelled: list[int]
    p50: list[float | None]
    p95: list[float | None]
    p99: list[float | None]


def _side(tally: Tally, side: int) -> _Side:
    totals = tally.outcomes[:, side].sum(axis=-1)
    p50, p95, p99 = (_or_none(tally.quantiles(q)[:, side]) for q in (0.50, 0.95, 0.99))
    return _Side(
        requests=totals[:, FINISHED].sum(axis=1).tolist(),
        failures=totals[:, FAILED].sum(axis=1).tolist(),
        cancelled=totals[:, CANCELLED].tolist(),
        p50=p50,
        p95=p95,
        p99=p99,
    )


def _edges(world: World, computed_at: datetime) -> Iterable[EdgeFinding]:
    tally = world.edge_tally
    client, server = _side(tally, CLIENT), _side(tally, SERVER)
    wire = tally.wire.sum(axis=-1).tolist()
    told = _told_by(tally).tolist()
    for i, key in enumerate(world.edge_keys):
        attempts, _, retries, denied = wire[i]
        logical = client.requests[i] + client.cancelled[i]
        seen = client if told[i] == CLIENT else server
        yield EdgeFinding(
            computed_at=computed_at,
            window_start=world.window.start,
            window_end=world.window.end,
            source=key.source,
            destination=key.destination,
            requests=client.requests[i],
            attempts=attempts,
            failures=client.failures[i],
            retries=retries,
            retries_denied=denied,
            request_rate=_rate(world, seen.requests[i]),
            error_share=_share(seen.failures[i], seen.requests[i]),
            amplification=attempts / logical if logical else 1.0,
            client_p50=client.p50[i],
            client_p95=client.p95[i],
            client_p99=client.p99[i],
            server_requests=server.requests[i],
            server_failures=server.failures[i],
            server_p50=server.p50[i],
            server_p95=server.p95[i],
            server_p99=server.p99[i],
        )


def _nodes(world: World) -> Iterable[Node]:
    names = world.services
    place = {name: position for position, name in enumerate(names)}
    tally = inbound(world, names)
    side = _side(tally, CLIENT)
    reporting: set[str] = set()
    counted = np.asarray(world.edge_tally.outcomes.any(axis=(2, 3)))
    for key, caller, callee in zip(world.edge_keys, counted[:, CLIENT], counted[:, SERVER], strict=True):
        reporting |= ({key.source} if caller else set()) | ({key.destination} if callee else set())
    for name in names:
        i = place[name]
        yield Node(
            name=name,
            virtual=name not in reporting,
            requests=side.requests[i],
            failures=side.failures[i],
            cancelled=side.cancelled[i],
            request_rate=_rate(world, side.requests[i]),
            error_share=_share(side.failures[i], side.requests[i]),
            p50=side.p50[i],
            p95=side.p95[i],
            p99=side.p99[i],
        )


def inbound(world: World, names: Sequence[str]) -> Tally:
    """Return what arrives at each of ``names``: its inbound edges added up, each as its best observer saw it.

    The caller is the better observer, since it also sees what never arrived; everything stands on the client's side.
    """
    place = {name: position for position, name in enumerate(names)}
    groups = np.array([place.get(world.edge_keys[edge].destination, 0) for edge in world.edge_of], dtype=np.int64)
    told = _told_by(world.edge_tally)[world.edge_of] if len(world.edge_of) else world.edge_of
    counts, cells = (rows[rows["side"] == told[rows["series"]]] for rows in (world.columns.counts, world.columns.cells))
    counts["side"] = cells["side"] = CLIENT
    return Tally.of(counts, cells, groups, len(names), world.size)


def _told_by(tally: Tally) -> IntArray:
    """Return the side that tells about each group: the caller's, or the callee's where no caller reported."""
    return np.where(tally.outcomes[:, CLIENT].any(axis=(1, 2)), CLIENT, SERVER)


def _or_none(values: FloatArray) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124  # not a number


def _rate(world: World, count: int) -> float:
    return count / world.measured_s if world.measured_s else 0.0


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
