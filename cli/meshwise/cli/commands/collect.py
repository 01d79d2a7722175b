"""``meshwise collector status`` and ``meshwise collector quarantine``: how a collector does, and what it put aside.

``status`` asks the running collector; ``quarantine`` works on the files in its data directory, whether it runs or not.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshwise.cli.commands.options import Config, DataDir, Json, StoreUrl
from meshwise.cli.configuration import Configuration, load_configuration, settings_for
from meshwise.cli.control_api import JsonApi
from meshwise.cli.platform import base_url
from meshwise.cli.rooms import ROOMS
from meshwise.cli.tables import table
from meshwise.contracts.errors import ConfigError

if TYPE_CHECKING:
    from meshwise.collector.quarantine import Entry

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="Records, as `list` names them.")]
All = Annotated[bool, typer.Option("--all", help="Every record.")]


def register(app: typer.Typer) -> None:
    """Add the verbs of ``collector``."""
    app.command("status", help="What a running collector took, spooled and inserted.")(status)
    group = typer.Typer(no_args_is_help=True, help="Records that the store refused: look, send again, drop.")
    group.command("list", help="Every record, oldest first, and why it is there.")(list_records)
    group.command("show", help="One record, decoded to OTLP/JSON.")(show)
    group.command("retry", help="Send records to the store again; what it takes leaves the quarantine.")(retry)
    group.command("drop", help="Delete records for good.")(drop)
    app.add_typer(group, name="quarantine")


def status(
    context: typer.Context,
    config: Config = None,
    collector_url: Annotated[
        str | None, typer.Option("--collector-url", metavar="URL", help="Where the collector answers.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print one line per signal, and the state of the store and the spool."""
    settings = settings_for(_configuration(context, config), "collector")
    ca_file = getattr(settings, "tls_cert", None)
    api = JsonApi(
        collector_url or base_url(settings),
        name="collector",
        token=str(getattr(settings, "token", "")),
        ca_file=str(ca_file) if ca_file else None,
    )
    document = api.get("/status")
    typer.echo(json.dumps(document, indent=2) if as_json else _summary(document))


def list_records(
    context: typer.Context, config: Config = None, data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Print the quarantine."""
    found = _entries(_quarantine(context, config, data_dir), None, everything=True)
    if as_json:
        typer.echo(json.dumps([_plain(entry) for entry in found], indent=2))
    elif not found:
        typer.echo("the quarantine is empty")
    else:
        rows = [
            (entry.name, entry.signal, str(entry.items), str(entry.size), _moment(entry.at), entry.reason)
            for entry in found
        ]
        typer.echo(table(("NAME", "SIGNAL", "ITEMS", "BYTES", "SINCE", "REASON"), rows))


def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A record, as `list` names it.")],
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Print why a record is there, and the record."""
    (entry,) = _entries(_quarantine(context, config, data_dir), [name])
    request = None
    if entry.can_be_sent:
        from meshwise.collector.otlp_json import from_protobuf
        from meshwise.collector.signals import DOORS, Signal

        request = from_protobuf(entry.path.read_bytes(), DOORS[Signal(entry.signal)].request)
    typer.echo(json.dumps({**_plain(entry), "request": request}, indent=2))


def retry(
    context: typer.Context,
    names: Names = None,
    *,
    everything: All = False,
    config: Config = None,
    data_dir: DataDir = None,
    store_url: StoreUrl = None,
) -> None:
    """Send records again; the exit status is 1 when the store refuses one still."""
    configuration = _configuration(context, config).with_values(
        "collector", {"data_dir": data_dir, "store_url": store_url}
    )
    settings = settings_for(configuration, "collector")
    entries = _entries(_directory(configuration), names, everything=everything)
    outcome = ROOMS["collector"].call(settings, "retry", entries=entries)
    for name, problem in outcome.items():
        typer.echo(f"{name}: {problem or 'stored'}")
    if any(outcome.values()):
        raise typer.Exit(1)


def drop(
    context: typer.Context,
    names: Names = None,
    *,
    everything: All = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Delete records."""
    from meshwise.collector import quarantine

    entries = _entries(_quarantine(context, config, data_dir), names, everything=everything)
    for entry in entries:
        quarantine.drop(entry)
    typer.echo(f"dropped {len(entries)} records of {sum(entry.items for entry in entries)} items")


def _configuration(context: typer.Context, config: Path | None) -> Configuration:
    configuration = load_configuration(config, os.environ) if config is not None else context.obj
    assert isinstance(configuration, Configuration)
    return configuration


def _quarantine(context: typer.Context, config: Path | None, data_dir: Path | None) -> Path:
    return _directory(_configuration(context, config).with_values("collector", {"data_dir": data_dir}))


def _directory(configuration: Configuration) -> Path:
    data_dir: Path = getattr(settings_for(configuration, "collector"), "data_dir")  # noqa: B009  the room's own type
    if not data_dir.is_dir():
        raise ConfigError(f"{data_dir} is no directory: name the collector's with --data-dir or collector.data_dir")
    return data_dir / "quarantine"


def _entries(directory: Path, names: list[str] | None, *, everything: bool = False) -> list[Entry]:
    from meshwise.collector import quarantine

    if bool(names) == everything:
        raise ConfigError("name the records, or say --all; meshwise collector quarantine list shows them")
    return quarantine.entries(directory) if everything else quarantine.select(directory, names or ())


def _plain(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "signal": entry.signal,
        "items": entry.items,
        "bytes": entry.size,
        "since": _moment(entry.at),
        "reason": entry.reason,
        "file": str(entry.path),
    }


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _summary(document: dict[str, Any]) -> str:
    head = (
        "SIGNAL",
        "ACCEPTED",
        "REJECTED",
        "REFUSED",
        "SPOOLED",
        "INSERTED",
        "SAMPLED OUT",
        "QUARANTINED",
        "LOST",
        "LAG",
        "INSERT P99",
    )
    rows = [
        (
            name,
            *(str(one[key]) for key in ("accepted", "rejected")),
            str(sum(one["refused"].values())),
            *(str(one[key]) for key in ("spooled", "inserted", "sampled_out", "quarantined", "lost")),
            f"{one['lag_s']:.1f} s",
            "-" if one["insert_p99_s"] is None else f"{one['insert_p99_s'] * 1000:.0f} ms",
        )
        for name, one in document["signals"].items()
    ]
    kept = document["quarantine"]
    lines = [
        f"{document['collector']} is {document['status']}; the store is {document['store']}"
        + (f" ({document['store_problem']})" if document.get("store_problem") else ""),
        f"spool {document['spool_bytes']} of {document['spool_max_bytes']} bytes; "
        f"quarantine {kept['records']} records, {kept['bytes']} bytes",
        "",
        table(head, rows),
    ]
    if tenants := document.get("tenants"):
        shown = [
            (name, *(str(one[key]) for key in ("accepted", "rejected", "refused"))) for name, one in tenants.items()
        ]
        lines += ["", table(("TENANT", "ACCEPTED", "REJECTED", "REFUSED"), shown)]
    return "\n".join(lines)
