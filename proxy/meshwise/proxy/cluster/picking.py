"""Which endpoint takes an attempt, where a policy or its endpoints ask for more than ``balancer`` does.

In this order

1. Subset: endpoints that have all of the policy's labels. None that has: there is no endpoint.
2. Priority: of the levels from 0 up, level ``p`` can carry ``min(1, 1.4 × available share)`` of the traffic; each
   level takes what those before it cannot carry, and the remainder is spread as the shares are when all levels
   together cannot carry everything. source: Envoy's priority levels with its overprovisioning factor.
3. Panic: when fewer than ``panic_percent`` of a level's endpoints are available, all of them are taken for available:
   too few would be overrun.
4. Zone: with ``zone_aware``, the caller's own zone alone, as long as ``panic_percent`` of its endpoints there are
   available.
5. Another endpoint than those tried before, if there is one.
6. The algorithm, with weights. A new endpoint's weight grows over ``slow_start`` seconds, from a tenth, as it does
   after an ejection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from meshwise.contracts.policy import Balance
from meshwise.proxy.cluster.cluster import EndpointState
from meshwise.proxy.cluster.hashing import HashRing, Maglev, hash64
from meshwise.proxy.http1.heads import RequestHead

OVERPROVISION: Final = 1.4
SLOWEST_SHARE: Final = 0.1
"""Share of its weight with which a new endpoint begins. source: Envoy's slow start."""


