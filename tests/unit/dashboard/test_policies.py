from __future__ import annotations

from meshwise.dashboard.components.policy_cards import load_object, policy_row, render_difference
from meshwise.dashboard.control import PolicyView, ProxyView, rollout_view
from meshwise.dashboard.pages.policies import render_proposals, render_rollouts
from support.findings import proposal

ROLLOUT = {
    "id": "r1",
    "policy_name": "frontend.recommendation",
    "state": "canary",
    "stage": 0,
    "stages": [25, 100],
    "policy": {"match": {"service": "recommendation"}, "retry": {"max": 2}},
    "baseline": {"match": {"service": "recommendation"}, "retry": {"max": 0}},
    "canary_proxies": ["frontend-1"],
    "control_proxies": ["frontend-2"],
    "created_at": "2026-01-05T12:00:00+00:00",
    "finished_at": None,
    "reason": "because",
    "verdicts": [{"at": "2026-01-05T12:00:10+00:00", "decision": "hold", "reason": "too few requests"}],
}


def test_a_proposal_shows_why_what_and_a_way_to_try_it() -> None:
    """Sentence, changed fields and the button of an open proposal are there."""
    shown = str(render_proposals([proposal()], []))
    for part in ("Cut each attempt", "timeout.attempt", "150ms", "Start rollout", "4,000 attempts"):
        assert part in shown


def test_a_busy_service_offers_no_second_canary() -> None:
    """While a rollout for the same callee runs, its proposals carry no button."""
    assert "Start rollout" not in str(render_proposals([proposal()], [rollout_view(ROLLOUT)]))


def test_refusals_are_told_with_their_reason() -> None:
    """A refused proposal is no card, but its sentence can be read."""
    shown = str(render_proposals([proposal("refused", sentence="only 12 attempts were seen")], []))
    assert "only 12 attempts" in shown
    assert "Start rollout" not in shown


def test_only_changed_fields_are_in_the_difference() -> None:
    """Fields that are equal, and the version, are left out."""
    shown = str(render_difference({"a": 1, "b": 2, "version": 1}, {"a": 1, "b": 3, "version": 2}))
    assert "'b'" in shown
    assert "'a'" not in shown
    assert "version" not in shown


def test_a_running_rollout_can_be_ended_and_a_finished_one_cannot() -> None:
    """Buttons are there only while the rollout waits for a decision."""
    running, done = rollout_view(ROLLOUT), rollout_view(ROLLOUT | {"state": "promoted"})
    assert "Roll back" in str(render_rollouts([running]))
    assert "Roll back" not in str(render_rollouts([done]))
    assert "too few requests" in str(render_rollouts([running]))


def test_a_shadow_is_shown_beside_what_was_promised() -> None:
    """What proxies said the candidate would do, with intervals, and what the replay had said before."""
    evidence = {
        "shares": {
            "timed_out": {"value": 0.118, "low": 0.088, "high": 0.156},
            "retried": {"value": 0.115, "low": 0.08, "high": 0.15},
            "denied": {"value": 0.0, "low": 0.0, "high": 0.01},
        },
        "success": {"in_force": 0.8822, "candidate": 0.9836},
        "predicted": {"success": {"value": 0.997, "low": 0.99, "high": 1.0}},
    }
    verdict = {"at": "2026-01-05T12:00:10+00:00", "decision": "advance", "reason": "fit", "shadow": True}
    told = ROLLOUT | {"state": "shadow", "shadows": True, "canary_proxies": []}
    shown = str(render_rollouts([rollout_view(told | {"verdicts": [verdict | {"evidence": evidence}]})]))
    for part in ("in shadow", "cut off", "11.80 %", "15.60 %", "98.36 %", "99.70 %", "Start canary now"):
        assert part in shown
    assert "Shadow:" not in str(render_rollouts([rollout_view(told)]))
    assert "Shadow:" not in str(render_rollouts([rollout_view(told | {"verdicts": [verdict | {"evidence": 3}]})]))


def test_a_share_of_a_canary_is_told() -> None:
    """A canary that tries the candidate on some of its requests says on how many."""
    assert "20 % of its requests" in str(render_rollouts([rollout_view(ROLLOUT | {"canary_percent": 20.0})]))
    assert "of its requests" not in str(render_rollouts([rollout_view(ROLLOUT)]))


def test_a_proposal_without_a_proxy_is_for_export() -> None:
    """It has its evidence and the command that carries it over, and no button."""
    shown = str(render_proposals([proposal("export_only")], []))
    assert "meshwise policy export --proposal p1" in shown
    assert "Cut each attempt" in shown
    assert "Start rollout" not in shown


def test_a_policy_counts_the_proxies_that_run_its_version() -> None:
    """One of two living proxies is still on the version before; a dead one does not count."""
    policy = PolicyView("p", {"version": 2, "timeout": {"request": "1s"}}, "", "operator")
    proxies = [
        ProxyView("a", "s", True, "applied", 1, {"p": 2}),
        ProxyView("b", "s", True, "applied", 1, {"p": 1}),
        ProxyView("c", "s", False, "applied", 1, {"p": 2}),
    ]
    assert "1 of 2" in policy_row(policy, proxies)


def test_evidence_that_is_not_an_object_reads_as_empty() -> None:
    """A broken finding does not break the page."""
    assert load_object("not json") == load_object("[1]") == {}


def test_a_proposal_shows_its_prediction_with_intervals_beside_today() -> None:
    """Replay's success of both policies is there with its interval, and an unknown p99 is a dash."""
    shown = str(render_proposals([proposal()], []))
    assert "99.90 % (99.00 % … 100.00 %)" in shown
    assert "90.00 % (88.00 % … 92.00 %)" in shown
    assert "What would change its mind" in shown
