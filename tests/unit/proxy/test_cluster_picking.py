"""Who takes an attempt: algorithms, weights, levels, zones, panic, slow start."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.contracts.policy import Balance
from meshwise.contracts.snapshot import Endpoint
from meshwise.proxy.cluster.cluster import EndpointState
from meshwise.proxy.cluster.picking import Picker, level_loads, needs_picker
from meshwise.proxy.http1.heads import RequestHead

NOW = 1000.0


def node(name: str, since: float = 0.0, **fields: Any) -> EndpointState:
    return EndpointState(Endpoint(name, "127.0.0.1", 80, **fields), since)


def shares(balance: Balance, nodes: list[EndpointState], zone: str = "", times: int = 4000) -> Counter[str]:
    """Return how many of so many picks each endpoint gets."""
    rng = random.Random(7).random
    picker = Picker(balance, nodes, zone)
    found: Counter[str] = Counter()
    for _ in range(times):
        picked = picker.pick(NOW, (), b"", rng)
        assert picked is not None
        found[picked.id] += 1
    return found


def chi_square(found: Counter[str], expected: dict[str, float]) -> float:
    return sum((found[name] - count) ** 2 / count for name, count in expected.items())


def test_random_is_uniform_and_follows_weights() -> None:
    """Chi-square below the 0.1 % point: for equal endpoints, and for weights 1, 2 and 5."""
    even = shares(Balance("random"), [node(name) for name in "abcde"])
    assert chi_square(even, dict.fromkeys("abcde", 800.0)) < 18.5
    weighted = shares(Balance("random"), [node("a"), node("b", weight=2), node("c", weight=5)])
    assert chi_square(weighted, {"a": 500.0, "b": 1000.0, "c": 2500.0}) < 13.8


def test_round_robin_is_exact_and_smooth() -> None:
    """In every eight picks weights 1, 2 and 5 get 1, 2 and 5, and the heaviest never more than twice in a row."""
    nodes = [node("a"), node("b", weight=2), node("c", weight=5)]
    picker = Picker(Balance("round_robin"), nodes, "")
    picked = [picker.pick(NOW, (), b"", random.random) for _ in range(80)]
    names = "".join(one.id for one in picked if one is not None)
    assert all(Counter(names[at : at + 8]) == {"a": 1, "b": 2, "c": 5} for at in range(0, 80, 8))
    assert "ccc" not in names[:8]


def test_least_request_prefers_the_idle_and_peak_ewma_the_fast() -> None:
    """The busiest and the slowest of four is never the better of two."""
    nodes = [node(name) for name in "abcd"]
    nodes[0].active = 9
    assert shares(Balance("least_request", panic_percent=1), nodes)["a"] == 0
    nodes[0].active = 0
    for index, one in enumerate(nodes):
        one.latency.observe(0.4 if index == 0 else 0.01, NOW, failed=False)
    found = shares(Balance("peak_ewma"), nodes)
    assert found["a"] == 0
    assert min(found["b"], found["c"], found["d"]) > 500


def test_a_busy_fast_endpoint_is_left_for_a_slower_idle_one() -> None:
    """Peak EWMA weighs latency with what is under way: 10 ms with nine others costs as much as 100 ms alone."""
    fast, slow = node("fast"), node("slow")
    fast.latency.observe(0.01, NOW, failed=False)
    slow.latency.observe(0.05, NOW, failed=False)
    assert shares(Balance("peak_ewma"), [fast, slow], times=50) == {"fast": 50}
    fast.active = 9
    assert shares(Balance("peak_ewma"), [fast, slow], times=50) == {"slow": 50}


@pytest.mark.parametrize("algorithm", ["ring_hash", "maglev"])
def test_equal_keys_meet_and_none_is_random(algorithm: Any) -> None:
    """A key finds one endpoint every time; without a key everybody gets a share; a tried one is passed over."""
    nodes = [node(name) for name in "abcde"]
    picker = Picker(Balance(algorithm, hash_on="source"), nodes, "")
    first = picker.pick(NOW, (), b"user-1", random.random)
    assert first is not None
    assert {picker.pick(NOW, (), b"user-1", random.random) for _ in range(20)} == {first}
    other = picker.pick(NOW, (first,), b"user-1", random.random)
    assert other not in (first, None)
    assert len({picker.pick(NOW, (), b"user-%d" % number, random.random) for number in range(200)}) == 5
    assert len(shares(Balance(algorithm, hash_on="source"), nodes, times=200)) == 5


def test_what_is_hashed() -> None:
    """A header whatever its case, one cookie of several, or the caller's address."""
    head = RequestHead(b"GET", b"/", 1)
    head.kept = b"X-User: 7 \r\ncookie: a=1; sid=abc\r\n"

    def key(hash_on: str) -> bytes:
        return Picker(Balance("maglev", hash_on=hash_on), [node("a")], "").key_of(head, "10.0.0.1")

    assert (key("header:x-USER"), key("header:other")) == (b"7", b"")
    assert (key("cookie:sid"), key("cookie:si")) == (b"abc", b"")
    assert key("source") == b"10.0.0.1"


