"""What one policy's ``limit`` lets through, in order: the rate, then what is under way."""

from __future__ import annotations

import re
from math import ceil
from typing import Final

from meshwise.contracts.policy import Limit, Priority
from meshwise.proxy.errors import Overloaded, ProxyError, RateLimited
from meshwise.proxy.guard.bucket import Bucket, TokenBucket
from meshwise.proxy.guard.concurrency import Gate
from meshwise.proxy.guard.shared import SharedBucket, SharedCounts, key_of

MAX_SOURCES: Final = 1024
"""Callers with a bucket of their own; those that come after share one."""
SHED_RETRY_S: Final = 1
"""``Retry-After`` of a shed request, in seconds: the shortest that can be said."""
ALL: Final = ""
OTHERS: Final = "\0"

_URGENCY = re.compile(rb"(?:^|[,\s])u=([0-7])(?:[,;\s]|$)")


class Limiter:
    """The state of one ``limit``; kept from snapshot to snapshot as long as the policy says the same.

    With ``shared`` it is the state of all workers together, who find it by the policy's ``name`` and what it says.
    """

    __slots__ = ("_buckets", "_name", "_shared", "gate", "params")

    def __init__(self, params: Limit, name: str = "", shared: SharedCounts | None = None) -> None:
        self.params = params
        self._shared = shared
        self._name = f"{name} {params}"
        self.gate = None
        if params.max_concurrency is not None:
            key = key_of("gate", self._name) if shared is not None else 0
            self.gate = Gate(params.max_concurrency, adaptive=params.adaptive, shared=shared, key=key)
        self._buckets: dict[str, Bucket] = {}

    def enter(self, source: str, priority: bytes, now: float) -> ProxyError | None:
        """Let a request in, or return the answer that refuses it; ``priority`` is its ``Priority`` field."""
        params = self.params
        if params.requests_per_second is not None:
            wait = self._bucket(source, params.requests_per_second, now).take(now)
            if wait > 0.0:
                who = f"{source} sends" if params.per == "source" else "there are"
                error = RateLimited(f"{who} more than {params.requests_per_second:g} requests a second")
                error.retry_after_s = ceil(wait)
                return error
        if self.gate is not None and not self.gate.enter(params.priority or priority_of(priority)):
            shed = Overloaded(f"{self.gate.in_flight} requests are under way, as many as may be")
            shed.retry_after_s = SHED_RETRY_S
            return shed
        return None

    def leave(self, began: float, now: float) -> None:
        """A request that was let in at ``began`` has ended."""
        if self.gate is not None:
            self.gate.leave(now - began, now)

    def _bucket(self, source: str, rate: float, now: float) -> Bucket:
        key = source if self.params.per == "source" else ALL
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= MAX_SOURCES and key != OTHERS:
                return self._bucket_of(OTHERS, rate, now)
            bucket = self._bucket_of(key, rate, now)
        return bucket

    def _bucket_of(self, key: str, rate: float, now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            burst = self.params.burst or max(1, ceil(rate))
            if self._shared is None:
                bucket = TokenBucket(rate, burst, now)
            else:
                bucket = SharedBucket(self._shared, key_of("bucket", self._name, key), rate, burst)
            self._buckets[key] = bucket
        return bucket


def priority_of(field: bytes) -> Priority:
    """Return the class of a ``Priority`` field: urgency 0 to 2 is high, 3 and 4 normal, 5 to 7 low.

    Source: RFC 9218 §4.1; a request without one has urgency 3.
    """
    found = _URGENCY.search(field)
    urgency = int(found[1]) if found is not None else 3
    if urgency <= 2:
        return "high"
    return "normal" if urgency <= 4 else "low"
