"""What a window is compared with: the hours before it, the same time on other days, what was flagged and deployed.

Everything is a function of the window alone, so that judging a past window again finds the same. Both worlds change
only every few minutes and are kept that long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.measures import Measures
from meshwise.analytics.load import BulkClient, load_days, load_world
from meshwise.analytics.sql import load_sql
from meshwise.analytics.tally import CLIENT
from meshwise.analytics.world import EdgeKey, Window, World
from meshwise.contracts.telemetry import SIDE_CLIENT, SIDE_SERVER
from meshwise.store.findings import utc

REFERENCE_BUCKET_S: Final = 240
"""Length of the buckets of the hours before; thirty of them are enough for a median."""
SEASON_SLOT_S: Final = 300
"""Length of the piece of each other day."""
DEPLOYS_S: Final = 3600
"""How far back deployments are looked for, in seconds."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deploy:
    """A version of a service or of a policy that was first seen at ``at``."""

    service: str
    version: str
    at: datetime


@dataclass(frozen=True, eq=False)
class History:
    """Everything but the window itself. Without any of it a window is compared with its own earlier part."""

    reference: Measures | None = None
    """The time before the window, in buckets of some minutes."""
    season: Measures | None = None
    """The same minutes on other days: a bucket per day, of which ``SEASON_SLOT_S`` were read."""
    flagged: Mapping[EdgeKey, Sequence[Window]] = field(default_factory=dict)
    """When edges were anomalous."""
    deploys: Sequence[Deploy] = ()
    """In order of time."""

    def learnt_from(self) -> object:
        """Return what is equal for histories from which the same is learnt."""
        ends = [(past.start, past.end) for past in (self.reference, self.season) if past is not None]
        touched = {
            (edge, window)
            for edge, windows in self.flagged.items()
            for window in windows
            for start, end in ends
            if window.start.timestamp() < end and window.end.timestamp() > start
        }
        return id(self.reference), id(self.season), frozenset(touched)


class HistoryReader:
    """Reads histories, and keeps what the next one shares with the last."""

    def __init__(self, client: BulkClient, config: AnomalyConfig) -> None:
        self._client = client
        self._config = config
        self._kept: dict[str, tuple[Window, Any]] = {}

    def read(self, world: World) -> History:
        """Return the history of ``world``'s window."""
        days, end = self._config.season_days, world.window.end
        # Nothing of the reference is younger than the window, so a fault that begins in it is not its own yardstick.
        before = _floored(world.window.start, REFERENCE_BUCKET_S)
        reference = Window(before - timedelta(seconds=self._config.reference_s), before)
        slot = _floored(end - timedelta(seconds=world.bucket_s), SEASON_SLOT_S)
        season = Window(slot - timedelta(days=max(days)), slot)
        minute = _floored(end, 60) + timedelta(seconds=60)
        lately = Window(minute - timedelta(seconds=DEPLOYS_S), minute)
        flagged = self._cached("flagged", season, lambda _: self._flagged_at(slot))
        # Where every caller reports, what callees counted is not even read.
        told = world.edge_tally.outcomes[:, CLIENT].any(axis=(1, 2)).all()
        sides = (SIDE_CLIENT,) if told else (SIDE_CLIENT, SIDE_SERVER)
        return History(
            reference=self._cached("reference", reference, lambda w: self._reference(w, sides)),
            season=self._cached("season", season, lambda w: self._season(w, sides)),
            flagged=_joined(flagged, self._flagged(reference.start, end)),
            deploys=[one for one in self._cached("deploys", lately, self._deploys) if one.at < end],
        )

    def _reference(self, window: Window, sides: Sequence[str]) -> Measures:
        return Measures.of(load_world(self._client, window, REFERENCE_BUCKET_S, sides=sides))

    def _season(self, window: Window, sides: Sequence[str]) -> Measures:
        days = self._config.season_days
        return Measures.of(load_days(self._client, window, days, SEASON_SLOT_S, sides=sides), SEASON_SLOT_S)

    def _cached(self, name: str, window: Window, load: Callable[[Window], T]) -> T:
        kept = self._kept.get(name)
        if kept is None or kept[0] != window:
            kept = self._kept[name] = (window, load(window))
        found: T = kept[1]
        return found

    def _flagged_at(self, slot: datetime) -> dict[EdgeKey, list[Window]]:
        """Return when edges were flagged in the same minutes as ``slot`` begins, on other days."""
        found: dict[EdgeKey, list[Window]] = {}
        for day in self._config.season_days:
            start = slot - timedelta(days=day)
            found = _joined(found, self._flagged(start, start + timedelta(seconds=SEASON_SLOT_S)))
        return found

    def _flagged(self, start: datetime, end: datetime) -> dict[EdgeKey, list[Window]]:
        parameters = {"start": start.timestamp(), "end": end.timestamp()}
        rows = self._client.query(load_sql("anomalies_flagged"), parameters=parameters).result_rows
        found: dict[EdgeKey, list[Window]] = {}
        for source, destination, first, last in rows:
            found.setdefault(EdgeKey(source, destination), []).append(Window(utc(first), utc(last)))
        return found

    def _deploys(self, window: Window) -> tuple[Deploy, ...]:
        parameters = {"start": int(window.start.timestamp()), "end": int(window.end.timestamp())}
        rows = self._client.query(load_sql("deploys"), parameters=parameters).result_rows
        return tuple(Deploy(service, version, utc(at)) for service, version, at in rows)


def _joined(
    one: Mapping[EdgeKey, Sequence[Window]], other: Mapping[EdgeKey, Sequence[Window]]
) -> dict[EdgeKey, list[Window]]:
    return {key: [*one.get(key, ()), *other.get(key, ())] for key in {**one, **other}}


def _floored(moment: datetime, seconds: int) -> datetime:
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, UTC)
