"""Findings of a small made-up mesh: what pages and reports are drawn from in unit tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from meshwise.contracts.rows import AlertFinding, AnomalyFinding, EdgeFinding, ProposalFinding, SloFinding
from meshwise.dashboard.queries import SpanRow, TrafficPoint

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
HOSTILE = "<img src=x onerror=alert(1)>"


def edge(source: str, destination: str, requests: int = 3000, failures: int = 0, retries: int = 0) -> EdgeFinding:
    """Return an edge over five minutes."""
    return EdgeFinding(
        computed_at=NOW,
        window_start=NOW - timedelta(minutes=5),
        window_end=NOW,
        source=source,
        destination=destination,
        requests=requests,
        attempts=requests + retries,
        failures=failures,
        retries=retries,
        retries_denied=0,
        request_rate=requests / 300,
        error_share=failures / requests,
        amplification=(requests + retries) / requests,
        client_p50=0.010,
        client_p95=0.050,
        client_p99=0.200,
        server_requests=requests + retries,
        server_failures=failures,
        server_p50=0.008,
        server_p95=0.040,
        server_p99=0.150,
    )


def anomaly(source: str, destination: str, score: float, reason: str = "") -> AnomalyFinding:
    """Return a score, flagged from 0.8."""
    return AnomalyFinding(NOW, NOW - timedelta(minutes=5), NOW, source, destination, score, score >= 0.8, {}, reason)


def slo(service: str, remaining: float, burn: float) -> SloFinding:
    """Return an availability objective of 99 %."""
    attained = 1 - 0.01 * (1 - remaining)
    rates = {"5m": burn, "1h": burn, "6h": burn / 2}
    name = f"{service}-availability"
    return SloFinding(
        NOW, service, name, "availability", 0.99, None, 2_592_000.0, 990, 1000, attained, remaining, rates
    )


def alert(service: str, state: str = "firing") -> AlertFinding:
    """Return a page for a service."""
    summary = f"{service} burns its error budget 20 times too fast"
    ended = NOW if state == "resolved" else None
    return AlertFinding(NOW, "f1", service, f"{service}-availability", "page", state, NOW, ended, 20.0, 21.0, summary)


def proposal(status: str = "proposed", **changes: Any) -> ProposalFinding:
    """Return a proposal for frontend → recommendation."""
    match = {"service": "recommendation", "source": "frontend"}
    current = {"name": "frontend.recommendation", "match": match, "timeout": {"request": "1s"}, "retry": {"max": 0}}
    policy = current | {"timeout": {"request": "1s", "attempt": "150ms"}, "retry": {"max": 2}}
    evidence = {
        "curve": [
            {"attempt_timeout_s": 0.15, "retries": 2, "success": 0.999, "p99": 0.2, "amplification": 1.1},
            {
                "attempt_timeout_s": None,
                "request_timeout_s": 1.0,
                "retries": 0,
                "success": 0.9,
                "success_low": 0.88,
                "success_high": 0.92,
                "p99": None,
                "amplification": 1.0,
            },
        ],
        "current": {"replay": {"success": {"value": 0.9, "low": 0.88, "high": 0.92}, "p99": {"value": None}}},
        "chosen": {"replay": {"success": {"value": 0.999, "low": 0.99, "high": 1.0}, "p99": {"value": 0.2}}},
        "runner_up": None,
        "would_change_mind": ["healthy answers slower than 150 ms"],
        "assumptions": ["an attempt that was cut off is a censored observation"],
    }
    fields: dict[str, Any] = {
        "id": "p1",
        "created_at": NOW,
        "source": "frontend",
        "destination": "recommendation",
        "route": "",
        "status": status,
        "sentence": "Cut each attempt at 150 ms and try twice more.",
        "samples": 4000,
        "policy": json.dumps(policy),
        "current": json.dumps(current),
        "evidence": json.dumps(evidence),
    }
    return ProposalFinding(**(fields | changes))


def traffic(points: int = 6) -> list[TrafficPoint]:
    """Return a minute of traffic."""
    return [TrafficPoint(NOW + timedelta(seconds=10 * i), 300, i, 310, 0.01, 0.2) for i in range(points)]


def span(name: str, parent: str = "", start_ms: float = 0, took_ms: float = 10, **others: Any) -> SpanRow:
    """Return a span whose id and operation are ``name``, ``start_ms`` after ``NOW``."""
    start = NOW + timedelta(milliseconds=start_ms)
    start_ns, duration_ns = int(NOW.timestamp()) * 1_000_000_000 + round(start_ms * 1e6), round(took_ms * 1e6)
    fields = {"span_id": name, "parent_id": parent, "service": "frontend", "name": name, "kind": "Server"} | others
    return SpanRow(start=start, start_ns=start_ns, duration_ns=duration_ns, **fields)
