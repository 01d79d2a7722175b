from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from meshwise.analytics.steering import Incident, moment, steer
from meshwise.contracts.rows import AnomalyFinding, ProposalFinding

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def proposal(name: str = "p", destination: str = "cart", status: str = "proposed", samples: int = 1) -> ProposalFinding:
    return ProposalFinding(name, NOW, "web", destination, "", status, "", samples, "{}", "{}", "{}")


def rollout(state: str, service: str = "cart", finished: object = None, proposal_id: str = "x") -> dict[str, Any]:
    policy = {"match": {"service": service}}
    return {"state": state, "policy": policy, "finished_at": finished, "proposal_id": proposal_id}


def chosen(proposals: list[ProposalFinding], rollouts: list[dict[str, Any]]) -> list[str]:
    return [p.id for p in steer(proposals, rollouts, NOW, cooldown_s=600.0, memory_s=3600.0).chosen]


def document(attempt: str, retries: int = 1) -> dict[str, Any]:
    return {
        "match": {"source": "web", "service": "cart"},
        "timeout": {"request": "1s", "attempt": attempt},
        "retry": {"max": retries, "on": {"timeout": True}},
    }


def asks_for(attempt: str, retries: int = 1) -> ProposalFinding:
    return replace(proposal(), policy=orjson.dumps(document(attempt, retries)).decode())


class TestSteer:
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


class TestAlternation:
    """Rollouts are half an hour old: past the cool-down, within memory."""

    ENDED = (NOW - timedelta(seconds=1800)).isoformat()

    def ended(self, state: str, policy: dict[str, Any], baseline: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": "r",
            "state": state,
            "policy": policy,
            "baseline": baseline,
            "finished_at": self.ENDED,
            "proposal_id": "x",
        }

    @staticmethod
    def asks(wanted: dict[str, Any]) -> ProposalFinding:
        return replace(proposal(), policy=orjson.dumps(wanted).decode())

    def held(self, wanted: ProposalFinding, rollout: dict[str, Any], memory_s: float = 3600.0) -> str:
        steered = steer([wanted], [rollout], NOW, cooldown_s=600.0, memory_s=memory_s)
        assert bool(steered.chosen) is (wanted.id not in steered.held)
        return steered.held.get(wanted.id, "")

    def test_not_what_was_rolled_back(self) -> None:
        """A policy that was rolled back half an hour ago is not tried again, nor one within a tenth of it."""
        bad = self.ended("rolled_back", document("100ms"), document("250ms"))
        assert "rolled the same policy back" in self.held(asks_for("100ms"), bad)
        assert "rolled the same policy back" in self.held(asks_for("105ms"), bad)
        assert self.held(asks_for("150ms"), bad) == ""
        assert self.held(asks_for("100ms", retries=2), bad) == ""

    def test_not_back_and_forth(self) -> None:
        """What a promoted rollout replaced is not proposed back; a step further is."""
        good = self.ended("promoted", document("125ms"), document("100ms"))
        assert "alternates" in self.held(asks_for("100ms"), good)
        assert self.held(asks_for("150ms"), good) == ""

    @pytest.mark.parametrize(
        ("before", "after", "further"),
        [
            ({}, {"hedge": {"delay": "80ms"}}, {"hedge": {"delay": "40ms"}}),
            ({"hedge": {"delay": "80ms"}}, {"hedge": {"delay": "50ms"}}, {"hedge": {"delay": "30ms"}}),
            (
                {"timeout": {"request": "1s", "attempt": "100ms"}},
                {"timeout": {"request": "700ms", "attempt": "100ms"}},
                {"timeout": {"request": "500ms", "attempt": "100ms"}},
            ),
            (
                {"retry": {"max": 1, "backoff": {"base": "100ms", "max": "200ms"}}},
                {"retry": {"max": 1, "backoff": {"base": "50ms", "max": "100ms"}}},
                {"retry": {"max": 1, "backoff": {"base": "25ms", "max": "50ms"}}},
            ),
            (
                {"retry": {"max": 1, "budget": {"percent": 10}}},
                {"retry": {"max": 1, "budget": {"percent": 15}}},
                {"retry": {"max": 1, "budget": {"percent": 20}}},
            ),
            (
                {"retry": {"max": 1, "on": {"timeout": True}}},
                {"retry": {"max": 1, "on": {"timeout": True, "codes": [500]}}},
                {"retry": {"max": 1, "on": {"timeout": True, "codes": [500, 502]}}},
            ),
        ],
        ids=["hedge", "hedge delay", "request timeout", "backoff", "budget", "conditions"],
    )
    def test_of_what_follows_from_the_timeout(
        self, before: dict[str, Any], after: dict[str, Any], further: dict[str, Any]
    ) -> None:
        """Where a step changed neither attempt timeout nor retries, the way back is held and a step onward is not."""
        old, new = document("100ms") | before, document("100ms") | after
        good, bad = self.ended("promoted", new, old), self.ended("rolled_back", new, old)
        onward = self.asks(document("100ms") | after | further)
        assert "alternates" in self.held(self.asks(old), good)
        assert self.held(onward, good) == ""
        assert "rolled the same policy back" in self.held(self.asks(new), bad)
        assert self.held(self.asks(old), bad) == ""
        assert self.held(onward, bad) == ""

    def test_a_hedge_that_was_given_up(self) -> None:
        """It does not come back with another delay; a step in something else goes on without it."""
        without = document("100ms")
        good = self.ended("promoted", without, without | {"hedge": {"delay": "80ms"}})
        assert "alternates" in self.held(self.asks(without | {"hedge": {"delay": "50ms"}}), good)
        assert self.held(self.asks(without | {"timeout": {"request": "800ms", "attempt": "100ms"}}), good) == ""

    def test_a_small_step_onward(self) -> None:
        """A step that is within a tenth of where it began goes on all the same; the step back is held."""
        good = self.ended("promoted", document("108ms"), document("100ms"))
        assert self.held(asks_for("109ms"), good) == ""
        assert "alternates" in self.held(asks_for("101ms"), good)

    def test_the_timeout_outweighs_what_follows_from_it(self) -> None:
        """The way back to an attempt timeout is held whatever else is proposed with it."""
        good = self.ended("promoted", document("125ms") | {"hedge": {"delay": "80ms"}}, document("100ms"))
        assert "alternates" in self.held(self.asks(document("100ms") | {"hedge": {"delay": "50ms"}}), good)

    def test_what_no_proposal_changes(self) -> None:
        """A rollout of something else, such as a breaker, keeps no proposal waiting, whichever way it ended."""
        other = document("100ms") | {"breaker": {"max_pending": 7}}
        for state in ("promoted", "rolled_back"):
            assert self.held(asks_for("100ms"), self.ended(state, other, document("100ms"))) == ""

    def test_memory_ends(self) -> None:
        """After the time of memory the mesh may have changed, and anything may be tried."""
        bad = self.ended("rolled_back", document("100ms"), document("250ms"))
        assert self.held(asks_for("100ms"), bad, memory_s=1700.0) == ""


