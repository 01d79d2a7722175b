"""One registered proxy, and when silence means that it is gone. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from meshwise.contracts.identity import TlsMode
from meshwise.contracts.snapshot import Endpoint

Status = Literal["pending", "applied", "rejected"]


@dataclass(frozen=True, slots=True)
class ProxyRecord:
    """What control knows of one proxy. Times are seconds since the epoch, UTC.

    ``snapshot_version`` is the newest snapshot the proxy said it applied, 0 before the first; ``status`` and ``reason``
    are its last answer, ``answered_version`` what it was given to. ``port`` 0 means that it takes no inbound traffic.
    """

    id: str
    service: str
    host: str
    port: int
    admin_port: int
    zone: str
    version: str
    registered_at: float
    last_seen: float
    alive: bool = True
    snapshot_version: int = 0
    answered_version: int = 0
    status: Status = "pending"
    reason: str = ""
    policies: Mapping[str, int] = field(default_factory=dict)
    tls: TlsMode = "off"
    weight: int = 1
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    secret_hash: str = field(default="", repr=False)
    """SHA-256 of the secret that this registration's proxy shows; control keeps no more of it."""

    @property
    def seen(self) -> Endpoint:
        """What other proxies are told of it."""
        labels = tuple(sorted(self.labels.items()))
        return Endpoint(self.id, self.host, self.port, self.zone, self.tls, self.weight, self.priority, labels)

    @property
    def endpoint(self) -> tuple[str, Endpoint, bool]:
        """What other proxies see of it: when this changes, snapshots change."""
        return (self.service, self.seen, self.alive)


def silent(proxies: Iterable[ProxyRecord], now: float, ttl_s: float, listening_since: float) -> list[ProxyRecord]:
    """Return the live proxies not heard of for ``ttl_s`` seconds in which control was able to hear.

    ``listening_since`` is when control last began to listen without a gap: silence before that is control's own.
    """
    return [p for p in proxies if p.alive and now - max(p.last_seen, listening_since) > ttl_s]


def forgotten(proxies: Iterable[ProxyRecord], now: float, forget_s: float) -> list[ProxyRecord]:
    """Return the dead proxies not heard of for ``forget_s`` seconds."""
    return [p for p in proxies if not p.alive and now - p.last_seen > forget_s]


def listening_since(before: float, *, wall_s: float, clock_s: float, now: float, tick_s: float) -> float:
    """Return since when control listens without a gap, given what passed since the last look by two clocks.

    ``wall_s`` is what the wall clock says passed, ``clock_s`` the monotonic one. After a pause (a stopped process, a
    sleeping machine) or a step of the wall clock, every proxy gets a fresh ``ttl_s``.
    """
    gap = max(wall_s, clock_s) > tick_s + 2.0 or abs(wall_s - clock_s) > 1.0
    return now if gap else before
