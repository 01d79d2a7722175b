"""What every part says happened, fetched once after the load has stopped and everything was flushed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from meshwise.cli.demo.receiver import Delivery
from meshwise.cli.demo.topology import Topology
from meshwise.cli.demo.wire import ask, ask_lines
from meshwise.contracts.rows import (
    EDGE_10S,
    TABLES,
    AlertFinding,
    AnomalyFinding,
    ProposalFinding,
    RolloutFinding,
    SloFinding,
)

BUCKET_S: Final = 10
"""Length of the finest bucket of the rollups, in seconds; a window of whole ones loses nothing."""

_COUNTS: Final = f"""
SELECT source, destination, side, outcome, sum(requests) AS requests, sum(attempts) AS attempts
FROM {EDGE_10S} GROUP BY source, destination, side, outcome ORDER BY source, destination, side, outcome
"""  # noqa: S608 - the table's name is a constant of ours
_FINDINGS: Final = {
    AlertFinding: "SELECT * FROM {table:Identifier} ORDER BY at",
    AnomalyFinding: "SELECT * FROM {table:Identifier} WHERE flagged ORDER BY computed_at, score DESC",
    ProposalFinding: "SELECT * FROM {table:Identifier} ORDER BY created_at",
    RolloutFinding: "SELECT * FROM {table:Identifier} ORDER BY at",
    SloFinding: "SELECT * FROM {table:Identifier} ORDER BY computed_at DESC LIMIT 1 BY service, objective",
}


@dataclass(frozen=True, slots=True)
class Applied:
    """Control heard at ``at`` (Unix seconds) for the first time that ``proxy`` applied a version of a policy."""

    at: float
    proxy: str
    policy: str
    version: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the report is made of. Times are Unix seconds unless a part wrote them as text."""

    began: float
    ended: float
    phases: dict[str, float]
    map: dict[str, Any]
    counts: list[dict[str, Any]]
    counters: dict[str, dict[str, Any]]
    load: dict[str, Any]
    record: list[dict[str, Any]]
    findings: dict[str, list[dict[str, Any]]]
    rollouts: list[dict[str, Any]]
    applied: tuple[Applied, ...]
    deliveries: tuple[Delivery, ...]
    missed: tuple[str, ...]


async def fetch_map(topology: Topology, began: float, ended: float) -> dict[str, Any]:
    """Return the service map of the whole run, from whole bucket to whole bucket, as analytics serves it."""
    start = math.floor(began / BUCKET_S) * BUCKET_S
    end = math.ceil(ended / BUCKET_S) * BUCKET_S
    window = f"start={_iso(start)}&end={_iso(end)}"
    found: dict[str, Any] = await ask(f"{topology.url('analytics')}/v1/map?{window}")
    return found


async def fetch_counters(topology: Topology) -> dict[str, dict[str, Any]]:
    """Return what every instance of the shop counted itself, by its id."""
    answers = await asyncio.gather(*(ask(f"{one.app}/-/counters") for one in topology.instances))
    return {one.id: answer for one, answer in zip(topology.instances, answers, strict=True)}


async def fetch_record(topology: Topology) -> list[dict[str, Any]]:
    """Return the load generator's record, one entry per finished request."""
    return await ask_lines(f"{topology.load}/-/record")


async def fetch_stored(topology: Topology) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Return the counts of the finest rollup, and every finding by the name of its row."""
    return await asyncio.to_thread(_query_store, f"{topology.url('store')}/meshwise")


def _query_store(url: str) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    from meshwise.store.client import connect

    client = connect(url)
    try:
        counts = [_plain(row) for row in client.query(_COUNTS).named_results()]
        findings = {
            kind.__name__: [
                _plain(row) for row in client.query(sql, parameters={"table": TABLES[kind]}).named_results()
            ]
            for kind, sql in _FINDINGS.items()
        }
    finally:
        client.close()
    return counts, findings


def plain_deliveries(deliveries: Sequence[Delivery]) -> list[dict[str, Any]]:
    """Return deliveries as JSON."""
    return [asdict(delivery) for delivery in deliveries]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: _iso_of(value) if isinstance(value, datetime) else value for key, value in row.items()}


def _iso_of(value: datetime) -> str:
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
