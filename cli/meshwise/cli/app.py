"""The command tree, and the one place where an error becomes a line and an exit status."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from meshwise.cli.commands import alerts, config, imports, look, platform, policy, rollout, serve, slo, token
from meshwise.contracts.errors import MeshwiseError

SUMMARY = """A service mesh that watches itself and tunes its timeouts and retries.

[bold]meshwise demo[/bold]   watch the loop close on a sample shop
[bold]meshwise up[/bold]   run the whole platform on this machine
[bold]meshwise proxy --service cart --app-port 8080[/bold]   beside a service
[bold]meshwise config check[/bold]   list every mistake in meshwise.yaml
[bold]meshwise policy apply cart.yaml[/bold]   put a policy in force
"""


def _show_version(asked: bool) -> None:  # as typer calls it
    if asked:
        platform.version()
        raise typer.Exit


def create_app() -> typer.Typer:
    """Build the command tree; no room is imported for it."""
    app = typer.Typer(
        help=SUMMARY,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def options(
        version: Annotated[  # noqa: ARG001  # the callback does all of it
            bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_show_version)
        ] = False,
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")] = False,
    ) -> None:
        del debug  # read by execute(), which has to know it before any parsing

    platform.register(app)
    serve.register(app)
    config.register(app)
    policy.register(app)
    rollout.register(app)
    slo.register(app)
    alerts.register(app)
    token.register(app)
    look.register(app)
    imports.register(app)
    return app


def execute(arguments: list[str]) -> int:
    """Run one command line and return its exit status; whatever goes wrong is one line on standard error."""
    debug = "--debug" in arguments
    try:
        status = create_app()(arguments, prog_name="meshwise", standalone_mode=False)
    except MeshwiseError as error:
        return _fail(str(error), 1)
    except typer.Exit as error:
        return error.exit_code
    except typer.TyperException as error:
        if not error.message and type(error).__name__ == "NoArgsIsHelpError":
            return 2
        return _fail(f"{error.format_message().rstrip('.')}; see meshwise --help", 2)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        # The reader of our output went away, as `meshwise policy list | head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence: a person gets a line, not a traceback
        if debug:
            traceback.print_exc()
        return _fail(f"unexpected {_describe(error)}; run it again as meshwise --debug … to see where", 1)
    return status if isinstance(status, int) else 0


def _describe(error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _fail(line: str, status: int) -> int:
    sys.stderr.write(f"meshwise: {' '.join(line.split())}\n")
    return status
