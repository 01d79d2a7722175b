from __future__ import annotations

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from meshwise.dashboard.components.edge_paths import NODE_WIDTH_PX, label_offsets, segments
from meshwise.dashboard.components.layering import Picture, picture

points = st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))


@given(points, points, points)
def test_a_bend_is_found_again_from_its_weight_and_distance(
    source: tuple[float, float], bend: tuple[float, float], target: tuple[float, float]
) -> None:
    """Going the weight along the line and the distance square to it, as the browser does, arrives at the bend."""
    assume(math.dist(source, target) > 100)
    weights, distances = segments(source, [bend], target)
    dx, dy = target[0] - source[0], target[1] - source[1]
    length = math.hypot(dx, dy)
    x = source[0] + float(weights) * dx - float(distances) * dy / length
    y = source[1] + float(weights) * dy + float(distances) * dx / length
    assert math.dist((x, y), bend) < 0.0001 * length + 0.1


def _middle(drawn: Picture, edge: tuple[str, str], offset: int) -> tuple[float, float]:
    """Return where a label stands on a level edge without bends."""
    (x, y), _ = drawn.places[edge[0]], drawn.places[edge[1]]
    return x + NODE_WIDTH_PX / 2 + offset, y


def test_a_label_stands_in_the_middle_when_there_is_room() -> None:
    """On a level edge it is half way between the two borders."""
    drawn = picture([("a", "b")])
    (offset,) = label_offsets(drawn, {("a", "b"): "1/s"}).values()
    assert _middle(drawn, ("a", "b"), offset)[0] == (drawn.places["a"][0] + drawn.places["b"][0]) / 2


def test_labels_of_edges_that_cross_stand_apart() -> None:
    """Two edges that cross in their middles do not write over each other."""
    places = {"a": (0.0, 0.0), "b": (0.0, 120.0), "y": (300.0, 0.0), "z": (300.0, 120.0)}
    first, second = label_offsets(
        Picture(places, {}), dict.fromkeys([("a", "z"), ("b", "y")], "12.3/s · 200 ms")
    ).values()
    assert abs(first - second) > 11


def test_a_label_covers_no_service_on_the_way() -> None:
    """Where a service stands in the middle of an edge, the label moves beside it."""
    places = {"a": (0.0, 0.0), "m": (300.0, 0.0), "z": (600.0, 0.0)}
    drawn = Picture(places, {})
    (offset,) = label_offsets(drawn, {("a", "z"): "1/s"}).values()
    x, _ = _middle(drawn, ("a", "z"), offset)
    assert abs(x - 300) > NODE_WIDTH_PX / 2


def test_a_service_that_calls_itself_is_no_trouble() -> None:
    """An edge of no length has its label at its service."""
    assert label_offsets(picture([("a", "a")]), {("a", "a"): "1/s"}) == {("a", "a"): 0}
