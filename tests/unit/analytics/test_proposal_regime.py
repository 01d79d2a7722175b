import numpy as np
import pytest

from meshwise.analytics.proposal.regime import CUT_EVIDENCE, best_cut, sick_endpoints, split
from meshwise.analytics.replay.attempts import Attempts
from support.recorded_attempts import EPOCH_S, drifting, heavy_tail, recording


class TestSplit:
    def test_finds_the_beginning_of_a_fault(self) -> None:
        """The observed regime begins within a block of where the failures did."""
        regime = split(heavy_tail(120, 20, healthy_s=60), 10, 3)
        assert regime.cuts == 1
        assert abs(float(regime.now.start[0]) - (EPOCH_S + 60)) <= 10
        assert (regime.normal.start < EPOCH_S + 70).all()

    def test_steady_failures_are_one_regime(self) -> None:
        """In at most 1 of 100 steady windows is a change seen that is none."""
        cuts = sum(split(heavy_tail(120, 20, seed=seed), 10, 3).cuts > 0 for seed in range(100))
        assert cuts <= 1

    def test_clumps_are_not_a_change(self) -> None:
        """Blocks that differ a lot among themselves are dispersion, not one change after another."""
        shares = np.random.default_rng(0).beta(2, 8, 30)
        bad = np.random.default_rng(1).random(3000) < np.repeat(shares, 100)
        regime = split(recording(3000, 300, outcome=np.where(bad, "timeout", "ok")), 10, 3)
        assert regime.cuts == 0

    def test_recovery(self) -> None:
        """After a fault ended, the regime is the healthy part."""
        start = EPOCH_S + (np.arange(2400) + 0.5) / 20
        bad = (np.random.default_rng(0).random(2400) < 0.3) & (start < EPOCH_S + 60)
        regime = split(recording(2400, 120, outcome=np.where(bad, "timeout", "ok")), 10, 3)
        assert regime.now.ok.all()

    def test_drift(self) -> None:
        """Failures that are growing at the window's end, too few yet for a cut, are called drifting."""
        regime = split(drifting(), 10, 3)
        assert regime.cuts == 0
        assert regime.is_drifting

    @pytest.mark.parametrize("failed", [[10] * 9, [10] * 6 + [13] * 3, [4, 18] * 4 + [11]])
    def test_no_drift(self, failed: list[int]) -> None:
        """Steady failures, a third more of them, and blocks that differ all along are none."""
        regime = split(drifting(failed), 10, 3)
        assert regime.cuts == 0
        assert not regime.is_drifting

    def test_growth_beyond_doubt(self) -> None:
        """Failures that have grown for long are cut to the newest part."""
        start = np.arange(2400) / 2400
        bad = np.random.default_rng(0).random(2400) < 0.5 * start
        assert split(recording(2400, 120, outcome=np.where(bad, "timeout", "ok")), 10, 3).cuts > 0


class TestSickEndpoints:
    """Eight endpoints that answer in 20 ms, one of which fails most of what it is sent after a second."""

    def attempts(self, share: float, *, sick: int = 1) -> Attempts:
        endpoint = np.arange(4000) % 8
        late = (endpoint < sick) & (np.random.default_rng(7).random(4000) < share)
        duration = np.where(late, 1.0, np.where(endpoint < sick, 0.7, 0.02))
        outcome = np.where(late, "timeout", "ok")
        return recording(4000, 200, duration=duration, outcome=outcome, endpoint=endpoint.astype(str))

    def test_not_normal(self) -> None:
        """What a sick endpoint answers after all is no part of normal times; the other endpoints are."""
        regime = split(self.attempts(0.9), 10, 3)
        assert regime.sick == ("0",)
        assert regime.normal.duration.max() == 0.02
        assert (regime.now.endpoint == "0").any()

    @pytest.mark.parametrize(("share", "sick"), [(0.1, 1), (0.9, 4), (0.9, 8)])
    def test_slow_or_everywhere(self, share: float, sick: int) -> None:
        """An endpoint that is merely slow is as normal as any, and half of them are not the exception."""
        attempts = self.attempts(share, sick=sick)
        assert sick_endpoints(attempts) == ()
        assert split(attempts, 10, 3).normal.duration.max() > 0.02


class TestBestCut:
    def test_known_place(self) -> None:
        """An obvious step is found where it is, with evidence beyond the threshold."""
        place, evidence = best_cut(np.array([0.0, 0, 0, 30, 30, 30]), np.full(6, 100.0))
        assert place == 3
        assert evidence > CUT_EVIDENCE
