"""Which endpoint takes the next attempt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from meshwise.contracts.policy import Algorithm

DRAWS: Final = 3
"""How many more are drawn for one with an idle connection, once no more connections may be opened."""


class Candidate(Protocol):
    """What balancing looks at."""

    active: int
    """Attempts under way."""
    idle: list[Any]
    """Connections that nobody uses."""

    def resting(self, now: float) -> bool:
        """Tell whether the endpoint is ejected."""


C = TypeVar("C", bound=Candidate)


def usable(endpoints: Sequence[C], now: float, tried: Sequence[C] = ()) -> Sequence[C]:
    """Return who may be picked: not resting, and not tried before if there is anybody else.

    When all of them rest, all may be picked: a mesh that answers badly is better than one that does not try.
    """
    awake = [endpoint for endpoint in endpoints if not endpoint.resting(now)] or endpoints
    if not tried:
        return awake
    return [endpoint for endpoint in awake if endpoint not in tried] or awake


def pick(endpoints: Sequence[C], algorithm: Algorithm, turn: int, rng: Callable[[], float]) -> C:
    """Return one of ``endpoints``, which must not be empty.

    ``round_robin`` takes number ``turn``; ``least_request`` draws two different ones with ``rng`` (in [0, 1)) and takes
    the less busy, so that nobody is flooded by all callers at once.
    """
    count = len(endpoints)
    if count == 1:
        return endpoints[0]
    if algorithm == "round_robin":
        return endpoints[turn % count]
    first = int(rng() * count)
    second = int(rng() * (count - 1))
    if second >= first:
        second += 1
    one, other = endpoints[first], endpoints[second]
    return one if one.active <= other.active else other


def pick_connected(endpoints: Sequence[C], picked: C, algorithm: Algorithm, rng: Callable[[], float]) -> C:
    """Return ``picked``, or another one drawn that has an idle connection, when no more may be opened.

    Where endpoints are many and connections are not, most of those picked have none, and each time one would have to be
    closed elsewhere. Who has none is still picked now and then, and gets one. Taking turns stays as it is.
    """
    if algorithm != "round_robin":
        for turn in range(DRAWS):
            if picked.idle:
                break
            picked = pick(endpoints, algorithm, turn, rng)
    return picked
