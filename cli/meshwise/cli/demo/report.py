"""Evidence → the report: one JSON document, every number of which somebody measured during this run."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from meshwise.cli.demo.documents import BAD, TUNED
from meshwise.cli.demo.evidence import Applied, Evidence, plain_deliveries
from meshwise.cli.demo.topology import INGRESS, REPLICAS

PHASES = {"baseline": "before_fault", "fault": "fault_old_policy", "tuned": "fault_new_policy"}
"""Phases of the load generator's record that the report compares, and what it calls them."""


def build_report(evidence: Evidence) -> dict[str, Any]:
    """Return the report without its checks."""
    tuned = _rollout(evidence, TUNED)
    bad = _rollout(evidence, BAD)
    return {
        "began": evidence.began,
        "ended": evidence.ended,
        "seconds": round(evidence.ended - evidence.began, 1),
        "phases": evidence.phases,
        "edges": [_edge(edge) for edge in evidence.map["edges"]],
        "counts": {"edges": _edge_counts(evidence), "services": _service_counts(evidence)},
        "slos": evidence.findings["SloFinding"],
        "alerts": _alerts(evidence),
        "deliveries": plain_deliveries(evidence.deliveries),
        "anomalies": evidence.findings["AnomalyFinding"],
        "proposals": [_opened(row, "policy", "current", "evidence") for row in evidence.findings["ProposalFinding"]],
        "rollout": tuned,
        "bad_rollout": bad,
        "rollouts": evidence.rollouts,
        "client": _client(evidence),
        "load": evidence.load,
        "payments": _payments(evidence),
        "missed": list(evidence.missed),
    }


def percentile(values: Sequence[float], q: float) -> float | None:
    """Return the nearest-rank ``q`` quantile (0–1) of ``values``; ``None`` when there are none."""
    if not values:
        return None
    ordered = sorted(values)
    rank = max(1, -(-int(q * 1000) * len(ordered) // 1000))
    return ordered[min(rank, len(ordered)) - 1]


def summarize_requests(record: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how the client fared: requests, share (0–1) that succeeded, latencies in seconds from intended start."""
    entries = list(record)
    latencies = [entry["latency_s"] for entry in entries]
    ok = sum(0 < entry["status"] < 500 for entry in entries)
    return {
        "requests": len(entries),
        "failed": len(entries) - ok,
        "success": round(ok / len(entries), 6) if entries else None,
        "p50_s": percentile(latencies, 0.5),
        "p99_s": percentile(latencies, 0.99),
    }


def _client(evidence: Evidence) -> dict[str, Any]:
    by_phase: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in evidence.record:
        by_phase[entry["phase"]].append(entry)
    return {
        PHASES.get(phase, phase): summarize_requests(by_phase[phase])
        for phase in (*PHASES, "shadow", "canary", "bad_policy")
    }


def _edge(edge: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "source": edge["source"],
        "destination": edge["destination"],
        "requests": edge["requests"],
        "attempts": edge["attempts"],
        "errors": edge["failures"],
        "retries": edge["retries"],
        "p50": edge["client_p50"],
        "p95": edge["client_p95"],
        "p99": edge["client_p99"],
    }


def _edge_counts(evidence: Evidence) -> list[dict[str, Any]]:
    """Per edge, what the map says the caller requested next to what the caller counted itself."""
    counted: dict[tuple[str, str], int] = defaultdict(int)
    counted[INGRESS, "frontend"] = evidence.load["sent"]
    for instance, counters in evidence.counters.items():
        service = instance.rsplit("-", 1)[0]
        for destination, calls in counters["called"].items():
            counted[service, destination] += calls["requests"]
    mapped = {(edge["source"], edge["destination"]): edge["requests"] for edge in evidence.map["edges"]}
    return [
        {"source": source, "destination": destination, "map": mapped.get(key, 0), "caller": counted.get(key, 0)}
        for key in sorted({*mapped, *counted})
        for source, destination in (key,)
    ]


def _service_counts(evidence: Evidence) -> list[dict[str, Any]]:
    """Per service, what its proxies counted arriving next to what its applications received themselves.

    A request whose caller went away is none of the map's requests, but the application may well have received it.
    """
    arrived: dict[str, int] = defaultdict(int)
    cancelled: dict[str, int] = defaultdict(int)
    for row in evidence.counts:
        if row["side"] == "server":
            arrived[row["destination"]] += row["requests"]
            cancelled[row["destination"]] += row["requests"] if row["outcome"] == "cancelled" else 0
    received: dict[str, int] = defaultdict(int)
    for instance, counters in evidence.counters.items():
        received[instance.rsplit("-", 1)[0]] += sum(counters["received"].values())
    return [
        {
            "service": service,
            "map": arrived[service],
            "cancelled": cancelled[service],
            "received": received[service],
        }
        for service in sorted(REPLICAS)
    ]


def _alerts(evidence: Evidence) -> list[dict[str, Any]]:
    """Every change of an alert, with the number of deliveries that told of that alert in that state."""
    told: dict[tuple[str, str], int] = defaultdict(int)
    for delivery in evidence.deliveries:
        for alert in delivery.document.get("alerts", []):
            if delivery.signed:
                told[str(alert.get("fingerprint")), str(alert.get("status"))] += 1
    return [{**row, "deliveries": told[row["fingerprint"], row["state"]]} for row in evidence.findings["AlertFinding"]]


def _rollout(evidence: Evidence, policy: str) -> dict[str, Any] | None:
    """The first rollout of ``policy``, with the times at which proxies applied its candidate."""
    found = [rollout for rollout in evidence.rollouts if rollout["policy_name"] == policy]
    if not found:
        return None
    rollout = min(found, key=lambda one: one["created_at"])
    version = rollout["policy"]["version"]
    applied = [one for one in evidence.applied if (one.policy, one.version) == (policy, version)]
    return {**rollout, "applied": _in_order(applied)}


def _in_order(applied: Iterable[Applied]) -> list[dict[str, Any]]:
    return [asdict(one) for one in sorted(applied, key=lambda one: (one.at, one.proxy))]


def _payments(evidence: Evidence) -> dict[str, Any]:
    executions = [
        counters["executions"] for instance, counters in evidence.counters.items() if instance.startswith("payment-")
    ]
    return {key: sum(one[key] for one in executions) for key in ("total", "keys", "duplicates", "forgotten")}


def _opened(row: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return a row whose JSON texts are documents again."""
    opened = dict(row)
    for key in keys:
        try:
            opened[key] = json.loads(row[key]) if row[key] else None
        except ValueError:
            continue
    return opened
