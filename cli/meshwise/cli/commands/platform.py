"""``meshwise up``, ``meshwise demo`` and ``meshwise version``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from meshwise.cli.commands.options import OPERATOR_PANEL, PLATFORM_PANEL, Config, DataDir
from meshwise.contracts.errors import ConfigError

DEFAULT_DATA_DIR = Path("meshwise-data")


def register(app: typer.Typer) -> None:
    """Add the commands that run more than one part."""
    app.command(help="Watch the loop close on a sample shop.", rich_help_panel=PLATFORM_PANEL)(demo)
    app.command(help="Run the whole platform on this machine.", rich_help_panel=PLATFORM_PANEL)(up)
    app.command(help="Print the version.", rich_help_panel=OPERATOR_PANEL)(version)


def up(config: Config = None, data_dir: DataDir = None) -> None:
    """Run store, collector, control, analytics and dashboard until Ctrl-C; a part that crashes is started again."""
    from meshwise.cli.configuration import load_configuration
    from meshwise.cli.up import run_up

    configuration = load_configuration(config, os.environ)
    directory = (data_dir or configuration.data_dir or DEFAULT_DATA_DIR).absolute()
    _check_directory(directory)
    asyncio.run(run_up(configuration, directory))


def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after the scenario instead of running on.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="REPORT", help="Write the report to this file.")
    ] = None,
    keep_data: Annotated[
        Path | None, typer.Option("--keep-data", metavar="DIR", help="Keep data and logs here afterwards.")
    ] = None,
    rate: Annotated[float, typer.Option(min=5.0, max=200.0, metavar="N", help="Client requests a second.")] = 40.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the load and of the shop.")] = 1,
) -> None:
    """Run platform and shop, break a service, and watch meshwise find it, propose, try, promote and take back."""
    from meshwise.cli.demo import DemoOptions, run_demo

    if keep_data is not None:
        _check_directory(keep_data)
    options = DemoOptions(once=once, report=json_file, keep_data=keep_data, rate=rate, seed=seed)
    if not asyncio.run(run_demo(options)):
        raise typer.Exit(1)


def version() -> None:
    """Print the version, and whether the proxy's data path is compiled, or why not."""
    from importlib.metadata import version as installed

    from meshwise.cli.build import data_path

    typer.echo(f"meshwise {installed('meshwise')}\ndata path: {data_path()}")


def _check_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"data directory {directory} cannot be used ({(error.strerror or str(error)).lower()}); "
            "mend its permissions, or give another with --data-dir"
        ) from None
