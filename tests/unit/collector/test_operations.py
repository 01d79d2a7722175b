import json
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from meshwise.collector.inserter import StoreState
from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.operations import Lifecycle, build_pages
from meshwise.collector.pipeline import Pipeline
from meshwise.collector.settings import CollectorSettings
from meshwise.collector.spool.directory import SpoolSpace


async def test_ready_means_that_telemetry_is_taken() -> None:
    """A store that is away leaves the collector ready and is named; a full spool or a drain does not."""
    metrics, space, store, lifecycle = CollectorMetrics(), SpoolSpace(100, 0, 1.0), StoreState(), Lifecycle()
    pipeline = Pipeline(CollectorSettings(data_dir=Path("unused")), {}, space, metrics)
    readyz = build_pages(pipeline, metrics, store, lifecycle)["/readyz"]

    def read() -> tuple[int, dict[str, str]]:
        status, _, body = readyz()
        return status, json.loads(body)

    assert read() == (200, {"status": "ready", "store": "unknown"})
    store.fails("does not answer")
    assert read() == (200, {"status": "ready", "store": "down", "store_problem": "does not answer"})
    store.works()
    assert read() == (200, {"status": "ready", "store": "up"})
    space.add(90)
    assert read() == (503, {"status": "the spool is full", "store": "up"})
    lifecycle.draining = True
    assert read()[0] == 503


async def test_metrics_are_valid_text() -> None:
    """The exposition parses, and the series of the ledger exist before the first request."""
    metrics = CollectorMetrics()
    pipeline = Pipeline(CollectorSettings(data_dir=Path("unused")), {}, SpoolSpace(100, 0, 1.0), metrics)
    pages = build_pages(pipeline, metrics, StoreState(), Lifecycle())
    status, _, body = pages["/metrics"]()
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert status == 200
    assert len(families["meshwise_collector_accepted_items"].samples) >= 3
    assert pages["/livez"]()[0] == 200
