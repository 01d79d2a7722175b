"""The same endpoint for the same key: a hash ring and Maglev's table.

Both map a 64-bit key to an order of endpoints. When the first one may not be taken the next one is, so that a key
moves only while its endpoint is away, and only its own.

- Ring. source: Karger et al., "Consistent hashing and random trees" (1997), as Envoy and libketama have it: every
  endpoint has points on a circle in proportion to its weight; a key belongs to the next point. When an endpoint
  leaves, its keys alone move.
- Maglev. source: Eisenbud et al., "Maglev" (NSDI 2016), §3.4: endpoints take turns to fill a table of prime size with
  a permutation of their own. Spreads more evenly and looks up faster; when an endpoint leaves, few other keys move.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

POINTS: Final = 160
"""Points on the circle for the weight of one. source: libketama."""
MOST_POINTS: Final = 65_536
"""Points on the circle of a hash ring."""
SIZES: Final = (1009, 5003, 10_007, 65_537)
"""Prime sizes of a Maglev table. The smallest with a hundred entries an endpoint keeps shares within about 1 %; beyond
655 endpoints they spread a little more, and the largest table still is filled in a few hundredths of a second."""


def hash64(data: bytes) -> int:
    """Return 64 well-mixed bits of ``data``, the same in every process."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


class HashRing:
    """Endpoints on a circle. ``names`` and ``weights`` say what is at each index that ``order`` gives back."""

    __slots__ = ("_at", "_owner")

    def __init__(self, names: Sequence[str], weights: Sequence[int]) -> None:
        each = min(POINTS, max(1, MOST_POINTS // max(1, sum(weights))))
        points = sorted(
            (hash64(f"{name}/{number}".encode()), index)
            for index, name in enumerate(names)
            for number in range(each * weights[index])
        )
        self._at = [at for at, _ in points]
        self._owner = [owner for _, owner in points]

    def find(self, key: int, allowed: Callable[[int], bool]) -> int:
        """Return the first index after ``key`` that is allowed; -1 when none is."""
        size = len(self._at)
        begin = bisect_left(self._at, key)
        seen: set[int] = set()
        for step in range(size):
            owner = self._owner[(begin + step) % size]
            if owner not in seen:
                if allowed(owner):
                    return owner
                seen.add(owner)
        return -1


class Maglev:
    """A table that gives every index its share."""

    __slots__ = ("_table",)

    def __init__(self, names: Sequence[str], weights: Sequence[int]) -> None:
        heaviest = max(weights, default=1)
        wanted = 100 * sum(weights)
        size = next((size for size in SIZES if size >= wanted), SIZES[-1])
        offsets = [hash64(b"offset/" + name.encode()) % size for name in names]
        skips = [hash64(b"skip/" + name.encode()) % (size - 1) + 1 for name in names]
        table = [-1] * size
        filled = turn = 0
        taken = [0.0] * len(names)
        while filled < size and names:
            turn += 1
            for index, weight in enumerate(weights):
                # One turn in each round for the heaviest, fewer for the others.
                if taken[index] * heaviest >= turn * weight:
                    continue
                taken[index] += 1.0
                at = offsets[index]
                while table[at] >= 0:
                    at = (at + skips[index]) % size
                table[at] = index
                offsets[index] = (at + skips[index]) % size
                filled += 1
                if filled == size:
                    break
        self._table = table

    def find(self, key: int, allowed: Callable[[int], bool]) -> int:
        """Return the index of ``key``'s entry, or of the next entry that is allowed; -1 when none is."""
        table = self._table
        size = len(table)
        begin = key % size
        refused: set[int] = set()
        for step in range(size):
            owner = table[(begin + step) % size]
            if owner not in refused:
                if owner >= 0 and allowed(owner):
                    return owner
                refused.add(owner)
        return -1
