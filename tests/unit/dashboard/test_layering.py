from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshwise.dashboard.components.layering import COLUMN_PX, positions

names = st.sampled_from("abcdefgh")
graphs = st.lists(st.tuples(names, names), max_size=30)


def test_a_caller_stands_left_of_its_callee() -> None:
    """Along a chain every node is one column further right."""
    places = positions([("frontend", "catalog"), ("catalog", "inventory")])
    assert [places[name][0] for name in ("frontend", "catalog", "inventory")] == [0, COLUMN_PX, 2 * COLUMN_PX]


@given(graphs, st.randoms())
def test_the_order_of_edges_changes_nothing(edges: list[tuple[str, str]], random: st.DataObject) -> None:
    """The same edges in any order give the same picture."""
    shuffled = list(edges)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random
    assert positions(edges) == positions(shuffled)


@given(graphs)
def test_every_service_has_a_place_of_its_own(edges: list[tuple[str, str]]) -> None:
    """Cycles and self-calls included, every node is placed and no two nodes share a place."""
    places = positions(edges)
    assert set(places) == {node for edge in edges for node in edge}
    assert len(set(places.values())) == len(places)


@given(graphs)
def test_without_cycles_every_edge_points_right(edges: list[tuple[str, str]]) -> None:
    """Where names only grow along edges, no edge can close a cycle, so all of them point right."""
    growing = [(a, b) for a, b in edges if a < b]
    places = positions(growing)
    assert all(places[a][0] < places[b][0] for a, b in growing)


def test_a_chain_longer_than_the_recursion_limit_is_drawn() -> None:
    """A chain of five thousand services is placed."""
    chain = [(f"s{i:05}", f"s{i + 1:05}") for i in range(5000)]
    assert positions(chain)["s05000"][0] == 5000 * COLUMN_PX
