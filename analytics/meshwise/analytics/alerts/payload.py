"""Alertmanager webhook documents, version 4: what a receiver of Alertmanager's understands without a change.

Changes of one moment are grouped by service; the group carries every alert of that service which is still firing, so a
receiver that missed one message is whole after the next. Texts of telemetry are cut, control characters removed, and
they stay plain text: a receiver that renders markup must escape them, as for any alert.
source: prometheus/alertmanager notify/webhook and template packages.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from meshwise.analytics.alerts.lifecycle import Alert, Alerts, Change
from meshwise.contracts.rows import AnomalyFinding, ProposalFinding

MAX_TEXT: Final = 500
"""Longest label or annotation, in characters; longer ones end in an ellipsis."""
MAX_BODY_BYTES: Final = 20_000
"""What Standard Webhooks advises; alerts that do not fit are counted in ``truncatedAlerts``."""
_NEVER: Final = "0001-01-01T00:00:00Z"
"""Go's zero time: how Alertmanager writes that an alert has not ended."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is known about a service besides its alerts."""

    cause: AnomalyFinding | None = None
    proposal: ProposalFinding | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """One document to deliver. ``id`` is the same whenever the same changes are told again."""

    id: str
    body: bytes


def notifications(
    changes: Iterable[Change], alerts: Alerts, contexts: Mapping[str, Context], receiver: str, external_url: str
) -> tuple[Notification, ...]:
    """Return one document per service that has something to hear of, in order of its name."""
    told: dict[str, list[Alert]] = defaultdict(list)
    for change in changes:
        if change.notify:
            told[change.alert.service].append(change.alert)
    return tuple(
        _notification(
            service,
            changed,
            _still_firing(service, changed, alerts),
            contexts.get(service, Context()),
            receiver=receiver,
            external_url=external_url,
        )
        for service, changed in sorted(told.items())
    )


def _notification(
    service: str, changed: list[Alert], still: list[Alert], context: Context, *, receiver: str, external_url: str
) -> Notification:
    group = [_alert(alert, context, external_url) for alert in [*changed, *still]]
    moments = sorted(f"{alert.fingerprint} {alert.state} {_time(alert.started_at)}" for alert in changed)
    name = hashlib.sha256("\n".join(moments).encode()).hexdigest()[:32]
    shown = len(group)
    while True:
        document = _document(service, group, shown, receiver=receiver, external_url=external_url)
        body = json.dumps(document, ensure_ascii=False).encode()
        if len(body) <= MAX_BODY_BYTES or shown == 1:
            return Notification(f"msg_{name}", body)
        shown = max(1, shown * 3 // 4)


def _document(
    service: str, group: list[dict[str, Any]], shown: int, *, receiver: str, external_url: str
) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": f'{{}}:{{service="{_text(service)}"}}',
        "truncatedAlerts": len(group) - shown,
        "status": "firing" if any(alert["status"] == "firing" for alert in group) else "resolved",
        "receiver": receiver,
        "groupLabels": {"service": _text(service)},
        "commonLabels": _common([alert["labels"] for alert in group[:shown]]),
        "commonAnnotations": _common([alert["annotations"] for alert in group[:shown]]),
        "externalURL": external_url,
        "alerts": group[:shown],
    }


def _still_firing(service: str, changed: list[Alert], alerts: Alerts) -> list[Alert]:
    told = {alert.fingerprint for alert in changed}
    return [a for a in alerts.values() if a.service == service and a.state == "firing" and a.fingerprint not in told]


def _alert(alert: Alert, context: Context, external_url: str) -> dict[str, Any]:
    annotations = {"summary": _text(alert.summary)}
    if context.cause is not None:
        cause = context.cause
        edge = f"{cause.source} -> {cause.destination}"
        annotations["likely_cause"] = _text(f"{edge} (anomaly score {cause.score:.2f}): {cause.reason}")
    if context.proposal is not None:
        annotations["proposal"] = _text(context.proposal.sentence)
        annotations["proposal_id"] = _text(context.proposal.id)
    return {
        "status": "resolved" if alert.state == "resolved" else "firing",
        "labels": {
            "alertname": "ErrorBudgetBurn",
            "service": _text(alert.service),
            "objective": _text(alert.objective),
            "severity": alert.severity,
        },
        "annotations": annotations,
        "startsAt": _time(alert.started_at),
        "endsAt": _NEVER if alert.ended_at is None else _time(alert.ended_at),
        "generatorURL": external_url,
        "fingerprint": alert.fingerprint,
    }


def _common(groups: list[dict[str, str]]) -> dict[str, str]:
    first, rest = groups[0], groups[1:]
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in rest)}


def _text(text: str) -> str:
    cut = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    return "".join(character if character.isprintable() else " " for character in cut)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
