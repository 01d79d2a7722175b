"""``meshwise token``: join tokens, with which proxies get their first certificate."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from meshwise.cli.commands.options import OPERATOR_PANEL, Config, ControlUrl, Json
from meshwise.cli.control_api import open_control

Service = Annotated[str, typer.Option("--service", help="Service whose proxy may join.", metavar="NAME")]


def register(app: typer.Typer) -> None:
    """Add the verbs of ``token``."""
    group = typer.Typer(no_args_is_help=True, help="Let a proxy join the mesh's mutual TLS.")
    group.callback()(_group)
    group.command("create", help="A token with which one proxy of a service may join, once.")(create)
    app.add_typer(group, name="token", rich_help_panel=OPERATOR_PANEL)


def create(service: Service, config: Config = None, control_url: ControlUrl = None, as_json: Json = False) -> None:
    """Print a new token; it is shown this once."""
    made = open_control(config, control_url).post("/v1/join-tokens", {"service": service})
    typer.echo(json.dumps(made, indent=2) if as_json else made["token"])


def _group() -> None:
    """Keep ``create`` a verb of its own while it is the only one."""
