"""The life of an alert: pending → firing → resolved. Pure: state and evaluations in, new state and changes out.

1. A breach without an alert opens one: ``pending``.
2. A pending alert whose breach has lasted ``for_s`` is ``firing``; until then it was noise.
3. A pending alert whose breach ends is ``resolved`` at once, and nobody hears of it.
4. A firing alert stays while the breach lasts, while it cannot be known (``None``), and ``keep_s`` seconds beyond.
5. After that it is ``resolved``, and forgotten; a later breach is a new alert with the same fingerprint.
6. An alert whose objective is no longer evaluated counts as not breached.
7. People are told once that an alert fires: when it does, or when the silence over it ends. They are told that it
   resolved if they were told that it fired, silence or not: who opened an incident must be able to close it.

There is at most one alert per fingerprint, so evaluating twice, or again after a restart, repeats nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from meshwise.analytics.alerts.summary import summary_of
from meshwise.analytics.slo.evaluate import ObjectiveState, RuleState
from meshwise.contracts.rows import AlertFinding
from meshwise.contracts.slo import AlertRule, Severity

ALERT_NAME: Final = "ErrorBudgetBurn"
State = Literal["pending", "firing", "resolved"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds a breach must last before its alert fires, and an alert outlives its breach."""

    for_s: float = 10.0
    keep_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Whether one objective is breached at one severity; ``None`` when it cannot be known."""

    service: str
    objective: str
    severity: Severity
    breached: bool | None
    burn_long: float
    burn_short: float
    summary: str
    policy: AlertRule | None = None

    @property
    def fingerprint(self) -> str:
        """Stable name of the alert this would be: 16 hex digits."""
        return fingerprint(self.service, self.objective, self.severity, self.policy.name if self.policy else "")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert that is not over; ``breached_at`` is when its breach was last seen.

    ``notified`` tells that people know it fires, ``silence`` what keeps it quiet, ``targets`` which receivers it is
    for; none named means all.
    """

    fingerprint: str
    service: str
    objective: str
    severity: str
    state: State
    started_at: datetime
    breached_at: datetime
    burn_long: float
    burn_short: float
    summary: str
    ended_at: datetime | None = None
    policy: str = ""
    notified: bool = False
    silence: str = ""
    targets: tuple[str, ...] = ()
    tell_resolved: bool = True

    @property
    def labels(self) -> dict[str, str]:
        """What silences and groups go by."""
        named = {"service": self.service, "objective": self.objective, "severity": self.severity}
        return {"alertname": ALERT_NAME, **named, **({"policy": self.policy} if self.policy else {})}


@dataclass(frozen=True, slots=True)
class Change:
    """An alert that changed at ``at``; ``notify`` when people should hear of it."""

    at: datetime
    alert: Alert
    notify: bool

    def finding(self) -> AlertFinding:
        """Return the row that records this change."""
        alert = self.alert
        return AlertFinding(
            at=self.at,
            fingerprint=alert.fingerprint,
            service=alert.service,
            objective=alert.objective,
            severity=alert.severity,
            state=alert.state,
            started_at=alert.started_at,
            ended_at=alert.ended_at,
            burn_long=alert.burn_long,
            burn_short=alert.burn_short,
            summary=alert.summary,
            policy=alert.policy,
            notified=alert.notified,
            silence=alert.silence,
        )


Quiet = Callable[[Alert], str]
"""Returns the id of the silence over an alert, or nothing."""

Alerts = Mapping[str, Alert]
"""Alerts that are pending or firing, by fingerprint."""


def fingerprint(service: str, objective: str, severity: str, policy: str = "") -> str:
    """Return the stable name of an alert: 16 hex digits."""
    parts = (service, objective, severity, policy) if policy else (service, objective, severity)
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]


def step(
    alerts: Alerts,
    evaluations: Iterable[Evaluation],
    now: datetime,
    timing: Timing,
    quiet: Quiet = lambda _: "",
) -> tuple[Alerts, tuple[Change, ...]]:
    """Return the alerts that are open after ``evaluations`` at ``now``, and what changed, in order of fingerprint."""
    current = {evaluation.fingerprint: evaluation for evaluation in evaluations}
    open_alerts: dict[str, Alert] = {}
    changes: list[Change] = []
    for name in sorted({*alerts, *current}):
        before, evaluation = alerts.get(name), current.get(name)
        after = _open(evaluation, now) if before is None else _next(before, evaluation, now, timing)
        if after is None:
            continue
        after = replace(after, silence=quiet(after))
        fires = after.state == "firing" and not after.notified and not after.silence
        after = replace(after, notified=after.notified or fires)
        ends = after.state == "resolved" and after.notified and after.tell_resolved
        if after.state != "resolved":
            open_alerts[name] = after
        if before is None or fires or (before.state, before.silence) != (after.state, after.silence):
            changes.append(Change(now, after, fires or ends))
    return open_alerts, tuple(changes)


def _open(evaluation: Evaluation | None, now: datetime) -> Alert | None:
    if evaluation is None or not evaluation.breached:
        return None
    return Alert(
        fingerprint=evaluation.fingerprint,
        service=evaluation.service,
        objective=evaluation.objective,
        severity=evaluation.severity,
        state="pending",
        started_at=now,
        breached_at=now,
        burn_long=evaluation.burn_long,
        burn_short=evaluation.burn_short,
        summary=evaluation.summary,
        **_bound(evaluation),
    )


def _bound(evaluation: Evaluation) -> dict[str, Any]:
    policy = evaluation.policy
    if policy is None:
        return {}
    return {"policy": policy.name, "targets": policy.targets, "tell_resolved": policy.when_resolved}


def _next(alert: Alert, evaluation: Evaluation | None, now: datetime, timing: Timing) -> Alert:
    if evaluation is not None:
        alert = replace(alert, burn_long=evaluation.burn_long, burn_short=evaluation.burn_short, **_bound(evaluation))
        if evaluation.breached:
            alert = replace(alert, breached_at=now, summary=evaluation.summary)
            asked = evaluation.policy.rule.for_s if evaluation.policy else None
            due = now - alert.started_at >= timedelta(seconds=timing.for_s if asked is None else asked)
            return replace(alert, state="firing") if alert.state == "pending" and due else alert
        if evaluation.breached is None:
            return alert
    if alert.state == "firing" and now - alert.breached_at < timedelta(seconds=timing.keep_s):
        return alert
    return replace(alert, state="resolved", ended_at=now)


def evaluations_of(states: Iterable[ObjectiveState]) -> tuple[Evaluation, ...]:
    """Return one evaluation per objective and severity: that of its rule in the worst state; one per alert policy."""
    evaluations: list[Evaluation] = []
    for state in states:
        worst: dict[str, RuleState] = {}
        for rule in state.rules:
            name = f"policy {rule.policy.name}" if rule.policy else rule.rule.severity
            if name not in worst or _badness(rule) > _badness(worst[name]):
                worst[name] = rule
        evaluations += (
            Evaluation(
                service=state.objective.service,
                objective=state.objective.name,
                severity=rule.rule.severity,
                breached=rule.breached,
                burn_long=rule.burn_long,
                burn_short=rule.burn_short,
                summary=summary_of(state, rule),
                policy=rule.policy,
            )
            for rule in worst.values()
        )
    return tuple(evaluations)


def _badness(rule: RuleState) -> tuple[int, float]:
    return ({True: 2, None: 1, False: 0}[rule.breached], rule.burn_long / rule.rule.factor)
