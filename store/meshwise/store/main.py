"""Starting the store, and bringing its tables up to date."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from meshwise.contracts.errors import UnavailableError
from meshwise.store import background, client, indexes, migrations
from meshwise.store.client import StoreAddress
from meshwise.store.cluster import Layout, create_database
from meshwise.store.confinement import confine
from meshwise.store.engine import Engine
from meshwise.store.server import build_app
from meshwise.store.serving import Door, serve
from meshwise.store.settings import StoreSettings
from meshwise.store.span_edges import Progress, SpanEdges

log = structlog.get_logger(__name__)

MERGES_NAMED_S: Final = 2.0
"""How long a start waits for the engine's merging threads; they are there at once unless the machine is overloaded."""


def run(settings: StoreSettings) -> None:
    """Serve the embedded store until SIGTERM or SIGINT; its tables are brought up to date first.

    Raises:
        ConfigError: it cannot be started as configured.
    """
    door = Door(
        room="store",
        host=settings.host,
        port=settings.port,
        token=settings.token,
        tls_cert=settings.tls_cert and settings.tls_cert.absolute(),
        tls_key=settings.tls_key and settings.tls_key.absolute(),
        tls_client_ca=settings.tls_client_ca and settings.tls_client_ca.absolute(),
        drain_s=settings.drain_s,
        secured=bool(settings.password),
    )
    door.check()
    with door.listen() as listener:
        if settings.confine:
            _confine(settings.data_dir)
        engine = Engine(settings)
        engine.open()
        # The engine keeps the OTLP schemas it is sent in its working directory, and offers no setting for it.
        os.chdir(settings.data_dir)
        try:
            # This process is the only owner of the directory, so nobody else can be at it.
            connection = migrations.EngineConnection(engine, settings.database)
            applied = migrations.migrate(connection)
            indexes.apply(connection, settings.indexes)
            log.info("schema up to date", applied=applied, version=engine.version, data_dir=str(settings.data_dir))
            if sys.platform == "linux":
                log.debug("merges stand back", threads=background.stand_back_all(MERGES_NAMED_S))
            app, endpoint = build_app(engine, settings)
            try:
                serve(app, door, listener)
            finally:
                endpoint.close()
        finally:
            engine.close()


def _confine(data_dir: Path) -> None:
    """Shut the process in before the engine starts its threads; which also tells of a directory it cannot make."""
    with contextlib.suppress(OSError):
        data_dir.mkdir(parents=True, exist_ok=True)
    if data_dir.is_dir():
        # The engine's directory may be a link to another disk. Devices and processes are guarded by other means.
        found = confine((data_dir, data_dir / "engine", Path(tempfile.gettempdir()), Path("/dev"), Path("/proc")))
        log.info("confined", writes=found.writes, connections=found.connections)


def migrate(settings: StoreSettings) -> list[str]:
    """Bring the store at ``settings.url`` (or at its own host and port) up to date; return the versions applied.

    Raises:
        UnavailableError: the store is down.
        ConfigError: its history and ours disagree.
    """
    url = _url(settings)
    database = client.database_of(url)
    layout = Layout(settings.cluster, database) if settings.cluster else None
    target = _address(settings).connect(create_database=create_database(database, layout))
    try:
        connection = migrations.ClientConnection(target)
        applied = migrations.migrate(connection, layout=layout)
        if indexes.apply(connection, settings.indexes, layout):
            applied.append(f"{settings.indexes} indexes")
        return applied
    finally:
        target.close()


def script(settings: StoreSettings) -> str:
    """Return the schema history as SQL, for the cluster when one is named; nothing is connected to.

    Raises:
        ConfigError: the cluster's name is none.
    """
    return migrations.script(Layout(settings.cluster, settings.database) if settings.cluster else None)


def backfill(settings: StoreSettings, start: datetime, end: datetime, now: datetime) -> Progress:
    """Derive the edges of ``[start, end)`` from the spans in the store; return what was worked out and what changed.

    Raises:
        UnavailableError: the store is down.
        ConfigError: the window cannot be filled.
    """
    target = _address(settings).connect()
    done = Progress()
    try:
        for reached, progress in SpanEdges(target).backfill(start, end, now):
            done += progress
            log.debug("backfilled", up_to=reached.isoformat(), buckets=progress.buckets, rows=progress.rows)
    except ClickHouseError as error:
        raise UnavailableError(f"the store could not answer: {' '.join(str(error).split())[:300]}") from None
    finally:
        target.close()
    return done


def _address(settings: StoreSettings) -> StoreAddress:
    """Return where our commands find the store; a password goes first, for a real server knows no token of ours."""
    return StoreAddress(
        _url(settings),
        settings.user,
        settings.password,
        "" if settings.password else settings.token,
        settings.ca or (None if settings.url else settings.tls_cert),
        settings.client_cert,
    )


def _url(settings: StoreSettings) -> str:
    scheme = "https" if settings.tls_cert else "http"
    return settings.url or f"{scheme}://{settings.host}:{settings.port}/{settings.database}"
