"""Questions about objectives that look back: suggestions and backtests, as the service and notebooks both ask them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from meshwise.analytics.load import Client
from meshwise.analytics.slo.backtest import Incident, PastAlert, Score, backtest, score
from meshwise.analytics.slo.history import read_past
from meshwise.analytics.slo.waits import Waits
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.reading import Reader
from meshwise.contracts.slo import Objective

MOST_OBJECTIVES: Final = 200
MOST_DAYS: Final = 366.0


@dataclass(frozen=True, slots=True)
class Backtest:
    """What would have fired between two moments, per objective and together, and how well it tells the incidents.

    ``objectives`` names what was tested. ``exact_since`` is from when on minutes were known; before it only hours.
    """

    start: datetime
    end: datetime
    exact_since: datetime
    objectives: tuple[str, ...]
    alerts: tuple[PastAlert, ...]
    incidents: tuple[Incident, ...]
    score: Score
    pages: Score
    """The score of pages alone."""


def run_backtest(
    client: Client,
    objectives: Sequence[Objective],
    incidents: Sequence[Incident],
    *,
    end: datetime,
    days: float,
    waits: Waits,
    min_bad: int,
    for_s: float,
    keep_s: float,
) -> Backtest:
    """Return which alerts of ``objectives`` would have fired in the ``days`` before ``end``.

    Raises:
        DocumentError: there is nothing to test, or too much at once.
    """
    if not objectives:
        raise DocumentError("documents", "there is no objective to test")
    if len(objectives) > MOST_OBJECTIVES:
        problem = f"{len(objectives)} objectives are too many at once: give the documents of at most {MOST_OBJECTIVES}"
        raise DocumentError("documents", problem)
    if not 0.01 <= days <= MOST_DAYS:
        raise DocumentError("days", f"{days:g} is outside 0.01 to {MOST_DAYS:g}")
    since = end - timedelta(days=days)
    past = read_past(client, objectives, since, end, now=end, waits=waits)
    alerts = sorted(
        (
            alert
            for one in objectives
            for alert in backtest(one, past, since, min_bad=min_bad, for_s=for_s, keep_s=keep_s)
        ),
        key=lambda alert: (alert.fired_at, alert.service, alert.objective),
    )
    judged = [one for one in incidents if one.end >= since and one.start <= end]
    return Backtest(
        start=since,
        end=end,
        exact_since=max(since, past.exact_since),
        objectives=tuple(one.name for one in objectives),
        alerts=tuple(alerts),
        incidents=tuple(judged),
        score=score(alerts, judged),
        pages=score([alert for alert in alerts if alert.severity == "page"], judged),
    )


def read_incidents(listed: object) -> tuple[Incident, ...]:
    """Return incidents from documents with ``start`` and ``end``, and perhaps ``service`` and ``title``.

    Raises:
        DocumentError: one is wrong.
    """
    if not isinstance(listed, list | tuple):
        raise DocumentError("incidents", "must be a list")
    found = []
    for position, item in enumerate(listed):
        reader = Reader(item, f"incidents[{position}]")
        begin, end = (_moment(reader.take_text(key, longest=64), reader.at(key)) for key in ("start", "end"))
        service, title = reader.take_text("service", ""), reader.take_text("title", "")
        reader.finish()
        if end < begin:
            raise DocumentError(reader.at("end"), "lies before start")
        found.append(Incident(begin, end, service, title))
    return tuple(found)


def _moment(text: str, path: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DocumentError(path, f"{text[:40]!r} is not a time such as 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise DocumentError(path, "needs a time zone, such as 2026-01-31T12:00:00Z")
    return moment
