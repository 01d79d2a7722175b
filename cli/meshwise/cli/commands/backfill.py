"""``meshwise store backfill``: derive the edges of a past window from its spans once more."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from meshwise.cli.commands.options import Config
from meshwise.cli.configuration import load_configuration, settings_for
from meshwise.cli.logs import LogSettings, configure_logs
from meshwise.cli.rooms import ROOMS
from meshwise.contracts.duration import parse_duration
from meshwise.contracts.errors import ConfigError

Moment = Annotated[str | None, typer.Option(metavar="TIME", help="Such as 2026-03-02T12:00Z; UTC unless it says.")]


def backfill(
    *,
    context: typer.Context,
    config: Config = None,
    store_url: Annotated[str | None, typer.Option("--store-url", metavar="URL", help="Which store.")] = None,
    since: Annotated[str, typer.Option(metavar="DURATION", help="How far to go back, such as 90m or 48h.")] = "24h",
    start: Moment = None,
    end: Moment = None,
) -> None:
    """Derive edges from the spans of a window, or of the last ``since``; what is already counted stays as it is."""
    configuration = load_configuration(config, os.environ) if config is not None else context.obj
    configuration = configuration.with_values("store", {"url": store_url})
    settings = settings_for(configuration, "store")
    logs = settings_for(configuration, "log")
    assert isinstance(logs, LogSettings)
    configure_logs(logs)
    now = datetime.now(UTC)
    until = now if end is None else _moment("--end", end)
    begin = until - timedelta(seconds=_seconds(since)) if start is None else _moment("--start", start)
    done = ROOMS["store"].call(settings, "backfill", start=begin, end=until, now=now)
    typer.echo(f"worked out {done.buckets} buckets with spans; {done.rows} rows of the rollups changed")


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"--since: {error}") from None


def _moment(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{name}: {text[:80]!r} is not a time: write it like 2026-03-02T12:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
