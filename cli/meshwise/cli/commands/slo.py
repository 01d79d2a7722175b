"""``meshwise slo``: objectives as OpenSLO documents."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlencode

import typer
import yaml

from meshwise.cli.commands.options import OPERATOR_PANEL, AnalyticsUrl, Config, Json
from meshwise.cli.control_api import ManyProblemsError, open_analytics, segment
from meshwise.cli.tables import length_of_time, table
from meshwise.cli.yaml_file import read_yaml, read_yaml_documents
from meshwise.contracts.errors import ConfigError
from meshwise.contracts.openslo import DocumentSet, read_documents

SLOW_S = 300.0
"""Longest wait for an answer that reads a month."""
Days = Annotated[float, typer.Option("--days", min=0.01, max=366.0, metavar="N", help="How far to look back.")]
Files = Annotated[list[Path], typer.Argument(help="OpenSLO v1 documents, YAML or JSON.", metavar="FILE...")]


def register(app: typer.Typer) -> None:
    """Add the verbs of ``slo``."""
    group = typer.Typer(no_args_is_help=True, help="Objectives as OpenSLO documents.")
    group.command("check", help="List every mistake in OpenSLO documents without applying them.")(check)
    group.command("apply", help="Put OpenSLO documents in force: all of them, or none.")(apply)
    group.command("list", help="The documents in force.")(list_documents)
    group.command("delete", help="Take a document out of force.")(delete)
    group.command("suggest", help="What services could promise, from what they kept so far.")(suggest)
    group.command("backtest", help="Which alerts would have fired in the past.")(backtest)
    group.command("status", help="What is kept of every promise, and how long its budget lasts.")(status)
    app.add_typer(group, name="slo", rich_help_panel=OPERATOR_PANEL)


def check(files: Files) -> None:
    """Print every mistake, one per line, and exit 1; say what is promised when there is none."""
    found = read_documents(load_documents(files))
    fail_on_problems(found)
    for objectives in found.objectives.values():
        for objective in objectives:
            built_in = objective.watched and not objective.policies
            left_out = set(objective.scaled_rules) - set(objective.rules) if built_in else set()
            rules = ", ".join(f"{rule.factor:g}x" for rule in sorted(left_out, key=lambda rule: -rule.factor))
            note = f"; too low a target to ever burn {rules}, left to the slower rules" if left_out else ""
            typer.echo(f"{objective.name}: {objective.indicator} of {objective.service}, {objective.target:.6g}{note}")
    typer.echo(f"{len(found.documents)} documents are good")


def apply(
    files: Files,
    config: Config = None,
    analytics_url: AnalyticsUrl = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
) -> None:
    """Put documents in force beside those that are; any mistake, here or together with those, changes nothing."""
    documents = load_documents(files)
    analytics = open_analytics(config, analytics_url)
    try:
        answer = analytics.put("/v1/slo/documents", {"documents": documents, "dry_run": dry_run})
    except ManyProblemsError as error:
        _fail(error.problems)
    for change in answer["changes"]:
        verb = change["change"] if change["change"] == "unchanged" or not dry_run else f"would be {change['change']}"
        typer.echo(f"{change['kind']}/{change['name']}: {verb}")


def list_documents(config: Config = None, analytics_url: AnalyticsUrl = None, as_json: Json = False) -> None:
    """Print the documents in force."""
    documents = open_analytics(config, analytics_url).get("/v1/slo/documents")["documents"]
    if as_json:
        typer.echo(json.dumps(documents, indent=2))
        return
    rows = [
        (one["kind"], one["name"], _promised(one["document"].get("spec") or {}), one["at"][:19], one["actor"])
        for one in documents
    ]
    typer.echo(table(("KIND", "NAME", "PROMISES", "SINCE (UTC)", "BY"), rows))


def delete(
    document: Annotated[str, typer.Argument(help="Kind and name, such as SLO/checkout.", metavar="KIND/NAME")],
    config: Config = None,
    analytics_url: AnalyticsUrl = None,
) -> None:
    """Take a document out of force; refused while another one refers to it."""
    kind, slash, name = document.partition("/")
    if not slash or not name:
        raise ConfigError(f"{document!r} is not KIND/NAME, such as SLO/checkout")
    try:
        open_analytics(config, analytics_url).delete(f"/v1/slo/documents/{segment(kind)}/{segment(name)}")
    except ManyProblemsError as error:
        _fail(error.problems)
    typer.echo(f"{document}: removed")


def status(config: Config = None, analytics_url: AnalyticsUrl = None, as_json: Json = False) -> None:
    """Print the state of every objective, the one with the least budget first."""
    answer = open_analytics(config, analytics_url).get("/v1/slos")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    slos = sorted(answer["slos"], key=lambda one: (one["budget_remaining"], one["service"], one["objective"]))
    head = ("OBJECTIVE", "SERVICE", "PROMISED", "KEPT", "OF", "BUDGET LEFT", "LASTS", "BURN 1H")
    typer.echo(table(head, [_status_row(one) for one in slos]))
    for one in slos:
        if one["note"]:
            typer.echo(f"{one['objective']}: {one['note']}")


def suggest(
    service: Annotated[str, typer.Argument(help="This service only.", metavar="[SERVICE]")] = "",
    *,
    config: Config = None,
    analytics_url: AnalyticsUrl = None,
    days: Days = 28.0,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print the suggested ones as documents to apply.")] = False,
    as_json: Json = False,
) -> None:
    """Print objectives with the budget each would have left; the suggested ones are marked."""
    query = f"/v1/slo/suggestions?{urlencode({'days': days, 'service': service})}"
    answer = open_analytics(config, analytics_url).request("GET", query, timeout_s=SLOW_S)
    for name, reason in answer["refused"].items():
        sys.stderr.write(f"meshwise: {name}: nothing suggested: {reason}\n")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    elif as_yaml:
        typer.echo(yaml.safe_dump_all([one["document"] for one in answer["suggestions"] if one["suggested"]]).rstrip())
    else:
        head = ("", "SERVICE", "PROMISE", "KEPT", "OF", "BUDGET LEFT", "IN ITS WORST WEEK")
        typer.echo(table(head, [_suggestion_row(one) for one in answer["suggestions"]]))


def backtest(
    files: Annotated[list[Path] | None, typer.Argument(help="Documents to test; all in force.", metavar="FILE")] = None,
    *,
    config: Config = None,
    analytics_url: AnalyticsUrl = None,
    days: Days = 28.0,
    incidents: Annotated[
        Path | None,
        typer.Option("--incidents", metavar="FILE", help="YAML list of start, end, and perhaps service and title."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the alerts that would have fired, and with incidents, how many of them were about one."""
    body: dict[str, Any] = {"days": days}
    if files:
        body["documents"] = load_documents(files)
    if incidents:
        listed = _plain(read_yaml(incidents))
        body["incidents"] = listed if listed is not None else []
    try:
        answer = open_analytics(config, analytics_url).request("POST", "/v1/slo/backtest", body, timeout_s=SLOW_S)
    except ManyProblemsError as error:
        _fail(error.problems)
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    head = ("FIRED (UTC)", "FOR", "SEVERITY", "OBJECTIVE", "SERVICE", "POLICY")
    typer.echo(table(head, [_alert_row(one) for one in answer["alerts"]]))
    typer.echo(_verdict(answer))


