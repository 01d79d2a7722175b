"""An endpoint's latency as the balancer sees it."""

from math import exp

import pytest

from meshwise.proxy.cluster.latency import PeakEwma


def test_it_rises_at_once_and_falls_slowly() -> None:
    """A peak replaces the average; what is faster moves it by the time that has passed, ten seconds a factor of e."""
    one = PeakEwma()
    one.observe(0.1, 100.0, failed=False)
    assert one.cost(0, 100.0) == 0.1
    one.observe(0.5, 101.0, failed=False)
    assert one.cost(0, 101.0) == 0.5
    one.observe(0.1, 111.0, failed=False)
    assert one.cost(0, 111.0) == pytest.approx(0.5 * exp(-1) + 0.1 * (1 - exp(-1)))
    assert one.cost(0, 121.0) == pytest.approx(one.cost(0, 111.0) * exp(-1)), "nobody is shunned for ever"


def test_cost_grows_with_what_is_under_way() -> None:
    """Each attempt under way is taken to need as long again; a new endpoint is free once, then costs a second."""
    one = PeakEwma()
    assert (one.cost(0, 5.0), one.cost(2, 5.0)) == (0.0, 3.0)
    one.observe(0.2, 5.0, failed=False)
    assert one.cost(3, 5.0) == pytest.approx(0.8)


def test_failing_fast_is_not_being_fast() -> None:
    """A failure counts as a second at least."""
    one = PeakEwma()
    one.observe(0.001, 5.0, failed=True)
    assert one.cost(0, 5.0) == 1.0
