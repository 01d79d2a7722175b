import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from meshwise.analytics.audits import audits_for
from meshwise.analytics.rollout.arms import load_arms
from meshwise.analytics.rollout.config import RolloutConfig
from meshwise.analytics.rollout.threshold import InTime, in_time, promised
from meshwise.analytics.rollout.verdict import Verdict, judge, judge_again
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.analytics.slo.objectives import ObjectiveOverride
from meshwise.analytics.sql import load_sql
from meshwise.contracts.histogram import bucket_index
from meshwise.contracts.slo import Objective, Signal

STARTED = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
CONFIG = RolloutConfig()
MATCH = {"source": "web", "service": "cart"}


def rollout(candidate: dict[str, Any] | None = None, baseline: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "policy": {"match": MATCH, "version": 4, **(candidate or {})},
        "baseline": {"match": MATCH, "version": 3, **(baseline or {})},
        "control_version": 3,
        "canary_proxies": ["web-1"],
        "control_proxies": ["web-2", "web-3"],
        "stage_started_at": STARTED.isoformat(),
    }


def latencies(**shares: int) -> dict[int, int]:
    """Return a histogram by milliseconds: ``ms20=180`` are 180 requests of 20 ms."""
    return {bucket_index(int(name[2:]) / 1000): count for name, count in shares.items()}


class TestInTime:
    @pytest.mark.parametrize(
        ("usual", "low", "high"),
        [
            (latencies(ms1=990, ms9=10), 0.1, 0.1),
            (latencies(ms20=990, ms300=10), 0.1, 0.1),
            (latencies(ms20=900, ms60=100), 0.17, 0.2),
            (latencies(ms700=900, ms800=100), 2.0, 2.4),
            (latencies(ms20=900, ms2500=100), 0.5, 0.5),
            (latencies(ms400=900, ms2500=100), 1.1, 1.3),
        ],
        ids=["very fast", "fast", "a tail", "slow", "fast but for a tenth", "slow but for a tenth"],
    )
    def test_from_what_the_route_takes(self, usual: dict[int, int], low: float, high: float) -> None:
        """Three times p95, at least 0.1 s; where a twentieth is slow, 0.5 s or three times the median."""
        found = in_time(rollout(), usual, CONFIG)
        assert found.basis == "usual"
        assert low <= found.seconds <= high

    def test_too_few_to_tell(self) -> None:
        """With fewer than a hundred successes before the rollout the setting holds."""
        assert in_time(rollout(), latencies(ms20=99), CONFIG) == InTime(0.5, "setting")
        assert in_time(rollout(), {}, CONFIG) == InTime(0.5, "setting")

    def test_an_objective_comes_first(self) -> None:
        """What was promised counts, but for a promise that the route breaks half of the time, which tells nothing."""
        assert in_time(rollout(), latencies(ms20=1000), CONFIG, 0.3) == InTime(0.3, "objective")
        assert in_time(rollout(), {}, CONFIG, 0.3) == InTime(0.3, "objective")
        assert in_time(rollout(), latencies(ms700=1000), CONFIG, 0.3).basis == "usual"

    @pytest.mark.parametrize(
        ("candidate", "baseline", "least", "most"),
        [
            (
                {"timeout": {"request": "1s", "attempt": "100ms"}, "retry": {"max": 1, "on": {"timeout": True}}},
                {},
                0.18,
                0.21,
            ),
            ({"hedge": {"delay": "200ms"}}, {}, 0.26, 0.28),
            ({"hedge": {"delay": "800ms"}}, {}, 0.5, 0.5),
            (
                {"timeout": {"request": "1s", "attempt": "400ms"}, "retry": {"max": 1, "on": {"timeout": True}}},
                {"timeout": {"request": "1s", "attempt": "100ms"}, "retry": {"max": 1, "on": {"timeout": True}}},
                0.1,
                0.1,
            ),
        ],
        ids=["cut off sooner", "hedged", "hedged late", "cut off later"],
    )
    def test_what_the_candidate_repeats_sooner_is_in_time(
        self, candidate: dict[str, Any], baseline: dict[str, Any], least: float, most: float
    ) -> None:
        """A request that the candidate mends is not late for that, up to half a second; one that it delays is."""
        found = in_time(rollout(candidate, baseline), latencies(ms20=1000), CONFIG)
        assert least <= found.seconds <= most


