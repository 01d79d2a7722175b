"""Which node or edge an incident comes from: the symptom's excess is followed down the call graph and divided.

    config     tolerance of the incident's time, thresholds, floors
    table      plain metric tables, a call graph and the symptom
    deviation  when it happened, and how much worse than usual each node was then, and how surely
    ranking    the excess flows from the symptom to the callees that explain it; what stays with a node is its own
    mesh       a ``World`` as such a table: services by the callee's view, edges by the caller's
    suspects   who is likely to blame for an alert of a service, with the anomalies that say so
    shared     what the bad attempts of an edge have in common: an endpoint, a version, a route
    explain    all of it from the store, for an alert

A caller is slow or fails because its callees do, so a node is blamed only for what its callees do not explain. The
shares of all candidates add up to at most 1. Only worse counts. When nobody is surely worse, nobody is blamed.
Everything here is pure and deterministic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshwise.analytics.cause.mesh import rank_world
    from meshwise.analytics.cause.ranking import rank

__all__ = ["rank", "rank_world"]

_ROOMS = {
    "rank": "meshwise.analytics.cause.ranking",
    "rank_world": "meshwise.analytics.cause.mesh",
}


def __getattr__(name: str) -> Any:
    # Settings may import this package's config; numpy loads only when a cause is looked for.
    from importlib import import_module

    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
