"""Messages for Slack's incoming webhooks: one per group, plain text beside the blocks.

What comes from telemetry is escaped as Slack asks, so that no service name can mention a channel or hide a link.
source: Slack, "Formatting text for app surfaces" and "Incoming webhooks".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meshwise.analytics.alerts.groups import Context, Group, annotations_of
from meshwise.analytics.alerts.lifecycle import Alert

MAX_SHOWN: Final = 10
"""Alerts that one message shows; the rest is counted."""
_MAX_BLOCK: Final = 2900


def slack_message(group: Group, contexts: Mapping[str, Context], external_url: str) -> dict[str, Any]:
    """Return the message of a group."""
    firing = sum(alert.state == "firing" for alert in group.alerts)
    where = escaped(", ".join(value for value in group.labels.values() if value)) or "the mesh"
    headline = f"{firing} firing for {where}" if firing else f"resolved for {where}"
    blocks: list[dict[str, Any]] = [_section(f"*{headline}*")]
    blocks += [_section(_line(alert, contexts.get(alert.service, Context()))) for alert in group.alerts[:MAX_SHOWN]]
    if len(group.alerts) > MAX_SHOWN:
        blocks.append(_section(f"and {len(group.alerts) - MAX_SHOWN} more"))
    blocks.append(_section(f"<{escaped(external_url)}|meshwise>"))
    return {"text": headline, "blocks": blocks}


def escaped(text: str) -> str:
    """Return ``text`` with the three characters that Slack gives a meaning replaced."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _line(alert: Alert, context: Context) -> str:
    said = annotations_of(alert, context)
    lines = [f"[{alert.state}] {alert.severity}: {escaped(said['summary'])}"]
    lines += [
        f"{title}: {escaped(said[key])}"
        for key, title in (("likely_cause", "likely cause"), ("proposal", "proposal"))
        if key in said
    ]
    return "\n".join(lines)


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:_MAX_BLOCK]}}
