from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from meshwise.contracts.rows import BurnDownFinding, Silence
from meshwise.dashboard.pages.slos import render_alerts, render_burn_down, render_objectives, render_silences
from support.findings import HOSTILE, NOW, alert, slo


def test_the_objective_with_the_least_budget_comes_first() -> None:
    """An overspent objective stands above a healthy one."""
    shown = str(render_objectives([slo("fine", 0.9, 0.1), slo("spent", -3.0, 20.0)]))
    assert shown.index("spent") < shown.index("fine")


def test_burn_rates_are_coloured_by_the_rules() -> None:
    """From 14.4 a window is bad, from 1 it warns, below it is plain."""
    shown = str(render_objectives([slo("a", 0.5, 20.0)]))
    assert "badge bad" in shown
    assert "badge warn" in shown


def test_an_alert_shows_its_state_and_both_windows() -> None:
    """State, summary and the two burn rates of the rule are in the row."""
    shown = str(render_alerts([alert("b")]))
    assert "firing" in shown
    assert "×20.0 / ×21.0" in shown


def test_it_says_how_long_a_budget_lasts() -> None:
    """Gone, for so long, or it holds; and what was left out."""
    rows = [
        slo("gone", -0.1, 2.0),
        replace(slo("soon", 0.5, 2.0), exhaustion_s=93_600.0, counted="slices", document="soon-month"),
        replace(slo("long", 0.9, 0.1), note="left out: GET /events"),
    ]
    shown = str(render_objectives(rows))
    for text in ("gone", "1d 2h", "holds", "of slices good", "soon-month", "left out: GET /events"):
        assert text in shown


def test_the_course_of_the_worst_budgets_is_drawn() -> None:
    """Of a dozen budgets the eight with the least left, over time, names from telemetry escaped."""
    courses = [
        BurnDownFinding(NOW, "s", HOSTILE if number == 0 else f"o{number}", NOW, 3600.0, {0: 1.0, 1: number / 12})
        for number in range(12)
    ]
    figure = render_burn_down(courses)
    assert len(figure.data) == 8
    assert "<img" not in figure.data[0].name
    assert list(figure.data[0].y) == [100.0, 0.0]
    assert figure.data[0].x[1] - figure.data[0].x[0] == timedelta(hours=1)
    assert render_burn_down([]).data == ()


def test_silences_are_shown_with_what_they_silence() -> None:
    """One that lasts is on, a maintenance window tells when it comes again, one that is over is not shown."""
    hour = timedelta(hours=1)
    lasting = Silence(NOW, "s1", "ann", False, NOW, NOW + hour, "", "UTC", {"service": "cart"}, "planned")
    weekly = replace(lasting, id="s2", every="1w", starts_at=NOW - 26 * hour, ends_at=NOW - 25 * hour)
    over = replace(lasting, id="s3", ends_at=NOW)
    shown = str(render_silences([lasting, weekly, over], NOW))
    assert "service=cart" in shown
    assert "every 1w in UTC" in shown
    assert ("s1" in shown, "s2" in shown, "s3" in shown) == (True, True, False)
    silenced = str(render_alerts([replace(alert("b"), silence="s1"), replace(alert("c"), notified=True)]))
    assert "silenced by s1" in silenced
    assert "'yes'" in silenced
