"""CloudEvents 1.0 in structured mode; the data is Alertmanager's webhook document.

source: cloudevents/spec, "CloudEvents" and "JSON Event Format".
"""

from __future__ import annotations

from typing import Any, Final

from meshwise.analytics.alerts.groups import Group, clean, written

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"


def cloud_event(group: Group, document: dict[str, Any], external_url: str) -> dict[str, Any]:
    """Return the event that tells of ``group``; ``document`` is its webhook document."""
    latest = max(alert.ended_at or alert.started_at for alert in group.changed)
    return {
        "specversion": "1.0",
        "id": group.id,
        "source": external_url or "/meshwise/analytics",
        "type": f"io.meshwise.alerts.{group.status}",
        "subject": clean(group.key),
        "time": written(latest),
        "datacontenttype": "application/json",
        "data": document,
    }
