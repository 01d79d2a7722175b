"""PagerDuty's Events API v2: one event per alert, which opens an incident or resolves it.

source: PagerDuty, Events API v2, "Send an alert event".
"""

from __future__ import annotations

from typing import Any, Final

from meshwise.analytics.alerts.groups import Context, annotations_of, clean, labels_of, written
from meshwise.analytics.alerts.lifecycle import Alert

MAX_SUMMARY: Final = 1024
_SEVERITIES: Final = {"page": "critical", "ticket": "warning"}


def pagerduty_event(alert: Alert, context: Context, routing_key: str, external_url: str) -> dict[str, Any]:
    """Return the event of one alert; its fingerprint ties the end to the beginning."""
    if alert.state == "resolved":
        return {"routing_key": routing_key, "event_action": "resolve", "dedup_key": alert.fingerprint}
    said = annotations_of(alert, context)
    return {
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": alert.fingerprint,
        "payload": {
            "summary": clean(alert.summary, MAX_SUMMARY),
            "source": clean(alert.service) or "unknown",
            "severity": _SEVERITIES.get(alert.severity, "error"),
            "timestamp": written(alert.started_at),
            "component": clean(alert.service),
            "group": clean(alert.objective),
            "class": alert.labels["alertname"],
            "custom_details": {**labels_of(alert), **said},
        },
        "client": "meshwise",
        "client_url": external_url,
        "links": [{"href": external_url, "text": "meshwise"}],
    }
