import json

import numpy as np
import pytest

from meshwise.analytics.peers import unlike
from meshwise.analytics.proposal import propose
from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.replay.attempts import Attempts
from meshwise.analytics.witnesses import named, trusted
from meshwise.analytics.world import EdgeKey
from support.recorded_attempts import heavy_tail, policy, quiet_world


class TestUnlike:
    @pytest.mark.parametrize(
        ("requests", "good", "odd"),
        [
            ([100, 110, 90, 105], [99, 109, 89, 104], []),
            ([100, 110, 90, 1000], [99, 109, 89, 990], [3]),  # everything ten times
            ([100, 110, 90, 105], [99, 109, 89, 0], [3]),  # failures that nobody else sees
            ([100, 110, 90, 105], [60, 66, 54, 105], [3]),  # success where the others fail
            ([100, 110, 90, 25], [99, 109, 89, 5], []),  # few requests say little
            ([100, 110, 1000, 900, 105], [99, 109, 0, 0, 104], [2, 3]),
            ([100, 1000], [99, 0], []),  # nobody can tell which of two is right
            ([100, 110, 1000, 900], [99, 109, 0, 0], []),  # nor of two pairs
            ([100, 0, 110, 90], [99, 0, 109, 89], []),
            ([], [], []),
        ],
    )
    def test_a_minority_is_told(self, requests: list[int], good: list[int], odd: list[int]) -> None:
        """Ten times the requests, or another share of good ones, of fewer than half of the proxies."""
        assert np.flatnonzero(unlike(requests, good)).tolist() == odd

    def test_honest_proxies_are_not(self) -> None:
        """Of a thousand groups of honest proxies with a tenth of failures, none is thought to lie."""
        rng = np.random.default_rng(3)
        for _ in range(1000):
            requests = rng.poisson(80, 5)
            assert not unlike(requests, rng.binomial(requests, 0.9)).any()

    def test_by_number_alone(self) -> None:
        """Of canaries only the number of requests is compared: that they fail may be the candidate's doing."""
        assert not unlike([100, 110, 90], [99, 109, 0], by_share=False).any()
        assert unlike([100, 110, 900], [99, 109, 0], by_share=False).tolist() == [False, False, True]


def of_ten(attempts: Attempts) -> dict[str, np.ndarray]:
    columns = {name: getattr(attempts, name).copy() for name in attempts.__dataclass_fields__}
    columns["instance"] = np.array([f"frontend-{n % 10}" for n in range(len(attempts))])
    return columns


class TestALyingMinority:
    """One proxy of ten lies; what is proposed is what the mesh might have proposed without it."""

    def proposed(self, attempts: Attempts) -> tuple[str, float]:
        believed, left_out = trusted(attempts)
        world = quiet_world(120)
        (finding,) = named(propose(believed, world, [policy()], ProposalConfig()), left_out)
        assert finding.status == "proposed", finding.sentence
        document = json.loads(finding.policy)
        assert json.loads(finding.evidence).get("left_out", []) == list(
            left_out.get(EdgeKey("frontend", "recommendation"), ())
        )
        return document["timeout"]["attempt"], document["retry"]["max"]

    def test_whatever_it_says(self) -> None:
        """Everything ten times, failures only, answers ten times as quick: none moves more than an honest proxy."""
        honest = heavy_tail(120, 20)
        columns = of_ten(honest)
        without_one = {
            self.proposed(Attempts.from_columns(**{name: column[left] for name, column in columns.items()}))
            for left in (columns["instance"] != f"frontend-{number}" for number in (0, 2, 3, 9))
        }
        for lie in ("ten times", "failures", "quick"):
            columns = of_ten(honest)
            liar = columns["instance"] == "frontend-0"
            if lie == "failures":
                columns["outcome"] = columns["outcome"].astype("<U16")
                columns["outcome"][liar] = "error"
                columns["status"][liar] = 500
            if lie == "quick":
                columns["duration"][liar] /= 10.0
            if lie == "ten times":
                rows = np.concatenate([np.arange(len(liar)), *[np.flatnonzero(liar)] * 9])
                columns = {name: column[rows] for name, column in columns.items()}
                columns["duration"][len(liar) :] *= 0.1
            assert self.proposed(Attempts.from_columns(**columns)) in without_one, lie
