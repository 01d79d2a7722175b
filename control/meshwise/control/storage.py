"""The state of control in SQL. A read sees one moment; a write is one transaction, and writers come one by one.

SQLite (write-ahead log) by default; any database of SQLAlchemy by URL, PostgreSQL being the one meant. Writers take a
lock first (``BEGIN IMMEDIATE``, or the row of the mesh ``FOR UPDATE``), so what a transaction read stays true until it
commits, also with several replicas of control on one database.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
import structlog
from sqlalchemy import event
from sqlalchemy.pool import ConnectionPoolEntry

from meshwise.contracts.errors import ConfigError
from meshwise.control import tables
from meshwise.control.transactions import Reading, Writing

log = structlog.get_logger(__name__)

_WRITING = "meshwise_writing"
_SCHEMA_LOCK = 0x6D657368
"""The key of PostgreSQL's advisory lock under which the schema changes: any number that nobody else takes."""


class Storage:
    """Opens transactions on one database; ``on_change`` hears each committed revision, from whatever thread."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._writers = threading.Lock()
        # SQLite's readers see one moment anyway; PostgreSQL's must ask for it.
        self._read_options = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        self.on_change: Callable[[int], None] = lambda _revision: None

    @contextmanager
    def read(self) -> Iterator[Reading]:
        """A transaction that only reads."""
        with self._engine.connect().execution_options(**self._read_options) as connection, connection.begin():
            yield Reading(connection)

    @contextmanager
    def write(self) -> Iterator[Writing]:
        """A transaction that may change things: all of it happens, or nothing when the block raises."""
        with self._writers:
            with self._engine.connect().execution_options(**{_WRITING: True}) as connection, connection.begin():
                writing = Writing(connection)
                yield writing
            changed = writing.changed
        if changed:
            self.on_change(changed)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def open_storage(database_url: str, data_dir: Path, now: float) -> Storage:
    """Connect, bring the schema up to date, and return the storage.

    Raises:
        ConfigError: the directory cannot be written, the database cannot be reached, its driver is missing, or a newer
            meshwise wrote it.
    """
    url = database_url or f"sqlite:///{_sqlite_file(data_dir)}"
    try:
        parsed = sa.make_url(url)
        engine = sa.create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite")
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
        raise ConfigError(f"control.database_url cannot be used: {error}; check it and install its driver") from None
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    try:
        _bring_up_to_date(engine, now)
    except sa.exc.SQLAlchemyError as error:
        engine.dispose()
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        where = parsed.render_as_string(hide_password=True)
        raise ConfigError(f"the database {where} cannot be opened: {reason}; check it, or move it away") from None
    return Storage(engine)


def _sqlite_file(data_dir: Path) -> Path:
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"control.data_dir {data_dir} cannot be made: {error.strerror}; choose another") from None
    return data_dir.resolve() / "control.db"


def _prepare_sqlite(engine: sa.Engine) -> None:
    """Let SQLAlchemy say BEGIN, so that a writer takes the lock before it reads."""

    def connected(connection: sa.engine.interfaces.DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by its own rules
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",  # readers and the writer do not wait for each other
            "synchronous=FULL",  # a policy that was acknowledged survives a power cut
            "busy_timeout=5000",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begin(connection: sa.Connection) -> None:
        writing = connection.get_execution_options().get(_WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begin)


def _bring_up_to_date(engine: sa.Engine, now: float) -> None:
    history = tables.schema_history
    with engine.connect().execution_options(**{_WRITING: True}) as connection, connection.begin():
        if engine.dialect.name == "postgresql":  # two replicas may start at once; SQLite locked at BEGIN
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
        history.metadata.create_all(connection)
        version = connection.execute(sa.select(sa.func.max(history.c.version))).scalar() or 0
        if version > len(tables.STEPS):
            raise ConfigError(
                f"control's database has schema version {version}, this meshwise knows {len(tables.STEPS)}; "
                "run the newer meshwise, or restore the backup from before it"
            )
        for step in range(version, len(tables.STEPS)):
            tables.STEPS[step](connection)
            connection.execute(history.insert().values(version=step + 1, applied_at=now))
            log.info("schema step applied", version=step + 1)
