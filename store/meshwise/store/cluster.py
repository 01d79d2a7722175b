"""The schema history on a replicated, sharded cluster: a statement of the history becomes one or two of the cluster's.

- The tables of telemetry are **sharded**: ``otel_traces_local`` is replicated within its shard, and ``otel_traces`` is
  the ``Distributed`` table over all shards, so queries and inserts name what they always named. All spans of a trace
  hash to the same shard, a metric's series and an edge likewise; replays do, too, so deduplication holds.
- All other tables are small and lie **everywhere**: one replicated table over every node.
- Landing tables (``Null``) are on every node; the views behind them write to the ``Distributed`` tables. Views behind
  sharded tables read and write what is local, so rollups are kept where their rows are.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from meshwise.contracts.errors import ConfigError
from meshwise.store import lexer
from meshwise.store.lexer import Token

CLUSTER_NAME: Final = r"^[A-Za-z0-9_.{}-]{1,64}$"
"""Cluster names, macros such as ``{cluster}`` included: nothing that would end a quoted text."""

_SERIES: Final = "cityHash64(ServiceName, MetricName, cityHash64(Attributes))"
_EDGE: Final = "cityHash64(source, destination)"
SHARDING: Final[Mapping[str, str]] = {
    "otel_traces": "cityHash64(TraceId)",
    "otel_traces_trace_id_ts": "cityHash64(TraceId)",
    # A record without a trace goes by itself, but to the same shard when it is sent again.
    "otel_logs": "cityHash64(if(TraceId != '', TraceId, concat(ServiceName, toString(Timestamp))))",
    "otel_metrics_gauge": _SERIES,
    "otel_metrics_sum": _SERIES,
    "otel_metrics_histogram": _SERIES,
    "otel_metrics_exponential_histogram": _SERIES,
    "otel_metrics_summary": _SERIES,
    "mesh_edge_10s": _EDGE,
    "mesh_edge_1m": _EDGE,
    "mesh_edge_1h": _EDGE,
    "mesh_edge_totals": _EDGE,
    "mesh_edge_spans": _EDGE,
    "mesh_span_arrivals": "cityHash64(bucket)",
    "mesh_services": "cityHash64(service)",
}
"""The sharded tables, and by what their rows go to a shard."""

INSERT_SETTINGS: Final[Mapping[str, str]] = {
    # The answer waits for every shard, and for a majority of each shard's replicas.
    "distributed_foreground_insert": "1",
    "insert_quorum": "auto",
    "insert_quorum_parallel": "1",
}
"""What an insert into a cluster needs so that an answered insert is a kept one."""

_VIEW: Final = ["CREATE", "MATERIALIZED", "VIEW"]
_DEDUPLICATION: Final = "non_replicated_deduplication_window"
_REMEMBERED: Final = "replicated_deduplication_window_seconds = 604800, replicated_deduplication_window"
"""Replicas forget an insert by its age as well, after an hour unless told otherwise: a collector may be away longer."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the tables go: the cluster's name in the servers' configuration, and the database."""

    cluster: str
    database: str

    def __post_init__(self) -> None:
        if re.fullmatch(CLUSTER_NAME, self.cluster) is None:
            raise ConfigError(f"store.cluster {self.cluster[:80]!r} is no name of a cluster: see SHOW CLUSTERS")

    @property
    def on_cluster(self) -> str:
        """The clause that makes every node run a statement."""
        return f" ON CLUSTER '{self.cluster}'"


@dataclass(frozen=True, slots=True)
class _Edit:
    """Replace ``statement[start:end]``."""

    start: int
    end: int
    text: str


def create_database(database: str, layout: Layout | None) -> str:
    """Return the statement that makes the database, on every node where there is a layout.

    Raises:
        ConfigError: the name is none that a database of ours has.
    """
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", database) is None:
        raise ConfigError(f"{database[:80]!r} is no name for a database: use letters, digits and '_'")
    return f"CREATE DATABASE IF NOT EXISTS {database}{layout.on_cluster if layout else ''} ENGINE = Atomic"


def render(statement: str, layout: Layout) -> tuple[str, ...]:
    """Return what ``statement`` of the history is on the cluster, to be run in this order on any one node.

    Raises:
        ConfigError: it is of a kind that has no form for clusters yet.
    """
    items = list(lexer.tokens(statement))
    words = [one.text.upper() for one in items if one.kind == "word"]
    if words[:2] == ["CREATE", "TABLE"]:
        return _create_table(statement, items, layout)
    if words[:3] == _VIEW or words[:1] + words[3:5] == _VIEW:  # … or CREATE OR REPLACE
        return (_create_view(statement, items, layout),)
    if words[:2] == ["CREATE", "VIEW"]:
        name = _name(items)
        return (_apply(statement, [_named(name, name.text, layout)]),)  # it reads all shards, as any query does
    if words[:2] == ["ALTER", "TABLE"]:
        return _alter_table(statement, items, layout)
    if words[:2] in (["DROP", "TABLE"], ["DROP", "VIEW"]):
        name = _name(items)
        names = [name.text, local(name.text)] if name.text in SHARDING else [name.text]
        return tuple(_apply(statement, [_named(name, one, layout)]) for one in names)
    if words[:2] == ["INSERT", "INTO"]:
        return (statement,)  # from all shards to all shards, on whichever node it runs
    raise ConfigError(f"a statement {' '.join(words[:3])} of the schema history has no form for clusters yet")


