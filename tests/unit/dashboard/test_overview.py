from __future__ import annotations

from meshwise.dashboard.pages.overview import render_attention, render_numbers, render_services
from support.findings import alert, anomaly, edge


def test_headline_numbers_add_up_over_edges() -> None:
    """Requests, failures and attempts of all edges make the headline."""
    shown = str(render_numbers([edge("a", "b", 900, 9), edge("b", "c", 100, 0, 50)], [alert("b")], ()))
    assert "99.10 %" in shown
    assert "×1.050" in shown


def test_success_of_an_idle_mesh_is_unknown() -> None:
    """Without a request there is no success share, and without control no number of rollouts."""
    shown = str(render_numbers([], [], None))
    assert "100.00 %" not in shown
    assert "–" in shown


def test_what_fires_and_what_is_unusual_needs_attention() -> None:
    """Firing alerts and flagged anomalies are listed; resolved and unflagged ones are not."""
    shown = str(
        render_attention([alert("b"), alert("c", "resolved")], [anomaly("a", "b", 0.9), anomaly("b", "c", 0.1)], ())
    )
    assert "b burns" in shown
    assert "c burns" not in shown
    assert "a → b" in shown
    assert "b → c" not in shown


def test_a_healthy_mesh_says_so() -> None:
    """With nothing to look at, the list says that all is well."""
    assert "All is well" in str(render_attention([], [], ()))


def test_the_worst_service_comes_first() -> None:
    """Services are ordered by their share of failures."""
    shown = str(render_services([edge("a", "fine", 100, 0), edge("a", "broken", 100, 50)]))
    assert shown.index("broken") < shown.index("fine")
