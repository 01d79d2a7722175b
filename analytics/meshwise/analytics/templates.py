"""Routes that only differ in an identifier, as one template each.

What calls itself a route may be a path, one for every item there is. Where a segment takes many values after the same
beginning it is an identifier: ``/items/17/stock`` and a hundred like it are ``/items/{id}/stock``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

WIDE: Final = 20
"""Values of a segment from which it is an identifier."""
ANYTHING: Final = "{id}"
_DEEPEST: Final = 32

Segments = tuple[str, ...]


def learn(routes: Iterable[str], most: int = 50) -> tuple[str, ...]:
    """Return templates of ``routes``, at most ``most``: those of most routes, the more literal ones first."""
    split = [tuple(route.split("/")) for route in routes if route]
    found = Counter(_templates((), [one for one in split if len(one) <= _DEEPEST]))
    kept = sorted(found, key=lambda one: (-found[one], one))[:most]
    return tuple("/".join(one) for one in sorted(kept, key=lambda one: (one.count(ANYTHING), one)))


def _templates(beginning: Segments, rests: list[Segments]) -> Iterator[Segments]:
    """Yield the template of each of ``rests``, which follow the same ``beginning``."""
    following: dict[str, list[Segments]] = defaultdict(list)
    for rest in rests:
        if rest:
            following[rest[0]].append(rest[1:])
        else:
            yield beginning
    if len(following) > WIDE:
        following = {ANYTHING: [rest for many in following.values() for rest in many]}
    for segment, many in following.items():
        yield from _templates((*beginning, segment), many)
