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
from typing import Any

from dash import Dash, Input, Output, State, dcc, no_update
from dash.development.base_component import Component
from plotly.utils import PlotlyJSONEncoder

from meshwise.contracts.errors import MeshwiseError
from meshwise.dashboard.components.blocks import notice
from meshwise.dashboard.control import Control
from meshwise.dashboard.links import View, parse_view
from meshwise.dashboard.queries import Queries

URL = "url"
TICK = "tick"


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its address, its name in the navigation, its empty layout, and the callbacks that fill it."""

    path: str
    name: str
    layout: Callable[[], Component]
    register: Callable[[Dash, Queries, Control], None]


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
