"""Minutes of the past, for backtests: as they were counted while they are kept, before that an hour's share each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np

from meshwise.analytics.load import Client
from meshwise.analytics.slo.backtest import STEP_S, Past, lookback_s
from meshwise.analytics.slo.counts import Floats, read_series
from meshwise.analytics.slo.ledger import MINUTES_KEPT_S
from meshwise.analytics.slo.waits import Waits
from meshwise.contracts.slo import Objective, Signal

_HOUR_S: Final = 3600
_DAY_S: Final = 86_400
_AT_ONCE: Final = 20


def read_past(
    client: Client, objectives: Sequence[Objective], since: datetime, end: datetime, *, now: datetime, waits: Waits
) -> Past:
    """Return what the rules of ``objectives`` look at between two moments."""
    back = max((lookback_s(one) for one in objectives), default=0.0)
    # Time slices are aligned with days of UTC.
    start = int(since.timestamp() - back) // _DAY_S * _DAY_S
    stop = int(end.timestamp()) // STEP_S * STEP_S
    kept = -(-int(now.timestamp() - MINUTES_KEPT_S) // _HOUR_S) * _HOUR_S
    border = min(max(start, kept), stop // _HOUR_S * _HOUR_S)
    signals = tuple(dict.fromkeys(_signals(objectives)))
    counts: dict[Signal, tuple[Floats, Floats]] = {}
    for first in range(0, len(signals), _AT_ONCE):
        chosen = signals[first : first + _AT_ONCE]
        old = read_series(client, chosen, start, border, step_s=_HOUR_S, waits=waits)
        new = read_series(client, chosen, border, stop, step_s=STEP_S, waits=waits)
        minutes = _HOUR_S // STEP_S
        for row, signal in enumerate(chosen):
            counts[signal] = (
                np.concatenate([np.repeat(old.good[row] / minutes, minutes), new.good[row]]),
                np.concatenate([np.repeat(old.total[row] / minutes, minutes), new.total[row]]),
            )
    return Past(start, counts, datetime.fromtimestamp(border, UTC))


def _signals(objectives: Iterable[Objective]) -> Iterable[Signal]:
    for one in objectives:
        yield from (part.objective.judges for part in one.parts) if one.parts else (one.judges,)
