"""Which endpoint is picked."""

import random
from collections import Counter
from dataclasses import dataclass

from meshwise.proxy.cluster.balancer import pick, usable


@dataclass(eq=False)
class Node:
    name: str
    active: int = 0
    rests_until: float = 0.0

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
