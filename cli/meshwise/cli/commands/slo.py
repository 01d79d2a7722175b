"""``meshwise slo``: objectives as OpenSLO documents."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from meshwise.cli.commands.options import OPERATOR_PANEL
from meshwise.cli.yaml_file import read_yaml_documents
from meshwise.contracts.errors import ConfigError
from meshwise.contracts.openslo import DocumentSet, read_documents

Files = Annotated[list[Path], typer.Argument(help="OpenSLO v1 documents, YAML or JSON.", metavar="FILE...")]


def register(app: typer.Typer) -> None:
    """Add the verbs of ``slo``."""
    group = typer.Typer(no_args_is_help=True, help="Objectives as OpenSLO documents.")
    group.callback()(_group)
    group.command("check", help="List every mistake in OpenSLO documents without applying them.")(check)
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
    for problem in found.problems:
        sys.stderr.write(f"meshwise: {problem}\n")
    if found.problems:
        raise typer.Exit(1)


def _group() -> None:
    """Keep ``check`` a verb of its own while it is the only one."""


def _listed(document: object) -> list[object]:
    return document if isinstance(document, list) else [document]


def _plain(value: Any) -> Any:
    """Return ``value`` with times, as YAML reads them, turned into text again."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.isoformat(" ") if isinstance(value, datetime) else value
