"""Which ``limit`` of the snapshot applies to a request that arrives for the application."""

from __future__ import annotations

from meshwise.contracts.policy import ANY, Policy
from meshwise.contracts.snapshot import Snapshot
from meshwise.proxy.cluster.cluster import Cluster
from meshwise.proxy.guard.limiter import Limiter
from meshwise.proxy.guard.shared import SharedCounts
from meshwise.proxy.http1.heads import RequestHead
from meshwise.proxy.paths import normal_path
from meshwise.proxy.routing import Extras, Rule


class InboundRules:
    """The limits in force, the most specific first; everything else about a request is as without one."""

    __slots__ = ("_rules", "limiters")

    def __init__(self, rules: list[tuple[Rule, Rule, str | None]], limiters: dict[str, Limiter]) -> None:
        self._rules = rules
        """What a policy matches, how such a request is treated, and whose it is."""
        self.limiters = limiters

    def rule_for(self, source: str, method: str, target: str, head: RequestHead | None = None) -> Rule | None:
        """Return how a request is treated that a limit applies to; ``None`` when none does."""
        path = normal_path(target)
        for match, rule, caller in self._rules:
            if caller in (None, source) and match.governs(method, path, head):
                return rule
        return None

    def describe(self) -> dict[str, dict[str, float]]:
        """Return what is under way, what may be and what was shed, by policy, for people to read."""
        return {
            name: {
                "in_flight": limiter.gate.in_flight,
                "limit": round(limiter.gate.share, 1),
                "shed": limiter.gate.refused,
            }
            for name, limiter in self.limiters.items()
            if limiter.gate is not None
        }


def build_inbound(
    snapshot: Snapshot,
    service: str,
    inbound: Policy,
    cluster: Cluster,
    *,
    known: dict[str, Limiter],
    shared: SharedCounts | None = None,
) -> InboundRules | None:
    """Return the limits that ``snapshot`` puts on calls to ``service``; ``None`` when there are none.

    ``inbound`` is the policy of everything else. Limiters in ``known`` whose policy says the same go on. With
    ``shared`` they count together with other workers.
    """
    policies = [p for p in snapshot.policies if p.limit is not None and p.match.service in (ANY, service)]
    if not policies:
        return None
    policies.sort(key=lambda policy: policy.match.specificity, reverse=True)
    limiters: dict[str, Limiter] = {}
    rules: list[tuple[Rule, Rule, str | None]] = []
    budget = cluster.budget(inbound)
    for policy in policies:
        assert policy.limit is not None
        limiter = known.get(policy.name)
        if limiter is None or limiter.params != policy.limit:
            limiter = Limiter(policy.limit, policy.name, shared)
        limiters[policy.name] = limiter
        treated = Rule(inbound, budget, Extras(limiter=limiter))
        rules.append((Rule(policy, budget), treated, policy.match.source))
    return InboundRules(rules, limiters)
