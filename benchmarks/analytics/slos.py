"""A thousand objectives over thirty days of the made-up mesh: the first evaluation, and those after it.

The first reads a month of hours, as after a start; the next ones read what is new. Of the 400 services that are called,
half have two objectives by default, half three by documents; each objective has its own budget and four rules.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final

from benchmarks.analytics import mesh
from benchmarks.analytics.store import store
from benchmarks.figures import Ceiling, Figure, Unmeasured
from meshwise.analytics.slo.audit import SloAudit
from meshwise.analytics.slo.objectives import ObjectiveDefaults
from meshwise.contracts.slo import Objective, Signal
from meshwise.store.client import connect

OBJECTIVES: Final = 1000
_CALLED: Final = 400
"""Services of the mesh that are called; those of its first tier call only."""


def measure(*, days: int, firsts: int, nexts: int) -> list[dict[str, Any]]:
    """Return one row per evaluation: ``firsts`` with nothing counted before, then ``nexts`` ten seconds apart."""
    return list(_measured(days, firsts, nexts))


def figures(rows: Sequence[dict[str, Any]]) -> dict[str, Figure | Unmeasured]:
    """Return the figures of a run, medians from the quickest to the slowest: every evaluation, and the first of all."""
    return {
        "slo_1000_s": _figure([row["seconds"] for row in rows if row["what"] == "slo next"]),
        "slo_1000_first_s": _figure([row["seconds"] for row in rows if row["what"] == "slo first"]),
    }


def _measured(days: int, firsts: int, nexts: int) -> Iterator[dict[str, Any]]:
    end = datetime.fromtimestamp(datetime.now(UTC).timestamp() // 10 * 10, UTC)
    with store() as url, connect(url, form_encode_query_params=True) as client:
        mesh.write(client, end, days=days)
        hours = client.query("SELECT count() FROM mesh_edge_1h").result_rows[0][0]
        audit = SloAudit(client, ObjectiveDefaults(), {})
        documents = _documents()
        for _ in range(firsts):
            audit = SloAudit(client, ObjectiveDefaults(), {})
            yield _timed("slo first", audit, documents, end) | {"days": days, "rows_of_hours": hours}
        for number in range(nexts):
            yield _timed("slo next", audit, documents, end + timedelta(seconds=10 * (number + 1)))


def _documents() -> Mapping[str, tuple[Objective, ...]]:
    written = {}
    for number in range(500 - _CALLED, 500 - _CALLED // 2):
        service = f"service-{number:03}"
        written[service] = (
            Objective(service, "availability", 0.999, title=f"{service}/1", document=service),
            Objective(service, "latency", 0.99, threshold_s=0.3, title=f"{service}/2", document=service),
            Objective(
                service,
                "latency",
                0.9,
                threshold_s=0.1,
                title=f"{service}/3",
                document=service,
                signal=Signal(service, methods=("GET",), within_s=0.1),
            ),
        )
    return written


def _timed(what: str, audit: SloAudit, documents: Mapping[str, tuple[Objective, ...]], end: datetime) -> dict[str, Any]:
    began = time.perf_counter()
    states = audit.run(documents, end, end)
    seconds = time.perf_counter() - began
    judged = sum(state.finding.total > 0 for state in states)
    if (len(states), judged) != (OBJECTIVES, OBJECTIVES):
        raise AssertionError(f"{len(states)} objectives, {judged} of them judged, and not {OBJECTIVES}")
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"what": what, "seconds": seconds, "objectives": len(states), "rss_mb": rss_mb}


def _figure(values: list[float]) -> Figure | Unmeasured:
    if not values:
        return Unmeasured("not run")
    return Ceiling(median(values), "s", (min(values), max(values)), 5.0)
