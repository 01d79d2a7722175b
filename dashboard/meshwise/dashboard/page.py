"""What a page is, and how its parts are kept fresh.

A page is a static layout of empty parts, and for each part a pure renderer. ``live`` fills a part when the page opens,
when the URL changes and at every tick; questions to the store run in a thread, so a slow one holds up nobody else.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from dash import Dash, Input, Output, State, dcc, no_update
from dash.development.base_component import Component
from plotly.utils import PlotlyJSONEncoder

from meshwise.contracts.errors import MeshwiseError
from meshwise.dashboard.components.blocks import notice
from meshwise.dashboard.control import Control
from meshwise.dashboard.queries import Queries

URL = "url"
TICK = "tick"
EDGE_SEPARATOR = "~"


@dataclass(frozen=True, slots=True)
class View:
    """What the URL asks to see: an edge, and a moment to look back to."""

    edge: tuple[str, str] | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its address, its name in the navigation, its empty layout, and the callbacks that fill it."""

    path: str
    name: str
    layout: Callable[[], Component]
    register: Callable[[Dash, Queries, Control], None]


def parse_view(search: str | None) -> View:
    """Return the view that a URL's query asks for; what cannot be read is left out."""
    fields = parse_qs((search or "").lstrip("?"), max_num_fields=20) if len(search or "") < 2000 else {}
    source, separator, destination = fields.get("edge", [""])[0].partition(EDGE_SEPARATOR)
    edge = (source, destination) if separator and source and destination else None
    try:
        at = datetime.fromisoformat(fields["at"][0]) if "at" in fields else None
    except ValueError:
        at = None
    return View(edge, at if at is not None and at.tzinfo is not None else None)


def live(app: Dash, part: str, prop: str, render: Callable[[View], Any], otherwise: Any = None) -> None:
    """Keep property ``prop`` of component ``part`` at what ``render`` returns for the view of the URL.

    A part whose content did not change is left alone: what a person opened, focused or is about to click stays.
    When the store or control cannot answer, the part shows why; a property that cannot hold text gets ``otherwise``.
    """

    async def refresh(_ticks: int, search: str | None, shown: str | None) -> Any:
        try:
            content = await asyncio.to_thread(render, parse_view(search))
        except MeshwiseError as error:
            content = notice(str(error), "bad") if otherwise is None else otherwise
        digest = hashlib.sha256(json.dumps(content, cls=PlotlyJSONEncoder).encode()).hexdigest()
        return (no_update, no_update) if digest == shown else (content, digest)

    # The digest lives in the page, beside the content it is of.
    digest_of = f"{part}-digest"
    app.callback(
        Output(part, prop),
        Output(digest_of, "data"),
        Input(TICK, "n_intervals"),
        Input(URL, "search"),
        State(digest_of, "data"),
    )(refresh)


def digests(*parts: str) -> list[Component]:
    """Return the stores that the layout of a page needs for its live parts."""
    return [dcc.Store(id=f"{part}-digest") for part in parts]