def _suggestion_row(one: dict[str, Any]) -> tuple[str, ...]:
    within = "" if one["threshold_s"] is None else f" within {one['threshold_s'] * 1000:g} ms"
    return (
        "*" if one["suggested"] else "",
        one["service"],
        f"{one['target'] * 100:g} % succeed{within}",
        f"{one['attained'] * 100:.3f} %",
        str(one["requests"]),
        f"{one['budget_left'] * 100:.0f} %",
        f"{one['worst_week_left'] * 100:.0f} %",
    )


def _alert_row(one: dict[str, Any]) -> tuple[str, ...]:
    fired, resolved = one["fired_at"], one["resolved_at"]
    lasted = None if resolved is None else (_time(resolved) - _time(fired)).total_seconds()
    duration = "still" if resolved is None else length_of_time(lasted)
    return fired[:19], duration, one["severity"], one["objective"], one["service"], one["policy"] or "-"


def _verdict(answer: dict[str, Any]) -> str:
    lines = [f"{len(answer['alerts'])} alerts of {len(answer['objectives'])} objectives since {answer['start'][:19]}"]
    if answer["exact_since"] > answer["start"]:
        lines.append(f"before {answer['exact_since'][:19]} only hours are kept: alerts there may be an hour off")
    for name, score in (("all alerts", answer["score"]), ("pages", answer["pages"])):
        if score["recall"] is None:
            continue
        precision = "no alert" if score["precision"] is None else f"{score['precision'] * 100:.0f} % about an incident"
        told = sum(delay is not None for delay in score["delays_s"])
        lines.append(f"{name}: {precision}; {told} of {len(score['delays_s'])} incidents told")
    return "\n".join(lines)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _status_row(one: dict[str, Any]) -> tuple[str, ...]:
    lasts = "gone" if one["budget_remaining"] <= 0 else "holds"
    return (
        one["objective"],
        one["service"],
        f"{one['target'] * 100:g} %",
        "-" if one["attained"] is None else f"{one['attained'] * 100:.3f} %",
        f"{one['total']} {one['counted']}",
        f"{one['budget_remaining'] * 100:.1f} %",
        length_of_time(one["exhaustion_s"]) if one["exhaustion_s"] else lasts,
        f"{one['burn_rates'].get('1h', 0.0):.2f}x",
    )


def _promised(spec: dict[str, Any]) -> str:
    objectives = spec.get("objectives")
    if not objectives:
        return "-"
    shares = [one.get("targetPercent") or round((one.get("target") or 0) * 100, 6) for one in objectives]
    window = (spec.get("timeWindow") or [{}])[0].get("duration", "")
    return f"{', '.join(f'{share:g} %' for share in shares)} of {spec.get('service', '')} in {window}"


def load_documents(files: list[Path]) -> list[Any]:
    """Return the documents of ``files`` in a form that JSON can carry.

    Raises:
        ConfigError: a file cannot be read, or there is no document at all.
    """
    documents = [_plain(one) for file in files for document in read_yaml_documents(file) for one in _listed(document)]
    if not documents:
        raise ConfigError(f"{files[0]}: holds no document")
    return documents


def fail_on_problems(found: DocumentSet) -> None:
    """Print every mistake and exit 1 when there is one."""
    if found.problems:
        _fail([str(problem) for problem in found.problems])


def _fail(problems: Sequence[str]) -> NoReturn:
    for problem in problems:
        sys.stderr.write(f"meshwise: {problem}\n")
    raise typer.Exit(1)


def _listed(document: object) -> list[object]:
    return document if isinstance(document, list) else [document]


def _plain(value: Any) -> Any:
    """Return ``value`` with times, as YAML reads them, turned into text again."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.isoformat(" ") if isinstance(value, datetime) else value
