from __future__ import annotations

from meshwise.dashboard.components.service_map import MOST_DRAWN, elements, foremost
from meshwise.dashboard.links import edge_link
from meshwise.dashboard.pages.service_map import count_shown, render_detail, render_table
from support.findings import HOSTILE, anomaly, edge, traffic


def _by_id(parts: list[dict[str, object]]) -> dict[str, dict[str, object]]:
    return {part["data"]["id"]: part for part in parts}  # type: ignore[index]  # cytoscape's own shape


def test_every_service_and_every_edge_is_drawn_once() -> None:
    """Three services and two edges give five elements."""
    drawn = _by_id(elements([edge("frontend", "catalog"), edge("catalog", "inventory")], []))
    assert set(drawn) == {"frontend", "catalog", "inventory", "frontend~catalog", "catalog~inventory"}


def test_failures_colour_the_edge_and_its_callee() -> None:
    """Ten percent failed is bad for the edge, and makes the callee sick but not the caller."""
    drawn = _by_id(elements([edge("frontend", "catalog", 1000, 100)], []))
    assert drawn["frontend~catalog"]["classes"] == "bad"
    assert (drawn["catalog"]["classes"], drawn["frontend"]["classes"]) == ("sick", "")


def test_an_unusual_edge_is_dashed() -> None:
    """A flagged anomaly marks its edge, an unflagged score does not."""
    scores = [anomaly("a", "b", 0.95), anomaly("b", "c", 0.2)]
    drawn = _by_id(elements([edge("a", "b"), edge("b", "c")], scores))
    assert (drawn["a~b"]["classes"], drawn["b~c"]["classes"]) == ("anomaly", "")


def test_an_edge_past_a_service_is_routed_around_it() -> None:
    """The edge that skips a layer is bent there; its neighbours are not."""
    drawn = _by_id(elements([edge("a", "b"), edge("b", "c"), edge("a", "c")], []))
    assert [drawn[name]["classes"] for name in ("a~c", "a~b", "b~c")] == ["routed", "", ""]


def test_retries_show_as_wire_load() -> None:
    """An edge with one retry in ten requests is labelled with its amplification."""
    drawn = _by_id(elements([edge("a", "b", 1000, 0, 100)], []))
    assert "×1.10" in str(drawn["a~b"]["data"])


def test_the_table_names_both_sides_and_both_kinds_of_traffic() -> None:
    """A row carries logical requests, attempts, and the percentiles of caller and callee."""
    shown = str(render_table([edge("a", "b", 1000, 10, 50)], []))
    for part in ("1,000", "1,050", "1.00 %", "200 ms", "150 ms"):
        assert part in shown


def test_a_hostile_name_stays_text_and_cannot_leave_the_query() -> None:
    """Markup in a service name is a plain string child, and is quoted in the link."""
    link = edge_link(HOSTILE, "b&at=x#y")
    assert "<" not in link
    assert link.count("&") == 0
    assert "#" not in link
    assert HOSTILE in str(render_table([edge(HOSTILE, "b")], []))


def test_the_detail_of_an_edge_is_its_whole_story() -> None:
    """Counts, both percentiles and the anomaly's reason are told; without an edge there is a hint."""
    shown = str(render_detail(edge("a", "b", 1000, 10, 50), anomaly("a", "b", 0.9, "errors rose"), traffic()))
    assert "×1.050" in shown
    assert "errors rose" in shown
    assert "Choose an edge" in str(render_detail(None, None, ()))


def test_of_a_large_map_the_edges_that_matter_are_shown() -> None:
    """The unusual and the failing are never left out for the busy, and no more are shown than a browser draws."""
    busy = [edge(f"s{number}", "hub", 9000 + number) for number in range(MOST_DRAWN + 50)]
    chosen = foremost([*busy, edge("a", "odd", 3), edge("b", "failing", 100, 10)], [anomaly("a", "odd", 0.9)])
    assert [row.destination for row in chosen[:2]] == ["odd", "failing"]
    assert len(chosen) == MOST_DRAWN
    assert chosen[2].source == f"s{MOST_DRAWN + 49}"


def test_a_map_around_a_service_has_its_callers_and_callees() -> None:
    """Edges that neither begin nor end at it are left out."""
    near = foremost([edge("a", "b"), edge("b", "c"), edge("c", "d")], [], "b")
    assert {(row.source, row.destination) for row in near} == {("a", "b"), ("b", "c")}


def test_a_part_of_the_map_says_that_it_is_a_part() -> None:
    """The whole, a part, the surroundings of a service, and those of an unknown one are told apart."""
    edges = [edge("a", "b"), edge("b", "c"), edge("c", "d")]
    assert count_shown(3, edges, "") == "All 3 edges."
    assert count_shown(2, edges, "").startswith("2 of 3 edges: the unusual")
    assert count_shown(2, edges, "b").startswith("2 of 3 edges around b:")
    assert count_shown(0, edges, "x") == "Nothing calls x, and it calls nothing."
