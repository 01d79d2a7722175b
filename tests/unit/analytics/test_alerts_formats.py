import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from meshwise.analytics.alerts.groups import Context
from meshwise.analytics.alerts.lifecycle import Alert, Change
from meshwise.analytics.alerts.messages import Telling, content_type_of, messages_for
from meshwise.analytics.cause.suspects import Suspect
from meshwise.analytics.settings import AnalyticsSettings, WebhookSettings

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PAGE = Alert("f1", "cart", "cart-availability", "page", "firing", NOW, NOW, 20.0, 30.0, "cart burns", notified=True)
TICKET = replace(PAGE, fingerprint="f2", severity="ticket")
OVER = replace(PAGE, state="resolved", ended_at=NOW)
HOSTILE = replace(PAGE, service="<!channel>&", summary='"},{"x": "<https://evil|click>')
CAUSE = Suspect("cart", "db", 0.9, "slow")
KEY = "k" * 32


def webhook(**given: Any) -> WebhookSettings:
    url = {} if given.get("format") == "pagerduty" else {"url": "https://hooks.example/"}
    return WebhookSettings.model_validate(url | given)


def sent(receiver: WebhookSettings, *alerts: Alert, by: tuple[str, ...] = ("service",)) -> list[Any]:
    changes = [Change(NOW, alert, notify=True) for alert in alerts]
    how = Telling(by, {"default", "on-call"}, "http://ui")
    found = messages_for(receiver, changes, {}, {"cart": Context(CAUSE)}, how)
    assert len({one.id for one in found}) == len(found), "ids tell messages apart"
    return [json.loads(one.body) for one in found]


class TestPagerDuty:
    PAGERDUTY = webhook(format="pagerduty", routing_key=KEY)

    def test_an_alert_opens_and_closes_one_incident(self) -> None:
        """The trigger carries summary, severity and cause; the resolve has the same key and nothing to say."""
        (trigger,) = sent(self.PAGERDUTY, PAGE)
        assert (trigger["event_action"], trigger["dedup_key"], trigger["routing_key"]) == ("trigger", "f1", KEY)
        payload = trigger["payload"]
        assert (payload["summary"], payload["source"], payload["severity"]) == ("cart burns", "cart", "critical")
        assert payload["timestamp"] == "2026-03-02T12:00:00.000Z"
        assert payload["custom_details"]["likely_cause"].startswith("cart -> db")
        assert sent(self.PAGERDUTY, OVER) == [{"routing_key": KEY, "event_action": "resolve", "dedup_key": "f1"}]

    def test_every_alert_is_an_event_of_its_own(self) -> None:
        """A group of two is two events; a ticket is a warning."""
        assert [one["payload"]["severity"] for one in sent(self.PAGERDUTY, PAGE, TICKET)] == ["critical", "warning"]

    def test_texts_stay_within_the_limits(self) -> None:
        """A summary of a megabyte is cut to what PagerDuty takes."""
        (trigger,) = sent(self.PAGERDUTY, replace(PAGE, summary="x" * 1_000_000))
        assert len(trigger["payload"]["summary"]) == 1024

    def test_two_services_there_have_two_queues(self) -> None:
        """Receivers at the same address are told apart by their key, which no name of a queue gives away."""
        other = webhook(format="pagerduty", routing_key="z" * 32)
        assert other.lane != self.PAGERDUTY.lane
        assert KEY not in self.PAGERDUTY.lane
        AnalyticsSettings(webhooks=(self.PAGERDUTY, other))


class TestSlack:
    def test_one_message_says_what_fires_and_why(self) -> None:
        """Text for notifications, a block per alert, the likely cause and a link."""
        (message,) = sent(webhook(format="slack"), PAGE, TICKET)
        assert message["text"] == "2 firing for cart"
        texts = [block["text"]["text"] for block in message["blocks"]]
        assert texts[1].splitlines()[0] == "[firing] page: cart burns"
        assert "likely cause: cart -&gt; db" in texts[1]
        assert texts[-1] == "<http://ui|meshwise>"
        assert sent(webhook(format="slack"), OVER)[0]["text"] == "resolved for cart"

    def test_telemetry_mentions_nobody(self) -> None:
        """Names and texts with Slack's own markup are shown, not obeyed."""
        (message,) = sent(webhook(format="slack"), HOSTILE)
        whole = json.dumps(message)
        assert "<!channel>" not in whole
        assert "<https://evil" not in whole

    def test_a_flood_of_alerts_is_counted(self) -> None:
        """Fifty alerts are ten blocks and a number."""
        (message,) = sent(webhook(format="slack"), *(replace(PAGE, fingerprint=f"{i:04}") for i in range(50)))
        assert any(block["text"]["text"] == "and 40 more" for block in message["blocks"])
        assert len(message["blocks"]) == 13