class TestPromised:
    def documents(self, **signal: Any) -> dict[str, tuple[Objective, ...]]:
        latency = Objective("cart", "latency", 0.95, threshold_s=0.3, signal=Signal("cart", within_s=0.3, **signal))
        return {"cart": (Objective("cart", "availability", 0.99), latency)}

    def test_documents(self) -> None:
        """The threshold of a latency objective that covers all requests of the policy."""
        assert promised(rollout(), self.documents(), {}) == 0.3
        assert promised(rollout(), self.documents(source="web"), {}) == 0.3
        assert promised(rollout(), self.documents(source="admin"), {}) is None
        assert promised(rollout(), self.documents(route="/r"), {}) is None
        assert promised(rollout(), self.documents(methods=("GET",)), {}) is None
        assert promised({"policy": {"match": {"service": "other"}}}, self.documents(), {}) is None
        assert promised({}, self.documents(), {}) is None

    def test_settings(self) -> None:
        """A service without documents has what the settings say of it alone."""
        overrides = {"cart": ObjectiveOverride(latency_threshold_s=0.2), "db": ObjectiveOverride(latency_target=0.9)}
        assert promised(rollout(), {}, overrides) == 0.2
        assert promised(rollout(), self.documents(), overrides) == 0.3
        assert promised({"policy": {"match": {"service": "db"}}}, {}, overrides) is None


class Route:
    """A store in which every proxy and block has so many successes of these latencies."""

    def __init__(self, usual: dict[int, int], tried: dict[int, int]) -> None:
        self.usual, self.tried = usual, tried
        self.result_rows: list[tuple[Any, ...]] = []

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        self.result_rows = []
        if query == load_sql("rollout_arms"):
            for start in range(parameters["start"], parameters["end"], 10):
                for name in parameters["instances"]:
                    new = name == "web-1" and start >= STARTED.timestamp()
                    took = self.tried if new else self.usual
                    count = sum(took.values())
                    self.result_rows.append((start, name, 4 if new else 3, "ok", count, count, 0, 0, took))
        return self


def verdict(usual: dict[int, int], tried: dict[int, int]) -> Verdict:
    now = STARTED + timedelta(seconds=125)
    return judge(rollout(), load_arms(Route(usual, tried), rollout(), now, CONFIG), now, CONFIG)


class TestTail:
    """Each of the three proxies has 200 requests in ten seconds, all of which succeed."""

    @pytest.mark.parametrize(
        ("usual", "slower"),
        [
            (latencies(ms20=200), latencies(ms20=190, ms450=10)),
            (latencies(ms700=180, ms800=20), latencies(ms700=180, ms4000=20)),
        ],
        ids=["20 to 450 ms", "0.8 to 4 s"],
    )
    def test_slower(self, usual: dict[int, int], slower: dict[int, int]) -> None:
        """A tail that grows is seen on a route of 20 ms as on one of 0.8 s; without it the candidate passes."""
        found = verdict(usual, slower)
        assert (found.decision, found.evidence["rule"]) == ("rollback", "requests in time")
        assert verdict(usual, usual).decision == "advance"

    def test_by_the_objectives_in_force(self) -> None:
        """Analytics judges by what documents promise at the time of the look, else by what settings say."""
        written: dict[str, tuple[Objective, ...]] = {}
        settings = AnalyticsSettings.model_validate({"objectives": {"cart": {"latency_threshold_s": 0.2}}})
        audits = audits_for(settings, lambda: written)
        store, now = Route(latencies(ms20=200), latencies(ms20=200)), STARTED + timedelta(seconds=125)
        assert audits.judge(rollout(), store, now).evidence["within"] == {"seconds": 0.2, "basis": "objective"}
        written["cart"] = (Objective("cart", "latency", 0.95, threshold_s=0.3),)
        assert audits.judge(rollout(), store, now).evidence["within"] == {"seconds": 0.3, "basis": "objective"}

    def test_reached_again(self) -> None:
        """What was in time is stored with the counts, so that the same verdict comes of them."""
        found = verdict(latencies(ms700=180, ms800=20), latencies(ms700=180, ms4000=20))
        evidence = json.loads(json.dumps(found.evidence))
        assert evidence["within"]["basis"] == "usual"
        again = judge_again(rollout(), evidence)
        assert again is not None
        assert (again.decision, again.reason) == (found.decision, found.reason)
        assert again.evidence["within"] == evidence["within"]

    def test_noise_of_a_very_fast_route(self) -> None:
        """A millisecond that becomes twenty for a tenth of the requests ends no rollout."""
        assert verdict(latencies(ms1=200), latencies(ms1=180, ms20=20)).decision == "advance"
