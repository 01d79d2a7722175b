import numpy as np
import pytest

from meshwise.analytics.replay.blocks import OK, TIMEOUT, arrange
from support.recorded_attempts import recording


class TestArrange:
    def test_bounds(self) -> None:
        """Blocks and endpoints are contiguous, and bounds point at exactly their attempts."""
        blocks = arrange(recording(60, 30))
        assert blocks.size == 3
        assert blocks.requests.tolist() == [20, 20, 20]
        assert blocks.instances.tolist() == [4, 4, 4]
        for position in range(60):
            block = blocks.block[position]
            assert blocks.block_start[block] <= blocks.peer_start[position] <= position < blocks.peer_end[position]
            assert blocks.peer_end[position] <= blocks.block_start[block + 1]
            assert blocks.peer_end[position] - blocks.peer_start[position] == 10

    def test_retries_do_not_count_as_requests(self) -> None:
        """Later attempts can be drawn, but only first attempts are requests."""
        blocks = arrange(recording(30, 30, ordinal=np.tile([1, 1, 2], 10)))
        assert blocks.requests.sum() == 20
        assert len(blocks.duration) == 30

    def test_no_first_attempt(self) -> None:
        """A recording without any first attempt cannot be replayed."""
        with pytest.raises(ValueError, match="first attempt"):
            arrange(recording(3, 10, ordinal=[2, 2, 3]))


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
