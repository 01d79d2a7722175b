"""An endpoint's latency as a load balancer wants to know it: quick to rise, slow to be forgiven.

Peak EWMA. source: Finagle's PeakEwma and Linkerd's ``peak_ewma``. A sample above the average replaces it; one below
moves it with the weight ``1 - exp(-t / DECAY_S)``, ``t`` being the time since the last one. Asked in between, the
average decays in the same way towards zero, so that an endpoint nobody dares to call is tried again.
"""

from __future__ import annotations

from math import exp
from typing import Final

DECAY_S: Final = 10.0
UNKNOWN_S: Final = 1.0
"""What a busy endpoint without a sample is taken to need, so that a new one does not get everything at once."""
FAILURE_S: Final = 1.0
"""What a failed attempt counts as at least: to fail fast must not look like being fast."""


class PeakEwma:
    """The latency of one endpoint, in seconds; times are monotonic seconds."""

    __slots__ = ("_at", "_average")

    def __init__(self) -> None:
        self._average = 0.0
        self._at = 0.0

    def observe(self, latency: float, now: float, *, failed: bool) -> None:
        """Take one finished attempt."""
        if failed and latency < FAILURE_S:
            latency = FAILURE_S
        if latency >= self._average:
            self._average = latency
        else:
            weight = exp((self._at - now) / DECAY_S)
            self._average = self._average * weight + latency * (1.0 - weight)
        self._at = now

    def cost(self, active: int, now: float) -> float:
        """Return how long one more attempt may take beside ``active`` others: what is compared."""
        average = self._average * exp((self._at - now) / DECAY_S)
        if self._average == 0.0 and active:
            average = UNKNOWN_S
        return average * (active + 1)
