import numpy as np
from benchmarks.anomaly.faults import Fault
from benchmarks.shop import KINDS, _result, shop

from meshwise.analytics.cause.table import Metric


class TestShop:
    def test_a_service_and_a_network(self) -> None:
        """A service at fault is told from the network before it, from what the front end saw."""
        mesh = shop()
        edge = mesh.position("frontend", "cart")
        for of_network, blamed in ((True, "frontend -> cart"), (False, "cart")):
            found = _result(
                mesh, Fault("errors", 0.5, (edge,), 0.0), Metric.ERRORS, np.random.default_rng(3), of_network=of_network
            )
            assert found.right
            assert found.where == blamed

    def test_kinds_are_forty_faults(self) -> None:
        """Every kind has a symptom that a front end shows."""
        assert len(KINDS) * 5 == 40
