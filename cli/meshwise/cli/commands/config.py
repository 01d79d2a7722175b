"""``meshwise config``: what the configuration says, and whether it can work."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any

import typer
import yaml
from pydantic import BaseModel

from meshwise.cli.commands.options import OPERATOR_PANEL, Config
from meshwise.cli.configuration import SECTIONS, check_everything, check_section, load_configuration
from meshwise.contracts.errors import ConfigError

MASK = "••••"


def register(app: typer.Typer) -> None:
    """Add ``config check`` and ``config show``."""
    group = typer.Typer(no_args_is_help=True, help="Check or show the configuration.")
    group.command("check", help="List every mistake without starting anything.")(check)
    group.command("show", help="Print every setting in force, defaults included, secrets masked.")(show)
    app.add_typer(group, name="config", rich_help_panel=OPERATOR_PANEL)


def check(config: Config = None) -> None:
    """Print every mistake, one per line, and exit 1; say that it is good when there is none."""
    configuration = load_configuration(config, os.environ)
    name = configuration.path or "the configuration (no meshwise.yaml here, defaults and environment only)"
    problems = check_everything(configuration)
    for problem in problems:
        sys.stderr.write(f"meshwise: {problem}\n")
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{name} is good")


def show(
    config: Config = None,
    section: Annotated[str | None, typer.Argument(help="Only this section.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")] = False,
) -> None:
    """Print the settings in force."""
    configuration = load_configuration(config, os.environ)
    configuration.raise_problems()
    if section is not None and section not in SECTIONS:
        raise ConfigError(f"{section}: unknown section; known are {', '.join(SECTIONS)}")
    shown: dict[str, Any] = {}
    for name in SECTIONS if section is None else (section,):
        if name == "proxy" and not configuration.sections.get(name):
            continue
        settings = check_section(configuration, name)
        if not isinstance(settings, BaseModel):
            raise ConfigError(settings[0])
        shown[name] = _masked(settings)
    typer.echo(json.dumps(shown, indent=2) if as_json else yaml.safe_dump(shown, sort_keys=False).rstrip())


def _masked(settings: BaseModel) -> dict[str, Any]:
    document = settings.model_dump(mode="json")
    for key, info in type(settings).model_fields.items():
        if not info.repr and document[key]:
            document[key] = MASK
    return document
