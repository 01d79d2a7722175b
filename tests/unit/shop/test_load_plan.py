from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise

import pytest
from examples.shop.load_plan import MIX, plan


def test_the_same_seed_gives_the_same_plan() -> None:
    """A plan follows from its seed alone."""
    assert list(islice(plan(20.0, 7), 200)) == list(islice(plan(20.0, 7), 200))
    assert list(islice(plan(20.0, 7), 200)) != list(islice(plan(20.0, 8), 200))


def test_arrivals_come_at_the_asked_rate() -> None:
    """Over many arrivals the mean gap is one over the rate, and so is its deviation, as with Poisson arrivals."""
    times = [shot.at for shot in islice(plan(25.0, 1), 20_000)]
    gaps = [after - before for before, after in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(0.04, rel=0.03)
    assert deviation == pytest.approx(0.04, rel=0.05)


def test_the_mix_is_kept() -> None:
    """Each kind of request comes as often as its weight says."""
    counts = Counter(shot.kind for shot in islice(plan(25.0, 1), 20_000))
    for kind, weight in MIX:
        assert counts[kind] / 20_000 == pytest.approx(weight / 100, abs=0.01)


def test_only_checkouts_carry_a_key_and_each_its_own() -> None:
    """Every checkout has an idempotency key that no other request has."""
    shots = list(islice(plan(25.0, 1), 5000))
    keys = [shot.idempotency_key for shot in shots if shot.kind == "checkout"]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert all(shot.idempotency_key is None for shot in shots if shot.kind != "checkout")


def test_a_rate_of_nothing_is_refused() -> None:
    """A plan needs a rate above zero."""
    with pytest.raises(ValueError, match="rate"):
        next(plan(0.0, 1))
