from datetime import UTC, datetime, timedelta
from typing import Any

from meshwise.analytics.steering import moment, submittable
from meshwise.contracts.rows import ProposalFinding

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def proposal(name: str = "p", destination: str = "cart", status: str = "proposed", samples: int = 1) -> ProposalFinding:
    return ProposalFinding(name, NOW, "web", destination, "", status, "", samples, "{}", "{}", "{}")


def rollout(state: str, service: str = "cart", finished: object = None, proposal_id: str = "x") -> dict[str, Any]:
    policy = {"match": {"service": service}}
    return {"state": state, "policy": policy, "finished_at": finished, "proposal_id": proposal_id}


def chosen(proposals: list[ProposalFinding], rollouts: list[dict[str, Any]]) -> list[str]:
    return [p.id for p in submittable(proposals, rollouts, NOW, 600.0)]


class TestSubmittable:
    def test_a_fresh_proposal_goes(self) -> None:
        """A proposal for a destination without rollouts is submitted; other statuses never are."""
        assert chosen([proposal()], []) == ["p"]
        assert chosen([proposal(status=status) for status in ("refused", "unchanged", "submitted")], []) == []

    def test_one_rollout_per_destination(self) -> None:
        """While a rollout for the destination, or for all of them, is active nothing is submitted."""
        for state in ("canary", "awaiting_approval"):
            assert chosen([proposal()], [rollout(state)]) == []
            assert chosen([proposal()], [rollout(state, service="*")]) == []
        assert chosen([proposal()], [rollout("canary", service="other")]) == ["p"]

    def test_cool_down_after_either_end(self) -> None:
        """A destination rests for the cool-down after a rollout ended, whichever way; then it may be tried again."""
        recent, old = (NOW - timedelta(seconds=s) for s in (599, 601))
        for state in ("promoted", "rolled_back"):
            assert chosen([proposal()], [rollout(state, finished=recent.isoformat())]) == []
            assert chosen([proposal()], [rollout(state, finished=old.timestamp())]) == ["p"]

    def test_the_same_proposal_is_tried_once(self) -> None:
        """A proposal that was rolled back is not submitted again by itself."""
        old = (NOW - timedelta(days=1)).isoformat()
        assert chosen([proposal()], [rollout("rolled_back", finished=old, proposal_id="p")]) == []

    def test_best_founded_proposal_of_a_destination_wins(self) -> None:
        """Of several proposals for a destination only the one with most samples is submitted."""
        assert chosen([proposal("a", samples=5), proposal("b", samples=9), proposal("c", "db")], []) == ["b", "c"]

    def test_odd_documents_are_survived(self) -> None:
        """Documents without the expected fields neither crash nor block."""
        assert chosen([proposal()], [{}, {"policy": 3}, {"policy": {"match": None}, "finished_at": "soon"}]) == ["p"]


def test_moment_reads_both_forms() -> None:
    """Control's times are read as ISO text and as Unix seconds; anything else is no time."""
    assert moment("2026-03-02T12:00:00Z") == moment(NOW.timestamp()) == NOW
    odds: tuple[object, ...] = (None, True, "soon", [], 1e300, float("nan"))
    for odd in odds:
        assert moment(odd) is None
