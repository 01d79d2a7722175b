import json
from pathlib import Path
from types import SimpleNamespace

from prometheus_client.parser import text_string_to_metric_families

from meshwise.collector.inserter import StoreState
from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.operations import build_pages
from meshwise.collector.pipeline import Lane, Pipeline
from meshwise.collector.quarantine import keep
from meshwise.collector.settings import CollectorSettings
from meshwise.collector.signals import Signal
from meshwise.collector.spool.backlog import Backlog, Sealed
from meshwise.collector.spool.directory import SpoolSpace
from meshwise.collector.spool.segment import Record


async def test_ready_means_that_telemetry_is_taken() -> None:
    """A store that is away leaves the collector ready and is named; a full spool or a drain does not."""
    metrics, space, store = CollectorMetrics(), SpoolSpace(100, 0, 1.0), StoreState()
    pipeline = Pipeline(CollectorSettings(data_dir=Path("unused")), {}, space, metrics)
    readyz = build_pages(pipeline, metrics, store, collector="c1", quarantine_dir=Path("unused"))["/readyz"]

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
    space.add(-90)
    pipeline.drain()
    assert read() == (503, {"status": "stopping", "store": "up"})


async def test_metrics_are_valid_text() -> None:
    """The exposition parses, and the series of the ledger exist before the first request."""
    metrics = CollectorMetrics()
    pipeline = Pipeline(CollectorSettings(data_dir=Path("unused")), {}, SpoolSpace(100, 0, 1.0), metrics)
    pages = build_pages(pipeline, metrics, StoreState(), collector="c1", quarantine_dir=Path("unused"))
    status, _, body = pages["/metrics"]()
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert status == 200
    assert len(families["meshwise_collector_accepted_items"].samples) >= 3
    assert pages["/livez"]()[0] == 200


async def test_the_status_page_has_the_whole_ledger(tmp_path: Path) -> None:
    """Per signal what was taken, refused, spooled, inserted and put aside; and what the spool and quarantine hold."""
    metrics, space = CollectorMetrics(), SpoolSpace(100, 0, 1.0)
    backlog = Backlog()
    backlog.put(Sealed(Signal.TRACES, "a", "t", Path("a"), 3, 40, 0.0))
    lane = Lane(SimpleNamespace(opened_at=None, items=2), backlog)  # type: ignore[arg-type]
    pipeline = Pipeline(CollectorSettings(data_dir=Path("unused")), {Signal.TRACES: lane}, space, metrics)
    metrics.accepted.labels("traces").inc(12)
    metrics.inserted.labels("traces").inc(6)
    metrics.quarantined.labels("traces").inc(1)
    metrics.refused.labels("traces", "too_large").inc()
    metrics.insert_seconds.labels("traces").observe(0.02)
    space.add(40)
    keep(tmp_path, Signal.TRACES, "traces-1-a", Record(0, 1, b"payload"), reason="code 33", at=5.0)
    pages = build_pages(pipeline, metrics, StoreState(), collector="c1", quarantine_dir=tmp_path)
    document = json.loads(pages["/status"]()[2])
    assert document["collector"] == "c1"
    assert (document["spool_bytes"], document["spool_max_bytes"]) == (40, 100)
    assert document["quarantine"]["records"] == 1
    traces = document["signals"]["traces"]
    wanted = {"accepted": 12, "inserted": 6, "quarantined": 1, "spooled": 5, "refused": {"too_large": 1}}
    assert {key: traces[key] for key in wanted} == wanted
    assert traces["accepted"] == traces["inserted"] + traces["quarantined"] + traces["spooled"]
    assert 0.01 < traces["insert_p99_s"] <= 0.025
    assert document["signals"]["logs"]["insert_p99_s"] is None
