"""The map of 24 hours and whole cycles over the made-up mesh, timed in this process."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from benchmarks.analytics import mesh
from benchmarks.analytics.store import store
from meshwise.analytics.alerts.outbox import Outbox
from meshwise.analytics.alerts.silences import Silences
from meshwise.analytics.audits import audits_for
from meshwise.analytics.control_api import ControlApi
from meshwise.analytics.findings import persist
from meshwise.analytics.jobs import Cycle
from meshwise.analytics.load import settled
from meshwise.analytics.service_map import service_map
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.analytics.slo.promises import Promises
from meshwise.analytics.totals import load_totals
from meshwise.store.client import connect
from meshwise.store.span_edges import SpanEdges

SPANS = 1_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """How often each thing is done."""

    maps: int
    cycles: int


def measure(size: Size) -> list[dict[str, Any]]:
    """Return one row per map and cycle: seconds, seconds of the stages, MB of memory at most until then."""
    return list(_measured(size))


def _measured(size: Size) -> Iterator[dict[str, Any]]:
    end = datetime.fromtimestamp(datetime.now(UTC).timestamp() // 10 * 10, UTC)
    settings = AnalyticsSettings(settle_s=0.0)
    with store() as url, connect(url, form_encode_query_params=True) as client:
        mesh.write(client, end)
        cycle = _cycle(client, settings)
        for spans in (0, SPANS):
            if spans:
                mesh.write_spans(client, end, spans)
            for _ in range(size.maps):
                began = time.perf_counter()
                found = service_map(load_totals(client, settled(mesh.DAY_S, end, 0.0), end))
                row = {"what": "map", "spans": spans, "seconds": time.perf_counter() - began, "rss_mb": _rss_mb()}
                yield row | {"nodes": len(found.nodes), "edges": len(found.edges)}
            for number in range(size.cycles):
                began = time.perf_counter()
                board = cycle.run(end + timedelta(seconds=number / 10))
                row = {"what": "cycle", "spans": spans, "seconds": time.perf_counter() - began, "rss_mb": _rss_mb()}
                yield row | {"stages_s": dict(board.stages_s), "failed": list(board.failed)}


class _NoControl:
    """A control without policies and rollouts."""

    def policies(self) -> tuple[()]:
        return ()

    def rollouts(self, *states: str) -> list[dict[str, Any]]:
        del states
        return []


def _cycle(client: Any, settings: AnalyticsSettings) -> Cycle:
    # Proposals rest on attempts of spans and run every so often, not in each cycle; no control is asked.
    audits = replace(audits_for(settings), propose=lambda *_: ())
    return Cycle(
        settings,
        client=client,
        control=cast("ControlApi", _NoControl()),
        outbox=Outbox(":memory:"),
        audits=audits,
        promises=Promises(client, persist),
        silences=Silences(client, persist),
        persist=persist,
        derive=SpanEdges(client, settle_s=settings.spans_settle_s).advance,
    )


def _rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
