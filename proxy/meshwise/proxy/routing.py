"""From a request's authority, method and path to a cluster and the policy that governs it.

Everything that can be decided when a snapshot arrives is decided then: a table is built once, never edited, and
replaced by one assignment.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from meshwise.contracts.policy import ANY, DEFAULT_POLICY, Fault, HealthCheck, Policy, Target, matches_route
from meshwise.contracts.snapshot import Snapshot
from meshwise.proxy.cluster.budget import RetryBudget
from meshwise.proxy.cluster.cluster import Cluster
from meshwise.proxy.cluster.hedge import HedgePolicy, budget_of
from meshwise.proxy.cluster.picking import Picker, needs_picker
from meshwise.proxy.cluster.shadow import ShadowPolicy
from meshwise.proxy.guard.limiter import Limiter
from meshwise.proxy.http1.heads import RequestHead
from meshwise.proxy.paths import normal_path
from meshwise.proxy.steering import Split, Steering, steers

_ANY = ANY.encode()


class Extras:
    """What few policies use: looked at only where one does."""

    __slots__ = ("counts_shares", "fault", "hedge", "limiter", "picker", "shadow", "steering", "times")

    def __init__(
        self,
        *,
        counts_shares: bool = False,
        fault: Fault | None = None,
        hedge: HedgePolicy | None = None,
        limiter: Limiter | None = None,
        picker: Picker | None = None,
        shadow: ShadowPolicy | None = None,
        steering: Steering | None = None,
        times: bool = False,
    ) -> None:
        self.counts_shares = counts_shares
        """Outlier detection counts what share of an endpoint's attempts fail."""
        self.fault = fault
        self.hedge = hedge
        self.limiter = limiter
        """What lets requests in to the application, on the inbound side."""
        self.picker = picker
        """Chooses endpoints where ``balancer`` is not enough."""
        self.steering = steering
        """Sends requests elsewhere or changes them, before they are admitted."""
        self.times = times
        """Endpoints are chosen by latency, which has to be measured."""
        self.shadow = shadow
        """The candidate that is evaluated beside the policy."""


class Rule:
    """One policy as it applies to one cluster."""

    __slots__ = ("budget", "extras", "headers", "methods", "policy", "route", "share")

    def __init__(self, policy: Policy, budget: RetryBudget, extras: Extras | None = None) -> None:
        self.policy = policy
        self.budget = budget
        self.extras = extras
        """``None`` for a policy that uses nothing of it: then it costs a request nothing."""
        self.route = policy.match.route or ""
        self.methods = frozenset(policy.match.methods)
        self.headers = tuple((name.encode(), value.encode()) for name, value in policy.match.headers)
        self.share = policy.match.percent / 100.0

    def governs(self, method: str, path: str, head: RequestHead | None) -> bool:
        """Tell whether the rule is about such a request; source and service matched when the table was built.

        A rule for a share of its requests draws anew each time it is asked.
        """
        for name, value in self.headers:
            if head is None or not (head.has(name) if value == _ANY else head.field(name) == value):
                return False
        if self.methods and method not in self.methods:
            return False
        if self.route and not matches_route(self.route, path):
            return False
        # By chance, not in turn: callers that repeat a pattern of calls must not meet the share in step with it.
        return self.share >= 1.0 or random.random() < self.share  # noqa: S311


class Route:
    """Where requests for one service go: a cluster, and its rules from the most specific to the default."""

    __slots__ = ("_anywhere", "_by_segment", "_only", "cluster", "rules")

    def __init__(self, cluster: Cluster, rules: tuple[Rule, ...]) -> None:
        self.cluster = cluster
        self.rules = rules
        first = rules[0]
        self._only = None if first.methods or first.route or first.headers or first.share < 1.0 else first
        anywhere: list[int] = []
        by_segment: dict[str, list[int]] = {}
        for number, rule in enumerate(rules):
            segment = _first_literal(rule.route)
            (anywhere if segment is None else by_segment.setdefault(segment, [])).append(number)
        self._anywhere = tuple([rules[number] for number in anywhere])
        """Rules that any path may fit, in order."""
        self._by_segment = {
            segment: tuple([rules[number] for number in sorted(numbers + anywhere)])
            for segment, numbers in by_segment.items()
        }
        """Those that a path may fit by its first segment, in order: with a thousand routes only few are looked at."""

    def rule_for(self, method: str, target: str, head: RequestHead | None = None) -> Rule:
        """Return the rule that governs a request for ``target`` (path and query); there always is one."""
        if self._only is not None:
            return self._only
        path = normal_path(target)
        segment = path[1:].partition("/")[0]
        for rule in self._by_segment.get(segment, self._anywhere):
            if rule.governs(method, path, head):
                return rule
        return self.rules[-1]


