import numpy as np

from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.forest import Forest

CONFIG = AnomalyConfig()
ROWS = np.abs(np.random.default_rng(0).normal(size=(100, 8)))


class TestForest:
    def test_far_is_worse(self) -> None:
        """A row far outside scores higher than one of the usual, which scores 0."""
        scores = Forest(CONFIG).fit(ROWS).score(np.array([np.full(8, 8.0), np.full(8, 0.7)]))
        assert scores[0] > 0.5
        assert scores[1] == 0.0

    def test_same_again(self) -> None:
        """Fitting again to the same rows gives the same scores."""
        one, two = (Forest(CONFIG).fit(ROWS).score(ROWS) for _ in range(2))
        np.testing.assert_array_equal(one, two)

    def test_too_little_to_learn(self) -> None:
        """With a handful of rows it abstains."""
        assert Forest(CONFIG).fit(ROWS[:5]).score(ROWS).tolist() == [0.0] * 100
