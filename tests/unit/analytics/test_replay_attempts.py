from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from meshwise.analytics.replay.attempts import AttemptKey, Attempts, load_attempts
from meshwise.analytics.replay.blocks import arrange
from meshwise.analytics.replay.simulate import replay
from meshwise.analytics.sql import load_sql
from meshwise.analytics.world import Window, World
from meshwise.contracts.rows import EdgeBucket
from support.recorded_attempts import policy, quiet_world, recording

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


class Recording:
    """A client that remembers what it was asked and answers with prepared rows."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.result_rows = rows
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def query(self, query: str, parameters: dict[str, Any]) -> Any:
        self.asked.append((query, parameters))
        return self


class TestAttempts:
    def test_sorted_by_time(self) -> None:
        """Columns are brought into order of time together."""
        attempts = Attempts.from_columns(start=[2.0, 1.0], duration=[0.2, 0.1], outcome=["timeout", "ok"])
        assert attempts.duration.tolist() == [0.1, 0.2]
        assert attempts.censored.tolist() == [False, True]

    def test_unequal_columns_are_refused(self) -> None:
        """A column of another length is refused by its name."""
        with pytest.raises(ValueError, match="outcome"):
            Attempts.from_columns(start=[1.0, 2.0], duration=[0.1, 0.2], outcome=["ok"])

    def test_groups(self) -> None:
        """Attempts are grouped by caller, callee and route, in order of these."""
        attempts = recording(4, 10, route=["/b", "", "/b", ""])
        groups = dict(attempts.groups())
        assert list(groups) == [
            AttemptKey("frontend", "recommendation", ""),
            AttemptKey("frontend", "recommendation", "/b"),
        ]
        assert [len(group) for group in groups.values()] == [2, 2]


class TestCounted:
    def test_load_of_the_moment(self) -> None:
        """Each attempt gets the rate that proxies counted on its edge in its ten seconds, not that of the sample."""
        quiet = quiet_world(60)
        rows = [
            EdgeBucket(
                quiet.window.start + timedelta(seconds=10 * bucket),
                *("frontend", "recommendation", "", "GET", "client", "", 1, "ok"),
                requests=100 * bucket,
                attempts=100 * bucket,
                retries=0,
                retries_denied=0,
                latency={-50: 100 * bucket},
            )
            for bucket in range(quiet.size)
        ]
        attempts = recording(60, 60).counted(World.from_buckets(quiet.window, rows))
        last = (quiet.size - 1) * 10.0
        assert attempts.load[-1] == pytest.approx(last)
        assert attempts.load[0] == pytest.approx(last - 50.0)
        assert not recording(60, 60, destination=["other"] * 60).counted(quiet).load.any()

    def test_a_sample_is_told(self) -> None:
        """Where one request in ten was recorded, rates are those counted, and so is what a budget's floor is worth."""
        bad = np.arange(600) % 2 == 0
        columns = {"outcome": np.where(bad, "error", "ok"), "status": np.where(bad, 500, 200)}
        all_of_them = recording(600, 60, instance=["a"] * 600, **columns)
        sample = replace(all_of_them, load=np.full(600, 100.0))
        assert arrange(sample).sampled == pytest.approx(0.1)
        assert arrange(sample).rate == pytest.approx(100.0)
        floor = policy(
            retry={"max": 1, "on": {"codes": [500]}, "budget": {"percent": 0, "min_per_second": 2}},
        )
        made = [replay(one, floor).attempts_per_request.value for one in (all_of_them, sample)]
        assert made == [pytest.approx(1.2, abs=0.02), pytest.approx(1.02, abs=0.01)]


class TestLoadAttempts:
    def test_nothing_recorded(self) -> None:
        """An empty window gives no attempts and no groups."""
        attempts = load_attempts(Recording([]), Window(START, START + timedelta(seconds=60)))
        assert len(attempts) == 0
        assert list(attempts.groups()) == []

    def test_values_are_bound(self) -> None:
        """The query text is fixed: window, attribute names and limits are parameters, every one of them used."""
        client = Recording([])
        load_attempts(client, Window(START, START + timedelta(seconds=60)), max_per_route=7)
        query, parameters = client.asked[0]
        assert query == load_sql("attempts")
        assert parameters["end"] - parameters["start"] == 60
        assert parameters["max_per_route"] == 7
        assert all(f"{{{name}:" in query for name in parameters)
