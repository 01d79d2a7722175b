"""One room in the foreground: its settings from file, environment and flags, then its ``run``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from meshwise.cli.commands import collect
from meshwise.cli.commands.backfill import backfill
from meshwise.cli.commands.options import ROOMS_PANEL, Config, ControlUrl, DataDir, Host, Port, StoreUrl
from meshwise.cli.configuration import Configuration, load_configuration, settings_for
from meshwise.cli.logs import LogSettings, configure_logs
from meshwise.cli.rooms import ROOMS

Cluster = Annotated[str | None, typer.Option("--cluster", metavar="NAME", help="Lay the tables out over this cluster.")]
LOCAL_PLATFORM = {"control_url": "http://127.0.0.1:15010", "collector_url": "http://127.0.0.1:4318"}


def register(app: typer.Typer) -> None:
    """Add one command per room."""
    store_app = typer.Typer(invoke_without_command=True, help="Run the embedded ClickHouse store.")
    store_app.callback()(store)
    store_app.command("migrate", help="Bring the tables of a running store up to date.")(migrate)
    store_app.command("schema", help="Print every table's SQL, for one server or for a cluster.")(schema)
    store_app.command("backfill", help="Work out the edges of a past window again, from spans.")(backfill)
    app.add_typer(store_app, name="store", rich_help_panel=ROOMS_PANEL)
    collector_app = typer.Typer(
        invoke_without_command=True, help="Run a collector (OpenTelemetry in, ClickHouse out), or look after one."
    )
    collector_app.callback()(collector)
    collect.register(collector_app)
    app.add_typer(collector_app, name="collector", rich_help_panel=ROOMS_PANEL)
    for command, text in (
        (control, "Run control: registry, policies, rollouts."),
        (analytics, "Run analytics: map, objectives, anomalies, proposals, verdicts."),
        (dashboard, "Run the web pages."),
        (proxy, "Run the proxy beside one instance of a service."),
    ):
        app.command(help=text, rich_help_panel=ROOMS_PANEL)(command)


def store(
    context: typer.Context, config: Config = None, host: Host = None, port: Port = None, data_dir: DataDir = None
) -> None:
    """Run the embedded store, unless a verb such as ``migrate`` follows."""
    configuration = load_configuration(config, os.environ).with_values(
        "store", {"host": host, "port": port, "data_dir": data_dir}
    )
    context.obj = configuration
    if context.invoked_subcommand is None:
        _run(configuration, "store")


def migrate(
    context: typer.Context,
    config: Config = None,
    store_url: Annotated[str | None, typer.Option("--store-url", metavar="URL", help="Which store.")] = None,
    cluster: Cluster = None,
    indexes: Annotated[
        str | None, typer.Option("--indexes", metavar="KIND", help="bloom (the default) or text.")
    ] = None,
) -> None:
    """Bring the tables of the store up to date."""
    configuration = load_configuration(config, os.environ) if config is not None else context.obj
    configuration = configuration.with_values("store", {"url": store_url, "cluster": cluster, "indexes": indexes})
    settings = settings_for(configuration, "store")
    _configure_logs(configuration)
    applied = ROOMS["store"].call(settings, "migrate")
    typer.echo(f"applied {', '.join(applied)}" if applied else "the tables are up to date")


def schema(context: typer.Context, config: Config = None, cluster: Cluster = None) -> None:
    """Print the schema history; it can be read, kept, or run by another tool."""
    configuration = load_configuration(config, os.environ) if config is not None else context.obj
    settings = settings_for(configuration.with_values("store", {"cluster": cluster}), "store")
    typer.echo(ROOMS["store"].call(settings, "script"), nl=False)


def collector(
    context: typer.Context,
    *,
    config: Config = None,
    host: Host = None,
    port: Annotated[int | None, typer.Option("--port", "--http-port", metavar="N", help="Port of OTLP/HTTP.")] = None,
    grpc_port: Annotated[int | None, typer.Option("--grpc-port", metavar="N", help="Port of OTLP/gRPC.")] = None,
    data_dir: DataDir = None,
    store_url: StoreUrl = None,
) -> None:
    """Run a collector, unless a verb such as ``status`` follows."""
    values = {"host": host, "http_port": port, "grpc_port": grpc_port, "data_dir": data_dir, "store_url": store_url}
    context.obj = load_configuration(config, os.environ).with_values("collector", values)
    if context.invoked_subcommand is None:
        _run(context.obj, "collector")


def control(*, config: Config = None, host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run control."""
    values = {"host": host, "port": port, "data_dir": data_dir}
    _run(load_configuration(config, os.environ).with_values("control", values), "control")


def analytics(
    *,
    config: Config = None,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    store_url: StoreUrl = None,
    control_url: ControlUrl = None,
) -> None:
    """Run analytics."""
    values = {"host": host, "port": port, "data_dir": data_dir, "store_url": store_url, "control_url": control_url}
    _run(load_configuration(config, os.environ).with_values("analytics", values), "analytics")


def dashboard(
    *,
    config: Config = None,
    host: Host = None,
    port: Port = None,
    store_url: StoreUrl = None,
    control_url: ControlUrl = None,
) -> None:
    """Run the web pages."""
    values = {"host": host, "port": port, "store_url": store_url, "control_url": control_url}
    _run(load_configuration(config, os.environ).with_values("dashboard", values), "dashboard")


def proxy(
    *,
    config: Config = None,
    service: Annotated[str | None, typer.Option(metavar="NAME", help="Service the proxy stands beside.")] = None,
    instance_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Id of this instance.")] = None,
    host: Host = None,
    app_port: Annotated[int | None, typer.Option(metavar="N", help="Port of the application.")] = None,
    outbound_port: Annotated[int | None, typer.Option(metavar="N", help="Port the application calls out by.")] = None,
    inbound_port: Annotated[int | None, typer.Option(metavar="N", help="Port other proxies call in by.")] = None,
    admin_port: Annotated[int | None, typer.Option(metavar="N", help="Port of health, metrics, state.")] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Processes that share the ports.")] = None,
    control_url: ControlUrl = None,
    collector_url: Annotated[str | None, typer.Option(metavar="URL", help="Where the collector answers.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory that keeps the last good snapshot.")
    ] = None,
) -> None:
    """Run one proxy."""
    values = {
        "service": service,
        "instance_id": instance_id,
        "host": host,
        "app_port": app_port,
        "outbound_port": outbound_port,
        "inbound_port": inbound_port,
        "admin_port": admin_port,
        "workers": workers,
        "control_url": control_url,
        "collector_url": collector_url,
        "snapshot_cache_dir": data_dir,
    }
    configuration = load_configuration(config, os.environ).with_values("proxy", values)
    if not configuration.says("proxy", "snapshot_file"):
        # Beside a platform on the same machine nothing needs to be told.
        unsaid = {name: url for name, url in LOCAL_PLATFORM.items() if not configuration.says("proxy", name)}
        configuration = configuration.with_values("proxy", unsaid)
    _run(configuration, "proxy")


def _run(configuration: Configuration, room: str) -> None:
    settings = settings_for(configuration, room)
    _configure_logs(configuration)
    ROOMS[room].call(settings)


def _configure_logs(configuration: Configuration) -> None:
    settings = settings_for(configuration, "log")
    assert isinstance(settings, LogSettings)
    configure_logs(settings)
