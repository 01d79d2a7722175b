"""The audit of objectives from store to states, as the service and notebooks both run it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from meshwise.analytics.load import Client
from meshwise.analytics.slo.burndown import burn_downs
from meshwise.analytics.slo.evaluate import MIN_BAD_REQUESTS, ObjectiveState, evaluate
from meshwise.analytics.slo.ledger import Ledger
from meshwise.analytics.slo.objectives import ObjectiveDefaults, ObjectiveOverride, all_objectives
from meshwise.analytics.sql import load_sql
from meshwise.contracts.rows import BurnDownFinding
from meshwise.contracts.slo import Objective

_AGAIN_S: Final = 3600.0
"""How often the whole window is searched for services; in between, only what came since."""


class SloAudit:
    """Evaluates every objective of a mesh again and again; what it has counted it does not count again."""

    def __init__(
        self,
        client: Client,
        defaults: ObjectiveDefaults,
        overrides: Mapping[str, ObjectiveOverride],
        *,
        min_bad: int = MIN_BAD_REQUESTS,
        wait_s: float = 5.0,
    ) -> None:
        self._client = client
        self._defaults = defaults
        self._overrides = overrides
        self._min_bad = min_bad
        self._services: set[str] = set()
        self._searched_at: datetime | None = None
        self.ledger = Ledger(client, wait_s)
        self.objectives: tuple[Objective, ...] = ()
        self._drawn: dict[Objective, int] = {}

    def run(
        self, documents: Mapping[str, tuple[Objective, ...]], end: datetime, now: datetime
    ) -> tuple[ObjectiveState, ...]:
        """Return the state of every objective over windows that end at ``end``.

        ``documents`` maps the name of each SLO document to what it promises. Services without one have the default
        objectives when they were called in their window, or are named in settings.
        """
        self._find_services(end)
        objectives = all_objectives(documents, {*self._services, *self._overrides}, self._defaults, self._overrides)
        self.ledger.update(objectives, end)
        self.objectives = objectives
        notes: dict[str, str] = {}
        for one in objectives:
            signals = [part.objective.judges for part in one.parts] or [one.judges]
            if note := self.ledger.waits.note(signals):
                notes[one.name] = note
        return evaluate(objectives, self.ledger, end, now=now, min_bad=self._min_bad, notes=notes)

    def burn_downs(self, end: datetime, now: datetime) -> tuple[BurnDownFinding, ...]:
        """Return the course of the budgets last evaluated: of every one once an hour, of new ones at once."""
        hour = int(end.timestamp() // _AGAIN_S)
        due = tuple(one for one in self.objectives if self._drawn.get(one) != hour)
        self._drawn = dict.fromkeys(self.objectives, hour)
        return burn_downs(due, self.ledger, end, now)

    def _find_services(self, end: datetime) -> None:
        last = self._searched_at
        all_again = last is None or not 0.0 <= (end - last).total_seconds() < _AGAIN_S
        lengths = [override.window_s or 0.0 for override in self._overrides.values()]
        since = end.timestamp() - (max([self._defaults.window_s, *lengths]) if all_again else 2 * _AGAIN_S)
        found = {
            row[0]
            for row in self._client.query(
                load_sql("called_services"), parameters={"since": max(0, int(since))}
            ).result_rows
        }
        self._services = found if all_again else self._services | found
        self._searched_at = end if all_again else last
