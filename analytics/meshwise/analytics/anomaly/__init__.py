"""Which edges do not behave as they did: a score from 0 to 1 per edge, with what made it.

    config     windows, floors and the threshold
    features   per 10-second bucket of an edge: rate, failures, timeouts, slowness, latency, retries
    baseline   robust and count-aware: how far the newest buckets lie outside of the earlier ones
    forest     an IsolationForest over all edges: combinations that no single feature shows
    blame      an edge that fails because one further down does is marked as following it
    detection  the audit: a world in, findings out

Only worse is anomalous: fewer errors and lower latency never count. A detector is fitted (``fit → self``), fitted
attributes end in ``_``, and ``score`` is higher for worse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshwise.analytics.anomaly.detection import detect

__all__ = ["detect"]


def __getattr__(name: str) -> Any:
    # Settings import this package's config; numpy and sklearn load only when anomalies are looked for.
    from importlib import import_module

    if name == "detect":
        return import_module("meshwise.analytics.anomaly.detection").detect
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
