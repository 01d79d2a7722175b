"""Recorded attempts as columns: one entry per CLIENT span of a proxy, whatever became of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from meshwise.analytics.load import Client
from meshwise.analytics.sql import load_sql
from meshwise.analytics.world import Window, World
from meshwise.contracts import telemetry

MAX_PER_ROUTE: Final = 30_000
"""Attempts of a route and method that are loaded at most: bounds memory, and is more than a proposal needs."""
MAX_ATTEMPTS: Final = 200_000
"""Attempts loaded in all."""

CENSORED: Final = (telemetry.OUTCOME_TIMEOUT, telemetry.OUTCOME_CANCELLED)
"""Outcomes that say how long an attempt lasted at least, not how long it would have taken."""

TextArray = npt.NDArray[np.str_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class AttemptKey(NamedTuple):
    """A caller, a callee and the route of the governing policy (empty when it names none)."""

    source: str
    destination: str
    route: str


@dataclass(frozen=True, eq=False)
class Attempts:
    """Equal-length columns, in order of ``start``. Durations are seconds, ``start`` Unix seconds, no cut is 0."""

    start: FloatArray
    duration: FloatArray
    cut: FloatArray
    """The attempt timeout in force."""
    ordinal: IntArray
    status: IntArray
    policy_version: IntArray
    final: BoolArray
    outcome: TextArray
    request_id: TextArray
    endpoint: TextArray
    instance: TextArray
    source: TextArray
    destination: TextArray
    route: TextArray
    method: TextArray
    hedge: BoolArray
    """True where the attempt was made beside a slow one, not after one that failed."""
    shadow: BoolArray
    """True where a candidate policy was evaluated beside the one in force."""
    load: FloatArray
    """Requests a second of the edge when it began, as proxies counted them; 0 where nobody counted."""

    @classmethod
    def from_columns(cls, **columns: npt.ArrayLike) -> Attempts:
        """Return attempts from array-likes by field name, sorted by time; most have defaults."""
        size = len(np.asarray(columns["start"]))
        order = np.argsort(np.asarray(columns["start"], dtype=np.float64), kind="stable")
        made: dict[str, Any] = {}
        for field in fields(cls):
            kind, default = _COLUMNS[field.name]
            values = columns.get(field.name)
            column = np.full(size, default) if values is None else np.asarray(values)
            if column.shape != (size,):
                raise ValueError(f"{field.name} has {column.shape}, not {size} entries")
            made[field.name] = column.astype(kind)[order]
        return cls(**made)

    def __len__(self) -> int:
        return len(self.start)

    def select(self, rows: BoolArray | IntArray) -> Attempts:
        """Return the attempts for which ``rows`` is true, or at these positions in this order."""
        return Attempts(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @property
    def censored(self) -> BoolArray:
        """True where the attempt was cut off before it ended."""
        return np.isin(self.outcome, CENSORED)

    @property
    def ok(self) -> BoolArray:
        """True where the attempt succeeded."""
        return np.asarray(self.outcome == telemetry.OUTCOME_OK)

    def counted(self, world: World) -> Attempts:
        """Return the attempts with the load that the rollups of ``world`` know at their times."""
        load = np.zeros(len(self))
        bucket = np.floor((self.start - world.window.start.timestamp()) / world.bucket_s).astype(np.int64)
        inside = (bucket >= 0) & (bucket < world.size)
        for edge, series in world.edges.items():
            mine = inside & (self.source == edge.source) & (self.destination == edge.destination)
            load[mine] = series.observed.rate[bucket[mine]]
        return replace(self, load=load)

    def groups(self) -> Iterator[tuple[AttemptKey, Attempts]]:
        """Yield the attempts of each edge and route, in order of their keys."""
        if not len(self):
            return
        keys = np.stack([self.source, self.destination, self.route], axis=1)
        unique, position = np.unique(keys, axis=0, return_inverse=True)
        for number, key in enumerate(unique):
            yield AttemptKey(*(str(part) for part in key)), self.select(position.reshape(-1) == number)


_COLUMNS: Final[dict[str, tuple[type, Any]]] = {
    "start": (np.float64, 0.0),
    "duration": (np.float64, 0.0),
    "cut": (np.float64, 0.0),
    "ordinal": (np.int64, 1),
    "status": (np.int64, 0),
    "policy_version": (np.int64, 0),
    "final": (np.bool_, True),
    "outcome": (np.str_, telemetry.OUTCOME_OK),
    "request_id": (np.str_, ""),
    "endpoint": (np.str_, ""),
    "instance": (np.str_, ""),
    "source": (np.str_, ""),
    "destination": (np.str_, ""),
    "route": (np.str_, ""),
    "method": (np.str_, "GET"),
    "hedge": (np.bool_, False),
    "shadow": (np.bool_, False),
    "load": (np.float64, 0.0),
}

_SELECTED: Final = (
    "start",
    "duration",
    "cut",
    "ordinal",
    "status",
    "policy_version",
    "final",
    "outcome",
    "request_id",
    "endpoint",
    "instance",
    "source",
    "destination",
    "route",
    "method",
    "hedge",
    "shadow",
)
"""Order of the columns of ``attempts.sql``."""


def load_attempts(client: Client, window: Window, *, max_per_route: int = MAX_PER_ROUTE) -> Attempts:
    """Return the attempts that ended in ``window``; of a route and method with more than ``max_per_route``, a sample.

    Whole requests are sampled, uniformly over the window. They come from the spans of proxies, so traces must be
    sampled fully or by request; a sample biased to slow or failed requests would bias every prediction.
    """
    result = client.query(
        load_sql("attempts"),
        parameters={
            "start": int(window.start.timestamp()),
            "end": int(window.end.timestamp()),
            "scope": telemetry.SCOPE,
            "outcome": telemetry.ATTEMPT_OUTCOME,
            "ordinal": telemetry.ATTEMPT_ORDINAL,
            "final": telemetry.ATTEMPT_FINAL,
            "cut": telemetry.TIMEOUT_ATTEMPT,
            "request_id": telemetry.REQUEST_ID,
            "endpoint": telemetry.ENDPOINT,
            "instance": telemetry.SERVICE_INSTANCE_ID,
            "policy_version": telemetry.POLICY_VERSION,
            "source": telemetry.SOURCE,
            "destination": telemetry.DESTINATION,
            "route": telemetry.HTTP_ROUTE,
            "method": telemetry.HTTP_REQUEST_METHOD,
            "status": telemetry.HTTP_RESPONSE_STATUS_CODE,
            "reason": telemetry.RETRY_REASON,
            "shadow_version": telemetry.SHADOW_VERSION,
            "max_per_route": max_per_route,
            "max_rows": MAX_ATTEMPTS,
        },
    )
    rows = result.result_rows
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_SELECTED)
    return Attempts.from_columns(**dict(zip(_SELECTED, columns, strict=True)))
