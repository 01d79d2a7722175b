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

    requests: IntArray
    failures: IntArray
    cancelled: IntArray
    p50: list[float | None]
    p95: list[float | None]
    p99: list[float | None]


def _side(tally: Tally, side: int) -> _Side:
    totals = tally.outcomes[:, side].sum(axis=-1)
    p50, p95, p99 = (_or_none(tally.quantiles(q)[:, side]) for q in (0.50, 0.95, 0.99))
    return _Side(
        requests=totals[:, FINISHED].sum(axis=1),
        failures=totals[:, FAILED].sum(axis=1),
        cancelled=totals[:, CANCELLED],
        p50=p50,
        p95=p95,
        p99=p99,
    )


def _edges(world: World, computed_at: datetime) -> Iterable[EdgeFinding]:
    tally = world.edge_tally
    client, server = _side(tally, CLIENT), _side(tally, SERVER)
    attempts, _, retries, denied = np.moveaxis(tally.wire.sum(axis=-1), 1, 0)
    by_caller = _told_by(tally) == CLIENT
    requests = np.where(by_caller, client.requests, server.requests)
    failures = np.where(by_caller, client.failures, server.failures)
    logical = client.requests + client.cancelled
    columns = (
        client.requests, attempts, client.failures, retries, denied, _rates(world, requests),
        _shares(failures, requests), np.where(logical > 0, attempts / np.maximum(logical, 1), 1.0),
        server.requests, server.failures,
    )  # fmt: skip
    told = zip(
        world.edge_keys, zip(*(column.tolist() for column in columns), strict=True),
        zip(client.p50, client.p95, client.p99, server.p50, server.p95, server.p99, strict=True), strict=True,
    )  # fmt: skip
    for key, counted, waited in told:
        yield EdgeFinding(
            computed_at=computed_at,
            window_start=world.window.start,
            window_end=world.window.end,
            source=key.source,
            destination=key.destination,
            requests=counted[0],
            attempts=counted[1],
            failures=counted[2],
            retries=counted[3],
            retries_denied=counted[4],
            request_rate=counted[5],
            error_share=counted[6],
            amplification=counted[7],
            client_p50=waited[0],
            client_p95=waited[1],
            client_p99=waited[2],
            server_requests=counted[8],
            server_failures=counted[9],
            server_p50=waited[3],
            server_p95=waited[4],
            server_p99=waited[5],
        )


def _nodes(world: World) -> Iterable[Node]:
    names = world.services
    side = _side(inbound(world, names), CLIENT)
    reporting: set[str] = set()
    counted = np.asarray(world.edge_tally.outcomes.any(axis=(2, 3)))
    for key, caller, callee in zip(world.edge_keys, *counted.T.tolist(), strict=True):
        if caller:
            reporting.add(key.source)
        if callee:
            reporting.add(key.destination)
    columns = (
        side.requests, side.failures, side.cancelled, _rates(world, side.requests),
        _shares(side.failures, side.requests),
    )  # fmt: skip
    told = zip(*(column.tolist() for column in columns), side.p50, side.p95, side.p99, strict=True)
    for name, (requests, failures, cancelled, rate, share, *waited) in zip(names, told, strict=True):
        yield Node(name, name not in reporting, requests, failures, cancelled, rate, share, *waited)


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


def _rates(world: World, counts: IntArray) -> FloatArray:
    return np.asarray(counts / world.measured_s) if world.measured_s else np.zeros(len(counts))


def _shares(part: IntArray, whole: IntArray) -> FloatArray:
    return np.where(whole > 0, part / np.maximum(whole, 1), 0.0)
