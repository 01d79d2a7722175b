"""The lasting state of one cluster and its endpoints; snapshots come and go above it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from meshwise.contracts.policy import Budget, Policy
from meshwise.contracts.snapshot import Endpoint
from meshwise.proxy.cluster.breaker import Load
from meshwise.proxy.cluster.budget import RetryBudget
from meshwise.proxy.cluster.checking import Checked
from meshwise.proxy.cluster.latency import PeakEwma
from meshwise.proxy.cluster.outlier import Health

if TYPE_CHECKING:
    from meshwise.proxy.channels import Waiter
    from meshwise.proxy.net.upstream import UpstreamConnection


class EndpointState:
    """One endpoint: its address, its health, its load, its idle connections (the newest last)."""

    __slots__ = (
        "active",
        "checked",
        "gone",
        "health",
        "host",
        "id",
        "idle",
        "labels",
        "latency",
        "port",
        "priority",
        "since",
        "tls",
        "weight",
        "zone",
    )

    def __init__(self, endpoint: Endpoint, now: float = 0.0) -> None:
        self.id = endpoint.id
        self.host = endpoint.host
        self.port = endpoint.port
        self.tls = endpoint.tls
        self.active = 0
        self.health = Health()
        self.checked = Checked()
        self.idle: list[UpstreamConnection] = []
        self.latency = PeakEwma()
        self.since = now
        """When it was first named; monotonic seconds."""
        self.describe_as(endpoint)
        self.gone = False
        """No snapshot names it any more: its connections close as they fall idle."""

    def describe_as(self, endpoint: Endpoint) -> None:
        """Take what may change about an endpoint while it stays the same."""
        self.zone = endpoint.zone
        self.weight = endpoint.weight
        self.priority = endpoint.priority
        self.labels = dict(endpoint.labels)

    def resting(self, now: float) -> bool:
        """Tell whether the endpoint is ejected, or failed its checks."""
        return now < self.health.ejected_until or not self.checked.healthy

    def why_resting(self, now: float) -> str:
        """Return why it gets nothing now; empty when it may."""
        if not self.checked.healthy:
            return f"health checks fail: {self.checked.reason}"
        return self.health.reason if self.resting(now) else ""

    def __repr__(self) -> str:
        return f"<EndpointState {self.id} {self.host}:{self.port} {self.active} active>"


class Cluster:
    """A service as this proxy sees it. Kept as long as the process lives, so that budgets survive a new snapshot."""

    __slots__ = ("_budgets", "_lent", "endpoints", "load", "name", "resting_until", "turn", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.endpoints: tuple[EndpointState, ...] = ()
        self.load = Load()
        self.turn = 0
        self.resting_until = 0.0
        """From then on no endpoint rests, so that most requests need not ask each of them."""
        self.waiting: deque[Waiter] = deque()
        """Who waits for a connection because the breaker allows no more of them."""
        self._budgets: dict[str, tuple[object, RetryBudget]] = {}
        self._lent = 0

    def lender(self) -> EndpointState | None:
        """Return an endpoint that has an idle connection to give up for another one; each in turn."""
        count = len(self.endpoints)
        for _ in range(count):
            self._lent = (self._lent + 1) % count
            if self.endpoints[self._lent].idle:
                return self.endpoints[self._lent]
        return None

    def update(self, endpoints: Iterable[Endpoint], now: float = 0.0) -> list[EndpointState]:
        """Take the endpoints of a new snapshot; return those that are gone. Same id and address: same state."""
        known = {(state.id, state.host, state.port, state.tls): state for state in self.endpoints}
        states = []
        for endpoint in endpoints:
            key = (endpoint.id, endpoint.host, endpoint.port, endpoint.tls)
            state = known.pop(key, None)
            if state is None:
                state = EndpointState(endpoint, now)
            else:
                state.describe_as(endpoint)
            states.append(state)
        self.endpoints = tuple(states)
        for state in known.values():
            state.gone = True
        return list(known.values())

    def look_at_health(self) -> None:
        """Checks have changed what is known of endpoints."""
        if all(endpoint.checked.healthy for endpoint in self.endpoints):
            self.resting_until = max((endpoint.health.ejected_until for endpoint in self.endpoints), default=0.0)
        else:
            self.resting_until = float("inf")

    def budget(self, policy: Policy) -> RetryBudget:
        """Return the retry budget of ``policy`` here; it begins anew only when its parameters change.

        A policy for a share of the requests may stand beside another of its name and has a budget of its own.
        """
        return self.budget_of(policy, "share" if policy.match.percent < 100.0 else "", policy.retry.budget)

    def budget_of(self, policy: Policy, what: str, params: Budget) -> RetryBudget:
        """Return another budget that ``policy`` has here, for ``what``, which tells it from the retry budget."""
        name = f"{policy.name} ({what})" if what else policy.name
        known = self._budgets.get(name)
        if known is None or known[0] != params:
            known = self._budgets[name] = (params, RetryBudget(params))
        return known[1]

    def keep_budgets(self, names: Iterable[str]) -> None:
        """Forget the budgets of policies that no longer exist."""
        wanted = set(names)
        self._budgets = {name: budget for name, budget in self._budgets.items() if name.partition(" (")[0] in wanted}

    def describe(self, now: float) -> dict[str, Any]:
        """Return the state for people to read."""
        return {
            "requests": self.load.requests,
            "pending": self.load.pending,
            "connections": self.load.connections,
            "tripped": {limit.value: count for limit, count in self.load.tripped.items()},
            "endpoints": [
                {
                    "id": state.id,
                    "host": state.host,
                    "port": state.port,
                    "tls": state.tls,
                    "zone": state.zone,
                    "weight": state.weight,
                    "priority": state.priority,
                    "labels": state.labels,
                    "active": state.active,
                    "idle_connections": len(state.idle),
                    "ejected": now < state.health.ejected_until,
                    "healthy": state.checked.healthy,
                    "ejected_for_s": round(max(0.0, state.health.ejected_until - now), 3),
                    "ejections": state.health.times,
                    "consecutive_failures": state.health.failures,
                    "reason": state.why_resting(now),
                }
                for state in self.endpoints
            ],
            "retry_budgets": {name: round(budget.balance(now), 2) for name, (_, budget) in self._budgets.items()},
        }
