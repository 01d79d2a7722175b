"""``meshwise import``: traces that somebody else recorded, through the collector like any others."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from meshwise.cli.commands.options import OPERATOR_PANEL
from meshwise.contracts.errors import MeshwiseError, UnavailableError
from meshwise.store.tls import client_context

if TYPE_CHECKING:
    from meshwise.analytics.traces.model import Span

BATCH: Final = 2000
OLD_S: Final = 86_400.0
"""Spans older than this are too late for the map."""
TRIES: Final = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import", help="Send recorded traces to the collector.", rich_help_panel=OPERATOR_PANEL)(import_traces)


def import_traces(
    files: Annotated[list[Path], typer.Argument(help="Traces: Jaeger's JSON or OTLP's.", metavar="FILE...")],
    collector_url: Annotated[
        str, typer.Option("--collector-url", metavar="URL", help="OTLP over HTTP.")
    ] = "http://127.0.0.1:4318",
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="File with the collector's bearer token.")
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", metavar="FILE", help="Authorities to trust at an https address (PEM).")
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Move them in time, so that the last one ends now.")] = False,
) -> None:
    """Read every file first, then send all spans; say what was mended on the way."""
    from meshwise.analytics.traces.files import read_spans
    from meshwise.analytics.traces.model import NANO, assemble
    from meshwise.analytics.traces.otlp import request_of

    token = _token(token_file)
    tls = client_context(ca_file) if collector_url.startswith("https:") else None
    spans = [span for path in files for span in read_spans(path)]
    if not spans:
        typer.echo("no spans")
        return
    traces = assemble(spans)
    problems: dict[str, int] = {}
    for trace in traces:
        for name, count in trace.problems.items():
            problems[name] = problems.get(name, 0) + count
    # Sent as they were recorded, but for what no reader can make sense of: the same span twice, and negative time.
    chosen = list({(span.trace_id, span.span_id): span for span in reversed(spans)}.values())[::-1]
    last = max(max(span.start, span.end) for span in chosen)
    if now:
        chosen = moved(chosen, int(time.time() * NANO) - last)
    elif last / NANO < time.time() - OLD_S:
        when = datetime.fromtimestamp(last / NANO, UTC)
        typer.echo(f"the last span ended at {when:%Y-%m-%d %H:%M}: too late for the map; --now moves them", err=True)
    for first in range(0, len(chosen), BATCH):
        send(f"{collector_url.rstrip('/')}/v1/traces", request_of(chosen[first : first + BATCH]), token, tls)
    mended = "".join(f", {count} {name.replace('_', ' ')}" for name, count in sorted(problems.items()))
    typer.echo(f"{len(chosen)} spans of {len(traces)} traces{mended}")


def _token(path: Path | None) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() if path is not None else ""
    except (OSError, UnicodeDecodeError) as error:
        raise MeshwiseError(f"the token file cannot be read: {error}") from None


def moved(spans: Sequence[Span], by: int) -> list[Span]:
    """Return spans ``by`` nanoseconds later."""
    return [replace(span, start=span.start + by, end=span.end + by) for span in spans]


def send(url: str, request: dict[str, Any], token: str, tls: ssl.SSLContext | None = None) -> None:
    """Post one export request, again while the collector asks for patience; ``tls`` is for https.

    Raises:
        UnavailableError: it does not answer, or not in time.
        MeshwiseError: it refused.
    """
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    if not url.startswith(("http://", "https://")):
        raise MeshwiseError(f"collector url {url!r} is wrong: write it like http://127.0.0.1:4318")
    posted = urllib.request.Request(url, json.dumps(request).encode(), headers)  # noqa: S310  # checked above
    for attempt in range(TRIES):
        try:
            with urllib.request.urlopen(posted, timeout=30, context=tls) as answer:  # noqa: S310
                problem = (json.loads(answer.read() or b"{}").get("partialSuccess") or {}).get("errorMessage", "")
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503) or attempt == TRIES - 1:
                raise MeshwiseError(f"the collector refused: {error.code} {error.read()[:300]!r}") from None
            waited = error.headers.get("retry-after", "1")
            time.sleep(min(10.0, float(waited) if waited.isdigit() else 1.0))
        except OSError as error:
            raise UnavailableError(f"the collector at {url} does not answer ({error}): is it running?") from None
        else:
            if problem:
                raise MeshwiseError(f"the collector took only a part: {problem}"[:500])
            return
