"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ROOMS_PANEL = "Parts, one process each"
PLATFORM_PANEL = "Everything at once"
OPERATOR_PANEL = "For operators"

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Configuration file (./meshwise.yaml when there is one)."),
]
Host = Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")]
Port = Annotated[int | None, typer.Option("--port", metavar="N", help="TCP port to listen on; 0 takes a free one.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", metavar="DIR", help="Directory to keep data in.")]
StoreUrl = Annotated[str | None, typer.Option("--store-url", metavar="URL", help="Where the store answers.")]
ControlUrl = Annotated[str | None, typer.Option("--control-url", metavar="URL", help="Where control answers.")]
AnalyticsUrl = Annotated[str | None, typer.Option("--analytics-url", metavar="URL", help="Where analytics answers.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Reason = Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", help="Why; kept in the audit trail.")]
