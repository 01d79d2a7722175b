"""``meshwise wait``, ``meshwise proxies`` and ``meshwise map``: what runs, and what it has seen."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from meshwise.cli.commands.options import OPERATOR_PANEL, AnalyticsUrl, Config, ControlUrl, Json
from meshwise.cli.configuration import Configuration, load_configuration, settings_for
from meshwise.cli.control_api import JsonApi, open_analytics, open_control
from meshwise.cli.platform import ROOMS, base_url
from meshwise.cli.probe import is_ready
from meshwise.cli.tables import table
from meshwise.contracts.errors import MeshwiseError, UnavailableError

PAUSE_S = 0.2


def register(app: typer.Typer) -> None:
    """Add the commands that only look."""
    app.command(help="Wait until the platform, and given proxies, are ready.", rich_help_panel=OPERATOR_PANEL)(wait)
    app.command(help="The proxies that are registered.", rich_help_panel=OPERATOR_PANEL)(proxies)
    app.command("map", help="The service map of the last minutes.", rich_help_panel=OPERATOR_PANEL)(service_map)


def wait(
    config: Config = None,
    control_url: ControlUrl = None,
    proxy: Annotated[list[str] | None, typer.Option("--proxy", metavar="ID", help="A proxy to wait for.")] = None,
    timeout: Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="How long to wait.")] = 60.0,
) -> None:
    """Return when every part of the platform answers that it is ready, and every given proxy is registered."""
    configuration = load_configuration(config, os.environ)
    deadline = time.monotonic() + timeout
    while (missing := _missing(configuration, control_url, proxy or [])) and time.monotonic() < deadline:
        time.sleep(PAUSE_S)
    if missing:
        raise UnavailableError(f"not ready after {timeout:g} s: {', '.join(missing)}; see their logs")


def proxies(config: Config = None, control_url: ControlUrl = None, as_json: Json = False) -> None:
    """Print the proxies that control knows."""
    entries = open_control(config, control_url).get("/v1/proxies")["proxies"]
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    rows = [
        (
            entry["id"],
            entry["service"],
            f"{entry['host']}:{entry['port']}" if entry["port"] else "-",
            "alive" if entry["alive"] else "gone",
            str(entry["snapshot_version"] or "-"),
            entry["status"] or "-",
        )
        for entry in entries
    ]
    typer.echo(table(("ID", "SERVICE", "INBOUND", "STATE", "SNAPSHOT", "ANSWER"), rows))


def service_map(
    config: Config = None,
    analytics_url: AnalyticsUrl = None,
    seconds: Annotated[int, typer.Option(min=10, metavar="N", help="How far to look back.")] = 300,
    as_json: Json = False,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="dot, mermaid, graphml or json instead of a table.")
    ] = "",
) -> None:
    """Print every edge with its traffic, failures and latency."""
    if form:
        query = urlencode({"seconds": seconds, "format": form})
        typer.echo(open_analytics(config, analytics_url).get(f"/v1/map?{query}")["text"], nl=False)
        return
    document = open_analytics(config, analytics_url).get(f"/v1/map?seconds={seconds}")
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    edges = sorted(document["edges"], key=lambda edge: (edge["source"], edge["destination"]))
    head = ("EDGE", "REQUESTS", "ATTEMPTS", "FAILED", "P50", "P99", "P99 AT CALLEE")
    typer.echo(table(head, [_row(edge) for edge in edges]))


def _missing(configuration: Configuration, control_url: str | None, wanted: list[str]) -> list[str]:
    urls = {room: base_url(settings_for(configuration, room)) for room in ROOMS}
    urls["control"] = control_url or urls["control"]

    async def ask() -> list[bool]:
        return await asyncio.gather(*(is_ready(f"{url}/readyz") for url in urls.values()))

    missing = [room for room, ready in zip(urls, asyncio.run(ask()), strict=True) if not ready]
    if missing or not wanted:
        return missing
    try:
        known = JsonApi(urls["control"], name="control").get("/v1/proxies")["proxies"]
    except MeshwiseError:
        return ["control"]
    alive = {entry["id"] for entry in known if entry["alive"] and entry["snapshot_version"]}
    return [f"proxy {name}" for name in wanted if name not in alive]


def _row(edge: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{edge['source']} → {edge['destination']}",
        # A caller without a proxy counts nothing; then the callee's count is all there is.
        str(edge["requests"] or edge["server_requests"]),
        str(edge["attempts"]) if edge["requests"] else "-",
        f"{edge['error_share'] * 100:.2f} %",
        _milliseconds(edge["client_p50"]),
        _milliseconds(edge["client_p99"]),
        _milliseconds(edge["server_p99"]),
    )


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