class TestCloudEvents:
    def test_the_event_wraps_the_webhook_document(self) -> None:
        """Required attributes are there, the id is that of the message, the data is Alertmanager's form."""
        receiver = webhook(format="cloudevents")
        (event,) = sent(receiver, PAGE)
        assert {key: event[key] for key in ("specversion", "source", "type", "subject", "time")} == {
            "specversion": "1.0",
            "source": "http://ui",
            "type": "io.meshwise.alerts.firing",
            "subject": '{}:{service="cart"}',
            "time": "2026-03-02T12:00:00.000Z",
        }
        assert event["data"]["version"] == "4"
        assert content_type_of(receiver).startswith("application/cloudevents+json")


class TestTemplate:
    RECEIVER = webhook(
        format="template", template={"message": "$service: $summary ($status)", "tags": ["$severity", "$$5"], "n": 1}
    )

    def test_names_are_replaced_inside_texts(self) -> None:
        """The receiver gets its own shape; what is no text stays as it is."""
        assert sent(self.RECEIVER, PAGE) == [{"message": "cart: cart burns (firing)", "tags": ["page", "$5"], "n": 1}]

    def test_nothing_breaks_out(self) -> None:
        """Quotes and braces of a summary stay inside their text."""
        (document,) = sent(self.RECEIVER, HOSTILE)
        assert set(document) == {"message", "tags", "n"}
        assert HOSTILE.summary in document["message"]

    @pytest.mark.parametrize("template", [{"a": "$nothing"}, {"a": "5 $"}, ["${service"], {"a": {"b": ["$x"]}}])
    def test_unknown_names_are_refused_at_the_start(self, template: Any) -> None:
        """A name that will never have a value is told when settings are read."""
        with pytest.raises(ValidationError, match=r"is not known|begins no name"):
            webhook(format="template", template=template)


class TestRouting:
    def test_groups_follow_the_labels_asked_for(self) -> None:
        """By service one message, by severity two, by nothing one for the whole mesh."""
        alerts = (PAGE, TICKET)
        assert len(sent(webhook(), *alerts)) == 1
        assert [one["groupLabels"] for one in sent(webhook(), *alerts, by=("severity",))] == [
            {"severity": "page"}, {"severity": "ticket"},
        ]  # fmt: skip
        (whole,) = sent(webhook(), PAGE, replace(TICKET, service="db"), by=())
        assert (whole["groupKey"], len(whole["alerts"])) == ("{}:{}", 2)

    def test_a_policy_tells_its_targets_only(self) -> None:
        """An alert with targets is not for others, unless none of its targets exists any more."""
        aimed = replace(PAGE, targets=("on-call",))
        assert len(sent(webhook(name="on-call"), aimed)) == 1
        assert sent(webhook(), aimed) == []
        assert len(sent(webhook(), replace(PAGE, targets=("left-the-company",)))) == 1

    def test_alertmanagers_own_api(self) -> None:
        """Alerts for Alertmanager itself have an end far away while they fire, and their end when they are over."""
        receiver = webhook(format="alertmanager_api")
        ((firing,),) = sent(receiver, PAGE)
        assert firing["labels"]["alertname"] == "ErrorBudgetBurn"
        assert firing["endsAt"] > "2026-04"
        ((over,),) = sent(receiver, OVER)
        assert over["endsAt"] == "2026-03-02T12:00:00.000Z"


@pytest.mark.parametrize(
    "given",
    [
        {"format": "pagerduty"},
        {"routing_key": KEY},
        {"format": "template"},
        {"template": {"a": "b"}},
        {"format": "carrier-pigeon"},
        {"format": "slack", "url": ""},
        {"name": ""},
    ],
)
def test_half_a_receiver_is_refused(given: dict[str, Any]) -> None:
    """What a form needs must be there, and nothing that belongs to another."""
    with pytest.raises(ValidationError):
        webhook(**given)
