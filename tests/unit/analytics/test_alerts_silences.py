from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from meshwise.analytics.alerts.lifecycle import Alert
from meshwise.analytics.alerts.silences import Silences, quiet_at, read_silence
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.silences import is_active, is_over, matches

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALERT = Alert("f1", "cart", "cart-availability", "page", "firing", NOW, NOW, 20.0, 30.0, "burns")


def asked(**more: Any) -> dict[str, Any]:
    return {"matchers": {"service": "cart"}, "ends_at": (NOW + HOUR).isoformat(), **more}


class TestSilence:
    def test_it_lasts_from_begin_to_end(self) -> None:
        """A silence is on from its begin, its end excluded, and over after that."""
        silence = read_silence(asked(), "ann", NOW)
        on = [is_active(silence, NOW + minutes * timedelta(minutes=1)) for minutes in (-1, 0, 59, 60)]
        assert on == [False, True, True, False]
        assert (is_over(silence, NOW), is_over(silence, NOW + HOUR)) == (False, True)
        assert not is_active(replace(silence, removed=True), NOW)

    @pytest.mark.parametrize(
        ("matchers", "expected"),
        [
            ({"service": "cart"}, True),
            ({"service": "ca*"}, True),
            ({"service": "cart", "severity": "ticket"}, False),
            ({"severity": "page"}, True),
            ({"policy": "x"}, False),
            ({"alertname": "*"}, True),
        ],
    )
    def test_every_matcher_must_fit(self, matchers: dict[str, str], expected: bool) -> None:
        """Labels are compared whole, a star stands for anything."""
        assert matches(read_silence(asked(matchers=matchers), "ann", NOW), ALERT.labels) is expected

    def test_quiet_names_the_silence(self) -> None:
        """What keeps an alert quiet is told by its id, and only while it lasts."""
        silence = read_silence(asked(), "ann", NOW)
        assert quiet_at([silence], NOW)(ALERT) == silence.id
        assert quiet_at([silence], NOW + HOUR)(ALERT) == ""
        assert quiet_at([silence], NOW)(replace(ALERT, service="db")) == ""


class TestMaintenance:
    def test_it_comes_again_at_the_same_local_time(self) -> None:
        """Two hours every Sunday from two in Berlin: an hour earlier in UTC once summer time has begun."""
        first = datetime(2026, 3, 1, 1, 0, tzinfo=UTC)
        document = asked(
            starts_at=first.isoformat(), ends_at=(first + 2 * HOUR).isoformat(), every="1w", zone="Europe/Berlin"
        )
        window = read_silence(document, "ann", NOW)
        summer = datetime(2026, 4, 5, 0, 0, tzinfo=UTC)
        assert [is_active(window, first + days * timedelta(days=1)) for days in (-7, 0, 1, 7)] == [
            False, True, False, True,
        ]  # fmt: skip
        assert [is_active(window, summer + hours * HOUR) for hours in (-0.1, 0, 1.9, 2)] == [False, True, True, False]
        assert not is_over(window, NOW + timedelta(days=900))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"matchers": {}}, "matchers"),
        ({"matchers": {"host": "x"}}, "matchers"),
        ({"matchers": {"service": 5}}, "matchers.service"),
        ({"ends_at": "soon"}, "ends_at"),
        ({"ends_at": "2026-03-02T13:00:00"}, "ends_at"),
        ({"ends_at": "2026-03-02T11:00:00Z"}, "ends_at"),
        ({"ends_at": "2029-03-02T11:00:00Z"}, "ends_at"),
        ({"every": "5m"}, "every"),
        ({"every": "often"}, "every"),
        ({"every": "1d", "ends_at": "2026-03-05T11:00:00Z"}, "every"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"until": "x"}, "until"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], path: str) -> None:
    """Every mistake names its field."""
    with pytest.raises(DocumentError) as caught:
        read_silence(asked(**changes), "ann", NOW)
    assert caught.value.path == path


def test_ending_adds_a_row() -> None:
    """A silence that is ended is written again as removed; one that is not there is not."""
    silence = read_silence(asked(), "ann", NOW)
    row = [getattr(silence, name) for name in silence.__slots__]
    written: list[Any] = []
    client: Any = SimpleNamespace(query=lambda *_, **__: SimpleNamespace(result_rows=[row]))
    silences = Silences(client, lambda _, rows: written.extend(rows))
    assert silences.end(silence.id, "bob", NOW + HOUR)
    assert (written[0].removed, written[0].actor) == (True, "bob")
    assert not silences.end("nothing", "bob", NOW)
