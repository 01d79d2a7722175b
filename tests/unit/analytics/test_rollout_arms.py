from datetime import UTC, datetime, timedelta
from typing import Any

from meshwise.analytics.rollout.arms import Ends, Versions, collect, load_arms
from meshwise.analytics.rollout.config import RolloutConfig
from meshwise.analytics.sql import load_sql
from meshwise.contracts.histogram import bucket_index

STARTED = datetime(2026, 3, 2, 10, 0, 4, tzinfo=UTC)
EPOCH = int(STARTED.timestamp()) - 4
ROLLOUT: dict[str, Any] = {
    "policy": {
        "match": {"source": "frontend", "service": "recommendation", "route": "/r", "methods": ["GET"]},
        "version": 4,
    },
    "baseline": {"match": {"source": "frontend", "service": "recommendation"}},
    "canary_proxies": ["frontend-1"],
    "control_proxies": ["frontend-2", "frontend-3"],
    "stage_started_at": STARTED.isoformat(),
}


class Recording:
    """A client that remembers what it was asked and answers with prepared rows."""

    def __init__(self, rows: list[tuple[Any, ...]] | None = None) -> None:
        self.result_rows = rows or []
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        self.asked.append((query, parameters))
        return self


class TestLoadArms:
    def test_the_open_block_too(self) -> None:
        """What has come in of the open block counts; the block in which the canaries began is told by version."""
        client = Recording()
        counts = load_arms(client, ROLLOUT, STARTED + timedelta(seconds=38))  # 10:00:42, settled until 10:00:39
        assert counts.block_starts == (EPOCH, EPOCH + 10, EPOCH + 20, EPOCH + 30, EPOCH + 40)
        _, parameters = client.asked[0]
        assert (parameters["start"], parameters["end"]) == (EPOCH, EPOCH + 50)

    def test_since_the_first_canaries(self) -> None:
        """A later stage has the counts of the earlier ones too."""
        rollout = ROLLOUT | {"canaries_since": (STARTED - timedelta(seconds=40)).isoformat()}
        assert load_arms(Recording(), rollout, STARTED + timedelta(seconds=38)).block_starts[0] == EPOCH - 40

    def test_canaries_are_their_own_control_on_a_share(self) -> None:
        """What a canary's requests under the old version did is compared with those under the new one."""
        rows: list[tuple[Any, ...]] = [
            (EPOCH, "frontend-1", 4, "ok", 5, 5, 0, 0, {}),
            (EPOCH, "frontend-1", 3, "ok", 95, 95, 0, 0, {}),
            (EPOCH, "frontend-1", 9, "ok", 7, 7, 0, 0, {}),  # of another policy
        ]
        alone = ROLLOUT | {"control_proxies": [], "canary_percent": 5.0, "control_version": 3}
        counts = load_arms(Recording(rows), alone, STARTED + timedelta(seconds=12))
        assert (counts.canary.total, counts.control.total, counts.control.instances) == (5, 95, ("frontend-1",))
        whole = load_arms(Recording(rows), ROLLOUT | {"control_version": 3}, STARTED + timedelta(seconds=12))
        assert (whole.canary.total, whole.control.total) == (5, 95)  # those of the stage before

    def test_values_are_bound(self) -> None:
        """The query text is fixed and uses every parameter."""
        client = Recording()
        load_arms(client, ROLLOUT, STARTED + timedelta(seconds=60))
        query, parameters = client.asked[0]
        assert query == load_sql("rollout_arms")
        assert all(f"{{{name}:" in query for name in parameters)
        assert parameters["methods"] == ["GET"]

    def test_route_only_where_both_know_it(self) -> None:
        """A route that the baseline does not name would leave the control group empty, so it is not asked for."""
        client = Recording()
        load_arms(client, ROLLOUT, STARTED + timedelta(seconds=60))
        load_arms(client, ROLLOUT | {"baseline": ROLLOUT["policy"]}, STARTED + timedelta(seconds=60))
        asked = [parameters["any_route"] for query, parameters in client.asked if query == load_sql("rollout_arms")]
        assert asked == [1, 1, 0, 0]  # the stage and the time before it, of two rollouts

    def test_too_early(self) -> None:
        """Before the first whole block nothing is asked of the edge's two ends, which count alike only afterwards."""
        client = Recording()
        counts = load_arms(client, ROLLOUT, STARTED + timedelta(seconds=3))
        assert (counts.block_starts, counts.ends) == ((EPOCH,), None)
        assert not [query for query, _ in client.asked if query == load_sql("rollout_ends")]

    def test_before_the_canaries(self) -> None:
        """Before any canary applied the candidate nothing is asked and nothing is known."""
        client = Recording()
        counts = load_arms(client, {**ROLLOUT, "stage_started_at": None}, STARTED)
        assert counts.block_starts == ()
        assert client.asked == []

    def test_without_control(self) -> None:
        """Without a control group the canaries' own time before the stage is loaded."""
        client = Recording()
        rollout = ROLLOUT | {"control_proxies": []}
        counts = load_arms(client, rollout, STARTED + timedelta(seconds=60), RolloutConfig(before_s=30))
        before = [parameters for query, parameters in client.asked if query == load_sql("rollout_arms")][1]
        assert (before["start"], before["end"]) == (EPOCH - 30, EPOCH)
        assert counts.before is not None
        assert counts.reference is counts.before

    def test_both_ends(self) -> None:
        """What callers sent and callees took in is asked for, without what was derived from spans."""

        class Ended(Recording):
            def query(self, query: str, parameters: dict[str, Any]) -> Any:
                super().query(query, parameters)
                return Recording([(120, 118)] if query == load_sql("rollout_ends") else [])

        client = Ended()
        counts = load_arms(client, ROLLOUT, STARTED + timedelta(seconds=38))
        assert counts.ends == Ends(120, 118)
        query, parameters = next(one for one in client.asked if one[0] == load_sql("rollout_ends"))
        assert all(f"{{{name}:" in query for name in parameters)
        assert (parameters["source"], parameters["destination"]) == ("frontend", "recommendation")


class TestCollect:
    def test_outcomes(self) -> None:
        """Failures count as requests but not as good, cancelled ones not at all, slow successes as good but late."""
        latency = {bucket_index(0.1): 6, bucket_index(2.0): 2}
        rows = [
            (0, "a", 4, "ok", 8, 8, 0, 0, latency),
            (0, "a", 4, "timeout", 2, 4, 2, 0, {}),
            (0, "a", 4, "cancelled", 3, 3, 0, 0, {}),
            (0, "a", 4, "", 0, 0, 0, 5, {}),  # what its budget refused
            (0, "a", 3, "ok", 99, 99, 0, 0, {}),  # before it applied the candidate
            (10, "b", 3, "ok", 5, 5, 0, 0, {}),
            (10, "stranger", 4, "ok", 99, 99, 0, 0, {}),
            (40, "a", 4, "ok", 99, 99, 0, 0, {}),
        ]
        counts = collect(rows, range(0, 20, 10), ["a"], ["b", "c"], slow_threshold_s=0.5, versions=Versions(4))
        assert counts.canary.requests.tolist() == [[10, 0]]
        assert counts.canary.good.tolist() == [[8, 0]]
        assert counts.canary.timely.tolist() == [[6, 0]]
        assert counts.canary.attempts.tolist() == [[15, 0]]
        assert counts.canary.denied.tolist() == [[5, 0]]
        assert counts.control.requests.tolist() == [[0, 5], [0, 0]]
        assert counts.control.timely.tolist() == [[0, 5], [0, 0]]
