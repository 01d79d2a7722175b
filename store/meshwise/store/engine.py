"""The embedded engine: chDB under our configuration, one connection per query.

A connection is a session of its own (0.2 ms), so settings never leak from one query into the next. Data of an insert
reaches the engine through a temporary file in a memory file system: handed over inline it is cut short.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from meshwise.contracts.errors import ConfigError
from meshwise.store import coding, errors, identifiers, lexer
from meshwise.store.engine_config import VALUES_EXPRESSIONS, write_config
from meshwise.store.errors import EngineError, QueryError
from meshwise.store.gate import Gate, check_settings
from meshwise.store.request import Query
from meshwise.store.settings import StoreSettings

_STREAMED: Final = frozenset(
    {
        "Native",
        "TabSeparated",
        "TSV",
        "CSV",
        "RowBinary",
        "JSONEachRow",
        "JSONLines",
        "NDJSON",
        "LineAsString",
        "RawBLOB",
    }
)
"""Formats in which the encodings of two blocks, one after the other, are the encoding of both."""
_MEMORY_FILES: Final = Path("/dev/shm")  # noqa: S108  # private files of this process, mode 600
_VALUES_CHECKED_BYTES: Final = 256 * 1024
_REMEMBERED_CHARACTERS: Final = 16 * 1024
"""Longest statement whose judgement is remembered."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A statement as the engine's parser read it: as its formatter prints it, and of which class it is."""

    text: str
    kind: str
    takes_names: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """A statement that passed the gate: as it is run, the format of its answer ("" = the client's default)."""

    text: str
    writes: bool
    format: str
    is_select: bool


