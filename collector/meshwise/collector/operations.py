"""The operator's pages: is it alive, does it take requests, what does it count, how does it do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from meshwise.collector import quarantine
from meshwise.collector.inserter import StoreState
from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.pipeline import Pipeline
from meshwise.collector.status import read_tallies, status_document

JSON_TYPE: Final = b"application/json"
METRICS_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


def build_pages(
    pipeline: Pipeline,
    metrics: CollectorMetrics,
    store: StoreState,
    *,
    collector: str,
    quarantine_dir: Path,
) -> Mapping[str, Callable[[], tuple[int, bytes, bytes]]]:
    """Return the pages by path.

    A collector whose store is away is ready, since it spools; the page says so. It is not ready while its spool is full
    or while it stops.
    """

    def livez() -> tuple[int, bytes, bytes]:
        return 200, JSON_TYPE, b'{"status":"alive"}'

    def condition() -> tuple[str, dict[str, str]]:
        reason = "stopping" if pipeline.draining else "the spool is full" if pipeline.spool_full else ""
        state = {None: "unknown", True: "up", False: "down"}[store.up]
        document = {"status": reason or "ready", "store": state}
        if store.problem:
            document["store_problem"] = store.problem
        return reason, document

    def readyz() -> tuple[int, bytes, bytes]:
        reason, document = condition()
        return 503 if reason else 200, JSON_TYPE, json.dumps(document).encode()

    def status() -> tuple[int, bytes, bytes]:
        pipeline.observe()
        numbers = status_document(
            read_tallies(metrics.registry), quarantine.usage(quarantine_dir), pipeline.spool_bytes, pipeline.spool_limit
        )
        return 200, JSON_TYPE, json.dumps({"collector": collector, **condition()[1], **numbers}).encode()

    def exposition() -> tuple[int, bytes, bytes]:
        pipeline.observe()
        return 200, METRICS_TYPE, metrics.text()

    return {"/livez": livez, "/readyz": readyz, "/metrics": exposition, "/status": status}
