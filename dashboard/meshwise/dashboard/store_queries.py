"""``Queries`` answered from ClickHouse, each answer kept for a moment so that many open pages cost one query."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

from meshwise.contracts import histogram
from meshwise.contracts.errors import UnavailableError
from meshwise.contracts.rows import (
    AlertFinding,
    AnomalyFinding,
    BurnDownFinding,
    EdgeFinding,
    ProposalFinding,
    RolloutFinding,
    Silence,
    SloFinding,
)
from meshwise.contracts.telemetry import FAILURES
from meshwise.dashboard.queries import (
    MOST_SPANS,
    CollectorRow,
    IngestPoint,
    SpanRow,
    TraceSearch,
    TraceSummary,
    TrafficPoint,
)
from meshwise.store.client import StoreAddress
from meshwise.store.findings import columns, rows_from, utc
from meshwise.store.sql import load_sql

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.query import QueryResult

Row = TypeVar("Row")
_MOST_ROWS = 1000
_MOST_ANSWERS = 256
_MOST_TRACES = 50
_TRACES_S = 900


class StoreQueries:
    """Findings from ``store``. Safe to call from several threads; connects at the first question."""

    def __init__(self, store: StoreAddress, *, timeout_s: float, cache_s: float) -> None:
        self._connect: Callable[[], Client] = lambda: store.connect(
            connect_timeout=timeout_s, send_receive_timeout=timeout_s
        )
        self._url = store.url
        self._cache_s = cache_s
        self._client: Any = None  # its query method carries no types
        self._lock = threading.Lock()
        self._answers: dict[tuple[Any, ...], tuple[float, Any]] = {}

    def edges(self, at: datetime | None = None) -> Sequence[EdgeFinding]:
        """See ``Queries``."""
        return self._findings(EdgeFinding, "edges", {"at": at or datetime.now(UTC)}, at)

    def anomalies(self, at: datetime | None = None) -> Sequence[AnomalyFinding]:
        """See ``Queries``."""
        rows = self._findings(AnomalyFinding, "anomalies", {"at": at or datetime.now(UTC)}, at)
        return sorted(rows, key=lambda row: row.score, reverse=True)

    def slos(self, at: datetime | None = None) -> Sequence[SloFinding]:
        """See ``Queries``."""
        rows = self._findings(SloFinding, "slos", {"at": at or datetime.now(UTC)}, at)
        return sorted(rows, key=lambda row: (row.service, row.objective))

    def alerts(self) -> Sequence[AlertFinding]:
        """See ``Queries``."""
        return self._findings(AlertFinding, "alerts", {"limit": _MOST_ROWS})

    def burn_downs(self, at: datetime | None = None) -> Sequence[BurnDownFinding]:
        """See ``Queries``."""
        return self._findings(BurnDownFinding, "burn_downs", {"at": at or datetime.now(UTC)}, at)

    def silences(self) -> Sequence[Silence]:
        """See ``Queries``."""
        return self._findings(Silence, "silences", {"limit": _MOST_ROWS})

    def proposals(self) -> Sequence[ProposalFinding]:
        """See ``Queries``."""
        return self._findings(ProposalFinding, "proposals", {"limit": _MOST_ROWS})

    def verdicts(self, rollout_id: str) -> Sequence[RolloutFinding]:
        """See ``Queries``."""
        return self._findings(RolloutFinding, "verdicts", {"rollout_id": rollout_id}, rollout_id)

    def traffic(self, seconds: int, source: str = "", destination: str = "") -> Sequence[TrafficPoint]:
        """See ``Queries``."""
        parameters = {
            "seconds": seconds,
            "source": source,
            "destination": destination,
            "failures": sorted(FAILURES),
        }
        return self._cached(
            ("traffic", seconds, source, destination),
            lambda: [_traffic_point(values) for values in self._ask("traffic", parameters).result_rows],
        )

    def traces(self, search: TraceSearch, at: datetime | None = None) -> Sequence[TraceSummary]:
        """See ``Queries``."""
        end = (at or datetime.now(UTC)).timestamp()
        parameters = {
            "start": end - _TRACES_S,
            "end": end,
            "service": search.service,
            "least_ns": int(search.least_s * 1e9),
            "errors": int(search.errors),
            "limit": _MOST_TRACES,
        }
        return self._rows(TraceSummary, "traces", parameters, search, at)

    def spans(self, trace_id: str) -> Sequence[SpanRow]:
        """See ``Queries``."""
        return self._rows(SpanRow, "spans", {"trace_id": trace_id, "limit": MOST_SPANS}, trace_id)

    def collectors(self, seconds: int) -> Sequence[CollectorRow]:
        """See ``Queries``."""

        def ask() -> list[CollectorRow]:
            return [_collector_row(values) for values in self._ask("collectors", {"seconds": seconds}).result_rows]

        return self._cached(("collectors", seconds), ask)

    def ingest(self, seconds: int) -> Sequence[IngestPoint]:
        """See ``Queries``."""

        def ask() -> list[IngestPoint]:
            rows = self._ask("ingest", {"seconds": seconds}).result_rows
            return [IngestPoint(utc(at), *rest) for at, *rest in rows]

        return self._cached(("ingest", seconds), ask)

    def _rows(self, kind: type[Row], name: str, parameters: Mapping[str, Any], *key: object) -> Sequence[Row]:
        def ask() -> list[Row]:
            result = self._ask(name, parameters)
            rows = (dict(zip(result.column_names, values, strict=True)) for values in result.result_rows)
            return [kind(**row | {"start": utc(row["start"])}) for row in rows]

        return self._cached((name, *key), ask)

    def _findings(self, kind: type[Row], name: str, parameters: Mapping[str, Any], *key: object) -> Sequence[Row]:
        def ask() -> list[Row]:
            result = self._ask(name, parameters)
            positions = [result.column_names.index(column) for column in columns(cast("type", kind))]
            return rows_from(kind, ([values[position] for position in positions] for values in result.result_rows))

        return self._cached((name, *key), ask)

    def _ask(self, name: str, parameters: Mapping[str, Any]) -> QueryResult:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        statement = load_sql("meshwise.dashboard.sql", name)
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            client = self._client
        try:
            return cast("QueryResult", client.query(statement, parameters=dict(parameters)))
        except (ClickHouseError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UnavailableError(f"the store at {self._url} could not answer: {reason}") from None

    def _cached(self, key: tuple[Any, ...], compute: Callable[[], Sequence[Row]]) -> Sequence[Row]:
        now = time.monotonic()
        kept = self._answers.get(key)
        if kept is not None and now - kept[0] < self._cache_s:
            return cast("Sequence[Row]", kept[1])
        answer = compute()
        if len(self._answers) >= _MOST_ANSWERS:
            self._answers.clear()
        self._answers[key] = (now, answer)
        return answer


def _collector_row(values: Sequence[Any]) -> CollectorRow:
    collector, signal, at, *rest, accepted, rejected, refused = values
    names = sorted({*accepted, *rejected, *refused})
    tenants = {name: (accepted.get(name, 0), rejected.get(name, 0), refused.get(name, 0)) for name in names}
    return replace(CollectorRow(collector, signal, utc(at), *rest), tenants=tenants)


def _traffic_point(values: Sequence[Any]) -> TrafficPoint:
    at, requests, failures, attempts, latency = values
    return TrafficPoint(
        at=utc(at),
        requests=requests,
        failures=failures,
        attempts=attempts,
        p50=histogram.quantile(latency, 0.5),
        p99=histogram.quantile(latency, 0.99),
    )
