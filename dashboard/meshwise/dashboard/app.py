"""The dashboard as one ASGI application: Dash on FastAPI, with probes, metrics and a strict content policy."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Any

from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component
from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Counter, generate_latest
from starlette.middleware.base import RequestResponseEndpoint

from meshwise.dashboard.control import Control
from meshwise.dashboard.page import TICK, URL
from meshwise.dashboard.pages import PAGES
from meshwise.dashboard.queries import Queries
from meshwise.dashboard.settings import DashboardSettings

MOST_BODY_BYTES = 1_000_000
CONTENT = "content"
NAVIGATION = "navigation"
NAMED: dict[str, Any] = {"aria-label": "Pages"}
PREFIXES = ("/_dash-", "/_favicon", "/assets/", "/_reload-hash")


def create_app(settings: DashboardSettings, queries: Queries, control: Control) -> FastAPI:
    """Return the application; ``queries`` and ``control`` answer its pages."""
    server = FastAPI(title="meshwise dashboard", docs_url=None, redoc_url=None, openapi_url=None)
    registry = CollectorRegistry()
    requests = Counter(
        "meshwise_dashboard_requests", "Requests answered, by kind and status", ["kind", "status"], registry=registry
    )

    @server.get("/livez")
    @server.get("/readyz")
    async def alive() -> Response:
        # Pages say themselves when the store or control is away: the dashboard serves without them.
        return Response("ok\n", media_type="text/plain")

    @server.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    dash = Dash(
        "meshwise.dashboard",
        server=server,  # type: ignore[arg-type]  # a FastAPI server is documented, the annotation lags
        title="meshwise",
        update_title="",
        use_pages=False,  # pages are registered by hand below
        # Named here, since Dash looks for assets only once its first page was asked for at "/".
        include_assets_files=False,
        external_stylesheets=[_stylesheet()],
        suppress_callback_exceptions=True,  # the parts of a page exist only while it is open
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    dash.layout = lambda: _shell(settings.refresh_s)
    _register(dash, queries, control)
    policy = _content_policy(dash)

    @server.middleware("http")
    async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = _refusal(request) or await call_next(request)
        response.headers["content-security-policy"] = policy
        response.headers["x-content-type-options"] = "nosniff"
        response.headers["referrer-policy"] = "same-origin"
        kind = "callback" if request.url.path.startswith("/_dash-update") else "page"
        requests.labels(kind, str(response.status_code)).inc()
        return response

    return server


def _stylesheet() -> str:
    """Return the address of the stylesheet; it changes with its content, so that no browser keeps an old one."""
    content = resources.files("meshwise.dashboard").joinpath("assets/style.css").read_bytes()
    return f"/assets/style.css?v={hashlib.sha256(content).hexdigest()[:12]}"


def _register(dash: Dash, queries: Queries, control: Control) -> None:
    by_path = {page.path: page for page in PAGES}
    for page in PAGES:
        page.register(dash, queries, control)

    @dash.callback(Output(CONTENT, "children"), Output(NAVIGATION, "children"), Input(URL, "pathname"))
    def show(path: str | None) -> tuple[Component, list[Component]]:
        page = by_path.get(path or "/")
        content = page.layout() if page else html.P("There is no such page.", className="note")
        return content, _links(path or "/")


def _shell(refresh_s: float) -> Component:
    return html.Div(
        [
            dcc.Location(id=URL, refresh="callback-nav"),
            dcc.Interval(id=TICK, interval=int(refresh_s * 1000)),
            html.A("Skip to content", href=f"#{CONTENT}", className="skip"),
            html.Header([html.Span("meshwise", className="brand"), html.Nav(id=NAVIGATION, **NAMED)]),
            html.Main(id=CONTENT, tabIndex="-1"),
        ]
    )


def _links(path: str) -> list[Component]:
    return [dcc.Link(page.name, href=page.path, className="here" if page.path == path else "") for page in PAGES]


def _content_policy(dash: Dash) -> str:
    """Scripts only from here, or with the hash of one that Dash writes itself; styles inline, as figures need."""
    hashes = " ".join(dash.csp_hashes())
    rules = {
        "default-src": "'self'",
        "script-src": f"'self' {hashes}",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


def _refusal(request: Request) -> Response | None:
    """Refuse unknown paths (Dash answers every one with a page) and callbacks that no page would send."""
    path = request.url.path
    if request.method == "POST":
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        length: Any = request.headers.get("content-length", "")
        if kind != "application/json":
            return Response("callbacks are application/json\n", 415)
        if not length.isdecimal() or int(length) > MOST_BODY_BYTES:
            return Response("the body is too large or of unknown length\n", 413)
    known = path in ("/livez", "/readyz", "/metrics", *(page.path for page in PAGES))
    return None if known or path.startswith(PREFIXES) else Response("no such page\n", 404)