def local(table: str) -> str:
    """Return the name of the part of ``table`` that a node holds itself."""
    return f"{table}_local" if table in SHARDING else table


def _create_table(statement: str, items: Sequence[Token], layout: Layout) -> tuple[str, ...]:
    name = _name(items)
    engine = _engine(items)
    if items[engine].text == "Null":
        return (_apply(statement, [_named(name, name.text, layout)]),)
    held = local(name.text)
    edits = [_named(name, held, layout), *_replicated(items, engine, sharded=name.text in SHARDING)]
    edits += [_Edit(one.start, one.end, _REMEMBERED) for one in items if one.text == _DEDUPLICATION]
    created = _apply(statement, edits)
    if name.text not in SHARDING:
        return (created,)
    over_all = (
        f"CREATE TABLE IF NOT EXISTS {name.text}{layout.on_cluster} AS {held}\n"
        f"ENGINE = Distributed('{layout.cluster}', '{layout.database}', '{held}', {SHARDING[name.text]})"
    )
    return created, over_all


def _create_view(statement: str, items: Sequence[Token], layout: Layout) -> str:
    name = _name(items)
    edits = [_named(name, name.text, layout)]
    sources = _sources(items)
    edits += [_Edit(one.start, one.end, local(one.text)) for one in sources]
    target = next(items[at + 1] for at, one in enumerate(items) if one.is_word("TO"))
    if any(one.text in SHARDING for one in sources):
        edits.append(_Edit(target.start, target.end, local(target.text)))
    return _apply(statement, edits)


def _alter_table(statement: str, items: Sequence[Token], layout: Layout) -> tuple[str, ...]:
    name = _name(items)
    sources = [_Edit(one.start, one.end, local(one.text)) for one in _sources(items)]
    held = _apply(statement, [_named(name, local(name.text), layout), *sources])
    if name.text not in SHARDING:
        return (held,)
    words = {one.text.upper() for one in items if one.kind == "word"}
    if "COLUMN" not in words:
        return (held,)  # indexes, lifetimes and settings are the local table's alone
    if words & {"INDEX", "TTL", "SETTING", "PROJECTION", "STATISTICS", "CONSTRAINT"}:
        raise ConfigError(f"the schema history alters columns of {name.text} and more at once: use two statements")
    return held, _apply(statement, [_named(name, name.text, layout)])


def _replicated(items: Sequence[Token], engine: int, *, sharded: bool) -> list[_Edit]:
    where = "{shard}" if sharded else "everywhere"
    # One number may be the name of a replica in every shard.
    replica = "{replica}" if sharded else "{shard}-{replica}"
    arguments = f"'/clickhouse/tables/{where}/{{database}}/{{table}}', '{replica}'"
    kind = items[engine]
    found = [_Edit(kind.start, kind.start, "Replicated")]
    opened = items[engine + 1] if engine + 1 < len(items) else None
    if opened is None or opened.text != "(":
        return [*found, _Edit(kind.end, kind.end, f"({arguments})")]
    more = "" if items[engine + 2].text == ")" else ", "
    return [*found, _Edit(opened.end, opened.end, arguments + more)]


def _name(items: Sequence[Token]) -> Token:
    """Return the token that names what a statement makes, changes or drops."""
    skipped = {"CREATE", "OR", "REPLACE", "ALTER", "DROP", "TABLE", "VIEW", "MATERIALIZED", "IF", "NOT", "EXISTS"}
    return next(one for one in items if one.kind == "quoted" or one.text.upper() not in skipped)


def _engine(items: Sequence[Token]) -> int:
    return next(at + 2 for at, one in enumerate(items) if one.is_word("ENGINE") and items[at + 1].text == "=")


def _sources(items: Sequence[Token]) -> list[Token]:
    """Return the sharded tables that a SELECT reads."""
    pairs = itertools.pairwise(items)
    return [table for before, table in pairs if before.is_word("FROM", "JOIN") and table.text in SHARDING]


def _named(name: Token, text: str, layout: Layout) -> _Edit:
    return _Edit(name.start, name.end, text + layout.on_cluster)


def _apply(statement: str, edits: Sequence[_Edit]) -> str:
    for edit in sorted(edits, key=lambda one: one.start, reverse=True):
        statement = statement[: edit.start] + edit.text + statement[edit.end :]
    return statement
