from typing import Any

import pytest

from meshwise.cli.app import execute
from meshwise.cli.commands import alerts
from meshwise.cli.tables import length_of_time


class Analytics:
    """Takes what the command sends, and answers like analytics."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def post(self, path: str, document: dict[str, Any]) -> Any:
        self.sent.append((path, document))
        return {"silence": {**document, "id": "abc"}}


@pytest.mark.parametrize(
    "arguments",
    [
        "service --for 1h",
        "=x --for 1h",
        "service=x --for ever",
        "service=x --for -1h",
        "service=x --for 1h --from tomorrow",
        "service=x --for 1h --from 2026-01-31T02:00 --zone Mars/Olympus",
    ],
)
def test_mistakes_are_one_line(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be meant is told before anything is sent, in one line."""
    assert execute(["alerts", "silence", *arguments.split()]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_maintenance_window_begins_at_local_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two hours from two in Berlin are from one in UTC, and the zone travels along."""
    analytics = Analytics()
    monkeypatch.setattr(alerts, "open_analytics", lambda *_: analytics)
    arguments = ["service=cart", "severity=*", "--for", "2h", "--from", "2026-02-01 02:00"]
    assert execute(["alerts", "silence", *arguments, "--every", "1w", "--zone", "Europe/Berlin"]) == 0
    ((path, document),) = analytics.sent
    assert path == "/v1/silences"
    assert document == {
        "matchers": {"service": "cart", "severity": "*"},
        "starts_at": "2026-02-01T01:00:00+00:00",
        "ends_at": "2026-02-01T03:00:00+00:00",
        "every": "1w",
        "zone": "Europe/Berlin",
        "reason": None,
    }
    assert "again every 1w in Europe/Berlin" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0.2, "0s"), (59.6, "1m"), (3660, "1h 1m"), (90061, "1d 1h"), (-5, "0s")]
)
def test_lengths_of_time(seconds: float | None, text: str) -> None:
    """Two units at most, and never a negative length."""
    assert length_of_time(seconds) == text
