from __future__ import annotations

from meshwise.dashboard.pages.slos import render_alerts, render_objectives
from support.findings import alert, slo


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