def test_a_subset_has_all_of_the_labels() -> None:
    """An endpoint without one of them gets nothing; when nobody has them there is nobody."""
    nodes = [node("a", labels=(("v", "1"),)), node("b", labels=(("v", "2"), ("x", "y"))), node("c")]
    assert set(shares(Balance(subset=(("v", "2"),)), nodes)) == {"b"}
    assert Picker(Balance(subset=(("v", "3"),)), nodes, "").pick(NOW, (), b"", random.random) is None


@pytest.mark.parametrize(
    ("available", "loads"),
    [
        ([1.0, 1.0], [1.0, 0.0]),
        ([0.75, 1.0], [1.0, 0.0]),
        ([0.5, 1.0], [0.7, 0.3]),
        ([0.0, 1.0], [0.0, 1.0]),
        ([0.25, 0.25], [0.5, 0.5]),
        ([0.5, 0.25, 1.0], [0.7, 0.3, 0.0]),
        ([0.0, 0.0], [1.0, 0.0]),
    ],
)
def test_levels_take_over_from_each_other(available: list[float], loads: list[float]) -> None:
    """A level carries 1.4 times its available share; what it cannot is the next one's."""
    assert level_loads(available) == pytest.approx(loads)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_levels_carry_everything(available: list[float]) -> None:
    """Whatever is available, the shares add up to all of the traffic."""
    assert sum(level_loads(available)) == pytest.approx(1.0)


def test_half_of_level_0_away_sends_three_in_ten_to_level_1() -> None:
    """As the arithmetic says, in picks."""
    nodes = [node("a"), node("b"), node("c", priority=1)]
    nodes[1].health.ejected_until = NOW + 1
    found = shares(Balance("random"), nodes)
    assert found["b"] == 0
    assert found["c"] / 4000 == pytest.approx(0.3, abs=0.03)


def test_panic_when_too_few_are_available() -> None:
    """With one of four available at a threshold of half, all four are taken; at a quarter only the one."""
    nodes = [node(name) for name in "abcd"]
    for one in nodes[1:]:
        one.health.ejected_until = NOW + 1
    assert set(shares(Balance("random"), nodes)) == set("abcd")
    assert set(shares(Balance("random", panic_percent=25.0), nodes)) == {"a"}
    nodes[0].health.ejected_until = NOW + 1
    assert set(shares(Balance("random", panic_percent=0.0), nodes)) == set("abcd"), "nobody at all is panic too"


def test_the_own_zone_is_preferred_while_enough_of_it_is_available() -> None:
    """With half of it away it still is, with more the other zone helps; without the setting zones do not matter."""
    nodes = [node("a", zone="x"), node("b", zone="x"), node("c", zone="x"), node("d", zone="y"), node("e", zone="y")]
    balance = Balance("random", zone_aware=True)
    assert set(shares(balance, nodes, "x")) == set("abc")
    assert set(shares(Balance("random", zone_aware=False), nodes, "x")) == set("abcde")
    nodes[0].health.ejected_until = NOW + 1
    assert set(shares(balance, nodes, "x")) == set("bc")
    nodes[1].health.ejected_until = NOW + 1
    assert set(shares(balance, nodes, "x")) == set("cde")
    assert set(shares(balance, nodes, "z")) == set("cde"), "no endpoint in the own zone"


def test_a_new_endpoint_starts_slowly() -> None:
    """Of two endpoints, one five seconds into a window of ten gets a third, one that just came a tenth to the other."""
    balance = Balance("random", slow_start=10.0)
    young = shares(balance, [node("old"), node("new", NOW - 5.0)])
    assert young["new"] / 4000 == pytest.approx(1 / 3, abs=0.03)
    newest = shares(balance, [node("old"), node("new", NOW)])
    assert newest["new"] / 4000 == pytest.approx(0.1 / 1.1, abs=0.02)
    back = node("back")
    back.health.ejected_until = NOW - 5.0
    assert shares(balance, [node("old"), back])["back"] / 4000 == pytest.approx(1 / 3, abs=0.03)


def test_the_simple_case_needs_no_picker() -> None:
    """Round robin and least request among equal endpoints are ``balancer``'s."""
    plain, heavy = [node("a"), node("b")], [node("a"), node("b", weight=2)]
    assert not needs_picker(Balance(), plain)
    assert not needs_picker(Balance("round_robin"), plain)
    assert needs_picker(Balance(), heavy)
    assert needs_picker(Balance(), [node("a"), node("b", priority=1)])
    assert needs_picker(Balance("random"), plain)
    assert needs_picker(Balance(slow_start=5.0), plain)
