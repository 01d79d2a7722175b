"""``meshwise slo``: objectives as OpenSLO documents."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from meshwise.cli.commands.options import OPERATOR_PANEL, AnalyticsUrl, Config, Json
from meshwise.cli.control_api import ManyProblemsError, open_analytics, segment
from meshwise.cli.tables import length_of_time, table
from meshwise.cli.yaml_file import read_yaml_documents
from meshwise.contracts.errors import ConfigError
from meshwise.contracts.openslo import DocumentSet, read_documents

Files = Annotated[list[Path], typer.Argument(help="OpenSLO v1 documents, YAML or JSON.", metavar="FILE...")]


def register(app: typer.Typer) -> None:
    """Add the verbs of ``slo``."""
    group = typer.Typer(no_args_is_help=True, help="Objectives as OpenSLO documents.")
    group.command("check", help="List every mistake in OpenSLO documents without applying them.")(check)
    group.command("apply", help="Put OpenSLO documents in force: all of them, or none.")(apply)
    group.command("list", help="The documents in force.")(list_documents)
    group.command("delete", help="Take a document out of force.")(delete)
    group.command("status", help="What is kept of every promise, and how long its budget lasts.")(status)
    app.add_typer(group, name="slo", rich_help_panel=OPERATOR_PANEL)


def check(files: Files) -> None:
    """Print every mistake, one per line, and exit 1; say what is promised when there is none."""
    found = read_documents(load_documents(files))
    fail_on_problems(found)
    for objectives in found.objectives.values():
        for objective in objectives:
            left_out = set(objective.scaled_rules) - set(objective.rules) if not objective.policies else set()
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
