"""Typed rows of the ``mesh_*`` tables: written from, and read back as, the dataclasses of ``contracts.rows``."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from meshwise.contracts import rows
from meshwise.contracts.rows import MADE, TABLES, EdgeBucket

if TYPE_CHECKING:
    from clickhouse_connect.driver import AsyncClient
    from clickhouse_connect.driver.client import Client

Row = TypeVar("Row")

_READABLE: Final[Mapping[type, str]] = {**TABLES, EdgeBucket: rows.EDGE_10S}


def insert_rows(client: Client, findings: Sequence[Any], *, token: str = "", code_version: str = "") -> int:
    """Write findings, of one kind or several, each kind in one insert; return how many were written.

    ``code_version`` says which code made them, where the kind is one of ``contracts.rows.MADE``.

    A write repeated under the same ``token`` adds nothing where the table keeps a deduplication window.

    Raises:
        TypeError: one of them is no finding of ``contracts.rows.TABLES``.
    """
    settings = {"insert_deduplication_token": token} if token else None
    for kind, names, data in _by_table(findings):
        if code_version and kind in MADE:
            names, data = [*names, "code_version"], [[*row, code_version] for row in data]  # noqa: PLW2901
        client.insert(TABLES[kind], data, column_names=names, settings=settings)
    return len(findings)


async def insert_rows_async(client: AsyncClient, findings: Sequence[Any]) -> int:
    """Write findings as ``insert_rows`` does, with an asynchronous client; raises as it does.

    As lines of JSON: at its first insert of columns the client's library loads pandas and pyarrow, where they are
    installed, and a server's event loop stands still for a third of a second.
    """
    for kind, names, data in _by_table(findings):
        lines = (json.dumps(dict(zip(names, row, strict=True)), default=_spelled) for row in data)
        await client.raw_insert(TABLES[kind], insert_block="\n".join(lines), fmt="JSONEachRow")
    return len(findings)


def select_rows(
    client: Client,
    kind: type[Row],
    where: str = "",
    parameters: Mapping[str, Any] | None = None,
    *,
    order: str = "",
    limit: int = 100_000,
) -> list[Row]:
    """Return the rows of a finding's table, or of ``mesh_edge_10s`` for ``EdgeBucket``, as dataclasses.

    ``where`` and ``order`` are SQL written by us, never put together from input: values go into ``parameters`` and
    are named in it, as in ``"service = {service:String} AND computed_at >= {since:DateTime64(3)}"``.
    """
    statement = f"SELECT {', '.join(columns(kind))} FROM {_READABLE[kind]}"  # noqa: S608  # names from contracts
    if where:
        statement += f" WHERE {where}"
    if order:
        statement += f" ORDER BY {order}"
    statement += f" LIMIT {int(limit)}"
    result = client.query(statement, parameters=dict(parameters or {}))
    return rows_from(kind, result.result_rows)


def rows_from(kind: type[Row], values: Iterable[Sequence[Any]]) -> list[Row]:
    """Return query results whose columns are the fields of ``kind``, in order, as dataclasses of that kind."""
    converters = _converters(kind)
    return [kind(*(convert(value) for convert, value in zip(converters, one, strict=True))) for one in values]


def columns(kind: type) -> tuple[str, ...]:
    """Return the column names of ``kind``, which are its fields, in order."""
    return tuple(field.name for field in dataclasses.fields(kind))


def _by_table(findings: Sequence[Any]) -> Iterator[tuple[type, list[str], list[list[Any]]]]:
    """Yield kind, column names and rows for each kind among ``findings``; every kind is checked before the first."""
    kinds: dict[type, list[Any]] = {}
    for finding in findings:
        if type(finding) not in TABLES:
            raise TypeError(f"{type(finding).__name__} has no table in contracts.rows.TABLES")
        kinds.setdefault(type(finding), []).append(finding)
    for kind, group in kinds.items():
        names = columns(kind)
        yield kind, list(names), [[_outgoing(getattr(one, name)) for name in names] for one in group]


def _converters(kind: type) -> tuple[Callable[[Any], Any], ...]:
    hints = typing.get_type_hints(kind)
    return tuple(_converter(hints[name]) for name in columns(kind))


def _converter(hint: Any) -> Callable[[Any], Any]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = _converter(next(one for one in typing.get_args(hint) if one is not type(None)))
        return lambda value: None if value is None else inner(value)
    if hint is datetime:
        return utc
    if typing.get_origin(hint) is not None:
        return dict
    if hint in (int, float, bool, str):
        convert: Callable[[Any], Any] = hint
        return convert
    raise TypeError(f"no column type for {hint}")


def utc(moment: datetime) -> datetime:
    """Return ``moment`` as timezone-aware UTC; the store's times carry no zone and are UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _outgoing(value: Any) -> Any:
    if isinstance(value, datetime):
        return utc(value)
    return dict(value) if isinstance(value, Mapping) else value


def _spelled(value: Any) -> str:
    """Return a time as every ClickHouse reads it, whatever its ``date_time_input_format``."""
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} is no value of a finding")
    return utc(value).strftime("%Y-%m-%d %H:%M:%S.%f")
