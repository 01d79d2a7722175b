"""What the middleware lets through to its application, by the rules and the arithmetic of an inbound proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshwise.contracts.policy import Breaker, Match, Policy
from meshwise.contracts.snapshot import Snapshot
from meshwise.proxy.cluster.breaker import Load
from meshwise.proxy.cluster.cluster import Cluster
from meshwise.proxy.errors import AmbiguousPath, Overflow, ProxyError
from meshwise.proxy.guard.limiter import Limiter
from meshwise.proxy.http1.heads import RequestHead
from meshwise.proxy.inbound_rules import InboundRules, build_inbound
from meshwise.proxy.paths import is_ambiguous, unescaped_path
from meshwise.proxy.settings import ProxySettings


class Admission:
    """Who enters must leave. Limits come with snapshots; without any, only ``max_connections`` bounds what enters."""

    def __init__(self, settings: ProxySettings) -> None:
        self.counts: dict[str, int] = {}
        """Refusals by reason."""
        self._service = settings.service
        self._strict = settings.refuse_odd_paths
        self._load = Load()
        self._breaker = Breaker(max_requests=settings.max_connections)
        self._policy = Policy(name="inbound", match=Match(service=settings.service))
        self._cluster = Cluster(settings.service)
        self._rules: InboundRules | None = None

    def apply(self, snapshot: Snapshot) -> None:
        """Put in force what ``snapshot`` says about calls to this service."""
        known = {} if self._rules is None else self._rules.limiters
        self._rules = build_inbound(snapshot, self._service, self._policy, self._cluster, known=known)

    def refuse_path(self, target: str) -> None:
        """Let a path pass unless it could be read in more than one way and such paths are refused.

        Raises:
            AmbiguousPath: that is so.
        """
        if self._strict and is_ambiguous(unescaped_path(target)):
            raise AmbiguousPath("the path could be read in more than one way, and proxy.refuse_odd_paths is on")

    def enter(
        self, source: str, method: str, target: str, fields: Sequence[tuple[bytes, bytes]], now: float
    ) -> Limiter | None:
        """Let a request in; return what let it in and is to be given back to ``leave``.

        Raises:
            ProxyError: there is no room for it, and nothing is to be given back.
        """
        if self._load.admit_request(self._breaker) is not None:
            raise Overflow(f"too many requests to {self._service} are under way")
        if self._rules is None:
            return None
        head = RequestHead(method.encode("latin-1"), target.encode("latin-1"), 1)
        head.kept = b"".join([b"%b: %b\r\n" % field for field in fields])
        rule = self._rules.rule_for(source, method, target, head)
        if rule is None or rule.extras is None or rule.extras.limiter is None:
            return None
        refusal = rule.extras.limiter.enter(source, head.field(b"priority"), now)
        if refusal is not None:
            self._load.requests -= 1
            raise refusal
        return rule.extras.limiter

    def leave(self, limiter: Limiter | None, began: float, now: float) -> None:
        """A request that entered at ``began`` has ended."""
        self._load.requests -= 1
        if limiter is not None:
            limiter.leave(began, now)

    def count(self, refusal: ProxyError) -> None:
        """Count a refusal by its reason."""
        self.counts[refusal.reason] = self.counts.get(refusal.reason, 0) + 1

    def describe(self) -> Mapping[str, Any]:
        """Return what is under way, the limits and the refusals, as a proxy's statistics show its inbound side."""
        limits = {} if self._rules is None else {"limits": self._rules.describe()}
        return {"in_flight": self._load.requests, "events": dict(self.counts), **limits}
