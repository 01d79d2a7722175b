"""What the collector says about itself, worked out from its counters: the status page and rows for the store."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry

from meshwise.collector.quarantine import Usage
from meshwise.collector.signals import Signal
from meshwise.contracts.rows import CollectorStats

_PREFIX: Final = "meshwise_collector_"


@dataclass(frozen=True, slots=True)
class Tally:
    """Counters of one signal since the start, and its gauges. ``inserts`` maps an upper bound in seconds to a count."""

    requests: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    accepted: int = 0
    rejected: int = 0
    recovered: int = 0
    inserted: int = 0
    sampled_out: int = 0
    quarantined: int = 0
    lost: int = 0
    insert_failures: int = 0
    inserts: Mapping[float, int] = field(default_factory=dict)
    spooled: int = 0
    backlog_segments: int = 0
    lag_s: float = 0.0
    tenant_accepted: Mapping[str, int] = field(default_factory=dict)
    tenant_rejected: Mapping[str, int] = field(default_factory=dict)
    tenant_refused: Mapping[str, int] = field(default_factory=dict)


_TENANT_COUNTERS: Final = {
    "tenant_accepted_items_total": "tenant_accepted",
    "tenant_rejected_items_total": "tenant_rejected",
    "tenant_refused_requests_total": "tenant_refused",
}
_COUNTERS: Final = {
    "requests_total": "requests",
    "accepted_items_total": "accepted",
    "rejected_items_total": "rejected",
    "recovered_items_total": "recovered",
    "inserted_items_total": "inserted",
    "sampled_out_items_total": "sampled_out",
    "quarantined_items_total": "quarantined",
    "lost_records_total": "lost",
    "insert_failures_total": "insert_failures",
    "spooled_items": "spooled",
    "backlog_segments": "backlog_segments",
}


def read_tallies(registry: CollectorRegistry) -> dict[Signal, Tally]:
    """Return the tally of every signal."""
    values: dict[Signal, dict[str, Any]] = {
        signal: {"refused": {}, "inserts": {}} | {key: {} for key in _TENANT_COUNTERS.values()} for signal in Signal
    }
    for sample in itertools.chain.from_iterable(family.samples for family in registry.collect()):
        name = sample.name.removeprefix(_PREFIX)
        of = values.get(sample.labels.get("signal"))  # type: ignore[call-overload]  # a StrEnum is found by its text
        if of is None:
            continue
        if name in _COUNTERS:
            of[_COUNTERS[name]] = of.get(_COUNTERS[name], 0) + int(sample.value)
        elif name in _TENANT_COUNTERS:
            by_tenant, tenant = of[_TENANT_COUNTERS[name]], sample.labels["tenant"]
            by_tenant[tenant] = by_tenant.get(tenant, 0) + int(sample.value)
        elif name == "refused_requests_total":
            of["refused"][sample.labels["reason"]] = int(sample.value)
        elif name == "insert_seconds_bucket":
            of["inserts"][float(sample.labels["le"])] = int(sample.value)
        elif name == "lag_seconds":
            of["lag_s"] = float(sample.value)
    return {signal: Tally(**found) for signal, found in values.items()}


def quantile(inserts: Mapping[float, int], share: float) -> float | None:
    """Return the time in seconds that ``share`` of the inserts stayed below, None when there was none.

    ``inserts`` is cumulative by upper bound; between two bounds times are taken as spread evenly, and beyond the
    largest one the answer is that bound.
    """
    bounds = sorted(inserts)
    if not bounds or not inserts[bounds[-1]]:
        return None
    rank = share * inserts[bounds[-1]]
    low, below = 0.0, 0
    for bound in bounds:
        count = inserts[bound]
        if count >= rank and count > below:
            return low if math.isinf(bound) else low + (bound - low) * (rank - below) / (count - below)
        low, below = (low if math.isinf(bound) else bound), count
    return low


def stats_row(
    before: Tally, now: Tally, *, signal: Signal, collector: str, at: float, interval_s: float, spool_bytes: int
) -> CollectorStats:
    """Return the row that says what happened between two tallies; ``at`` is Unix time in seconds."""
    inserts = {bound: count - before.inserts.get(bound, 0) for bound, count in now.inserts.items()}
    return CollectorStats(
        at=datetime.fromtimestamp(at, UTC),
        collector=collector,
        signal=signal.value,
        interval_s=interval_s,
        requests=now.requests - before.requests,
        refused=_since(before.refused, now.refused),
        accepted=now.accepted - before.accepted,
        rejected=now.rejected - before.rejected,
        inserted=now.inserted - before.inserted,
        quarantined=now.quarantined - before.quarantined,
        lost=now.lost - before.lost,
        insert_failures=now.insert_failures - before.insert_failures,
        insert_p50_s=quantile(inserts, 0.5),
        insert_p99_s=quantile(inserts, 0.99),
        spooled=now.spooled,
        backlog_segments=now.backlog_segments,
        spool_bytes=spool_bytes,
        lag_s=now.lag_s,
        sampled_out=now.sampled_out - before.sampled_out,
        tenant_accepted=_since(before.tenant_accepted, now.tenant_accepted),
        tenant_rejected=_since(before.tenant_rejected, now.tenant_rejected),
        tenant_refused=_since(before.tenant_refused, now.tenant_refused),
    )


def _since(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """Return what was added, without what nothing was added to."""
    return {key: more for key, count in now.items() if (more := count - before.get(key, 0))}


def status_document(
    tallies: Mapping[Signal, Tally], quarantined: Usage, spool_bytes: int, spool_max_bytes: int
) -> dict[str, Any]:
    """Return the numbers that ``GET /status`` answers, counts since the start."""
    return {
        "spool_bytes": spool_bytes,
        "spool_max_bytes": spool_max_bytes,
        "quarantine": {"records": quarantined.records, "bytes": quarantined.size},
        "signals": {
            signal.value: {
                "requests": one.requests,
                "refused": dict(one.refused),
                "accepted": one.accepted,
                "rejected": one.rejected,
                "recovered": one.recovered,
                "spooled": one.spooled,
                "inserted": one.inserted,
                "sampled_out": one.sampled_out,
                "quarantined": one.quarantined,
                "lost": one.lost,
                "insert_failures": one.insert_failures,
                "insert_p50_s": quantile(one.inserts, 0.5),
                "insert_p99_s": quantile(one.inserts, 0.99),
                "backlog_segments": one.backlog_segments,
                "lag_s": round(one.lag_s, 3),
            }
            for signal, one in tallies.items()
        },
        "tenants": {
            name: {
                what: sum(getattr(one, f"tenant_{what}").get(name, 0) for one in tallies.values())
                for what in ("accepted", "rejected", "refused")
            }
            for name in sorted({name for one in tallies.values() for name in _tenants(one)})
        },
    }


def _tenants(tally: Tally) -> set[str]:
    return {*tally.tenant_accepted, *tally.tenant_rejected, *tally.tenant_refused}
