"""OpenSLO documents for tests: a valid one of each kind, and changes to them."""

from __future__ import annotations

import copy
from typing import Any


def slo(name: str = "cart", **spec: Any) -> dict[str, Any]:
    """Return a valid SLO over 30 days with a target of 99 %; fields of ``spec`` replace its own, ``None`` drops one."""
    base: dict[str, Any] = {
        "service": "cart",
        "indicator": {"metadata": {"name": "answers"}, "spec": {"ratioMetric": ratio(good={})}},
        "timeWindow": [{"duration": "30d", "isRolling": True}],
        "budgetingMethod": "Occurrences",
        "objectives": [{"target": 0.99}],
    }
    return document("SLO", name, {key: value for key, value in (base | spec).items() if value is not None})


def document(kind: str, name: str, spec: Any) -> dict[str, Any]:
    """Return a document of a kind."""
    return {"apiVersion": "openslo/v1", "kind": kind, "metadata": {"name": name}, "spec": copy.deepcopy(spec)}


def source(**spec: Any) -> dict[str, Any]:
    """Return a metric source with our selectors."""
    return {"metricSource": {"type": "meshwise", "spec": spec}}


def ratio(*, total: dict[str, Any] | None = None, **part: dict[str, Any]) -> dict[str, Any]:
    """Return a ratio metric; ``good`` or ``bad`` and ``total`` are selectors."""
    return {**{key: source(**spec) for key, spec in part.items()}, "total": source(**(total or {}))}


def inline(metric: dict[str, Any]) -> dict[str, Any]:
    """Return an inline indicator."""
    return {"metadata": {"name": "inline"}, "spec": metric}


def condition(**changes: Any) -> dict[str, Any]:
    """Return the spec of an AlertCondition that pages at ten times the allowed speed."""
    base = {"kind": "burnrate", "op": "gt", "threshold": 10, "lookbackWindow": "1h", "alertAfter": "5m"}
    return {"severity": "page", "condition": base | changes}


def policy(name: str = "page", **spec: Any) -> dict[str, Any]:
    """Return a valid AlertPolicy with everything inline."""
    base: dict[str, Any] = {
        "alertWhenBreaching": True,
        "conditions": [{"metadata": {"name": "fast"}, "spec": condition()}],
        "notificationTargets": [{"metadata": {"name": "me"}, "spec": {"target": "on-call"}}],
    }
    return document("AlertPolicy", name, base | spec)
