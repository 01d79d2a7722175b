"""How edges of the service map run, in cytoscape's terms, and where on them their labels stand free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from meshwise.dashboard.components.layering import Edge, Picture, Point

NODE_WIDTH_PX, NODE_HEIGHT_PX = 130, 42
LABEL_PX = 11
"""Size of an edge's label; a line of it is half as high again, a character about half as wide."""

_TRIES = (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74)
"""Shares of the way from caller to callee at which a label may stand, the first one preferred."""

Box = tuple[float, float, float, float]  # left, top, right, bottom


def segments(source: Point, bends: Sequence[Point], target: Point) -> tuple[str, str]:
    """Return ``segment-weights`` and ``segment-distances``: where bends lie along the straight line and beside it."""
    dx, dy = target[0] - source[0], target[1] - source[1]
    length = math.hypot(dx, dy)
    weights = [((x - source[0]) * dx + (y - source[1]) * dy) / length**2 for x, y in bends]
    distances = [((y - source[1]) * dx - (x - source[0]) * dy) / length for x, y in bends]
    return " ".join(f"{weight:.4f}" for weight in weights), " ".join(f"{distance:.1f}" for distance in distances)


def label_offsets(picture: Picture, labels: Mapping[Edge, str]) -> dict[Edge, int]:
    """Return the pixels from the caller along each edge to where its label covers no service and no other label.

    Labels are placed in the order they are given in; one that finds no free place stands in the middle.
    """
    taken = [_around(place, NODE_WIDTH_PX, NODE_HEIGHT_PX) for place in picture.places.values()]
    offsets = {}
    for edge, label in labels.items():
        path = (picture.places[edge[0]], *picture.bends.get(edge, ()), picture.places[edge[1]])
        start, end = _inside(path[0], path[1]), _inside(path[-1], path[-2])
        length = sum(math.dist(one, other) for one, other in pairwise(path))
        lines = label.split("\n")
        width, height = max(map(len, lines)) * LABEL_PX * 0.55 + 6, len(lines) * LABEL_PX * 1.5
        distances = [start + share * (length - start - end) for share in _TRIES]
        boxes = [_around(_along(path, distance), width, height) for distance in distances]
        free = [index for index, box in enumerate(boxes) if not any(_overlap(box, other) for other in taken)]
        chosen = free[0] if free else 0
        taken.append(boxes[chosen])
        offsets[edge] = round(distances[chosen] - start)
    return offsets


def _inside(place: Point, towards: Point) -> float:
    """Return how much of a line from a service's middle lies inside its box."""
    dx, dy = abs(towards[0] - place[0]), abs(towards[1] - place[1])
    share = min(NODE_WIDTH_PX / 2 / dx if dx else math.inf, NODE_HEIGHT_PX / 2 / dy if dy else math.inf)
    return share * math.hypot(dx, dy) if share < 1 else 0.0


def _along(path: Sequence[Point], distance: float) -> Point:
    for one, other in pairwise(path):
        length = math.dist(one, other)
        if distance <= length and length:
            share = distance / length
            return one[0] + share * (other[0] - one[0]), one[1] + share * (other[1] - one[1])
        distance -= length
    return path[-1]


def _around(place: Point, width: float, height: float) -> Box:
    return place[0] - width / 2, place[1] - height / 2, place[0] + width / 2, place[1] + height / 2


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