class TestIncident:
    def cause(self, source: str, destination: str) -> AnomalyFinding:
        return AnomalyFinding(NOW, NOW, NOW, source, destination, 0.9, True, {}, "slow")

    def test_elsewhere(self) -> None:
        """While the callee's alert is due to a service below it, nothing is submitted, and the cause is named."""
        incident = Incident("cart", self.cause("cart", "db"))
        steered = steer([proposal()], [], NOW, cooldown_s=0.0, memory_s=0.0, incidents=[incident])
        assert steered.chosen == ()
        assert "cart → db" in steered.held["p"]

    def test_its_own(self) -> None:
        """An incident of the very edge is what a proposal is for; one of strangers does not matter."""
        for incident in (
            Incident("cart", self.cause("web", "cart")),
            Incident("web", self.cause("ingress", "web")),
            Incident("cart"),
            Incident("other", self.cause("x", "y")),
        ):
            steered = steer([proposal()], [], NOW, cooldown_s=0.0, memory_s=0.0, incidents=[incident])
            assert [p.id for p in steered.chosen] == ["p"]


def test_moment_reads_both_forms() -> None:
    """Control's times are read as ISO text and as Unix seconds; anything else is no time."""
    assert moment("2026-03-02T12:00:00Z") == moment(NOW.timestamp()) == NOW
    odds: tuple[object, ...] = (None, True, "soon", [], 1e300, float("nan"))
    for odd in odds:
        assert moment(odd) is None
