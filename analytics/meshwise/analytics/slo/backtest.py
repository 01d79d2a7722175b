"""Which alerts would have fired in the past, and how many of them were worth it.

The same rules, guard and life of an alert as for the present, minute by minute over what was counted; incidents that
people marked tell the good alerts from the false ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meshwise.analytics.slo.counts import Floats
from meshwise.analytics.slo.measure import slice_values
from meshwise.analytics.slo.trickle import is_trickle
from meshwise.contracts.slo import BurnRule, Objective, Signal

STEP_S: Final = 60
_HOUR_S: Final = 3600
_YES, _NO, _UNKNOWN = 1, 0, -1
States = NDArray[np.int8]
"""Per minute: 1 when breached, 0 when not, -1 when it cannot be known."""


@dataclass(frozen=True, slots=True)
class Past:
    """Good and judged requests of signals per minute from ``start``, Unix seconds and the begin of a day of UTC.

    Before ``exact_since`` a minute is its share of the hour.
    """

    start: int
    counts: Mapping[Signal, tuple[Floats, Floats]]
    exact_since: datetime


@dataclass(frozen=True, slots=True)
class PastAlert:
    """An alert that would have fired; ``resolved_at`` is ``None`` when it still would."""

    service: str
    objective: str
    severity: str
    policy: str
    fired_at: datetime
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True)
class Incident:
    """What people marked as an incident, of one service or of all (empty)."""

    start: datetime
    end: datetime
    service: str = ""
    title: str = ""

    def concerns(self, alert: PastAlert) -> bool:
        """Tell whether ``alert`` was about this incident: of its service, and firing while it lasted."""
        ended = alert.resolved_at or datetime.max.replace(tzinfo=UTC)
        return self.service in ("", alert.service) and alert.fired_at <= self.end and ended >= self.start


@dataclass(frozen=True, slots=True)
class Score:
    """Of the alerts, the share that was about an incident; of the incidents, the share that was told (0-1 each).

    ``None`` where there is nothing to divide by. ``delays_s`` holds, per incident in order, how long after its begin
    the first alert about it fired, in seconds; ``None`` when none did.
    """

    precision: float | None
    recall: float | None
    delays_s: tuple[float | None, ...]


def score(alerts: Sequence[PastAlert], incidents: Sequence[Incident]) -> Score:
    """Return how well ``alerts`` tell ``incidents``."""
    useful = [alert for alert in alerts if any(incident.concerns(alert) for incident in incidents)]
    delays = []
    for incident in incidents:
        fired = [alert.fired_at for alert in alerts if incident.concerns(alert)]
        delays.append(max(0.0, (min(fired) - incident.start).total_seconds()) if fired else None)
    return Score(
        len(useful) / len(alerts) if alerts and incidents else None,
        sum(delay is not None for delay in delays) / len(delays) if delays else None,
        tuple(delays),
    )


def lookback_s(objective: Objective) -> float:
    """Return how far before the first minute the rules of ``objective`` look, in seconds."""
    slices = objective.slices.seconds if objective.slices else 0.0
    return max((rule.long_s for rule in objective.rules), default=0.0) + slices + _HOUR_S


def backtest(
    objective: Objective, past: Past, since: datetime, *, min_bad: int, for_s: float, keep_s: float
) -> tuple[PastAlert, ...]:
    """Return the alerts of ``objective`` that would have fired since a moment, the earliest first."""
    named: dict[tuple[str, str], States] = {}
    rates = {seconds: _rates(objective, past, seconds) for rule in objective.rules for seconds in _lengths(rule)}
    policies = objective.policies or (None,) * len(objective.rules)
    patience: dict[tuple[str, str], float] = {}
    for rule, policy in zip(objective.rules, policies, strict=True):
        key = (rule.severity, policy.name if policy else "")
        patience[key] = for_s if rule.for_s is None else rule.for_s
        if policy is not None and not policy.when_breaching:
            states = np.zeros(len(rates[rule.long_s].burn), dtype=np.int8)
        else:
            states = _states(rule, rates[rule.long_s], rates[rule.short_s], min_bad)
        if policy is not None and policy.when_no_data:
            states = np.where(rates[rule.long_s].total <= 0, _YES, states).astype(np.int8)
        named[key] = _worst(named[key], states) if key in named else states
    if not objective.policies and objective.rules:
        slowest = max(objective.rules, key=lambda rule: rule.long_s)
        key = (slowest.severity, "")
        named[key] = _worst(named[key], _trickles(objective, past, slowest, rates[slowest.long_s], min_bad))
    found = []
    for (severity, policy_name), states in named.items():
        first = max(0, int(since.timestamp() - past.start) // STEP_S)
        for fired, resolved in alerts_over(states[first:], patience[severity, policy_name], keep_s):
            begin, end = (_moment(past, first + place) if place is not None else None for place in (fired, resolved))
            if begin is not None:
                found.append(PastAlert(objective.service, objective.name, severity, policy_name, begin, end))
    return tuple(sorted(found, key=lambda alert: (alert.fired_at, alert.severity)))


def alerts_over(states: States, for_s: float, keep_s: float) -> Iterable[tuple[int, int | None]]:
    """Yield at which minutes an alert would have fired and resolved; as ``alerts.lifecycle`` does it, step by step."""
    breaches, place, minutes = np.flatnonzero(states == _YES), 0, len(states)
    while True:
        later = np.searchsorted(breaches, place)
        if later >= len(breaches):
            return
        opened = last = place = int(breaches[later])
        fired: int | None = None
        while True:
            if place >= minutes:
                if fired is not None:
                    yield fired, None
                return
            state = states[place]
            if state == _YES:
                last = place
                # An alert is pending for one evaluation at least.
                if fired is None and place > opened and (place - opened) * STEP_S >= for_s:
                    fired = place
            elif state == _NO and (fired is None or (place - last) * STEP_S >= keep_s):
                if fired is not None:
                    yield fired, place
                break
            place += 1


@dataclass(frozen=True, slots=True)
class _Rates:
    """Per minute, over one length of window that ends with it: burn rate, what was counted, and bad requests."""

    burn: Floats
    total: Floats
    bad: Floats


def _lengths(rule: BurnRule) -> tuple[float, float]:
    return rule.long_s, rule.short_s


def _rates(objective: Objective, past: Past, seconds: float) -> _Rates:
    if objective.parts:
        parts = [(part.weight, _rates(part.objective, past, seconds)) for part in objective.parts]
        weights = sum(weight for weight, _ in parts)
        return _Rates(
            sum((weight * one.burn for weight, one in parts), np.zeros(1)) / weights,
            sum((one.total for _, one in parts), np.zeros(1)),
            sum((one.bad for _, one in parts), np.zeros(1)),
        )
    good, total = past.counts[objective.judges]
    window = max(1, round(seconds / STEP_S))
    bad_requests = _rolling(total - good, window)
    if objective.slices:
        per_slice = int(objective.slices.seconds) // STEP_S
        values, counted = _sliced(objective, good, total, per_slice)
        slices = max(1, round(seconds / objective.slices.seconds))
        every = _rolling(counted, slices), _rolling(counted - values, slices)
        # A slice is judged when it is over, and its verdict stands until the next one is.
        all_, bad = (np.repeat(np.concatenate([[0.0], one]), per_slice)[1 : len(total) + 1] for one in every)
    else:
        all_, bad = _rolling(total, window), bad_requests
    burn = np.where(all_ > 0, bad / np.maximum(all_, 1e-9), 0.0) / objective.budget
    return _Rates(burn, all_, bad_requests)


def _sliced(objective: Objective, good: Floats, total: Floats, per_slice: int) -> tuple[Floats, Floats]:
    whole = len(total) // per_slice
    slice_good, slice_total = (one[: whole * per_slice].reshape(whole, per_slice).sum(axis=1) for one in (good, total))
    counted = (slice_total > 0).astype(np.float64)
    values = np.zeros(whole)
    assert objective.slices is not None  # asked for by the caller
    values[slice_total > 0] = slice_values(objective.slices, slice_good, slice_total)
    return values, counted


def _states(rule: BurnRule, long: _Rates, short: _Rates, min_bad: int) -> States:
    slack = 1e-9 * rule.factor
    past_long, past_short = (
        one.burn >= rule.factor - slack if rule.inclusive else one.burn > rule.factor + slack for one in (long, short)
    )
    held = past_long & (np.round(long.bad) >= min_bad)
    states = np.where(held & past_short, _YES, _NO)
    return np.where(held & (short.total <= 0), _UNKNOWN, states).astype(np.int8)


def _trickles(objective: Objective, past: Past, rule: BurnRule, long: _Rates, min_bad: int) -> States:
    """Return the states of the trickle rule, looked at once an hour."""
    states = np.zeros(len(long.burn), dtype=np.int8)
    signals = [part.objective.judges for part in objective.parts] or [objective.judges]
    hourly = [tuple(_hours(one) for one in past.counts[signal]) for signal in signals]
    reach = max(1, round(rule.long_s / _HOUR_S))
    minutes = _HOUR_S // STEP_S
    for hour in range(1, len(states) // minutes + 1):
        now = hour * minutes - 1
        if long.burn[now] <= rule.factor or round(long.bad[now]) >= min_bad:
            continue
        windows = ((good[max(0, hour - reach) : hour], total[max(0, hour - reach) : hour]) for good, total in hourly)
        if any(is_trickle(good, total) for good, total in windows):
            states[now : now + minutes] = _YES
    return states


def _hours(values: Floats) -> Floats:
    minutes = _HOUR_S // STEP_S
    whole = len(values) // minutes
    sums: Floats = values[: whole * minutes].reshape(whole, minutes).sum(axis=1)
    return sums


def _worst(left: States, right: States) -> States:
    yes = (left == _YES) | (right == _YES)
    unknown = (left == _UNKNOWN) | (right == _UNKNOWN)
    return np.where(yes, _YES, np.where(unknown, _UNKNOWN, _NO)).astype(np.int8)


def _rolling(values: Floats, window: int) -> Floats:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    found: Floats = sums[ends] - sums[np.maximum(0, ends - window)]
    return np.maximum(found, 0.0)


def _moment(past: Past, minute: int) -> datetime:
    # The state of a minute is known when it is over.
    return datetime.fromtimestamp(past.start + (minute + 1) * STEP_S, UTC)
