"""Alertmanager's documents: the webhook version 4 that its receivers understand, and the alerts its own API takes.

Texts of telemetry are cut, control characters removed, and they stay plain text: a receiver that renders markup must
escape them, as for any alert.
source: prometheus/alertmanager notify/webhook and template packages; api/v2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from meshwise.analytics.alerts.groups import Context, Group, annotations_of, labels_of, written
from meshwise.analytics.alerts.lifecycle import Alert

MAX_BODY_BYTES: Final = 20_000
"""What Standard Webhooks advises; alerts that do not fit are counted in ``truncatedAlerts``."""
NEVER: Final = "0001-01-01T00:00:00Z"
"""Go's zero time: how Alertmanager writes that an alert has not ended."""
_LASTS: Final = timedelta(days=30)
"""Alertmanager's API takes an alert without an end for over after five minutes unless it is sent again."""


def webhook_document(group: Group, contexts: Mapping[str, Context], receiver: str, external_url: str) -> dict[str, Any]:
    """Return the webhook document of a group, with as many alerts as fit."""
    alerts = [_alert(alert, contexts.get(alert.service, Context()), external_url) for alert in group.alerts]
    shown = len(alerts)
    while True:
        document = _document(group, alerts, shown, receiver=receiver, external_url=external_url)
        if shown == 1 or len(json.dumps(document, ensure_ascii=False).encode()) <= MAX_BODY_BYTES:
            return document
        shown = max(1, shown * 3 // 4)


def api_alerts(group: Group, contexts: Mapping[str, Context], external_url: str) -> list[dict[str, Any]]:
    """Return the changed alerts of a group as ``POST /api/v2/alerts`` of Alertmanager takes them."""
    return [
        {
            "labels": labels_of(alert),
            "annotations": annotations_of(alert, contexts.get(alert.service, Context())),
            "startsAt": written(alert.started_at),
            "endsAt": written(alert.ended_at or alert.started_at + _LASTS),
            "generatorURL": external_url,
        }
        for alert in group.changed
    ]


def _document(
    group: Group, alerts: Sequence[dict[str, Any]], shown: int, *, receiver: str, external_url: str
) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": group.key,
        "truncatedAlerts": len(alerts) - shown,
        "status": group.status,
        "receiver": receiver,
        "groupLabels": {name: value for name, value in labels_of(group.changed[0]).items() if name in group.labels},
        "commonLabels": _common([alert["labels"] for alert in alerts[:shown]]),
        "commonAnnotations": _common([alert["annotations"] for alert in alerts[:shown]]),
        "externalURL": external_url,
        "alerts": list(alerts[:shown]),
    }


def _alert(alert: Alert, context: Context, external_url: str) -> dict[str, Any]:
    return {
        "status": "resolved" if alert.state == "resolved" else "firing",
        "labels": labels_of(alert),
        "annotations": annotations_of(alert, context),
        "startsAt": written(alert.started_at),
        "endsAt": NEVER if alert.ended_at is None else written(alert.ended_at),
        "generatorURL": external_url,
        "fingerprint": alert.fingerprint,
    }


def _common(groups: list[dict[str, str]]) -> dict[str, str]:
    first, rest = groups[0], groups[1:]
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in rest)}
