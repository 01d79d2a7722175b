"""Which edges do not behave as they did: a score from 0 to 1 per edge, with what made it.

    config      the threshold, floors, and what is looked back at
    measures    per bucket of every edge: rate, failures, timeouts, retries, latency
    usual       what is usual, robust and count-aware, and how far buckets lie outside of it
    history     the hours before, the same minutes on other days, what was flagged and deployed
    cold_start  what to compare with when there is no history yet
    forest      an IsolationForest over all edges: combinations that no single feature shows
    pools       the newest buckets alone and together, and which of these stands out most
    blame       an edge that fails because one further down does is marked as following it
    detection   a world and its history in, findings out
    audit       the same as a cycle runs it

Only worse is anomalous: fewer errors and lower latency never count. What is learnt is fitted (``fit → self``), fitted
attributes end in ``_``, and ``score`` is higher for worse. Missing data are no anomaly: a gap of the whole mesh, an
edge that was never busy, a caller of which nothing at all is heard; silence where others still speak is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshwise.analytics.anomaly.audit import AnomalyAudit
    from meshwise.analytics.anomaly.detection import detect

__all__ = ["AnomalyAudit", "detect"]

_ROOMS = {"AnomalyAudit": "meshwise.analytics.anomaly.audit", "detect": "meshwise.analytics.anomaly.detection"}


def __getattr__(name: str) -> Any:
    # Settings import this package's config; numpy and sklearn load only when anomalies are looked for.
    from importlib import import_module

    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
