"""Active health checks: what an endpoint's last answers say about it. Pure.

An endpoint is taken for healthy until it has failed ``unhealthy`` checks in a row, and again after ``healthy`` good
ones in a row. So a proxy that has just started sends requests at once, and one lost check changes nothing.
"""

from __future__ import annotations

from meshwise.contracts.policy import HealthCheck


class Checked:
    """One endpoint's record; ``healthy`` is the verdict."""

    __slots__ = ("_row", "healthy", "reason")

    def __init__(self) -> None:
        self.healthy = True
        self.reason = ""
        """What was wrong at the last check; empty when nothing was."""
        self._row = 0

    def take(self, params: HealthCheck, problem: str) -> bool:
        """Take one check's result, an empty ``problem`` being good; tell whether the verdict has changed."""
        self.reason = problem
        good = not problem
        if good == self.healthy:
            self._row = 0
            return False
        self._row += 1
        if self._row < (params.healthy if good else params.unhealthy):
            return False
        self._row = 0
        self.healthy = good
        return True
