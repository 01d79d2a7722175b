"""The schema history: numbered SQL files, applied in order, once, and never changed afterwards.

ClickHouse's DDL knows no transactions, so a file holds one statement, a statement can be repeated, and a version is
noted only after it worked. There is no way back: a mistake is mended by the next number.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final, Protocol

from meshwise.contracts.errors import ConfigError
from meshwise.store import lexer
from meshwise.store.cluster import Layout, create_database, render

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from meshwise.store.engine import Engine

LEDGER: Final = "mesh_schema_history"
_CREATE_LEDGER: Final = (
    f"CREATE TABLE IF NOT EXISTS {LEDGER} (version UInt32, name String, checksum FixedString(64), "
    "applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY version "
    "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
)
_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True)
class Version:
    """One step of the history."""

    number: int
    name: str
    statement: str
    checksum: str

    @property
    def label(self) -> str:
        """The file's name without its ending, such as ``0001_create_otel_traces``."""
        return f"{self.number:04d}_{self.name}"


class Connection(Protocol):
    """What a migration needs of a store, within one database."""

    def execute(self, statement: str) -> None:
        """Run a statement that answers nothing."""
        ...

    def ledger(self) -> Mapping[int, tuple[str, str]]:
        """Return name and checksum of every version noted."""
        ...

    def note(self, version: Version) -> None:
        """Note that ``version`` was applied."""
        ...


def history(package: str = "meshwise.store.schema") -> tuple[Version, ...]:
    """Return every version of the history, oldest first.

    Raises:
        ConfigError: a file is misnamed, a number is missing or used twice.
    """
    versions = []
    for entry in resources.files(package).iterdir():
        if not entry.name.endswith(".sql"):
            continue
        named = _FILE.fullmatch(entry.name)
        if named is None:
            raise ConfigError(f"schema file {entry.name} is misnamed: write it like 0001_create_spans.sql")
        versions.append(version(int(named[1]), named[2], entry.read_text(encoding="utf-8")))
    versions.sort(key=lambda one: one.number)
    for expected, one in enumerate(versions, start=1):
        if one.number != expected:
            raise ConfigError(f"schema history has {one.label} where number {expected:04d} belongs")
    return tuple(versions)


def version(number: int, name: str, text: str) -> Version:
    """Return the version that a file with ``text`` stands for; its checksum does not see comments or spaces."""
    spelled = "\0".join(f"{token.kind[0]}{token.text}" for token in lexer.tokens(text))
    return Version(number, name, text.strip().rstrip(";"), hashlib.sha256(spelled.encode()).hexdigest())


def pending(versions: Sequence[Version], applied: Mapping[int, tuple[str, str]]) -> list[Version]:
    """Return the versions still to apply.

    Raises:
        ConfigError: what was applied is not what the history says.
    """
    known = {one.number: one for one in versions}
    for number, (name, checksum) in sorted(applied.items()):
        one = known.get(number)
        if one is None:
            raise ConfigError(
                f"the store has version {number:04d}_{name}, which this meshwise does not know: upgrade meshwise"
            )
        if one.name != name or one.checksum != checksum:
            raise ConfigError(
                f"schema file {one.label} was edited after it had been applied: restore it and add a new number instead"
            )
    todo = [one for one in versions if one.number not in applied]
    if todo and applied and todo[0].number < max(applied):
        raise ConfigError(f"version {todo[0].label} is missing in the store although later ones are there")
    return todo


def migrate(
    connection: Connection, versions: Sequence[Version] | None = None, *, layout: Layout | None = None
) -> list[str]:
    """Apply what is pending and return the labels applied; none when the store was up to date.

    With a ``layout`` each statement takes its form for a cluster.

    Raises:
        ConfigError: the histories disagree; nothing was applied.
    """
    for statement in statements(_CREATE_LEDGER, layout):
        connection.execute(statement)
    done = []
    for one in pending(history() if versions is None else versions, connection.ledger()):
        for statement in statements(one.statement, layout):
            connection.execute(statement)
        connection.note(one)
        done.append(one.label)
    return done


def script(layout: Layout | None = None, versions: Sequence[Version] | None = None) -> str:
    """Return the whole history as one text of statements, for a reader or for another tool to run."""
    parts = [create_database(layout.database, layout)] if layout is not None else []
    for text in (_CREATE_LEDGER, *(one.statement for one in (history() if versions is None else versions))):
        parts += statements(text, layout)
    return ";\n\n".join(parts) + ";\n"


def statements(statement: str, layout: Layout | None) -> tuple[str, ...]:
    """Return what ``statement`` is on one server, or on the cluster of ``layout``."""
    return (statement,) if layout is None else render(statement, layout)


class ClientConnection:
    """A store reached through a client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def execute(self, statement: str) -> None:
        """Run a statement that answers nothing."""
        self._client.command(statement)

    def ledger(self) -> Mapping[int, tuple[str, str]]:
        """Return name and checksum of every version noted."""
        rows = self._client.query(f"SELECT version, name, toString(checksum) FROM {LEDGER}").result_rows  # noqa: S608
        return {int(number): (str(name), str(checksum)) for number, name, checksum in rows}

    def has_index(self, name: str) -> bool:
        """Tell whether any table of the database has an index called ``name``."""
        statement = (
            "SELECT count() FROM system.data_skipping_indices WHERE database = currentDatabase() AND name = {n:String}"
        )
        return self._client.command(statement, {"n": name}) != 0

    def note(self, version: Version) -> None:
        """Note that ``version`` was applied."""
        row = [version.number, version.name, version.checksum]
        self._client.insert(LEDGER, [row], column_names=["version", "name", "checksum"])


class EngineConnection:
    """The embedded engine itself, before anyone else can reach it."""

    def __init__(self, engine: Engine, database: str) -> None:
        self._engine = engine
        self._database = database

    def execute(self, statement: str) -> None:
        """Run a statement that answers nothing."""
        self._engine.execute(statement, database=self._database)

    def ledger(self) -> Mapping[int, tuple[str, str]]:
        """Return name and checksum of every version noted."""
        text = self._engine.scalar(f"SELECT version, name, checksum FROM `{self._database}`.{LEDGER}")  # noqa: S608
        rows = (line.split("\t") for line in text.splitlines())
        return {int(number): (name, checksum) for number, name, checksum in rows}

    def has_index(self, name: str) -> bool:
        """Tell whether any table of the database has an index called ``name``."""
        counted = "SELECT count() FROM system.data_skipping_indices WHERE database = {d:String} AND name = {n:String}"
        return self._engine.scalar(counted, d=self._database, n=name) != "0"

    def note(self, version: Version) -> None:
        """Note that ``version`` was applied."""
        self._engine.execute(
            f"INSERT INTO {LEDGER} (version, name, checksum) "
            "SELECT {version:UInt32}, {name:String}, {checksum:String}",
            database=self._database,
            version=str(version.number),
            name=version.name,
            checksum=version.checksum,
        )
