from __future__ import annotations

import pytest

from meshwise.dashboard.page import View, parse_view
from support.findings import NOW


def test_the_url_names_an_edge_and_a_moment() -> None:
    """Both are read from the query."""
    view = parse_view("?edge=frontend~catalog&at=2026-01-05T12:00:00%2B00:00")
    assert view == View(("frontend", "catalog"), NOW)


@pytest.mark.parametrize(
    "search", [None, "", "?edge=frontend", "?at=yesterday", "?at=2026-01-05T12:00:00", "?edge=~", "?" + "x" * 5000]
)
def test_what_cannot_be_read_is_left_out(search: str | None) -> None:
    """A broken link shows the page without its details, never an error."""
    assert parse_view(search) == View()