@dataclass(slots=True)
class Progress:
    """What one query did so far."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0


class Engine:
    """The one engine of a process, over one directory."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._path = settings.data_dir.resolve()
        self._native: Any = None
        self._anchor: Any = None
        self._connect_lock = threading.Lock()
        self._gate = Gate(())
        self._target = ""
        self.version = ""
        # Dashboards and jobs ask the same questions again and again; formatting costs 2 ms.
        self._parse_again = functools.lru_cache(maxsize=1024)(self._parse)
        self._judge_again = functools.lru_cache(maxsize=1024)(self._judge)

    def open(self) -> None:
        """Start the engine on its directory and make sure of the database.

        Raises:
            ConfigError: the directory is in use, not ours to write, or does not hold what this engine reads.
        """
        os.environ["TZ"] = "UTC"
        time.tzset()
        try:
            (self._path / "engine").mkdir(parents=True, exist_ok=True)
            config = write_config(self._path / "config", self._settings)
        except OSError as error:
            raise ConfigError(
                f"data_dir {self._path} cannot be written ({error.strerror}): choose another with store.data_dir"
            ) from None
        try:
            native: Any = importlib.import_module("chdb._chdb")
        except ImportError:
            raise ConfigError("the embedded store needs chdb: install meshwise[store]") from None
        self._native = native
        self._target = f"{self._path / 'engine'}?config-file={config}"
        with _quiet_stderr() as noise:
            try:
                self._anchor = native.connect(self._target)
            except RuntimeError as error:
                raise _cannot_open(self._path, f"{error} {noise()}") from None
        self.version = self.scalar("SELECT version()")
        names = self.scalar("SELECT arrayStringConcat(groupArray(name), ' ') FROM system.table_functions")
        self._gate = Gate(names.split(), self._settings.database)
        self.execute(f"CREATE DATABASE IF NOT EXISTS `{self._settings.database}` ENGINE = Atomic")

    def close(self) -> None:
        """Stop the engine; running queries are cancelled."""
        anchor, self._anchor = self._anchor, None
        if anchor is not None:
            anchor.close()

    def scalar(self, statement: str, **parameters: str) -> str:
        """Run one of our own statements and return its answer as text."""
        with self._session() as session:
            answer: bytes = _native_query(session, statement, "TabSeparatedRaw", parameters).bytes()
            return answer.decode().rstrip("\n")

    def execute(self, statement: str, *, database: str = "", **parameters: str) -> None:
        """Run one of our own statements, past the gate."""
        with self._session() as session:
            if database:
                _native_query(session, f"USE {identifiers.quoted(database)}", "Null", {})
            _native_query(session, statement, "Null", parameters)

    def start(self, query: Query, query_id: str) -> Answer:
        """Judge ``query`` and run it until its first bytes are there.

        Raises:
            QueryError: it was refused or failed before the first byte.
        """
        check_settings(query.settings)
        if query.database not in ("", "default", self._settings.database):
            raise QueryError(
                errors.UNKNOWN_DATABASE, f"Database {query.database[:60]} is not served: {self._settings.database} is"
            )
        judged = self._judged(query)
        if query.read_only and judged.writes:
            raise QueryError(errors.READONLY, "Cannot execute query in readonly mode: writes need POST")
        given = dict(query.settings)
        connection = self._connect()
        try:
            database = identifiers.quoted(query.database or self._settings.database)
            _native_query(connection, f"USE {database}", "Null", {})
            given["log_comment"] = query_id
            _native_query(connection, "SET " + ", ".join(f"{key} = {_quote(given[key])}" for key in given), "Null", {})
            if query.data is not None:
                return self._insert(connection, judged, query, query_id)
            return self._select(connection, judged, query, query_id)
        except BaseException:
            connection.close()
            raise

    def kill(self, query_id: str) -> None:
        """Stop the query that reads under ``query_id``, if it still does; a write runs to its end."""
        with contextlib.suppress(QueryError), self._session() as session:
            _native_query(
                session,
                "KILL QUERY WHERE Settings['log_comment'] = {id:String} AND query_kind = 'Select' ASYNC",
                "Null",
                {"id": query_id},
            )

    def _select(self, connection: Any, judged: Judged, query: Query, query_id: str) -> Answer:
        form = judged.format or query.default_format
        answer = Answer(self, connection, query_id, form)
        if form in _STREAMED and judged.is_select:
            answer.open_stream(judged.text, query.parameters)
            is_empty = answer.is_empty
        else:
            result = _native_query(connection, judged.text, form, query.parameters)
            answer.count(result)
            answer.set_body(bytes(result.bytes()))
            is_empty = not result.rows_read() and not judged.writes
        if is_empty and form == "Native":
            answer.set_body(_native_header(connection, judged, query.parameters))
        return answer

    def _insert(self, connection: Any, judged: Judged, query: Query, query_id: str) -> Answer:
        assert query.data is not None
        answer = Answer(self, connection, query_id, "")
        if query.is_file:
            self._insert_file(connection, judged, query, query.data, answer)
        else:
            with tempfile.TemporaryFile(dir=spool_directory()) as file:
                _copy(query.data_head, query.data, cast("BinaryIO", file), self._settings.max_body_bytes)
                self._insert_file(connection, judged, query, cast("BinaryIO", file), answer)
        answer.set_body(b"")
        return answer

    def _insert_file(self, connection: Any, judged: Judged, query: Query, file: BinaryIO, answer: Answer) -> None:
        """Insert what ``file`` holds; it needs no name of its own for the engine to open it again."""
        file.flush()
        path = f"/proc/self/fd/{file.fileno()}"
        size = os.fstat(file.fileno()).st_size
        if not size:
            return
        if query.format == "Values":
            self._check_values(connection, Path(path), size)
        answer.count(_native_query(connection, _from_infile(judged.text, path), "Null", query.parameters))

    def _check_values(self, connection: Any, path: Path, size: int) -> None:
        """Values may hold expressions: those of short inserts are judged, and then allowed."""
        if size <= _VALUES_CHECKED_BYTES and self._gate.check_values(path.read_bytes().decode("utf-8", "replace")):
            _native_query(connection, f"SET {', '.join(f'{name} = 1' for name in VALUES_EXPRESSIONS)}", "Null", {})

    def _judged(self, query: Query) -> Judged:
        is_short = len(query.statement) <= _REMEMBERED_CHARACTERS
        parsed = (self._parse_again if is_short else self._parse)(query.statement)
        text = identifiers.bind(parsed.text, query.parameters) if parsed.takes_names else parsed.text
        is_short = len(text) <= _REMEMBERED_CHARACTERS
        return (self._judge_again if is_short else self._judge)(text, parsed.kind)

    def _parse(self, statement: str) -> Parsed:
        with self._session() as session:
            verdict = session.classify_query(statement)
            if verdict["statement_count"] > 1:
                raise QueryError(errors.SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
            escaped = {"q": _parameter(statement)}
            # An INSERT whose data comes separately does not parse to its end as a query of its own in every version.
            text = (
                _native_query(session, "SELECT formatQuerySingleLine({q:String})", "RawBLOB", escaped).bytes().decode()
            )
            return Parsed(text, verdict["query_class"].name, identifiers.takes_names(text))

    def _judge(self, text: str, kind: str) -> Judged:
        self._gate.check(text)
        if kind not in ("READ_ONLY", "MUTATING"):
            raise QueryError(errors.ACCESS_DENIED, f"The embedded store refuses statements of class {kind}")
        items = list(lexer.tokens(text))
        return Judged(
            text=text,
            writes=kind != "READ_ONLY",
            format=_answer_format(items),
            is_select=bool(items) and items[0].is_word("SELECT", "WITH"),
        )

    def _connect(self) -> Any:
        with self._connect_lock:
            if self._anchor is None:
                raise QueryError(errors.QUERY_WAS_CANCELLED, "The store is shutting down")
            return self._native.connect(self._target)

    @contextlib.contextmanager
    def _session(self) -> Iterator[Any]:
        connection = self._connect()
        try:
            yield connection
        finally:
            connection.close()


class Answer:
    """The answer of one query: bytes fetched piece by piece, from whichever thread, one at a time."""

    def __init__(self, engine: Engine, connection: Any, query_id: str, form: str) -> None:
        self._engine = engine
        self._connection = connection
        self._stream: Any = None
        self._ready: bytes | None = None
        self.query_id = query_id
        self.format = form
        self.progress = Progress()
        self.is_empty = False

    def open_stream(self, statement: str, parameters: Mapping[str, str]) -> None:
        """Run a query block by block; the first block is fetched."""
        try:
            self._stream = self._connection.send_query(statement, self.format, params=dict(parameters))
        except (RuntimeError, TypeError) as error:
            raise EngineError(str(error)) from None
        self._ready = self._next_block()
        self.is_empty = self._ready == b""

    def set_body(self, body: bytes) -> None:
        """The answer is exactly ``body``."""
        self._ready = body
        self.progress.result_bytes = len(body)

    def replace(self, body: bytes) -> None:
        """End the query; the answer is ``body`` instead."""
        self.close()
        self.set_body(body)

    def count(self, result: Any) -> None:
        """Add what the engine says it read and wrote."""
        self.progress.read_rows += int(result.storage_rows_read())
        self.progress.read_bytes += int(result.storage_bytes_read())
        self.progress.written_rows += int(result.rows_written())
        self.progress.written_bytes += int(result.bytes_written())
        self.progress.result_rows += int(result.rows_read())

    def fetch(self) -> bytes:
        """Return the next bytes, empty at the end.

        Raises:
            QueryError: the query failed on the way.
        """
        if self._ready is not None:
            data, self._ready = self._ready, None
            return data
        return self._next_block() if self._stream is not None else b""

    def close(self) -> None:
        """Stop the query if it still runs and give everything back. May be called again."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._stream is not None:
            with contextlib.suppress(RuntimeError):
                connection.streaming_cancel_query(self._stream)
            self._stream = None
        connection.close()

    def _next_block(self) -> bytes:
        try:
            result = self._connection.streaming_fetch_result(self._stream)
        except RuntimeError as error:
            self._stream = None
            raise EngineError(str(error)) from None
        if result is None or not result.rows_read():
            self._stream = None
            return b""
        self.count(result)
        data = bytes(result.bytes())
        self.progress.result_bytes += len(data)
        return data


def spool_directory() -> str | None:
    """Return the directory for data on its way to the engine: a memory file system if there is one."""
    return str(_MEMORY_FILES) if os.access(_MEMORY_FILES, os.W_OK) else None


def _native_query(connection: Any, statement: str, form: str, parameters: Mapping[str, str]) -> Any:
    try:
        return connection.query(statement, form, params=dict(parameters))
    except (RuntimeError, TypeError) as error:
        raise EngineError(str(error)) from None


def _copy(head: bytes, rest: BinaryIO, target: BinaryIO, limit: int) -> int:
    size = len(head)
    target.write(head)
    while data := coding.read_step(rest):
        size += len(data)
        if size > limit:
            raise QueryError(errors.QUERY_IS_TOO_LARGE, f"The request body is larger than {limit} bytes unpacked")
        target.write(data)
    return size


def _from_infile(formatted: str, path: str) -> str:
    """Return the formatted ``INSERT … [SETTINGS …] FORMAT x`` with its data read from ``path``."""
    for token in lexer.tokens(formatted):
        if token.is_word("SETTINGS", "FORMAT"):
            return f"{formatted[: token.start]}FROM INFILE {_quote(path)} {formatted[token.start :]}"
    raise QueryError(errors.SYNTAX_ERROR, "Syntax error: an INSERT with data needs a FORMAT")


def _answer_format(items: list[lexer.Token]) -> str:
    if items and items[0].is_word("INSERT"):
        return ""
    for one, following in zip(reversed(items[:-1]), reversed(items), strict=False):
        if one.is_word("FORMAT") and following.kind == "word":
            return following.text
        if one.text == ")":
            break
    return ""


def _native_header(connection: Any, judged: Judged, parameters: Mapping[str, str]) -> bytes:
    """Return a Native block of no rows: the engine sends nothing, but clients read the columns from it."""
    bare = _without_format(judged.text)
    if judged.is_select:
        described = _native_query(connection, f"DESCRIBE ({bare})", "JSONCompact", parameters)
        columns = [(row[0], row[1]) for row in json.loads(described.bytes())["data"]]
    else:
        result = _native_query(connection, bare, "JSONCompact", parameters)
        columns = [(one["name"], one["type"]) for one in json.loads(result.bytes() or b'{"meta":[]}')["meta"]]
    if not columns:
        return b""
    parts = [_varint(len(columns)), _varint(0)]
    for name, kind in columns:
        for text in (name, kind):
            raw = text.encode()
            parts += (_varint(len(raw)), raw)
    return b"".join(parts)


def _without_format(formatted: str) -> str:
    end = len(formatted)
    for token in lexer.tokens(formatted):
        end = token.start if token.is_word("FORMAT") else end
    return formatted[:end]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _quote(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _parameter(value: str) -> str:
    """Return ``value`` as the engine reads parameters: tab-separated text with its escapes."""
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _cannot_open(path: Path, problem: str) -> ConfigError:
    if "Code: 76" in problem or "another server instance" in problem.lower() or "cannot lock" in problem.lower():
        return ConfigError(
            f"data_dir {path} is in use by another process: stop that one, or choose another with store.data_dir"
        )
    start = problem.find("Code: ")
    short = " ".join(problem[max(start, 0) :].split())[:400]
    return ConfigError(f"data_dir {path} cannot be opened ({short}): restore it, or choose another with store.data_dir")


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[Any]:
    """Catch what the engine prints to file descriptor 2 while it opens: its reason stands only there."""
    saved = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)

        def noise() -> str:
            caught.seek(0)
            return caught.read(8192).decode("utf-8", "replace")

        try:
            yield noise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def new_query_id() -> str:
    """Return a fresh query id."""
    return str(uuid.uuid4())
