"""Changes of one moment, grouped by labels: what one message is about.

A group carries every alert of its labels that is still firing, so a receiver that missed one message is whole after
the next. An alert is for the receivers that its policy names; where none of them exists any more, for all.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from meshwise.analytics.alerts.lifecycle import Alert, Alerts, Change
from meshwise.contracts.rows import ProposalFinding

if TYPE_CHECKING:
    from meshwise.analytics.cause.suspects import Suspect

MAX_TEXT: Final = 500
"""Longest label or annotation, in characters; longer ones end in an ellipsis."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is known about a service besides its alerts."""

    cause: Suspect | None = None
    proposal: ProposalFinding | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Alerts that share ``labels``: those that changed, and those that are still firing."""

    labels: Mapping[str, str]
    changed: tuple[Alert, ...]
    still: tuple[Alert, ...]

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """All of them, those that changed first."""
        return (*self.changed, *self.still)

    @property
    def status(self) -> str:
        """``firing`` while one of them is."""
        return "firing" if any(alert.state == "firing" for alert in self.alerts) else "resolved"

    @property
    def key(self) -> str:
        """How Alertmanager writes a group's name."""
        return "{}:{" + ", ".join(f'{name}="{clean(value)}"' for name, value in self.labels.items()) + "}"

    @property
    def id(self) -> str:
        """The same whenever the same changes are told again."""
        return message_id(self.changed)


def group_changes(
    changes: Iterable[Change], alerts: Alerts, by: Sequence[str], receiver: str, receivers: Collection[str]
) -> tuple[Group, ...]:
    """Return what ``receiver`` is to hear, in order of the labels ``by``; ``receivers`` are the names of all."""
    told: dict[tuple[str, ...], list[Alert]] = defaultdict(list)
    for change in changes:
        if change.notify and is_for(change.alert, receiver, receivers):
            told[_values(change.alert, by)].append(change.alert)
    found = []
    for values, changed in sorted(told.items()):
        names = {alert.fingerprint for alert in changed}
        still = tuple(
            alert
            for alert in alerts.values()
            if alert.notified
            and alert.state == "firing"
            and alert.fingerprint not in names
            and _values(alert, by) == values
            and is_for(alert, receiver, receivers)
        )
        found.append(Group(dict(zip(by, values, strict=True)), tuple(changed), still))
    return tuple(found)


def is_for(alert: Alert, receiver: str, receivers: Collection[str]) -> bool:
    """Tell whether ``receiver`` hears of ``alert``."""
    wanted = [target for target in alert.targets if target in receivers]
    return receiver in wanted if wanted else True


def message_id(changed: Iterable[Alert]) -> str:
    """Return the id of the message that tells these changes."""
    moments = sorted(f"{alert.fingerprint} {alert.state} {written(alert.started_at)}" for alert in changed)
    return "msg_" + hashlib.sha256("\n".join(moments).encode()).hexdigest()[:32]


def annotations_of(alert: Alert, context: Context) -> dict[str, str]:
    """Return what is said about an alert: its summary, the likely cause and the open proposal."""
    said = {"summary": clean(alert.summary)}
    if context.cause is not None:
        said["likely_cause"] = clean(f"{context.cause.name}: {context.cause.sentence}")
    if context.proposal is not None:
        said["proposal"] = clean(context.proposal.sentence)
        said["proposal_id"] = clean(context.proposal.id)
    return said


def labels_of(alert: Alert) -> dict[str, str]:
    """Return an alert's labels, cut to a length that receivers take."""
    return {name: clean(value) for name, value in alert.labels.items()}


def clean(text: str, longest: int = MAX_TEXT) -> str:
    """Return ``text`` on one line, without control characters, cut to ``longest`` characters."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(character if character.isprintable() else " " for character in cut)


def written(moment: datetime) -> str:
    """Return a time as RFC 3339 with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _values(alert: Alert, by: Sequence[str]) -> tuple[str, ...]:
    labels = alert.labels
    return tuple(labels.get(name, "") for name in by)
