from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.analytics.world import EdgeKey, RouteKey, Window, World
from meshwise.contracts import histogram
from meshwise.contracts.rows import EdgeBucket

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(seconds=30))


def bucket(second: int = 0, **fields: object) -> EdgeBucket:
    row: dict[str, object] = {
        "source": "frontend",
        "destination": "cart",
        "route": "",
        "method": "GET",
        "side": "client",
        "instance": "frontend-1",
        "policy_version": 1,
        "outcome": "ok",
        "requests": 1,
        "attempts": 1,
        "retries": 0,
        "retries_denied": 0,
        "latency": {},
    }
    return EdgeBucket(bucket=START + timedelta(seconds=second), **{**row, **fields})  # type: ignore[arg-type]


class TestWindow:
    def test_aligned_widens(self) -> None:
        """Aligning a window moves its start back and its end forward to whole buckets."""
        window = Window(START + timedelta(seconds=3), START + timedelta(seconds=11)).aligned(10)
        assert window == Window(START, START + timedelta(seconds=20))

    def test_naive_times_are_refused(self) -> None:
        """A window without a time zone is refused: it would mean another hour on another machine."""
        with pytest.raises(ValueError, match="time zone"):
            Window(datetime(2026, 1, 1), datetime(2026, 1, 2))  # noqa: DTZ001  # the case under test

    def test_empty_is_refused(self) -> None:
        """A window that ends where it starts is refused."""
        with pytest.raises(ValueError, match="end after"):
            Window(START, START)


class TestWorld:
    def test_rows_of_instances_add_up(self) -> None:
        """Rows of several instances and policy versions of a route become one series."""
        world = World.from_buckets(
            WINDOW,
            [
                bucket(instance="a", requests=2, attempts=3, retries=1),
                bucket(instance="b", policy_version=2, requests=5),
            ],
        )
        series = world.routes[RouteKey("frontend", "cart", "", "GET")]
        assert series.client.requests.tolist() == [7, 0, 0]
        assert series.attempts.tolist() == [4, 0, 0]
        assert series.retries.tolist() == [1, 0, 0]

    def test_cancelled_is_neither_good_nor_bad(self) -> None:
        """Cancelled requests count neither as requests nor as failures, and their latency is left out."""
        world = World.from_buckets(
            WINDOW,
            [
                bucket(requests=8, latency={3: 8}),
                bucket(outcome="cancelled", requests=5, latency={90: 5}),
                bucket(outcome="timeout", requests=2, latency={40: 2}),
            ],
        )
        client = world.edges[EdgeKey("frontend", "cart")].client
        assert (client.requests[0], client.failures[0], client.cancelled[0]) == (10, 2, 5)
        assert client.error_share[0] == pytest.approx(0.2)
        assert client.histogram() == {3: 8, 40: 2}
        assert client.histogram(ok=True) == {3: 8}

    def test_rows_outside_the_window_are_left_out(self) -> None:
        """Buckets before the start or at the end of the window are not counted."""
        world = World.from_buckets(WINDOW, [bucket(-10), bucket(30), bucket(29)])
        assert world.edges[EdgeKey("frontend", "cart")].client.requests.tolist() == [0, 0, 1]

    def test_edge_adds_its_routes(self) -> None:
        """An edge is the sum of its routes even when their histograms share no bucket."""
        world = World.from_buckets(
            WINDOW,
            [bucket(route="/a", latency={1: 1}), bucket(10, route="/b", outcome="error", requests=3, latency={5: 3})],
        )
        assert len(world.routes) == 2
        edge = world.edges[EdgeKey("frontend", "cart")]
        assert edge.client.requests.tolist() == [1, 3, 0]
        assert edge.client.histogram() == {1: 1, 5: 3}
        assert edge.attempt_failures.tolist() == [0, 1, 0]

    def test_quantile_is_nan_where_nothing_was_measured(self) -> None:
        """A bucket without requests has no percentile, rather than a percentile of zero."""
        world = World.from_buckets(WINDOW, [bucket(10, latency={0: 1})])
        quantile = world.edges[EdgeKey("frontend", "cart")].client.quantile(0.5)
        assert np.isnan(quantile[[0, 2]]).all()
        assert quantile[1] == histogram.bucket_middle(0)

    def test_arrays_are_read_only(self) -> None:
        """No audit can change the numbers another one reads."""
        world = World.from_buckets(WINDOW, [bucket()])
        with pytest.raises(ValueError, match="read-only"):
            world.edges[EdgeKey("frontend", "cart")].client.requests[0] = 5

    def test_times_and_services(self) -> None:
        """A world names its services and the start of each bucket."""
        world = World.from_buckets(WINDOW, [bucket(source="")])
        assert world.services == ("cart",)
        assert world.times[1] == np.datetime64("2026-03-02T10:00:10")

    @given(
        st.lists(
            st.dictionaries(st.integers(-200, 200), st.integers(1, 1000), min_size=1, max_size=12),
            min_size=1,
            max_size=3,
        ),
        st.floats(0.01, 1.0),
    )
    def test_quantiles_agree_with_contracts(self, maps: list[dict[int, int]], q: float) -> None:
        """Per-bucket quantiles equal those that ``contracts.histogram`` computes from the same counts."""
        rows = [bucket(10 * i, latency=counts, requests=sum(counts.values())) for i, counts in enumerate(maps)]
        client = World.from_buckets(WINDOW, rows).edges[EdgeKey("frontend", "cart")].client
        expected = [histogram.quantile(counts, q) for counts in maps]
        assert client.quantile(q)[: len(maps)].tolist() == pytest.approx(expected, rel=1e-12)
