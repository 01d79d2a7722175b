"""The operator's pages: is it alive, does it take requests, what does it count."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from meshwise.collector.inserter import StoreState
from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.pipeline import Pipeline

JSON_TYPE: Final = b"application/json"
METRICS_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


class Lifecycle:
    """Whether the collector is on its way out."""

    draining = False


def build_pages(
    pipeline: Pipeline, metrics: CollectorMetrics, store: StoreState, lifecycle: Lifecycle
) -> Mapping[str, Callable[[], tuple[int, bytes, bytes]]]:
    """Return the pages by path.

    A collector whose store is away is ready, since it spools; the page says so. It is not ready while its spool is full
    or while it stops.
    """

    def livez() -> tuple[int, bytes, bytes]:
        return 200, JSON_TYPE, b'{"status":"alive"}'

    def readyz() -> tuple[int, bytes, bytes]:
        reason = "stopping" if lifecycle.draining else "the spool is full" if pipeline.spool_full else ""
        state = {None: "unknown", True: "up", False: "down"}[store.up]
        document = {"status": reason or "ready", "store": state}
        if store.problem:
            document["store_problem"] = store.problem
        return 503 if reason else 200, JSON_TYPE, json.dumps(document).encode()

    def exposition() -> tuple[int, bytes, bytes]:
        pipeline.observe()
        return 200, METRICS_TYPE, metrics.text()

    return {"/livez": livez, "/readyz": readyz, "/metrics": exposition}
