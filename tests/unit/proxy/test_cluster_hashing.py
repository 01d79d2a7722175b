"""Consistent hashing: even shares, and what moves when an endpoint comes or goes."""

from collections import Counter

import pytest

from meshwise.proxy.cluster.hashing import HashRing, Maglev, hash64

KEYS = [hash64(b"user-%d" % number) for number in range(20_000)]
NAMES = [f"catalog-{number}" for number in range(10)]
EVEN = [1] * 10


def anybody(_: int) -> bool:
    return True


@pytest.mark.parametrize(("kind", "tolerance"), [(HashRing, 0.30), (Maglev, 0.06)])
def test_everybody_has_about_the_same_share(kind: type[HashRing | Maglev], tolerance: float) -> None:
    """Of 20,000 keys each of ten endpoints has 2,000, give or take the algorithm's spread and the keys' own."""
    table = kind(NAMES, EVEN)
    found = Counter(table.find(key, anybody) for key in KEYS)
    assert all(abs(found[index] - 2000) < 2000 * tolerance for index in range(10))


@pytest.mark.parametrize(("kind", "tolerance"), [(HashRing, 0.25), (Maglev, 0.08)])
def test_a_share_follows_the_weight(kind: type[HashRing | Maglev], tolerance: float) -> None:
    """An endpoint of weight three has three times the keys of one of weight one."""
    table = kind(NAMES[:3], [1, 1, 3])
    found = Counter(table.find(key, anybody) for key in KEYS)
    assert found[2] / 20_000 == pytest.approx(0.6, rel=tolerance)


@pytest.mark.parametrize("kind", [HashRing, Maglev])
def test_a_resting_endpoint_moves_its_own_keys_alone(kind: type[HashRing | Maglev]) -> None:
    """While one may not be taken its keys go elsewhere, to several others, and come back after."""
    table = kind(NAMES, EVEN)
    before = [table.find(key, anybody) for key in KEYS]
    during = [table.find(key, lambda index: index != 3) for key in KEYS]
    assert all(now == then for now, then in zip(during, before, strict=True) if then != 3)
    assert len({now for now, then in zip(during, before, strict=True) if then == 3} - {3}) > 5
    assert table.find(KEYS[0], lambda _: False) == -1


@pytest.mark.parametrize(("kind", "most"), [(HashRing, 0.0), (Maglev, 0.10)])
def test_few_other_keys_move_when_an_endpoint_leaves(kind: type[HashRing | Maglev], most: float) -> None:
    """With one of ten gone for good, the ring moves nobody else's key, Maglev few."""
    before, after = kind(NAMES, EVEN), kind(NAMES[:9], EVEN[:9])
    old = [before.find(key, anybody) for key in KEYS]
    new = [after.find(key, anybody) for key in KEYS]
    stayed = [(one, other) for one, other in zip(old, new, strict=True) if one != 9]
    assert sum(one != other for one, other in stayed) <= most * len(stayed)


def test_nobody_is_found_where_nobody_is() -> None:
    """An empty table has no answer, and does not look for one for ever."""
    assert HashRing([], []).find(7, anybody) == -1
    assert Maglev([], []).find(7, anybody) == -1
