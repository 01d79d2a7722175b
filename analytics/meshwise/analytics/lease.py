"""Who acts when several of these processes run over one store: alerts, proposals and verdicts are made by one of them.

A store of columns has no locks. So every process notes each cycle that it is there, and since when; the one that has
been there longest, of those heard of lately, leads. Nobody leads in the cycle in which it came, since one that came
at the same moment may not be seen yet. All times are the store's own.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from meshwise.analytics.sql import load_sql

LOST_AFTER: Final = 4.0
"""Cycles after which one that is not heard of any more is gone."""
LEAST_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Sign:
    """One process: when it came, in Unix milliseconds of the store, and for how many seconds it was not heard of."""

    holder: str
    since_ms: int
    silent_s: float
    gone: bool = False


class Commands(Protocol):
    """What a lease needs of a client of the store."""

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        """Run ``query`` and return a result with ``result_rows``."""

    def command(self, cmd: str, parameters: dict[str, Any]) -> Any:
        """Run a statement."""


def leader(signs: Sequence[Sign], lost_s: float) -> str:
    """Return who leads, empty when nobody is heard of."""
    there = [one for one in signs if not one.gone and one.silent_s <= lost_s]
    return min(there, key=lambda one: (one.since_ms, one.holder)).holder if there else ""


class Lease:
    """This process's part in it; ``leads`` is what the last ``renew`` found."""

    def __init__(self, client: Commands, cycle_s: float, holder: str = "") -> None:
        self._client = client
        self._lost_s = max(LEAST_S, LOST_AFTER * cycle_s)
        self.holder = holder or uuid.uuid4().hex
        self.leads = False
        self._known = False

    def renew(self) -> bool:
        """Note that this process is there, and return whether it leads."""
        signs = self._signs()
        mine = next((one for one in signs if one.holder == self.holder), None)
        # One that was lost, as after a long pause, comes anew and queues up behind the others.
        known = self._known and mine is not None and mine.silent_s <= self._lost_s and not mine.gone
        self._note(mine.since_ms if known and mine is not None else 0)
        self._known = True
        self.leads = known and leader(signs, self._lost_s) == self.holder
        return self.leads

    def release(self) -> None:
        """Say that this process is gone, so that another need not wait."""
        if self._known:
            self._note(0, gone=True)
        self._known = self.leads = False

    def _note(self, since_ms: int, *, gone: bool = False) -> None:
        parameters = {"holder": self.holder, "since_ms": since_ms, "gone": gone}
        self._client.command(load_sql("lease_note"), parameters=parameters)

    def _signs(self) -> list[Sign]:
        found = self._client.query(load_sql("lease_signs"), parameters={"back_s": int(4 * self._lost_s)})
        return [Sign(row[0], int(row[1]), float(row[2]), bool(row[3])) for row in found.result_rows]
