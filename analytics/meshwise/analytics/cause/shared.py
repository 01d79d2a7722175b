"""What the bad attempts of an edge have in common: an endpoint, a version, a route that the good ones have not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from meshwise.analytics.load import Client
from meshwise.analytics.sql import load_sql
from meshwise.analytics.traces.calls import MAX_WEIGHT
from meshwise.analytics.world import EdgeKey

MIN_BAD: Final = 10
"""Fewest bad attempts, as many as were looked at, to see anything in."""
ALMOST_ALL: Final = 0.8
TWICE: Final = 1.5
"""How many times more often bad attempts have a value than all attempts, for it to be worth telling."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A value that most bad attempts have: shares 0-1 of the bad ones and of all."""

    attribute: str
    value: str
    of_bad: float
    of_all: float

    @property
    def sentence(self) -> str:
        """One clause for a person."""
        return f"{self.of_bad:.0%} of its bad attempts have {self.attribute} {self.value}, {self.of_all:.0%} of all do"


def shared(rows: Iterable[tuple[str, str, float, float, int]]) -> Shared | None:
    """Return the most telling value of ``rows``; ``None`` when none is.

    A row is attribute, value, attempts, bad attempts (both as many as the spans stand for) and bad spans looked at.
    """
    grouped: dict[str, list[tuple[str, float, float, int]]] = defaultdict(list)
    for attribute, value, attempts, bad, seen in rows:
        grouped[attribute].append((value, attempts, bad, seen))
    found = []
    for attribute, values in sorted(grouped.items()):
        total, bad = sum(value[1] for value in values), sum(value[2] for value in values)
        if sum(value[3] for value in values) < MIN_BAD:
            continue
        name, attempts, worst, _ = max(values, key=lambda value: (value[2], value[0]))
        one = Shared(attribute, name, worst / bad, attempts / total)
        if one.of_bad >= ALMOST_ALL and one.of_bad >= TWICE * one.of_all:
            found.append(one)
    return max(found, key=lambda one: one.of_bad / one.of_all, default=None)


def read_shared(client: Client, edge: EdgeKey, start: datetime, end: datetime, slow_s: float = 3600.0) -> Shared | None:
    """Return what the bad attempts of ``edge`` have in common in a window; those slower than ``slow_s`` are bad too."""
    parameters = {
        "source": edge.source,
        "destination": edge.destination,
        "start": int(start.timestamp()),
        "end": int(end.timestamp()),
        "slow_ns": int(slow_s * 1e9),
        "max_weight": MAX_WEIGHT,
    }
    return shared(client.query(load_sql("cause_shared"), parameters=parameters).result_rows)
