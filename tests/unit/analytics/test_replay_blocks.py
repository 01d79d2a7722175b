import numpy as np
import pytest

from meshwise.analytics.replay.blocks import OK, TIMEOUT, arrange
from meshwise.contracts.telemetry import OUTCOMES
from support.recorded_attempts import EPOCH_S, recording


class TestArrange:
    def test_order_of_time(self) -> None:
        """Attempts stand in order of time, and blocks count the requests that began in them."""
        blocks = arrange(recording(60, 30))
        assert blocks.size == 3
        assert blocks.requests.tolist() == [20, 20, 20]
        assert (np.diff(blocks.start) > 0).all()
        assert blocks.block.tolist() == np.repeat([0, 1, 2], 20).tolist()

    def test_retries_do_not_count_as_requests(self) -> None:
        """Later attempts can be drawn, but only first attempts are requests."""
        blocks = arrange(recording(30, 30, ordinal=np.tile([1, 1, 2], 10)))
        assert blocks.requests.sum() == 20
        assert len(blocks.duration) == 30

    def test_no_first_attempt(self) -> None:
        """A recording without any first attempt cannot be replayed."""
        with pytest.raises(ValueError, match="first attempt"):
            arrange(recording(3, 10, ordinal=[2, 2, 3]))


class TestNear:
    def test_around_the_moment(self) -> None:
        """Drawn are attempts within half a second, at the endpoint that was not tried."""
        blocks = arrange(recording(2000, 100))
        tried = np.full((500, 1), 1000)
        pick = blocks.near(np.full(500, blocks.start[1000]), tried, *np.random.default_rng(0).random((2, 500)))
        assert np.abs(blocks.start[pick] - blocks.start[1000]).max() <= 0.5
        assert set(blocks.endpoint[pick].tolist()) == {1 - int(blocks.endpoint[1000])}

    def test_never_the_attempt_itself(self) -> None:
        """With a single endpoint an attempt's repetition is another one."""
        blocks = arrange(recording(200, 10, endpoint=["x"] * 200))
        tried = np.arange(200)[:, None]
        for seed in range(20):
            pick = blocks.near(blocks.start, tried, *np.random.default_rng(seed).random((2, 200)))
            assert (pick != tried[:, 0]).all()

    def test_thin_traffic(self) -> None:
        """Where attempts are minutes apart the nearest ones speak, also at the ends of the record."""
        blocks = arrange(recording(12, 1200))
        moments = np.array([blocks.start[0] - 50.0, blocks.start[-1] + 50.0])
        pick = blocks.near(moments, np.array([[0], [11]]), *np.random.default_rng(0).random((2, 2)))
        assert pick[0] in range(1, 5)
        assert pick[1] in range(7, 11)

    def test_lonely_attempt(self) -> None:
        """From a single attempt nothing else can be drawn, and that is no error."""
        blocks = arrange(recording(1, 10))
        assert blocks.near(blocks.start, np.array([[0]]), np.zeros(1), np.zeros(1)).tolist() == [0]


class TestStickyShare:
    @pytest.mark.parametrize("share", [0.0, 0.6])
    def test_what_the_moment_does_not_explain(self, share: float) -> None:
        """A tenth of the first attempts fail; of their retries as many as stick to the request, and a tenth more."""
        rng = np.random.default_rng(4)
        bad = rng.random(4000) < 0.1
        again = np.flatnonzero(bad)
        worse = (rng.random(len(again)) < share) | (rng.random(len(again)) < 0.1)
        start = EPOCH_S + (np.arange(4000) + 0.5) * 0.05
        attempts = recording(
            4000 + len(again),
            200,
            start=np.concatenate([start, start[again] + 0.03]),
            ordinal=np.concatenate([np.ones(4000), np.full(len(again), 2)]).astype(int),
            outcome=np.where(np.concatenate([bad, worse]), "error", "ok"),
            endpoint=np.concatenate([np.arange(4000) % 3, (again + 1) % 3]).astype(str),
            request_id=np.concatenate([np.arange(4000), again]).astype(str),
            instance=["i"] * (4000 + len(again)),
            policy_version=np.ones(4000 + len(again), dtype=int),
        )
        assert arrange(attempts).sticky == pytest.approx(np.full(len(OUTCOMES), share), abs=0.08)

    def test_by_how_it_failed(self) -> None:
        """Timeouts whose retries fail again and quick errors whose retries do not are told apart."""
        kind = np.random.default_rng(5).choice(["ok", "timeout", "error"], 6000, p=[0.8, 0.1, 0.1])
        again = np.flatnonzero(kind != "ok")
        stuck = (kind[again] == "timeout") & (np.random.default_rng(6).random(len(again)) < 0.8)
        start = EPOCH_S + (np.arange(6000) + 0.5) * 0.05
        attempts = recording(
            6000 + len(again),
            300,
            start=np.concatenate([start, start[again] + 0.03]),
            ordinal=np.concatenate([np.ones(6000), np.full(len(again), 2)]).astype(int),
            outcome=np.concatenate([kind, np.where(stuck, "timeout", "ok")]),
            endpoint=np.concatenate([np.arange(6000) % 3, (again + 1) % 3]).astype(str),
            request_id=np.concatenate([np.arange(6000), again]).astype(str),
            instance=["i"] * (6000 + len(again)),
            policy_version=np.ones(6000 + len(again), dtype=int),
        )
        sticky = arrange(attempts).sticky
        assert sticky[OUTCOMES.index("timeout")] > 0.6
        assert sticky[OUTCOMES.index("error")] == 0.0

    def test_nothing_recorded(self) -> None:
        """Without retries in the record nothing is laid to requests."""
        assert not arrange(recording(300, 30)).sticky.any()


class TestDrawTail:
    def test_conditional_on_the_cut(self) -> None:
        """What was cut off at 1 s ends only at times seen beyond 1 s, as often as Kaplan and Meier say."""
        # 10 end at 0.5, 10 are cut off at 1.0, and of the 20 left 10 end at 2.0, 10 are cut off at 3.0.
        duration = np.repeat([0.5, 1.0, 2.0, 3.0], 10)
        outcome = np.repeat(["ok", "timeout", "ok", "timeout"], 10)
        blocks = arrange(recording(40, 10, duration=duration, outcome=outcome))
        time, outcomes, _ = blocks.draw_tail(np.full(20_000, 1.0), np.random.default_rng(0))
        assert set(np.unique(time)) == {2.0, np.inf}
        assert (time == 2.0).mean() == pytest.approx(0.5, abs=0.02)
        assert set(outcomes[time == 2.0]) == {OK}
        assert set(outcomes[np.isinf(time)]) == {TIMEOUT}

    def test_nothing_ever_ended(self) -> None:
        """When every attempt was cut off, none is credited with an end."""
        blocks = arrange(recording(10, 10, outcome=np.full(10, "timeout")))
        time, _, _ = blocks.draw_tail(np.zeros(5), np.random.default_rng(0))
        assert np.isinf(time).all()
