"""What one service counted itself: requests it received, calls it made, each key it executed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

MAX_KEYS = 200_000
"""Idempotency keys remembered; the oldest leave first and are counted as ``forgotten``."""


@dataclass(slots=True)
class Calls:
    """Logical calls to one destination: ``ok`` were answered below 500, ``failed`` were not or not at all."""

    requests: int = 0
    ok: int = 0
    failed: int = 0


@dataclass(slots=True)
class Executions:
    """How often the effect of each idempotency key was executed."""

    by_key: OrderedDict[str, int] = field(default_factory=OrderedDict)
    total: int = 0
    duplicates: int = 0
    forgotten: int = 0

    def execute(self, key: str) -> int:
        """Count one execution for ``key`` and return how many there were, this one included."""
        times = self.by_key.pop(key, 0) + 1
        self.by_key[key] = times
        self.total += 1
        self.duplicates += times > 1
        if len(self.by_key) > MAX_KEYS:
            self.by_key.popitem(last=False)
            self.forgotten += 1
        return times


@dataclass(slots=True)
class Counters:
    """Everything one service counts, from its start on."""

    received: dict[str, int] = field(default_factory=dict)
    called: dict[str, Calls] = field(default_factory=dict)
    executions: Executions = field(default_factory=Executions)

    def count_received(self, route: str) -> None:
        """Count one request that reached the application."""
        self.received[route] = self.received.get(route, 0) + 1

    def count_call(self, destination: str, *, ok: bool) -> None:
        """Count one finished call."""
        calls = self.called.setdefault(destination, Calls())
        calls.requests += 1
        if ok:
            calls.ok += 1
        else:
            calls.failed += 1

    def to_document(self) -> dict[str, Any]:
        """Return the counters as the JSON that ``/-/counters`` answers."""
        executions = self.executions
        return {
            "received": dict(sorted(self.received.items())),
            "called": {
                name: {"requests": calls.requests, "ok": calls.ok, "failed": calls.failed}
                for name, calls in sorted(self.called.items())
            },
            "executions": {
                "total": executions.total,
                "keys": len(executions.by_key),
                "duplicates": executions.duplicates,
                "forgotten": executions.forgotten,
                "repeated": {key: times for key, times in executions.by_key.items() if times > 1},
            },
        }
