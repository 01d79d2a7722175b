import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from meshwise.analytics.alerts.groups import Context
from meshwise.analytics.alerts.lifecycle import Alert, Change
from meshwise.analytics.alerts.messages import Notification, Telling, messages_for
from meshwise.analytics.cause.suspects import Suspect
from meshwise.analytics.settings import WebhookSettings
from meshwise.contracts.rows import ProposalFinding

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FIRING = Alert(
    "f" * 16, "cart", "cart-availability", "page", "firing", NOW, NOW, 20.0, 30.0, "cart burns", notified=True
)
WEBHOOK = WebhookSettings(name="m", url="https://hooks.example/")
CAUSE = Suspect("cart", "db", 0.9, "mean latency 80 ms instead of 10 ms")
PROPOSAL = ProposalFinding("p1", NOW, "cart", "db", "", "proposed", "Cut attempts at 150 ms.", 900, "{}", "{}", "{}")


def told(
    *alerts: Alert, still: tuple[Alert, ...] = (), url: str = "http://ui", **contexts: Context
) -> tuple[Notification, ...]:
    changes = [Change(NOW, alert, notify=True) for alert in alerts]
    open_alerts = {alert.fingerprint: alert for alert in (*alerts, *still) if alert.state != "resolved"}
    return messages_for(WEBHOOK, changes, open_alerts, contexts, Telling(receivers={"m"}, external_url=url))


def documents(*alerts: Alert, **more: Any) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in told(*alerts, **more)]


class TestNotifications:
    def test_it_is_what_alertmanager_sends(self) -> None:
        """A document has every field of Alertmanager's webhook version 4, with its types."""
        (document,) = documents(FIRING)
        assert document == {
            "version": "4",
            "groupKey": '{}:{service="cart"}',
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "m",
            "groupLabels": {"service": "cart"},
            "commonLabels": {
                "alertname": "ErrorBudgetBurn",
                "service": "cart",
                "objective": "cart-availability",
                "severity": "page",
            },
            "commonAnnotations": {"summary": "cart burns"},
            "externalURL": "http://ui",
            "alerts": [
                {
                    "status": "firing",
                    "labels": {
                        "alertname": "ErrorBudgetBurn",
                        "service": "cart",
                        "objective": "cart-availability",
                        "severity": "page",
                    },
                    "annotations": {"summary": "cart burns"},
                    "startsAt": "2026-03-02T12:00:00.000Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "http://ui",
                    "fingerprint": "f" * 16,
                }
            ],
        }

    def test_cause_and_proposal_are_named(self) -> None:
        """The annotations name the likely cause and the open proposal."""
        (document,) = documents(FIRING, cart=Context(CAUSE, PROPOSAL))
        annotations = document["commonAnnotations"]
        assert annotations == {
            "summary": "cart burns",
            "likely_cause": "cart -> db: mean latency 80 ms instead of 10 ms",
            "proposal": "Cut attempts at 150 ms.",
            "proposal_id": "p1",
        }

    def test_a_group_is_resolved_when_all_are(self) -> None:
        """A resolved alert next to one that still fires leaves the group firing and lists both."""
        resolved = replace(FIRING, state="resolved", ended_at=NOW + timedelta(minutes=1))
        other = replace(FIRING, fingerprint="e" * 16, severity="ticket")
        (document,) = documents(resolved, still=(other,))
        assert (document["status"], len(document["alerts"])) == ("firing", 2)
        (document,) = documents(resolved)
        assert document["status"] == "resolved"

    def test_services_are_told_apart(self) -> None:
        """Two services make two documents, and what nobody should hear of makes none."""
        assert len(documents(FIRING, replace(FIRING, service="db", fingerprint="d"))) == 2
        assert messages_for(WEBHOOK, [Change(NOW, FIRING, notify=False)], {}, {}, Telling()) == ()

    def test_telling_again_has_the_same_id(self) -> None:
        """The id depends on what is told, so a repeat after a crash is recognised."""
        first, second = told(FIRING, url="http://a"), told(FIRING, url="http://b")
        later = told(replace(FIRING, state="resolved", ended_at=NOW))
        assert first[0].id == second[0].id != later[0].id

    def test_hostile_texts_stay_small_and_plain(self) -> None:
        """A megabyte of summary is cut, control characters go, and the document stays below 20 kB of advice."""
        many = [replace(FIRING, fingerprint=f"{i:016x}", summary="x\x00\n\u202e" * 300_000) for i in range(40)]
        (notification,) = told(*many, cart=Context(CAUSE, PROPOSAL))
        document = json.loads(notification.body)
        assert len(notification.body) <= 20_000
        assert document["truncatedAlerts"] + len(document["alerts"]) == 40
        summary = document["alerts"][0]["annotations"]["summary"]
        assert len(summary) == 500
        assert summary.isprintable()
