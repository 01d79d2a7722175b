"""How much one tenant may send, so that no other waits for it: requests and bytes a second, and memory in flight.

A meter is a bucket that refills evenly. What a request weighs is known only when it has been read, so a request passes
while one is left, and may overdraw; the next one waits until that is made good. Over any time a tenant thus gets
its rate, its burst, and at most one request more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from meshwise.collector.admission import MemoryLimit
from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.settings import CollectorSettings

_ONE: Final = 1.0 - 1e-6  # adding up small refills never quite reaches a whole one


class Meter:
    """A bucket of ``rate`` a second that holds ``burst_s`` seconds' worth; a rate of 0 has no limit.

    Times (``now``) are seconds of a monotonic clock.
    """

    def __init__(self, rate: float, burst_s: float) -> None:
        self._rate = rate
        self._size = max(1.0, rate * burst_s)
        self._left = self._size
        self._at: float | None = None

    def wait(self, now: float) -> float:
        """Return the seconds until one is left, a request or a byte; 0 when it is."""
        if not self._rate:
            return 0.0
        if self._at is not None:
            self._left = min(self._size, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
        return 0.0 if self._left >= _ONE else (1.0 - self._left) / self._rate

    def spend(self, amount: float) -> None:
        """Take ``amount``, also when less is left."""
        self._left -= amount


@dataclass(frozen=True, slots=True)
class Quota:
    """What one tenant may send. ``memory`` bounds what its requests in flight may take."""

    tenant: str
    requests: Meter
    volume: Meter
    memory: MemoryLimit

    def admit(self, now: float) -> None:
        """Let a request in.

        Raises:
            RefusedError: too much came before it; it says how long to wait.
        """
        waits = {"requests": self.requests.wait(now), "bytes": self.volume.wait(now)}
        what, wait = max(waits.items(), key=lambda one: one[1])
        if wait > 0:
            raise RefusedError(
                Reason.QUOTA, f"tenant {self.tenant} sends more {what} a second than it may", retry_after_s=wait
            )
        self.requests.spend(1.0)


@dataclass(frozen=True, slots=True)
class Quotas:
    """Every tenant's, by name."""

    by_tenant: dict[str, Quota] = field(default_factory=dict)

    def of(self, tenant: str) -> Quota | None:
        """Return a tenant's quota; None for the mesh itself, which has none."""
        return self.by_tenant.get(tenant)


def quotas_of(settings: CollectorSettings) -> Quotas:
    """Return the quotas that the settings name; a tenant's own figures go before those for all."""

    def quotas() -> Iterable[Quota]:
        for tenant in settings.tenants:
            requests, volume = tenant.requests_per_s, tenant.bytes_per_s
            yield Quota(
                tenant.name,
                Meter(settings.tenant_requests_per_s if requests is None else requests, settings.tenant_burst_s),
                Meter(settings.tenant_bytes_per_s if volume is None else volume, settings.tenant_burst_s),
                MemoryLimit(round(settings.max_parse_bytes * settings.tenant_memory_share), settings.retry_after_s),
            )

    return Quotas({quota.tenant: quota for quota in quotas()})
