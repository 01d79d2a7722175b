from __future__ import annotations

import pytest

from meshwise.dashboard.links import View, edge_link, parse_view, traces_link
from meshwise.dashboard.queries import TraceSearch
from support.findings import HOSTILE, NOW


def test_the_url_names_an_edge_and_a_moment() -> None:
    """Both are read from the query."""
    view = parse_view("?edge=frontend~catalog&at=2026-01-05T12:00:00%2B00:00")
    assert view == View(("frontend", "catalog"), NOW)


@pytest.mark.parametrize(
    "search",
    [
        None,
        "",
        "?edge=frontend",
        "?at=yesterday",
        "?at=2026-01-05T12:00:00",
        "?edge=~",
        "?least_ms=nan",
        "?" + "x" * 5000,
    ],
)
def test_what_cannot_be_read_is_left_out(search: str | None) -> None:
    """A broken link shows the page without its details, never an error."""
    assert parse_view(search) == View()


@pytest.mark.parametrize("least_s", [0.0, 0.25, 12.0])
@pytest.mark.parametrize("errors", [False, True])
@pytest.mark.parametrize("service", ["", "cart", HOSTILE, "a&at=b#c"])
def test_a_link_to_traces_asks_for_what_it_was_made_of(service: str, errors: bool, least_s: float) -> None:
    """Service, least duration, failures, moment and trace are read back from the address as they were."""
    search = TraceSearch(service, least_s, errors)
    link = traces_link(search, NOW, "abc")
    assert parse_view(link.partition("?")[2]) == View(None, NOW, search, "abc")


def test_a_link_to_an_edge_asks_for_that_edge() -> None:
    """Names that mean something in an address come back whole."""
    assert parse_view(edge_link("a&b", HOSTILE).partition("?")[2]).edge == ("a&b", HOSTILE)
