from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from meshwise.dashboard.components.layering import COLUMN_PX, ROW_PX, picture

names = st.sampled_from("abcdefgh")
graphs = st.lists(st.tuples(names, names), max_size=30)


def test_a_caller_stands_left_of_its_callee() -> None:
    """Along a chain every node is one column further right."""
    places = picture([("frontend", "catalog"), ("catalog", "inventory")]).places
    assert [places[name][0] for name in ("frontend", "catalog", "inventory")] == [0, COLUMN_PX, 2 * COLUMN_PX]


@given(graphs, st.randoms())
def test_the_order_of_edges_changes_nothing(edges: list[tuple[str, str]], random: st.DataObject) -> None:
    """The same edges in any order give the same picture."""
    shuffled = list(edges)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random
    assert picture(edges) == picture(shuffled)


@given(graphs)
def test_every_service_has_a_place_of_its_own(edges: list[tuple[str, str]]) -> None:
    """Cycles and self-calls included, every node is placed and no two nodes share a place."""
    places = picture(edges).places
    assert set(places) == {node for edge in edges for node in edge}
    assert len(set(places.values())) == len(places)


@given(graphs)
def test_without_cycles_every_edge_points_right(edges: list[tuple[str, str]]) -> None:
    """Where names only grow along edges, no edge can close a cycle, so all of them point right."""
    growing = [(a, b) for a, b in edges if a < b]
    places = picture(growing).places
    assert all(places[a][0] < places[b][0] for a, b in growing)


def test_a_chain_longer_than_the_recursion_limit_is_drawn() -> None:
    """A chain of five thousand services is placed."""
    chain = [(f"s{i:05}", f"s{i + 1:05}") for i in range(5000)]
    assert picture(chain).places["s05000"][0] == 5000 * COLUMN_PX


@given(graphs)
def test_an_edge_that_crosses_a_layer_runs_between_the_services_there(edges: list[tuple[str, str]]) -> None:
    """It has a bend in every layer on its way, in order, and no service stands within half a row of it."""
    drawn = picture(edges)
    for (source, destination), bends in drawn.bends.items():
        columns = [drawn.places[source][0], *(x for x, _ in bends), drawn.places[destination][0]]
        assert {abs(b - a) for a, b in pairwise(columns)} == {COLUMN_PX}
        for bend in bends:
            assert all(x != bend[0] or abs(y - bend[1]) >= ROW_PX / 2 for x, y in drawn.places.values())


def test_edges_that_need_not_cross_do_not() -> None:
    """Two callers of one callee each stand beside their callees, whatever their names."""
    places = picture([("a", "z"), ("b", "y"), ("root", "a"), ("root", "b")]).places
    assert (places["a"][1] < places["b"][1]) == (places["z"][1] < places["y"][1])