def _first_literal(route: str) -> str | None:
    """Return the first segment of a path template; ``None`` when any may stand there."""
    segment = route[1:].partition("/")[0] if route else "*"
    return None if segment == "*" or segment.startswith("{") else segment


class RouteTable:
    """What one snapshot says about requests that leave ``source``."""

    __slots__ = ("_by_authority", "checks", "snapshot")

    def __init__(self, snapshot: Snapshot, routes: dict[str, Route]) -> None:
        self.snapshot = snapshot
        self.checks: dict[Cluster, HealthCheck] = {}
        """Clusters whose endpoints are to be checked, and how: by the most specific policy that says."""
        for route in routes.values():
            for rule in route.rules:
                if rule.policy.health is not None:
                    self.checks.setdefault(route.cluster, rule.policy.health)
        self._by_authority = {name.encode(): route for name, route in routes.items()}

    def find(self, authority: bytes) -> Route | None:
        """Return the route of a lower-case ``host[:port]``; the port is of no account, and an address is no name."""
        return self._by_authority.get(authority) or self._by_authority.get(service_name(authority))


def service_name(authority: bytes) -> bytes:
    """Return the service that a lower-case authority names: the host without port and final dot."""
    return authority.partition(b":")[0].rstrip(b".")


def build_table(snapshot: Snapshot, source: str, cluster_of: Callable[[str], Cluster], zone: str = "") -> RouteTable:
    """Return the table for ``snapshot``; ``cluster_of`` gives the lasting state behind a service name.

    ``zone`` is where ``source``'s instance runs.
    """

    def way(target: Target, policy: Policy, called: Cluster) -> tuple[Cluster, Rule] | None:
        if target.service is not None and target.service not in snapshot.clusters:
            return None
        cluster = called if target.service is None else cluster_of(target.service)
        balance = replace(policy.balance, subset=target.subset or policy.balance.subset)
        return cluster, rule_of(replace(policy, balance=balance), cluster, zone)

    def steering_of(policy: Policy, cluster: Cluster) -> Steering | None:
        if not steers(policy):
            return None
        ways = [way(target, policy, cluster) for target in policy.split]
        return Steering(policy, Split([target.weight for target in policy.split], ways) if ways else None)

    routes = {}
    for name in snapshot.clusters:
        cluster = cluster_of(name)
        policies = [
            policy
            for policy in snapshot.policies
            if policy.match.service in (ANY, name) and policy.match.source in (None, source)
        ]
        # A stable sort: of equally specific policies the one that control lists first governs.
        policies.sort(key=lambda policy: policy.match.specificity, reverse=True)
        policies.append(DEFAULT_POLICY)
        rules = tuple(rule_of(policy, cluster, zone, steering_of(policy, cluster)) for policy in policies)
        cluster.keep_budgets(policy.name for policy in policies)
        routes[name] = Route(cluster, rules)
    return RouteTable(snapshot, routes)


def rule_of(policy: Policy, cluster: Cluster, zone: str, steering: Steering | None = None) -> Rule:
    """Return ``policy`` as it applies to ``cluster``, with the state that it keeps there."""
    return Rule(policy, cluster.budget(policy), _extras(policy, cluster, zone, steering))


def _extras(policy: Policy, cluster: Cluster, zone: str, steering: Steering | None) -> Extras | None:
    hedge, candidate = policy.hedge, policy.candidate
    counts_shares = policy.outlier.failure_percent is not None
    balance = policy.balance
    picker = Picker(balance, cluster.endpoints, zone) if needs_picker(balance, cluster.endpoints) else None
    if not (hedge or candidate or counts_shares or picker or steering or policy.fault):
        return None
    return Extras(
        counts_shares=counts_shares,
        fault=policy.fault,
        picker=picker,
        steering=steering,
        times=balance.algorithm == "peak_ewma",
        hedge=None if hedge is None else HedgePolicy(hedge, cluster.budget_of(policy, "hedge", budget_of(hedge))),
        shadow=None
        if candidate is None
        else ShadowPolicy(candidate, cluster.budget_of(policy, "shadow", candidate.retry.budget)),
    )
