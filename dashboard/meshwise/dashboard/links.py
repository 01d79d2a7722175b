"""Addresses of pages, and what an address asks to see: the URL is the state of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import parse_qs, quote, urlencode

from meshwise.dashboard.queries import TraceSearch

_SEPARATOR = "~"  # between the two ends of an edge


@dataclass(frozen=True, slots=True)
class View:
    """What the URL asks to see: an edge, a moment to look back to, traces to look for, and one of them."""

    edge: tuple[str, str] | None = None
    at: datetime | None = None
    search: TraceSearch = field(default_factory=TraceSearch)
    trace: str = ""

    @property
    def service(self) -> str:
        """The service that is asked for, of traces or on the map; empty means every one."""
        return self.search.service


def parse_view(search: str | None) -> View:
    """Return the view that a URL's query asks for; what cannot be read is left out."""
    fields = parse_qs((search or "").lstrip("?"), max_num_fields=20) if len(search or "") < 2000 else {}
    source, separator, destination = fields.get("edge", [""])[0].partition(_SEPARATOR)
    edge = (source, destination) if separator and source and destination else None
    try:
        at = datetime.fromisoformat(fields["at"][0]) if "at" in fields else None
    except ValueError:
        at = None
    moment = at if at is not None and at.tzinfo is not None else None
    return View(edge, moment, _search(fields), fields.get("trace", [""])[0])


def _search(fields: Mapping[str, Sequence[str]]) -> TraceSearch:
    try:
        least_ms = float(fields.get("least_ms", ["0"])[0])
    except ValueError:
        least_ms = 0.0
    # Bounded by a day, which also leaves out what is not a number.
    least_s = least_ms / 1000 if 0 <= least_ms <= 86_400_000 else 0.0
    return TraceSearch(fields.get("service", [""])[0], least_s, fields.get("errors") == ["1"])


def edge_link(source: str, destination: str, service: str = "") -> str:
    """Return the address of an edge on the map, or on the part of it around ``service``."""
    around = f"&service={quote(service, safe='')}" if service else ""
    return f"/map?edge={quote(source, safe='')}{_SEPARATOR}{quote(destination, safe='')}{around}"


def map_link(service: str) -> str:
    """Return the address of the part of the map around ``service``; of the whole map when it is empty."""
    return f"/map?service={quote(service, safe='')}" if service else "/map"


def traces_link(search: TraceSearch, at: datetime | None = None, trace: str = "") -> str:
    """Return the address of a search for traces, with one of them opened."""
    fields = {
        "service": search.service,
        "least_ms": f"{search.least_s * 1000:g}" if search.least_s else "",
        "errors": "1" if search.errors else "",
        "at": at.isoformat() if at else "",
        "trace": trace,
    }
    query = urlencode({key: value for key, value in fields.items() if value})
    return f"/traces?{query}" if query else "/traces"
