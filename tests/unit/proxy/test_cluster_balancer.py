"""Which endpoint is picked."""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from meshwise.proxy.cluster.balancer import pick, pick_connected, usable


@dataclass(eq=False)
class Node:
    name: str
    active: int = 0
    rests_until: float = 0.0
    idle: list[Any] = field(default_factory=list)

    def resting(self, now: float) -> bool:
        return now < self.rests_until


def test_round_robin_takes_turns() -> None:
    """Turn after turn, everybody is picked equally often."""
    nodes = [Node(name) for name in "abc"]
    picked = [pick(nodes, "round_robin", turn, random.random).name for turn in range(9)]
    assert Counter(picked) == {"a": 3, "b": 3, "c": 3}


def test_least_request_is_the_power_of_two_choices() -> None:
    """The busiest of all is never picked, and of two the idle one always."""
    rng = random.Random(3).random
    nodes = [Node("a", 9), Node("b", 1), Node("c", 1), Node("d", 1)]
    picked = Counter(pick(nodes, "least_request", 0, rng).name for _ in range(600))
    assert picked["a"] == 0
    assert min(picked["b"], picked["c"], picked["d"]) > 150
    assert {pick(nodes[:2], "least_request", 0, rng).name for _ in range(50)} == {"b"}


def test_equal_load_spreads_evenly() -> None:
    """Among equally busy endpoints nobody is preferred."""
    rng = random.Random(5).random
    nodes = [Node("a"), Node("b"), Node("c")]
    picked = Counter(pick(nodes, "least_request", 0, rng).name for _ in range(3000))
    assert all(900 < count < 1100 for count in picked.values())


def test_resting_and_tried_are_avoided_while_possible() -> None:
    """Resting endpoints and those already tried are passed over, unless nobody else is left."""
    a, b, c = Node("a"), Node("b", rests_until=10.0), Node("c")
    assert usable([a, b, c], 5.0) == [a, c]
    assert usable([a, b, c], 5.0, (a,)) == [c]
    assert usable([a, b, c], 5.0, (a, c)) == [a, c]
    assert usable([b], 5.0) == [b]


def test_who_has_a_connection_is_preferred_when_no_more_may_be_opened() -> None:
    """Of a thousand, six hundred connected, few picks need a connection moved; but nobody is left out for good."""
    rng = random.Random(7).random
    nodes = [Node(str(number), idle=[object()] if number % 5 < 3 else []) for number in range(1000)]
    picked = [pick_connected(nodes, pick(nodes, "least_request", 0, rng), "least_request", rng) for _ in range(4000)]
    without = sum(not node.idle for node in picked)
    assert 20 < without < 4000 * 0.06
    assert len({node.name for node in picked}) > 600
    first = nodes[4]
    assert pick_connected(nodes, first, "round_robin", rng) is first
