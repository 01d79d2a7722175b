"""``meshwise alerts``: what is burning, who is told, and what keeps it quiet."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from meshwise.cli.commands.options import OPERATOR_PANEL, AnalyticsUrl, Config, Json
from meshwise.cli.control_api import open_analytics, segment
from meshwise.cli.tables import length_of_time, table
from meshwise.contracts.duration import parse_duration
from meshwise.contracts.errors import ConfigError
from meshwise.contracts.windows import parse_span

TRY_S = 60.0
"""Longest wait until every receiver was tried."""
Matchers = Annotated[
    list[str],
    typer.Argument(
        help="label=value, such as service=cart or severity=ticket; * stands for any.", metavar="LABEL=VALUE..."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verbs of ``alerts``."""
    group = typer.Typer(no_args_is_help=True, help="Alerts, silences, and who is told.")
    group.command("list", help="Open alerts, silences and receivers.")(list_alerts)
    group.command("silence", help="Tell nobody of alerts with these labels for a while, or every week.")(silence)
    group.command("unsilence", help="End a silence.")(unsilence)
    group.command("test", help="Send a made-up alert to one receiver, or to all.")(try_receivers)
    app.add_typer(group, name="alerts", rich_help_panel=OPERATOR_PANEL)


def list_alerts(config: Config = None, analytics_url: AnalyticsUrl = None, as_json: Json = False) -> None:
    """Print open alerts, silences and receivers."""
    analytics = open_analytics(config, analytics_url)
    answer = {
        "alerts": analytics.get("/v1/alerts")["alerts"],
        "silences": analytics.get("/v1/silences")["silences"],
        "receivers": analytics.get("/v1/receivers")["receivers"],
    }
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    head = ("STATE", "SEVERITY", "OBJECTIVE", "FOR", "TOLD", "SUMMARY")
    typer.echo(table(head, [_alert_row(one) for one in answer["alerts"]]))
    if answer["silences"]:
        rows = [_silence_row(one) for one in answer["silences"]]
        typer.echo("\n" + table(("SILENCE", "OF", "NOW", "FROM (UTC)", "TO (UTC)", "EVERY", "BY", "REASON"), rows))
    if answer["receivers"]:
        rows = [_receiver_row(one) for one in answer["receivers"]]
        typer.echo("\n" + table(("RECEIVER", "FORMAT", "HOST", "WAITING", "FAILED", "STATE"), rows))


def silence(
    matchers: Matchers,
    *,
    lasting: Annotated[str, typer.Option("--for", metavar="TIME", help="How long: 30m, 2h, 3d, 1w.")],
    starting: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Local time of --zone, such as '2026-01-31 02:00'; now.")
    ] = "",
    every: Annotated[
        str, typer.Option(metavar="SPAN", help="Come again every 1d, 1w or 1M: a maintenance window.")
    ] = "",
    zone: Annotated[str, typer.Option(metavar="NAME", help="Time zone, such as Europe/Berlin.")] = "UTC",
    reason: Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", help="Why; shown beside it.")] = "",
    config: Config = None,
    analytics_url: AnalyticsUrl = None,
) -> None:
    """Begin a silence and print its id."""
    begin = _begin(starting, zone)
    document = {
        "matchers": dict(_matcher(text) for text in matchers),
        "starts_at": begin.isoformat(),
        "ends_at": (begin + _length(lasting)).isoformat(),
        "every": every or None,
        "zone": zone,
        "reason": reason or None,
    }
    answer = open_analytics(config, analytics_url).post("/v1/silences", document)["silence"]
    again = f" and again every {answer['every']} in {answer['zone']}" if answer["every"] else ""
    typer.echo(f"{answer['id']}: from {answer['starts_at'][:16]} to {answer['ends_at'][:16]} UTC{again}")


def unsilence(
    name: Annotated[str, typer.Argument(help="Its id, as meshwise alerts list prints it.", metavar="ID")],
    config: Config = None,
    analytics_url: AnalyticsUrl = None,
) -> None:
    """End a silence; alerts that still fire are told in the next cycle."""
    open_analytics(config, analytics_url).delete(f"/v1/silences/{segment(name)}")
    typer.echo(f"{name}: ended")


def try_receivers(
    receiver: Annotated[str, typer.Argument(help="Name of the receiver; all of them.", metavar="[NAME]")] = "",
    config: Config = None,
    analytics_url: AnalyticsUrl = None,
) -> None:
    """Send a made-up alert, and its end, past the queue; exit 1 when somebody did not take it."""
    analytics = open_analytics(config, analytics_url)
    results = analytics.request("POST", "/v1/alerts/test", {"receiver": receiver}, timeout_s=TRY_S)["results"]
    for one in results:
        typer.echo(f"{one['receiver']} ({one['format']}, {one['host']}): {one['outcome']}, {one['detail']}")
    if any(one["outcome"] != "delivered" for one in results):
        raise typer.Exit(1)


def _alert_row(one: dict[str, Any]) -> tuple[str, ...]:
    since = datetime.now(UTC) - datetime.fromisoformat(one["started_at"])
    told = f"silenced by {one['silence']}" if one["silence"] else "yes" if one["notified"] else "no"
    lasts = length_of_time(since.total_seconds())
    return one["state"], one["severity"], one["objective"], lasts, told, one["summary"]


def _silence_row(one: dict[str, Any]) -> tuple[str, ...]:
    of = " ".join(f"{name}={value}" for name, value in one["matchers"].items())
    times = one["starts_at"][:16], one["ends_at"][:16]
    every = f"{one['every']} {one['zone']}" if one["every"] else "-"
    return one["id"], of, "on" if one["active"] else "off", *times, every, one["actor"], one["reason"] or "-"


def _receiver_row(one: dict[str, Any]) -> tuple[str, ...]:
    counts, since = one["documents"], one["disabled_since"]
    state = f"left alone since {since[:16]}: answered 410; try meshwise alerts test" if since else "on"
    return one["name"], one["format"], one["host"], str(counts.get("waiting", 0)), str(counts.get("failed", 0)), state


def _matcher(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise ConfigError(f"{text!r} is not LABEL=VALUE, such as service=cart")
    return name, value


def _begin(text: str, zone: str) -> datetime:
    if not text:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, KeyError, OSError):
        problem = f"{text!r} in {zone!r} is not a time; write '2026-01-31 02:00' and a zone such as Europe/Berlin"
        raise ConfigError(f"--from: {problem}") from None


def _length(text: str) -> timedelta:
    try:
        return timedelta(seconds=parse_duration(text))
    except ValueError:
        pass
    try:
        return timedelta(seconds=parse_span(text).seconds)
    except ValueError:
        raise ConfigError(f"--for: {text!r} is not a length of time; write 30m, 2h, 3d or 1w") from None