class Picker:
    """One policy's way to choose among the endpoints that one cluster has now; made anew when either changes.

    ``zone`` is the proxy's own.
    """

    __slots__ = (
        "_balance",
        "_even",
        "_hash_on",
        "_index",
        "_levels",
        "_maglev",
        "_owed",
        "_panic",
        "_ring",
        "_turn",
        "_zone",
        "endpoints",
    )

    def __init__(self, balance: Balance, endpoints: Sequence[EndpointState], zone: str) -> None:
        self._balance = balance
        self._zone = zone if balance.zone_aware else ""
        self._panic = balance.panic_percent / 100.0
        wanted = balance.subset
        self.endpoints = [e for e in endpoints if all(e.labels.get(key) == value for key, value in wanted)]
        self._levels = [
            [e for e in self.endpoints if e.priority == level] for level in sorted({e.priority for e in self.endpoints})
        ]
        self._hash_on = _hash_on(balance.hash_on)
        self._even = len({e.weight for e in self.endpoints}) <= 1 and balance.slow_start == 0.0
        self._owed: dict[str, float] = {}
        self._turn = 0
        self._index = {id(endpoint): index for index, endpoint in enumerate(self.endpoints)}
        names, weights = [e.id for e in self.endpoints], [e.weight for e in self.endpoints]
        self._ring = HashRing(names, weights) if balance.algorithm == "ring_hash" else None
        self._maglev = Maglev(names, weights) if balance.algorithm == "maglev" else None

    def pick(
        self, now: float, tried: Sequence[EndpointState], key: bytes, rng: Callable[[], float]
    ) -> EndpointState | None:
        """Return an endpoint, ``None`` when there is none; ``rng`` returns a number in [0, 1).

        ``key`` is what the policy hashes; without one a hashing policy picks at random.
        """
        if not self.endpoints:
            return None
        candidates = self._candidates(now, rng)
        if tried:
            candidates = [e for e in candidates if e not in tried] or candidates
        algorithm = self._balance.algorithm
        if key and (self._ring is not None or self._maglev is not None):
            return self._by_hash(hash64(key), candidates)
        if len(candidates) == 1:
            return candidates[0]
        if algorithm == "round_robin":
            return self._in_turn(candidates, now)
        if algorithm == "least_request":
            return self._better_of_two(candidates, now, rng, latency=False)
        if algorithm == "peak_ewma":
            return self._better_of_two(candidates, now, rng, latency=True)
        return candidates[self._draw(candidates, now, rng)]

    def key_of(self, head: RequestHead, peer: str) -> bytes:
        """Return what the policy hashes of a request from ``peer``; empty when the request has nothing of the kind."""
        what, name = self._hash_on
        if what == "header":
            return head.field(name)
        if what == "cookie":
            return head.cookie(name)
        return peer.encode() if what == "source" else b""

    # --- who may be picked ---

    def _candidates(self, now: float, rng: Callable[[], float]) -> list[EndpointState]:
        level = self._levels[0] if len(self._levels) == 1 else self._level(now, rng())
        awake = [e for e in level if not e.resting(now)]
        if len(awake) < self._panic * len(level) or not awake:
            awake = level
        if self._zone:
            local = [e for e in level if e.zone == self._zone]
            near = [e for e in awake if e.zone == self._zone]
            if near and len(near) >= self._panic * len(local):
                return near
        return awake

    def _level(self, now: float, draw: float) -> list[EndpointState]:
        loads = level_loads([sum(not e.resting(now) for e in level) / len(level) for level in self._levels])
        for level, load in zip(self._levels, loads, strict=True):
            draw -= load
            if draw < 0.0:
                return level
        return self._levels[-1]

    # --- who is ---

    def _weight(self, endpoint: EndpointState, now: float) -> float:
        window = self._balance.slow_start
        if window <= 0.0:
            return float(endpoint.weight)
        age = now - max(endpoint.since, endpoint.health.ejected_until)
        return endpoint.weight * min(1.0, max(SLOWEST_SHARE, age / window))

    def _draw(self, candidates: list[EndpointState], now: float, rng: Callable[[], float]) -> int:
        if self._even:
            return int(rng() * len(candidates))
        weights = [self._weight(e, now) for e in candidates]
        left = rng() * sum(weights)
        for index, weight in enumerate(weights):
            left -= weight
            if left < 0.0:
                return index
        return len(candidates) - 1

    def _better_of_two(
        self, candidates: list[EndpointState], now: float, rng: Callable[[], float], *, latency: bool
    ) -> EndpointState:
        one = candidates[self._draw(candidates, now, rng)]
        rest = [e for e in candidates if e is not one]
        other = rest[self._draw(rest, now, rng)]
        return one if self._cost(one, now, latency=latency) <= self._cost(other, now, latency=latency) else other

    def _cost(self, endpoint: EndpointState, now: float, *, latency: bool) -> float:
        if latency:
            return endpoint.latency.cost(endpoint.active, now)
        return (endpoint.active + 1) / self._weight(endpoint, now)

    def _in_turn(self, candidates: list[EndpointState], now: float) -> EndpointState:
        """Smooth weighted round robin, as nginx has it: everybody is owed their weight, the most owed is next."""
        self._turn += 1
        if self._even:
            return candidates[self._turn % len(candidates)]
        owed, total = self._owed, 0.0
        best = candidates[0]
        for endpoint in candidates:
            weight = self._weight(endpoint, now)
            total += weight
            owed[endpoint.id] = owed.get(endpoint.id, 0.0) + weight
            if owed[endpoint.id] > owed[best.id]:
                best = endpoint
        owed[best.id] -= total
        return best

    def _by_hash(self, key: int, candidates: list[EndpointState]) -> EndpointState:
        allowed = {self._index[id(endpoint)] for endpoint in candidates}
        found = -1
        if self._ring is not None:
            found = self._ring.find(key, allowed.__contains__)
        elif self._maglev is not None:
            found = self._maglev.find(key, allowed.__contains__)
        return self.endpoints[found] if found >= 0 else candidates[0]


def _hash_on(said: str | None) -> tuple[str, bytes]:
    what, _, name = (said or "").partition(":")
    return what, name.lower().encode() if what == "header" else name.encode()


def level_loads(available: Sequence[float]) -> list[float]:
    """Return the share of traffic of each priority level, from the share of its endpoints that are available."""
    health = [min(1.0, OVERPROVISION * share) for share in available]
    total = min(1.0, sum(health))
    if total == 0.0:
        return [1.0] + [0.0] * (len(health) - 1)
    loads, left = [], 1.0
    for share in health:
        load = min(left, share / total)
        loads.append(load)
        left -= load
    return loads


def needs_picker(balance: Balance, endpoints: Sequence[EndpointState]) -> bool:
    """Tell whether ``balancer`` alone would not do what is asked."""
    plain = Balance(algorithm=balance.algorithm)
    if balance != plain or balance.algorithm not in ("round_robin", "least_request"):
        return True
    return any(e.weight != 1 or e.priority for e in endpoints)
