from dataclasses import replace

import pytest

from meshwise.analytics.map_paths import amplified
from meshwise.analytics.service_map import ServiceMap
from meshwise.analytics.views import MapView
from meshwise.analytics.world import Window
from support.findings import NOW, edge

FROM = NOW.replace(hour=0)


def found(**amplification: float) -> ServiceMap:
    edges = [
        replace(edge(source, destination), amplification=value, requests=100, attempts=round(100 * value))
        for (source, destination), value in ((name.split("_"), value) for name, value in amplification.items())
    ]
    return ServiceMap(Window(FROM, NOW), (), tuple(edges))


def test_retries_multiply() -> None:
    """Along a path the product is told, from the entry on, and the worse of two ways."""
    paths = amplified(found(in_a=1.0, a_b=1.5, b_c=2.0, a_c=1.2, in_d=1.0))
    assert [one.services for one in paths] == [("in", "a", "b", "c"), ("in", "a", "b")]
    assert [one.amplification for one in paths] == pytest.approx([3.0, 1.5])
    assert (paths[0].logical, paths[0].wire) == (100, 200)


@pytest.mark.parametrize("circle", [{"a_b": 1.5, "b_a": 1.5}, {"in_a": 1.1, "a_b": 2.0, "b_a": 2.0, "b_b": 3.0}])
def test_circles_end(circle: dict[str, float]) -> None:
    """Nobody is on a path twice, however calls go round."""
    paths = amplified(found(**circle))
    assert paths
    assert all(len(set(one.services)) == len(one.services) for one in paths)


def test_nothing_amplified() -> None:
    """Without retries there is nothing to tell."""
    assert amplified(found(a_b=1.0)) == ()
    assert len(MapView(found(a_b=1.0)).paths()) == 0
    assert MapView(found(a_b=1.5)).paths().to_frame()["amplification"].tolist() == [1.5]
