"""Passive ejection: an endpoint that fails time after time rests for a while.

Arithmetic, per cluster of ``n`` endpoints:

- ``consecutive`` failures in a row, without a success in between, eject an endpoint.
- With ``failure_percent``, attempts and failures of each endpoint are counted in intervals that begin at multiples of
  ``interval`` seconds. A failure ejects when it is at least the ``min_requests``-th attempt of its interval and
  ``100 × failures >= failure_percent × attempts``, this one included.
- Its ``k``-th ejection lasts ``eject_base × k`` seconds, at most ``MAX_EJECTION_S``. ``k`` starts again from 1 when
  ten ``eject_base`` have passed since the last ejection ended.
- At most ``floor(n × max_eject_percent / 100)`` endpoints rest at once, but one always may when ``n`` is 2 or more.
- An ejected endpoint's counts start from zero when it comes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshwise.contracts.policy import Outlier

MAX_EJECTION_S: Final = 300.0
"""Longest rest. source: Envoy's max_ejection_time."""


class Health:
    """One endpoint's record with us."""

    __slots__ = ("bad", "ejected_until", "failures", "interval", "reason", "times", "total")

    def __init__(self) -> None:
        self.failures = 0
        self.ejected_until = 0.0
        self.times = 0
        self.interval = 0
        """Number of the interval that ``total`` attempts and ``bad`` ones of them belong to."""
        self.total = self.bad = 0
        self.reason = ""
        """Why it was ejected last."""

    def ejected(self, now: float) -> bool:
        """Tell whether the endpoint rests at ``now``."""
        return now < self.ejected_until

    def __repr__(self) -> str:
        return f"<Health {self.failures} failures in a row, ejected {self.times} times>"


def count(health: Health, params: Outlier, *, failed: bool, now: float) -> None:
    """Count one attempt's result for the share of failures; before ``observe`` of the same result."""
    interval = int(now / params.interval)
    if interval != health.interval:
        health.interval = interval
        health.total = health.bad = 0
    health.total += 1
    health.bad += failed


def observe(health: Health, peers: Iterable[Health], params: Outlier, *, failed: bool, now: float) -> bool:
    """Count one attempt's result; return whether the endpoint is ejected by it.

    ``peers`` is the health of every endpoint of the cluster, this one included.
    """
    if not failed:
        health.failures = 0
        return False
    health.failures += 1
    if now < health.ejected_until:
        return False
    reason = _why(health, params)
    if not reason:
        return False
    resting = total = 0
    for peer in peers:
        total += 1
        resting += now < peer.ejected_until
    if resting >= most_ejected(total, params):
        return False
    if now - health.ejected_until > 10 * params.eject_base:
        health.times = 0
    health.times += 1
    health.reason = reason
    health.failures = health.total = health.bad = 0
    health.ejected_until = now + min(params.eject_base * health.times, MAX_EJECTION_S)
    return True


def _why(health: Health, params: Outlier) -> str:
    """Return which rule is against the endpoint; empty when none is."""
    if health.failures >= params.consecutive:
        return f"{health.failures} failures in a row"
    share = params.failure_percent
    if share is None or health.total < params.min_requests or 100.0 * health.bad < share * health.total:
        return ""
    return f"{health.bad} of {health.total} attempts failed"


def most_ejected(total: int, params: Outlier) -> int:
    """How many of ``total`` endpoints may rest at once."""
    if total < 2:
        return 0
    return max(1, int(total * params.max_eject_percent / 100.0))
