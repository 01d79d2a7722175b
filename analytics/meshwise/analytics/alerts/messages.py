"""What one receiver is sent, in the form it understands."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshwise.analytics.alerts import cloudevents
from meshwise.analytics.alerts.cloudevents import cloud_event
from meshwise.analytics.alerts.groups import (
    Context,
    Group,
    annotations_of,
    group_changes,
    labels_of,
    message_id,
    written,
)
from meshwise.analytics.alerts.lifecycle import Alert, Alerts, Change
from meshwise.analytics.alerts.pagerduty import pagerduty_event
from meshwise.analytics.alerts.payload import api_alerts, webhook_document
from meshwise.analytics.alerts.slack import slack_message
from meshwise.analytics.alerts.template import fill
from meshwise.analytics.settings import WebhookSettings

JSON_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Notification:
    """One document to deliver. ``id`` is the same whenever the same changes are told again."""

    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Telling:
    """How alerts are told: grouped ``by`` labels, to ``receivers`` (all names there are), with a link."""

    by: tuple[str, ...] = ("service",)
    receivers: Collection[str] = ("default",)
    external_url: str = ""


def messages_for(
    webhook: WebhookSettings, changes: Iterable[Change], alerts: Alerts, contexts: Mapping[str, Context], how: Telling
) -> tuple[Notification, ...]:
    """Return what ``webhook`` is to be sent about ``changes``, in order of their labels."""
    groups = group_changes(changes, alerts, how.by, webhook.name, how.receivers)
    return tuple(
        Notification(name, json.dumps(document, ensure_ascii=False).encode())
        for group in groups
        for name, document in _documents(webhook, group, contexts, how.external_url)
    )


def content_type_of(webhook: WebhookSettings) -> str:
    """Return the media type of what ``webhook`` is sent."""
    return cloudevents.CONTENT_TYPE if webhook.format == "cloudevents" else JSON_TYPE


def _documents(
    webhook: WebhookSettings, group: Group, contexts: Mapping[str, Context], url: str
) -> Iterable[tuple[str, Any]]:
    if webhook.format == "alertmanager":
        yield group.id, webhook_document(group, contexts, webhook.name, url)
    elif webhook.format == "alertmanager_api":
        yield group.id, api_alerts(group, contexts, url)
    elif webhook.format == "slack":
        yield group.id, slack_message(group, contexts, url)
    elif webhook.format == "cloudevents":
        yield group.id, cloud_event(group, webhook_document(group, contexts, webhook.name, url), url)
    else:
        for alert in group.changed:
            context = contexts.get(alert.service, Context())
            if webhook.format == "pagerduty":
                key = webhook.routing_key.get_secret_value() if webhook.routing_key else ""
                yield message_id([alert]), pagerduty_event(alert, context, key, url)
            else:
                yield message_id([alert]), fill(webhook.template, _values(alert, context, url))


def _values(alert: Alert, context: Context, url: str) -> dict[str, str]:
    return {
        **labels_of(alert),
        **annotations_of(alert, context),
        "status": "resolved" if alert.state == "resolved" else "firing",
        "started_at": written(alert.started_at),
        "ended_at": written(alert.ended_at) if alert.ended_at else "",
        "fingerprint": alert.fingerprint,
        "burn_long": f"{alert.burn_long:.2f}",
        "burn_short": f"{alert.burn_short:.2f}",
        "url": url,
    }
