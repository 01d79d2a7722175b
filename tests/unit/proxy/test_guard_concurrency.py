"""The adaptive limit against an application whose latency follows from what is under way."""

from collections import deque

import pytest

from meshwise.contracts.policy import Priority
from meshwise.proxy.guard.concurrency import Gate, Gradient


def settle(gate: Gate, capacity: int, *, service_s: float = 0.01, seconds: float = 30.0) -> float:
    """Offer more than enough to an application that works on ``capacity`` requests at once; return the limit."""
    now, work = 0.0, deque[tuple[float, float]]()
    while now < seconds:
        while gate.enter("high"):
            work.append((now + service_s * max(1.0, gate.in_flight / capacity), now))
        ends, began = work.popleft()
        now = max(now, ends)
        gate.leave(now - began, now)
    return gate.limit


def test_the_limit_finds_what_the_application_can_do() -> None:
    """Under overload it settles above the capacity and well below what was offered."""
    assert 20 <= settle(Gate(1000, adaptive=True), 30) <= 120
    assert settle(Gate(1000, adaptive=True), 200) > 150


def test_it_grows_while_latency_is_steady_and_falls_when_it_rises() -> None:
    """Windows of one latency raise the limit by a little each; a window four times as slow takes a tenth off."""
    gradient = Gradient(100)
    now = 0.0

    def window(latency: float) -> None:
        nonlocal now
        for _ in range(11):
            now += 0.011
            gradient.observe(latency, int(gradient.limit), now)

    for _ in range(20):
        window(0.01)
    grown = gradient.limit
    assert grown > 30
    window(0.04)
    window(0.04)
    assert gradient.limit < grown
    for _ in range(200):
        window(1.0)
    assert gradient.limit >= 4


def test_an_idle_application_says_nothing() -> None:
    """With less than half of the limit in use, latency does not move it."""
    gradient = Gradient(100)
    for step in range(500):
        gradient.observe(0.01 * (1 + step % 7), 2, step * 0.02)
    assert gradient.limit == 20.0


def test_it_never_leaves_its_bounds() -> None:
    """The policy's maximum holds, also below the algorithm's own beginning."""
    gate = Gate(3, adaptive=True)
    assert gate.limit == 3.0
    assert settle(gate, 100, seconds=5.0) == 3.0


@pytest.mark.parametrize(("priority", "most"), [("high", 10), ("normal", 9), ("low", 7)])
def test_each_class_has_its_share(priority: Priority, most: int) -> None:
    """Of a limit of ten, high may fill all, normal nine, low seven; what was refused is counted."""
    gate = Gate(10, adaptive=False)
    assert sum(gate.enter(priority) for _ in range(20)) == most
    assert (gate.in_flight, gate.refused) == (most, 20 - most)
    gate.leave(0.1, 1.0)
    assert gate.enter(priority)


def test_every_class_may_have_one() -> None:
    """A limit of one is not nothing to the lowest class."""
    assert Gate(1, adaptive=False).enter("low")
